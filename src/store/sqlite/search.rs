//! The index of texts: filled behind the commits, asked for one room at a time. What isn't in it yet is looked through.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, params};

use super::commit::id;
use super::error::Sql;
use super::read::{Moment, RoomRow, give_way, room};
use crate::id::{RoomId, Seq};
use crate::protocol::EventKind;
use crate::store::SearchPage;
use crate::store::words::{Word, matches};

/// Whether a room has more events than these that are not in the index yet.
pub(super) fn is_behind(conn: &Connection, id: RoomId, allowed: u64) -> Sql<bool> {
    Ok(room(conn, id)?.is_some_and(|room| room.extent.head.get() - room.indexed.get() > allowed))
}

/// All rooms with events that are not in the index, and how many.
pub(super) fn behind(conn: &Connection) -> Sql<BTreeMap<i64, u64>> {
    conn.prepare("SELECT no, head - indexed FROM rooms WHERE head > indexed AND gone = 0")?
        .query_map((), |row| Ok((row.get(0)?, row.get::<_, i64>(1)? as u64)))?
        .collect()
}

pub(super) fn number(conn: &Connection, room: RoomId) -> Sql<Option<i64>> {
    conn.prepare_cached("SELECT no FROM rooms WHERE id = ?1")?.query_row([room.as_bytes()], |row| row.get(0)).optional()
}

/// Index the next events of a room, up to so many; how many it were, and about how many bytes were written.
pub(super) fn index(conn: &Connection, room: i64, events: u64) -> Sql<(u64, u64)> {
    let found = conn
        .prepare_cached("SELECT indexed, head FROM rooms WHERE no = ?1 AND gone = 0")?
        .query_row([room], |row| Ok((row.get::<_, i64>(0)? as u64, row.get::<_, i64>(1)? as u64)))
        .optional()?;
    let Some((indexed, head)) = found.filter(|(indexed, head)| indexed < head) else { return Ok((0, 0)) };
    let last = head.min(indexed + events);
    add(conn, id(room, indexed + 1), id(room, last))?;
    conn.prepare_cached("UPDATE rooms SET indexed = ?2 WHERE no = ?1")?.execute([room, last as i64])?;
    Ok((last - indexed, (last - indexed) * 100))
}

/// Put the texts among these events into the index.
pub(super) fn add(conn: &Connection, first: i64, last: i64) -> Sql<()> {
    conn.prepare_cached(
        "INSERT INTO texts (rowid, body)
         SELECT id, CAST(body AS TEXT) FROM events WHERE id BETWEEN ?1 AND ?2 AND kind = ?3",
    )?
    .execute(params![first, last, EventKind::TEXT.0])
    .map(drop)
}

/// How entries leave the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Removal {
    /// At once and without a trace: 0.4 ms for a line of text.
    Wiped,
    /// Marked as gone: fifty times faster, but the words stay in the file until [`merge`] has rewritten the index.
    Marked,
}

/// Take the texts among these events, which are still there, out of the index, which has them.
pub(super) fn remove(conn: &Connection, first: i64, last: i64, how: Removal) -> Sql<()> {
    if how == Removal::Marked {
        conn.prepare_cached("INSERT OR IGNORE INTO meta (key, value) VALUES ('marked', 1)")?.execute(())?;
    }
    // Said each time: what FTS5 remembers isn't taken back with a transaction.
    conn.prepare_cached("INSERT INTO texts (texts, rank) VALUES ('secure-delete', ?1)")?
        .execute([how == Removal::Wiped])?;
    conn.prepare_cached(
        "INSERT INTO texts (texts, rowid, body)
         SELECT 'delete', id, CAST(body AS TEXT) FROM events WHERE id BETWEEN ?1 AND ?2 AND kind = ?3",
    )?
    .execute(params![first, last, EventKind::TEXT.0])
    .map(drop)
}

/// Pages of the index that are rewritten in one transaction: some milliseconds.
const MERGE_PAGES: i64 = 64;

/// Rewrite a part of the index, which leaves out what is marked as gone; whether there is more to do.
pub(super) fn merge(conn: &Connection, is_first: bool) -> Sql<bool> {
    // A negative number puts all parts of the index into one merge, which the following ones go on with.
    let pages = if is_first { -MERGE_PAGES } else { MERGE_PAGES };
    let before = conn.total_changes();
    conn.prepare_cached("INSERT INTO texts (texts, rank) VALUES ('merge', ?1)")?.execute([pages])?;
    // The statement itself counts as one.
    let more = conn.total_changes() - before >= 2;
    if !more {
        conn.prepare_cached("DELETE FROM meta WHERE key = 'marked'")?.execute(())?;
    }
    Ok(more)
}

/// Whether a merge is due, because one was not finished before a crash.
pub(super) fn is_marked(conn: &Connection) -> Sql<bool> {
    conn.query_row("SELECT EXISTS (SELECT 1 FROM meta WHERE key = 'marked')", (), |row| row.get(0))
}

/// Events of a room with all of these words, newest first.
pub(super) fn search(now: &mut Moment<'_>, room: RoomId, words: &[Word], before: Seq, limit: usize) -> Sql<SearchPage> {
    let Some(found) = super::read::room(now.conn, room)? else { return Ok(SearchPage::default()) };
    let last = before.get().saturating_sub(1).min(found.extent.head.get());
    let (first, indexed) = (found.extent.trimmed.get() + 1, found.indexed.get());
    let wanted = limit.saturating_add(1);
    let mut ids = if last > indexed { scan(now.conn, &found, words, last, wanted)? } else { Vec::new() };
    if ids.len() < wanted && first <= last.min(indexed) {
        let mut select = now.conn.prepare_cached(
            "SELECT rowid FROM texts WHERE texts MATCH ?1 AND rowid BETWEEN ?2 AND ?3 ORDER BY rowid DESC LIMIT ?4",
        )?;
        let bounds = (id(found.no, first), id(found.no, last.min(indexed)));
        let rows = select
            .query_map(params![expression(words), bounds.0, bounds.1, (wanted - ids.len()) as i64], |row| row.get(0))?;
        for id in rows {
            give_way(ids.len());
            ids.push(id?);
        }
    }
    now.hits(room, ids, limit)
}

/// Look through the newest events, which are not in the index yet.
fn scan(conn: &Connection, room: &RoomRow, words: &[Word], last: u64, wanted: usize) -> Sql<Vec<i64>> {
    let mut select =
        conn.prepare_cached("SELECT id, body FROM events WHERE id BETWEEN ?1 AND ?2 AND kind = ?3 ORDER BY id DESC")?;
    let first = room.indexed.max(room.extent.trimmed).next();
    let mut rows = select.query(params![id(room.no, first.get()), id(room.no, last), EventKind::TEXT.0])?;
    let (mut found, mut seen) = (Vec::new(), 0..);
    while let (true, Some(row)) = (found.len() < wanted, rows.next()?) {
        seen.next().into_iter().for_each(give_way);
        if matches(&String::from_utf8_lossy(row.get_ref(1)?.as_bytes()?), words) {
            found.push(row.get(0)?);
        }
    }
    Ok(found)
}

/// In FTS5's language: each word a string, so that nothing in it means anything there.
fn expression(words: &[Word]) -> String {
    let mut expression = String::new();
    for word in words {
        expression.push('"');
        expression.push_str(&word.text.replace('"', "\"\""));
        expression.push_str(if word.prefix { "\" * " } else { "\" " });
    }
    expression
}
