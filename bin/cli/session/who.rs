//! Who this is, and how they come to the server.

use std::time::Duration;

use chatnet::{Client, ClientBuilder, ConnectError, Events, Reconnect};

use super::Exit;
use super::account::explain;
use crate::args::Args;
use crate::output::{Output, Own};
use crate::stdin::{self, Input};
use crate::{outbox, secret, trust};

/// Who this is to be.
#[derive(Clone, Default)]
pub(crate) enum Who {
    #[default]
    Guest,
    GuestWithPassword(String),
    Account(String, String),
    NewAccount {
        alias: String,
        password: String,
        code: Option<String>,
    },
    LostPassword {
        alias: String,
        password: String,
        code: String,
    },
}

impl Who {
    pub(super) fn is_guest(&self) -> bool {
        matches!(self, Self::Guest | Self::GuestWithPassword(_))
    }

    /// The same once it is in: an account is made, and a code is used, only once.
    pub(super) fn again(self) -> Self {
        match self {
            Self::NewAccount { alias, password, .. } | Self::LostPassword { alias, password, .. } => {
                Self::Account(alias, password)
            }
            who => who,
        }
    }
}

/// Who the arguments say, with passwords from a prompt or from stdin.
pub(crate) fn who(args: &Args) -> std::io::Result<Who> {
    let ask = |what: &str| secret::read(what).map(|line| stdin::answer(line, args.json));
    let Some(alias) = args.account.clone() else {
        return if args.server_password {
            ask("the server's password").map(Who::GuestWithPassword)
        } else {
            Ok(Who::Guest)
        };
    };
    let new = if args.reset { "new " } else { "" };
    let password = ask(&format!("{new}password of {alias}"))?;
    if args.reset {
        return Ok(Who::LostPassword { alias, password, code: ask("code")? });
    }
    if !args.register {
        return Ok(Who::Account(alias, password));
    }
    let code = if args.code { Some(ask("code")?) } else { None };
    Ok(Who::NewAccount { alias, password, code })
}

pub(super) fn builder(args: &Args, who: &Who) -> ClientBuilder {
    let rules = if args.no_reconnect {
        Reconnect::never()
    } else {
        Reconnect::default().max_elapsed(Some(Duration::from_secs(args.give_up)))
    };
    let mut builder =
        Client::builder().reconnect(rules).history_on_join(args.history).plaintext_passwords(args.plaintext_passwords);
    if let Some(name) = &args.name {
        builder = builder.alias(name);
    }
    builder = match who {
        Who::Guest => builder,
        Who::GuestWithPassword(password) => builder.server_password(password),
        Who::Account(alias, password) => builder.account(alias, password),
        Who::NewAccount { alias, password, code } => builder.register(alias, password, code.as_deref()),
        Who::LostPassword { alias, password, code } => builder.reset_password(alias, password, code),
    };
    match &args.room {
        Some(room) => builder.room(room),
        None => builder,
    }
}

/// Connect, with the outbox on disk if there is a place for it.
pub(super) async fn connect(
    args: &Args,
    builder: ClientBuilder,
    input: &mut Input,
    output: &mut Output,
) -> Result<(Client, Events), ConnectError> {
    if let Some(file) = &args.outbox {
        return trust::connect(args, builder.outbox_file(file), input, output).await;
    }
    let named = args.name.as_deref().filter(|_| !args.no_outbox);
    let Some(file) = named.and_then(|name| outbox::file(&args.host, args.port, name)) else {
        return trust::connect(args, builder, input, output).await;
    };
    match trust::connect(args, builder.clone().outbox_file(file), input, output).await {
        // Nobody asked for this file: talking is possible without it.
        Err(e @ ConnectError::Outbox { .. }) => {
            eprintln!("chatnet: {e}; unsent messages are kept in memory only");
            trust::connect(args, builder, input, output).await
        }
        connected => connected,
    }
}

pub(super) fn could_not_connect(
    args: &Args,
    who: &Who,
    output: &mut Output,
    e: &ConnectError,
) -> (Exit, Option<String>) {
    let (code, exit) = match e {
        ConnectError::Refused { code, .. } => (code.name(), Exit::Refused),
        ConnectError::Alias(_) => ("alias_invalid", Exit::Refused),
        ConnectError::Room(_) => ("room_name_invalid", Exit::Refused),
        ConnectError::Outbox { .. } => ("outbox_failed", Exit::Connect),
        e => (trust::code(e).unwrap_or("connect_failed"), Exit::Connect),
    };
    let message = explain(args, e, who);
    output.own(&Own::Fatal { code, message: &message });
    output.own(&Own::State("closed"));
    output.flush();
    (exit, Some(message))
}
