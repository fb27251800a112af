//! Taking things out: the oldest events of a room, a text, a room that has ended.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, params};

use super::commit::{id, seq};
use super::error::Sql;
use super::read::{first_since, room};
use super::search::{self, Removal};
use crate::id::{RoomId, Seq, Timestamp};
use crate::protocol::EventKind;
use crate::store::Retention;

/// So many events are taken out of the index one by one …
const FEW: u64 = 512;

/// … and so large a part of all events. For more it is cheaper to rewrite the index, which takes 0.9 s for a million of
/// them, in steps of which some hold commits up for a tenth of a second: a word that is in every text is one piece.
const PART: u64 = 400;

/// Events that go in one transaction: a few milliseconds.
const STEP_WIPED: u64 = 8;
const STEP_MARKED: u64 = 512;

fn manner(conn: &Connection, events: u64) -> Sql<(Removal, u64)> {
    let few = if events > FEW {
        let all: i64 = conn
            .prepare_cached("SELECT coalesce(sum(head - trimmed), 0) FROM rooms WHERE head > trimmed")?
            .query_row((), |row| row.get(0))?;
        FEW.max(all as u64 / PART)
    } else {
        FEW
    };
    Ok(if events > few { (Removal::Marked, STEP_MARKED) } else { (Removal::Wiped, STEP_WIPED) })
}

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Trimmed {
    /// The last event that is no longer kept.
    pub(super) trimmed: Seq,
    pub(super) more: bool,
    /// Bytes that were removed.
    pub(super) bytes: u64,
    /// Words of it are still in the index's file.
    pub(super) is_marked: bool,
}

/// Remove some of the events that `keep` doesn't keep.
pub(super) fn step(conn: &Connection, id_of: RoomId, keep: Retention, now: Timestamp) -> Sql<Trimmed> {
    let Some(room) = room(conn, id_of)? else { return Ok(Trimmed::default()) };
    let (trimmed, head) = (room.extent.trimmed.get(), room.extent.head.get());
    let newest = head.saturating_sub(1);
    let mut target = trimmed;
    if let Some(max) = keep.max_events {
        target = target.max(head.saturating_sub(max));
    }
    if let Some(age) = keep.max_age {
        let oldest = now.as_millis().saturating_sub(i64::try_from(age.as_millis()).unwrap_or(i64::MAX));
        target = target.max(first_since(conn, &room, Timestamp::from_millis(oldest))?.get() - 1);
    }
    let mut over = keep.max_bytes.map_or(0, |max| room.bytes.saturating_sub(max));
    // About as many as the bytes too much would be, if all had the same length.
    let heavy = (over as u128 * u128::from(head - trimmed) / u128::from(room.bytes.max(1))) as u64;
    let (how, step) = manner(conn, (target - trimmed).max(heavy))?;
    let (mut last, mut bytes) = (trimmed, 0);
    let mut select =
        conn.prepare_cached("SELECT id, length(body), outbox, n FROM events WHERE id BETWEEN ?1 AND ?2 ORDER BY id")?;
    let mut rows = select.query([id(room.no, trimmed + 1), id(room.no, newest.min(trimmed + step))])?;
    let mut taken: BTreeMap<i64, i64> = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let (event, len): (i64, i64) = (row.get(0)?, row.get(1)?);
        if seq(event).get() > target && over == 0 {
            break;
        }
        last = seq(event).get();
        bytes += len as u64;
        over = over.saturating_sub(len as u64);
        if let (Some(outbox), Some(n)) = (row.get(2)?, row.get(3)?) {
            taken.insert(outbox, n);
        }
    }
    drop(rows);
    if last == trimmed {
        return Ok(Trimmed { trimmed: Seq::new(trimmed), ..Trimmed::default() });
    }
    let (first_id, last_id) = (id(room.no, trimmed + 1), id(room.no, last));
    search::remove(conn, first_id, last_id.min(id(room.no, room.indexed.get())), how)?;
    for (outbox, n) in taken {
        forget(conn, outbox, n)?;
    }
    conn.prepare_cached("DELETE FROM events WHERE id BETWEEN ?1 AND ?2")?.execute([first_id, last_id])?;
    conn.prepare_cached("UPDATE rooms SET trimmed = ?2, indexed = max(indexed, ?2), bytes = bytes - ?3 WHERE no = ?1")?
        .execute([room.no, last as i64, bytes as i64])?;
    conn.prepare_cached("DELETE FROM authors WHERE room = ?1 AND upto <= ?2")?.execute([room.no, last as i64])?;
    let more = last < newest && (last < target || over > 0);
    Ok(Trimmed { trimmed: Seq::new(last), more, bytes, is_marked: how == Removal::Marked })
}

/// Numbers of an outbox up to `n` became events that are no longer kept. They stay decided.
fn forget(conn: &Connection, outbox: i64, n: i64) -> Sql<()> {
    conn.prepare_cached("UPDATE outboxes SET decided = max(decided, ?2) WHERE no = ?1")?.execute([outbox, n])?;
    conn.prepare_cached("DELETE FROM taken WHERE outbox = ?1 AND n <= ?2 AND n + count <= ?2 + 1")?
        .execute([outbox, n])
        .map(drop)
}

/// What is left of dropped rooms.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Purged {
    pub(super) more: bool,
    /// Words of it are still in the index's file.
    pub(super) is_marked: bool,
}

/// Remove a part of a room that was dropped.
pub(super) fn purge(conn: &Connection) -> Sql<Purged> {
    let room = conn
        .prepare_cached("SELECT no, head - trimmed, indexed FROM rooms WHERE gone = 1 LIMIT 1")?
        .query_row((), |row| Ok((row.get(0)?, row.get::<_, i64>(1)? as u64, row.get::<_, i64>(2)? as u64)))
        .optional()?;
    let Some((no, events, indexed)) = room else { return Ok(Purged::default()) };
    let (how, step) = manner(conn, events)?;
    let last: Option<i64> = conn
        .prepare_cached("SELECT max(id) FROM (SELECT id FROM events WHERE id BETWEEN ?1 AND ?2 ORDER BY id LIMIT ?3)")?
        .query_row([id(no, 0), id(no, u64::MAX), step as i64], |row| row.get(0))?;
    if let Some(last) = last {
        search::remove(conn, id(no, 0), last.min(id(no, indexed)), how)?;
        conn.prepare_cached("DELETE FROM events WHERE id BETWEEN ?1 AND ?2")?.execute([id(no, 0), last])?;
        return Ok(Purged { more: true, is_marked: how == Removal::Marked });
    }
    conn.prepare_cached("DELETE FROM taken WHERE outbox IN (SELECT no FROM outboxes WHERE room = ?1)")?
        .execute([no])?;
    conn.prepare_cached("DELETE FROM outboxes WHERE room = ?1")?.execute([no])?;
    conn.prepare_cached("DELETE FROM authors WHERE room = ?1")?.execute([no])?;
    conn.prepare_cached(
        "UPDATE rooms SET permanent = 0, created = 0, head = 0, at = 0, trimmed = 0, indexed = 0, bytes = 0, gone = 2
         WHERE no = ?1",
    )?
    .execute([no])?;
    Ok(Purged { more: has_gone(conn)?, is_marked: false })
}

/// Whether there are rooms whose log is to be removed.
pub(super) fn has_gone(conn: &Connection) -> Sql<bool> {
    conn.prepare_cached("SELECT EXISTS (SELECT 1 FROM rooms WHERE gone = 1)")?.query_row((), |row| row.get(0))
}

/// Replace a body, in the log and in the index; false if there is no such event.
pub(super) fn redact(conn: &Connection, id_of: RoomId, at: Seq, kind: EventKind, body: &[u8]) -> Sql<bool> {
    let Some(room) = room(conn, id_of)? else { return Ok(false) };
    if at <= room.extent.trimmed || at > room.extent.head {
        return Ok(false);
    }
    let (event, is_indexed) = (id(room.no, at.get()), at <= room.indexed);
    let old: i64 =
        conn.prepare_cached("SELECT length(body) FROM events WHERE id = ?1")?.query_row([event], |row| row.get(0))?;
    if is_indexed {
        search::remove(conn, event, event, Removal::Wiped)?;
    }
    conn.prepare_cached("UPDATE events SET kind = ?2, body = ?3 WHERE id = ?1")?
        .execute(params![event, kind.0, body])?;
    if is_indexed {
        search::add(conn, event, event)?;
    }
    conn.prepare_cached("UPDATE rooms SET bytes = bytes + ?2 WHERE no = ?1")?
        .execute([room.no, body.len() as i64 - old])?;
    Ok(true)
}
