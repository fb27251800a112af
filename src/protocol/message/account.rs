//! Passwords, accounts, and the sessions of one.

use std::fmt;

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};

use super::log::EventKind;
use crate::id::{RoomId, Seq, SessionId};

/// A password, or a code that is as good as one. Its `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(transparent)]
pub struct Secret(#[n(0)] pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl From<&str> for Secret {
    fn from(secret: &str) -> Self {
        Self(secret.to_owned())
    }
}

/// The data of an `Auth` whose mechanism is `password`, `register`, `reset` or `guest-password`.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Credentials {
    /// The account's alias; for `guest-password` the wished one, may be empty then.
    #[n(0)]
    pub name: String,
    /// The password: the account's, for `register` and `reset` the new one; for `guest-password` the server's.
    #[n(1)]
    pub secret: Secret,
    /// For `register` an invite code, or the server's password, where one is asked for; for `reset` the code.
    #[n(2)]
    pub code: Option<Secret>,
}

/// Server → client: what was asked for is done, and kept.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Done {
    /// The request's.
    #[n(0)]
    pub request: u32,
    /// The event in the room that tells of it, if it is an act in one.
    #[n(1)]
    pub seq: Option<Seq>,
}

/// Client → server: another password for this account. Its other sessions end.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct ChangePassword {
    /// Comes back in the answer.
    #[n(0)]
    pub request: u32,
    /// The one it has.
    #[n(1)]
    pub old: Secret,
    /// The one it is to have.
    #[n(2)]
    pub new: Secret,
}

/// Client → server: this account is to be no more. Its alias stays reserved; its sessions end.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct DeleteAccount {
    /// Comes back in the answer.
    #[n(0)]
    pub request: u32,
    /// Its password.
    #[n(1)]
    pub password: Secret,
}

/// Client → server: which sessions does this principal have?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct ListSessions {
    /// Comes back in the answer.
    #[n(0)]
    pub request: u32,
    /// Those behind this one; none: from the first on.
    #[n(1)]
    pub after: Option<SessionId>,
}

/// A session, as its owner sees it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct SessionEntry {
    /// Which.
    #[n(0)]
    pub session: SessionId,
    /// It is the one that asks.
    #[n(1)]
    pub current: bool,
    /// It has a connection.
    #[n(2)]
    pub connected: bool,
    /// Where that comes from.
    #[n(3)]
    pub address: Option<String>,
    /// What the client calls itself.
    #[n(4)]
    pub agent: String,
}

/// Server → client: this principal's sessions.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct SessionsPage {
    /// The request's.
    #[n(0)]
    pub request: u32,
    /// The sessions.
    #[n(1)]
    pub sessions: Vec<SessionEntry>,
    /// There are more, behind this one.
    #[n(2)]
    pub next: Option<SessionId>,
}

/// Client → server: end a session of this principal's. Its token is good for nothing from here on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct EndSession {
    /// Comes back in the answer.
    #[n(0)]
    pub request: u32,
    /// Which.
    #[n(1)]
    pub session: SessionId,
}

/// Client → server: this principal is to be called otherwise. Answered by a `Renamed`.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct ChangeAlias {
    /// Comes back in the answer.
    #[n(0)]
    pub request: u32,
    /// The wished alias.
    #[n(1)]
    pub alias: String,
}

/// Server → client: this principal is called so from here on.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Renamed {
    /// The `ChangeAlias`'s, or 0 if it wasn't this session that asked.
    #[n(0)]
    pub request: u32,
    /// The alias, in NFC.
    #[n(1)]
    pub alias: String,
}

/// Client → server: what has this account said, in any room?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct ListOwnEvents {
    /// Comes back in the answer.
    #[n(0)]
    pub request: u32,
    /// Where the page before ended; none for the first one.
    #[n(1)]
    pub after: Option<OwnPlace>,
}

/// How far somebody's own events were looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct OwnPlace {
    /// In this room; those of lower ids are done.
    #[n(0)]
    pub room: RoomId,
    /// Up to this event.
    #[n(1)]
    pub seq: Seq,
}

/// An event of one's own.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct OwnEvent {
    /// The room.
    #[n(0)]
    pub room: RoomId,
    /// Its name, as oneself is shown it.
    #[n(1)]
    pub name: String,
    /// The event's number there.
    #[n(2)]
    pub seq: Seq,
    /// Server time, milliseconds since 1970.
    #[n(3)]
    pub at: i64,
    /// What sort of event.
    #[n(4)]
    pub kind: EventKind,
    /// Its bytes; for a text, UTF-8.
    #[n(5)]
    pub bytes: ByteVec,
}

/// Server → client: some of what this account has said; perhaps none, and there is more all the same.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct OwnEventsPage {
    /// The request's.
    #[n(0)]
    pub request: u32,
    /// The events.
    #[n(1)]
    pub events: Vec<OwnEvent>,
    /// Where to go on; none: that was all.
    #[n(2)]
    pub next: Option<OwnPlace>,
}
