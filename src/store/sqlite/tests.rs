//! What can't be provoked from outside.

use std::cell::RefCell;
use std::path::PathBuf;
use std::sync::Arc;

use futures::executor::block_on;
use rusqlite::{Connection, ffi};

use super::error::Sql;
use super::*;
use crate::id::{Alias, PrincipalId};
use crate::protocol::PrincipalKind;
use crate::store::{Author, Change, CodeRecord, NewBatch, RoomRecord, Run};

/// What becomes of the next `COMMIT`s.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// It is written, and then its sync fails.
    Unsynced,
    /// Nothing is written, and its sync fails.
    Lost,
}

thread_local! {
    static FAULT: RefCell<Option<Fault>> = const { RefCell::new(None) };
}

/// The fault that the thread that opens the store has set.
pub(super) fn take_fault() -> Option<Fault> {
    FAULT.take()
}

pub(super) fn commit(conn: &Connection, fault: &mut Option<Fault>) -> Sql<()> {
    let failed = || Err(rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_IOERR_FSYNC), None));
    match fault.take() {
        None => conn.execute_batch("COMMIT"),
        Some(Fault::Lost) => failed(),
        Some(Fault::Unsynced) => {
            conn.execute_batch("COMMIT")?;
            failed()
        }
    }
}

/// A directory of its own, removed at the end.
struct Place(PathBuf);

impl Place {
    fn new() -> Self {
        let dir = std::env::temp_dir().join(format!("chatnet-{}", crate::id::SessionId::random()));
        std::fs::create_dir(&dir).unwrap();
        Self(dir)
    }

    fn file(&self) -> PathBuf {
        self.0.join("chat.db")
    }

    fn open(&self) -> SqliteStore {
        SqliteStore::open(self.file(), SqliteOptions::default()).unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn texts(room: RoomId, texts: &[&str]) -> Commit {
    let author = Author {
        principal: PrincipalId::from_bytes([1; 16]),
        kind: PrincipalKind::Guest,
        alias: Alias::parse("ada").unwrap(),
    };
    let mut events = Run::default();
    texts.iter().for_each(|text| events.push(EventKind::TEXT, text.as_bytes()));
    let batch = NewBatch { room, author: Arc::new(author), origin: None, publish: None, events };
    Commit { batches: vec![batch], ..Commit::default() }
}

fn heads(store: &SqliteStore, room: RoomId) -> u64 {
    block_on(store.extent(room)).unwrap().head.get()
}

#[test]
fn a_commit_whose_sync_failed_is_answered_by_what_is_found() {
    for (fault, kept) in [(Fault::Unsynced, true), (Fault::Lost, false)] {
        let (place, room) = (Place::new(), RoomId::random());
        FAULT.set(Some(fault));
        let store = place.open();
        let answer = block_on(store.append(texts(room, &["one", "two"])));
        assert_eq!(answer.is_ok(), kept, "{fault:?}: {answer:?}");
        assert_eq!(heads(&store, room), if kept { 2 } else { 0 }, "{fault:?}");
        // It goes on, in the right place.
        let next = block_on(store.append(texts(room, &["three"]))).unwrap();
        assert_eq!(next[0].first.get(), if kept { 3 } else { 1 });
        drop(store);
        assert_eq!(heads(&place.open(), room), if kept { 3 } else { 1 });
    }
}

#[test]
fn a_commit_without_events_whose_sync_failed_is_answered_by_what_is_found() {
    for (fault, kept) in [(Fault::Unsynced, true), (Fault::Lost, false)] {
        let place = Place::new();
        FAULT.set(Some(fault));
        let store = place.open();
        let room = RoomRecord {
            id: RoomId::random(),
            name: crate::id::RoomName::parse("lobby").unwrap(),
            permanent: true,
            created: Timestamp::default(),
        };
        let commit = Commit { changes: vec![Change::PutRoom(room)], ..Commit::default() };
        assert_eq!(block_on(store.append(commit)).is_ok(), kept);
        assert_eq!(block_on(store.load()).unwrap().rooms.len(), usize::from(kept));
    }
}

#[test]
fn the_index_follows_when_nothing_else_is_to_be_done() {
    let (place, room) = (Place::new(), RoomId::random());
    let store = place.open();
    block_on(store.append(texts(room, &["some words"; 3000]))).unwrap();
    let reader = schema::open_reader(&place.file()).unwrap();
    let started = std::time::Instant::now();
    while search::is_behind(&reader, room, 0).unwrap() {
        assert!(started.elapsed() < std::time::Duration::from_secs(60), "it never happens");
        std::thread::yield_now();
    }
    assert!(SqliteStore::check(place.file()).unwrap().problems.is_empty());
}

#[test]
fn a_dropped_room_goes_with_all_that_it_had_and_its_number_is_used_again() {
    let (place, room, other) = (Place::new(), RoomId::random(), RoomId::random());
    let store = place.open();
    block_on(store.append(texts(room, &["some words"; 1000]))).unwrap();
    let drop_room = Commit { changes: vec![Change::DropRoom(room)], ..Commit::default() };
    block_on(store.append(drop_room)).unwrap();
    let reader = schema::open_reader(&place.file()).unwrap();
    let count = |sql: &str| reader.query_row(sql, (), |row| row.get::<_, i64>(0)).unwrap();
    let started = std::time::Instant::now();
    while count("SELECT count(*) FROM rooms WHERE gone = 1") > 0 {
        assert!(started.elapsed() < std::time::Duration::from_secs(60), "it never happens");
        std::thread::yield_now();
    }
    assert_eq!(count("SELECT (SELECT count(*) FROM events) + (SELECT count(*) FROM authors)"), 0);
    block_on(store.append(texts(other, &["more words"]))).unwrap();
    assert_eq!(count("SELECT count(*) FROM rooms"), 1);
    assert_eq!(block_on(store.search(other, "words", Seq::new(u64::MAX), 10)).unwrap().hits.len(), 1);
    assert_eq!(block_on(store.search(room, "words", Seq::new(u64::MAX), 10)).unwrap().hits.len(), 0);
}

#[test]
fn what_was_known_of_trimmed_events_goes_with_them() {
    let (place, room) = (Place::new(), RoomId::random());
    let store = place.open();
    for n in 1..=100_u64 {
        let mut commit = texts(room, &["own"]);
        let outbox = OutboxId::from_bytes([n as u8 % 2; 16]);
        commit.batches[0].publish = Some(crate::store::PublishId { outbox, n: n.div_ceil(2) });
        block_on(store.append(commit)).unwrap();
    }
    let reader = schema::open_reader(&place.file()).unwrap();
    let count = || reader.query_row("SELECT count(*) FROM taken", (), |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(count(), 100, "each is a run of its own");
    block_on(store.trim(room, Retention::ALL.max_events(10), Timestamp::default())).unwrap();
    assert_eq!(count(), 10);
    assert_eq!(block_on(store.outbox(room, OutboxId::from_bytes([1; 16]))).unwrap().unwrap().decided, 50);
}

#[test]
fn a_check_finds_a_gap_a_wrong_head_and_an_index_without_its_texts() {
    let damage = [
        ("DELETE FROM events WHERE id & 255 = 2", "followed by"),
        ("UPDATE rooms SET head = 7", "head"),
        ("UPDATE events SET body = 'other'", "index"),
        ("UPDATE events SET author = 99", "authors"),
    ];
    for (sql, told) in damage {
        let (place, room) = (Place::new(), RoomId::random());
        let store = place.open();
        block_on(store.append(texts(room, &["one", "two", "three"]))).unwrap();
        while search::is_behind(&schema::open_reader(&place.file()).unwrap(), room, 0).unwrap() {
            std::thread::yield_now();
        }
        drop(store);
        assert_eq!(SqliteStore::check(place.file()).unwrap().problems, Vec::<String>::new());
        schema::connect(&place.file()).unwrap().execute_batch(sql).unwrap();
        let problems = SqliteStore::check(place.file()).unwrap().problems;
        assert!(problems.iter().any(|problem| problem.contains(told)), "{sql}: {problems:?}");
    }
}

#[test]
fn changes_alone_do_not_let_the_log_grow_for_ever_and_one_that_grew_shrinks() {
    let place = Place::new();
    let options = SqliteOptions { durability: Durability::Normal, ..SqliteOptions::default() };
    let store = SqliteStore::open(place.file(), options).unwrap();
    let code = || {
        let hash = [RoomId::random(), RoomId::random()].map(|id| *id.as_bytes()).concat().try_into().unwrap();
        Change::PutCode(CodeRecord { hash, reset: None, until: Timestamp::default() })
    };
    let write = |commits| {
        for _ in 0..commits {
            let changes = (0..400).map(|_| code()).collect();
            block_on(store.append(Commit { changes, ..Commit::default() })).unwrap();
        }
        lock::beside(&place.file(), "-wal").metadata().unwrap().len() >> 20
    };
    // Somebody reads, and it can't begin anew.
    let reader = schema::open_reader(&place.file()).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM codes").unwrap();
    let grown = write(300);
    assert!(grown > 100, "{grown} MiB");
    reader.execute_batch("ROLLBACK").unwrap();
    let log = write(150);
    assert!(log <= 80, "{log} MiB after {grown}");
}
