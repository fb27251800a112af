//! The rooms there are, and who is in them.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use parking_lot::{Mutex, MutexGuard};

use super::conn::Conn;
use crate::id::{RoomId, RoomName, Seq};
use crate::protocol::message::Person;
use crate::room::{Author, Chunk, Diff, Due, Lookup, Members, PresenceLog, Publishers, Tail};

/// However many rooms share the budget, each keeps so many bytes of tail.
const MIN_TAIL_BYTES: usize = 64 * 1024;

/// No room's tail gets more than this: a reader that is further behind reads from the store.
const MAX_TAIL_BYTES: usize = 1024 * 1024;

/// A named conversation: the tail of its log, and its members.
#[derive(Debug)]
pub(super) struct Room {
    pub(super) id: RoomId,
    pub(super) name: RoomName,
    /// It stays when its last member has left.
    permanent: bool,
    /// It waits to be flushed.
    pub(super) dirty: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) tail: Tail,
    pub(super) members: Members<Member>,
    pub(super) presence: PresenceLog,
    pub(super) publishers: Publishers,
    /// It has ended; its name may be another room's by now.
    ended: bool,
}

/// A session in a room, and its cursor there.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) conn: Arc<Conn>,
    pub(super) room: Arc<Room>,
    pub(super) author: Arc<Author>,
    /// The head when it joined: it is sent what follows.
    since: Seq,
    cursor: AtomicU64,
    progress: AtomicU64,
    gone: AtomicBool,
    held: AtomicBool,
    /// It is in a list of its connection's rooms that have something.
    pub(super) dirty: AtomicBool,
    /// A presence frame was left out because too much waited.
    pub(super) presence_missed: AtomicBool,
}

impl Member {
    pub(super) fn cursor(&self) -> Seq {
        Seq::new(self.cursor.load(Ordering::Relaxed))
    }

    /// Move the cursor forward. Only who holds the connection's output does.
    pub(super) fn advance(&self, to: Seq) {
        self.cursor.fetch_max(to.get(), Ordering::Relaxed);
    }

    /// Put the cursor where the client asks for; not before it joined, nor behind the head.
    pub(super) fn seek(&self, after: Seq, head: Seq) {
        self.cursor.store(after.clamp(self.since, head.max(self.since)).get(), Ordering::Relaxed);
        self.held.store(false, Ordering::SeqCst);
    }

    pub(super) fn hold(&self) {
        self.held.store(true, Ordering::SeqCst);
    }

    pub(super) fn is_held(&self) -> bool {
        self.held.load(Ordering::SeqCst)
    }

    pub(super) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::SeqCst)
    }

    /// It is out of the room: nothing of the room is written for it from here on.
    pub(super) fn leave(&self) {
        self.gone.store(true, Ordering::SeqCst);
    }

    /// Note how far the application at the other end has read.
    pub(super) fn read_up_to(&self, seq: Seq) {
        self.progress.fetch_max(seq.get(), Ordering::Relaxed);
    }
}

/// A room whose flush found something to tell.
#[derive(Debug)]
pub(super) struct Flush {
    pub(super) chunks: Vec<Arc<Chunk>>,
    pub(super) diff: Option<Diff>,
    pub(super) members: Arc<[Arc<Member>]>,
    pub(super) count: usize,
    /// When there will be more presence to tell.
    pub(super) due: Option<Instant>,
}

/// A joining that worked.
#[derive(Debug)]
pub(super) struct Entered {
    pub(super) member: Arc<Member>,
    pub(super) head: Seq,
    pub(super) presence: u64,
    pub(super) count: usize,
}

impl Room {
    fn new(name: RoomName, permanent: bool) -> Self {
        let state = State {
            tail: Tail::new(Seq::ZERO),
            members: Members::default(),
            presence: PresenceLog::default(),
            publishers: Publishers::default(),
            ended: false,
        };
        Self { id: RoomId::random(), name, permanent, dirty: AtomicBool::new(false), state: Mutex::new(state) }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// What follows a cursor.
    pub(super) fn after(&self, cursor: Seq) -> Lookup {
        self.lock().tail.after(cursor)
    }

    /// Make `conn` a member. `queue` puts the answer into its queue, under the room's lock, so that nothing of the
    /// room can come before it. `None` if the room has ended meanwhile.
    pub(super) fn enter(
        self: &Arc<Self>,
        conn: &Arc<Conn>,
        author: &Arc<Author>,
        queue: impl FnOnce(&Entered),
    ) -> Option<Entered> {
        let mut state = self.lock();
        if state.ended {
            return None;
        }
        let head = state.tail.head();
        let member = Arc::new(Member {
            conn: Arc::clone(conn),
            room: Arc::clone(self),
            author: Arc::clone(author),
            since: head,
            cursor: AtomicU64::new(head.get()),
            progress: AtomicU64::new(head.get()),
            gone: AtomicBool::new(false),
            held: AtomicBool::new(false),
            dirty: AtomicBool::new(false),
            presence_missed: AtomicBool::new(false),
        });
        if state.members.insert(author.principal, conn.id, Arc::clone(&member)) {
            let count = state.members.count();
            state.presence.record(Arc::clone(author), true, count);
        }
        let entered = Entered { member, head, presence: state.presence.version(), count: state.members.count() };
        queue(&entered);
        Some(entered)
    }

    /// Close what is new into chunks, and say who is to get it.
    pub(super) fn flush(&self, now: Instant, tail_bytes: usize) -> Flush {
        let mut state = self.lock();
        let chunks = state.tail.seal();
        state.tail.trim(tail_bytes);
        let count = state.members.count();
        let diff = state.presence.take(now, count);
        let due = state.presence.due(count).map(|due| match due {
            Due::Now => now,
            Due::At(at) => at,
        });
        Flush { chunks, diff, members: state.members.list(), count, due }
    }

    /// A page of members, in the order of their ids.
    pub(super) fn page(&self, after: Option<crate::id::PrincipalId>, limit: usize) -> (u64, Vec<Person>, bool) {
        let state = self.lock();
        let (members, more) = state.members.page(after, limit);
        let people = members.iter().map(|m| person(&m.author, 0)).collect();
        (state.presence.version(), people, more)
    }

    pub(super) fn members(&self) -> usize {
        self.lock().members.count()
    }

    pub(super) fn head(&self) -> Seq {
        self.lock().tail.head()
    }
}

pub(super) fn person(who: &Author, version: u64) -> Person {
    Person { principal: who.principal, kind: who.kind, alias: who.alias.to_string(), version }
}

/// Every room, by name and by id.
#[derive(Debug)]
pub(super) struct Rooms {
    max: usize,
    tail_bytes: usize,
    map: Mutex<Map>,
}

#[derive(Debug, Default)]
struct Map {
    by_name: BTreeMap<RoomName, Arc<Room>>,
}

/// The server has as many rooms as it takes.
#[derive(Debug)]
pub(super) struct TooManyRooms;

impl Rooms {
    /// At most `max` rooms, whose tails take about `tail_bytes` together.
    pub(super) fn new(max: usize, tail_bytes: usize) -> Self {
        Self { max, tail_bytes, map: Mutex::default() }
    }

    /// The room of this name, made if there is none.
    pub(super) fn open(&self, name: &RoomName, permanent: bool) -> Result<Arc<Room>, TooManyRooms> {
        let mut map = self.map.lock();
        if let Some(room) = map.by_name.get(name) {
            return Ok(Arc::clone(room));
        }
        if map.by_name.len() >= self.max && !permanent {
            return Err(TooManyRooms);
        }
        let room = Arc::new(Room::new(name.clone(), permanent));
        map.by_name.insert(name.clone(), Arc::clone(&room));
        Ok(room)
    }

    /// Take a member out of its room. The room's id if it ends with that.
    pub(super) fn leave(&self, member: &Member) -> Option<RoomId> {
        let room = &member.room;
        // The registry first: nobody opens the room while it is being ended.
        let mut map = self.map.lock();
        let mut state = room.lock();
        member.leave();
        let (_, principal_gone) = state.members.remove(member.author.principal, member.conn.id)?;
        if principal_gone {
            state.publishers.forget(member.author.principal);
            let count = state.members.count();
            state.presence.record(Arc::clone(&member.author), false, count);
        }
        if !state.members.is_empty() || room.permanent {
            return None;
        }
        state.ended = true;
        map.by_name.remove(&room.name);
        Some(room.id)
    }

    /// What one room's tail may take, so that all of them keep to the budget.
    pub(super) fn tail_bytes(&self) -> usize {
        let rooms = self.map.lock().by_name.len().max(1);
        (self.tail_bytes / rooms).clamp(MIN_TAIL_BYTES, MAX_TAIL_BYTES)
    }

    pub(super) fn len(&self) -> usize {
        self.map.lock().by_name.len()
    }

    /// Rooms in the order of their names, behind `after`; and whether there are more.
    pub(super) fn page(&self, after: Option<&RoomName>, limit: usize) -> (Vec<Arc<Room>>, bool) {
        let map = self.map.lock();
        let low = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut rooms = map.by_name.range::<RoomName, _>((low, Bound::Unbounded)).map(|(_, room)| Arc::clone(room));
        let page: Vec<_> = rooms.by_ref().take(limit).collect();
        (page, rooms.next().is_some())
    }
}
