//! A room, and who is in it; all of them are in `directory`.

mod directory;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use parking_lot::{Mutex, MutexGuard};

use super::conn::Conn;
use super::house::{House, Who};
use super::session::Session;
use crate::id::{PrincipalId, RoomId, RoomName, Seq, Timestamp};
use crate::limit::Network;
use crate::protocol::Code;
use crate::protocol::message::{HistoryRule, Person, RoomSettings};
use crate::room::{Author, Chunk, Diff, Due, Lookup, Members, PresenceLog, Publishers, Role, Tail, Typists};
use crate::store::{Change, MemberRecord, Retention, StandingRecord};

pub(super) use directory::Rooms;

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
    /// It was banned when the application let it in: that ban doesn't put it out.
    pub(super) let_in: bool,
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

    /// Whether there are as many members as there may be: accounts that are members, here or not, and whoever else is
    /// here.
    fn is_full(&self) -> bool {
        let Some(limit) = self.house.settings.limit.map(|limit| limit as usize) else { return false };
        let (here, standing) = (self.members.count(), self.house.standings.values());
        // Who is away is looked for only where it matters: of a storm of joins each would look through all.
        here >= limit || {
            let away = |standing: &&StandingRecord| standing.member && !self.members.has(standing.principal);
            here + self.house.standings.len() >= limit && here + standing.filter(away).count() >= limit
        }
    }

    /// Whether a session may come in.
    pub(super) fn may_enter(&self, conn: &Conn, session: &Session, by: By<'_>) -> Result<(), Code> {
        let By::Asking { admin, password, now } = by else { return Ok(()) };
        let (here, address) = (self.members.has(session.principal), conn.address.map(|address| address.ip()));
        let who = Who { author: &session.author(), address, admin, here };
        self.house.may_enter(who, password, self.is_full(), now)
    }

    fn role(&self, conn: &Conn, session: &Session, admin: bool, now: Timestamp) -> Role {
        let (here, address) = (self.members.has(session.principal), conn.address.map(|address| address.ip()));
        self.house.role(Who { author: &session.author(), address, admin, here }, now)
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
            let_in: false,
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
        Self { left: Arc::clone(&self.left), let_in: self.let_in, replay_to: head, ..member }
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
    /// What of it has to be kept, besides that they are in.
    pub(super) changes: Vec<Change>,
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
    /// By the application's ruling, whatever the room's table says.
    Ruling { admin: bool, now: Timestamp },
    /// As its founder.
    Founding,
    /// They are a member already.
    Standing,
}

impl Room {
    pub(super) fn new(id: RoomId, name: RoomName, permanent: bool, head: Seq) -> Self {
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
        let (principal, mut changes) = (session.principal, Vec::new());
        // All devices of a person are let in like the first.
        let before = state.members.of(principal).any(|member| member.let_in);
        let let_in = match by {
            _ if before => true,
            By::Asking { .. } => state.may_enter(conn, session, by).map(|()| false).map_err(NotEntered::Denied)?,
            By::Ruling { admin, now } => state.role(conn, session, admin, now) == Role::Banned,
            By::Founding | By::Standing => false,
        };
        if let By::Asking { now, .. } | By::Ruling { now, .. } = by {
            changes = state.house.inherit(self.id, &session.author(), now);
        }
        let head = state.tail.head();
        let standing = state.house.standings.get(&principal).filter(|standing| standing.member);
        let member = match standing {
            // An account goes on where it has read up to on any of its devices.
            Some(standing) => {
                let read = state.read_by(principal);
                let member = Member { let_in, ..Member::new(conn, self, session, standing.since) };
                member.cursor.store(read.min(head).get(), Ordering::SeqCst);
                member.progress.store(read.get(), Ordering::SeqCst);
                Arc::new(Member { replay_to: head, ..member })
            }
            None => Arc::new(Member { let_in, ..Member::new(conn, self, session, head) }),
        };
        if state.members.insert(principal, session.id, Arc::clone(&member)) {
            let count = state.members.count();
            state.presence.record(session.author(), true, count);
        }
        let entered = Entered { member, head, changes };
        queue(&entered, &state);
        Ok(entered)
    }

    /// Somebody is away with a text, or back: it is told with who comes and goes.
    pub(super) fn note_away(&self, who: &Arc<Author>, text: Option<Arc<str>>) {
        let mut state = self.lock();
        if state.members.has(who.principal) {
            let count = state.members.count();
            state.presence.away(Arc::clone(who), text, count);
        }
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

    /// Move a membership to another connection, whose client has everything up to `cursor`, if it `may` go on there;
    /// `queue` as in [`enter`](Self::enter), with the room's head as `Entered::head`. None if there is none any more.
    pub(super) fn reseat(
        self: &Arc<Self>,
        old: &Arc<Member>,
        conn: &Arc<Conn>,
        may: impl FnOnce(&State) -> Result<(), Code>,
        cursor: impl FnOnce(Seq) -> Seq,
        queue: impl FnOnce(&Entered, &State),
    ) -> Result<Option<Arc<Member>>, Code> {
        let mut state = self.lock();
        may(&state)?;
        old.unseat();
        let head = state.tail.head();
        let member = Arc::new(old.moved(conn, cursor(head), head));
        if !state.members.replace(old.session.principal, old.session.id, Arc::clone(&member)) {
            return Ok(None);
        }
        queue(&Entered { member: Arc::clone(&member), head, changes: Vec::new() }, &state);
        Ok(Some(member))
    }

    /// The connection of a membership is lost: it waits for another one.
    pub(super) fn unseat(self: &Arc<Self>, old: &Arc<Member>, nobody: &Arc<Conn>) -> Arc<Member> {
        let mut state = self.lock();
        old.unseat();
        let away = Member::away(nobody, self, &old.session, old.since, old.read());
        let member = Member { left: Arc::clone(&old.left), let_in: old.let_in, ..away };
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

pub(super) fn person(who: &Author, version: u64) -> Person {
    Person { principal: who.principal, kind: who.kind, alias: who.alias.to_string(), version }
}
