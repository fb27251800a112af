//! What the SQLite store can do, beside what the device can: `cargo bench --features sqlite --bench store`.
//!
//! Takes a minute or two, and half a gigabyte in the directory `CHATNET_BENCH_DIR` (default: the current one). With
//! `-- --quick` it is over in seconds, and its figures mean little.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use chatnet::store::{
    Author, Commit, Durability, Log, NewBatch, PublishId, Retention, Run, SqliteOptions, SqliteStore,
};
use chatnet::{Alias, EventKind, OutboxId, PrincipalId, PrincipalKind, RoomId, Seq, SessionId, Timestamp};
use futures::executor::block_on;

const BATCH: u64 = 500;

/// Events of the large room.
fn room_events() -> u64 {
    if is_quick() { 20_000 } else { 1_000_000 }
}

/// How long each thing is done.
fn span() -> Duration {
    Duration::from_millis(if is_quick() { 200 } else { 3000 })
}

fn is_quick() -> bool {
    std::env::args().any(|arg| arg == "--quick")
}

const WORDS: [&str; 16] = [
    "ship", "harbour", "late", "coffee", "meeting", "server", "tomorrow", "build", "green", "paper", "morning",
    "light", "window", "table", "river", "stone",
];

fn main() {
    let directory = std::env::var_os("CHATNET_BENCH_DIR").unwrap_or_else(|| ".".into());
    let dir = PathBuf::from(directory).join(format!("chatnet-bench-{}", SessionId::random()));
    std::fs::create_dir_all(&dir).expect("the directory can be made");
    syncs(&dir);
    for durability in [Durability::Full, Durability::Normal] {
        for submitters in [1, 10, 100] {
            commits(&dir, durability, submitters);
        }
    }
    syncs(&dir);
    million(&dir);
    std::fs::remove_dir_all(&dir).expect("it is ours");
}

/// How often a second the device syncs, with as much as one commit writes.
fn syncs(dir: &Path) {
    for (name, rewinds) in [("growing", false), ("overwriting", true)] {
        let mut file = File::create(dir.join("raw")).expect("a file");
        let page = [7_u8; 4 * 4120];
        file.write_all(&vec![0; if rewinds { 64 * page.len() } else { 0 }]).expect("room");
        file.sync_all().expect("a sync");
        let (started, mut count) = (Instant::now(), 0_u64);
        while started.elapsed() < span() {
            if rewinds && count.is_multiple_of(64) {
                file.seek(SeekFrom::Start(0)).expect("a seek");
            }
            file.write_all(&page).expect("room");
            file.sync_all().expect("a sync");
            count += 1;
        }
        println!("raw fsync of 16 KiB, {name}: {:.0}/s", count as f64 / started.elapsed().as_secs_f64());
    }
}

/// Each submitter has one event in flight.
fn commits(dir: &Path, durability: Durability, submitters: u64) {
    let path = dir.join(format!("commits-{durability:?}-{submitters}.db"));
    let store = SqliteStore::open(path, SqliteOptions::default().durability(durability)).expect("it opens");
    let (room, stop, count) = (RoomId::random(), AtomicBool::new(false), AtomicU64::new(0));
    let mut waits: Vec<Duration> = std::thread::scope(|scope| {
        let run = |i: u64| {
            let (outbox, mut waits) = (OutboxId::random(), Vec::new());
            let mut n = 0;
            while !stop.load(Ordering::Relaxed) {
                n += 1;
                let asked = Instant::now();
                block_on(store.append(commit(room, i as u8, Some(PublishId { outbox, n }), n, 1))).expect("it is kept");
                waits.push(asked.elapsed());
                count.fetch_add(1, Ordering::Relaxed);
            }
            waits
        };
        let threads: Vec<_> = (0..submitters).map(|i| scope.spawn(move || run(i))).collect();
        std::thread::sleep(span());
        stop.store(true, Ordering::Relaxed);
        threads.into_iter().flat_map(|thread| thread.join().expect("it ends")).collect()
    });
    let (p50, p99) = (percentile(&mut waits, 50), percentile(&mut waits, 99));
    let rate = count.into_inner() as f64 / span().as_secs_f64();
    println!("{durability:?}, {submitters} submitters: {rate:.0} acks/s, p50 {p50:.1?}, p99 {p99:.1?}");
}

fn million(dir: &Path) {
    let path = dir.join("million.db");
    let options = || SqliteOptions::default();
    let store = SqliteStore::open(&path, options()).expect("it opens");
    let room = RoomId::random();
    let boxes: Vec<OutboxId> = (0..50).map(|_| OutboxId::random()).collect();
    let mut numbers = vec![1; boxes.len()];
    let started = Instant::now();
    for first in (0..room_events()).step_by(BATCH as usize) {
        let i = (first / BATCH) as usize % boxes.len();
        let publish = PublishId { outbox: boxes[i], n: numbers[i] };
        numbers[i] += BATCH;
        block_on(store.append(commit(room, i as u8, Some(publish), first, BATCH))).expect("it is kept");
    }
    let appended = started.elapsed();
    println!(
        "{} events in batches of {BATCH}, indexed on the way: {:.0}/s",
        room_events(),
        room_events() as f64 / appended.as_secs_f64()
    );
    let started = Instant::now();
    search(&store, room, "nothing");
    println!("the rest of the index: {:.1?}", started.elapsed());
    block_on(store.close());
    drop(store);
    println!("size: {} MiB", path.metadata().expect("it is there").len() >> 20);
    let started = Instant::now();
    let store = SqliteStore::open(&path, options()).expect("it opens");
    block_on(store.load()).expect("it loads");
    println!("open: {:.1?}", started.elapsed());
    for (name, before) in [("last", room_events() + 1), ("middle", room_events() / 2), ("first", 101)] {
        let started = Instant::now();
        let page = block_on(store.read_back(room, Seq::new(before), 100, 1 << 20)).expect("a page");
        assert_eq!(page.batches.iter().map(|batch| batch.new.events.len()).sum::<usize>(), 100);
        println!("{name} page: {:.2?}", started.elapsed());
    }
    for (query, what) in [
        ("needle", "one in a million"),
        ("ship", "in every fourth"),
        ("the", "in all"),
        ("the ship needle", "three words"),
        ("need*", "rare prefix"),
        ("sh*", "frequent prefix"),
    ] {
        let started = Instant::now();
        let found = search(&store, room, query);
        println!("search {query:?} ({what}): {:.1?}, {found} hits", started.elapsed());
    }
    beside_readers(&store, room);
    let started = Instant::now();
    block_on(store.redact(room, Seq::new(room_events() / 2), EventKind::TEXT, b"removed")).expect("it is gone");
    println!("redact: {:.1?}", started.elapsed());
    let started = Instant::now();
    let keep = Retention::ALL.max_events(room_events() * 19 / 20);
    block_on(store.trim(room, keep, Timestamp::default())).expect("it is trimmed");
    println!("trim, for a twentieth of it: {:.1?}", started.elapsed());
    let started = Instant::now();
    SqliteStore::backup(&path, dir.join("backup.db")).expect("it is copied");
    println!("backup: {:.1?}", started.elapsed());
    let started = Instant::now();
    let found = SqliteStore::check(&path).expect("it can be read");
    assert!(found.problems.is_empty(), "{:?}", found.problems);
    println!("check: {:.1?}", started.elapsed());
}

/// What an ack takes while ten others read and search.
fn beside_readers(store: &SqliteStore, room: RoomId) {
    for readers in [0, 10] {
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let stop = &stop;
            for i in 0..readers {
                scope.spawn(move || {
                    let mut before = room_events() / (i + 1);
                    while !stop.load(Ordering::Relaxed) {
                        block_on(store.read_back(room, Seq::new(before), 100, 1 << 20)).expect("a page");
                        if before.is_multiple_of(5) {
                            search(store, room, "ship light");
                        }
                        before = if before > 1000 { before - 101 } else { room_events() };
                        // As fast as pages come over a good network.
                        std::thread::sleep(Duration::from_millis(5));
                    }
                });
            }
            let (started, mut waits) = (Instant::now(), Vec::new());
            while started.elapsed() < span() {
                let asked = Instant::now();
                block_on(store.append(commit(room, 1, None, 7, 1))).expect("it is kept");
                waits.push(asked.elapsed());
                // As people write, not as fast as possible.
                std::thread::sleep(Duration::from_millis(1));
            }
            stop.store(true, Ordering::Relaxed);
            let (p50, p99) = (percentile(&mut waits, 50), percentile(&mut waits, 99));
            println!("acks beside {readers} readers: p50 {p50:.2?}, p99 {p99:.2?}");
        });
    }
}

fn search(store: &SqliteStore, room: RoomId, query: &str) -> usize {
    block_on(store.search(room, query, Seq::new(u64::MAX), 50)).expect("a search").hits.len()
}

fn percentile(waits: &mut [Duration], percent: usize) -> Duration {
    waits.sort();
    waits.get(waits.len() * percent / 100).copied().unwrap_or_default()
}

fn commit(room: RoomId, who: u8, publish: Option<PublishId>, first: u64, count: u64) -> Commit {
    let author = Author {
        principal: PrincipalId::from_bytes([who; 16]),
        kind: PrincipalKind::Guest,
        alias: Alias::parse("somebody").expect("it is valid"),
    };
    let mut events = Run::default();
    for i in first..first + count {
        let word = |k: u64| WORDS[(i.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(5 * k as u32) >> 60) as usize];
        let needle = if i == room_events() / 3 { "needle" } else { "" };
        let text = format!("the {} {} is {} {} {i} {needle}", word(1), word(2), word(3), word(4));
        events.push(EventKind::TEXT, text.as_bytes());
    }
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |now| now.as_millis() as i64);
    let origin = Some(SessionId::from_bytes([who; 16]));
    let batch = NewBatch { room, author: Arc::new(author), origin, publish, events };
    Commit { changes: Vec::new(), batches: vec![batch], now: Timestamp::from_millis(now) }
}
