//! The two messages of the hot path without intermediate copies: a `Publish` read in place, a `Deliver` written
//! straight into the buffer that members are sent.

use minicbor::decode::{Decoder, Error as DecodeError};
use minicbor::encode::Encoder;

use super::MAX_ITEMS;
use super::frame::{Class, HEADER_LEN, Header};
use super::message::{EventKind, Kind, OwnPublish, PrincipalKind, Source};
use crate::id::{OutboxId, PrincipalId, RoomId, Seq};

/// A `Publish` whose bodies still lie in the read buffer.
#[derive(Debug)]
pub struct PublishRef<'b> {
    /// The room.
    pub room: RoomId,
    /// The publisher's outbox.
    pub outbox: OutboxId,
    /// The first body's number.
    pub n: u64,
    /// Only if the room's head is this one.
    pub expected: Option<Seq>,
    count: u64,
    bodies: Decoder<'b>,
}

impl<'b> PublishRef<'b> {
    /// Read a `Publish`'s body; all of it is checked, so that [`bodies`](Self::bodies) can't fail later.
    ///
    /// # Errors
    ///
    /// The bytes are not a `Publish`.
    pub fn decode(body: &'b [u8]) -> Result<Self, DecodeError> {
        let mut d = Decoder::new(body);
        let len = definite(d.array()?)?;
        if len < 4 {
            return Err(DecodeError::message("a Publish has four elements"));
        }
        let room = d.decode()?;
        let outbox = d.decode()?;
        let n = d.u64()?;
        let count = definite(d.array()?)?;
        if count > MAX_ITEMS as u64 {
            return Err(DecodeError::message(format!("a Publish has at most {MAX_ITEMS} bodies")));
        }
        let bodies = d.clone();
        for _ in 0..count {
            self::body(&mut d)?;
        }
        let expected = if len > 4 { d.decode()? } else { None };
        (5..len).try_for_each(|_| d.skip())?;
        Ok(Self { room, outbox, n, expected, count, bodies })
    }

    /// How many bodies there are.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The bodies, in order.
    pub fn bodies(&self) -> impl Iterator<Item = (EventKind, &'b [u8])> + Clone + use<'b> {
        let mut d = self.bodies.clone();
        (0..self.count).map_while(move |_| body(&mut d).ok())
    }
}

/// What a `Deliver` says once for all its events.
#[derive(Debug, Clone, Copy)]
pub struct DeliverHead<'a> {
    /// The room.
    pub room: RoomId,
    /// The first event's seq.
    pub seq: Seq,
    /// The author.
    pub principal: PrincipalId,
    /// What sort of principal the author is.
    pub kind: PrincipalKind,
    /// The author's alias at that time.
    pub alias: &'a str,
    /// Server time of the first event, milliseconds since 1970.
    pub at: i64,
    /// How the events come to the reader.
    pub source: Source,
    /// The first event's publish id, for its owner.
    pub own: Option<OwnPublish>,
}

/// Append a whole `Deliver` frame to `out`: `events` are kind, milliseconds after `head.at`, bytes.
pub fn encode_deliver<'a>(
    head: &DeliverHead<'_>,
    events: impl ExactSizeIterator<Item = (EventKind, u32, &'a [u8])>,
    out: &mut Vec<u8>,
) {
    let start = out.len();
    out.extend_from_slice(&[0; HEADER_LEN]);
    let extra = match (head.source, head.own) {
        (_, Some(_)) => 2,
        (Source::Live, None) => 0,
        (_, None) => 1,
    };
    let mut e = Encoder::new(&mut *out);
    let written = (|| {
        e.array(7 + extra)?.encode(head.room)?.encode(head.seq)?.encode(head.principal)?.encode(head.kind)?;
        e.str(head.alias)?.i64(head.at)?.array(events.len() as u64)?;
        for (kind, at_delta, bytes) in events {
            e.array(3)?.u8(kind.0)?.u32(at_delta)?.bytes(bytes)?;
        }
        if extra > 0 {
            e.u8(head.source.to_u8())?;
        }
        if let Some(own) = head.own {
            e.encode(own)?;
        }
        Ok::<(), minicbor::encode::Error<std::convert::Infallible>>(())
    })();
    debug_assert!(written.is_ok(), "writing to memory can't fail");
    let class = if head.source == Source::Live { Class::LIVE } else { Class::BULK };
    finish(out, start, Kind::Deliver, class);
}

/// Fill in the header of a frame whose body was appended behind `start + HEADER_LEN`.
pub(super) fn finish(out: &mut [u8], start: usize, kind: Kind, class: Class) {
    let length = (out.len() - start - HEADER_LEN) as u32;
    out[start..start + HEADER_LEN].copy_from_slice(&Header { length, kind: kind.0, class, flags: 0 }.to_bytes());
}

/// Read one body of a `Publish`.
pub(super) fn body<'b>(d: &mut Decoder<'b>) -> Result<(EventKind, &'b [u8]), DecodeError> {
    let len = definite(d.array()?)?;
    if len < 2 {
        return Err(DecodeError::message("an event has a kind and bytes"));
    }
    let kind = EventKind(d.u8()?);
    let bytes = d.bytes()?;
    (2..len).try_for_each(|_| d.skip())?;
    Ok((kind, bytes))
}

/// Read one event of a `Deliver`.
pub(super) fn delivered<'b>(d: &mut Decoder<'b>) -> Result<(EventKind, u32, &'b [u8]), DecodeError> {
    let len = definite(d.array()?)?;
    if len < 3 {
        return Err(DecodeError::message("a delivered event has a kind, a time and bytes"));
    }
    let kind = EventKind(d.u8()?);
    let at_delta = d.u32()?;
    let bytes = d.bytes()?;
    (3..len).try_for_each(|_| d.skip())?;
    Ok((kind, at_delta, bytes))
}

/// Arrays of open length could hide how much is to come; the protocol has none.
fn definite(len: Option<u64>) -> Result<u64, DecodeError> {
    len.ok_or_else(|| DecodeError::message("arrays of indefinite length are not used"))
}
