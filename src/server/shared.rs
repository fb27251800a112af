//! What all tasks of a server share.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;

use super::builder::Config;
use super::committer::CommitQueue;
use super::conn::{Close, Conn};
use super::flusher::FlushQueue;
use super::rooms::{Room, Rooms};
use crate::handler::{DynHandler, Interests};
use crate::id::{Alias, SessionId, Timestamp};
use crate::limit::{Connections, Full};
use crate::room::Author;
use crate::rt::{Gate, TaskGroup};
use crate::store::DynLog;

/// A server's state.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) config: Config,
    pub(super) store: Arc<dyn DynLog>,
    pub(super) handler: Option<Arc<dyn DynHandler>>,
    pub(super) interests: Interests,
    pub(super) rooms: Rooms,
    pub(super) sessions: Sessions,
    pub(super) commits: CommitQueue,
    pub(super) flushes: Vec<FlushQueue>,
    pub(super) clock: Clock,
    pub(super) counters: Counts,
    /// Connections and writers: what a shutdown waits for.
    pub(super) tasks: TaskGroup,
    /// Committer, flushers, sweeper: what serves them.
    pub(super) engine: TaskGroup,
    pub(super) stop: Stop,
    /// The author of what the application publishes.
    pub(super) app: Arc<Author>,
}

impl Shared {
    /// Have a room flushed.
    pub(super) fn flush(&self, room: &Arc<Room>) {
        if !room.dirty.swap(true, Ordering::SeqCst) {
            let shard = room.id.as_bytes()[0] as usize % self.flushes.len();
            self.flushes[shard].push(Arc::clone(room));
        }
    }
}

/// Time, as a server has it.
#[derive(Debug)]
pub(super) struct Clock {
    began: Instant,
    now: AtomicU64,
}

impl Clock {
    pub(super) fn new() -> Self {
        let clock = Self { began: Instant::now(), now: AtomicU64::new(0) };
        clock.tick();
        clock
    }

    /// Milliseconds since the server began, plus one; as exact as the sweeper's tick.
    pub(super) fn now(&self) -> u64 {
        self.now.load(Ordering::Relaxed)
    }

    pub(super) fn tick(&self) -> u64 {
        let now = self.began.elapsed().as_millis() as u64 + 1;
        self.now.store(now, Ordering::Relaxed);
        now
    }

    /// The time of day.
    pub(super) fn timestamp() -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(since.as_millis() as i64)
    }
}

/// What is counted.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) accepted: AtomicU64,
    pub(super) rejected: AtomicU64,
    pub(super) published: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) skipped: AtomicU64,
    pub(super) bytes_in: AtomicU64,
    pub(super) bytes_out: AtomicU64,
}

/// Whether the server is to stop.
#[derive(Debug, Default)]
pub(super) struct Stop {
    state: AtomicU64,
    gate: Gate,
}

impl Stop {
    const STOPPING: u64 = 1;
    const STOPPED: u64 = 2;

    /// Begin to stop; true for the first who does.
    pub(super) fn begin(&self) -> bool {
        let first = self.state.compare_exchange(0, Self::STOPPING, Ordering::SeqCst, Ordering::SeqCst).is_ok();
        self.gate.open();
        first
    }

    pub(super) fn finish(&self) {
        self.state.store(Self::STOPPED, Ordering::SeqCst);
        self.gate.open();
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.state.load(Ordering::SeqCst) != 0
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.state.load(Ordering::SeqCst) == Self::STOPPED
    }

    pub(super) async fn stopping(&self) {
        self.gate.until(|| self.is_stopping()).await;
    }

    pub(super) async fn stopped(&self) {
        self.gate.until(|| self.is_stopped()).await;
    }
}

/// Every connection, and the aliases that are taken.
#[derive(Debug)]
pub(super) struct Sessions {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    connections: Connections,
    conns: BTreeMap<SessionId, Arc<Conn>>,
    aliases: HashMap<String, SessionId>,
    guests: u64,
}

impl Sessions {
    pub(super) fn new(max: usize, max_per_address: usize) -> Self {
        let connections = Connections::new(max, max_per_address);
        Self { inner: Mutex::new(Inner { connections, conns: BTreeMap::new(), aliases: HashMap::new(), guests: 1000 }) }
    }

    /// Count a connection, if there is room for it.
    pub(super) fn enter(&self, address: Option<IpAddr>) -> Result<(), Full> {
        self.inner.lock().connections.enter(address)
    }

    pub(super) fn leave(&self, address: Option<IpAddr>) {
        self.inner.lock().connections.leave(address);
    }

    pub(super) fn add(&self, conn: &Arc<Conn>) {
        self.inner.lock().conns.insert(conn.id, Arc::clone(conn));
    }

    pub(super) fn remove(&self, session: SessionId) {
        self.inner.lock().conns.remove(&session);
    }

    pub(super) fn find(&self, session: SessionId) -> Option<Arc<Conn>> {
        self.inner.lock().conns.get(&session).cloned()
    }

    /// Reserve an alias, or one of the server's choice. A free one as the error.
    pub(super) fn claim(&self, wish: Option<&Alias>, session: SessionId) -> Result<Alias, Alias> {
        let mut inner = self.inner.lock();
        if let Some(wish) = wish {
            let folded = wish.folded();
            if inner.aliases.contains_key(&folded) {
                return Err(inner.free_like(wish));
            }
            inner.aliases.insert(folded, session);
            return Ok(wish.clone());
        }
        let alias = inner.free_guest();
        inner.aliases.insert(alias.folded(), session);
        Ok(alias)
    }

    /// Free the alias that a session has.
    pub(super) fn release(&self, alias: &Alias, session: SessionId) {
        let mut inner = self.inner.lock();
        let folded = alias.folded();
        if inner.aliases.get(&folded) == Some(&session) {
            inner.aliases.remove(&folded);
        }
    }

    /// How many connections are open, and how many of them have an alias.
    pub(super) fn counts(&self) -> (usize, usize) {
        let inner = self.inner.lock();
        (inner.connections.open(), inner.aliases.len())
    }

    /// Every connection at this moment.
    pub(super) fn all(&self) -> Vec<Arc<Conn>> {
        self.inner.lock().conns.values().cloned().collect()
    }

    /// Connections in the order of their ids, behind `after`; and whether there are more.
    pub(super) fn page(&self, after: Option<SessionId>, limit: usize) -> (Vec<Arc<Conn>>, bool) {
        let inner = self.inner.lock();
        let low = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut conns = inner.conns.range((low, Bound::Unbounded)).map(|(_, conn)| conn);
        let mut page = Vec::new();
        for conn in conns.by_ref().filter(|conn| conn.identity().is_some()) {
            if page.len() == limit {
                return (page, true);
            }
            page.push(Arc::clone(conn));
        }
        (page, false)
    }

    /// Ask every connection to close.
    pub(super) fn close_all(&self, close: &Close) {
        for conn in self.all() {
            conn.request_close(close.clone());
        }
    }
}

impl Inner {
    /// `ada` → `ada2`, `ada3`, …
    fn free_like(&mut self, wish: &Alias) -> Alias {
        for n in 2..1000 {
            let suffix = n.to_string();
            let head: String = wish.as_str().chars().take(Alias::MAX_CHARS - suffix.len()).collect();
            if let Ok(alias) = Alias::parse(&format!("{}{suffix}", head.trim_end()))
                && !self.aliases.contains_key(&alias.folded())
            {
                return alias;
            }
        }
        self.free_guest()
    }

    fn free_guest(&mut self) -> Alias {
        loop {
            self.guests += 1;
            let alias = Alias::parse(&format!("guest{}", self.guests)).expect("letters and digits make an alias");
            if !self.aliases.contains_key(&alias.folded()) {
                return alias;
            }
        }
    }
}
