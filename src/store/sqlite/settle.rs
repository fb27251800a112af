//! A `COMMIT` that failed may have been kept: finding out before anybody is told.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rusqlite::Connection;

use super::checkpoint::truncate;
use super::commit::Mark;
use super::error::told_of;
use super::schema;
use crate::store::{StoreError, StoreErrorKind};

/// Between two attempts; doubled up to the second.
const FIRST_WAIT: Duration = Duration::from_millis(20);
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// Whether the store is being closed.
#[derive(Debug, Clone, Default)]
pub(super) struct Closing(Arc<AtomicBool>);

impl Closing {
    pub(super) fn begin(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    pub(super) fn has_begun(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// Open the database anew, get all that it has into the file proper, and look whether the commit is there.
///
/// After a failed sync the pages of the log may be in memory only, though they look written, and frames of a commit that
/// was given up may be found by whoever opens the file next. Both end when the log's content is written and synced to
/// the database, and the log is cut to nothing: what is there then is kept, what isn't will never be. As long as this
/// can't be done nobody can know, so it is tried until it can.
pub(super) fn settle(path: &Path, mark: Mark, closing: &Closing) -> Result<(Connection, bool), StoreError> {
    let mut wait = FIRST_WAIT;
    loop {
        match attempt(path, mark) {
            Ok(settled) => return Ok(settled),
            Err(e) => tracing::error!("whether the last commit was kept can't be told yet, trying again: {e}"),
        }
        if closing.has_begun() {
            let text = format!(
                "{} was closed before it could be told whether the last commit was kept; it shows when it is opened again",
                path.display()
            );
            return Err(StoreError::new(StoreErrorKind::Io, text));
        }
        std::thread::sleep(wait);
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}

fn attempt(path: &Path, mark: Mark) -> Result<(Connection, bool), StoreError> {
    let conn = schema::connect(path)?;
    let look = || {
        if !truncate(&conn)? {
            return Err(rusqlite::Error::SqliteFailure(
                rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY),
                Some("somebody reads an older state".into()),
            ));
        }
        mark.is_kept(&conn)
    };
    let kept = look().map_err(|e| told_of(path, &e))?;
    Ok((conn, kept))
}
