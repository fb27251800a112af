//! Why there is no connection: in the dialog's words, beside the field that is to be changed.

use chatnet::{Code, ConnectError};

use crate::model::{Attempt, Field, Net};

/// What the model is told of it.
pub(super) fn told(e: &ConnectError, attempt: &Attempt) -> Net {
    let server = attempt.server();
    match e {
        ConnectError::UnknownServer { server, fingerprint, problem } => {
            return Net::FirstContact {
                server: server.to_string(),
                fingerprint: fingerprint.to_string(),
                why: problem.to_string(),
            };
        }
        ConnectError::Certificate { server, problem } => {
            if let Some((known, fingerprint)) = super::other_key(problem) {
                return Net::OtherKey { server: server.to_string(), fingerprint, known };
            }
        }
        _ => {}
    }
    let (field, text) = match e {
        ConnectError::Alias(e) => (Field::Alias, e.to_string()),
        ConnectError::Resolve { .. } => (Field::Host, format!("{} can't be found; check the name", attempt.host)),
        ConnectError::Connect { source, .. } => {
            // Short: it stands beside the server's field.
            let text = match source.kind() {
                std::io::ErrorKind::ConnectionRefused => "nobody answers there; check server and port".to_owned(),
                _ => format!("can't connect to {server}: {source}; check server and port"),
            };
            (Field::Host, text)
        }
        ConnectError::Timeout { .. } => (Field::Host, format!("{server} doesn't answer; check server and port")),
        ConnectError::NotChatnet { .. } => (Field::Port, e.to_string()),
        ConnectError::Refused { code, text, .. } => (field(*code), text.clone()),
        ConnectError::Insecure => (
            Field::Password,
            "the connection isn't encrypted, and others could read the password: nothing was sent. Switch encryption on"
                .to_owned(),
        ),
        ConnectError::NoTls { .. } => (
            Field::General,
            format!(
                "{server} doesn't speak TLS. If that is meant, switch encryption off; everybody on the way can read and \
                 change what is said then"
            ),
        ),
        ConnectError::TlsRequired { .. } => (Field::General, format!("{server} speaks TLS only; switch encryption on")),
        ConnectError::Certificate { problem, .. } => {
            (Field::General, format!("{server} is not trusted: {problem}. Nothing was said to it"))
        }
        e => (Field::General, e.to_string()),
    };
    let suggestion = match e {
        ConnectError::Refused { suggestion, .. } => suggestion.clone(),
        _ => None,
    };
    Net::Failed { field, text, suggestion }
}

fn field(code: Code) -> Field {
    match code {
        Code::ALIAS_IN_USE | Code::ALIAS_INVALID => Field::Alias,
        Code::AUTH_FAILED | Code::PASSWORD_INVALID | Code::REGISTRATION_CLOSED | Code::CODE_NEEDED | Code::INSECURE => {
            Field::Password
        }
        _ => Field::General,
    }
}
