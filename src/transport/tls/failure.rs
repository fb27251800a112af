//! Why there is no TLS connection: what rustls says, in words that help.

use std::fmt;
use std::io;

use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError, OtherError};

use crate::protocol::Code;
use crate::transport::{Fingerprint, stranger};

/// Why a client's handshake failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The server speaks no TLS.
    NotTls,
    /// It speaks something that isn't chatnet either.
    Stranger(&'static str),
    /// The server's certificate won't do.
    Certificate(CertificateProblem),
    /// The server refused in its own words.
    Refused {
        code: Code,
        text: String,
        retry_after_ms: Option<u32>,
    },
    Io(io::Error),
    Cut,
    Other(String),
}

/// What is wrong with a server's certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CertificateProblem {
    /// Its time is over.
    Expired {
        /// Since when, in seconds since 1970.
        since: Option<u64>,
    },
    /// Its time hasn't come.
    NotYetValid,
    /// It is made out for other names.
    WrongName {
        /// Which.
        names: Vec<String>,
    },
    /// No certificate authority that is trusted here vouches for it.
    UnknownAuthority,
    /// Its public key is another one than expected.
    OtherKey {
        /// The one that was expected.
        expected: Fingerprint,
        /// The one that was shown.
        found: Fingerprint,
    },
    /// The application's verifier refuses it.
    Rejected(String),
    /// Something else.
    Invalid(String),
}

impl fmt::Display for CertificateProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expired { since: Some(since) } => {
                write!(f, "its certificate expired {}; it has to be renewed", days(*since))
            }
            Self::Expired { since: None } => f.write_str("its certificate has expired; it has to be renewed"),
            Self::NotYetValid => f.write_str("its certificate isn't valid yet; is this machine's clock right?"),
            Self::WrongName { names } if names.is_empty() => f.write_str("its certificate is for no host's name"),
            Self::WrongName { names } => {
                let names: Vec<_> = names.iter().map(|name| presented(name)).collect();
                write!(f, "its certificate is for {}, not for the name that was connected to", names.join(", "))
            }
            Self::UnknownAuthority => f.write_str("no authority that is trusted here vouches for its certificate"),
            Self::OtherKey { expected, found } => {
                write!(f, "its key is not the expected one: expected {expected}, found {found}")
            }
            Self::Rejected(why) | Self::Invalid(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for CertificateProblem {}

fn days(since: u64) -> String {
    match UnixTime::now().as_secs().saturating_sub(since) / 86_400 {
        0 => "today".into(),
        1 => "yesterday".into(),
        days => format!("{days} days ago"),
    }
}

/// `DnsName("host")` → `host`; a name comes from a stranger's certificate.
fn presented(name: &str) -> String {
    let inner = name.split_once('(').map_or(name, |(_, inner)| inner.trim_end_matches(')'));
    inner.chars().filter(|c| !c.is_control() && *c != '"').collect()
}

impl CertificateProblem {
    pub(super) fn into_error(self) -> rustls::Error {
        rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(std::sync::Arc::new(self))))
    }
}

/// What a server's alert means.
fn alerted(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::CertificateRequired => "the server wants a client certificate, and none was given".into(),
        AlertDescription::UnknownCA
        | AlertDescription::BadCertificate
        | AlertDescription::CertificateExpired
        | AlertDescription::CertificateUnknown
        | AlertDescription::AccessDenied
        | AlertDescription::DecryptError => format!("the server refuses this client's certificate ({alert:?})"),
        alert => format!("the server ended the handshake ({alert:?})"),
    }
}

/// Why a server ended a connection by an alert, if that is what the error tells.
pub(crate) fn refused(e: &io::Error) -> Option<String> {
    match e.get_ref()?.downcast_ref()? {
        rustls::Error::AlertReceived(alert) => Some(alerted(*alert)),
        _ => None,
    }
}

/// What an error of a client's handshake means; `first` is what the server said at first.
pub(super) fn failure(e: rustls::Error, first: &[u8]) -> Failure {
    match e {
        rustls::Error::InvalidCertificate(problem) => Failure::Certificate(certificate_problem(problem)),
        rustls::Error::AlertReceived(alert) => match (stranger::behind_alert(first), alert) {
            (Some(told), _) if told.code == Code::TLS_NOT_SPOKEN => Failure::NotTls,
            (_, AlertDescription::NoApplicationProtocol) => Failure::Stranger("a TLS server of another protocol"),
            (_, alert) => Failure::Other(alerted(alert)),
        },
        e @ (rustls::Error::InvalidMessage(_) | rustls::Error::InappropriateMessage { .. }) => {
            match (stranger::in_frame(first), crate::protocol::frame::stranger(first)) {
                (Some(told), _) if told.fatal => {
                    Failure::Refused { code: told.code, text: told.text, retry_after_ms: told.retry_after_ms }
                }
                (_, Some("TLS")) => Failure::Other(e.to_string()),
                (_, Some("HTTP")) => Failure::Stranger("a web server"),
                (_, Some("SSH")) => Failure::Stranger("an SSH server"),
                _ => Failure::NotTls,
            }
        }
        e => Failure::Other(e.to_string()),
    }
}

pub(super) fn certificate_problem(e: CertificateError) -> CertificateProblem {
    match e {
        CertificateError::Expired => CertificateProblem::Expired { since: None },
        CertificateError::ExpiredContext { not_after, .. } => {
            CertificateProblem::Expired { since: Some(not_after.as_secs()) }
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => CertificateProblem::NotYetValid,
        CertificateError::NotValidForName => CertificateProblem::WrongName { names: Vec::new() },
        CertificateError::NotValidForNameContext { presented, .. } => {
            CertificateProblem::WrongName { names: presented }
        }
        CertificateError::UnknownIssuer => CertificateProblem::UnknownAuthority,
        CertificateError::Other(OtherError(e)) => match e.downcast_ref::<CertificateProblem>() {
            Some(problem) => problem.clone(),
            // What webpki says of a self-signed certificate that may sign others, read as a server's.
            None if e.to_string().contains("CaUsedAsEndEntity") => CertificateProblem::UnknownAuthority,
            None => CertificateProblem::Invalid(format!("its certificate won't do: {e}")),
        },
        e => CertificateProblem::Invalid(format!("its certificate won't do: {e}")),
    }
}
