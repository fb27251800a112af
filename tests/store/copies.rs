//! Backups of a live store, and back.

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use chatnet::store::{Log, SqliteOptions, SqliteStore, StoreErrorKind};
use chatnet::{RoomId, Seq};
use futures::executor::block_on;

use super::{Dir, texts};

fn head(store: &SqliteStore, room: RoomId) -> u64 {
    block_on(store.extent(room)).unwrap().head.get()
}

#[test]
fn a_backup_of_a_live_store_is_of_one_moment_and_holds_up_nobody() {
    let dir = Dir::new();
    let (store, room) = (dir.open(), RoomId::random());
    block_on(store.append(texts(room, 1, &["text"; 5000]))).unwrap();
    let (stop, acked) = (AtomicBool::new(false), AtomicU64::new(5000));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::SeqCst) {
                let appended = block_on(store.append(texts(room, 2, &["more"; 3]))).unwrap();
                acked.store(appended[0].last().get(), Ordering::SeqCst);
            }
        });
        for i in 0..3 {
            let (before, copy) = (acked.load(Ordering::SeqCst), dir.file(&format!("backup{i}")));
            SqliteStore::backup(dir.db(), &copy).unwrap();
            let after = acked.load(Ordering::SeqCst);
            assert_eq!(SqliteStore::check(&copy).unwrap().problems, Vec::<String>::new());
            let restored = dir.file(&format!("restored{i}"));
            SqliteStore::restore(&copy, &restored).unwrap();
            let restored = SqliteStore::open(&restored, SqliteOptions::default()).unwrap();
            let head = head(&restored, room);
            assert!((before..=after + 3).contains(&head), "{head} events, of {before} to {after}");
            assert!(block_on(store.search(room, "more", Seq::new(u64::MAX), 1)).is_ok());
        }
        stop.store(true, Ordering::SeqCst);
    });
}

#[test]
fn a_restored_store_lives_another_life_with_the_same_content() {
    let dir = Dir::new();
    let (store, room) = (dir.open(), RoomId::random());
    block_on(store.append(texts(room, 1, &["kept"]))).unwrap();
    SqliteStore::backup(dir.db(), dir.file("backup")).unwrap();
    block_on(store.append(texts(room, 2, &["after the backup"]))).unwrap();
    SqliteStore::restore(dir.file("backup"), dir.file("restored")).unwrap();
    SqliteStore::restore(dir.file("backup"), dir.file("again")).unwrap();
    let open = |name| SqliteStore::open(dir.file(name), SqliteOptions::default()).unwrap();
    let (restored, again) = (open("restored"), open("again"));
    assert_ne!(restored.lineage(), store.lineage());
    assert_ne!(restored.lineage(), again.lineage());
    assert_eq!((head(&restored, room), head(&store, room)), (1, 2));
    let lineage = restored.lineage();
    drop(restored);
    assert_eq!(open("restored").lineage(), lineage, "from then on the same");
}

#[test]
fn nothing_is_overwritten_by_a_copy() {
    let dir = Dir::new();
    drop(dir.open());
    fs::write(dir.file("there"), "mine").unwrap();
    fs::write(dir.file("stale-wal"), "of another database").unwrap();
    SqliteStore::backup(dir.db(), dir.file("there")).unwrap_err();
    SqliteStore::restore(dir.db(), dir.file("there")).unwrap_err();
    SqliteStore::restore(dir.db(), dir.file("stale")).unwrap_err();
    assert_eq!(fs::read(dir.file("there")).unwrap(), b"mine");
    assert!(!dir.file("stale").exists());
    fs::write(dir.file("junk"), "this is no backup").unwrap();
    let e = SqliteStore::restore(dir.file("junk"), dir.file("new")).unwrap_err();
    assert_eq!(e.kind(), StoreErrorKind::Damaged);
    assert!(!dir.file("new").exists() && !dir.file("new.part").exists());
    SqliteStore::backup(dir.file("missing"), dir.file("new")).unwrap_err();
    assert!(!dir.file("missing").exists(), "reading makes no file");
}
