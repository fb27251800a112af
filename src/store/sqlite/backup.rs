//! Copies of a database: out of a live one, and back.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use rusqlite::Connection;

use super::error::{Sql, told_of};
use super::lock::{self, Lock, beside};
use super::schema;
use crate::id::Lineage;
use crate::store::{StoreError, StoreErrorKind};

pub(super) fn backup(from: &Path, to: &Path) -> Result<(), StoreError> {
    let conn = schema::open_reader(from)?;
    schema::current(&conn, from)?;
    absent(to)?;
    copy(&conn, from, to, |_| Ok(()))
}

pub(super) fn restore(from: &Path, to: &Path) -> Result<(), StoreError> {
    let other = |text: String| {
        let text = format!("this backup is damaged: {text}; nothing was restored, use another backup");
        StoreError::new(StoreErrorKind::Damaged, text)
    };
    let conn = schema::open_reader(from).map_err(|e| match e.kind() {
        StoreErrorKind::Damaged => other(e.text),
        _ => e,
    })?;
    let sound: String = conn.query_row("PRAGMA quick_check(1)", (), |row| row.get(0)).map_err(|e| told_of(from, &e))?;
    if sound != "ok" {
        return Err(other(format!("{}: {sound}", from.display())));
    }
    let _lock = Lock::take(to)?;
    absent(to)?;
    // The log of another database would be taken for this one's.
    absent(&beside(to, "-wal"))?;
    copy(&conn, from, to, |copy| schema::set_lineage(copy, Lineage::random()))
}

/// Copy to a file beside `to`, finish it, and only then give it its name.
fn copy(
    conn: &Connection,
    from: &Path,
    to: &Path,
    finish: impl FnOnce(&Connection) -> Sql<()>,
) -> Result<(), StoreError> {
    let part = beside(to, ".part");
    let copied = (|| {
        // What a killed attempt has left.
        remove(&part)?;
        let name = part.to_str().ok_or_else(|| failed(to, &io::Error::other("its name is not UTF-8")))?;
        lock::private(&part).map_err(|e| failed(&part, &e))?;
        conn.execute("VACUUM INTO ?1", [name]).map_err(|e| told_of(from, &e))?;
        let made = Connection::open(&part).map_err(|e| told_of(&part, &e))?;
        made.pragma_update(None, "synchronous", "FULL").and_then(|()| finish(&made)).map_err(|e| told_of(&part, &e))?;
        made.close().map_err(|(_, e)| told_of(&part, &e))?;
        File::options().write(true).open(&part).and_then(|file| file.sync_all()).map_err(|e| failed(&part, &e))?;
        fs::rename(&part, to).map_err(|e| failed(to, &e))?;
        sync_directory(to).map_err(|e| failed(to, &e))
    })();
    if copied.is_err() {
        let _ = remove(&part);
    }
    copied
}

fn absent(path: &Path) -> Result<(), StoreError> {
    if path.symlink_metadata().is_ok() {
        let text = format!("{} is there already; nothing was written, choose another file", path.display());
        return Err(StoreError::new(StoreErrorKind::Other, text));
    }
    Ok(())
}

fn remove(path: &Path) -> Result<(), StoreError> {
    for path in [path.to_owned(), beside(path, "-journal")] {
        match fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(failed(&path, &e)),
            _ => {}
        }
    }
    Ok(())
}

/// A new name is kept once its directory is.
fn sync_directory(of: &Path) -> io::Result<()> {
    if cfg!(unix) {
        let parent = of.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(parent)?.sync_all()?;
    }
    Ok(())
}

fn failed(path: &Path, e: &io::Error) -> StoreError {
    let kind = if e.kind() == io::ErrorKind::StorageFull { StoreErrorKind::Full } else { StoreErrorKind::Io };
    StoreError::new(kind, format!("{}: {e}", path.display()))
}
