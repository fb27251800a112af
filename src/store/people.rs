//! Records of people, and of how rooms are.

use std::fmt;

use super::TokenHash;
use crate::id::{Alias, PrincipalId, RoomId, Seq, Timestamp};
use crate::protocol::PrincipalKind;
use crate::protocol::message::{Rank, RoomSettings};
use crate::room::{Author, BanTarget};

/// An account.
#[derive(Clone, PartialEq, Eq)]
pub struct AccountRecord {
    /// Who.
    pub principal: PrincipalId,
    /// The alias, which nobody else may have, also when the account is deleted.
    pub alias: Alias,
    /// The password's hash, as a PHC string; none if it authenticates otherwise, or is deleted.
    pub password: Option<String>,
    /// Keeps order on the whole server.
    pub admin: bool,
    /// It is no more.
    pub deleted: bool,
    /// When it was made.
    pub created: Timestamp,
    /// When a session of it ended last.
    pub seen: Timestamp,
}

impl AccountRecord {
    /// A new account, of somebody without any rights.
    pub fn new(alias: Alias, password: Option<String>, now: Timestamp) -> Self {
        let (principal, admin, deleted) = (PrincipalId::random(), false, false);
        Self { principal, alias, password, admin, deleted, created: now, seen: now }
    }
}

impl fmt::Debug for AccountRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccountRecord")
            .field("principal", &self.principal)
            .field("alias", &self.alias)
            .field("admin", &self.admin)
            .field("deleted", &self.deleted)
            .finish_non_exhaustive()
    }
}

/// How a room is. A room without this record is a plain public one.
#[derive(Clone, PartialEq, Eq)]
pub struct SettingsRecord {
    /// Which room.
    pub room: RoomId,
    /// How it is.
    pub settings: RoomSettings,
    /// Its password's hash, as a PHC string.
    pub password: Option<String>,
    /// The two whose direct it is, the smaller id first.
    pub pair: Option<(PrincipalId, PrincipalId)>,
}

impl fmt::Debug for SettingsRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SettingsRecord")
            .field("room", &self.room)
            .field("settings", &self.settings)
            .field("pair", &self.pair)
            .finish_non_exhaustive()
    }
}

/// What somebody is in a room, beyond the stay of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StandingRecord {
    /// Which room.
    pub room: RoomId,
    /// Who.
    pub principal: PrincipalId,
    /// What sort of principal.
    pub kind: PrincipalKind,
    /// The alias at the time.
    pub alias: Alias,
    /// An account that is a member, whether it has a session or not.
    pub member: bool,
    /// May come in, whatever the room's kind.
    pub invited: bool,
    /// Who they are there.
    pub rank: Rank,
    /// May not talk, until the time; `Timestamp` of `i64::MAX` for ever.
    pub muted_until: Option<Timestamp>,
    /// The room's head when the account became a member.
    pub since: Seq,
    /// How far the account has read, on any device.
    pub read: Seq,
}

impl StandingRecord {
    /// Who it is, under the alias of the time.
    pub(crate) fn author(&self) -> Author {
        Author { principal: self.principal, kind: self.kind, alias: self.alias.clone() }
    }
}

/// A ban, from a room or from the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BanRecord {
    /// Which room; none: the whole server.
    pub room: Option<RoomId>,
    /// Whom it is for.
    pub target: BanTarget,
    /// Who did it, under the alias of that time.
    pub by: Alias,
    /// Why.
    pub reason: String,
    /// Until when; none: until it is taken back.
    pub until: Option<Timestamp>,
}

/// A code that is good once.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct CodeRecord {
    /// Its SHA-256: the code itself is kept nowhere.
    pub hash: TokenHash,
    /// Whose password it sets; none: it makes an account.
    pub reset: Option<PrincipalId>,
    /// Until when it is good.
    pub until: Timestamp,
}

impl fmt::Debug for CodeRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CodeRecord").field("reset", &self.reset).field("until", &self.until).finish_non_exhaustive()
    }
}

/// Something that was done to keep order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRecord {
    /// When.
    pub at: Timestamp,
    /// Who did it.
    pub by: PrincipalId,
    /// Under which alias.
    pub alias: Alias,
    /// What, in one word.
    pub act: String,
    /// In which room, by its name then; empty for the whole server.
    pub room: String,
    /// To whom.
    pub whom: String,
    /// Why, or what else there is to say.
    pub text: String,
}
