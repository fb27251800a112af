//! What can go wrong, one type an operation.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::event::CloseReason;
use crate::protocol::Code;
use crate::text::NameError;
#[cfg(feature = "tls")]
use crate::transport::{Fingerprint, tls::CertificateProblem};
#[cfg(feature = "tls")]
use crate::trust::ServerAddr;

/// Why there is no connection.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConnectError {
    /// The alias breaks the rules.
    Alias(NameError),
    /// The room's name breaks the rules.
    Room(NameError),
    /// The host can't be found.
    Resolve {
        /// What was looked up.
        addr: String,
        /// Why.
        source: io::Error,
    },
    /// Nobody answers there.
    Connect {
        /// Where.
        addr: String,
        /// Why.
        source: io::Error,
    },
    /// It took too long.
    Timeout {
        /// The limit.
        after: Duration,
    },
    /// The server doesn't let this client in.
    Refused {
        /// Why.
        code: Code,
        /// Why, in words.
        text: String,
        /// Something that would have worked: a free alias.
        suggestion: Option<String>,
        /// After how many milliseconds trying again may help; none: it won't.
        retry_after_ms: Option<u32>,
    },
    /// The application's own transport could not be opened.
    Transport(io::Error),
    /// The outbox's file can't be used.
    Outbox {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The server speaks TLS only, and this client was told not to.
    TlsRequired {
        /// Where.
        addr: String,
    },
    /// The server doesn't speak TLS.
    NoTls {
        /// Where.
        addr: String,
    },
    /// What answers there is no chatnet server.
    NotChatnet {
        /// Where.
        addr: String,
        /// What it seems to be.
        what: &'static str,
    },
    /// TLS failed for another reason than the server's certificate.
    Tls {
        /// Where.
        server: String,
        /// What happened.
        why: String,
    },
    /// The server isn't the right one, as far as its certificate tells. If its key is another one than the one that is
    /// remembered, somebody may be listening in, or its operator has made a new one.
    #[cfg(feature = "tls")]
    Certificate {
        /// Where.
        server: ServerAddr,
        /// What is wrong with it.
        problem: CertificateProblem,
    },
    /// This is the first contact, and nobody vouches for the server: nothing was said to it. Compare the fingerprint,
    /// [`accept`](crate::trust::Trust::accept) it, and connect again.
    #[cfg(feature = "tls")]
    UnknownServer {
        /// Where.
        server: ServerAddr,
        /// Its key's.
        fingerprint: Fingerprint,
        /// Why no authority vouches for it.
        problem: Box<CertificateProblem>,
    },
    /// What is remembered of servers can't be read or written.
    Trust {
        /// Why.
        source: io::Error,
    },
    /// A password would have gone over a connection that others can read; nothing was sent. Connect with TLS.
    Insecure,
    /// The connection ended before the session began.
    Closed(CloseReason),
}

impl ConnectError {
    /// Whether the server is not the right one, or doesn't speak as privately as this client wants it to.
    pub(super) fn is_about_trust(&self) -> bool {
        match self {
            Self::TlsRequired { .. } | Self::NoTls { .. } => true,
            #[cfg(feature = "tls")]
            Self::Certificate { .. } | Self::UnknownServer { .. } => true,
            _ => false,
        }
    }

    /// Say where it was, now that it is known.
    pub(super) fn at(self, addr: &str) -> Self {
        match self {
            Self::Refused { code: Code::TLS_REQUIRED, .. } => Self::TlsRequired { addr: addr.to_owned() },
            // In TLS 1.3 a server looks at the client's certificate when the client has begun to speak already.
            #[cfg(feature = "tls")]
            Self::Closed(CloseReason::Io(e)) => match crate::transport::tls::refused(&e) {
                Some(why) => Self::Tls { server: addr.to_owned(), why },
                None => Self::Closed(CloseReason::Io(e)),
            },
            other => other,
        }
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Alias(e) | Self::Room(e) => e.fmt(f),
            Self::Resolve { addr, source } if source.kind() == io::ErrorKind::InvalidInput => {
                write!(f, "{addr} is no address: {source}")
            }
            Self::Resolve { addr, source } => write!(f, "{addr} can't be found: {source}; check the host's name"),
            Self::Connect { addr, source } => {
                write!(f, "can't connect to {addr}: {source}; is a server running there?")
            }
            Self::Timeout { after } => {
                write!(f, "no chatnet server answered within {after:?}; check host and port, or allow more time")
            }
            Self::Refused { code, text, suggestion, retry_after_ms } => {
                write!(f, "the server refused: {text} ({})", code.name())?;
                match suggestion {
                    Some(free) if !text.contains(free.as_str()) => write!(f, "; {free} is free")?,
                    _ => {}
                }
                when(f, *retry_after_ms)
            }
            Self::TlsRequired { addr } => {
                write!(f, "the server at {addr} speaks TLS only; connect with TLS")
            }
            Self::NoTls { addr } => {
                write!(f, "the server at {addr} does not speak TLS; if that is meant, connect without TLS")
            }
            Self::NotChatnet { addr, what } => {
                write!(f, "what answers at {addr} is {what}, not a chatnet server; check host and port")
            }
            Self::Tls { server, why } => write!(f, "no TLS connection to {server}: {why}"),
            #[cfg(feature = "tls")]
            Self::Certificate { server, problem } => write!(f, "the server at {server} is not trusted: {problem}"),
            #[cfg(feature = "tls")]
            Self::UnknownServer { server, fingerprint, problem } => {
                write!(f, "the server at {server} is not known yet, and {problem}; its fingerprint is {fingerprint}")
            }
            Self::Trust { source } => write!(f, "known servers: {source}"),
            Self::Transport(e) => write!(f, "the transport could not be opened: {e}"),
            Self::Outbox { path, source } => write!(f, "the outbox {} can't be used: {source}", path.display()),
            Self::Insecure => f.write_str(
                "the connection isn't encrypted, and others could read the password: nothing was sent; connect with TLS",
            ),
            Self::Closed(reason) => reason.fmt(f),
        }
    }
}

/// When trying again may help, if it may: rounded up, for a person.
fn when(f: &mut fmt::Formatter<'_>, retry_after_ms: Option<u32>) -> fmt::Result {
    let Some(ms) = retry_after_ms else { return Ok(()) };
    match ms.div_ceil(1000).max(1) {
        1 => f.write_str("; it may work in 1 second"),
        seconds @ ..120 => write!(f, "; it may work in {seconds} seconds"),
        seconds @ ..7200 => write!(f, "; it may work in {} minutes", seconds.div_ceil(60)),
        seconds => write!(f, "; it may work in {} hours", seconds.div_ceil(3600)),
    }
}

impl std::error::Error for ConnectError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Alias(e) | Self::Room(e) => Some(e),
            Self::Resolve { source, .. }
            | Self::Connect { source, .. }
            | Self::Trust { source }
            | Self::Outbox { source, .. } => Some(source),
            #[cfg(feature = "tls")]
            Self::Certificate { problem, .. } => Some(problem),
            #[cfg(feature = "tls")]
            Self::UnknownServer { problem, .. } => Some(problem.as_ref()),
            Self::Transport(source) => Some(source),
            _ => None,
        }
    }
}

/// Why a call to the server failed: joining, leaving, asking for members.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum RequestError {
    /// The room's name breaks the rules.
    Room(NameError),
    /// The server refused it.
    Refused {
        /// Why.
        code: Code,
        /// Why, in words.
        text: String,
        /// After how many milliseconds trying again may help; none: it won't.
        retry_after_ms: Option<u32>,
    },
    /// A password would have gone over a connection that others can read; it was not sent. Connect with TLS.
    Insecure,
    /// The connection was lost before the answer: it may be done or not. Look, and ask again if need be.
    Unknown,
    /// The connection has ended.
    Closed,
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Room(e) => e.fmt(f),
            Self::Refused { code, text, retry_after_ms } => {
                write!(f, "the server refused: {text} ({})", code.name())?;
                when(f, *retry_after_ms)
            }
            Self::Insecure => f.write_str(
                "the connection isn't encrypted, and others could read the password: it was not sent; connect with TLS",
            ),
            Self::Unknown => f.write_str("the connection was lost before the answer; look whether it was done"),
            Self::Closed => f.write_str("the connection has ended; connect again"),
        }
    }
}

impl std::error::Error for RequestError {}

/// Why a text was not taken into the outbox. It is given back.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError {
    /// There is no room in the outbox now. Only [`try_send`](crate::Room::try_send) says so.
    Full(String),
    /// It is larger than the server takes.
    TooLarge {
        /// The text.
        text: String,
        /// What the server takes, in bytes.
        max: u32,
    },
    /// It holds a control character other than newline and tab.
    Invalid {
        /// The text.
        text: String,
        /// What is wrong with it.
        why: String,
    },
    /// This client has left the room, or the connection has ended.
    Closed(String),
}

impl SendError {
    /// The text that was not taken.
    pub fn into_text(self) -> String {
        match self {
            Self::Full(text) | Self::Closed(text) | Self::TooLarge { text, .. } | Self::Invalid { text, .. } => text,
        }
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(_) => f.write_str("too much is waiting to be sent; wait and try again"),
            Self::TooLarge { text, max } => {
                write!(f, "the message has {} bytes; at most {max} are allowed: split it", text.len())
            }
            Self::Invalid { why, .. } => f.write_str(why),
            Self::Closed(_) => f.write_str("you are no longer in this room, or the connection has ended"),
        }
    }
}

impl std::error::Error for SendError {}

/// Why a text that was sent is not stored, as far as is known.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReceiptError {
    /// The server refused it, for good.
    Refused {
        /// Why.
        code: Code,
        /// Why, in words.
        text: String,
    },
    /// The client was closed, or gave up, before the server answered: it may be stored or not. With an outbox on disk it
    /// is sent again by the next client that uses it.
    Lost {
        /// How many texts it is true of, this one among them.
        unsent: usize,
    },
}

impl fmt::Display for ReceiptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { code, text } => write!(f, "the server refused the message: {text} ({})", code.name()),
            Self::Lost { unsent: 2.. } => {
                f.write_str("the connection ended before the message, and others, were acknowledged")
            }
            Self::Lost { .. } => f.write_str("the connection ended before the message was acknowledged"),
        }
    }
}

impl std::error::Error for ReceiptError {}
