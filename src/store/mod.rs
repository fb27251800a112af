//! Where events, and what must outlive the process beside them, are kept: the port, and the stores that come with it.
//!
//! A store of your own implements [`Log`] and is given to [`ServerBuilder::store`](crate::ServerBuilder::store).

mod dynamic;
mod memory;
mod people;
mod records;
mod shared;
#[cfg(feature = "sqlite")]
mod sqlite;
mod words;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

pub use crate::room::{Author, BanTarget, Batch, NewBatch, PublishId, Run, Taken};
pub(crate) use dynamic::DynLog;
pub use memory::MemoryStore;
pub use people::{AccountRecord, AuditRecord, BanRecord, CodeRecord, SettingsRecord, StandingRecord};
pub use records::{Change, MemberRecord, RoomRecord, SessionRecord, Snapshot, TokenHash};
#[cfg(feature = "sqlite")]
pub use sqlite::{Durability, Findings, SqliteOptions, SqliteStore};

use crate::id::{Lineage, OutboxId, RoomId, Seq, Timestamp};
use crate::protocol::EventKind;

/// Rooms as append-only logs, and the records that are changed together with them.
///
/// A room's events are numbered from 1 without gaps, and its times never go backwards. Every method may be called
/// from many tasks at once, except [`append`](Self::append), which the server calls one at a time.
///
/// Implement it with plain `async fn`s. None of them may block its thread: hand blocking work to a thread of your own.
/// Dropping a call's future doesn't undo what it has begun.
pub trait Log: fmt::Debug + Send + Sync + 'static {
    /// This life of the store: cursors of another one mean nothing here. New for every memory start and every restored
    /// backup, otherwise the same for ever.
    fn lineage(&self) -> Lineage;

    /// Everything that is kept besides events. Called once, when a server starts.
    ///
    /// # Errors
    ///
    /// It can't be read.
    fn load(&self) -> impl Future<Output = Result<Snapshot, StoreError>> + Send;

    /// Write a commit: its changes, then its batches, in this order, all of it or nothing. Once it resolves with `Ok`
    /// it is kept, as safely as the store is configured to; an error means that nothing of it was kept and nothing of
    /// it will appear later. (A store that can't know, because a sync failed, finds out before it answers.)
    ///
    /// Returns the batches in the order given, numbered, with the time that they got: `commit.now`, or the room's last
    /// time if that is later. A batch's publish id is kept with it, for [`outbox`](Self::outbox).
    ///
    /// # Errors
    ///
    /// Nothing was kept.
    fn append(&self, commit: Commit) -> impl Future<Output = Result<Vec<Arc<Batch>>, StoreError>> + Send;

    /// Read events behind `after`, in order: batches of about `max_bytes` together, at least one if there is one. A
    /// store may cut and join batches as it likes as long as author, origin, time and publish ids stay right; the first
    /// one may begin before `after`.
    ///
    /// # Errors
    ///
    /// It can't be read.
    fn read(
        &self,
        room: RoomId,
        after: Seq,
        max_bytes: usize,
    ) -> impl Future<Output = Result<ReadPage, StoreError>> + Send;

    /// Read the events before `before`, nearest first in what is chosen but in rising order in the answer: at most
    /// `limit` events, of about `max_bytes` together, at least one if there is one. The batches are cut to exactly these
    /// events. `trimmed` tells the last event that is no longer kept, whether the page reaches it or not.
    ///
    /// # Errors
    ///
    /// It can't be read.
    fn read_back(
        &self,
        room: RoomId,
        before: Seq,
        limit: usize,
        max_bytes: usize,
    ) -> impl Future<Output = Result<ReadPage, StoreError>> + Send;

    /// What a room's log holds. All zero for a room that has no event.
    ///
    /// # Errors
    ///
    /// It can't be read.
    fn extent(&self, room: RoomId) -> impl Future<Output = Result<Extent, StoreError>> + Send;

    /// The first event that is not older than `at`; behind the last one if there is none.
    ///
    /// # Errors
    ///
    /// It can't be read.
    fn seq_at(&self, room: RoomId, at: Timestamp) -> impl Future<Output = Result<Seq, StoreError>> + Send;

    /// Texts with all of the words of `query` (letter case and accents don't count, a word that ends with `*` matches
    /// what begins with it), newest first, before `before`: at most `limit`.
    ///
    /// # Errors
    ///
    /// It can't be read.
    fn search(
        &self,
        room: RoomId,
        query: &str,
        before: Seq,
        limit: usize,
    ) -> impl Future<Output = Result<SearchPage, StoreError>> + Send;

    /// What is known of an outbox in a room; `None` if nothing was ever taken from it. It is known for as long as the
    /// room is there: whoever has the outbox may come back after any time and must not be taken for somebody new. That
    /// costs about a hundred bytes for each client that ever spoke there, whatever it said. A store that forgets one all
    /// the same has its client begin its numbers anew, and may store twice what that had not had answered.
    ///
    /// # Errors
    ///
    /// It can't be read.
    fn outbox(
        &self,
        room: RoomId,
        outbox: OutboxId,
    ) -> impl Future<Output = Result<Option<OutboxRecord>, StoreError>> + Send;

    /// The event that number `n` of an outbox became; `None` if it became none, or the place is no longer known.
    ///
    /// # Errors
    ///
    /// It can't be read.
    fn taken(
        &self,
        room: RoomId,
        outbox: OutboxId,
        n: u64,
    ) -> impl Future<Output = Result<Option<Taken>, StoreError>> + Send;

    /// Drop a room's oldest events as far as `keep` says; the newest event always stays. Returns the last event that is
    /// no longer kept (0 if all are).
    ///
    /// # Errors
    ///
    /// It failed; some events may be gone.
    fn trim(
        &self,
        room: RoomId,
        keep: Retention,
        now: Timestamp,
    ) -> impl Future<Output = Result<Seq, StoreError>> + Send;

    /// Put another body in the place of an event's: the old one is really gone when this resolves, from the log and
    /// from what is searched. False if there is no such event.
    ///
    /// # Errors
    ///
    /// It failed; the old body may still be there.
    fn redact(
        &self,
        room: RoomId,
        seq: Seq,
        kind: EventKind,
        body: &[u8],
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// What was done to keep order, newest first, numbered from 1 in the order of the commits: at most `limit` entries
    /// before number `before`. Default: nothing is kept of it.
    ///
    /// # Errors
    ///
    /// It can't be read.
    fn audit(
        &self,
        before: u64,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<(u64, AuditRecord)>, StoreError>> + Send {
        let _ = (before, limit);
        async { Ok(Vec::new()) }
    }

    /// Finish what is begun and close: later calls fail. Called when a server has shut down, or was dropped; perhaps
    /// more than once.
    fn close(&self) -> impl Future<Output = ()> + Send {
        async {}
    }
}

/// What is written together.
#[derive(Debug, Clone, Default)]
pub struct Commit {
    /// Records to change, before the batches.
    pub changes: Vec<Change>,
    /// Events to append.
    pub batches: Vec<NewBatch>,
    /// The time of day.
    pub now: Timestamp,
}

/// What a read found.
#[derive(Debug, Default)]
pub struct ReadPage {
    /// The last event that is no longer kept, if the reader wanted it (`read`), or at all (`read_back`).
    pub trimmed: Option<Seq>,
    /// Events in rising order.
    pub batches: Vec<Arc<Batch>>,
}

/// What a room's log holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Extent {
    /// The last event that is no longer kept; 0 if all are.
    pub trimmed: Seq,
    /// The last event; 0 if there was none.
    pub head: Seq,
    /// The last event's time.
    pub at: Timestamp,
}

/// What a search found.
#[derive(Debug, Default)]
pub struct SearchPage {
    /// Events, newest first, each a batch of one.
    pub hits: Vec<Arc<Batch>>,
    /// There are more, before the last of these.
    pub more: bool,
}

/// What is known of an outbox in a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutboxRecord {
    /// The last number that was decided: all up to it became events or were refused for good.
    pub decided: u64,
    /// The last run of numbers that became events, if its place is known.
    pub last: Option<Taken>,
}

/// How much of a room's log is kept. What goes beyond one of the bounds is trimmed, the oldest first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Retention {
    /// Events no older than this; none: of any age.
    pub max_age: Option<Duration>,
    /// At most so many events; none: any number.
    pub max_events: Option<u64>,
    /// About so many bytes of bodies; none: any number.
    pub max_bytes: Option<u64>,
}

impl Retention {
    /// Keep everything.
    pub const ALL: Self = Self { max_age: None, max_events: None, max_bytes: None };

    /// Keep events no older than this.
    #[must_use]
    pub const fn max_age(self, age: Duration) -> Self {
        Self { max_age: Some(age), ..self }
    }

    /// Keep at most so many events.
    #[must_use]
    pub const fn max_events(self, events: u64) -> Self {
        Self { max_events: Some(events), ..self }
    }

    /// Keep about so many bytes.
    #[must_use]
    pub const fn max_bytes(self, bytes: u64) -> Self {
        Self { max_bytes: Some(bytes), ..self }
    }
}

/// A store that could not do what it was asked to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreError {
    kind: StoreErrorKind,
    text: String,
}

/// What is wrong with a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// There is no room on the device.
    Full,
    /// Reading or writing failed.
    Io,
    /// What is there can't be right.
    Damaged,
    /// It was written by a later version of this library.
    Newer,
    /// Another process has it open.
    InUse,
    /// The store is closed.
    Closed,
    /// Something else.
    Other,
}

impl StoreError {
    /// An error; `text` says what happened and what to do.
    pub fn new(kind: StoreErrorKind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into() }
    }

    /// What is wrong.
    pub fn kind(&self) -> StoreErrorKind {
        self.kind
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the store failed: {}", self.text)
    }
}

impl std::error::Error for StoreError {}
