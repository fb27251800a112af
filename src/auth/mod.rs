//! Who somebody is: the port for an application's own user table, tokens or tickets; passwords; what failed logins cost.

mod dynamic;
pub(crate) mod password;
mod throttle;

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;

pub(crate) use dynamic::DynAuthenticator;
pub(crate) use throttle::Throttle;

use crate::id::{Alias, PrincipalId};

/// Decide who somebody is, by means of the application's own: its user table, signed tokens, tickets for one use.
///
/// Given to [`ServerBuilder::authenticator`](crate::ServerBuilder::authenticator). Its mechanisms are offered before
/// the built-in ones; one of the same name as a built-in one (`password`) takes its place. Whoever is allowed in is an
/// account: they keep their rooms, and may have several devices.
///
/// Implement it with plain `async fn`s that don't block their thread. A call has the time limit of handlers
/// ([`handler_timeout`](crate::ServerBuilder::handler_timeout)). Take as long, and answer the same, for somebody who is
/// not known as for a wrong secret. Failed attempts are slowed down by the server, per address
/// ([`Limits::logins`](crate::Limits::logins)) and, if what is sent first begins with a name as that of `password` does,
/// per name and address.
///
/// ```
/// use chatnet::auth::{Attempt, Authenticator, Decision, Identity};
/// use chatnet::{Alias, PrincipalId};
///
/// /// One ticket, sold at the door.
/// #[derive(Debug)]
/// struct Door;
///
/// impl Authenticator for Door {
///     fn mechanisms(&self) -> Vec<String> {
///         vec!["ticket".into()]
///     }
///
///     async fn authenticate(&self, attempt: Attempt<'_>) -> Decision {
///         match attempt.data {
///             b"row 3, seat 14" => Decision::Allow(Identity {
///                 // The same for the same person, for ever: take it from your user table.
///                 principal: PrincipalId::from_bytes([14; 16]),
///                 alias: Alias::parse("ada").unwrap(),
///                 admin: false,
///             }),
///             _ => Decision::Deny,
///         }
///     }
/// }
/// ```
pub trait Authenticator: fmt::Debug + Send + Sync + 'static {
    /// The names of the ways to authenticate, best first. Asked once, when the server is built.
    fn mechanisms(&self) -> Vec<String>;

    /// Decide, or ask on.
    fn authenticate(&self, attempt: Attempt<'_>) -> impl Future<Output = Decision> + Send;
}

/// What somebody shows of themselves.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct Attempt<'a> {
    /// One of [`mechanisms`](Authenticator::mechanisms).
    pub mechanism: &'a str,
    /// The client's bytes. For `password`, `register`, `reset`: see PROTOCOL.md, section 3.
    pub data: &'a [u8],
    /// The challenges of this attempt so far, each with what was answered; `data` answers the last one.
    pub before: &'a [Exchange],
    /// Where the connection comes from; none for a stream of the application's.
    pub address: Option<SocketAddr>,
}

impl<'a> Attempt<'a> {
    /// An attempt, for tests of an authenticator.
    pub fn new(mechanism: &'a str, data: &'a [u8]) -> Self {
        Self { mechanism, data, before: &[], address: None }
    }

    /// The same behind these challenges.
    #[must_use]
    pub fn behind(self, before: &'a [Exchange]) -> Self {
        Self { before, ..self }
    }

    pub(crate) fn from(self, address: Option<SocketAddr>) -> Self {
        Self { address, ..self }
    }
}

impl fmt::Debug for Attempt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Attempt({:?}, step {}, …)", self.mechanism, self.before.len())
    }
}

/// A challenge, and the bytes that were sent before it.
#[derive(Clone, PartialEq, Eq)]
pub struct Exchange {
    /// What the client had sent.
    pub data: Vec<u8>,
    /// What it was asked then.
    pub challenge: Vec<u8>,
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Exchange(…)")
    }
}

/// What an authenticator says.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Decision {
    /// It is this account.
    Allow(Identity),
    /// Send these bytes, and ask again with what is answered. At most seven times.
    Challenge(Vec<u8>),
    /// No. The client isn't told why: the same for an unknown account and for a wrong secret.
    Deny,
    /// There is no telling at the moment; the client may try again.
    Unavailable,
}

impl fmt::Debug for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Allow(identity) => f.debug_tuple("Allow").field(identity).finish(),
            Self::Challenge(_) => f.write_str("Challenge(…)"),
            Self::Deny => f.write_str("Deny"),
            Self::Unavailable => f.write_str("Unavailable"),
        }
    }
}

/// An account, as an authenticator knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Who: the same for the same person, for ever, and never another's.
    pub principal: PrincipalId,
    /// The name to show. If it is another account's or a guest's, or a new one that commands take for something else (such as
    /// `*` or an address, see [`Alias::unreserved`]), the attempt is refused. Reserved ones may be given.
    pub alias: Alias,
    /// Keeps order on the whole server.
    pub admin: bool,
}
