//! The events of a room, as they come.

use std::time::Instant;

use super::event::{Author, ChatMessage, Cursor as Place, Event, RoomChanged};
use super::rooms::Flow;
use super::state::State;
use crate::id::{Lineage, PrincipalId, RoomName, Seq, Timestamp};
use crate::protocol::message::{Deliver, EventKind, RoomChange, SkipReason, Skipped, Source};
use crate::protocol::{self, DecodeError};
use crate::session::cursor::{Cursor, Delivery};

pub(super) fn deliver(state: &mut State, body: &[u8], _: Instant) -> Result<(), DecodeError> {
    let deliver: Deliver = protocol::decode(body)?;
    let Some(lineage) = state.lineage else { return Ok(()) };
    let source = Source::from_u8(deliver.source.unwrap_or(0));
    if source == Source::History {
        state.history_came(deliver);
        return Ok(());
    }
    let full = state.events.is_full();
    state.measure(&deliver);
    let Some(room) = state.rooms.get_mut(&deliver.room) else { return Ok(()) };
    if full || room.flow.is_stopped() {
        state.hold(deliver.room);
        return Ok(());
    }
    let count = deliver.events.len() as u64;
    // What was acked is told. It comes as somebody else's if this client was somebody else when it was stored.
    let told = room.cursor.acked_in(deliver.seq, count);
    let mut delivery = room.cursor.deliver(deliver.seq, count);
    if let Delivery::Hole { from, to } = delivery {
        if room.flow == Flow::Seeking {
            // Sent before the server knew where to go on: it comes again.
            return Ok(());
        }
        let name = room.slot.name.clone();
        room.cursor.skip(to);
        state.events.push(Event::Gap { room: name, from, to, reason: SkipReason::Other(0) });
        let Some(room) = state.rooms.get_mut(&deliver.room) else { return Ok(()) };
        delivery = room.cursor.deliver(deliver.seq, count);
    }
    let Some(room) = state.rooms.get_mut(&deliver.room) else { return Ok(()) };
    let Delivery::New { from } = delivery else { return Ok(()) };
    room.flow = Flow::Live;
    state.conn.brought = true;
    let name = room.slot.name.clone();
    if let Some(own) = deliver.own.filter(|own| own.outbox == state.outbox.id()) {
        state.own_came(&deliver, own.n);
        return Ok(());
    }
    if deliver.events.iter().any(|event| event.kind == EventKind::TEXT) {
        state.stopped_typing(deliver.room, deliver.principal);
    }
    let (id, me) = (deliver.room, state.principal);
    for event in read(deliver, &name, source, lineage, me) {
        let seq = event.seq();
        if let (Read::Changed(changed), Some(room)) = (&event, state.rooms.get_mut(&id).filter(|_| seq >= from)) {
            room.known.changed(changed, me);
        }
        if seq >= from && !told.iter().any(|(first, end)| (*first..*end).contains(&seq.get())) {
            state.events.push(event.into());
        }
    }
    Ok(())
}

impl State {
    /// What of it is to be read.
    fn measure(&mut self, deliver: &Deliver) {
        let own = Some(deliver.principal) == self.principal;
        let Some(room) = self.rooms.get_mut(&deliver.room) else { return };
        for (event, seq) in deliver.events.iter().zip(deliver.seq.get()..) {
            if event.kind == EventKind::DELETION
                && let Ok(change) = minicbor::decode::<RoomChange>(&event.bytes)
                && let Some(gone) = change.seq()
            {
                room.unread.hush(gone.min(Seq::new(seq)));
            }
            if own || event.kind.is_change() || event.kind == EventKind::REMOVED {
                room.unread.hush(Seq::new(seq));
            } else {
                room.unread.reaches(Seq::new(seq));
            }
        }
    }
}

/// An event of a room, readable or not.
pub(super) enum Read {
    Message(ChatMessage),
    Changed(RoomChanged),
    Unsupported { room: RoomName, seq: Seq, from: Author, kind: EventKind, at: Timestamp },
}

impl Read {
    fn seq(&self) -> Seq {
        match self {
            Self::Message(message) => message.seq,
            Self::Changed(changed) => changed.seq,
            Self::Unsupported { seq, .. } => *seq,
        }
    }
}

impl From<Read> for Event {
    fn from(read: Read) -> Self {
        match read {
            Read::Message(message) => Self::Message(message),
            Read::Changed(changed) => Self::RoomChanged(changed),
            Read::Unsupported { room, seq, from, kind, at } => Self::Unsupported { room, seq, from, kind, at },
        }
    }
}

/// The events that a `Deliver` brings.
pub(super) fn read(
    deliver: Deliver,
    name: &RoomName,
    source: Source,
    lineage: Lineage,
    me: Option<PrincipalId>,
) -> impl Iterator<Item = Read> {
    let own = Some(deliver.principal) == me;
    let author = Author { principal: deliver.principal, kind: deliver.kind, alias: deliver.alias };
    let (first, id, began, name) = (deliver.seq.get(), deliver.room, deliver.at, name.clone());
    deliver.events.into_iter().zip(first..).map(move |(event, seq)| {
        let seq = Seq::new(seq);
        let at = Timestamp::from_millis(began.saturating_add(i64::from(event.at_delta)));
        let (room, from) = (name.clone(), author.clone());
        let cursor = Place { lineage, room: id, seq };
        if event.kind.is_change()
            && let Ok(change) = minicbor::decode::<RoomChange>(&event.bytes)
        {
            let (by, kind) = (from, event.kind);
            return Read::Changed(RoomChanged { room, seq, by, kind, change, at, source, cursor });
        }
        let text = if event.kind == EventKind::TEXT { String::from_utf8(event.bytes).ok() } else { None };
        match text {
            Some(text) => Read::Message(ChatMessage { room, seq, from, text, at, source, own, cursor }),
            None => Read::Unsupported { room, seq, from, kind: event.kind, at },
        }
    })
}

pub(super) fn skipped(state: &mut State, body: &[u8], _: Instant) -> Result<(), DecodeError> {
    let skipped: Skipped = protocol::decode(body)?;
    let reason = SkipReason::from_u8(skipped.reason);
    let Some(room) = state.rooms.get_mut(&skipped.room) else { return Ok(()) };
    let name = room.slot.name.clone();
    room.unread.reaches(skipped.to);
    if reason == SkipReason::Reset {
        // The place was none of this log: what was seen means nothing here.
        room.cursor = Cursor::new(skipped.to);
        if skipped.from <= skipped.to {
            state.events.push(Event::Gap { room: name, from: skipped.from, to: skipped.to, reason });
        }
        return Ok(());
    }
    if room.flow.is_stopped() || skipped.to <= room.cursor.seen() {
        return Ok(());
    }
    let from = skipped.from.max(room.cursor.seen().next());
    room.cursor.skip(skipped.to);
    room.flow = Flow::Live;
    // A direct has nothing of the kind that changes, and its name may be another one by now.
    let asks = room.known.misses(skipped.to) && !name.as_str().starts_with('@');
    state.events.push(Event::Gap { room: name, from, to: skipped.to, reason });
    if asks {
        // Joining a room that one is in answers with how it is.
        state.rejoin(skipped.room);
    }
    Ok(())
}
