//! Moving the write-ahead log into the database, beside the commits.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;
use rusqlite::Connection;

use super::error::Sql;
use super::schema;
use crate::store::StoreError;

/// Pages of 4 KiB that were probably written since the last checkpoint: 4 MiB are moved at once, cheaper than each alone.
const PAGES: u32 = 1024;

/// Pages that may be in the log: at 64 MiB the writer takes part, so that the log can begin anew. With commits without a
/// pause it would otherwise grow for ever.
const TOO_MANY: u32 = 16 * 1024;

/// How long the writer waits for those who read an older state of the log: moments. A backup takes longer, and isn't
/// waited for.
const READERS: Duration = Duration::from_millis(20);

/// The thread that does it.
#[derive(Debug)]
pub(super) struct Checkpointer {
    wake: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
    log: Arc<Log>,
    /// Pages that were written since somebody was told to move them.
    written: u32,
}

/// What is known of the log.
#[derive(Debug, Default)]
struct Log {
    /// Pages in it: at the last checkpoint, and written since.
    pages: AtomicU32,
    /// Held by who moves them: nobody else can meanwhile.
    moving: Mutex<()>,
}

impl Log {
    fn moved(&self, moved: Sql<Option<u32>>) {
        match moved {
            Ok(Some(pages)) => self.pages.store(pages, Ordering::Relaxed),
            // Another program is at it.
            Ok(None) => {}
            // It is tried again; until then the log grows.
            Err(e) => tracing::warn!("the database's log could not be moved into it: {e}"),
        }
    }
}

impl Checkpointer {
    pub(super) fn start(path: &Path) -> Result<Self, StoreError> {
        let conn = schema::connect(path)?;
        let log = Arc::<Log>::default();
        let (wake, woken) = sync_channel::<()>(1);
        let thread = super::spawn("chatnet-wal".into(), {
            let log = Arc::clone(&log);
            move || {
                for () in woken {
                    let _moving = log.moving.lock();
                    log.moved(passive(&conn));
                }
            }
        })?;
        Ok(Self { wake: Some(wake), thread: Some(thread), log, written: 0 })
    }

    /// After a transaction of about so many bytes.
    pub(super) fn wrote(&mut self, conn: &Connection, bytes: u64) {
        // A page for each of a handful of tables, and what the rows need.
        let pages = u32::try_from(bytes / 4096).unwrap_or(u32::MAX).saturating_add(4);
        self.written = self.written.saturating_add(pages);
        if self.written < PAGES {
            return;
        }
        // Also what comes while the thread is still at it.
        let before = self.log.pages.fetch_add(self.written, Ordering::Relaxed);
        self.written = 0;
        if before > TOO_MANY {
            // If the thread is at it, it has to be done first.
            let _moving = self.log.moving.lock();
            let waiting = conn.busy_timeout(READERS);
            self.log.moved(waiting.and_then(|()| restart(conn)));
            let _ = conn.busy_timeout(schema::BUSY);
        } else if let Some(wake) = &self.wake {
            // If it is at work it has been told already.
            let _ = wake.try_send(());
        }
    }

    pub(super) fn stop(&mut self) {
        self.wake = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// As far as no reader is held up by it; pages in the log. None if another checkpoint is under way.
fn passive(conn: &Connection) -> Sql<Option<u32>> {
    conn.query_row("PRAGMA wal_checkpoint(PASSIVE)", (), |row| Ok(left(row.get(0)?, row.get(1)?, row.get(2)?)))
}

/// All of it, waiting for readers, so that it begins anew; pages in the log.
fn restart(conn: &Connection) -> Sql<Option<u32>> {
    conn.query_row("PRAGMA wal_checkpoint(RESTART)", (), |row| {
        let (busy, log): (i64, i64) = (row.get(0)?, row.get(1)?);
        Ok(if busy == 0 { Some(0) } else { u32::try_from(log).ok() })
    })
}

/// What an answer says about the pages in the log.
fn left(busy: i64, log: i64, moved: i64) -> Option<u32> {
    let pages = u32::try_from(log).ok()?;
    // Moved as a whole, it begins anew with the next commit: unless a reader is in the way just then, of which a log that
    // has become long is a sign.
    Some(if busy == 0 && log == moved && pages <= TOO_MANY { 0 } else { pages })
}

/// All of it, and nothing stays in the log; false if a reader still needs it.
pub(super) fn truncate(conn: &Connection) -> Sql<bool> {
    conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |row| Ok(row.get::<_, i64>(0)? == 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_without_numbers_is_not_an_empty_log() {
        assert_eq!(left(1, -1, -1), None);
        assert_eq!(left(0, 900, 900), Some(0));
        assert_eq!(left(0, 900, 300), Some(900));
        assert_eq!(left(1, 900, 900), Some(900));
    }
}
