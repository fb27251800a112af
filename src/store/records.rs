//! What is kept besides events, and changed in the same commit as they are.

use std::fmt;

use crate::id::{Alias, OutboxId, PrincipalId, RoomId, RoomName, Seq, SessionId, Timestamp};
use crate::protocol::PrincipalKind;

/// A change of what is kept besides events. A store without a life beyond the process may ignore all but
/// [`DropRoom`](Self::DropRoom), which ends a room's log, and [`Used`](Self::Used).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Change {
    /// There is this room, or it is different now.
    PutRoom(RoomRecord),
    /// A room has ended: it, its log, its members and what is known of outboxes there are gone.
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
    /// The hash of the token before, which is good until the new one was used.
    pub previous: Option<TokenHash>,
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
    /// Every membership.
    pub members: Vec<MemberRecord>,
}
