//! A room's past: pages of its log, searches, and what was said last before one came.

use std::time::Instant;

use super::event::{Author, ChatMessage, RoomChanged};
use super::reading::{self, Read};
use super::requests::{Answer, Waiting};
use super::rooms::Flow;
use super::state::State;
use crate::id::{RoomId, RoomName, Seq, Timestamp};
use crate::protocol::message::{Deliver, EventKind, HistoryEnd, Hold, Joined, Place, SearchPage as WirePage, Source};
use crate::protocol::{self, DecodeError};

/// A part of a room's log, oldest first.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HistoryPage {
    /// The events.
    pub messages: Vec<HistoryItem>,
    /// There are older ones.
    pub more_before: bool,
    /// There are newer ones.
    pub more_after: bool,
}

/// An event in a room's past.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum HistoryItem {
    /// A text; this client's own among them.
    Message(ChatMessage),
    /// A change in the room.
    Changed(RoomChanged),
    /// An event of a kind that this version can't read, or whose text was removed.
    Unsupported {
        /// Where.
        room: RoomName,
        /// Its number there.
        seq: Seq,
        /// Who.
        from: Author,
        /// What kind.
        kind: EventKind,
        /// The server's time.
        at: Timestamp,
    },
}

impl HistoryItem {
    /// Its number in the room.
    pub fn seq(&self) -> Seq {
        match self {
            Self::Message(message) => message.seq,
            Self::Changed(changed) => changed.seq,
            Self::Unsupported { seq, .. } => *seq,
        }
    }
}

impl From<Read> for HistoryItem {
    fn from(read: Read) -> Self {
        match read {
            Read::Message(message) => Self::Message(message),
            Read::Changed(changed) => Self::Changed(changed),
            Read::Unsupported { room, seq, from, kind, at } => Self::Unsupported { room, seq, from, kind, at },
        }
    }
}

impl From<HistoryItem> for super::Event {
    fn from(item: HistoryItem) -> Self {
        match item {
            HistoryItem::Message(message) => Self::Message(message),
            HistoryItem::Changed(changed) => Self::RoomChanged(changed),
            HistoryItem::Unsupported { room, seq, from, kind, at } => Self::Unsupported { room, seq, from, kind, at },
        }
    }
}

/// What a search found, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SearchPage {
    /// The texts.
    pub hits: Vec<SearchHit>,
    /// There are older ones: search before the last hit.
    pub more: bool,
}

/// A text that a search found.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SearchHit {
    /// Its number in the room.
    pub seq: Seq,
    /// Who.
    pub from: Author,
    /// The server's time.
    pub at: Timestamp,
    /// The text, or the part of a long one around the first word found, with `…` where it was cut.
    pub snippet: String,
}

/// Who reads a part of a log.
#[derive(Debug)]
pub(super) enum Reader {
    Caller(Answer<HistoryPage>),
    /// The application, before what is live: it has just come into the room.
    Joining,
}

impl State {
    /// Before a room's live events come, ask for what was said last, if that is wanted. What comes live meanwhile is
    /// dropped, and fetched afterwards.
    pub(super) fn look_back(&mut self, joined: &Joined) {
        let limit = self.settings.history_on_join.min(500);
        let Some(room) = self.rooms.get_mut(&joined.room).filter(|_| limit > 0 && joined.head > Seq::ZERO) else {
            return;
        };
        room.flow = Flow::Opening;
        self.send(&Hold { room: joined.room });
        let (place, got, reader) = (Place::Before(joined.head.next()), Vec::new(), Reader::Joining);
        self.ask(Waiting::History { room: joined.room, place, limit, got, reader });
    }

    /// Events of the past came: they belong to the request that was asked first.
    pub(super) fn history_came(&mut self, deliver: Deliver) {
        let (Some(lineage), Some(request)) = (self.lineage, self.conn.bulk.front()) else { return };
        let Some(Waiting::History { room, limit, got, .. }) = self.waiting.get_mut(request) else { return };
        let Some(state) = self.rooms.get(room).filter(|_| *room == deliver.room) else { return };
        let left = (*limit as usize).saturating_sub(got.len());
        let events = reading::read(deliver, &state.slot.name, Source::History, lineage, self.principal);
        got.extend(events.take(left).map(HistoryItem::from));
    }

    /// A request whose answer is bulk is answered, or refused.
    pub(super) fn bulk_answered(&mut self, request: u32) {
        self.conn.bulk.retain(|waiting| *waiting != request);
    }

    /// What was said last is there, or can't be had: go on with what is live.
    pub(super) fn opened(&mut self, room: RoomId, got: Vec<HistoryItem>) {
        got.into_iter().for_each(|item| self.events.push(item.into()));
        if let Some(room) = self.rooms.get_mut(&room).filter(|room| room.flow == Flow::Opening) {
            room.flow = Flow::Held;
        }
    }
}

pub(super) fn history_end(state: &mut State, body: &[u8], _: Instant) -> Result<(), DecodeError> {
    let HistoryEnd { request, more_before, more_after, .. } = protocol::decode(body)?;
    state.bulk_answered(request);
    match state.waiting.remove(&request) {
        Some(Waiting::History { room, got, reader: Reader::Joining, .. }) => state.opened(room, got),
        Some(Waiting::History { got: messages, reader: Reader::Caller(answer), .. }) => {
            let _ = answer.send(Ok(HistoryPage { messages, more_before, more_after }));
        }
        Some(other) => drop(state.waiting.insert(request, other)),
        None => {}
    }
    Ok(())
}

pub(super) fn search_page(state: &mut State, body: &[u8], _: Instant) -> Result<(), DecodeError> {
    let page: WirePage = protocol::decode(body)?;
    state.bulk_answered(page.request);
    match state.waiting.remove(&page.request) {
        Some(Waiting::Search { answer, .. }) => {
            let hits = page.hits.into_iter().map(|hit| SearchHit {
                seq: hit.seq,
                from: Author { principal: hit.principal, kind: hit.kind, alias: hit.alias },
                at: Timestamp::from_millis(hit.at),
                snippet: hit.snippet,
            });
            let _ = answer.send(Ok(SearchPage { hits: hits.collect(), more: page.more }));
        }
        Some(other) => drop(state.waiting.insert(page.request, other)),
        None => {}
    }
    Ok(())
}
