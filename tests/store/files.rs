//! What is in the files, and what is refused.

use std::fs;
use std::time::{Duration, Instant};

use chatnet::store::{Log, Retention, SqliteOptions, SqliteStore, StoreErrorKind};
use chatnet::{EventKind, RoomId, Seq, Timestamp};
use futures::executor::block_on;
use rusqlite::Connection;

use super::{Dir, texts};

const END: Seq = Seq::new(u64::MAX);

fn refusal(dir: &Dir) -> (StoreErrorKind, String) {
    let before = fs::read(dir.db()).unwrap();
    let e = SqliteStore::open(dir.db(), SqliteOptions::default()).unwrap_err();
    assert!(fs::read(dir.db()).unwrap() == before, "it was left as it is");
    (e.kind(), e.to_string())
}

#[test]
fn a_database_of_a_later_version_is_refused_and_left_as_it_is() {
    let dir = Dir::new();
    drop(dir.open());
    Connection::open(dir.db()).unwrap().pragma_update(None, "user_version", 1000).unwrap();
    let (kind, text) = refusal(&dir);
    assert_eq!(kind, StoreErrorKind::Newer);
    assert!(text.contains("version 1000") && text.contains("chat.db"), "{text}");
    assert_eq!(SqliteStore::check(dir.db()).unwrap_err().kind(), StoreErrorKind::Newer);
    assert_eq!(SqliteStore::backup(dir.db(), dir.file("b")).unwrap_err().kind(), StoreErrorKind::Newer);
    assert_eq!(SqliteStore::restore(dir.db(), dir.file("b")).unwrap_err().kind(), StoreErrorKind::Newer);
    assert!(!dir.file("b").exists());
}

#[test]
fn a_database_of_another_program_is_refused_and_left_as_it_is() {
    let dir = Dir::new();
    Connection::open(dir.db()).unwrap().execute_batch("CREATE TABLE recipes (name)").unwrap();
    let (kind, text) = refusal(&dir);
    assert_eq!(kind, StoreErrorKind::Damaged);
    assert!(text.contains("another program"), "{text}");
    Connection::open(dir.db()).unwrap().pragma_update(None, "application_id", 7).unwrap();
    assert_eq!(refusal(&dir).0, StoreErrorKind::Damaged);
}

#[test]
fn a_damaged_file_is_refused_and_left_as_it_is() {
    let dir = Dir::new();
    let store = dir.open();
    block_on(store.append(texts(RoomId::random(), 1, &["text"; 2000]))).unwrap();
    drop(store);
    let sound = fs::read(dir.db()).unwrap();
    // Not a database at all; a header that is none; the schema's page overwritten; cut off.
    let mut damaged =
        [b"not a database, whatever its name".repeat(200), sound.clone(), sound.clone(), sound[..2048].into()];
    damaged[1][..16].fill(b'x');
    damaged[2][100..4096].fill(0xee);
    for (i, bytes) in damaged.into_iter().enumerate() {
        fs::write(dir.db(), bytes).unwrap();
        let (kind, text) = refusal(&dir);
        assert_eq!(kind, StoreErrorKind::Damaged, "{i}: {text}");
        assert!(text.contains("chat.db"), "{text}");
    }
}

#[test]
fn damage_in_the_middle_is_found_by_a_check_and_told_by_reads() {
    let dir = Dir::new();
    let (store, room) = (dir.open(), RoomId::random());
    for i in 0..20 {
        block_on(store.append(texts(room, i, &["text of some length, so that it fills pages"; 500]))).unwrap();
    }
    drop(store);
    let mut bytes = fs::read(dir.db()).unwrap();
    let middle = bytes.len() / 2 / 4096 * 4096;
    bytes[middle..middle + 8192].fill(0xa5);
    fs::write(dir.db(), bytes).unwrap();
    assert!(!SqliteStore::check(dir.db()).unwrap().problems.is_empty());
    let store = dir.open();
    let mut cursor = Seq::ZERO;
    let told = loop {
        match block_on(store.read(room, cursor, 100_000)) {
            Ok(page) if page.batches.is_empty() => break None,
            Ok(page) => cursor = page.batches.last().unwrap().last(),
            Err(e) => break Some(e.kind()),
        }
    };
    // Whichever table the page belonged to: if it was the events', the reader is told.
    assert!(told.is_none_or(|kind| kind == StoreErrorKind::Damaged), "{told:?}");
}

#[test]
fn one_file_is_open_once_at_a_time() {
    let dir = Dir::new();
    let store = dir.open();
    let e = SqliteStore::open(dir.db(), SqliteOptions::default()).unwrap_err();
    assert_eq!(e.kind(), StoreErrorKind::InUse);
    assert_eq!(SqliteStore::restore(dir.db(), dir.db()).unwrap_err().kind(), StoreErrorKind::InUse);
    drop(store);
    dir.open();
}

#[test]
fn redacted_text_is_in_no_file_any_more() {
    let dir = Dir::new();
    let store = SqliteStore::open(dir.db(), SqliteOptions::default().scan(0)).unwrap();
    let room = RoomId::random();
    // A short one between others, a long one that has pages of its own; in the index or not.
    let long = "xylophone zymurgy ".repeat(2000);
    for indexed in [false, true] {
        let lines = ["before quokka", "the quokka is secret", &long, "after"];
        let appended = block_on(store.append(texts(room, 1, &lines))).unwrap();
        let first = appended[0].first.get();
        if indexed {
            assert_eq!(block_on(store.search(room, "xylophone", END, 9)).unwrap().hits.len(), 1);
        }
        assert!(!dir.grep("quokka").is_empty() && !dir.grep("zymurgy").is_empty(), "it was there");
        for seq in first..first + 3 {
            assert!(block_on(store.redact(room, Seq::new(seq), EventKind::TEXT, b"removed")).unwrap());
        }
        for word in ["quokka", "secret", "xylophone", "zymurgy"] {
            assert_eq!(dir.grep(word), Vec::<String>::new(), "{word}, indexed: {indexed}");
            assert!(block_on(store.search(room, word, END, 9)).unwrap().hits.is_empty());
        }
    }
    assert_eq!(block_on(store.search(room, "removed", END, 9)).unwrap().hits.len(), 6);
    drop(store);
    assert_eq!(SqliteStore::check(dir.db()).unwrap().problems, Vec::<String>::new());
}

#[test]
fn trimmed_text_is_in_no_file_any_more() {
    let dir = Dir::new();
    let (store, room) = (dir.open(), RoomId::random());
    block_on(store.append(texts(room, 1, &["some quokka"; 1500]))).unwrap();
    block_on(store.append(texts(room, 2, &["the last one"]))).unwrap();
    block_on(store.search(room, "quokka", END, 1)).unwrap();
    assert!(!dir.grep("quokka").is_empty(), "it was there");
    let keep = Retention::ALL.max_events(1);
    assert_eq!(block_on(store.trim(room, keep, Timestamp::default())).unwrap().get(), 1500);
    // The log is wiped as soon as nobody reads an older state of it.
    let started = Instant::now();
    while !dir.grep("quokka").is_empty() {
        assert!(started.elapsed() < Duration::from_secs(30), "still in {:?}", dir.grep("quokka"));
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_redaction_waits_for_those_who_read_an_older_state_and_commits_do_not() {
    let dir = Dir::new();
    let (store, room) = (dir.open(), RoomId::random());
    block_on(store.append(texts(room, 1, &["quokka"]))).unwrap();
    let other = Connection::open(dir.db()).unwrap();
    other.execute_batch("BEGIN; SELECT count(*) FROM events").unwrap();
    let redact = store.redact(room, Seq::new(1), EventKind::TEXT, b"removed");
    futures::pin_mut!(redact);
    for i in 0..20 {
        assert!(futures::FutureExt::now_or_never(&mut redact).is_none(), "the old text is still in the log");
        block_on(store.append(texts(room, i, &["meanwhile"]))).unwrap();
    }
    other.execute_batch("COMMIT").unwrap();
    assert!(block_on(redact).unwrap());
    assert_eq!(dir.grep("quokka"), Vec::<String>::new());
}

#[test]
fn a_database_of_version_1_is_read() {
    let dir = Dir::new();
    Connection::open(dir.db()).unwrap().execute_batch(include_str!("version1.sql")).unwrap();
    let store = dir.open();
    let snapshot = block_on(store.load()).unwrap();
    let (room, extent) = &snapshot.rooms[0];
    assert_eq!((room.name.as_str(), extent.trimmed.get(), extent.head.get()), ("lobby", 1, 4));
    assert_eq!((snapshot.sessions.len(), snapshot.members.len()), (1, 1));
    let page = block_on(store.read(room.id, Seq::ZERO, 1000)).unwrap();
    let bodies: Vec<String> = page
        .batches
        .iter()
        .flat_map(|batch| batch.new.events.iter().map(|(_, body)| String::from_utf8_lossy(body).into_owned()))
        .collect();
    assert_eq!(bodies, ["hello", "hello again", "not indexed yet"]);
    let outbox = page.batches[0].new.publish.unwrap().outbox;
    assert_eq!(block_on(store.taken(room.id, outbox, 3)).unwrap().unwrap().seq.get(), 3);
    let found = |query| block_on(store.search(room.id, query, END, 9)).unwrap().hits.len();
    assert_eq!((found("hello"), found("indexed"), found("trimmed")), (2, 1, 0));
    assert_eq!(store.lineage().as_bytes(), &[0x4c; 16]);
    block_on(store.append(texts(room.id, 1, &["more"]))).unwrap();
    drop(store);
    assert_eq!(SqliteStore::check(dir.db()).unwrap().problems, Vec::<String>::new());
}
