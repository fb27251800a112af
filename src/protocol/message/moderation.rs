//! Keeping order: what is asked for, the events it becomes, and the books that are kept of it.

use minicbor::{Decode, Encode};

use super::account::Secret;
use super::log::EventKind;
use super::number::open_number;
use super::presence::{Person, Whom};
use super::room::RoomSettings;
use crate::id::{RoomId, Seq};

open_number! {
    /// What somebody may be in a room.
    Rank {
        /// One of those who talk.
        Member = 1,
        /// Keeps order.
        Moderator = 2,
        /// Has the room.
        Owner = 3,
    }
}

/// Client → server: change something in a room. What is done becomes an event of the room, of this kind.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Moderate {
    /// Comes back in the answer.
    #[n(0)]
    pub request: u32,
    /// The room.
    #[n(1)]
    pub room: RoomId,
    /// What: the kind of event that it is to become.
    #[n(2)]
    pub act: EventKind,
    /// To whom.
    #[n(3)]
    pub whom: Option<Whom>,
    /// The topic, or the reason.
    #[n(4)]
    pub text: Option<String>,
    /// For how many milliseconds; none: until it is taken back.
    #[n(5)]
    pub for_ms: Option<u64>,
    /// A rank's number, or a seq.
    #[n(6)]
    pub value: Option<u64>,
    /// How the room is to be.
    #[n(7)]
    pub settings: Option<RoomSettings>,
    /// The room's password from here on.
    #[n(8)]
    pub password: Option<Secret>,
}

impl Moderate {
    /// An act without any of what it may have.
    pub fn new(request: u32, room: RoomId, act: EventKind) -> Self {
        let (whom, text, for_ms, value, settings, password) = (None, None, None, None, None, None);
        Self { request, room, act, whom, text, for_ms, value, settings, password }
    }
}

/// The body of an event that tells a change in a room. Who did it is the event's author.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
#[cbor(array)]
pub struct RoomChange {
    /// Whom it is about.
    #[n(0)]
    pub whom: Option<Person>,
    /// The topic, the reason, or the new alias.
    #[n(1)]
    pub text: Option<String>,
    /// Until when, in milliseconds since 1970; none: until it is taken back.
    #[n(2)]
    pub until: Option<i64>,
    /// A rank's number, or a seq.
    #[n(3)]
    pub value: Option<u64>,
    /// How the room is from here on.
    #[n(4)]
    pub settings: Option<RoomSettings>,
    /// The alias mask that a ban is for. An address is not shown to the room.
    #[n(5)]
    pub mask: Option<String>,
}

/// Kinds of events that tell a change in a room; their bodies are a [`RoomChange`]. Clients can't publish them: they ask
/// for the change by a [`Moderate`].
impl EventKind {
    /// Another topic: `text`.
    pub const TOPIC: EventKind = EventKind(3);
    /// `whom` was put out, for the reason `text`.
    pub const KICK: EventKind = EventKind(4);
    /// `whom`, or whoever fits `mask`, may not come in, for the reason `text`, until `until`.
    pub const BAN: EventKind = EventKind(5);
    /// The ban of `whom`, or of `mask`, is taken back.
    pub const UNBAN: EventKind = EventKind(6);
    /// `whom` may not talk, for the reason `text`, until `until`.
    pub const MUTE: EventKind = EventKind(7);
    /// `whom` may talk again.
    pub const UNMUTE: EventKind = EventKind(8);
    /// `whom` may come in.
    pub const INVITE: EventKind = EventKind(9);
    /// `whom` has the rank `value` from here on; with the owner's, the author gives the room away.
    pub const ROLE: EventKind = EventKind(10);
    /// The room is as `settings` says.
    pub const SETTINGS: EventKind = EventKind(11);
    /// The account that is the author has become a member (`value` 1), or is none any more (0).
    pub const MEMBERSHIP: EventKind = EventKind(12);
    /// The event `value` was removed.
    pub const DELETION: EventKind = EventKind(13);
    /// The author, who is still named as before, is called `text` from here on.
    pub const ALIAS: EventKind = EventKind(14);

    /// Whether it tells a change in a room.
    pub const fn is_change(self) -> bool {
        self.0 >= Self::TOPIC.0 && self.0 <= Self::ALIAS.0
    }
}

impl RoomChange {
    /// The event that was removed.
    pub fn seq(&self) -> Option<Seq> {
        self.value.map(Seq::new)
    }
}

/// Client → server: who is banned here?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct ListBans {
    /// Comes back in the answer.
    #[n(0)]
    pub request: u32,
    /// The room.
    #[n(1)]
    pub room: RoomId,
    /// Only those behind so many: as many as the pages before had.
    #[n(2)]
    pub skip: Option<u32>,
}

/// A ban.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct BanEntry {
    /// Who: an alias, a mask or an address prefix. An unban by this name takes it back.
    #[n(0)]
    pub whom: String,
    /// Who did it, under the alias of that time.
    #[n(1)]
    pub by: String,
    /// Why.
    #[n(2)]
    pub reason: String,
    /// Until when, in milliseconds since 1970; none: until it is taken back.
    #[n(3)]
    pub until: Option<i64>,
}

/// Server → client: the bans of a room.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct BansPage {
    /// The request's.
    #[n(0)]
    pub request: u32,
    /// The bans.
    #[n(1)]
    pub bans: Vec<BanEntry>,
    /// There are more; absent if not.
    #[n(2)]
    pub more: Option<bool>,
}

/// Client → server: what was done to keep order? For server admins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct ListAudit {
    /// Comes back in the answer.
    #[n(0)]
    pub request: u32,
    /// Only entries before this one; none for the newest.
    #[n(1)]
    pub before: Option<u64>,
    /// How many at most; the server may send fewer.
    #[n(2)]
    pub limit: u32,
}

/// Something that was done to keep order.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct AuditEntry {
    /// Its number.
    #[n(0)]
    pub n: u64,
    /// When, in milliseconds since 1970.
    #[n(1)]
    pub at: i64,
    /// Who did it, under the alias of that time.
    #[n(2)]
    pub by: String,
    /// What, in one word.
    #[n(3)]
    pub act: String,
    /// In which room; empty for the whole server.
    #[n(4)]
    pub room: String,
    /// To whom.
    #[n(5)]
    pub whom: String,
    /// Why, or what else there is to say.
    #[n(6)]
    pub text: String,
}

/// Server → client: a page of the audit log, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct AuditPage {
    /// The request's.
    #[n(0)]
    pub request: u32,
    /// The entries.
    #[n(1)]
    pub entries: Vec<AuditEntry>,
    /// There are older ones.
    #[n(2)]
    pub more: bool,
}
