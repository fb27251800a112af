//! No room.

use std::fs;
use std::process::Command;

use chatnet::store::{Log, Retention, SqliteOptions, SqliteStore, StoreErrorKind};
use chatnet::{RoomId, Seq, Timestamp};
use futures::executor::block_on;

use super::{Dir, texts};

/// Append until there is no room; how many events were acknowledged.
fn fill(store: &SqliteStore, room: RoomId, line: &str) -> u64 {
    let mut acked = 0;
    loop {
        match block_on(store.append(texts(room, 1, &[line; 10]))) {
            Ok(appended) => acked = appended[0].last().get(),
            Err(e) => {
                assert_eq!(e.kind(), StoreErrorKind::Full, "{e}");
                assert_eq!(block_on(store.extent(room)).unwrap().head.get(), acked, "what failed is not there");
                return acked;
            }
        }
        assert!(acked < 100_000, "it never becomes full");
    }
}

#[test]
fn a_full_store_refuses_keeps_what_it_has_and_goes_on_when_there_is_room() {
    let dir = Dir::new();
    let options = || SqliteOptions::default().max_bytes(1 << 20);
    let (store, room) = (SqliteStore::open(dir.db(), options()).unwrap(), RoomId::random());
    let line = "a line of text that fills the database ".repeat(4);
    let acked = fill(&store, room, &line);
    assert!(acked > 100);
    block_on(store.append(texts(room, 1, &[&"x".repeat(100_000)]))).unwrap_err();
    // Both still work: reading, and making room.
    assert_eq!(block_on(store.read_back(room, Seq::new(u64::MAX), 5, 10_000)).unwrap().batches.len(), 1);
    block_on(store.trim(room, Retention::ALL.max_events(10), Timestamp::default())).unwrap();
    let appended = block_on(store.append(texts(room, 2, &["there is room"]))).unwrap();
    assert_eq!(appended[0].first.get(), acked + 1);
    drop(store);
    let store = SqliteStore::open(dir.db(), options()).unwrap();
    assert_eq!(block_on(store.extent(room)).unwrap().head.get(), acked + 1);
    drop(store);
    assert_eq!(SqliteStore::check(dir.db()).unwrap().problems, Vec::<String>::new());
}

/// A file system of a few megabytes; none where this isn't permitted.
struct Small(Dir);

impl Small {
    fn mount() -> Option<Self> {
        let dir = Dir::new();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=3m", "tmpfs"]).arg(&dir.0).output();
        mounted.ok()?.status.success().then(|| Self(dir))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0.0).output();
    }
}

#[test]
fn a_full_device_is_told_and_forgotten_when_there_is_room() {
    let Some(small) = Small::mount() else {
        println!("skipped: mounting isn't permitted here");
        return;
    };
    let (dir, room) = (&small.0, RoomId::random());
    let ballast = dir.file("ballast");
    fs::write(&ballast, vec![1; 1_500_000]).unwrap();
    let store = dir.open();
    let line = "a line of text that fills the device ".repeat(4);
    let acked = fill(&store, room, &line);
    for _ in 0..20 {
        let e = block_on(store.append(texts(room, 1, &[line.as_str(); 10]))).unwrap_err();
        assert_eq!(e.kind(), StoreErrorKind::Full, "{e}");
    }
    assert!(SqliteStore::backup(dir.db(), dir.file("backup")).is_err());
    assert!(!dir.file("backup").exists() && !dir.file("backup.part").exists());
    fs::remove_file(&ballast).unwrap();
    let appended = block_on(store.append(texts(room, 2, &["there is room"]))).unwrap();
    assert_eq!(appended[0].first.get(), acked + 1);
    assert_eq!(block_on(store.search(room, "room", Seq::new(u64::MAX), 1)).unwrap().hits.len(), 1);
    drop(store);
    let store = dir.open();
    assert_eq!(block_on(store.extent(room)).unwrap().head.get(), acked + 1);
    drop(store);
    assert_eq!(SqliteStore::check(dir.db()).unwrap().problems, Vec::<String>::new());
}
