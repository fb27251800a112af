//! Reading a room's log backwards, and searching in it.

use minicbor::{Decode, Encode};

use super::connection::PrincipalKind;
use crate::id::{PrincipalId, RoomId, Seq};

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
