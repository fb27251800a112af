//! The one thread that writes.
//!
//! Commits go first, and share a transaction. Whatever else there is to do (indexing, trimming, removing dropped rooms,
//! wiping deleted text out of the log) is done in steps of a few milliseconds between them.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::{Duration, Instant};

use futures::channel::oneshot;
use rusqlite::Connection;

use super::checkpoint::{self, Checkpointer};
use super::commit::{Effects, Known};
use super::error::{Sql, closed, is_ambiguous, told, told_of};
use super::lock::Lock;
use super::settle::{self, Closing};
use super::{Durability, SqliteOptions, schema, search, trim};
use crate::id::{RoomId, Seq, Timestamp};
use crate::protocol::EventKind;
use crate::store::{Batch, Commit, Retention, StoreError, StoreErrorKind};

/// A commit's batches, numbered.
type Appended = Vec<Arc<Batch>>;

pub(super) type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

/// What the writer is asked for.
#[derive(Debug)]
pub(super) enum Job {
    Append(Commit, Reply<Appended>),
    Index(RoomId, Reply<()>),
    Trim { room: RoomId, keep: Retention, now: Timestamp, reply: Reply<Seq> },
    Redact { room: RoomId, seq: Seq, kind: EventKind, body: Vec<u8>, reply: Reply<bool> },
    Close(oneshot::Sender<()>),
}

/// Work that is done in steps.
#[derive(Debug)]
enum Task {
    Index(RoomId, Reply<()>),
    Trim {
        room: RoomId,
        keep: Retention,
        now: Timestamp,
        reply: Reply<Seq>,
    },
    /// Remove the logs of dropped rooms.
    Purge,
    /// Rewrite the index without what is marked as gone.
    Merge {
        is_first: bool,
    },
    /// Get what was deleted out of the write-ahead log; whoever waits for that is told.
    Wipe {
        reply: Option<Reply<bool>>,
        until: Instant,
    },
}

/// What becomes of a task after a step.
enum Step {
    Done,
    /// At once, if nothing else is to be done.
    Again(Task),
    /// In a while.
    Later(Task),
}

/// No commit for so long: time to index.
const IDLE: Duration = Duration::from_millis(50);

/// Events that may wait for the index while commits come without a pause: a search that waits for them waits a third of
/// a second.
const MAX_UNINDEXED: u64 = 16 * 1024;

/// Events indexed between two commits: about ten milliseconds.
const INDEX_STEP: u64 = 512;

/// Between two attempts to wipe the log, while somebody reads an older state.
const WIPE_WAIT: Duration = Duration::from_millis(20);

/// How long it is tried; a backup that runs beside may read for so long.
const WIPE_LIMIT: Duration = Duration::from_secs(60);

/// Bytes of bodies that share a transaction.
const GROUP_BYTES: usize = 16 << 20;

#[derive(Debug)]
pub(super) struct Writer {
    conn: Connection,
    path: PathBuf,
    options: SqliteOptions,
    closing: Closing,
    checkpointer: Checkpointer,
    known: Known,
    tasks: VecDeque<Task>,
    /// Events that wait for the index, by the room's number.
    unindexed: BTreeMap<i64, u64>,
    /// Nothing can be written any more; what comes is refused.
    broken: Option<StoreError>,
    #[cfg(test)]
    pub(super) fault: Option<super::tests::Fault>,
    /// Let go last.
    _lock: Lock,
}

impl Writer {
    pub(super) fn new(
        conn: Connection,
        lock: Lock,
        path: PathBuf,
        options: SqliteOptions,
        closing: Closing,
    ) -> Result<Self, StoreError> {
        let look = || -> Sql<_> {
            configure(&conn, &options)?;
            Ok((search::behind(&conn)?, trim::has_gone(&conn)?, search::is_marked(&conn)?))
        };
        let (unindexed, gone, marked) = look().map_err(|e| told_of(&path, &e))?;
        Ok(Self {
            checkpointer: Checkpointer::start(&path)?,
            conn,
            path,
            options,
            closing,
            known: Known::default(),
            tasks: [gone.then_some(Task::Purge), marked.then_some(Task::Merge { is_first: true })]
                .into_iter()
                .flatten()
                .collect(),
            unindexed,
            broken: None,
            #[cfg(test)]
            fault: super::tests::take_fault(),
            _lock: lock,
        })
    }

    /// Until the store is closed or dropped.
    pub(super) fn run(mut self, jobs: &Receiver<Job>) {
        let mut idle = false;
        let done = loop {
            match self.next(jobs, idle) {
                Next::Job(job) => {
                    idle = false;
                    if let Some(done) = self.serve(job, jobs) {
                        break Some(done);
                    }
                }
                Next::Step => self.step(),
                Next::Idle => {
                    idle = true;
                    self.index_some(INDEX_STEP);
                }
                Next::End => break None,
            }
        };
        self.end();
        drop(self);
        if let Some(done) = done {
            let _ = done.send(());
        }
    }

    fn next(&self, jobs: &Receiver<Job>, idle: bool) -> Next {
        if self.tasks.iter().any(|task| !matches!(task, Task::Wipe { .. })) {
            return match jobs.try_recv() {
                Ok(job) => Next::Job(job),
                Err(TryRecvError::Empty) => Next::Step,
                Err(TryRecvError::Disconnected) => Next::End,
            };
        }
        let (wait, then) = match (self.tasks.is_empty(), self.unindexed.is_empty()) {
            (false, _) => (WIPE_WAIT, Next::Step),
            (true, false) if idle => (Duration::ZERO, Next::Idle),
            (true, false) => (IDLE, Next::Idle),
            (true, true) => return jobs.recv().map_or(Next::End, Next::Job),
        };
        match jobs.recv_timeout(wait) {
            Ok(job) => Next::Job(job),
            Err(RecvTimeoutError::Timeout) => then,
            Err(RecvTimeoutError::Disconnected) => Next::End,
        }
    }

    /// Take a job and all commits that wait behind it.
    fn serve(&mut self, job: Job, jobs: &Receiver<Job>) -> Option<oneshot::Sender<()>> {
        let (mut group, mut bytes, mut next) = (Vec::new(), 0, Some(job));
        while let Some(job) = next {
            match job {
                Job::Append(commit, reply) => {
                    bytes += commit.batches.iter().map(|batch| batch.events.bytes()).sum::<usize>();
                    group.push((commit, reply));
                }
                Job::Index(room, reply) => self.tasks.push_front(Task::Index(room, reply)),
                Job::Trim { room, keep, now, reply } => {
                    self.tasks.push_back(Task::Trim { room, keep, now, reply });
                }
                Job::Redact { room, seq, kind, body, reply } => {
                    // What is committed comes before what changes it.
                    self.commit(std::mem::take(&mut group));
                    self.redact(room, seq, kind, &body, reply);
                }
                Job::Close(done) => {
                    self.commit(group);
                    return Some(done);
                }
            }
            next = if bytes < GROUP_BYTES { jobs.try_recv().ok() } else { None };
        }
        let events = self.commit(group);
        if self.unindexed.values().sum::<u64>() > MAX_UNINDEXED {
            // Twice what comes in, so that the rest becomes less.
            self.index_some(INDEX_STEP.max(2 * events));
        }
        None
    }

    /// One transaction for all of them; how many events.
    fn commit(&mut self, group: Vec<(Commit, Reply<Appended>)>) -> u64 {
        if group.is_empty() {
            return 0;
        }
        let (commits, replies): (Vec<_>, Vec<_>) = group.into_iter().unzip();
        match self.write(commits) {
            Ok((answers, fx)) => {
                let events = fx.unindexed.values().sum();
                for (room, count) in fx.unindexed {
                    *self.unindexed.entry(room).or_default() += count;
                }
                if fx.dropped && !self.tasks.iter().any(|task| matches!(task, Task::Purge)) {
                    self.tasks.push_back(Task::Purge);
                }
                for (reply, answer) in replies.into_iter().zip(answers) {
                    let _ = reply.send(Ok(answer));
                }
                events
            }
            Err(e) => {
                for reply in replies {
                    let _ = reply.send(Err(e.clone()));
                }
                0
            }
        }
    }

    fn write(&mut self, commits: Vec<Commit>) -> Result<(Vec<Appended>, Effects), StoreError> {
        let mut fx = Effects::default();
        // A change's row may lie anywhere, on a page of its own.
        let changed = commits.iter().map(|commit| commit.changes.len() as u64 * 4096).sum::<u64>();
        let answers = self.transaction(|conn, known| {
            let answers = commits.into_iter().map(|commit| known.apply(conn, commit, &mut fx)).collect::<Sql<_>>();
            answers.map(|answers: Vec<Appended>| {
                let bytes: u64 = answers.iter().flatten().map(|batch| batch.new.events.bytes() as u64).sum();
                (answers, changed + bytes)
            })
        })?;
        Ok((answers, fx))
    }

    /// Do something within a transaction, all or nothing; `f` also says about how many bytes it wrote.
    fn transaction<T>(&mut self, f: impl FnOnce(&Connection, &mut Known) -> Sql<(T, u64)>) -> Result<T, StoreError> {
        if let Some(e) = &self.broken {
            return Err(e.clone());
        }
        let begin = || -> Sql<_> {
            self.conn.execute_batch("BEGIN IMMEDIATE")?;
            let (answer, bytes) = f(&self.conn, &mut self.known)?;
            let mark = self.known.finish(&self.conn)?;
            Ok((answer, bytes, mark))
        };
        let (answer, bytes, mark) = match begin() {
            Ok(begun) => begun,
            Err(e) => {
                self.roll_back();
                return Err(told(&e));
            }
        };
        #[cfg(test)]
        let committed = super::tests::commit(&self.conn, &mut self.fault);
        #[cfg(not(test))]
        let committed = self.conn.execute_batch("COMMIT");
        match committed {
            Ok(()) => {
                self.checkpointer.wrote(&self.conn, bytes);
                Ok(answer)
            }
            Err(e) if is_ambiguous(&e) => {
                tracing::error!("a commit could not be synced: {e}");
                self.roll_back();
                let (conn, kept) = settle::settle(&self.path, mark, &self.closing)
                    .and_then(|(conn, kept)| {
                        configure(&conn, &self.options).map_err(|e| told_of(&self.path, &e))?;
                        Ok((conn, kept))
                    })
                    .inspect_err(|e| self.broken = Some(e.clone()))?;
                self.conn = conn;
                if kept { Ok(answer) } else { Err(told(&e)) }
            }
            Err(e) => {
                self.roll_back();
                Err(told(&e))
            }
        }
    }

    fn roll_back(&mut self) {
        self.known.clear();
        if !self.conn.is_autocommit()
            && let Err(e) = self.conn.execute_batch("ROLLBACK")
        {
            tracing::error!("a transaction could not be rolled back: {e}");
        }
    }

    fn step(&mut self) {
        let Some(task) = self.tasks.pop_front() else { return };
        match self.one_step(task) {
            Step::Done => {}
            // Behind the others: they take turns.
            Step::Again(task) | Step::Later(task) => self.tasks.push_back(task),
        }
    }

    fn one_step(&mut self, task: Task) -> Step {
        match task {
            Task::Index(room, reply) => {
                let no = match search::number(&self.conn, room) {
                    Ok(no) => no,
                    Err(e) => {
                        let _ = reply.send(Err(told(&e)));
                        return Step::Done;
                    }
                };
                let Some(no) = no else {
                    let _ = reply.send(Ok(()));
                    return Step::Done;
                };
                match self.index(no, INDEX_STEP) {
                    Ok(0) => {
                        let _ = reply.send(Ok(()));
                        Step::Done
                    }
                    // Nobody waits for it any more; the rest comes in its time.
                    Ok(_) if reply.is_canceled() => Step::Done,
                    Ok(_) => Step::Again(Task::Index(room, reply)),
                    Err(e) => {
                        let _ = reply.send(Err(e));
                        Step::Done
                    }
                }
            }
            Task::Trim { room, keep, now, reply } => {
                let step = self.transaction(|conn, known| {
                    let step = trim::step(conn, room, keep, now)?;
                    known.forget(room);
                    Ok((step, step.bytes))
                });
                match step {
                    Ok(step) => {
                        self.marked(step.is_marked);
                        if step.more {
                            return Step::Again(Task::Trim { room, keep, now, reply });
                        }
                        if !step.is_marked && step.bytes > 0 {
                            self.wipe(None);
                        }
                        let _ = reply.send(Ok(step.trimmed));
                        Step::Done
                    }
                    Err(e) => {
                        let _ = reply.send(Err(e));
                        Step::Done
                    }
                }
            }
            Task::Purge => match self.transaction(|conn, _| trim::purge(conn).map(|step| (step, 64 * 4096))) {
                Ok(step) => {
                    self.marked(step.is_marked);
                    if step.more {
                        return Step::Again(Task::Purge);
                    }
                    self.wipe(None);
                    Step::Done
                }
                Err(e) => {
                    tracing::warn!("the log of a room that has ended was not removed yet: {e}");
                    Step::Done
                }
            },
            // It waits for the others, which may mark more.
            Task::Merge { .. } if self.tasks.iter().any(|task| matches!(task, Task::Trim { .. } | Task::Purge)) => {
                Step::Again(task)
            }
            Task::Merge { is_first } => match self.transaction(|conn, _| {
                let more = search::merge(conn, is_first)?;
                Ok((more, 64 * 4096))
            }) {
                Ok(true) => Step::Again(Task::Merge { is_first: false }),
                Ok(false) => {
                    self.wipe(None);
                    Step::Done
                }
                Err(e) => {
                    tracing::warn!("words of deleted texts are still in the index: {e}");
                    Step::Done
                }
            },
            Task::Wipe { reply, until } => self.try_wipe(reply, until),
        }
    }

    /// Entries of the index were marked as gone.
    fn marked(&mut self, is_marked: bool) {
        if is_marked {
            self.tasks.retain(|task| !matches!(task, Task::Merge { .. }));
            self.tasks.push_back(Task::Merge { is_first: true });
        }
    }

    /// Index something, for nobody in particular.
    fn index_some(&mut self, mut events: u64) {
        while let (true, Some((&room, _))) = (events > 0, self.unindexed.first_key_value()) {
            match self.index(room, events) {
                Ok(0) => drop(self.unindexed.remove(&room)),
                Ok(done) => events = events.saturating_sub(done),
                Err(e) => {
                    // The next event of the room, or a search, brings it back.
                    self.unindexed.remove(&room);
                    tracing::warn!("a room could not be indexed: {e}");
                }
            }
        }
    }

    /// Index up to so many events of a room; how many it were.
    fn index(&mut self, room: i64, events: u64) -> Result<u64, StoreError> {
        // It can be done again after a power cut; the next commit's sync includes it.
        let full = self.options.durability == Durability::Full;
        let relax = |conn: &Connection, durability| {
            if full { schema::sync(conn, durability).map_err(|e| told(&e)) } else { Ok(()) }
        };
        relax(&self.conn, Durability::Normal)?;
        let done = self.transaction(|conn, _| search::index(conn, room, events));
        relax(&self.conn, Durability::Full)?;
        let done = done?;
        match self.unindexed.get_mut(&room) {
            Some(waiting) if *waiting > done && done > 0 => *waiting -= done,
            _ => drop(self.unindexed.remove(&room)),
        }
        Ok(done)
    }

    fn redact(&mut self, room: RoomId, seq: Seq, kind: EventKind, body: &[u8], reply: Reply<bool>) {
        match self.transaction(|conn, _| Ok((trim::redact(conn, room, seq, kind, body)?, body.len() as u64))) {
            // It may be the second attempt, whose first one could not be wiped.
            Ok(true) => self.wipe(Some(reply)),
            answer => drop(reply.send(answer)),
        }
    }

    fn wipe(&mut self, reply: Option<Reply<bool>>) {
        match self.try_wipe(reply, Instant::now() + WIPE_LIMIT) {
            Step::Done => {}
            Step::Again(task) | Step::Later(task) => self.tasks.push_back(task),
        }
    }

    fn try_wipe(&mut self, reply: Option<Reply<bool>>, until: Instant) -> Step {
        // Never waiting: commits would wait, too.
        let wiped = self.conn.busy_timeout(Duration::ZERO).and_then(|()| checkpoint::truncate(&self.conn));
        let _ = self.conn.busy_timeout(schema::BUSY);
        let answer = match wiped {
            Ok(true) => Ok(true),
            Err(e) if e.sqlite_error_code() != Some(rusqlite::ErrorCode::DatabaseBusy) => Err(told(&e)),
            _ if Instant::now() < until => return Step::Later(Task::Wipe { reply, until }),
            _ => {
                let text = "the event is replaced, but a backup or another reader still needs the log that has the old \
                            one; do it again when that is done";
                Err(StoreError::new(StoreErrorKind::Io, text))
            }
        };
        match (reply, answer) {
            (Some(reply), answer) => drop(reply.send(answer)),
            (None, Err(e)) => tracing::warn!("deleted text is still in the database's log: {e}"),
            (None, Ok(_)) => {}
        }
        Step::Done
    }

    fn end(&mut self) {
        for task in self.tasks.drain(..) {
            match task {
                Task::Index(_, reply) => drop(reply.send(Err(closed()))),
                Task::Trim { reply, .. } => drop(reply.send(Err(closed()))),
                Task::Wipe { reply: Some(reply), .. } => drop(reply.send(Err(closed()))),
                Task::Wipe { reply: None, .. } | Task::Purge | Task::Merge { .. } => {}
            }
        }
        self.checkpointer.stop();
        // So that the file alone is a copy of everything; if it can't be, the log beside it has the rest.
        if let Err(e) = checkpoint::truncate(&self.conn) {
            tracing::warn!("the database's log could not be moved into it: {e}");
        }
    }
}

enum Next {
    Job(Job),
    Step,
    Idle,
    End,
}

fn configure(conn: &Connection, options: &SqliteOptions) -> Sql<()> {
    schema::sync(conn, options.durability)?;
    if let Some(bytes) = options.max_bytes {
        let page: i64 = conn.pragma_query_value(None, "page_size", |row| row.get(0))?;
        let pages = (i64::try_from(bytes).unwrap_or(i64::MAX) / page).max(1);
        conn.query_row(&format!("PRAGMA max_page_count = {pages}"), (), |_| Ok(()))?;
    }
    Ok(())
}
