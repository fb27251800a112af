//! The messages about people and rooms: accounts, directs, moderation. Part of [`message`](super::message).

use std::fmt;

use minicbor::data::Type;
use minicbor::{Decode, Encode};

use super::message::{EventKind, Person};
use crate::id::{PrincipalId, RoomId, Seq, SessionId};

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

macro_rules! open_number {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $n:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)*
            /// One that this version doesn't know.
            Other(u8),
        }

        impl $name {
            /// Its number on the wire.
            pub const fn to_u8(self) -> u8 {
                match self { $(Self::$variant => $n,)* Self::Other(n) => n }
            }

            /// What a number on the wire means.
            pub const fn from_u8(n: u8) -> Self {
                match n { $($n => Self::$variant,)* n => Self::Other(n) }
            }
        }

        impl<C> Encode<C> for $name {
            fn encode<W: minicbor::encode::Write>(
                &self,
                e: &mut minicbor::Encoder<W>,
                _: &mut C,
            ) -> Result<(), minicbor::encode::Error<W::Error>> {
                e.u8(self.to_u8())?.ok()
            }
        }

        impl<'b, C> Decode<'b, C> for $name {
            fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
                d.u8().map(Self::from_u8)
            }
        }
    };
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
    /// How many may be members; none: any number.
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

/// Somebody, by id or by what they are called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whom {
    /// By id.
    Id(PrincipalId),
    /// By alias; for a ban also a mask (`spam*`) or an address prefix (`203.0.113.0/24`).
    Name(String),
}

impl<C> Encode<C> for Whom {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        match self {
            Self::Id(id) => e.encode(id)?.ok(),
            Self::Name(name) => e.str(name)?.ok(),
        }
    }
}

impl<'b, C> Decode<'b, C> for Whom {
    fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        if d.datatype()? == Type::Bytes { d.decode().map(Self::Id) } else { d.str().map(|s| Self::Name(s.into())) }
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
    /// The topic, or the reason.
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

/// Client → server: take nothing from somebody any more, or again.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Block {
    /// Comes back in the answer.
    #[n(0)]
    pub request: u32,
    /// Whom.
    #[n(1)]
    pub whom: Whom,
    /// Whether to block them.
    #[n(2)]
    pub blocked: bool,
}

/// Client → server: who is that?
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Whois {
    /// Comes back in the answer.
    #[n(0)]
    pub request: u32,
    /// Who.
    #[n(1)]
    pub whom: Whom,
}

/// Server → client: what is known of somebody.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Profile {
    /// The request's.
    #[n(0)]
    pub request: u32,
    /// Who; the version is 0.
    #[n(1)]
    pub person: Person,
    /// Has a connection now.
    #[n(2)]
    pub online: bool,
    /// Is away, with this text.
    #[n(3)]
    pub away: Option<String>,
    /// When an account was seen last, in milliseconds since 1970.
    #[n(4)]
    pub seen: Option<i64>,
    /// Keeps order on the whole server.
    #[n(5)]
    pub admin: bool,
}

/// Client → server: this session's person is away, or is back.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Away {
    /// Comes back in the answer.
    #[n(0)]
    pub request: u32,
    /// What to tell who asks; none: back.
    #[n(1)]
    pub text: Option<String>,
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

impl<C> Encode<C> for EventKind {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.u8(self.0)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for EventKind {
    fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        d.u8().map(EventKind)
    }
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

    /// Whether it tells a change in a room.
    pub const fn is_change(self) -> bool {
        self.0 >= Self::TOPIC.0 && self.0 <= Self::DELETION.0
    }
}

impl RoomChange {
    /// The event that was removed.
    pub fn seq(&self) -> Option<Seq> {
        self.value.map(Seq::new)
    }
}
