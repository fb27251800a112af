//! The rooms there are, and who is in them.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use parking_lot::{Mutex, MutexGuard};

use super::conn::Conn;
use super::house::{House, Who, Why};
use super::pairs::{Pairs, TooManyDirects};
use super::session::Session;
use crate::id::{PrincipalId, RoomId, RoomName, Seq, Timestamp};
use crate::limit::Network;
use crate::protocol::Code;
use crate::protocol::message::{HistoryRule, Person, RoomSettings};
use crate::room::{Author, Chunk, Diff, Due, Lookup, Members, PresenceLog, Publishers, Tail, Typists};
use crate::store::{Change, MemberRecord, Retention, RoomRecord, SettingsRecord};

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
    /// Whose direct it is, the smaller id first.
    pub(super) pair: Option<(PrincipalId, PrincipalId)>,
    /// Where the guest came from who has opened this direct.
    pub(super) opened_from: Option<Network>,
    /// Members may read what was said before they came.
    open_history: AtomicBool,
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
    pub(super) house: House,
    /// How much of it is kept; none: as much as of any room.
    pub(super) retention: Option<Retention>,
    pub(super) typists: Typists,
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

impl State {
    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    /// The last event that somebody has read, on any of their devices.
    pub(super) fn read_by(&self, principal: PrincipalId) -> Seq {
        let standing = self.house.standings.get(&principal).filter(|standing| standing.member);
        let read = standing.map_or(Seq::ZERO, |standing| standing.read);
        self.members.of(principal).map(|member| member.read()).fold(read, Seq::max)
    }
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
        if self.room.open_history.load(Ordering::Relaxed) { Seq::ZERO } else { self.since }
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

    /// Note how far the application at the other end has read. True if that is further than before.
    pub(super) fn read_up_to(&self, seq: Seq) -> bool {
        self.progress.fetch_max(seq.get(), Ordering::Relaxed) < seq.get()
    }

    pub(super) fn read(&self) -> Seq {
        Seq::new(self.progress.load(Ordering::Relaxed))
    }

    /// How the store keeps it.
    pub(super) fn record(&self) -> MemberRecord {
        MemberRecord { session: self.session.id, room: self.room.id, since: self.since, read: self.read() }
    }

    pub(super) fn author(&self) -> Arc<Author> {
        self.session.author()
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
}

/// Why somebody is not in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotEntered {
    /// The room has ended; there may be another one of its name.
    Ended,
    /// The session has another connection by now.
    Moved,
    Denied(Code),
}

/// How somebody comes into a room.
#[derive(Debug, Clone, Copy)]
pub(super) enum By<'a> {
    /// By asking; with the hash of the password that they know, if they know one.
    Asking { admin: bool, password: Option<&'a str>, now: Timestamp },
    /// As its founder.
    Founding,
    /// They are a member already.
    Standing,
}

impl Room {
    fn new(id: RoomId, name: RoomName, permanent: bool, head: Seq) -> Self {
        let state = State {
            tail: Tail::new(head),
            members: Members::default(),
            presence: PresenceLog::default(),
            publishers: Publishers::default(),
            house: House::default(),
            retention: None,
            typists: Typists::default(),
            ended: false,
        };
        let (open_history, dirty) = (AtomicBool::new(true), AtomicBool::new(false));
        Self { id, name, permanent, pair: None, opened_from: None, open_history, dirty, state: Mutex::new(state) }
    }

    /// What somebody is shown as its name: a direct is called after the other one.
    pub(super) fn label_in(&self, state: &State, reader: PrincipalId) -> String {
        let Some((a, b)) = self.pair else { return self.name.to_string() };
        let other = state.house.standings.get(if a == reader { &b } else { &a });
        // A room's name has no white space, an alias may have some.
        other.map_or_else(|| self.name.to_string(), |other| format!("@{}", other.alias.as_str().replace(' ', "_")))
    }

    /// Take other settings. Under its lock.
    pub(super) fn settle(&self, state: &mut State, settings: RoomSettings, password: Option<String>) {
        self.open_history.store(settings.history == HistoryRule::All, Ordering::Relaxed);
        (state.house.settings, state.house.password) = (settings, password);
        state.house.changed();
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// What follows a cursor.
    pub(super) fn after(&self, cursor: Seq) -> Lookup {
        self.lock().tail.after(cursor)
    }

    /// Make a session a member, on `conn`. `queue` puts the answer into its queue, under the room's lock, so that
    /// nothing of the room can come before it.
    pub(super) fn enter(
        self: &Arc<Self>,
        conn: &Arc<Conn>,
        session: &Arc<Session>,
        by: By<'_>,
        queue: impl FnOnce(&Entered, &State),
    ) -> Result<Entered, NotEntered> {
        let mut state = self.lock();
        if state.ended {
            return Err(NotEntered::Ended);
        }
        if !session.is_on(conn) {
            return Err(NotEntered::Moved);
        }
        let principal = session.principal;
        if let By::Asking { admin, password, now } = by {
            let (here, address) = (state.members.has(principal), conn.address.map(|address| address.ip()));
            let who = Who { author: &session.author(), address, admin, here };
            let members = state.members.count();
            state.house.may_enter(who, password, members, now).map_err(NotEntered::Denied)?;
        }
        let head = state.tail.head();
        let standing = state.house.standings.get(&principal).filter(|standing| standing.member);
        let member = match standing {
            // An account goes on where it has read up to on any of its devices.
            Some(standing) => {
                let read = state.read_by(principal);
                let member = Member::new(conn, self, session, standing.since);
                member.cursor.store(read.min(head).get(), Ordering::SeqCst);
                member.progress.store(read.get(), Ordering::SeqCst);
                Arc::new(Member { replay_to: head, ..member })
            }
            None => Arc::new(Member::new(conn, self, session, head)),
        };
        if state.members.insert(principal, session.id, Arc::clone(&member)) {
            let count = state.members.count();
            state.presence.record(session.author(), true, count);
        }
        let entered = Entered { member, head };
        queue(&entered, &state);
        Ok(entered)
    }

    /// Put back a member that the store has kept.
    pub(super) fn restore(&self, member: &Arc<Member>) {
        let mut state = self.lock();
        let author = member.author();
        if state.members.insert(author.principal, member.session.id, Arc::clone(member)) {
            let count = state.members.count();
            state.presence.record(author, true, count);
        }
    }

    /// Move a membership to another connection, whose client has everything up to `cursor`; `queue` as in
    /// [`enter`](Self::enter), with the room's head as `Entered::head`.
    pub(super) fn reseat(
        self: &Arc<Self>,
        old: &Arc<Member>,
        conn: &Arc<Conn>,
        cursor: impl FnOnce(Seq) -> Seq,
        queue: impl FnOnce(&Entered, &State),
    ) -> Option<Arc<Member>> {
        let mut state = self.lock();
        old.unseat();
        let head = state.tail.head();
        let member = Arc::new(old.moved(conn, cursor(head), head));
        if !state.members.replace(old.session.principal, old.session.id, Arc::clone(&member)) {
            return None;
        }
        queue(&Entered { member: Arc::clone(&member), head }, &state);
        Some(member)
    }

    /// The connection of a membership is lost: it waits for another one.
    pub(super) fn unseat(self: &Arc<Self>, old: &Arc<Member>, nobody: &Arc<Conn>) -> Arc<Member> {
        let mut state = self.lock();
        old.unseat();
        let member =
            Member { left: Arc::clone(&old.left), ..Member::away(nobody, self, &old.session, old.since, old.read()) };
        let member = Arc::new(member);
        state.members.replace(old.session.principal, old.session.id, Arc::clone(&member));
        member
    }

    /// Note how far an account has read, for its next device.
    pub(super) fn note_read(&self, member: &Member) -> Option<Change> {
        let mut state = self.lock();
        let standing = state.house.standings.get_mut(&member.session.principal).filter(|standing| standing.member)?;
        let read = member.read();
        if standing.read >= read {
            return None;
        }
        standing.read = read;
        Some(Change::PutStanding(standing.clone()))
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
        let told = !chunks.is_empty() || diff.is_some();
        let members = if told { state.members.list(|member| !member.is_gone()) } else { Arc::default() };
        Flush { chunks, diff, members, count, due }
    }

    /// Whether it stays when nobody is in it.
    fn stays(&self, state: &State) -> bool {
        self.permanent || state.house.has_members()
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

fn pair(a: PrincipalId, b: PrincipalId) -> (PrincipalId, PrincipalId) {
    (a.min(b), a.max(b))
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
    /// All but directs.
    by_name: BTreeMap<RoomName, Arc<Room>>,
    by_id: BTreeMap<RoomId, Arc<Room>>,
    /// Those that anybody may see in a list.
    listed: BTreeMap<RoomName, Arc<Room>>,
    pairs: Pairs,
}

/// The server has as many rooms as it takes.
#[derive(Debug)]
pub(super) struct TooManyRooms;

impl Map {
    fn list(&mut self, room: &Arc<Room>) {
        let state = room.lock();
        if room.pair.is_none() && !state.ended && state.house.is_listed() {
            self.listed.insert(room.name.clone(), Arc::clone(room));
        } else if self.listed.get(&room.name).is_some_and(|listed| Arc::ptr_eq(listed, room)) {
            self.listed.remove(&room.name);
        }
    }
}

/// The first rooms of a map behind `after`, and whether there are more.
fn page(map: &BTreeMap<RoomName, Arc<Room>>, after: Option<&RoomName>, limit: usize) -> (Vec<Arc<Room>>, bool) {
    let low = after.map_or(Bound::Unbounded, Bound::Excluded);
    let mut rooms = map.range::<RoomName, _>((low, Bound::Unbounded)).map(|(_, room)| Arc::clone(room));
    let page: Vec<_> = rooms.by_ref().take(limit).collect();
    (page, rooms.next().is_some())
}

impl Rooms {
    /// At most `max` rooms, whose tails take about `tail_bytes` together.
    pub(super) fn new(max: usize, tail_bytes: usize) -> Self {
        Self { max, tail_bytes, map: Mutex::default() }
    }

    /// The room of this name, made if there is none; and whether it was. What has to be kept of it is given to `keep`
    /// before anybody else finds it. `found` has a say in how it is, and who owns it.
    pub(super) fn open(
        &self,
        name: &RoomName,
        permanent: bool,
        now: Timestamp,
        mut keep: impl FnMut(Change),
        found: impl FnOnce(&Arc<Room>, &mut State) -> Vec<Change>,
    ) -> Result<(Arc<Room>, bool), TooManyRooms> {
        let mut map = self.map.lock();
        if let Some(room) = map.by_name.get(name) {
            return Ok((Arc::clone(room), false));
        }
        if map.by_name.len() >= self.max && !permanent {
            return Err(TooManyRooms);
        }
        let record = RoomRecord { id: RoomId::random(), name: name.clone(), permanent, created: now };
        let room = Arc::new(Room::new(record.id, name.clone(), permanent, Seq::ZERO));
        keep(Change::PutRoom(record));
        found(&room, &mut room.lock()).into_iter().for_each(keep);
        map.by_id.insert(room.id, Arc::clone(&room));
        map.by_name.insert(name.clone(), Arc::clone(&room));
        map.list(&room);
        Ok((room, true))
    }

    /// The direct of two, made if there is none.
    /// `from` is where `a` comes from, if that counts.
    pub(super) fn direct(
        &self,
        a: &Author,
        b: &Author,
        from: Option<IpAddr>,
        now: Timestamp,
        mut keep: impl FnMut(Change),
    ) -> Result<Arc<Room>, TooManyDirects> {
        let pair = pair(a.principal, b.principal);
        let mut map = self.map.lock();
        if let Some(room) = map.pairs.get(pair) {
            return Ok(Arc::clone(room));
        }
        let from = from.map(Network::around);
        map.pairs.may_have(pair, from, a.principal)?;
        let id = RoomId::random();
        let name = RoomName::parse(&format!("@{id}")).expect("hexadecimal digits make a room's name");
        let mut room = Room::new(id, name.clone(), false, Seq::ZERO);
        room.pair = Some(pair);
        room.opened_from = from;
        let room = Arc::new(room);
        keep(Change::PutRoom(RoomRecord { id, name, permanent: false, created: now }));
        keep(Change::PutSettings(room.lock().house.record(id, room.pair)));
        map.by_id.insert(id, Arc::clone(&room));
        map.pairs.insert(pair, &room);
        Ok(room)
    }

    pub(super) fn of_pair(&self, a: PrincipalId, b: PrincipalId) -> Option<Arc<Room>> {
        self.map.lock().pairs.get(pair(a, b)).cloned()
    }

    pub(super) fn by_id(&self, id: RoomId) -> Option<Arc<Room>> {
        self.map.lock().by_id.get(&id).cloned()
    }

    pub(super) fn find(&self, name: &RoomName) -> Option<Arc<Room>> {
        self.map.lock().by_name.get(name).cloned()
    }

    /// Put back a room that the store has kept.
    pub(super) fn restore(&self, record: &RoomRecord, head: Seq, settings: Option<&SettingsRecord>) -> Arc<Room> {
        let mut room = Room::new(record.id, record.name.clone(), record.permanent, head);
        room.pair = settings.and_then(|settings| settings.pair);
        if let Some(SettingsRecord { settings, password, .. }) = settings {
            room.settle(&mut room.lock(), settings.clone(), password.clone());
        }
        let room = Arc::new(room);
        let mut map = self.map.lock();
        map.by_id.insert(room.id, Arc::clone(&room));
        match room.pair {
            Some(pair) => map.pairs.insert(pair, &room),
            None => drop(map.by_name.insert(record.name.clone(), Arc::clone(&room))),
        }
        map.list(&room);
        room
    }

    /// Take a member out of its room. What has to be changed in the store is given to `keep`. True if somebody is left
    /// to be told.
    pub(super) fn leave(&self, member: &Member, why: Why, mut keep: impl FnMut(Change)) -> bool {
        let room = &member.room;
        // The registry first: nobody opens the room while it is being ended.
        let mut map = self.map.lock();
        let mut state = room.lock();
        member.leave();
        let who = member.author();
        let Some((_, principal_gone)) = state.members.remove(who.principal, member.session.id) else { return false };
        if principal_gone {
            state.publishers.forget(who.principal);
            let count = state.members.count();
            state.presence.record(Arc::clone(&who), false, count);
            state.house.departed(&who, why, member.read()).into_iter().for_each(&mut keep);
        }
        if !state.members.is_empty() || room.stays(&state) {
            keep(Change::DropMember { session: member.session.id, room: room.id });
            return true;
        }
        Self::end(&mut map, room, &mut state, keep);
        false
    }

    /// End a room, whoever is a member. Nobody may be in it any more.
    pub(super) fn close(&self, room: &Room, keep: impl FnMut(Change)) {
        let mut map = self.map.lock();
        let mut state = room.lock();
        if !state.ended {
            Self::end(&mut map, room, &mut state, keep);
        }
    }

    fn end(map: &mut Map, room: &Room, state: &mut State, mut keep: impl FnMut(Change)) {
        state.ended = true;
        map.by_id.remove(&room.id);
        match room.pair {
            Some(pair) => map.pairs.remove(pair, room),
            None => {
                map.by_name.remove(&room.name);
                map.listed.remove(&room.name);
            }
        }
        keep(Change::DropRoom(room.id));
    }

    /// End the rooms that nobody is in and that don't stay.
    pub(super) fn end_empty(&self, mut keep: impl FnMut(Change)) {
        let mut map = self.map.lock();
        let rooms: Vec<_> = map.by_id.values().cloned().collect();
        for room in rooms {
            let mut state = room.lock();
            if state.members.is_empty() && !room.stays(&state) {
                Self::end(&mut map, &room, &mut state, &mut keep);
            }
        }
    }

    /// A room's settings are others: it may have to be listed, or not any more.
    pub(super) fn relist(&self, room: &Arc<Room>) {
        self.map.lock().list(room);
    }

    /// Rooms in the order of their ids, this one first.
    pub(super) fn since(&self, first: Option<RoomId>, limit: usize) -> Vec<Arc<Room>> {
        let low = first.map_or(Bound::Unbounded, Bound::Included);
        self.map.lock().by_id.range((low, Bound::Unbounded)).take(limit).map(|(_, room)| Arc::clone(room)).collect()
    }

    /// Every room.
    pub(super) fn all(&self) -> Vec<Arc<Room>> {
        self.map.lock().by_id.values().cloned().collect()
    }

    /// What one room's tail may take, so that all of them keep to the budget.
    pub(super) fn tail_bytes(&self) -> usize {
        let rooms = self.map.lock().by_id.len().max(1);
        (self.tail_bytes / rooms).clamp(MIN_TAIL_BYTES, MAX_TAIL_BYTES)
    }

    pub(super) fn len(&self) -> usize {
        self.map.lock().by_name.len()
    }

    /// Rooms in the order of their names, behind `after`; and whether there are more.
    pub(super) fn page(&self, after: Option<&RoomName>, limit: usize) -> (Vec<Arc<Room>>, bool) {
        page(&self.map.lock().by_name, after, limit)
    }

    /// The same of those that anybody may see in a list.
    pub(super) fn page_listed(&self, after: Option<&RoomName>, limit: usize) -> (Vec<Arc<Room>>, bool) {
        page(&self.map.lock().listed, after, limit)
    }
}
