//! Rooms: how they are, coming in and going, where a reader is.

use minicbor::{Decode, Encode};

use super::account::Secret;
use super::moderation::Rank;
use super::number::open_number;
use super::presence::Whom;
use crate::id::{RoomId, Seq};
use crate::protocol::code::Code;

/// Client → server: become a member.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Join {
    /// Comes back in the answer.
    #[n(0)]
    pub request: u32,
    /// The room's name; empty for the default room.
    #[n(1)]
    pub name: String,
}

/// Client → server: a `Join` with a room's password.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct JoinWith {
    /// Comes back in the answer.
    #[n(0)]
    pub request: u32,
    /// The room's name.
    #[n(1)]
    pub name: String,
    /// Its password.
    #[n(2)]
    pub password: Secret,
}

/// Server → client: you are a member; what follows in the room follows this.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Joined {
    /// The `Join`'s, or 0 if the server moved the client here.
    #[n(0)]
    pub request: u32,
    /// The room's id.
    #[n(1)]
    pub room: RoomId,
    /// The room's name.
    #[n(2)]
    pub name: String,
    /// The last event there is; delivery starts behind it.
    #[n(3)]
    pub head: Seq,
    /// The version of the presence that `count` belongs to.
    #[n(4)]
    pub presence: u64,
    /// How many members there are, this one included.
    #[n(5)]
    pub count: u32,
    /// The room's last event, if that is not `head`: what lies between comes as replay.
    #[n(6)]
    pub latest: Option<Seq>,
    /// The last event that this principal has read on any of its devices.
    #[n(7)]
    pub read: Option<Seq>,
    /// How the room is, and who this principal is there. An early server says nothing of it.
    #[n(8)]
    pub about: Option<About>,
}

/// How a room is, and who somebody is there, at the room's last event.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct About {
    /// How the room is.
    #[n(0)]
    pub settings: RoomSettings,
    /// Who they are there.
    #[n(1)]
    pub rank: Rank,
    /// They keep order on the whole server.
    #[n(2)]
    pub admin: bool,
    /// They may not talk until then, in milliseconds since 1970; the largest number: until it is taken back.
    #[n(3)]
    pub muted_until: Option<i64>,
}

/// Client → server: stop being a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Leave {
    /// Comes back in the answer.
    #[n(0)]
    pub request: u32,
    /// The room.
    #[n(1)]
    pub room: RoomId,
}

/// Server → client: you are no longer a member.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Left {
    /// The `Leave`'s, or 0 if nobody asked.
    #[n(0)]
    pub request: u32,
    /// The room.
    #[n(1)]
    pub room: RoomId,
    /// Why.
    #[n(2)]
    pub code: Code,
    /// Why, for people.
    #[n(3)]
    pub text: String,
}

/// One room's progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct RoomProgress {
    /// The room.
    #[n(0)]
    pub room: RoomId,
    /// The last event that the application has taken.
    #[n(1)]
    pub seq: Seq,
}

/// Client → server, lazily: how far the application has read.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Progress {
    /// Rooms whose progress changed.
    #[n(0)]
    pub rooms: Vec<RoomProgress>,
}

/// Client → server: deliver nothing more of this room until a `Seek`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Hold {
    /// The room.
    #[n(0)]
    pub room: RoomId,
}

/// Client → server: go on delivering behind this event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Seek {
    /// The room.
    #[n(0)]
    pub room: RoomId,
    /// The last event that the client has.
    #[n(1)]
    pub after: Seq,
}

open_number! {
    /// Who may come into a room.
    RoomKind {
        /// Everybody; the room is listed.
        Public = 0,
        /// Who was invited; the room is listed for its members only.
        InviteOnly = 1,
        /// Who knows its password.
        Password = 2,
        /// Everybody who knows its name; the room is listed for its members only.
        Hidden = 3,
    }
}

open_number! {
    /// What of a room's past a member may read.
    HistoryRule {
        /// All of it.
        All = 0,
        /// What was said since they became a member.
        SinceJoined = 1,
    }
}

/// How a room is.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct RoomSettings {
    /// Who may come in.
    #[n(0)]
    pub kind: RoomKind,
    /// What it is about; may be empty.
    #[n(1)]
    pub topic: String,
    /// How many may be members: accounts, whether they are connected or not, and guests who are here; none: any number.
    #[n(2)]
    pub limit: Option<u32>,
    /// Only moderators and owners talk.
    #[n(3)]
    pub announcement_only: bool,
    /// Nobody talks any more; what was said stays.
    #[n(4)]
    pub archived: bool,
    /// What of the past a member may read.
    #[n(5)]
    pub history: HistoryRule,
}

impl RoomSettings {
    /// A room of this kind, with the history that is usual for it.
    pub fn new(kind: RoomKind) -> Self {
        let history = if kind == RoomKind::Public { HistoryRule::All } else { HistoryRule::SinceJoined };
        Self { kind, topic: String::new(), limit: None, announcement_only: false, archived: false, history }
    }
}

impl Default for RoomSettings {
    fn default() -> Self {
        Self::new(RoomKind::Public)
    }
}

/// Client → server: which rooms are there?
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct ListRooms {
    /// Comes back in the answer.
    #[n(0)]
    pub request: u32,
    /// Those whose names come after this one; none for the first page.
    #[n(1)]
    pub after: Option<String>,
    /// How many at most; the server may send fewer.
    #[n(2)]
    pub limit: u32,
}

/// A room in a list.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct RoomEntry {
    /// Its name.
    #[n(0)]
    pub name: String,
    /// How many are here.
    #[n(1)]
    pub members: u32,
    /// How it is.
    #[n(2)]
    pub settings: RoomSettings,
}

/// Server → client: a page of rooms, in the order of their names.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct RoomsPage {
    /// The request's.
    #[n(0)]
    pub request: u32,
    /// The rooms.
    #[n(1)]
    pub rooms: Vec<RoomEntry>,
    /// There are more behind the last one.
    #[n(2)]
    pub more: bool,
}

/// Client → server: make a room, and be its owner. Answered by a `Joined`.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct CreateRoom {
    /// Comes back in the answer.
    #[n(0)]
    pub request: u32,
    /// Its name.
    #[n(1)]
    pub name: String,
    /// How it is to be.
    #[n(2)]
    pub settings: RoomSettings,
    /// Its password, if it is of that kind.
    #[n(3)]
    pub password: Option<Secret>,
}

/// Client → server: the room of this principal and somebody else, made if there is none. Answered by a `Joined`.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Direct {
    /// Comes back in the answer.
    #[n(0)]
    pub request: u32,
    /// Who else.
    #[n(1)]
    pub whom: Whom,
}

/// Client → server: what is this principal in which rooms, beyond this session?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct ListMemberships {
    /// Comes back in the answer.
    #[n(0)]
    pub request: u32,
    /// Those in rooms whose ids come after this one; none for the first page.
    #[n(1)]
    pub after: Option<RoomId>,
}

/// What somebody is in a room.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Membership {
    /// The room.
    #[n(0)]
    pub room: RoomId,
    /// Its name, as they are shown it.
    #[n(1)]
    pub name: String,
    /// They are a member, whether they are here or not.
    #[n(2)]
    pub member: bool,
    /// They may come in, whatever the room's kind.
    #[n(3)]
    pub invited: bool,
    /// Who they are there.
    #[n(4)]
    pub rank: Rank,
    /// They may not talk until then, in milliseconds since 1970.
    #[n(5)]
    pub muted_until: Option<i64>,
    /// The room's last event when they became a member.
    #[n(6)]
    pub since: Seq,
    /// How far they have read, on any device.
    #[n(7)]
    pub read: Seq,
}

/// Server → client: a page of this principal's memberships, in the order of the rooms' ids.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct MembershipsPage {
    /// The request's.
    #[n(0)]
    pub request: u32,
    /// What they are.
    #[n(1)]
    pub memberships: Vec<Membership>,
    /// There are more behind the last one.
    #[n(2)]
    pub more: bool,
}
