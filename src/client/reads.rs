//! How much of its rooms a client has read, and who is writing something there.

use std::time::{Duration, Instant};

use super::Room;
use super::event::{Author, Event};
use super::rooms::{RoomState, Standing};
use super::state::State;
use crate::id::{PrincipalId, RoomId, Seq};
use crate::protocol::message::{Joined, Person, Read, RoomProgress, Types, Typing};
use crate::protocol::{self, DecodeError};
use crate::session::unread::Unread;

/// Somebody who writes on says so again after this time.
const TYPING_AGAIN: Duration = Duration::from_secs(3);

/// Somebody of whom nothing is heard for this time has stopped.
const TYPING_HOLDS: Duration = Duration::from_secs(6);

/// Of so many people it is known at once that they are writing; the server tells it in small rooms only.
const MAX_TYPISTS: usize = 100;

/// Who is writing something in a room.
#[derive(Debug, Default)]
pub(super) struct Typists {
    others: Vec<(Author, Instant)>,
    /// When this client said last that it is writing.
    told: Option<Instant>,
}

/// Reading, and writing.
impl Room {
    /// How many messages of others are unread here: those behind the last one that was read, on whatever device of this
    /// account. Changes in the room don't count. What was missed and hasn't come yet counts as if it were messages.
    ///
    /// Read is what the application has taken, or, with
    /// [`mark_read_by_hand`](crate::ClientBuilder::mark_read_by_hand), what it has marked.
    pub fn unread(&self) -> u64 {
        self.reading(|unread| unread.count()).unwrap_or(0)
    }

    /// The last event that was read here, on whatever device of this account; none if this client isn't in the room any
    /// more.
    pub fn read(&self) -> Option<Seq> {
        self.reading(Unread::read)
    }

    /// The last event that is known to be in the room; none if this client isn't in the room any more.
    pub fn head(&self) -> Option<Seq> {
        self.reading(Unread::head)
    }

    fn reading<T>(&self, f: impl FnOnce(&Unread) -> T) -> Option<T> {
        let mut state = self.link().lock();
        state.note_taken();
        state.rooms.get(&self.id()).map(|room| f(&room.unread))
    }

    /// Everything up to this event is read. The server is told within a second, keeps it, and tells this account's other
    /// devices; a new device begins there. A marker never goes back.
    pub fn mark_read(&self, seq: Seq) {
        let id = self.id();
        if let Some(room) = self.link().lock().rooms.get_mut(&id) {
            room.unread.read_up_to(seq);
        }
    }

    /// Say that this person is writing something here. Call it at every key, if you like: it is told every three seconds
    /// at most, to those who are here, and dropped if it can't go at once. It ends by itself six seconds after the last
    /// call, and with the next message. Rooms of more than a hundred members aren't told.
    pub fn typing(&self) {
        self.tell_typing(true);
    }

    /// Say that this person is no longer writing, though they have sent nothing.
    pub fn stopped_typing(&self) {
        self.tell_typing(false);
    }

    fn tell_typing(&self, typing: bool) {
        let (id, now) = (self.id(), Instant::now());
        let told = {
            let mut state = self.link().lock();
            let up = state.conn.is_up();
            let Some(room) = state.rooms.get_mut(&id).filter(|room| up && room.standing == Standing::In) else {
                return;
            };
            let told = room.typists.tell(typing, now);
            if told {
                state.send(&Typing { room: id, typing });
            }
            told
        };
        if told {
            self.link().output.notify();
        }
    }

    /// Who else is writing something here.
    pub fn who_is_typing(&self) -> Vec<Author> {
        let (state, now) = (self.link().lock(), Instant::now());
        let room = state.rooms.get(&self.id());
        let others = room.iter().flat_map(|room| &room.typists.others);
        others.filter(|(_, until)| *until > now).map(|(who, _)| who.clone()).collect()
    }
}

impl Typists {
    /// This client's person says something about their writing. Whether the server is to be told.
    fn tell(&mut self, typing: bool, now: Instant) -> bool {
        let since = self.told.map(|told| now.saturating_duration_since(told));
        if typing {
            let due = since.is_none_or(|since| since >= TYPING_AGAIN);
            if due {
                self.told = Some(now);
            }
            return due;
        }
        since.is_some_and(|since| since < TYPING_HOLDS)
    }

    /// Somebody is writing; true if that is new.
    fn began(&mut self, who: Author, now: Instant) -> bool {
        let until = now + TYPING_HOLDS;
        if let Some(known) = self.others.iter_mut().find(|(other, _)| other.principal == who.principal) {
            *known = (who, until);
            return false;
        }
        let room = self.others.len() < MAX_TYPISTS;
        if room {
            self.others.push((who, until));
        }
        room
    }

    /// Somebody has stopped; who, if it was known that they were writing.
    fn stopped(&mut self, who: PrincipalId) -> Option<Author> {
        let i = self.others.iter().position(|(other, _)| other.principal == who)?;
        Some(self.others.swap_remove(i).0)
    }
}

impl RoomState {
    /// The server says how much there is, and how much is read.
    pub(super) fn measured(&mut self, joined: &Joined) {
        self.unread.reaches(joined.latest.unwrap_or(joined.head));
        if let Some(read) = joined.read {
            self.unread.read_up_to(read);
            self.told = self.told.max(read);
        }
    }
}

/// What a room holds, and what of it is read, as the server says.
pub(super) fn measure(joined: &Joined) -> Unread {
    Unread::new(joined.latest.unwrap_or(joined.head), joined.read.unwrap_or(joined.head))
}

impl State {
    /// What the application has taken is read, unless it marks that by itself.
    pub(super) fn note_taken(&mut self) {
        let taken = self.events.take_progress();
        if self.settings.mark_by_hand {
            return;
        }
        for (room, seq) in taken {
            if let Some(room) = self.rooms.get_mut(&room) {
                room.unread.read_up_to(seq);
            }
        }
    }

    /// Rooms of which more is read than the server was told.
    pub(super) fn untold_reads(&mut self) -> Vec<RoomProgress> {
        self.note_taken();
        let mut progress = Vec::new();
        for (&id, room) in self.rooms.iter_mut().filter(|(_, room)| room.standing == Standing::In) {
            let seq = room.unread.read();
            if seq > room.told {
                room.told = seq;
                progress.push(RoomProgress { room: id, seq });
            }
        }
        progress
    }

    /// Somebody has stopped writing: they have said what they had to say, or are gone.
    pub(super) fn stopped_typing(&mut self, room: RoomId, who: PrincipalId) {
        let Some(state) = self.rooms.get_mut(&room) else { return };
        if let Some(who) = state.typists.stopped(who) {
            let room = state.slot.name.clone();
            self.events.push_lossy(Event::Typing { room, who, typing: false });
        }
    }

    /// Those of whom nothing was heard for a while have stopped.
    pub(super) fn forget_typists(&mut self, now: Instant) {
        for room in self.rooms.values_mut() {
            let over = |(_, until): &(Author, Instant)| *until <= now;
            while let Some(i) = room.typists.others.iter().position(over) {
                let (who, _) = room.typists.others.swap_remove(i);
                let room = room.slot.name.clone();
                self.events.push_lossy(Event::Typing { room, who, typing: false });
            }
        }
    }
}

pub(super) fn types(state: &mut State, body: &[u8], now: Instant) -> Result<(), DecodeError> {
    let Types { room: id, person, typing } = protocol::decode(body)?;
    if !typing {
        state.stopped_typing(id, person.principal);
        return Ok(());
    }
    let Some(room) = state.rooms.get_mut(&id) else { return Ok(()) };
    let Person { principal, kind, alias, .. } = person;
    let who = Author { principal, kind, alias };
    if room.typists.began(who.clone(), now) {
        let room = room.slot.name.clone();
        state.events.push_lossy(Event::Typing { room, who, typing: true });
    }
    Ok(())
}

pub(super) fn read(state: &mut State, body: &[u8], _: Instant) -> Result<(), DecodeError> {
    let Read { room: id, seq } = protocol::decode(body)?;
    let Some(room) = state.rooms.get_mut(&id) else { return Ok(()) };
    room.unread.reaches(seq);
    room.told = room.told.max(seq);
    if room.unread.read_up_to(seq) {
        let (room, unread) = (room.slot.name.clone(), room.unread.count());
        state.events.push_lossy(Event::Read { room, seq, unread });
    }
    Ok(())
}
