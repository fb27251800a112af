//! The typed messages of version 1, and their bodies in CBOR.
//!
//! Every body is a CBOR array whose elements have fixed places: a later version adds elements at the end, an earlier
//! one skips what it doesn't know. PROTOCOL.md is the specification; this file is its transcription.

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};

use super::code::Code;
use super::frame::Class;
pub use super::people::*;
use crate::id::{Lineage, OutboxId, PrincipalId, RoomId, Seq, SessionId};

/// A message's kind: the number in the header that says how to read the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kind(pub u16);

/// A message with a fixed kind and class.
pub trait Message: Encode<()> + for<'b> Decode<'b, ()> {
    /// Its kind.
    const KIND: Kind;
    /// Its class, unless the sender has a reason for another.
    const CLASS: Class = Class::CONTROL;
}

macro_rules! messages {
    ($($name:ident = $n:literal $(, $class:ident)?;)*) => {
        #[allow(non_upper_case_globals)]
        impl Kind {
            $(#[doc = concat!("The kind of [`", stringify!($name), "`].")] pub const $name: Kind = Kind($n);)*

            /// The message's name, for logs; `None` for a kind that this version doesn't know.
            pub const fn name(self) -> Option<&'static str> {
                match self.0 { $($n => Some(stringify!($name)),)* _ => None }
            }
        }
        $(impl Message for $name {
            const KIND: Kind = Kind($n);
            $(const CLASS: Class = Class::$class;)?
        })*
    };
}

messages! {
    Hello = 0x0001;
    Welcome = 0x0002;
    Auth = 0x0003;
    Challenge = 0x0004;
    Authenticated = 0x0005;
    Attach = 0x0006;
    Attached = 0x0007;
    Ping = 0x0008;
    Pong = 0x0009;
    ErrorReply = 0x000a;
    Bye = 0x000b;
    Credit = 0x000c;
    Join = 0x0101;
    Joined = 0x0102;
    Leave = 0x0103;
    Left = 0x0104;
    Publish = 0x0105, LIVE;
    Ack = 0x0106;
    Refused = 0x0107;
    Deliver = 0x0108, LIVE;
    Skipped = 0x0109, LIVE;
    Progress = 0x010a;
    Hold = 0x010b;
    Seek = 0x010c;
    History = 0x0201;
    HistoryEnd = 0x0202, BULK;
    Search = 0x0203;
    SearchPage = 0x0204, BULK;
    ChangePassword = 0x0301;
    Done = 0x0302;
    ListSessions = 0x0303;
    SessionsPage = 0x0304;
    EndSession = 0x0305;
    DeleteAccount = 0x0306;
    ListRooms = 0x0310;
    RoomsPage = 0x0311;
    CreateRoom = 0x0312;
    JoinWith = 0x0313;
    Moderate = 0x0314;
    ListBans = 0x0315;
    BansPage = 0x0316;
    Direct = 0x0320;
    Block = 0x0321;
    Whois = 0x0330;
    Profile = 0x0331;
    Away = 0x0332;
    ListAudit = 0x0340;
    AuditPage = 0x0341;
    Presence = 0x0501;
    Members = 0x0502;
    MembersPage = 0x0503;
    Notice = 0x0504;
}

/// The first element of a [`Hello`].
pub const MAGIC: &[u8] = b"chatnet";

/// Client → server, first of all: what the client speaks. No secret goes in here.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Hello {
    /// [`MAGIC`].
    #[n(0)]
    pub magic: ByteVec,
    /// The lowest protocol version spoken.
    #[n(1)]
    pub min_version: u16,
    /// The highest protocol version spoken.
    #[n(2)]
    pub max_version: u16,
    /// Names of optional abilities.
    #[n(3)]
    pub capabilities: Vec<String>,
    /// The longest frame body the client takes, in bytes.
    #[n(4)]
    pub max_body: u32,
    /// Program and version, for the server's log.
    #[n(5)]
    pub agent: String,
}

/// Server → client: what holds on this connection.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Welcome {
    /// The version spoken from here on.
    #[n(0)]
    pub version: u16,
    /// Those of the client's capabilities that the server has too.
    #[n(1)]
    pub capabilities: Vec<String>,
    /// The longest frame body the server takes, in bytes.
    #[n(2)]
    pub max_body: u32,
    /// The largest event body the server takes and sends, in bytes.
    #[n(3)]
    pub max_event: u32,
    /// Milliseconds after which a silent side sends a `Ping`; three of them without a byte end the connection.
    #[n(4)]
    pub heartbeat_ms: u32,
    /// The ways to authenticate, best first.
    #[n(5)]
    pub mechanisms: Vec<String>,
    /// The server's name, to show to people.
    #[n(6)]
    pub server: String,
    /// The store's life that seqs belong to.
    #[n(7)]
    pub lineage: Lineage,
    /// The room that a `Join` without a name means; empty if there is none.
    #[n(8)]
    pub default_room: String,
}

/// Client → server: one step of authentication.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Auth {
    /// One of `Welcome`'s mechanisms.
    #[n(0)]
    pub mechanism: String,
    /// The mechanism's bytes. For `guest`: the wished alias in UTF-8, or nothing.
    #[n(1)]
    pub data: ByteVec,
}

impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Auth({:?}, …)", self.mechanism)
    }
}

/// Server → client: the mechanism asks on.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Challenge {
    /// The mechanism's bytes.
    #[n(0)]
    pub data: ByteVec,
}

impl std::fmt::Debug for Challenge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Challenge(…)")
    }
}

/// What sort of principal somebody is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PrincipalKind {
    /// Here under an alias that is theirs while they stay.
    Guest,
    /// A registered account.
    Account,
    /// The application that runs the server.
    App,
    /// A kind that this version doesn't know.
    Other(u8),
}

impl PrincipalKind {
    /// Its number on the wire.
    pub const fn to_u8(self) -> u8 {
        match self {
            Self::Guest => 1,
            Self::Account => 2,
            Self::App => 3,
            Self::Other(n) => n,
        }
    }

    /// The kind of a number on the wire.
    pub const fn from_u8(n: u8) -> Self {
        match n {
            1 => Self::Guest,
            2 => Self::Account,
            3 => Self::App,
            n => Self::Other(n),
        }
    }
}

impl<C> Encode<C> for PrincipalKind {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.u8(self.to_u8())?.ok()
    }
}

impl<'b, C> Decode<'b, C> for PrincipalKind {
    fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        d.u8().map(Self::from_u8)
    }
}

/// Server → client: who the client is from here on.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Authenticated {
    /// The principal's id.
    #[n(0)]
    pub principal: PrincipalId,
    /// What sort of principal.
    #[n(1)]
    pub kind: PrincipalKind,
    /// The alias it has.
    #[n(2)]
    pub alias: String,
}

/// A place in a room's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Cursor {
    /// The store's life that the seq belongs to.
    #[n(0)]
    pub lineage: Lineage,
    /// The room.
    #[n(1)]
    pub room: RoomId,
    /// The last event that was seen.
    #[n(2)]
    pub seq: Seq,
}

/// Client → server: begin a session, or go on with one.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Attach {
    /// The token of the session to go on with; none for a new one.
    #[n(0)]
    pub token: Option<ByteVec>,
    /// Where the client is in its rooms.
    #[n(1)]
    pub cursors: Vec<Cursor>,
    /// Another `Attach` follows with more cursors.
    #[n(2)]
    pub more: bool,
}

impl std::fmt::Debug for Attach {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let token = if self.token.is_some() { "Token(…)" } else { "new" };
        write!(f, "Attach({token}, {} cursors)", self.cursors.len())
    }
}

/// Server → client: the session is there.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Attached {
    /// The session's id, as the server's log has it.
    #[n(0)]
    pub session: SessionId,
    /// It is the one the token names, not a new one.
    #[n(1)]
    pub resumed: bool,
    /// The token to come back with, if the server keeps sessions.
    #[n(2)]
    pub token: Option<ByteVec>,
    /// Why a token that was given didn't work.
    #[n(3)]
    pub reason: Option<Code>,
    /// Milliseconds for which the session is kept without a connection.
    #[n(4)]
    pub grace_ms: u32,
}

impl std::fmt::Debug for Attached {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Attached({:?}, resumed: {}, reason: {:?})", self.session, self.resumed, self.reason)
    }
}

/// Either side: are you there?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Ping {
    /// Comes back in the `Pong`.
    #[n(0)]
    pub nonce: u64,
}

/// Either side: the answer to a `Ping`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Pong {
    /// The `Ping`'s.
    #[n(0)]
    pub nonce: u64,
}

/// Either side: something was refused.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct ErrorReply {
    /// What, as a stable number.
    #[n(0)]
    pub code: Code,
    /// What happened and what to do, for people.
    #[n(1)]
    pub text: String,
    /// The request that it answers, if it answers one.
    #[n(2)]
    pub request: Option<u32>,
    /// The sender closes the connection after it.
    #[n(3)]
    pub fatal: bool,
    /// Milliseconds after which trying again may help; none if it won't.
    #[n(4)]
    pub retry_after_ms: Option<u32>,
    /// A value that would have worked: a free alias.
    #[n(5)]
    pub suggestion: Option<String>,
}

/// Either side: this connection and its session end now.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Bye {
    /// Why.
    #[n(0)]
    pub code: Code,
    /// Why, for people.
    #[n(1)]
    pub text: String,
    /// Milliseconds after which coming back may help; none if it won't.
    #[n(2)]
    pub retry_after_ms: Option<u32>,
}

/// Receiver of bulk → its sender: so many more bytes may come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Credit {
    /// The class it is for.
    #[n(0)]
    pub class: u8,
    /// Bytes of frames, headers included, on top of what was granted before.
    #[n(1)]
    pub bytes: u64,
}

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

/// What sort of event an entry of a room's log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventKind(pub u8);

impl EventKind {
    /// A text in UTF-8.
    pub const TEXT: EventKind = EventKind(1);
    /// What was here has been removed. Without bytes.
    pub const REMOVED: EventKind = EventKind(2);
}

/// What a publisher sends of one event: a kind and its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body {
    /// What sort of event.
    pub kind: EventKind,
    /// Its bytes; for a text, UTF-8.
    pub bytes: Vec<u8>,
}

impl Body {
    /// The body of a text.
    pub fn text(text: &str) -> Self {
        Self { kind: EventKind::TEXT, bytes: text.as_bytes().to_vec() }
    }
}

impl<C> Encode<C> for Body {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.array(2)?.u8(self.kind.0)?.bytes(&self.bytes)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Body {
    fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        super::event::body(d).map(|(kind, bytes)| Body { kind, bytes: bytes.to_vec() })
    }
}

/// Client → server: append these to the room's log, in this order.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Publish {
    /// The room.
    #[n(0)]
    pub room: RoomId,
    /// The outbox that the numbers belong to.
    #[n(1)]
    pub outbox: OutboxId,
    /// The first body's number; the others count up by one.
    #[n(2)]
    pub n: u64,
    /// The events.
    #[n(3)]
    pub bodies: Vec<Body>,
    /// Only if the room's head is this one.
    #[n(4)]
    pub expected: Option<Seq>,
}

/// Server → client: the server has taken responsibility for these.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Ack {
    /// The room.
    #[n(0)]
    pub room: RoomId,
    /// The publisher's outbox.
    #[n(1)]
    pub outbox: OutboxId,
    /// The first number that is acked.
    #[n(2)]
    pub n: u64,
    /// How many are acked: `n`, `n + 1`, …
    #[n(3)]
    pub count: u32,
    /// The first one's seq, the others count up; 0 for a publish of long ago whose place is no longer kept.
    #[n(4)]
    pub seq: Seq,
    /// Server time of the first one, milliseconds since 1970.
    #[n(5)]
    pub at: i64,
    /// The body that was kept instead, if the application changed it; the range is one then.
    #[n(6)]
    pub replaced: Option<Body>,
}

/// Server → client: this publish was not taken.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Refused {
    /// The room.
    #[n(0)]
    pub room: RoomId,
    /// The publisher's outbox.
    #[n(1)]
    pub outbox: OutboxId,
    /// The number refused.
    #[n(2)]
    pub n: u64,
    /// Why.
    #[n(3)]
    pub code: Code,
    /// Why, for people.
    #[n(4)]
    pub text: String,
    /// The number is used up: don't send it again. Otherwise send it and all that follow it again.
    #[n(5)]
    pub permanent: bool,
    /// Milliseconds to wait before sending again.
    #[n(6)]
    pub retry_after_ms: Option<u32>,
}

/// How an event comes to a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Source {
    /// As it happens, or a little late.
    #[default]
    Live,
    /// Missed while the client was away.
    Replay,
    /// Asked for.
    History,
}

impl Source {
    /// Its number on the wire.
    pub const fn to_u8(self) -> u8 {
        match self {
            Self::Live => 0,
            Self::Replay => 1,
            Self::History => 2,
        }
    }

    /// The source of a number on the wire; one that isn't known reads as history.
    pub const fn from_u8(n: u8) -> Self {
        match n {
            0 => Self::Live,
            1 => Self::Replay,
            _ => Self::History,
        }
    }
}

/// One event inside a [`Deliver`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivered {
    /// What sort of event.
    pub kind: EventKind,
    /// Milliseconds after the frame's `at`.
    pub at_delta: u32,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl<C> Encode<C> for Delivered {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.array(3)?.u8(self.kind.0)?.u32(self.at_delta)?.bytes(&self.bytes)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Delivered {
    fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        super::event::delivered(d).map(|(kind, at_delta, bytes)| Delivered { kind, at_delta, bytes: bytes.to_vec() })
    }
}

/// Server → client: a run of events of one author, with consecutive seqs.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Deliver {
    /// The room.
    #[n(0)]
    pub room: RoomId,
    /// The first event's seq.
    #[n(1)]
    pub seq: Seq,
    /// The author.
    #[n(2)]
    pub principal: PrincipalId,
    /// What sort of principal the author is.
    #[n(3)]
    pub kind: PrincipalKind,
    /// The author's alias at that time.
    #[n(4)]
    pub alias: String,
    /// Server time of the first event, milliseconds since 1970.
    #[n(5)]
    pub at: i64,
    /// The events.
    #[n(6)]
    pub events: Vec<Delivered>,
    /// How they come to this client, see [`Source`]; absent means live.
    #[n(7)]
    pub source: Option<u8>,
    /// The first event's number in the receiver's own outbox, on its own events in replay and history.
    #[n(8)]
    pub own: Option<OwnPublish>,
}

/// A publish id, shown to its owner only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct OwnPublish {
    /// The outbox.
    #[n(0)]
    pub outbox: OutboxId,
    /// The number.
    #[n(1)]
    pub n: u64,
}

/// Why events were left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SkipReason {
    /// They are no longer kept.
    Trimmed,
    /// This client may not read them.
    NotPermitted,
    /// The client's position was not one of this log.
    Reset,
    /// More were missed than the server sends by itself.
    Limit,
    /// A reason that this version doesn't know.
    Other(u8),
}

impl SkipReason {
    /// Its number on the wire.
    pub const fn to_u8(self) -> u8 {
        match self {
            Self::Trimmed => 1,
            Self::NotPermitted => 2,
            Self::Reset => 3,
            Self::Limit => 4,
            Self::Other(n) => n,
        }
    }

    /// The reason of a number on the wire.
    pub const fn from_u8(n: u8) -> Self {
        match n {
            1 => Self::Trimmed,
            2 => Self::NotPermitted,
            3 => Self::Reset,
            4 => Self::Limit,
            n => Self::Other(n),
        }
    }
}

/// Server → client: these events will not come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Skipped {
    /// The room.
    #[n(0)]
    pub room: RoomId,
    /// The first one left out.
    #[n(1)]
    pub from: Seq,
    /// The last one left out.
    #[n(2)]
    pub to: Seq,
    /// Why, see [`SkipReason`].
    #[n(3)]
    pub reason: u8,
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

/// Which part of a room's log a [`History`] asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Place {
    /// The last events before this one.
    Before(Seq),
    /// The first events behind this one.
    After(Seq),
    /// As many before this one as from it on.
    Around(Seq),
    /// The last events older than this time, in milliseconds since 1970.
    BeforeTime(i64),
    /// The first events that are not older than this time.
    AfterTime(i64),
    /// As many on either side of this time.
    AroundTime(i64),
}

impl<C> Encode<C> for Place {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        let (mode, seq, time) = match *self {
            Self::Before(seq) => (0, Some(seq), 0),
            Self::After(seq) => (1, Some(seq), 0),
            Self::Around(seq) => (2, Some(seq), 0),
            Self::BeforeTime(at) => (3, None, at),
            Self::AfterTime(at) => (4, None, at),
            Self::AroundTime(at) => (5, None, at),
        };
        e.array(2)?.u8(mode)?;
        match seq {
            Some(seq) => e.encode(seq)?.ok(),
            None => e.i64(time)?.ok(),
        }
    }
}

impl<'b, C> Decode<'b, C> for Place {
    fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        let at = d.position();
        let len = d.array()?.ok_or_else(|| minicbor::decode::Error::message("a place has two elements").at(at))?;
        if len < 2 {
            return Err(minicbor::decode::Error::message("a place has two elements").at(at));
        }
        let place = match d.u8()? {
            0 => Self::Before(d.decode()?),
            1 => Self::After(d.decode()?),
            2 => Self::Around(d.decode()?),
            3 => Self::BeforeTime(d.i64()?),
            4 => Self::AfterTime(d.i64()?),
            5 => Self::AroundTime(d.i64()?),
            _ => return Err(minicbor::decode::Error::message("not a known place in a log").at(at)),
        };
        (2..len).try_for_each(|_| d.skip())?;
        Ok(place)
    }
}

/// Client → server: send a part of a room's log. It comes as `Deliver`s of source history, in rising order, then a
/// `HistoryEnd`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct History {
    /// Comes back in the answer.
    #[n(0)]
    pub request: u32,
    /// The room.
    #[n(1)]
    pub room: RoomId,
    /// Which part.
    #[n(2)]
    pub place: Place,
    /// How many events at most: 1 to 500.
    #[n(3)]
    pub limit: u32,
}

/// Server → client: that was the part asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct HistoryEnd {
    /// The `History`'s.
    #[n(0)]
    pub request: u32,
    /// The room.
    #[n(1)]
    pub room: RoomId,
    /// There are older events that this client may read.
    #[n(2)]
    pub more_before: bool,
    /// There are newer ones.
    #[n(3)]
    pub more_after: bool,
}

/// Client → server: which texts have all of these words?
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Search {
    /// Comes back in the answer.
    #[n(0)]
    pub request: u32,
    /// The room.
    #[n(1)]
    pub room: RoomId,
    /// Words; one that ends with `*` matches what begins with it.
    #[n(2)]
    pub query: String,
    /// Only events before this one: for the next page.
    #[n(3)]
    pub before: Option<Seq>,
    /// How many at most: 1 to 50.
    #[n(4)]
    pub limit: u32,
}

/// A text that a search found.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Hit {
    /// Its number in the room.
    #[n(0)]
    pub seq: Seq,
    /// The author.
    #[n(1)]
    pub principal: PrincipalId,
    /// What sort of principal.
    #[n(2)]
    pub kind: PrincipalKind,
    /// The author's alias at that time.
    #[n(3)]
    pub alias: String,
    /// Server time, milliseconds since 1970.
    #[n(4)]
    pub at: i64,
    /// The text, or the part of a long one around the first word found, with `…` where it was cut.
    #[n(5)]
    pub snippet: String,
}

/// Server → client: what a search found, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct SearchPage {
    /// The `Search`'s.
    #[n(0)]
    pub request: u32,
    /// The room.
    #[n(1)]
    pub room: RoomId,
    /// The texts.
    #[n(2)]
    pub hits: Vec<Hit>,
    /// There are older ones.
    #[n(3)]
    pub more: bool,
}

/// A member, as others see it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Person {
    /// Who.
    #[n(0)]
    pub principal: PrincipalId,
    /// What sort of principal.
    #[n(1)]
    pub kind: PrincipalKind,
    /// The alias.
    #[n(2)]
    pub alias: String,
    /// The presence version of this change; 0 in a page of members.
    #[n(3)]
    pub version: u64,
}

/// Server → client: who came and went, since version `from`.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Presence {
    /// The room.
    #[n(0)]
    pub room: RoomId,
    /// The version after the changes.
    #[n(1)]
    pub version: u64,
    /// The version before them.
    #[n(2)]
    pub from: u64,
    /// How many members there are now.
    #[n(3)]
    pub count: u32,
    /// Who came.
    #[n(4)]
    pub joined: Vec<Person>,
    /// Who went.
    #[n(5)]
    pub left: Vec<Person>,
    /// The lists are left out: ask for the members if they matter.
    #[n(6)]
    pub partial: bool,
}

/// Client → server: who is in the room?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Members {
    /// Comes back in the answer.
    #[n(0)]
    pub request: u32,
    /// The room.
    #[n(1)]
    pub room: RoomId,
    /// Those whose ids come after this one; none for the first page.
    #[n(2)]
    pub after: Option<PrincipalId>,
    /// How many at most; the server may send fewer.
    #[n(3)]
    pub limit: u32,
}

/// Server → client: a page of members, in the order of their ids.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct MembersPage {
    /// The `Members`'s.
    #[n(0)]
    pub request: u32,
    /// The room.
    #[n(1)]
    pub room: RoomId,
    /// The presence version of this page.
    #[n(2)]
    pub version: u64,
    /// The members.
    #[n(3)]
    pub members: Vec<Person>,
    /// There are more behind the last one.
    #[n(4)]
    pub more: bool,
}

/// Server → client: the application has something to say to everybody; it is in no log.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Notice {
    /// The text.
    #[n(0)]
    pub text: String,
    /// Server time, milliseconds since 1970.
    #[n(1)]
    pub at: i64,
}
