//! Events: how they get into a room's log, and how they come out of it.

use minicbor::{Decode, Encode};

use super::connection::PrincipalKind;
use crate::id::{OutboxId, PrincipalId, RoomId, Seq};
use crate::protocol::code::Code;
use crate::protocol::event;

/// What sort of event an entry of a room's log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventKind(pub u8);

impl EventKind {
    /// A text in UTF-8.
    pub const TEXT: EventKind = EventKind(1);
    /// What was here has been removed. Without bytes.
    pub const REMOVED: EventKind = EventKind(2);
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
        event::body(d).map(|(kind, bytes)| Body { kind, bytes: bytes.to_vec() })
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
        event::delivered(d).map(|(kind, at_delta, bytes)| Delivered { kind, at_delta, bytes: bytes.to_vec() })
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
