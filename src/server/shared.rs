//! What all tasks of a server share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use futures::channel::oneshot;

use super::builder::Config;
use super::committer::{CommitQueue, Submission};
use super::conn::Conn;
use super::flusher::FlushQueue;
use super::guess::Login;
use super::people::People;
use super::places::Places;
use super::probe::Probes;
use super::reads::Reads;
use super::registry::Sessions;
use super::rooms::{Room, Rooms};
use super::toll::Tolls;
use crate::auth::DynAuthenticator;
use crate::handler::{DynHandler, Interests};
use crate::id::Timestamp;
use crate::room::Author;
use crate::rt::{Gate, Signal, TaskGroup, Turns};
use crate::store::{Change, DynLog, StoreError, StoreErrorKind};

/// Who comes and goes gets this part of the server's time, one in so many, when there are many of them and there is much else to do.
pub(super) const ENTERING_PARTS: u32 = 4;

/// A server's state.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) config: Config,
    pub(super) store: Arc<dyn DynLog>,
    pub(super) handler: Option<Arc<dyn DynHandler>>,
    pub(super) interests: Interests,
    pub(super) authenticator: Option<Arc<dyn DynAuthenticator>>,
    pub(super) people: People,
    pub(super) login: Login,
    pub(super) reads: Reads,
    /// Those who search, one at a time.
    pub(super) searches: Arc<Places>,
    pub(super) rooms: Rooms,
    pub(super) sessions: Sessions,
    pub(super) commits: CommitQueue,
    pub(super) probes: Probes,
    /// Less of a room is to be kept.
    pub(super) trims: Signal,
    pub(super) flushes: Vec<FlushQueue>,
    /// None if there are no limits.
    pub(super) tolls: Option<Tolls>,
    /// Connections that are taken, handshakes, joins, and ends: what a storm of people consists of takes turns.
    pub(super) entering: Turns,
    pub(super) clock: Clock,
    pub(super) counters: Counts,
    /// Connections and writers: what a shutdown waits for.
    pub(super) tasks: TaskGroup,
    /// Committer, flushers, sweeper: what serves them.
    pub(super) engine: TaskGroup,
    pub(super) stop: Stop,
    #[cfg(feature = "tls")]
    pub(super) tls: Option<crate::transport::tls::Handshakes>,
    /// The author of what the application publishes.
    pub(super) app: Arc<Author>,
    /// The connection of members that have none.
    pub(super) nobody: Arc<Conn>,
}

impl Shared {
    /// Whether a session outlives a broken connection.
    pub(super) fn keeps_sessions(&self) -> bool {
        !self.config.grace.is_zero()
    }

    /// Have a change kept; in order with what is published.
    pub(super) fn keep(&self, change: Change) {
        self.commits.submit(Submission::Record(change, None));
    }

    /// Have a change kept, and wait until it is. False if it can't be at the moment; it is tried again.
    pub(super) async fn kept(&self, change: Change) -> bool {
        let (done, kept) = oneshot::channel();
        self.commits.submit(Submission::Record(change, Some(done)));
        kept.await.is_ok()
    }

    /// Have changes kept, and wait until they are.
    pub(super) async fn keep_surely(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        let (done, kept) = oneshot::channel();
        self.commits.submit(Submission::Sure { changes, done });
        let stopped = || StoreError::new(StoreErrorKind::Closed, "the server is stopping");
        kept.await.unwrap_or_else(|_| Err(stopped()))
    }

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

    /// Nanoseconds since the server began, plus one; exact.
    pub(super) fn nanos(&self) -> u64 {
        self.began.elapsed().as_nanos() as u64 + 1
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
    pub(super) handshakes: AtomicU64,
    pub(super) resumed: AtomicU64,
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
