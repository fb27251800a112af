//! One process at a time.

use std::fs::OpenOptions;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::error::told_of;
use crate::store::{StoreError, StoreErrorKind};

/// Held while a store is open; the system lets it go when the process ends, however it ends.
///
/// It is an exclusive lock of an empty database beside the real one: SQLite's own lock on that would keep our readers
/// and a backup out, and this one works wherever SQLite does.
#[derive(Debug)]
pub(super) struct Lock {
    _held: Connection,
}

impl Lock {
    pub(super) fn take(path: &Path) -> Result<Self, StoreError> {
        let beside = beside(path, "-lock");
        let take = || {
            // Where it can't be made, SQLite says why.
            let _ = private(&beside);
            let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
            let conn = Connection::open_with_flags(&beside, flags)?;
            conn.busy_timeout(Duration::ZERO)?;
            conn.execute_batch("BEGIN EXCLUSIVE")?;
            Ok(Self { _held: conn })
        };
        take().map_err(|e: rusqlite::Error| match e.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                let text = format!("{} is in use by another process; stop it, or choose another file", path.display());
                StoreError::new(StoreErrorKind::InUse, text)
            }
            _ => told_of(&beside, &e),
        })
    }
}

/// Make a file that nobody else can read, if there is none; SQLite gives what it makes beside it the same rights.
pub(super) fn private(path: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => Err(e),
        _ => Ok(()),
    }
}

/// A file's neighbour.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
