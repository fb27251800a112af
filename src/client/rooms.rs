//! The rooms that a client is in, and what comes there.

use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;

use super::about::Known;
use super::event::{Author, CloseReason, Event};
use super::reads::{self, Typists};
use super::requests::Waiting;
use super::state::State;
use crate::id::{Lineage, RoomId, RoomName, Seq};
use crate::protocol::message::{AwayChange, Hold, Joined, Left, Person, Presence, Seek, SkipReason};
use crate::protocol::{self, Code, DecodeError};
use crate::session::cursor::Cursor;
use crate::session::unread::Unread;

/// A room's identity for those who hold it: it may get another id on the way, when its session or its server begins
/// anew.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) name: RoomName,
    id: Mutex<RoomId>,
}

impl Slot {
    pub(super) fn new(name: RoomName, id: RoomId) -> Arc<Self> {
        Arc::new(Self { name, id: Mutex::new(id) })
    }

    pub(super) fn id(&self) -> RoomId {
        *self.id.lock()
    }
}

/// A room that this client is in.
#[derive(Debug)]
pub(super) struct RoomState {
    pub(super) slot: Arc<Slot>,
    pub(super) standing: Standing,
    pub(super) cursor: Cursor,
    /// The store's life that the cursor belongs to; none if there is no place to go on from.
    pub(super) lineage: Option<Lineage>,
    pub(super) flow: Flow,
    /// The last version of its presence that is known.
    pub(super) presence: u64,
    /// Away: when to ask again.
    pub(super) retry: Option<Instant>,
    pub(super) unread: Unread,
    /// The last event that the server was told to be read.
    pub(super) told: Seq,
    pub(super) typists: Typists,
    pub(super) known: Known,
}

/// Whether the server knows that this client is in a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    In,
    /// The session goes on, and the server hasn't named the room yet.
    Unnamed,
    /// The session doesn't go on: the room has to be joined again.
    Away,
}

/// Whether a room's events flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    Live,
    /// The server was asked to wait: what was said before the joining comes first.
    Opening,
    /// The server was asked to wait: the application doesn't keep up.
    Held,
    /// It was asked to go on; what comes before its answer is old.
    Seeking,
}

impl RoomState {
    /// A room of which nothing is known but its place.
    pub(super) fn new(slot: Arc<Slot>, standing: Standing, cursor: Cursor, lineage: Option<Lineage>) -> Self {
        let unread = Unread::new(cursor.seen(), cursor.seen());
        let (flow, presence, retry, told) = (Flow::Live, 0, None, cursor.seen());
        let (typists, known) = (Typists::default(), Known::default());
        Self { slot, standing, cursor, lineage, flow, presence, retry, unread, told, typists, known }
    }
}

impl Flow {
    /// The server was asked to send nothing.
    pub(super) fn is_stopped(self) -> bool {
        matches!(self, Self::Opening | Self::Held)
    }
}

impl State {
    /// A room was entered, or entered again, or it was said again. None if its name is none.
    pub(super) fn entered(&mut self, joined: &Joined) -> Option<Arc<Slot>> {
        let Ok(name) = RoomName::parse(&joined.name) else {
            self.conn.end(CloseReason::Protocol("it named a room with a name that isn't one".into()));
            return None;
        };
        let known = self.rooms.get(&joined.room).map(|room| (joined.room, room.standing));
        let same_name = || {
            let mut away = self.rooms.iter().filter(|(_, room)| room.standing == Standing::Away);
            away.find(|(_, room)| room.slot.name == name).map(|(id, room)| (*id, room.standing))
        };
        match known.or_else(same_name) {
            Some((_, Standing::In)) => {}
            Some((_, Standing::Unnamed)) => self.named(joined),
            Some((old, Standing::Away)) => self.entered_again(old, joined),
            None => {
                let slot = Slot::new(name, joined.room);
                let (standing, cursor) = (Standing::In, Cursor::new(joined.head));
                let unread = reads::measure(joined);
                let (told, presence) = (unread.read(), joined.presence);
                let room = RoomState::new(slot, standing, cursor, self.lineage);
                self.rooms.insert(joined.room, RoomState { unread, told, presence, ..room });
                self.begin_reading(joined);
            }
        }
        let room = self.rooms.get_mut(&joined.room)?;
        room.known = Known::of(joined);
        Some(Arc::clone(&room.slot))
    }

    /// Tell that a room is entered; what is behind `head` comes.
    fn tell_joined(&mut self, joined: &Joined, head: Seq) {
        let Some(room) = self.rooms.get(&joined.room) else { return };
        let (room, id, members) = (room.slot.name.clone(), joined.room, joined.count);
        self.events.push(Event::Joined { room, id, head, members });
    }

    /// Where to read from in a room that is new here: a place of an earlier life, or what was said last.
    fn begin_reading(&mut self, joined: &Joined) {
        let Some(lineage) = self.lineage else { return };
        // An account's room may begin with what was missed: `head` is where that begins.
        let latest = joined.latest.unwrap_or(joined.head);
        let stored = self.settings.cursors.iter().position(|c| c.room == joined.room);
        match stored.map(|i| self.settings.cursors.swap_remove(i)) {
            Some(place) if place.lineage == lineage && place.seq <= latest => {
                self.tell_joined(joined, place.seq);
                self.seek(joined.room, place.seq);
            }
            // Of a place of another life it can't be said which room it was in.
            None if self.settings.cursors.iter().all(|place| place.lineage == lineage) => {
                self.tell_joined(joined, joined.head);
                self.look_back(joined);
            }
            _ => {
                self.tell_joined(joined, joined.head);
                self.tell_reset(joined.room, latest);
                self.look_back(joined);
            }
        }
    }

    /// Go on in a room behind this event.
    fn seek(&mut self, id: RoomId, after: Seq) {
        let Some(room) = self.rooms.get_mut(&id) else { return };
        if after < room.cursor.seen() {
            room.cursor = Cursor::new(after);
            room.flow = Flow::Seeking;
            self.send(&Seek { room: id, after });
        } else {
            // What comes up to there is known.
            room.cursor.skip(after);
        }
    }

    fn tell_reset(&mut self, room: RoomId, head: Seq) {
        let Some(room) = self.rooms.get(&room).filter(|_| head > Seq::ZERO) else { return };
        let (room, from, reason) = (room.slot.name.clone(), Seq::new(1), SkipReason::Reset);
        self.events.push(Event::Gap { room, from, to: head, reason });
    }

    /// A room of a lost session is joined again. It goes on where it was if it is the same one.
    fn entered_again(&mut self, old: RoomId, joined: &Joined) {
        let Some(mut room) = self.rooms.remove(&old) else { return };
        let seen = room.cursor.seen();
        let latest = joined.latest.unwrap_or(joined.head);
        let fits = old == joined.room && room.lineage == self.lineage && seen <= latest;
        let placed = room.lineage.is_some();
        *room.slot.id.lock() = joined.room;
        room.standing = Standing::In;
        room.presence = joined.presence;
        room.lineage = self.lineage;
        room.cursor = Cursor::new(joined.head);
        room.flow = Flow::Live;
        if fits {
            room.measured(joined);
        } else {
            room.unread = reads::measure(joined);
            room.told = room.unread.read();
        }
        self.rooms.insert(joined.room, room);
        // It may have been asked for besides, under a name that a direct doesn't have any more.
        self.waiting.retain(|_, waiting| !matches!(waiting, Waiting::Rejoin { room } if *room == old));
        self.outbox.move_room(old, joined.room);
        self.rewrite_journal();
        match (fits, placed) {
            (true, _) => {
                self.tell_joined(joined, seen);
                self.seek(joined.room, seen);
            }
            (false, true) => {
                self.tell_joined(joined, joined.head);
                self.tell_reset(joined.room, latest);
                self.look_back(joined);
            }
            (false, false) => self.begin_reading(joined),
        }
        self.ask_about(old, joined.room);
    }

    /// The server names a room of the session that goes on.
    fn named(&mut self, joined: &Joined) {
        let Some(room) = self.rooms.get_mut(&joined.room) else { return };
        room.standing = Standing::In;
        if room.lineage != self.lineage {
            // That the place doesn't fit is told by the `Skipped` behind this.
            room.cursor = Cursor::new(joined.head);
            room.lineage = self.lineage;
            room.unread = reads::measure(joined);
        }
        room.measured(joined);
        let latest = joined.latest.unwrap_or(joined.head);
        self.conn.replayed += latest.get().saturating_sub(joined.head.get());
        let changed = room.presence != joined.presence;
        room.presence = joined.presence;
        let (name, members, stopped) = (room.slot.name.clone(), joined.count, room.flow.is_stopped());
        if !stopped {
            room.flow = Flow::Live;
        }
        if stopped {
            self.send(&Hold { room: joined.room });
        }
        self.ask_about(joined.room, joined.room);
        self.tell_resumed();
        if changed {
            self.events.push_lossy(Event::MembersChanged { room: name, members });
        }
    }

    /// The server says nothing of some rooms of the session: join them again.
    pub(super) fn stop_waiting_for_rooms(&mut self) {
        let mut silent = Vec::new();
        for (id, room) in self.rooms.iter_mut().filter(|(_, room)| room.standing == Standing::Unnamed) {
            room.standing = Standing::Away;
            silent.push(*id);
        }
        silent.into_iter().for_each(|room| self.rejoin(room));
        self.tell_resumed();
    }

    /// Tell that the session goes on, once it is known in which rooms and with how much.
    pub(super) fn tell_resumed(&mut self) {
        if self.conn.untold && self.rooms.values().all(|room| room.standing != Standing::Unnamed) {
            self.conn.untold = false;
            self.events.push(Event::Resumed { replayed: self.conn.replayed });
        }
    }

    /// The client isn't in a room any more.
    pub(super) fn exited(&mut self, room: RoomId, code: Code, text: String) {
        let Some(state) = self.rooms.remove(&room) else { return };
        let lost = self.outbox.drop_room(room);
        let name = state.slot.name.clone();
        self.journal_decided(room);
        self.refuse(&name, lost, Code::NOT_A_MEMBER, "you left the room before this was stored");
        self.answer_about(room);
        self.events.push(Event::Left { room: name, code, text });
    }

    /// Let held rooms go on once the application has caught up.
    pub(super) fn flow(&mut self) {
        if !self.events.is_drained() {
            return;
        }
        for (&room, state) in &mut self.rooms {
            if state.flow == Flow::Held && state.standing == Standing::In {
                state.flow = Flow::Seeking;
                protocol::encode(&Seek { room, after: state.cursor.seen() }, &mut self.out);
            }
        }
    }

    pub(super) fn wants_flow(&self) -> bool {
        self.events.is_drained() && self.rooms.values().any(|room| room.flow == Flow::Held)
    }

    /// Stop a room's events for now.
    pub(super) fn hold(&mut self, room: RoomId) {
        let Some(state) = self.rooms.get_mut(&room) else { return };
        if state.flow == Flow::Live {
            self.events.push(Event::Overloaded { room: state.slot.name.clone() });
        }
        if !state.flow.is_stopped() {
            state.flow = Flow::Held;
            self.send(&Hold { room });
        }
    }
}

pub(super) fn joined(state: &mut State, body: &[u8], _: Instant) -> Result<(), DecodeError> {
    let joined: Joined = protocol::decode(body)?;
    let waiting = state.waiting.remove(&joined.request);
    match waiting {
        Some(Waiting::First { .. }) => {
            let first = RoomName::parse(&joined.name).ok();
            if !state.begun {
                state.begin(first);
            }
            if let Some(slot) = state.entered(&joined) {
                state.first_room = Some(slot);
                state.ready(Ok(()));
            }
        }
        Some(Waiting::Join { answer, .. }) => {
            if let Some(slot) = state.entered(&joined) {
                let _ = answer.send(Ok(slot));
            }
        }
        Some(Waiting::Rejoin { .. }) => drop(state.entered(&joined)),
        Some(other) => drop(state.waiting.insert(joined.request, other)),
        None if joined.request == 0 => {
            if !state.begun {
                state.begin_early();
            }
            state.entered(&joined);
        }
        None => {}
    }
    Ok(())
}

pub(super) fn left(state: &mut State, body: &[u8], _: Instant) -> Result<(), DecodeError> {
    let left: Left = protocol::decode(body)?;
    let asked = state.waiting.remove(&left.request);
    let unnamed = state.rooms.get_mut(&left.room).filter(|room| room.standing == Standing::Unnamed);
    match unnamed {
        // The server lost the membership, not the client: a crash between the joining and its being stored.
        Some(room) if left.code == Code::NOT_A_MEMBER => {
            room.standing = Standing::Away;
            state.rejoin(left.room);
        }
        _ => state.exited(left.room, left.code, left.text),
    }
    state.tell_resumed();
    if let Some(Waiting::Leave { answer, .. }) = asked {
        let _ = answer.send(Ok(()));
    }
    Ok(())
}

pub(super) fn presence(state: &mut State, body: &[u8], _: Instant) -> Result<(), DecodeError> {
    let presence: Presence = protocol::decode(body)?;
    let full = state.events.is_full();
    let Some(room) = state.rooms.get_mut(&presence.room) else { return Ok(()) };
    let known = room.presence;
    if presence.version <= known && !presence.partial {
        return Ok(());
    }
    room.presence = room.presence.max(presence.version);
    let name = room.slot.name.clone();
    if presence.partial || presence.from > known || full {
        state.events.push_lossy(Event::MembersChanged { room: name, members: presence.count });
        return Ok(());
    }
    let author = |person: Person| Author { principal: person.principal, kind: person.kind, alias: person.alias };
    let room = || name.clone();
    let mut changes: Vec<(u64, Event)> = Vec::new();
    let came = |person: Person| (person.version, Event::MemberJoined { room: room(), who: author(person) });
    changes.extend(presence.joined.into_iter().map(came));
    let went = |person: Person| (person.version, Event::MemberLeft { room: room(), who: author(person) });
    changes.extend(presence.left.into_iter().map(went));
    let away = |AwayChange { principal, kind, alias, version, text }| {
        (version, Event::MemberAway { room: room(), who: Author { principal, kind, alias }, text })
    };
    changes.extend(presence.away.into_iter().flatten().map(away));
    changes.retain(|(version, _)| *version > known);
    changes.sort_by_key(|(version, _)| *version);
    for (_, event) in changes {
        if let Event::MemberLeft { who, .. } = &event {
            state.stopped_typing(presence.room, who.principal);
        }
        state.events.push(event);
    }
    Ok(())
}
