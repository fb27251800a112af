//! Looking through a whole database for what can't be right.

use std::collections::HashMap;
use std::path::Path;

use rusqlite::Connection;

use super::commit::SEQ_BITS;
use super::error::{Sql, told_of};
use super::schema;
use crate::protocol::EventKind;
use crate::store::{StoreError, StoreErrorKind};

/// Problems of a sort that are listed; where there are more, these are enough.
const LISTED: usize = 20;

/// What a check of a database has found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Findings {
    /// How many rooms there are.
    pub rooms: u64,
    /// How many events they have.
    pub events: u64,
    /// What is wrong, in words; empty if the database is sound.
    pub problems: Vec<String>,
}

#[derive(Debug)]
struct Room {
    name: String,
    trimmed: i64,
    head: i64,
    at: i64,
    bytes: i64,
    gone: bool,
    last: i64,
    last_at: i64,
    found: i64,
}

pub(super) fn check(path: &Path) -> Result<Findings, StoreError> {
    let mut conn = schema::open_reader(path)?;
    schema::current(&conn, path)?;
    let mut findings = Findings::default();
    let mut look = || -> Sql<()> {
        // The index is built a second time, which may need more than there is of memory.
        conn.pragma_update(None, "temp_store", "FILE")?;
        let tx = conn.transaction()?;
        pages(&tx, &mut findings)?;
        // What follows reads rows, which needs sound pages.
        if findings.problems.is_empty() {
            references(&tx, &mut findings)?;
            logs(&tx, &mut findings)?;
            outboxes(&tx, &mut findings)?;
            index(&tx, &mut findings)?;
        }
        Ok(())
    };
    match look().map_err(|e| told_of(path, &e)) {
        // Too damaged to be looked through to the end.
        Err(e) if e.kind() == StoreErrorKind::Damaged => findings.problems.push(e.to_string()),
        looked => looked?,
    }
    Ok(findings)
}

/// SQLite's own check: of every page, and of the index's inner order.
fn pages(conn: &Connection, findings: &mut Findings) -> Sql<()> {
    let mut check = conn.prepare(&format!("PRAGMA integrity_check({LISTED})"))?;
    let found = check.query_map((), |row| row.get::<_, String>(0))?.collect::<Sql<Vec<_>>>()?;
    findings.problems.extend(found.into_iter().filter(|line| line != "ok"));
    Ok(())
}

fn references(conn: &Connection, findings: &mut Findings) -> Sql<()> {
    let mut check = conn.prepare("PRAGMA foreign_key_check")?;
    let found = check
        .query_map((), |row| Ok((row.get::<_, String>(0)?, row.get::<_, Option<i64>>(1)?, row.get::<_, String>(2)?)))?;
    for row in found.take(LISTED) {
        let (table, no, to) = row?;
        findings.problems.push(format!("row {no:?} of {table} names a row of {to} that isn't there"));
    }
    Ok(())
}

/// Every room's log is gap-free from what was trimmed to its head, and times never go back.
fn logs(conn: &Connection, findings: &mut Findings) -> Sql<()> {
    let mut select = conn.prepare("SELECT no, name, trimmed, head, at, bytes, gone, hex(id), indexed FROM rooms")?;
    let mut rooms: HashMap<i64, Room> = HashMap::new();
    let mut rows = select.query(())?;
    while let Some(row) = rows.next()? {
        let (name, id): (Option<String>, String) = (row.get(1)?, row.get(7)?);
        let trimmed = row.get(2)?;
        let room = Room {
            name: name.unwrap_or(id),
            trimmed,
            head: row.get(3)?,
            at: row.get(4)?,
            bytes: row.get(5)?,
            gone: row.get::<_, i64>(6)? != 0,
            last: trimmed,
            last_at: i64::MIN,
            found: 0,
        };
        if !room.gone && !(room.trimmed..=room.head).contains(&row.get(8)?) {
            findings.problems.push(format!("room {}: the index says to have what isn't there", room.name));
        }
        rooms.insert(row.get(0)?, room);
    }
    let mut problems = Vec::new();
    let mut select = conn.prepare("SELECT id, at, length(body) FROM events ORDER BY id")?;
    let mut rows = select.query(())?;
    while let Some(row) = rows.next()? {
        let (id, at, len): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let (no, seq) = (id >> SEQ_BITS, id & ((1 << SEQ_BITS) - 1));
        let Some(room) = rooms.get_mut(&no) else {
            problems.push(format!("event {seq} is in room number {no}, which isn't there"));
            continue;
        };
        if room.gone {
            continue;
        }
        findings.events += 1;
        if seq != room.last + 1 {
            problems.push(format!("room {}: event {} is followed by {seq}", room.name, room.last));
        }
        if at < room.last_at {
            problems.push(format!("room {}: event {seq} is older than the one before", room.name));
        }
        (room.last, room.last_at, room.found) = (seq, at, room.found + len);
    }
    for room in rooms.values().filter(|room| !room.gone) {
        findings.rooms += 1;
        let Room { name, head, last, .. } = room;
        if head != last {
            problems.push(format!("room {name}: its head is {head}, its last event is {last}"));
        } else if room.last_at > room.at {
            problems.push(format!("room {name}: its last event is later than its time"));
        }
        if room.found != room.bytes {
            problems.push(format!("room {name}: it has {} bytes of bodies, and says {}", room.found, room.bytes));
        }
        if room.head > 0 && room.trimmed >= room.head {
            problems.push(format!("room {name}: its newest event was trimmed"));
        }
    }
    problems.truncate(LISTED);
    findings.problems.append(&mut problems);
    Ok(())
}

/// Every publish id leads to its event.
fn outboxes(conn: &Connection, findings: &mut Findings) -> Sql<()> {
    let mut select = conn.prepare(&format!(
        "SELECT id & {0} FROM events WHERE outbox IS NOT NULL AND (
             SELECT seq + events.n - n FROM taken WHERE outbox = events.outbox AND n <= events.n ORDER BY n DESC LIMIT 1
         ) IS NOT (id & {0}) LIMIT {LISTED}",
        (1_i64 << SEQ_BITS) - 1
    ))?;
    for seq in select.query_map((), |row| row.get::<_, i64>(0))? {
        findings.problems.push(format!("event {} is not what its publish id leads to", seq?));
    }
    Ok(())
}

/// The index has exactly the words of what it says to have: those of a second one, made of the texts.
fn index(conn: &Connection, findings: &mut Findings) -> Sql<()> {
    conn.execute_batch(
        "CREATE VIRTUAL TABLE temp.again USING fts5 (
             body, content = '', columnsize = 0, tokenize = 'unicode61 remove_diacritics 2'
         );
         CREATE VIRTUAL TABLE temp.words USING fts5vocab (main, texts, row);
         CREATE VIRTUAL TABLE temp.words_again USING fts5vocab (temp, again, row);",
    )?;
    // A dropped room whose log is being removed has what is left of it in both.
    conn.execute(
        &format!(
            "INSERT INTO temp.again (rowid, body) SELECT events.id, CAST(body AS TEXT)
             FROM events JOIN rooms ON rooms.no = events.id >> {SEQ_BITS}
             WHERE kind = ?1 AND (events.id & {}) <= indexed",
            (1_i64 << SEQ_BITS) - 1
        ),
        [EventKind::TEXT.0],
    )?;
    let differ: bool = conn.query_row(
        "SELECT EXISTS (SELECT * FROM temp.words EXCEPT SELECT * FROM temp.words_again)
             OR EXISTS (SELECT * FROM temp.words_again EXCEPT SELECT * FROM temp.words)",
        (),
        |row| row.get(0),
    )?;
    if differ {
        findings.problems.push("the index for searching doesn't have what the texts have".into());
    }
    Ok(())
}
