//! Being somebody else: making an account, logging in, another password.

use chatnet::{Alias, Client, Code, ConnectError, Events};

use super::asking::{plain, secret};
use super::who::builder;
use super::{Exit, Session, Who};
use crate::args::Args;
use crate::output::{Output, Own};
use crate::stdin::Input;
use crate::trust;

impl Session {
    pub(super) async fn password(&mut self, events: &mut Events, input: &mut Input, output: &mut Output) {
        let what = [secret("your password"), secret("the new password")];
        let Some([old, new]) = self.ask(what, events, input, output).await else { return };
        let client = self.client.clone();
        match self.meanwhile(async move { client.change_password(&old, &new).await }, events, output).await {
            None => {}
            Some(Ok(())) => output.own(&Own::Info("* changed; your other sessions have ended")),
            Some(Err(e)) => output.own(&Own::Error { code: "failed", message: &e.to_string() }),
        }
    }

    /// Delete the account, and end: there is nobody left to be.
    pub(super) async fn delete_account(&mut self, events: &mut Events, input: &mut Input, output: &mut Output) {
        let alias = self.client.alias();
        let confirm = format!("the alias {alias}, to delete that account for ever; anything else keeps it");
        let what = [secret("your password"), plain(&confirm)];
        let Some([password, confirmed]) = self.ask(what, events, input, output).await else { return };
        if confirmed.trim() != alias.as_str() {
            let message = format!("nothing was deleted: that is not the alias {alias}");
            return output.own(&Own::Error { code: "not_confirmed", message: &message });
        }
        // What was said before it is stored before it. The goodbye that follows it, in the same breath perhaps, is not
        // looked at before the answer.
        self.client.flush().await;
        match self.client.delete_account(&password).await {
            Err(e) => output.own(&Own::Error { code: "failed", message: &e.to_string() }),
            Ok(()) => {
                output.own(&Own::Info(&format!("* the account {alias} is deleted")));
                self.client.close().await;
                output.own(&Own::State("closed"));
                output.flush();
                self.ended = Some((self.exit(output), None));
            }
        }
    }

    /// Make an account, and be it; with a code, where the server wants one. A pipe has to say before whether there is one:
    /// what is read must not depend on what the server answers.
    pub(super) async fn register(
        &mut self,
        alias: String,
        with_code: bool,
        events: &mut Events,
        input: &mut Input,
        output: &mut Output,
    ) {
        let (password, code) =
            ("a password for it", "the code that new accounts need here (whoever runs the server gives you one)");
        let given = if with_code {
            let given = self.ask([secret(password), secret(code)], events, input, output).await;
            given.map(|[password, code]| (password, Some(code)))
        } else {
            self.ask([secret(password)], events, input, output).await.map(|[password]| (password, None))
        };
        let Some((password, given)) = given else { return };
        let who = |code| Who::NewAccount { alias: alias.clone(), password: password.clone(), code };
        if !self.become_(who(given), events, input, output).await {
            return;
        }
        if !output.is_terminal() {
            let message = format!(
                "new accounts need a code here; you are {} as before. /register {alias} code takes it from the line behind \
                 the password's",
                self.client.alias()
            );
            output.own(&Own::Error { code: "login_failed", message: &message });
            return self.lead_nowhere(output);
        }
        if let Some([code]) = self.ask([secret(code)], events, input, output).await {
            self.become_(who(Some(code)), events, input, output).await;
        }
    }

    /// Be somebody else from here on; whoever can't stays who they were. True if it needs a code, and nothing else.
    pub(super) async fn become_(
        &mut self,
        who: Who,
        events: &mut Events,
        input: &mut Input,
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
        match trust::connect(&args, builder(&args, &who), input, output).await {
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
                    match trust::connect(&args, before, input, output).await {
                        Ok(connected) => self.take_over(connected, events),
                        Err(e) => {
                            let message = e.to_string();
                            output.own(&Own::Fatal { code: "connection_lost", message: &message });
                            output.own(&Own::State("closed"));
                            output.flush();
                            self.ended = Some((Exit::Lost, Some(message)));
                        }
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
            format!("{e}; with another code: /register {alias} code")
        }
        _ => explain(args, e, who),
    }
}

const ACCOUNT: &str = "--account ALIAS for the account that you have, with --register for a new one";

/// What it means that there is no connection, and what to do.
pub(super) fn explain(args: &Args, e: &ConnectError, who: &Who) -> String {
    let refused = |code: Code| matches!(e, ConnectError::Refused { code: given, .. } if *given == code);
    match (e, who) {
        (ConnectError::Refused { suggestion: Some(free), .. }, _) => format!("{e}; try --name '{free}'"),
        (_, Who::NewAccount { alias, .. }) if refused(Code::CODE_NEEDED) => {
            format!("{e}, then: chatnet --account '{alias}' --register --code")
        }
        // The server's words say which of the two it is: the code is the same.
        (ConnectError::Refused { text, .. }, Who::Guest)
            if refused(Code::MECHANISM_UNSUPPORTED) && text.contains("password") =>
        {
            format!("{e}; --server-password asks for it; with an account: --account ALIAS")
        }
        (_, Who::Guest) if refused(Code::MECHANISM_UNSUPPORTED) => format!("{e}: {ACCOUNT}"),
        (_, Who::GuestWithPassword(_)) if refused(Code::MECHANISM_UNSUPPORTED) => {
            format!("{e}; a guest with a password is none of these; {ACCOUNT}")
        }
        (_, Who::Guest) if refused(Code::AUTH_FAILED) => format!("{e}; --server-password asks for it"),
        _ => trust::explain(args, e).unwrap_or_else(|| e.to_string()),
    }
}
