//! What a commit writes, inside a transaction of the writer's.

use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, params};

use super::error::Sql;
use super::people;
use crate::id::{OutboxId, PrincipalId, RoomId, Seq, SessionId, Timestamp};
use crate::store::{Batch, Change, Commit, MemberRecord, NewBatch, PublishId, RoomRecord, SessionRecord};

/// Bits of an event's id that are its seq; above them is the room's number.
pub(super) const SEQ_BITS: u32 = 40;

/// Entries that are kept ready; beyond, all are forgotten.
const CACHED: usize = 100_000;

/// How far ahead an author's `upto` is written, so that it is written seldom.
const AHEAD: i64 = 4096;

/// The id of an event.
pub(super) fn id(room: i64, seq: u64) -> i64 {
    room << SEQ_BITS | seq.min((1 << SEQ_BITS) - 1) as i64
}

/// The seq in an event's id.
pub(super) fn seq(id: i64) -> Seq {
    Seq::new((id & ((1 << SEQ_BITS) - 1)) as u64)
}

/// What the writer knows of rooms without asking again. Valid as long as every transaction it saw was committed.
#[derive(Debug, Default)]
pub(super) struct Known {
    rooms: HashMap<RoomId, Room>,
    entries: usize,
}

#[derive(Debug)]
struct Room {
    no: i64,
    head: u64,
    at: i64,
    /// Bytes that this transaction added.
    added: u64,
    touched: bool,
    authors: HashMap<AuthorKey, (i64, i64)>,
    outboxes: HashMap<OutboxId, Outbox>,
}

type AuthorKey = (PrincipalId, Option<SessionId>, u8, Arc<str>);

#[derive(Debug)]
struct Outbox {
    no: i64,
    /// The last row of `taken`.
    last: Option<Run>,
    touched: bool,
}

#[derive(Debug, Clone, Copy)]
struct Run {
    n: u64,
    count: u64,
    seq: u64,
}

/// What the writer has to do after a transaction.
#[derive(Debug, Default)]
pub(super) struct Effects {
    /// Events that wait for their place in the index, by the room's number.
    pub(super) unindexed: HashMap<i64, u64>,
    /// Whether a room was dropped, whose log is to be removed.
    pub(super) dropped: bool,
}

/// How to find out whether a transaction was kept, when its `COMMIT` can't tell.
#[derive(Debug, Clone, Copy)]
pub(super) enum Mark {
    /// This event is there.
    Head(RoomId, u64),
    /// So many changes are counted.
    Changes(i64),
}

impl Mark {
    pub(super) fn is_kept(self, conn: &Connection) -> Sql<bool> {
        match self {
            Self::Head(room, head) => {
                let found: Option<i64> = conn
                    .query_row("SELECT head FROM rooms WHERE id = ?1", [room.as_bytes()], |row| row.get(0))
                    .optional()?;
                Ok(found.is_some_and(|found| found as u64 >= head))
            }
            Self::Changes(count) => changes(conn).map(|found| found >= count),
        }
    }
}

fn changes(conn: &Connection) -> Sql<i64> {
    conn.query_row("SELECT value FROM meta WHERE key = 'changes'", (), |row| row.get(0))
}

impl Known {
    /// A transaction was not committed.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Rows of `taken` and `authors` went.
    pub(super) fn forget(&mut self, room: RoomId) {
        self.rooms.remove(&room);
    }

    /// Write one commit; the batches, numbered.
    pub(super) fn apply(&mut self, conn: &Connection, commit: Commit, fx: &mut Effects) -> Sql<Vec<Arc<Batch>>> {
        if self.entries > CACHED {
            self.rooms.retain(|_, room| room.touched);
            self.entries = self.rooms.values().map(Room::entries).sum();
        }
        for change in commit.changes {
            self.change(conn, change, fx)?;
        }
        commit.batches.into_iter().map(|batch| self.append(conn, batch, commit.now, fx)).collect()
    }

    /// Write what the commits of a transaction have changed together, and how to recognise it.
    pub(super) fn finish(&mut self, conn: &Connection) -> Sql<Mark> {
        let mut mark = None;
        for (id, room) in &mut self.rooms {
            if !std::mem::take(&mut room.touched) {
                continue;
            }
            room.write(conn)?;
            mark = Some(Mark::Head(*id, room.head));
        }
        match mark {
            Some(mark) => Ok(mark),
            None => {
                conn.prepare_cached("UPDATE meta SET value = value + 1 WHERE key = 'changes'")?.execute(())?;
                changes(conn).map(Mark::Changes)
            }
        }
    }

    fn append(&mut self, conn: &Connection, new: NewBatch, now: Timestamp, fx: &mut Effects) -> Sql<Arc<Batch>> {
        let entries = &mut self.entries;
        let room = match self.rooms.get_mut(&new.room) {
            Some(room) => room,
            None => {
                *entries += 1;
                self.rooms.entry(new.room).or_insert(Room::find(conn, new.room)?)
            }
        };
        room.touched = true;
        let (first, count) = (room.head + 1, new.events.len() as u64);
        room.head += count;
        room.at = room.at.max(now.as_millis());
        room.added += new.events.bytes() as u64;
        let author = room.author(conn, &new, entries)?;
        let outbox = match new.publish {
            Some(publish) => Some(room.take(conn, publish, count, first, entries)?),
            None => None,
        };
        let mut insert = conn.prepare_cached(
            "INSERT INTO events (id, at, author, outbox, n, kind, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?;
        for (i, (kind, body)) in new.events.iter().enumerate() {
            let n = new.publish.map(|publish| publish.n as i64 + i as i64);
            insert.execute(params![id(room.no, first + i as u64), room.at, author, outbox, n, kind.0, body])?;
        }
        *fx.unindexed.entry(room.no).or_default() += count;
        Ok(Arc::new(Batch { first: Seq::new(first), at: Timestamp::from_millis(room.at), new }))
    }

    fn change(&mut self, conn: &Connection, change: Change, fx: &mut Effects) -> Sql<()> {
        match change {
            Change::PutRoom(room) => put_room(conn, &room),
            Change::DropRoom(room) => {
                // What was appended to it in this transaction went to the database already, except for what is
                // written at its end: that isn't needed any more.
                self.rooms.remove(&room);
                fx.dropped = true;
                people::drop_room(conn, room)?;
                drop_room(conn, room)
            }
            Change::PutSession(session) => put_session(conn, &session),
            Change::DropSession(session) => {
                conn.prepare_cached("DELETE FROM members WHERE session = ?1")?.execute([session.as_bytes()])?;
                conn.prepare_cached("DELETE FROM sessions WHERE id = ?1")?.execute([session.as_bytes()]).map(drop)
            }
            Change::PutMember(member) => put_member(conn, &member),
            Change::DropMember { session, room } => conn
                .prepare_cached(
                    "DELETE FROM members WHERE session = ?1 AND room = (SELECT no FROM rooms WHERE id = ?2)",
                )?
                .execute(params![session.as_bytes(), room.as_bytes()])
                .map(drop),
            Change::Used { room, outbox, n } => {
                let room = number(conn, room)?;
                conn.prepare_cached(
                    "INSERT INTO outboxes (room, outbox, decided) VALUES (?1, ?2, ?3)
                     ON CONFLICT DO UPDATE SET decided = max(decided, excluded.decided)",
                )?
                .execute(params![room, outbox.as_bytes(), n as i64])
                .map(drop)
            }
            other => people::change(conn, &other),
        }
    }
}

impl Room {
    fn find(conn: &Connection, id: RoomId) -> Sql<Self> {
        let no = number(conn, id)?;
        let (head, at) = conn
            .prepare_cached("SELECT head, at FROM rooms WHERE no = ?1")?
            .query_row([no], |row| Ok((row.get::<_, i64>(0)? as u64, row.get(1)?)))?;
        Ok(Self { no, head, at, added: 0, touched: false, authors: HashMap::new(), outboxes: HashMap::new() })
    }

    fn entries(&self) -> usize {
        1 + self.authors.len() + self.outboxes.len()
    }

    /// What a transaction has changed.
    fn write(&mut self, conn: &Connection) -> Sql<()> {
        let mut put = conn.prepare_cached(PUT_TAKEN)?;
        for outbox in self.outboxes.values_mut() {
            if let (true, Some(last)) = (std::mem::take(&mut outbox.touched), outbox.last) {
                put.execute(params![outbox.no, last.n as i64, last.count as i64, last.seq as i64])?;
            }
        }
        conn.prepare_cached("UPDATE rooms SET head = ?2, at = ?3, bytes = bytes + ?4 WHERE no = ?1")?
            .execute(params![self.no, self.head as i64, self.at, std::mem::take(&mut self.added) as i64])
            .map(drop)
    }

    fn author(&mut self, conn: &Connection, new: &NewBatch, entries: &mut usize) -> Sql<i64> {
        let author = &new.author;
        let kind = author.kind.to_u8();
        let key: AuthorKey = (author.principal, new.origin, kind, author.alias.as_str().into());
        let head = self.head as i64;
        if let Some((no, upto)) = self.authors.get_mut(&key) {
            if *upto < head {
                *upto = head + AHEAD;
                conn.prepare_cached("UPDATE authors SET upto = ?2 WHERE no = ?1")?.execute([*no, *upto])?;
            }
            return Ok(*no);
        }
        let session = new.origin.as_ref().map_or(&[][..], |session| session.as_bytes());
        let upto = head + AHEAD;
        let no = conn
            .prepare_cached(
                "INSERT INTO authors (room, principal, session, kind, alias, upto) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                 ON CONFLICT DO UPDATE SET upto = excluded.upto RETURNING no",
            )?
            .query_row(
                params![self.no, author.principal.as_bytes(), session, kind, author.alias.as_str(), upto],
                |row| row.get(0),
            )?;
        *entries += 1;
        self.authors.insert(key, (no, upto));
        Ok(no)
    }

    /// Remember what numbers became; the outbox's row.
    fn take(&mut self, conn: &Connection, publish: PublishId, count: u64, seq: u64, entries: &mut usize) -> Sql<i64> {
        let outbox = match self.outboxes.get_mut(&publish.outbox) {
            Some(outbox) => outbox,
            None => {
                *entries += 1;
                self.outboxes.entry(publish.outbox).or_insert(Outbox::find(conn, self.no, publish.outbox)?)
            }
        };
        let joins = |last: &Run| last.n + last.count == publish.n && last.seq + last.count == seq;
        match &mut outbox.last {
            Some(last) if joins(last) => last.count += count,
            last => {
                if let (true, Some(last)) = (outbox.touched, &*last) {
                    conn.prepare_cached(PUT_TAKEN)?.execute(params![
                        outbox.no,
                        last.n as i64,
                        last.count as i64,
                        last.seq as i64
                    ])?;
                }
                *last = Some(Run { n: publish.n, count, seq });
            }
        }
        outbox.touched = true;
        Ok(outbox.no)
    }
}

const PUT_TAKEN: &str = "INSERT INTO taken (outbox, n, count, seq) VALUES (?1, ?2, ?3, ?4)
     ON CONFLICT DO UPDATE SET count = excluded.count, seq = excluded.seq";

impl Outbox {
    fn find(conn: &Connection, room: i64, outbox: OutboxId) -> Sql<Self> {
        let no = conn
            .prepare_cached(
                "INSERT INTO outboxes (room, outbox) VALUES (?1, ?2)
                 ON CONFLICT DO UPDATE SET outbox = excluded.outbox RETURNING no",
            )?
            .query_row(params![room, outbox.as_bytes()], |row| row.get(0))?;
        let last = conn
            .prepare_cached("SELECT n, count, seq FROM taken WHERE outbox = ?1 ORDER BY n DESC LIMIT 1")?
            .query_row([no], |row| {
                let number = |i| row.get::<_, i64>(i).map(|n| n as u64);
                Ok(Run { n: number(0)?, count: number(1)?, seq: number(2)? })
            })
            .optional()?;
        Ok(Self { no, last, touched: false })
    }
}

/// A room's number, which it gets when it is first heard of.
fn number(conn: &Connection, room: RoomId) -> Sql<i64> {
    let known = conn
        .prepare_cached("SELECT no FROM rooms WHERE id = ?1")?
        .query_row([room.as_bytes()], |row| row.get(0))
        .optional()?;
    if let Some(no) = known {
        return Ok(no);
    }
    let free = conn
        .prepare_cached(
            "UPDATE rooms SET id = ?1, gone = 0 WHERE no = (SELECT no FROM rooms WHERE gone = 2 LIMIT 1) RETURNING no",
        )?
        .query_row([room.as_bytes()], |row| row.get(0))
        .optional()?;
    if let Some(no) = free {
        return Ok(no);
    }
    conn.prepare_cached("INSERT INTO rooms (id) VALUES (?1) RETURNING no")?
        .query_row([room.as_bytes()], |row| row.get(0))
}

fn put_room(conn: &Connection, room: &RoomRecord) -> Sql<()> {
    let no = number(conn, room.id)?;
    conn.prepare_cached("UPDATE rooms SET name = ?2, permanent = ?3, created = ?4 WHERE no = ?1")?
        .execute(params![no, room.name.as_str(), room.permanent, room.created.as_millis()])
        .map(drop)
}

fn drop_room(conn: &Connection, room: RoomId) -> Sql<()> {
    conn.prepare_cached("DELETE FROM members WHERE room = (SELECT no FROM rooms WHERE id = ?1)")?
        .execute([room.as_bytes()])?;
    // Without its id nobody finds it; its log goes in small steps, later.
    conn.prepare_cached("UPDATE rooms SET id = NULL, name = NULL, gone = 1 WHERE id = ?1")?
        .execute([room.as_bytes()])
        .map(drop)
}

fn put_session(conn: &Connection, session: &SessionRecord) -> Sql<()> {
    conn.prepare_cached(
        "INSERT OR REPLACE INTO sessions (id, principal, kind, alias, token, previous, seen)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?
    .execute(params![
        session.id.as_bytes(),
        session.principal.as_bytes(),
        session.kind.to_u8(),
        session.alias.as_str(),
        session.token,
        session.previous.concat(),
        session.seen.as_millis(),
    ])
    .map(drop)
}

fn put_member(conn: &Connection, member: &MemberRecord) -> Sql<()> {
    let room = number(conn, member.room)?;
    conn.prepare_cached("INSERT OR REPLACE INTO members (session, room, since, read) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![member.session.as_bytes(), room, member.since.get() as i64, member.read.get() as i64])
        .map(drop)
}
