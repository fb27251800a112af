//! The connect dialog and the question whom to trust.

use chatnet::text::display_line;
use chatnet::{Alias, RoomName};

use super::State;
use super::effect::{Effect, Turn, View};
use super::event::{Form, Net, Secret};
use super::settings::Server;

/// Which field of the dialog an error belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Field {
    Host,
    Port,
    Alias,
    Password,
    #[default]
    General,
}

/// How a session is to be begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Attempt {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) secure: bool,
    pub(crate) who: Who,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Who {
    Guest { alias: String, password: Option<Secret> },
    Account { alias: String, password: Secret },
    NewAccount { alias: String, password: Secret, code: Option<Secret> },
}

impl Who {
    pub(crate) fn alias(&self) -> &str {
        match self {
            Self::Guest { alias, .. } | Self::Account { alias, .. } | Self::NewAccount { alias, .. } => alias,
        }
    }
}

impl Attempt {
    /// The server, as it is shown and remembered.
    pub(crate) fn server(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

/// What is wrong, field by field; empty: nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Errors {
    pub(crate) host: String,
    pub(crate) port: String,
    pub(crate) alias: String,
    pub(crate) password: String,
    pub(crate) general: String,
}

impl Errors {
    fn at(&mut self, field: Field) -> &mut String {
        match field {
            Field::Host => &mut self.host,
            Field::Port => &mut self.port,
            Field::Alias => &mut self.alias,
            Field::Password => &mut self.password,
            Field::General => &mut self.general,
        }
    }

    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

#[derive(Debug, Default)]
pub(crate) struct Connect {
    pub(crate) form: Form,
    /// The form was set here: the view takes it over.
    pub(crate) form_changed: u32,
    pub(crate) errors: Errors,
    pub(crate) busy: bool,
    pub(crate) progress: String,
    pub(super) attempt: Option<Attempt>,
}

#[derive(Debug, Default)]
pub(crate) struct Trust {
    pub(crate) open: bool,
    /// The key is another one than the one that is remembered.
    pub(crate) changed: bool,
    pub(crate) server: String,
    pub(crate) fingerprint: String,
    pub(crate) known: String,
    pub(crate) explanation: String,
    pub(crate) typed: String,
}

impl Trust {
    /// A changed key is taken only by who has looked at it: its last four digits were typed.
    pub(crate) fn can_accept(&self) -> bool {
        let typed = self.typed.trim().to_lowercase();
        self.open && (!self.changed || typed.len() == 4 && self.fingerprint.to_lowercase().ends_with(&typed))
    }
}

/// Understand what was typed, or say what is wrong with it.
pub(crate) fn check(form: &Form) -> Result<Attempt, Errors> {
    let mut errors = Errors::default();
    let (mut host, mut port) = (form.host.trim(), form.port.trim());
    // HOST:PORT in one field is understood too.
    if let Some((before, after)) = host.rsplit_once(':')
        && (!before.contains(':') || before.ends_with(']'))
        && after.parse::<u16>().is_ok()
    {
        (host, port) = (before, after);
    }
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if host.is_empty() {
        errors.host = "Type the server's name or address.".into();
    } else if host.chars().any(|c| c.is_whitespace() || c.is_control() || "#[]/".contains(c)) {
        errors.host = "This is no host's name or address.".into();
    }
    let port = match port.parse::<u16>() {
        Ok(port @ 1..) => port,
        _ => {
            errors.port = "A port is a number from 1 to 65535; usually 50000.".into();
            0
        }
    };
    let alias = form.alias.trim();
    if alias.is_empty() && form.use_account {
        errors.alias = "Type your account's alias.".into();
    } else if !alias.is_empty()
        && let Err(e) = Alias::parse(alias)
    {
        errors.alias = sentence(&e.to_string());
    }
    if form.use_account && form.password.0.is_empty() {
        errors.password = "Type your password.".into();
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    let some = |secret: &Secret| (!secret.0.is_empty()).then(|| secret.clone());
    let (alias, password) = (alias.to_owned(), form.password.clone());
    let who = match (form.use_account, form.register) {
        (false, _) => Who::Guest { alias, password: some(&form.server_password) },
        (true, false) => Who::Account { alias, password },
        (true, true) => Who::NewAccount { alias, password, code: some(&form.invite_code) },
    };
    Ok(Attempt { host: host.to_owned(), port, secure: form.secure, who })
}

/// The library's words as a sentence of a dialog.
pub(crate) fn sentence(words: &str) -> String {
    let words = display_line(words);
    let mut chars = words.chars();
    let first: String = chars.next().map(|c| c.to_uppercase().collect()).unwrap_or_default();
    let end = if words.ends_with(['.', '?', '!']) { "" } else { "." };
    format!("{first}{}{end}", chars.as_str())
}

/// Whether a room can be called so; why not.
pub(crate) fn check_room(name: &str) -> Result<(), String> {
    RoomName::parse(name).map(drop).map_err(|e| sentence(&e.to_string()))
}

impl State {
    pub(super) fn connect(&mut self, form: Form, turn: &mut Turn) {
        self.connect.form = form;
        turn.show(View::Connect);
        if self.connect.busy {
            return;
        }
        match check(&self.connect.form) {
            Err(errors) => self.connect.errors = errors,
            Ok(attempt) => self.attempt(attempt, turn),
        }
    }

    pub(super) fn attempt(&mut self, attempt: Attempt, turn: &mut Turn) {
        self.connect.errors = Errors::default();
        self.connect.busy = true;
        self.status.link = super::Link::Connecting;
        self.connect.progress = format!("Connecting to {}…", display_line(&attempt.server()));
        self.connect.attempt = Some(attempt.clone());
        turn.show(View::Connect);
        turn.do_(Effect::Connect(attempt));
    }

    pub(super) fn cancel_connect(&mut self, turn: &mut Turn) {
        if self.connect.busy {
            turn.do_(Effect::CancelConnect);
        }
        (self.connect.busy, self.connect.attempt) = (false, None);
        self.connect.progress.clear();
        self.trust = Trust::default();
        turn.show(View::Connect);
        turn.show(View::Trust);
    }

    pub(super) fn choose_server(&mut self, index: usize, turn: &mut Turn) {
        let Some(server) = self.settings.servers.get(index) else { return };
        let (host, port, alias) = (server.host.clone(), server.port.to_string(), server.alias.clone());
        let (use_account, secure) = (server.account, server.secure);
        self.connect.form = Form { host, port, alias, use_account, secure, ..Form::default() };
        self.connect.form_changed += 1;
        self.connect.errors = Errors::default();
        turn.show(View::Connect);
    }

    pub(super) fn forget_server(&mut self, index: usize, turn: &mut Turn) {
        if index < self.settings.servers.len() {
            let gone = self.settings.servers.remove(index);
            // Its key stays: forgetting that must not be this easy.
            drop(gone);
            turn.do_(Effect::Save);
            turn.show(View::Connect);
        }
    }

    pub(super) fn form_edited(&mut self, field: &str, turn: &mut Turn) {
        let field = match field {
            "host" => Field::Host,
            "port" => Field::Port,
            "alias" => Field::Alias,
            "password" | "server-password" | "invite-code" => Field::Password,
            _ => Field::General,
        };
        self.connect.errors.at(field).clear();
        self.connect.errors.general.clear();
        turn.show(View::Connect);
    }

    pub(super) fn failed(&mut self, field: Field, text: &str, suggestion: Option<String>, turn: &mut Turn) {
        self.connect.busy = false;
        self.status.link = super::Link::Offline;
        self.connect.progress.clear();
        *self.connect.errors.at(field) = sentence(text);
        if let Some(free) = suggestion {
            let said = self.connect.errors.at(Field::Alias);
            if !said.contains(&free) {
                said.push_str(&format!(" {} is free.", display_line(&free)));
            }
        }
        self.trust = Trust::default();
        turn.show(View::Connect);
        turn.show(View::Trust);
    }

    pub(super) fn ask_trust(&mut self, net: Net, turn: &mut Turn) {
        self.trust = match net {
            Net::FirstContact { server, fingerprint, why } => Trust {
                open: true,
                explanation: format!(
                    "You have not been on {server} before, and {}. Ask its operator: the server prints this fingerprint \
                     when it starts. If it is the same there, nobody is listening in.",
                    why.trim_end_matches('.')
                ),
                server,
                fingerprint,
                ..Trust::default()
            },
            Net::OtherKey { server, fingerprint, known } => Trust {
                open: true,
                changed: true,
                explanation: format!(
                    "{server} shows another key than before. Either its operator has made a new one, or somebody has put \
                     themselves between you and it, to read and change what you say. Nothing was said to it. Ask the \
                     operator. Only if the new fingerprint is right, type its last four digits."
                ),
                server,
                fingerprint,
                known,
                ..Trust::default()
            },
            _ => return,
        };
        self.connect.progress = "Waiting for your answer…".into();
        turn.show(View::Trust);
        turn.show(View::Connect);
    }

    pub(super) fn accept_trust(&mut self, turn: &mut Turn) {
        if !self.trust.can_accept() {
            return;
        }
        let Trust { server, fingerprint, changed, .. } = std::mem::take(&mut self.trust);
        turn.show(View::Trust);
        if let Some(attempt) = self.connect.attempt.clone() {
            self.connect.progress = format!("Connecting to {}…", display_line(&server));
            turn.show(View::Connect);
            turn.do_(Effect::Accept { server, fingerprint, replace: changed, attempt });
        }
    }

    pub(super) fn refuse_trust(&mut self, turn: &mut Turn) {
        let server = std::mem::take(&mut self.trust).server;
        self.failed(Field::General, &format!("Not connected: {server} is not trusted"), None, turn);
    }

    /// It worked: remember the server, and no secret.
    pub(super) fn begun(&mut self, turn: &mut Turn) {
        (self.connect.busy, self.trust) = (false, Trust::default());
        self.connect.progress.clear();
        let form = &mut self.connect.form;
        (form.password, form.server_password, form.invite_code) = Default::default();
        form.register = false;
        self.connect.form_changed += 1;
        if let Some(Attempt { host, port, secure, who }) = self.connect.attempt.clone() {
            let account = !matches!(who, Who::Guest { .. });
            self.settings.remember(Server { host, port, alias: who.alias().to_owned(), account, secure });
            turn.do_(Effect::Save);
        }
        turn.show(View::Connect);
        turn.show(View::Trust);
    }
}
