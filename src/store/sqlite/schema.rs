//! What the file looks like, and how it is opened. Each version is reached from the one before, in a transaction.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::Durability;
use super::error::{Sql, told, told_of};
use super::lock::{beside, private};
use crate::id::Lineage;
use crate::store::{StoreError, StoreErrorKind};

/// "chNt" in the file's header: who else's database it may be.
const APPLICATION_ID: i32 = 0x6368_4e74;

/// How to get from version `i` to version `i + 1`. Those of a release are never changed.
const MIGRATIONS: &[&str] = &[
    include_str!("version1.sql"),
    include_str!("version2.sql"),
    include_str!("version3.sql"),
    include_str!("version4.sql"),
];

/// The version that this library writes.
pub(super) const VERSION: usize = MIGRATIONS.len();

/// Memory for pages, in KiB: one writer, several readers.
const WRITER_CACHE_KIB: i32 = 16 * 1024;
const READER_CACHE_KIB: i32 = 4 * 1024;

/// What the write-ahead log's file keeps for the next pages when it begins anew, in bytes.
const LOG_BYTES: i64 = 16 << 20;

/// Others hold a lock for moments only.
pub(super) const BUSY: Duration = Duration::from_secs(5);

/// Open for writing: a new or empty file gets its schema, an older one is brought up to date.
pub(super) fn open(path: &Path) -> Result<Connection, StoreError> {
    // Looked at before anything is written: what isn't ours, or is of a later version, stays as it is.
    if path.metadata().is_ok_and(|file| file.len() > 0) {
        recover(path)?;
        inspect(path)?;
    }
    // Where it can't be made, SQLite says why.
    let _ = private(path);
    let mut conn = connect(path)?;
    migrate(&mut conn, MIGRATIONS).map_err(|e| told_of(path, &e))?;
    Ok(conn)
}

/// Undo what a process was at when it was killed before the database had its write-ahead log: SQLite's own recovery,
/// which a connection that only reads can't do.
fn recover(path: &Path) -> Result<(), StoreError> {
    if beside(path, "-journal").metadata().is_ok_and(|journal| journal.len() > 0) {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let read = |conn: Connection| {
            conn.busy_timeout(BUSY)?;
            conn.query_row("SELECT count(*) FROM sqlite_schema", (), |_| Ok(()))
        };
        Connection::open_with_flags(path, flags).and_then(read).map_err(|e| told_of(path, &e))?;
    }
    Ok(())
}

/// A writing connection to a database that is up to date.
pub(super) fn connect(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let settle = |conn: &Connection| -> Sql<()> {
        conn.busy_timeout(BUSY)?;
        conn.pragma_update(None, "journal_mode", "WAL")?;
        // What is deleted is overwritten.
        conn.pragma_update(None, "secure_delete", true)?;
        // Checked by `check`; at every delete it would be a scan.
        conn.pragma_update(None, "foreign_keys", false)?;
        // There is a thread for it, so that no commit waits for a checkpoint.
        conn.pragma_update(None, "wal_autocheckpoint", 0)?;
        // A log that has grown shrinks when it begins anew.
        conn.pragma_update(None, "journal_size_limit", LOG_BYTES)?;
        conn.pragma_update(None, "cache_size", -WRITER_CACHE_KIB)?;
        conn.pragma_update(None, "temp_store", "MEMORY")?;
        conn.set_prepared_statement_cache_capacity(64);
        Ok(())
    };
    let conn = Connection::open_with_flags(path, flags).map_err(|e| told_of(path, &e))?;
    settle(&conn).map_err(|e| told_of(path, &e))?;
    Ok(conn)
}

/// A connection that only reads; a database that isn't ours, or of another version, is refused.
pub(super) fn open_reader(path: &Path) -> Result<Connection, StoreError> {
    let conn = inspect(path)?;
    let settle = |conn: &Connection| -> Sql<()> {
        conn.pragma_update(None, "cache_size", -READER_CACHE_KIB)?;
        conn.set_prepared_statement_cache_capacity(32);
        Ok(())
    };
    settle(&conn).map_err(|e| told_of(path, &e))?;
    Ok(conn)
}

/// Open read-only and look whose it is.
pub(super) fn inspect(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags).map_err(|e| told_of(path, &e))?;
    let look = || -> Sql<(i32, i64, i64)> {
        conn.busy_timeout(BUSY)?;
        let id = conn.pragma_query_value(None, "application_id", |row| row.get(0))?;
        let version = conn.pragma_query_value(None, "user_version", |row| row.get(0))?;
        let tables = conn.query_row("SELECT count(*) FROM sqlite_schema", (), |row| row.get(0))?;
        Ok((id, version, tables))
    };
    let (id, version, tables) = look().map_err(|e| told_of(path, &e))?;
    let name = path.display();
    if id != APPLICATION_ID && (id != 0 || version != 0 || tables != 0) {
        let text = format!("{name} is a database of another program; it was left as it is, choose another file");
        return Err(StoreError::new(StoreErrorKind::Damaged, text));
    }
    if version > VERSION as i64 {
        let text = format!(
            "{name} has version {version}, this program knows versions up to {VERSION}; it was left as it is, \
             use a later chatnet"
        );
        return Err(StoreError::new(StoreErrorKind::Newer, text));
    }
    Ok(conn)
}

/// A database of this very version; one that is to be read without being opened for writing before.
pub(super) fn current(conn: &Connection, path: &Path) -> Result<(), StoreError> {
    match version(conn).map_err(|e| told_of(path, &e))? {
        VERSION => Ok(()),
        found => {
            let text = format!(
                "{} has version {found}; start chatnet-server with it once, which brings it to version {VERSION}",
                path.display()
            );
            Err(StoreError::new(StoreErrorKind::Other, text))
        }
    }
}

fn version(conn: &Connection) -> Sql<usize> {
    conn.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0)).map(|version| version as usize)
}

fn migrate(conn: &mut Connection, migrations: &[&str]) -> Sql<()> {
    for (from, migration) in migrations.iter().enumerate().skip(version(conn)?) {
        let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        tx.execute_batch(migration)?;
        tx.pragma_update(None, "user_version", (from + 1) as i64)?;
        if from == 0 {
            tx.pragma_update(None, "application_id", APPLICATION_ID)?;
            set_lineage(&tx, Lineage::random())?;
        }
        tx.commit()?;
    }
    Ok(())
}

/// How far a commit gets before it counts as kept.
pub(super) fn sync(conn: &Connection, durability: Durability) -> Sql<()> {
    let mode = match durability {
        Durability::Full => "FULL",
        Durability::Normal => "NORMAL",
    };
    conn.pragma_update(None, "synchronous", mode)
}

/// The store's life.
pub(super) fn lineage(conn: &Connection) -> Result<Lineage, StoreError> {
    let read: [u8; 16] =
        conn.query_row("SELECT value FROM meta WHERE key = 'lineage'", (), |row| row.get(0)).map_err(|e| told(&e))?;
    Ok(Lineage::from_bytes(read))
}

/// Begin another life: cursors of the one before are recognised as foreign.
pub(super) fn set_lineage(conn: &Connection, lineage: Lineage) -> Sql<()> {
    let set = "INSERT INTO meta (key, value) VALUES ('lineage', ?1) ON CONFLICT DO UPDATE SET value = excluded.value";
    conn.execute(set, [lineage.as_bytes()]).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_migration_that_fails_leaves_the_version_before() {
        let mut conn = Connection::open_in_memory().unwrap();
        migrate(&mut conn, MIGRATIONS).unwrap();
        let bad = "CREATE TABLE half (a); INSERT INTO nowhere VALUES (1)";
        let migrations: Vec<&str> = MIGRATIONS.iter().copied().chain([bad]).collect();
        assert!(migrate(&mut conn, &migrations).is_err());
        assert_eq!(version(&conn).unwrap(), VERSION);
        assert!(conn.prepare("SELECT * FROM half").is_err());
    }

    #[test]
    fn bans_of_a_version_before_are_told_apart_by_who_has_an_account() {
        let mut conn = Connection::open_in_memory().unwrap();
        migrate(&mut conn, &MIGRATIONS[..3]).unwrap();
        conn.execute_batch(
            "INSERT INTO accounts VALUES (x'01', 'ada', NULL, 0, 0, 0, 0);
             INSERT INTO bans VALUES (x'', 'ada', x'01', 'server', '', NULL), (x'', 'troll', x'02', 'server', 'why', 9),
                 (x'', 'spam*', NULL, 'server', '', NULL);",
        )
        .unwrap();
        migrate(&mut conn, MIGRATIONS).unwrap();
        let mut bans = conn.prepare("SELECT target, length(principal), guest FROM bans ORDER BY target").unwrap();
        let bans = bans.query_map((), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
        let bans: Vec<(String, i64, bool)> = bans.map(Result::unwrap).collect();
        let row = |target: &str, bytes, guest| (target.to_owned(), bytes, guest);
        assert_eq!(bans, [row("ada", 1, false), row("spam*", 0, false), row("troll", 1, true)]);
    }

    #[test]
    fn the_next_version_is_one_more_entry() {
        let mut conn = Connection::open_in_memory().unwrap();
        migrate(&mut conn, MIGRATIONS).unwrap();
        let lineage = lineage(&conn).unwrap();
        let migrations: Vec<&str> = MIGRATIONS.iter().copied().chain(["CREATE TABLE later (id BLOB)"]).collect();
        migrate(&mut conn, &migrations).unwrap();
        assert_eq!(version(&conn).unwrap(), VERSION + 1);
        assert_eq!(super::lineage(&conn).unwrap(), lineage);
    }
}
