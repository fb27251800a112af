//! What is kept besides events, and changed in the same commit as they are.

use std::fmt;

use super::Retention;
use super::people::{AccountRecord, AuditRecord, BanRecord, CodeRecord, SettingsRecord, StandingRecord};
use crate::id::{Alias, OutboxId, PrincipalId, RoomId, RoomName, Seq, SessionId, Timestamp};
use crate::protocol::PrincipalKind;
use crate::room::BanTarget;

/// A change of what is kept besides events. A store without a life beyond the process may ignore all but
/// [`DropRoom`](Self::DropRoom), which ends a room's log, and [`Used`](Self::Used).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Change {
    /// There is this room, or it is different now.
    PutRoom(RoomRecord),
    /// A room has ended: it, its log, its members, settings, standings, bans, retention and what is known of outboxes
    /// there are gone.
    DropRoom(RoomId),
    /// There is this session, or it is different now.
    PutSession(SessionRecord),
    /// A session has ended: it and its memberships are gone.
    DropSession(SessionId),
    /// A session is in a room, or has read further.
    PutMember(MemberRecord),
    /// A session has left a room.
    DropMember {
        /// Which session.
        session: SessionId,
        /// Which room.
        room: RoomId,
    },
    /// All numbers of an outbox up to this one are decided, though the last ones became no events: they were refused
    /// for good.
    Used {
        /// In which room.
        room: RoomId,
        /// Which outbox.
        outbox: OutboxId,
        /// Up to which number.
        n: u64,
    },
    /// There is this account, or it is different now. Accounts are never dropped: their aliases stay reserved.
    PutAccount(AccountRecord),
    /// A room is like this now.
    PutSettings(SettingsRecord),
    /// Somebody stands so in a room now.
    PutStanding(StandingRecord),
    /// Somebody is nothing in a room any more.
    DropStanding {
        /// Which room.
        room: RoomId,
        /// Who.
        principal: PrincipalId,
    },
    /// There is this ban, or it is different now; its room and target are its name.
    PutBan(BanRecord),
    /// A ban is no more.
    DropBan {
        /// Its room; none: the whole server.
        room: Option<RoomId>,
        /// Its target.
        target: BanTarget,
    },
    /// Somebody takes nothing from somebody else.
    PutBlock {
        /// Who.
        principal: PrincipalId,
        /// From whom.
        blocked: PrincipalId,
    },
    /// They do again.
    DropBlock {
        /// Who.
        principal: PrincipalId,
        /// From whom.
        blocked: PrincipalId,
    },
    /// There is this code.
    PutCode(CodeRecord),
    /// A code was used, or is too old.
    DropCode(TokenHash),
    /// So much of a room is kept; none: as much as of any room. For whoever calls [`Log::trim`](super::Log::trim).
    Retain {
        /// Which room.
        room: RoomId,
        /// How much.
        keep: Option<Retention>,
    },
    /// Something was done to keep order. See [`Log::audit`](super::Log::audit).
    Audit(AuditRecord),
}

/// A room that outlives the process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomRecord {
    /// This incarnation.
    pub id: RoomId,
    /// Its label.
    pub name: RoomName,
    /// It stays when its last member has left.
    pub permanent: bool,
    /// When it was made.
    pub created: Timestamp,
}

/// A session that outlives its connection.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionRecord {
    /// Which.
    pub id: SessionId,
    /// Whose.
    pub principal: PrincipalId,
    /// What sort of principal.
    pub kind: PrincipalKind,
    /// The alias that it has.
    pub alias: Alias,
    /// The hash of the token that continues it.
    pub token: TokenHash,
    /// The hashes of tokens before it, oldest first: each is good until a later one was used.
    pub previous: Vec<TokenHash>,
    /// When it began, or was continued last.
    pub seen: Timestamp,
}

/// The SHA-256 of a session's token: the token itself is kept nowhere.
pub type TokenHash = [u8; 32];

impl fmt::Debug for SessionRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionRecord")
            .field("id", &self.id)
            .field("principal", &self.principal)
            .field("kind", &self.kind)
            .field("alias", &self.alias)
            .field("seen", &self.seen)
            .finish_non_exhaustive()
    }
}

/// A session's place in a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemberRecord {
    /// Whose.
    pub session: SessionId,
    /// Where.
    pub room: RoomId,
    /// The room's head when it joined: its first event is the next one.
    pub since: Seq,
    /// Up to which event the application behind it has told to have read.
    pub read: Seq,
}

/// All records of a store.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// Every room, with its log's extent.
    pub rooms: Vec<(RoomRecord, super::Extent)>,
    /// Every session.
    pub sessions: Vec<SessionRecord>,
    /// Every session's membership.
    pub members: Vec<MemberRecord>,
    /// Every account, deleted ones too.
    pub accounts: Vec<AccountRecord>,
    /// How rooms are, those that aren't plain public ones.
    pub settings: Vec<SettingsRecord>,
    /// Who stands how in which room.
    pub standings: Vec<StandingRecord>,
    /// Every ban.
    pub bans: Vec<BanRecord>,
    /// Who takes nothing from whom.
    pub blocks: Vec<(PrincipalId, PrincipalId)>,
    /// Every code that is still good.
    pub codes: Vec<CodeRecord>,
    /// How much of which room is kept, where something was said of it.
    pub retention: Vec<(RoomId, Retention)>,
}
