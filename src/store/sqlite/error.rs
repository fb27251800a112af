//! SQLite's errors in the port's words.

use std::path::Path;

use rusqlite::ErrorCode;
use rusqlite::ffi;

use crate::store::{StoreError, StoreErrorKind};

/// Answers of the database.
pub(super) type Sql<T> = Result<T, rusqlite::Error>;

const FULL: &str = "make room on the device, then it goes on by itself";

/// What the caller is told.
pub(super) fn told(e: &rusqlite::Error) -> StoreError {
    let (kind, hint) = match e.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => (StoreErrorKind::Full, FULL),
        // The memory that its processes share is a file, too; nothing else is ever wrong with making that longer.
        _ if e.sqlite_extended_error_code() == Some(ffi::SQLITE_IOERR_SHMSIZE) => (StoreErrorKind::Full, FULL),
        _ if e.sqlite_extended_error_code() == Some(ffi::SQLITE_READONLY_ROLLBACK) => {
            (StoreErrorKind::Io, "a crash has left it unfinished: start chatnet-server with it once")
        }
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            (StoreErrorKind::Damaged, "it is damaged: move its files away, and restore a backup")
        }
        Some(ErrorCode::SystemIoFailure | ErrorCode::CannotOpen) => (StoreErrorKind::Io, "look at the device"),
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::AuthorizationForStatementDenied) => {
            (StoreErrorKind::Io, "the database and its directory must be writable")
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => (StoreErrorKind::Io, "try it again"),
        _ => (StoreErrorKind::Other, "this should not happen, please report it"),
    };
    StoreError::new(kind, format!("{e}; {hint}"))
}

/// The same, with the file's name, for those who open it.
pub(super) fn told_of(path: &Path, e: &rusqlite::Error) -> StoreError {
    let inner = told(e);
    StoreError::new(inner.kind(), format!("{}: {}", path.display(), inner.text))
}

/// Whether a failed `COMMIT` may have been kept all the same. A write that failed has left no whole commit behind; what
/// was written and could not be synced may be found by the next one who opens the file.
pub(super) fn is_ambiguous(e: &rusqlite::Error) -> bool {
    e.sqlite_error_code() == Some(ErrorCode::SystemIoFailure)
        && e.sqlite_extended_error_code() != Some(ffi::SQLITE_IOERR_WRITE)
}

pub(super) fn closed() -> StoreError {
    StoreError::new(StoreErrorKind::Closed, "it is closed")
}
