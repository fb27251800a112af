//! Reading: each answer is of one moment, on a connection that only reads.

use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::{CachedStatement, Connection, OptionalExtension, Row, params};

use super::commit::{id, seq};
use super::error::Sql;
use super::people;
use crate::id::{Alias, OutboxId, PrincipalId, RoomId, RoomName, Seq, SessionId, Timestamp};
use crate::protocol::{EventKind, PrincipalKind};
use crate::store::{
    Author, Batch, Extent, MemberRecord, NewBatch, OutboxRecord, PublishId, ReadPage, RoomRecord, Run, SearchPage,
    SessionRecord, Snapshot, Taken, TokenHash,
};

/// Authors and outboxes that a reader keeps ready; beyond, all are forgotten.
const CACHED: usize = 10_000;

/// A reading connection, and what it has read of rows that never change.
#[derive(Debug)]
pub(super) struct Reader {
    conn: Connection,
    names: Names,
}

#[derive(Debug, Default)]
struct Names {
    authors: HashMap<i64, (Arc<Author>, Option<SessionId>)>,
    outboxes: HashMap<i64, OutboxId>,
}

/// A room as it is at this moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct RoomRow {
    pub(super) no: i64,
    pub(super) extent: Extent,
    pub(super) indexed: Seq,
    pub(super) bytes: u64,
}

pub(super) fn room(conn: &Connection, room: RoomId) -> Sql<Option<RoomRow>> {
    conn.prepare_cached("SELECT no, trimmed, head, at, indexed, bytes FROM rooms WHERE id = ?1")?
        .query_row([room.as_bytes()], |row| {
            let extent =
                Extent { trimmed: seq_at(row, 1)?, head: seq_at(row, 2)?, at: Timestamp::from_millis(row.get(3)?) };
            Ok(RoomRow { no: row.get(0)?, extent, indexed: seq_at(row, 4)?, bytes: row.get::<_, i64>(5)? as u64 })
        })
        .optional()
}

pub(super) fn seq_at(row: &Row<'_>, i: usize) -> Sql<Seq> {
    row.get::<_, i64>(i).map(|seq| Seq::new(seq as u64))
}

/// The first event that is not older than `at`, among those that are kept; times never go back.
pub(super) fn first_since(conn: &Connection, room: &RoomRow, at: Timestamp) -> Sql<Seq> {
    let mut time = conn.prepare_cached("SELECT at FROM events WHERE id = ?1")?;
    let (mut low, mut high) = (room.extent.trimmed.get() + 1, room.extent.head.get() + 1);
    while low < high {
        let middle = low + (high - low) / 2;
        let found: i64 = time.query_row([id(room.no, middle)], |row| row.get(0))?;
        if found < at.as_millis() { low = middle + 1 } else { high = middle }
    }
    Ok(Seq::new(low))
}

impl Reader {
    pub(super) fn new(conn: Connection) -> Self {
        Self { conn, names: Names::default() }
    }

    /// Run `f` within one moment of the database.
    pub(super) fn snapshot<T>(&mut self, f: impl FnOnce(&mut Moment<'_>) -> Sql<T>) -> Sql<T> {
        if self.names.authors.len() + self.names.outboxes.len() > CACHED {
            self.names = Names::default();
        }
        let tx = self.conn.transaction()?;
        let answer = f(&mut Moment { conn: &tx, names: &mut self.names })?;
        tx.commit()?;
        Ok(answer)
    }
}

/// One moment of the database.
#[derive(Debug)]
pub(super) struct Moment<'a> {
    pub(super) conn: &'a Connection,
    names: &'a mut Names,
}

/// A reader gives way after so many rows: some ten microseconds. Of two threads that want a processor Linux lets the one
/// that has it go on for a millisecond or more, whatever their priorities; a commit is done in a third of that.
const ROWS: usize = 32;

/// To be called with each row's number.
pub(super) fn give_way(row: usize) {
    if row % ROWS == ROWS - 1 {
        std::thread::yield_now();
    }
}

/// Columns of an event, for [`Event::of`].
const EVENT: &str = "SELECT id, at, author, outbox, n, kind, body FROM events";

struct Event {
    seq: Seq,
    at: i64,
    author: i64,
    publish: Option<(i64, u64)>,
    kind: EventKind,
    body: Vec<u8>,
}

impl Event {
    fn of(row: &Row<'_>) -> Sql<Self> {
        let outbox: Option<i64> = row.get(3)?;
        let n: Option<i64> = row.get(4)?;
        Ok(Self {
            seq: seq(row.get(0)?),
            at: row.get(1)?,
            author: row.get(2)?,
            publish: outbox.zip(n.map(|n| n as u64)),
            kind: EventKind(row.get(5)?),
            body: row.get(6)?,
        })
    }
}

/// Hashes, one behind the other.
fn hashes(bytes: Option<Vec<u8>>) -> Vec<TokenHash> {
    bytes.unwrap_or_default().as_chunks().0.to_vec()
}

impl Moment<'_> {
    pub(super) fn load(&mut self) -> Sql<Snapshot> {
        let mut rooms = self.conn.prepare(
            "SELECT id, name, permanent, created, trimmed, head, at FROM rooms WHERE gone = 0 AND name IS NOT NULL",
        )?;
        let rooms = rooms.query_map((), |row| {
            let record = RoomRecord {
                id: RoomId::from_bytes(row.get(0)?),
                name: RoomName::parse(&row.get::<_, String>(1)?).map_err(invalid)?,
                permanent: row.get(2)?,
                created: Timestamp::from_millis(row.get(3)?),
            };
            let extent =
                Extent { trimmed: seq_at(row, 4)?, head: seq_at(row, 5)?, at: Timestamp::from_millis(row.get(6)?) };
            Ok((record, extent))
        })?;
        let mut sessions =
            self.conn.prepare("SELECT id, principal, kind, alias, token, previous, seen FROM sessions")?;
        let sessions = sessions.query_map((), |row| {
            Ok(SessionRecord {
                id: SessionId::from_bytes(row.get(0)?),
                principal: PrincipalId::from_bytes(row.get(1)?),
                kind: PrincipalKind::from_u8(row.get(2)?),
                alias: Alias::parse(&row.get::<_, String>(3)?).map_err(invalid)?,
                token: row.get(4)?,
                previous: hashes(row.get(5)?),
                seen: Timestamp::from_millis(row.get(6)?),
            })
        })?;
        let mut members = self
            .conn
            .prepare("SELECT session, rooms.id, since, read FROM members JOIN rooms ON rooms.no = members.room")?;
        let members = members.query_map((), |row| {
            Ok(MemberRecord {
                session: SessionId::from_bytes(row.get(0)?),
                room: RoomId::from_bytes(row.get(1)?),
                since: seq_at(row, 2)?,
                read: seq_at(row, 3)?,
            })
        })?;
        let mut snapshot = Snapshot {
            rooms: rooms.collect::<Sql<_>>()?,
            sessions: sessions.collect::<Sql<_>>()?,
            members: members.collect::<Sql<_>>()?,
            ..Snapshot::default()
        };
        people::load(self.conn, &mut snapshot)?;
        Ok(snapshot)
    }

    pub(super) fn extent(&mut self, room: RoomId) -> Sql<Extent> {
        Ok(self::room(self.conn, room)?.map(|room| room.extent).unwrap_or_default())
    }

    pub(super) fn seq_at(&mut self, room: RoomId, at: Timestamp) -> Sql<Seq> {
        match self::room(self.conn, room)? {
            Some(room) => first_since(self.conn, &room, at),
            None => Ok(Seq::ZERO.next()),
        }
    }

    pub(super) fn read(&mut self, room: RoomId, after: Seq, max_bytes: usize) -> Sql<ReadPage> {
        let Some(found) = self::room(self.conn, room)? else { return Ok(ReadPage::default()) };
        let Extent { trimmed, head, .. } = found.extent;
        let from = after.max(trimmed).get().saturating_add(1);
        let mut select = self.conn.prepare_cached(&format!("{EVENT} WHERE id BETWEEN ?1 AND ?2 ORDER BY id"))?;
        let events = page(&mut select, found.no, from, head.get(), usize::MAX, max_bytes)?;
        let trimmed = (trimmed > after).then_some(trimmed);
        Ok(ReadPage { trimmed, batches: self.batches(room, events)? })
    }

    pub(super) fn read_back(&mut self, room: RoomId, before: Seq, limit: usize, max_bytes: usize) -> Sql<ReadPage> {
        let Some(found) = self::room(self.conn, room)? else { return Ok(ReadPage::default()) };
        let Extent { trimmed, head, .. } = found.extent;
        let last = head.get().min(before.get().saturating_sub(1));
        let mut select = self.conn.prepare_cached(&format!("{EVENT} WHERE id BETWEEN ?1 AND ?2 ORDER BY id DESC"))?;
        let mut events = page(&mut select, found.no, trimmed.get() + 1, last, limit, max_bytes)?;
        events.reverse();
        let trimmed = (trimmed > Seq::ZERO).then_some(trimmed);
        Ok(ReadPage { trimmed, batches: self.batches(room, events)? })
    }

    /// The events with these ids, each a batch of one.
    pub(super) fn hits(&mut self, room: RoomId, ids: Vec<i64>, limit: usize) -> Sql<SearchPage> {
        let mut page = SearchPage { hits: Vec::new(), more: ids.len() > limit };
        let mut select = self.conn.prepare_cached(&format!("{EVENT} WHERE id = ?1"))?;
        for (i, id) in ids.into_iter().take(limit).enumerate() {
            give_way(i);
            let event = select.query_row([id], Event::of)?;
            page.hits.extend(self.batches(room, vec![event])?);
        }
        Ok(page)
    }

    pub(super) fn outbox(&mut self, room: RoomId, outbox: OutboxId) -> Sql<Option<OutboxRecord>> {
        let Some(room) = self::room(self.conn, room)? else { return Ok(None) };
        let found = self
            .conn
            .prepare_cached("SELECT no, decided FROM outboxes WHERE room = ?1 AND outbox = ?2")?
            .query_row(params![room.no, outbox.as_bytes()], |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)? as u64))
            })
            .optional()?;
        let Some((no, decided)) = found else { return Ok(None) };
        let last = run(self.conn, no, u64::MAX)?;
        let Some((n, count, _)) = last else { return Ok(Some(OutboxRecord { decided, last: None })) };
        let (last, decided) = (n + count - 1, decided.max(n + count - 1));
        Ok(Some(OutboxRecord { decided, last: self.place(&room, no, last)? }))
    }

    pub(super) fn taken(&mut self, room: RoomId, outbox: OutboxId, n: u64) -> Sql<Option<Taken>> {
        let Some(room) = self::room(self.conn, room)? else { return Ok(None) };
        let no = self
            .conn
            .prepare_cached("SELECT no FROM outboxes WHERE room = ?1 AND outbox = ?2")?
            .query_row(params![room.no, outbox.as_bytes()], |row| row.get(0))
            .optional()?;
        match no {
            Some(no) => self.place(&room, no, n),
            None => Ok(None),
        }
    }

    /// Where a number is, if it became an event that is kept.
    fn place(&mut self, room: &RoomRow, outbox: i64, n: u64) -> Sql<Option<Taken>> {
        let Some((first, count, seq)) = run(self.conn, outbox, n)? else { return Ok(None) };
        if n >= first + count {
            return Ok(None);
        }
        let seq = seq + (n - first);
        let at: Option<i64> = self
            .conn
            .prepare_cached("SELECT at FROM events WHERE id = ?1")?
            .query_row([id(room.no, seq)], |row| row.get(0))
            .optional()?;
        Ok(at.map(|at| Taken { n, count: 1, seq: Seq::new(seq), at: Timestamp::from_millis(at) }))
    }

    /// Join what was written together, or could have been.
    fn batches(&mut self, room: RoomId, events: Vec<Event>) -> Sql<Vec<Arc<Batch>>> {
        let mut batches = Vec::new();
        let mut open: Option<(Event, Run)> = None;
        for event in events {
            let joins = open.as_ref().is_some_and(|(first, run)| {
                let n = first.publish.map(|(outbox, n)| (outbox, n + run.len() as u64));
                first.at == event.at && first.author == event.author && event.publish == n
            });
            if let (true, Some((_, run))) = (joins, &mut open) {
                run.push(event.kind, &event.body);
                continue;
            }
            let mut run = Run::default();
            run.push(event.kind, &event.body);
            if let Some((first, run)) = open.replace((event, run)) {
                batches.push(self.batch(room, &first, run)?);
            }
        }
        if let Some((first, run)) = open {
            batches.push(self.batch(room, &first, run)?);
        }
        Ok(batches)
    }

    fn batch(&mut self, room: RoomId, first: &Event, events: Run) -> Sql<Arc<Batch>> {
        let (author, origin) = self.author(first.author)?;
        let publish = match first.publish {
            Some((outbox, n)) => Some(PublishId { outbox: self.outbox_id(outbox)?, n }),
            None => None,
        };
        let new = NewBatch { room, author, origin, publish, events };
        Ok(Arc::new(Batch { first: first.seq, at: Timestamp::from_millis(first.at), new }))
    }

    fn author(&mut self, no: i64) -> Sql<(Arc<Author>, Option<SessionId>)> {
        if let Some((author, origin)) = self.names.authors.get(&no) {
            return Ok((Arc::clone(author), *origin));
        }
        let mut select =
            self.conn.prepare_cached("SELECT principal, kind, alias, session FROM authors WHERE no = ?1")?;
        let (author, origin) = select.query_row([no], |row| {
            let author = Author {
                principal: PrincipalId::from_bytes(row.get(0)?),
                kind: PrincipalKind::from_u8(row.get(1)?),
                alias: Alias::parse(&row.get::<_, String>(2)?).map_err(invalid)?,
            };
            let session: Vec<u8> = row.get(3)?;
            Ok((Arc::new(author), <[u8; 16]>::try_from(session).ok().map(SessionId::from_bytes)))
        })?;
        self.names.authors.insert(no, (Arc::clone(&author), origin));
        Ok((author, origin))
    }

    fn outbox_id(&mut self, no: i64) -> Sql<OutboxId> {
        if let Some(outbox) = self.names.outboxes.get(&no) {
            return Ok(*outbox);
        }
        let mut select = self.conn.prepare_cached("SELECT outbox FROM outboxes WHERE no = ?1")?;
        let outbox = OutboxId::from_bytes(select.query_row([no], |row| row.get(0))?);
        self.names.outboxes.insert(no, outbox);
        Ok(outbox)
    }
}

/// The run of numbers that begins at or before `n`: first number, count, first seq.
fn run(conn: &Connection, outbox: i64, n: u64) -> Sql<Option<(u64, u64, u64)>> {
    conn.prepare_cached("SELECT n, count, seq FROM taken WHERE outbox = ?1 AND n <= ?2 ORDER BY n DESC LIMIT 1")?
        .query_row([outbox, i64::try_from(n).unwrap_or(i64::MAX)], |row| {
            let number = |i| row.get::<_, i64>(i).map(|n| n as u64);
            Ok((number(0)?, number(1)?, number(2)?))
        })
        .optional()
}

/// Events in the statement's order until there are enough.
fn page(
    select: &mut CachedStatement<'_>,
    room: i64,
    first: u64,
    last: u64,
    limit: usize,
    max_bytes: usize,
) -> Sql<Vec<Event>> {
    let mut events = Vec::new();
    if first > last || limit == 0 {
        return Ok(events);
    }
    let mut bytes = 0;
    let mut rows = select.query([id(room, first), id(room, last)])?;
    while let Some(row) = rows.next()? {
        give_way(events.len());
        let event = Event::of(row)?;
        bytes += event.body.len().max(1);
        if bytes > max_bytes && !events.is_empty() {
            break;
        }
        events.push(event);
        if events.len() == limit {
            break;
        }
    }
    Ok(events)
}

/// A name in the database that this library would not have written.
pub(super) fn invalid(e: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, Box::new(e))
}
