//! Being somebody else: making an account, logging in, another password.

use chatnet::{Alias, Client, Code, ConnectError, Events};
use futures::channel::mpsc;

use super::{Exit, Session, Who, ask_secret, builder};
use crate::args::Args;
use crate::input::Action;
use crate::output::{Output, Own};
use crate::trust;

impl Session {
    pub(super) async fn password(&mut self, actions: &mut mpsc::Receiver<Action>, output: &mut Output) {
        let Some(old) = ask_secret("your password", actions, output).await else { return };
        let Some(new) = ask_secret("the new password", actions, output).await else { return };
        match self.client.change_password(&old, &new).await {
            Ok(()) => output.own(&Own::Info("* changed; your other sessions have ended")),
            Err(e) => output.own(&Own::Error { code: "failed", message: &e.to_string() }),
        }
    }

    /// Make an account, and be it; with a code, where the server wants one.
    pub(super) async fn register(
        &mut self,
        alias: String,
        events: &mut Events,
        actions: &mut mpsc::Receiver<Action>,
        output: &mut Output,
    ) {
        let Some(password) = ask_secret("a password for it", actions, output).await else { return };
        let who = |code| Who::NewAccount { alias: alias.clone(), password: password.clone(), code };
        if self.become_(who(None), events, actions, output).await {
            let what = "the code that new accounts need here (whoever runs the server gives you one)";
            let Some(code) = ask_secret(what, actions, output).await else { return };
            self.become_(who(Some(code)), events, actions, output).await;
        }
    }

    /// Be somebody else from here on; whoever can't stays who they were. True if it needs a code, and nothing else.
    pub(super) async fn become_(
        &mut self,
        who: Who,
        events: &mut Events,
        actions: &mut mpsc::Receiver<Action>,
        output: &mut Output,
    ) -> bool {
        let alias = self.client.alias();
        // The guest's alias has to be free before it can be an account's; otherwise the old session stays until there is
        // a new one.
        let frees = matches!(&who, Who::NewAccount { alias: new, .. } if is_same(&alias, new));
        self.client.flush().await;
        if frees {
            self.client.close().await;
        }
        let args = self.args.clone();
        match trust::connect(&args, builder(&args, &who), actions, output).await {
            Ok(connected) => {
                if !frees {
                    self.client.close().await;
                }
                self.who = who.again();
                self.take_over(connected, events);
                false
            }
            Err(e) => {
                let needs_code = matches!(&e, ConnectError::Refused { code: Code::CODE_NEEDED, .. });
                if !needs_code {
                    let message = format!("{}; you are {alias} as before", not_become(&args, &e, &who));
                    output.own(&Own::Error { code: "login_failed", message: &message });
                }
                if frees {
                    let before = builder(&args, &self.who);
                    let before = if self.who.is_guest() { before.alias(alias.as_str()) } else { before };
                    match trust::connect(&args, before, actions, output).await {
                        Ok(connected) => self.take_over(connected, events),
                        Err(e) => self.ended = Some((Exit::Lost, Some(e.to_string()))),
                    }
                }
                needs_code && self.ended.is_none()
            }
        }
    }

    fn take_over(&mut self, (client, new): (Client, Events), events: &mut Events) {
        (self.current, self.client, *events) = (client.room(), client, new);
        self.rooms = self.client.rooms();
    }
}

fn is_same(alias: &Alias, new: &str) -> bool {
    alias.as_str().to_lowercase() == new.to_lowercase()
}

/// Why it was not to be, and what to do.
fn not_become(args: &Args, e: &ConnectError, who: &Who) -> String {
    match (e, who) {
        (ConnectError::Refused { code: Code::AUTH_FAILED, .. }, Who::Account(alias, _)) => {
            format!("{e}; try again: /login {alias}")
        }
        (
            ConnectError::Refused { code: Code::REGISTRATION_CLOSED, .. },
            Who::NewAccount { alias, code: Some(_), .. },
        ) => {
            format!("{e}; with another code: /register {alias}")
        }
        _ => explain(args, e, who),
    }
}

/// What it means that there is no connection, and what to do.
pub(super) fn explain(args: &Args, e: &ConnectError, who: &Who) -> String {
    let refused = |code: Code| matches!(e, ConnectError::Refused { code: given, .. } if *given == code);
    match (e, who) {
        (ConnectError::Refused { suggestion: Some(free), .. }, _) => format!("{e}; try --name '{free}'"),
        (_, Who::NewAccount { alias, .. }) if refused(Code::CODE_NEEDED) => {
            format!("{e}, then: chatnet --account '{alias}' --register --code")
        }
        (_, Who::Guest) if refused(Code::MECHANISM_UNSUPPORTED) => format!(
            "{e}; with an account: --account ALIAS, and --register to make one; where guests need a password: \
             --server-password"
        ),
        (_, Who::Guest) if refused(Code::AUTH_FAILED) => format!("{e}; --server-password asks for it"),
        _ => trust::explain(args, e).unwrap_or_else(|| e.to_string()),
    }
}
