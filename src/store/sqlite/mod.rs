//! Logs in an SQLite database: they outlive the process.
//!
//! One thread writes, two read, one moves the write-ahead log into the database; no runtime is involved. Every commit
//! that waits when the writer becomes free shares the next transaction. Events are committed first and indexed for
//! searching later, when nothing waits; a search looks through the newest ones itself.

mod backup;
mod check;
mod checkpoint;
mod commit;
mod error;
mod lock;
mod people;
mod read;
mod readers;
mod schema;
mod search;
mod settle;
#[cfg(test)]
mod tests;
mod trim;
mod writer;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::thread::JoinHandle;

use futures::channel::oneshot;
use parking_lot::Mutex;

pub use check::Findings;

use super::words::words;
use super::{
    AuditRecord, Batch, Commit, Extent, Log, OutboxRecord, ReadPage, Retention, SearchPage, Snapshot, StoreError,
    StoreErrorKind, Taken,
};
use crate::id::{Lineage, OutboxId, RoomId, Seq, Timestamp};
use crate::protocol::EventKind;
use error::{Sql, closed, told};
use lock::Lock;
use read::Moment;
use readers::{Cost, Readers};
use writer::{Job, Writer};

/// How safe a commit is when it counts as kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Durability {
    /// Synced to the device (`fsync`) before it is acknowledged. Neither a killed process nor a power cut loses anything
    /// that was acknowledged, if the device keeps what it says it has. Costs one sync a commit; events that arrive during
    /// it share the next.
    #[default]
    Full,
    /// Handed to the operating system. A killed process (`kill -9`) loses nothing; a power cut or a crash of the system
    /// can lose the last seconds that were acknowledged, though never anything from between. The database stays sound.
    Normal,
}

/// Settings of an [`SqliteStore`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SqliteOptions {
    durability: Durability,
    max_bytes: Option<u64>,
    scan: u64,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self { durability: Durability::default(), max_bytes: None, scan: 1024 }
    }
}

impl SqliteOptions {
    /// How safe a commit is when it counts as kept. Default: [`Durability::Full`].
    #[must_use]
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// The size beyond which the database doesn't grow: then it is [`StoreErrorKind::Full`], as if the device were, until
    /// something is trimmed. The write-ahead log beside it comes on top. Default: none.
    #[must_use]
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = Some(bytes);
        self
    }

    /// How many of a room's newest events a search looks through, because they are not in the index yet; for more it has
    /// them indexed first, which commits may have to wait for. Default: 1,024, which takes some milliseconds.
    #[must_use]
    pub fn scan(mut self, events: u32) -> Self {
        self.scan = events.into();
        self
    }
}

/// A store in an SQLite database: a file, and its companions `-wal`, `-shm` and `-lock` beside it.
///
/// Dropping it waits for what is being written; [`Log::close`] does that without blocking.
pub struct SqliteStore {
    path: PathBuf,
    lineage: Lineage,
    jobs: Mutex<Option<Sender<Job>>>,
    readers: Mutex<Readers>,
    writer: Mutex<Option<JoinHandle<()>>>,
    closing: settle::Closing,
    scan: u64,
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore").field("path", &self.path).field("lineage", &self.lineage).finish_non_exhaustive()
    }
}

impl SqliteStore {
    /// Open a database, or make one where there is none (its directory must be there). An older version is brought up
    /// to date. Blocks for moments: milliseconds, however large it is, but for what a crash has left to recover.
    ///
    /// # Errors
    ///
    /// Another process has it open ([`StoreErrorKind::InUse`]), a later version wrote it ([`StoreErrorKind::Newer`]),
    /// it is damaged or not ours ([`StoreErrorKind::Damaged`]), or it can't be read or written. Nothing is overwritten.
    pub fn open(path: impl Into<PathBuf>, options: SqliteOptions) -> Result<Self, StoreError> {
        let path = path.into();
        let lock = Lock::take(&path)?;
        let conn = schema::open(&path)?;
        let lineage = schema::lineage(&conn)?;
        let closing = settle::Closing::default();
        let readers = Readers::start(&path)?;
        let (jobs, waiting) = std::sync::mpsc::channel();
        let scan = options.scan;
        let writer = Writer::new(conn, lock, path.clone(), options, closing.clone())?;
        let writer = spawn("chatnet-write".into(), move || writer.run(&waiting))?;
        Ok(Self {
            path,
            lineage,
            jobs: Mutex::new(Some(jobs)),
            readers: Mutex::new(readers),
            writer: Mutex::new(Some(writer)),
            closing,
            scan,
        })
    }

    /// Copy the database at `from`, which may be in use by a running server, to the new file `to`: all of one moment,
    /// synced when this returns. Blocks its thread while it copies; the server goes on. What is deleted later on stays in
    /// such copies.
    ///
    /// # Errors
    ///
    /// `to` exists, or something can't be read or written; then there is no file `to`.
    pub fn backup(from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<(), StoreError> {
        backup::backup(from.as_ref(), to.as_ref())
    }

    /// Make a database at `to`, where there is none, from the backup `from`. It begins another life, with a lineage of
    /// its own: what was written after the backup is not there, and cursors into that are recognised.
    ///
    /// # Errors
    ///
    /// There is a database already, the backup is damaged, or something can't be read or written; then there is no
    /// file `to`.
    pub fn restore(from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<(), StoreError> {
        backup::restore(from.as_ref(), to.as_ref())
    }

    /// Look through the whole database at `path`, which may be in use: whether it is sound, whether every room's log is
    /// without gaps, and whether the index has all of it. Blocks its thread; takes about ten seconds for a million events.
    ///
    /// # Errors
    ///
    /// It can't be read at all. What is wrong inside is in the [`Findings`].
    pub fn check(path: impl AsRef<Path>) -> Result<Findings, StoreError> {
        check::check(path.as_ref())
    }

    async fn ask<T>(&self, job: impl FnOnce(oneshot::Sender<Result<T, StoreError>>) -> Job) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let sent = self.jobs.lock().as_ref().is_some_and(|jobs| jobs.send(job(reply)).is_ok());
        if !sent {
            return Err(closed());
        }
        answer.await.unwrap_or_else(|_| Err(closed()))
    }

    async fn look<T: Send + 'static>(
        &self,
        f: impl FnOnce(&mut Moment<'_>) -> Sql<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.look_for(Cost::Page, f).await
    }

    async fn look_for<T: Send + 'static>(
        &self,
        cost: Cost,
        f: impl FnOnce(&mut Moment<'_>) -> Sql<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let sent = self.readers.lock().run(cost, move |reader| {
            // Whoever asked may have stopped waiting while others were served.
            if !reply.is_canceled() {
                let _ = reply.send(reader.snapshot(f));
            }
        });
        if !sent {
            return Err(closed());
        }
        answer.await.map_err(|_| closed())?.map_err(|e| told(&e))
    }

    fn stop(&self) -> (Option<JoinHandle<()>>, Option<Sender<Job>>) {
        self.closing.begin();
        (self.writer.lock().take(), self.jobs.lock().take())
    }
}

impl Log for SqliteStore {
    fn lineage(&self) -> Lineage {
        self.lineage
    }

    async fn load(&self) -> Result<Snapshot, StoreError> {
        self.look(|now| now.load()).await
    }

    async fn append(&self, commit: Commit) -> Result<Vec<Arc<Batch>>, StoreError> {
        if commit.batches.iter().any(|batch| batch.events.is_empty()) {
            return Err(StoreError::new(StoreErrorKind::Other, "a batch has no events"));
        }
        self.ask(|reply| Job::Append(commit, reply)).await
    }

    async fn read(&self, room: RoomId, after: Seq, max_bytes: usize) -> Result<ReadPage, StoreError> {
        self.look(move |now| now.read(room, after, max_bytes)).await
    }

    async fn read_back(
        &self,
        room: RoomId,
        before: Seq,
        limit: usize,
        max_bytes: usize,
    ) -> Result<ReadPage, StoreError> {
        self.look(move |now| now.read_back(room, before, limit, max_bytes)).await
    }

    async fn extent(&self, room: RoomId) -> Result<Extent, StoreError> {
        self.look(move |now| now.extent(room)).await
    }

    async fn seq_at(&self, room: RoomId, at: Timestamp) -> Result<Seq, StoreError> {
        self.look(move |now| now.seq_at(room, at)).await
    }

    async fn search(&self, room: RoomId, query: &str, before: Seq, limit: usize) -> Result<SearchPage, StoreError> {
        let words = words(query);
        if words.is_empty() || limit == 0 {
            return Ok(SearchPage::default());
        }
        let scan = self.scan;
        if self.look(move |now| search::is_behind(now.conn, room, scan)).await? {
            self.ask(|reply| Job::Index(room, reply)).await?;
        }
        self.look_for(Cost::Search, move |now| search::search(now, room, &words, before, limit)).await
    }

    async fn outbox(&self, room: RoomId, outbox: OutboxId) -> Result<Option<OutboxRecord>, StoreError> {
        self.look(move |now| now.outbox(room, outbox)).await
    }

    async fn taken(&self, room: RoomId, outbox: OutboxId, n: u64) -> Result<Option<Taken>, StoreError> {
        self.look(move |now| now.taken(room, outbox, n)).await
    }

    async fn trim(&self, room: RoomId, keep: Retention, now: Timestamp) -> Result<Seq, StoreError> {
        self.ask(|reply| Job::Trim { room, keep, now, reply }).await
    }

    async fn redact(&self, room: RoomId, seq: Seq, kind: EventKind, body: &[u8]) -> Result<bool, StoreError> {
        let body = body.to_vec();
        self.ask(|reply| Job::Redact { room, seq, kind, body, reply }).await
    }

    async fn audit(&self, before: u64, limit: usize) -> Result<Vec<(u64, AuditRecord)>, StoreError> {
        self.look(move |now| people::audit(now.conn, before, limit)).await
    }

    async fn close(&self) {
        let (done, closed) = oneshot::channel();
        let (writer, jobs) = self.stop();
        if let Some(jobs) = jobs {
            let _ = jobs.send(Job::Close(done));
            drop(jobs);
            let _ = closed.await;
        }
        if let Some(writer) = writer {
            // It has said that it is done: this is over at once.
            let _ = writer.join();
        }
        self.readers.lock().stop();
    }
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        let (writer, jobs) = self.stop();
        drop(jobs);
        if let Some(writer) = writer {
            let _ = writer.join();
        }
        self.readers.get_mut().stop();
    }
}

fn spawn(name: String, f: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, StoreError> {
    let text = |e| StoreError::new(StoreErrorKind::Other, format!("the system gives no thread: {e}"));
    std::thread::Builder::new().name(name).spawn(f).map_err(text)
}
