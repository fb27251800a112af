//! The rooms there are, and who is in them.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use parking_lot::{Mutex, MutexGuard};

use super::conn::Conn;
use super::session::Session;
use crate::id::{RoomId, RoomName, Seq, Timestamp};
use crate::protocol::message::Person;
use crate::room::{Author, Chunk, Diff, Due, Lookup, Members, PresenceLog, Publishers, Tail};
use crate::store::{Change, MemberRecord, RoomRecord};

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

/// A session in a room, and the cursor that its connection has there. A session that comes back on another connection
/// has another member in its place.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) conn: Arc<Conn>,
    pub(super) room: Arc<Room>,
    pub(super) session: Arc<Session>,
    /// The head when it joined: it is sent what follows.
    since: Seq,
    /// What it missed while it was away, up to here, comes from the store as replay, its own events included.
    replay_to: Seq,
    cursor: AtomicU64,
    progress: AtomicU64,
    /// Nothing is written for it any more: its connection is lost, or another one has its place.
    gone: AtomicBool,
    /// The session is out of the room, whatever connection it has.
    left: Arc<AtomicBool>,
    held: AtomicBool,
    /// What follows its cursor is no longer in the tail, or to be replayed: a reader of the store is at it.
    pub(super) starved: AtomicBool,
    /// It is in a list of its connection's rooms that have something.
    pub(super) dirty: AtomicBool,
    /// A presence frame was left out because too much waited.
    pub(super) presence_missed: AtomicBool,
}

impl Member {
    fn new(conn: &Arc<Conn>, room: &Arc<Room>, session: &Arc<Session>, since: Seq) -> Self {
        Self {
            conn: Arc::clone(conn),
            room: Arc::clone(room),
            session: Arc::clone(session),
            since,
            replay_to: Seq::ZERO,
            cursor: AtomicU64::new(since.get()),
            progress: AtomicU64::new(since.get()),
            gone: AtomicBool::new(false),
            left: Arc::default(),
            held: AtomicBool::new(false),
            starved: AtomicBool::new(false),
            dirty: AtomicBool::new(false),
            presence_missed: AtomicBool::new(false),
        }
    }

    /// A member of a session that has no connection: it waits for one.
    pub(super) fn away(nobody: &Arc<Conn>, room: &Arc<Room>, session: &Arc<Session>, since: Seq, read: Seq) -> Self {
        let member = Self::new(nobody, room, session, since);
        member.gone.store(true, Ordering::SeqCst);
        member.progress.store(read.get(), Ordering::SeqCst);
        member
    }

    /// The same membership on another connection, whose client has everything up to `cursor`.
    fn moved(&self, conn: &Arc<Conn>, cursor: Seq, head: Seq) -> Self {
        let member = Self::new(conn, &self.room, &self.session, self.since);
        member.cursor.store(cursor.get(), Ordering::SeqCst);
        member.progress.store(self.progress.load(Ordering::SeqCst), Ordering::SeqCst);
        Self { left: Arc::clone(&self.left), replay_to: head, ..member }
    }

    pub(super) fn cursor(&self) -> Seq {
        Seq::new(self.cursor.load(Ordering::Relaxed))
    }

    /// Move the cursor forward. Only who holds the connection's output does.
    pub(super) fn advance(&self, to: Seq) {
        self.cursor.fetch_max(to.get(), Ordering::Relaxed);
    }

    /// Put the cursor where the client asks for; not behind the head, and not before what it may read.
    pub(super) fn seek(&self, after: Seq, head: Seq) {
        self.cursor.store(after.clamp(self.readable_after().min(head), head).get(), Ordering::Relaxed);
        self.held.store(false, Ordering::SeqCst);
    }

    /// It may read what follows this event. The one place that decides, for delivery, replay, history and search.
    pub(super) fn readable_after(&self) -> Seq {
        // Every room is public so far: all of its history is everybody's who is in it.
        Seq::ZERO
    }

    /// Whether what comes next is something that was missed.
    pub(super) fn is_replaying(&self) -> bool {
        self.cursor() < self.replay_to
    }

    pub(super) fn hold(&self) {
        self.held.store(true, Ordering::SeqCst);
    }

    pub(super) fn is_held(&self) -> bool {
        self.held.load(Ordering::SeqCst)
    }

    /// Whether nothing is to be written for it on its connection.
    pub(super) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::SeqCst) || self.has_left()
    }

    /// Its connection is lost, or another member has its place.
    pub(super) fn unseat(&self) {
        self.gone.store(true, Ordering::SeqCst);
    }

    /// Whether the session is out of the room.
    pub(super) fn has_left(&self) -> bool {
        self.left.load(Ordering::SeqCst)
    }

    /// It is out of the room: nothing of the room is written for it from here on.
    fn leave(&self) {
        self.left.store(true, Ordering::SeqCst);
    }

    /// Note how far the application at the other end has read.
    pub(super) fn read_up_to(&self, seq: Seq) {
        self.progress.fetch_max(seq.get(), Ordering::Relaxed);
    }

    pub(super) fn read(&self) -> Seq {
        Seq::new(self.progress.load(Ordering::Relaxed))
    }

    /// How the store keeps it.
    pub(super) fn record(&self) -> MemberRecord {
        MemberRecord { session: self.session.id, room: self.room.id, since: self.since, read: self.read() }
    }

    fn author(&self) -> &Arc<Author> {
        &self.session.author
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
    fn new(id: RoomId, name: RoomName, permanent: bool, head: Seq) -> Self {
        let state = State {
            tail: Tail::new(head),
            members: Members::default(),
            presence: PresenceLog::default(),
            publishers: Publishers::default(),
            ended: false,
        };
        Self { id, name, permanent, dirty: AtomicBool::new(false), state: Mutex::new(state) }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// What follows a cursor.
    pub(super) fn after(&self, cursor: Seq) -> Lookup {
        self.lock().tail.after(cursor)
    }

    /// Make a session a member, on `conn`. `queue` puts the answer into its queue, under the room's lock, so that
    /// nothing of the room can come before it. `None` if the room has ended meanwhile, or the session has another
    /// connection by now.
    pub(super) fn enter(
        self: &Arc<Self>,
        conn: &Arc<Conn>,
        session: &Arc<Session>,
        queue: impl FnOnce(&Entered),
    ) -> Option<Entered> {
        let mut state = self.lock();
        if state.ended || !session.is_on(conn) {
            return None;
        }
        let head = state.tail.head();
        let member = Arc::new(Member::new(conn, self, session, head));
        if state.members.insert(session.author.principal, session.id, Arc::clone(&member)) {
            let count = state.members.count();
            state.presence.record(Arc::clone(&session.author), true, count);
        }
        let entered = Entered { member, head, presence: state.presence.version(), count: state.members.count() };
        queue(&entered);
        Some(entered)
    }

    /// Put back a member that the store has kept.
    pub(super) fn restore(&self, member: &Arc<Member>) {
        let mut state = self.lock();
        let author = member.author();
        if state.members.insert(author.principal, member.session.id, Arc::clone(member)) {
            let count = state.members.count();
            state.presence.record(Arc::clone(author), true, count);
        }
    }

    /// Move a membership to another connection, whose client has everything up to `cursor`; `queue` as in
    /// [`enter`](Self::enter), with the room's head as `Entered::head`.
    pub(super) fn reseat(
        self: &Arc<Self>,
        old: &Arc<Member>,
        conn: &Arc<Conn>,
        cursor: impl FnOnce(Seq) -> Seq,
        queue: impl FnOnce(&Entered),
    ) -> Option<Arc<Member>> {
        let mut state = self.lock();
        old.unseat();
        let head = state.tail.head();
        let member = Arc::new(old.moved(conn, cursor(head), head));
        if !state.members.replace(old.author().principal, old.session.id, Arc::clone(&member)) {
            return None;
        }
        let (presence, count) = (state.presence.version(), state.members.count());
        queue(&Entered { member: Arc::clone(&member), head, presence, count });
        Some(member)
    }

    /// The connection of a membership is lost: it waits for another one.
    pub(super) fn unseat(self: &Arc<Self>, old: &Arc<Member>, nobody: &Arc<Conn>) -> Arc<Member> {
        let mut state = self.lock();
        old.unseat();
        let member =
            Member { left: Arc::clone(&old.left), ..Member::away(nobody, self, &old.session, old.since, old.read()) };
        let member = Arc::new(member);
        state.members.replace(old.author().principal, old.session.id, Arc::clone(&member));
        member
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
        Flush { chunks, diff, members: state.members.list(|member| !member.is_gone()), count, due }
    }

    /// A page of members, in the order of their ids.
    pub(super) fn page(&self, after: Option<crate::id::PrincipalId>, limit: usize) -> (u64, Vec<Person>, bool) {
        let state = self.lock();
        let (members, more) = state.members.page(after, limit);
        let people = members.iter().map(|m| person(m.author(), 0)).collect();
        (state.presence.version(), people, more)
    }

    pub(super) fn has_ended(&self) -> bool {
        self.lock().ended
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

    /// The room of this name, made if there is none. What has to be kept of it is given to `keep` before anybody else
    /// finds it.
    pub(super) fn open(
        &self,
        name: &RoomName,
        permanent: bool,
        now: Timestamp,
        keep: impl FnOnce(Change),
    ) -> Result<Arc<Room>, TooManyRooms> {
        let mut map = self.map.lock();
        if let Some(room) = map.by_name.get(name) {
            return Ok(Arc::clone(room));
        }
        if map.by_name.len() >= self.max && !permanent {
            return Err(TooManyRooms);
        }
        let record = RoomRecord { id: RoomId::random(), name: name.clone(), permanent, created: now };
        let room = Arc::new(Room::new(record.id, name.clone(), permanent, Seq::ZERO));
        keep(Change::PutRoom(record));
        map.by_name.insert(name.clone(), Arc::clone(&room));
        Ok(room)
    }

    pub(super) fn find(&self, name: &RoomName) -> Option<Arc<Room>> {
        self.map.lock().by_name.get(name).cloned()
    }

    /// Put back a room that the store has kept.
    pub(super) fn restore(&self, record: &RoomRecord, head: Seq) -> Arc<Room> {
        let room = Arc::new(Room::new(record.id, record.name.clone(), record.permanent, head));
        self.map.lock().by_name.insert(record.name.clone(), Arc::clone(&room));
        room
    }

    /// Take a member out of its room. What has to be changed in the store is given to `keep`. True if somebody is left
    /// to be told.
    pub(super) fn leave(&self, member: &Member, keep: impl FnOnce(Change)) -> bool {
        let room = &member.room;
        // The registry first: nobody opens the room while it is being ended.
        let mut map = self.map.lock();
        let mut state = room.lock();
        member.leave();
        let principal = member.author().principal;
        let Some((_, principal_gone)) = state.members.remove(principal, member.session.id) else { return false };
        if principal_gone {
            state.publishers.forget(principal);
            let count = state.members.count();
            state.presence.record(Arc::clone(member.author()), false, count);
        }
        if !state.members.is_empty() || room.permanent {
            keep(Change::DropMember { session: member.session.id, room: room.id });
            return true;
        }
        Self::end(&mut map, room, &mut state, keep);
        false
    }

    fn end(map: &mut Map, room: &Room, state: &mut State, keep: impl FnOnce(Change)) {
        state.ended = true;
        map.by_name.remove(&room.name);
        keep(Change::DropRoom(room.id));
    }

    /// End the rooms that nobody is in and that don't stay.
    pub(super) fn end_empty(&self, mut keep: impl FnMut(Change)) {
        let mut map = self.map.lock();
        let rooms: Vec<_> = map.by_name.values().cloned().collect();
        for room in rooms {
            let mut state = room.lock();
            if state.members.is_empty() && !room.permanent {
                Self::end(&mut map, &room, &mut state, &mut keep);
            }
        }
    }

    /// Every room.
    pub(super) fn all(&self) -> Vec<Arc<Room>> {
        self.map.lock().by_name.values().cloned().collect()
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
