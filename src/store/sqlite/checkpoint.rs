//! Moving the write-ahead log into the database, beside the commits.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

use rusqlite::Connection;

use super::error::Sql;
use super::schema;
use crate::store::StoreError;

/// Pages of 4 KiB that were probably written since the last checkpoint: 4 MiB are moved at once, cheaper than each alone.
const PAGES: u32 = 1024;

/// Pages that may be in the log: at 64 MiB the writer takes part, so that the log can begin anew. With commits without a
/// pause it would otherwise grow for ever.
const TOO_MANY: u32 = 16 * 1024;

/// The thread that does it.
#[derive(Debug)]
pub(super) struct Checkpointer {
    wake: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
    /// Pages in the log, at the last checkpoint.
    log: Arc<AtomicU32>,
    written: u32,
}

impl Checkpointer {
    pub(super) fn start(path: &Path) -> Result<Self, StoreError> {
        let conn = schema::connect(path)?;
        let log = Arc::new(AtomicU32::new(0));
        let (wake, woken) = sync_channel::<()>(1);
        let thread = super::spawn("chatnet-wal".into(), {
            let log = Arc::clone(&log);
            move || {
                for () in woken {
                    match passive(&conn) {
                        Ok(pages) => log.store(pages, Ordering::Relaxed),
                        // It is tried again; until then the log grows.
                        Err(e) => tracing::warn!("the database's log could not be moved into it: {e}"),
                    }
                }
            }
        })?;
        Ok(Self { wake: Some(wake), thread: Some(thread), log, written: 0 })
    }

    /// After a transaction of about so many bytes.
    pub(super) fn wrote(&mut self, conn: &Connection, bytes: u64) {
        // A page for each of a handful of tables, and what the rows need.
        self.written += 4 + (bytes / 4096) as u32;
        if self.written < PAGES {
            return;
        }
        self.written = 0;
        if self.log.load(Ordering::Relaxed) > TOO_MANY {
            match passive(conn) {
                Ok(pages) => self.log.store(pages, Ordering::Relaxed),
                Err(e) => tracing::warn!("the database's log could not be moved into it: {e}"),
            }
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

/// As far as no reader is held up by it; pages in the log.
fn passive(conn: &Connection) -> Sql<u32> {
    conn.query_row("PRAGMA wal_checkpoint(PASSIVE)", (), |row| {
        let (log, moved): (i64, i64) = (row.get(1)?, row.get(2)?);
        // Moved as a whole, it begins anew with the next commit.
        Ok(if log == moved { 0 } else { log.max(0) as u32 })
    })
}

/// All of it, and nothing stays in the log; false if a reader still needs it.
pub(super) fn truncate(conn: &Connection) -> Sql<bool> {
    conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |row| Ok(row.get::<_, i64>(0)? == 0))
}
