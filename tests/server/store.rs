//! A store of the application's own: one that fails, and one that outlives a server.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_std::channel::Receiver;
use async_std::task::block_on;
use chatnet::id::{Lineage, OutboxId, RoomId, Seq, Timestamp};
use chatnet::protocol::message::{self, *};
use chatnet::protocol::{Code, to_frame};
use chatnet::store::{self, *};

use crate::support::*;

/// A store in memory that fails when it is told to, and keeps records too.
#[derive(Debug, Clone)]
struct Kept {
    inner: Arc<MemoryStore>,
    fail: Arc<AtomicBool>,
    /// Commits so far; each takes a while if there is a disk to wait for.
    commits: Arc<AtomicUsize>,
    disk: Option<Duration>,
    /// Each search waits for one of these, if there is somebody to send them.
    searches: Option<Receiver<()>>,
    records: Arc<Mutex<Snapshot>>,
}

impl Kept {
    fn new() -> Self {
        let inner = Arc::new(MemoryStore::new(1 << 20, 1 << 26));
        let (fail, commits, records) = Default::default();
        Self { inner, fail, commits, disk: None, searches: None, records }
    }

    /// On a disk on which a commit takes 20 ms.
    fn on_disk() -> Self {
        Self { disk: Some(Duration::from_millis(20)), ..Self::new() }
    }

    fn change(&self, change: &Change) {
        let mut kept = self.records.lock().unwrap();
        match change.clone() {
            Change::PutRoom(room) => kept.rooms.push((room, Extent::default())),
            Change::DropRoom(id) => {
                kept.rooms.retain(|(room, _)| room.id != id);
                kept.members.retain(|member| member.room != id);
            }
            Change::PutSession(session) => {
                kept.sessions.retain(|other| other.id != session.id);
                kept.sessions.push(session);
            }
            Change::DropSession(id) => {
                kept.sessions.retain(|session| session.id != id);
                kept.members.retain(|member| member.session != id);
            }
            Change::PutMember(member) => {
                kept.members.retain(|other| (other.session, other.room) != (member.session, member.room));
                kept.members.push(member);
            }
            Change::DropMember { session, room } => {
                kept.members.retain(|other| (other.session, other.room) != (session, room));
            }
            _ => {}
        }
    }
}

impl Log for Kept {
    fn lineage(&self) -> Lineage {
        Log::lineage(&*self.inner)
    }

    async fn load(&self) -> Result<Snapshot, StoreError> {
        let mut kept = self.records.lock().unwrap().clone();
        for (room, extent) in &mut kept.rooms {
            *extent = block_on(Log::extent(&*self.inner, room.id))?;
        }
        Ok(kept)
    }

    async fn append(&self, commit: Commit) -> Result<Vec<Arc<Batch>>, StoreError> {
        self.commits.fetch_add(1, Ordering::SeqCst);
        if let Some(disk) = self.disk {
            async_std::task::sleep(disk).await;
        }
        // The first failure is the last one: the retry finds a store that works again.
        if !commit.batches.is_empty() && self.fail.swap(false, Ordering::SeqCst) {
            return Err(StoreError::new(StoreErrorKind::Full, "the disk is full; make room"));
        }
        commit.changes.iter().for_each(|change| self.change(change));
        Log::append(&*self.inner, commit).await
    }

    async fn read(&self, room: RoomId, after: Seq, max_bytes: usize) -> Result<ReadPage, StoreError> {
        Log::read(&*self.inner, room, after, max_bytes).await
    }

    async fn read_back(&self, room: RoomId, before: Seq, n: usize, max_bytes: usize) -> Result<ReadPage, StoreError> {
        Log::read_back(&*self.inner, room, before, n, max_bytes).await
    }

    async fn extent(&self, room: RoomId) -> Result<Extent, StoreError> {
        Log::extent(&*self.inner, room).await
    }

    async fn seq_at(&self, room: RoomId, at: Timestamp) -> Result<Seq, StoreError> {
        Log::seq_at(&*self.inner, room, at).await
    }

    async fn search(
        &self,
        room: RoomId,
        query: &str,
        before: Seq,
        limit: usize,
    ) -> Result<store::SearchPage, StoreError> {
        if let Some(searches) = &self.searches {
            let _ = searches.recv().await;
        }
        Log::search(&*self.inner, room, query, before, limit).await
    }

    async fn outbox(&self, room: RoomId, outbox: OutboxId) -> Result<Option<OutboxRecord>, StoreError> {
        Log::outbox(&*self.inner, room, outbox).await
    }

    async fn taken(&self, room: RoomId, outbox: OutboxId, n: u64) -> Result<Option<Taken>, StoreError> {
        Log::taken(&*self.inner, room, outbox, n).await
    }

    async fn trim(&self, room: RoomId, keep: Retention, now: Timestamp) -> Result<Seq, StoreError> {
        Log::trim(&*self.inner, room, keep, now).await
    }

    async fn redact(&self, room: RoomId, seq: Seq, kind: EventKind, body: &[u8]) -> Result<bool, StoreError> {
        Log::redact(&*self.inner, room, seq, kind, body).await
    }
}

fn start(store: &Kept) -> TestServer {
    TestServer::with(|b| b.grace(Duration::from_secs(60)).store(store.clone()))
}

#[test]
fn what_a_failing_store_did_not_keep_is_not_acked_and_comes_again_in_order() {
    let store = Kept::new();
    let server = start(&store);
    block_on(async {
        let (ada, _events) = chatnet::Client::builder().alias("ada").connect(server.addr).await.unwrap();
        let room = ada.room().unwrap();
        assert_eq!(room.send("kept").await.unwrap().await.unwrap().seq.get(), 1);
        store.fail.store(true, Ordering::SeqCst);
        let receipts = ["a", "b", "c"].map(|text| room.try_send(text).unwrap());
        let mut seqs = Vec::new();
        for receipt in receipts {
            seqs.push(receipt.await.unwrap().seq.get());
        }
        assert_eq!(seqs, [2, 3, 4]);
        assert!(!store.fail.load(Ordering::SeqCst), "the store failed once");
    });
}

#[test]
fn a_session_and_its_numbers_outlive_the_server() {
    let store = Kept::new();
    let server = start(&store);
    let mut wire = Wire::connect(server.addr);
    let lineage = wire.hello().lineage;
    wire.send(&guest("ada"));
    let who: Authenticated = wire.expect();
    wire.send(&Attach { token: None, cursors: vec![], more: false });
    let token = wire.expect::<Attached>().token.unwrap();
    let room = wire.join("").room;
    let den = wire.join("den").room;
    let box_a = outbox();
    wire.send(&publish(room, box_a, 1, &["one", "\u{7}", "three"]));
    assert_eq!(wire.expect::<Ack>().n, 1);
    assert_eq!(wire.expect::<Refused>().n, 2);
    assert_eq!(wire.expect::<Ack>().n, 3);
    block_on(server.handle.shutdown(PATIENCE));
    let bye: Bye = wire.skip_to();
    assert!(bye.code == Code::SHUTTING_DOWN && bye.retry_after_ms.is_some());
    server.join();

    let server = start(&store);
    let mut wire = Wire::connect(server.addr);
    assert_eq!(wire.hello().lineage, lineage);
    wire.send(&Auth { mechanism: "session".into(), data: token.clone() });
    let cursors = vec![Cursor { lineage, room, seq: Seq::new(2) }];
    wire.send(&Attach { token: Some(token), cursors, more: false });
    assert_eq!(wire.expect::<Authenticated>(), who);
    assert!(wire.expect::<Attached>().resumed);
    let rooms = [wire.expect::<Joined>(), wire.expect::<Joined>()];
    assert!(rooms.iter().any(|joined| joined.room == den), "the den is there as long as somebody may come back to it");
    // Numbers of before are known: accepted, refused, and what comes next.
    wire.send(&publish(room, box_a, 1, &["one", "\u{7}", "three", "four"]));
    let first: Ack = wire.expect();
    assert_eq!((first.n, first.seq.get()), (1, 1));
    assert_eq!(wire.expect::<Refused>().n, 2);
    let third: Ack = wire.expect();
    assert_eq!((third.n, third.seq.get()), (3, 2));
    let fourth: Ack = wire.expect();
    assert_eq!((fourth.n, fourth.seq.get()), (4, 3));
}

#[test]
fn a_redacted_text_is_gone_from_the_log_and_for_who_is_behind() {
    let store = Kept::new();
    let server = start(&store);
    let (mut ada, joined) = Wire::member(server.addr, "ada", "");
    let (mut bob, _) = Wire::member(server.addr, "bob", "");
    ada.send(&publish(joined.room, outbox(), 1, &["a", "secret", "c"]));
    bob.expect::<Deliver>();
    let lobby = chatnet::RoomName::parse("lobby").unwrap();
    block_on(async {
        server.handle.redact(&lobby, Seq::new(2)).await.unwrap();
        assert!(server.handle.redact(&lobby, Seq::new(9)).await.is_err());
    });
    for behind in [0, 1] {
        bob.send(&Seek { room: joined.room, after: Seq::new(behind) });
        let again: Deliver = bob.expect();
        let kinds: Vec<_> = again.events.iter().map(|e| e.kind).collect();
        assert_eq!(kinds, [EventKind::TEXT, EventKind::REMOVED, EventKind::TEXT]);
        assert!(again.events[1].bytes.is_empty());
    }
    bob.send(&Search { request: 1, room: joined.room, query: "secret".into(), before: None, limit: 5 });
    assert!(bob.expect::<message::SearchPage>().hits.is_empty());
}

/// How many commits it takes until all of these are told that their requests are done, each of them all at once.
fn commits_of(store: &Kept, wires: &mut [Wire], ask: impl Fn(usize, u32) -> Vec<u8>) -> usize {
    let before = store.commits.load(Ordering::SeqCst);
    for (n, wire) in wires.iter_mut().enumerate() {
        wire.raw(&(0..EACH).flat_map(|request| ask(n, request)).collect::<Vec<_>>());
    }
    for wire in wires {
        for request in 0..EACH {
            assert_eq!(wire.skip_to::<Done>().request, request);
        }
    }
    store.commits.load(Ordering::SeqCst) - before
}

/// Requests of each of many.
const EACH: u32 = 5;

/// Many.
const MANY: usize = 30;

#[test]
fn what_is_done_in_many_rooms_and_blocked_by_many_shares_commits_so_that_nobody_waits_for_each() {
    let store = Kept::on_disk();
    let server = start(&store);
    let (mut wires, rooms): (Vec<_>, Vec<_>) = (0..MANY)
        .map(|n| {
            let (wire, joined) = Wire::member(server.addr, &format!("g{n}"), &format!("room{n}"));
            (wire, joined.room)
        })
        .unzip();
    let _victim = Wire::guest(server.addr, "victim");
    let topics = commits_of(&store, &mut wires, |n, request| {
        let text = Some(format!("topic {request}"));
        to_frame(&Moderate { text, ..Moderate::new(request, rooms[n], EventKind::TOPIC) })
    });
    let blocks = commits_of(&store, &mut wires, |_, request| {
        to_frame(&Block { request, whom: Whom::Name("victim".into()), blocked: request % 2 == 0 })
    });
    println!("{topics} commits for {} topics, {blocks} for as many blocks", MANY * EACH as usize);
    assert!(topics < MANY && blocks < MANY, "{topics} and {blocks} commits");
}

#[test]
fn preconditions_are_about_the_head_that_they_meet_and_share_a_commit_all_the_same() {
    let store = Kept::on_disk();
    let server = start(&store);
    let (mut ada, joined) = Wire::member(server.addr, "ada", "den");
    let (room, outbox, count) = (joined.room, outbox(), 100);
    let frame =
        |n, expected| to_frame(&Publish { expected: Some(Seq::new(expected)), ..publish(room, outbox, n, &["x"]) });
    let before = store.commits.load(Ordering::SeqCst);
    // One of them expects less than there is by then.
    let mut all: Vec<u8> = (1..=count).flat_map(|n| frame(n, n - 1)).collect();
    all.extend(frame(count + 1, count - 1));
    all.extend(frame(count + 2, count));
    ada.raw(&all);
    let (mut acked, mut refused) = (0, None);
    while acked < count + 1 {
        let got = ada.next().expect("the server is there");
        if got.is(Kind::Ack) {
            let ack: Ack = got.read();
            assert_eq!(ack.seq.get(), acked + 1);
            acked += u64::from(ack.count);
        } else if got.is(Kind::Refused) {
            refused = Some(got.read::<Refused>());
        }
    }
    let refused = refused.expect("one doesn't hold");
    assert_eq!((refused.n, refused.code), (count + 1, Code::PRECONDITION_FAILED));
    let commits = store.commits.load(Ordering::SeqCst) - before;
    assert!(commits < count as usize / 5, "{commits} commits");
}

#[test]
fn whoever_ends_a_hundred_rooms_by_going_is_waited_for_once() {
    let store = Kept::on_disk();
    let server = TestServer::with(|b| b.store(store.clone()));
    let (mut ada, lobby) = Wire::member(server.addr, "ada", "");
    let mut bob = Wire::guest(server.addr, "bob");
    let joins = (0..100).flat_map(|n| to_frame(&Join { request: n, name: format!("room{n}") }));
    bob.raw(&joins.collect::<Vec<_>>());
    (0..100).for_each(|n| assert_eq!(bob.skip_to::<Joined>().request, n));
    let before = store.commits.load(Ordering::SeqCst);
    bob.send(&Bye { code: Code::GOODBYE, text: String::new(), retry_after_ms: None });
    bob.rest();
    let rooms = |wire: &mut Wire| {
        wire.send(&ListRooms { request: 1, after: None, limit: 50 });
        wire.skip_to::<RoomsPage>().rooms.len()
    };
    while rooms(&mut ada) > 1 {}
    // It is kept behind them.
    ada.send(&publish(lobby.room, outbox(), 1, &["x"]));
    ada.skip_to::<Ack>();
    let commits = store.commits.load(Ordering::SeqCst) - before;
    assert!(commits < 20, "{commits} commits");
}

// Other systems have one address of their own by default.
#[cfg(target_os = "linux")]
#[test]
fn who_searches_takes_turns_by_address_and_however_many_search_nobody_waits_for_history() {
    let (go_on, searches) = async_std::channel::unbounded();
    let store = Kept { searches: Some(searches), ..Kept::new() };
    let server = TestServer::with(|b| b.store(store));
    let from = |address: &str, alias: &str| {
        let mut wire = Wire::over(connect_from(server.addr, address).unwrap());
        wire.hello();
        wire.send(&guest(alias));
        wire.expect::<Authenticated>();
        wire.send(&Attach { token: None, cursors: vec![], more: false });
        wire.expect::<Attached>();
        let joined = wire.join("den");
        (wire, joined.room)
    };
    let (sender, answered) = std::sync::mpsc::channel();
    // Ask, and tell once it is answered.
    let search = |(mut wire, room): (Wire, RoomId), who: &'static str| {
        wire.send(&Search { request: 5, room, query: "tea".into(), before: None, limit: 1 });
        wire.round_trip();
        let sender = sender.clone();
        std::thread::spawn(move || {
            wire.skip_to::<message::SearchPage>();
            sender.send(who).unwrap();
        })
    };
    let many: Vec<_> = (0..20).map(|n| search(from("127.0.0.5", &format!("n{n}")), "many")).collect();
    let mut reader = from("127.0.0.7", "reader");
    let one = search(from("127.0.0.6", "one"), "one");
    reader.0.send(&History { request: 6, room: reader.1, place: Place::Before(Seq::new(9)), limit: 5 });
    reader.0.skip_to::<HistoryEnd>();
    let order: Vec<_> = (0..21)
        .map(|_| {
            block_on(go_on.send(())).unwrap();
            answered.recv().unwrap()
        })
        .collect();
    let turn = order.iter().position(|who| *who == "one").unwrap();
    assert!(turn < 5, "it came as number {turn}");
    many.into_iter().chain([one]).for_each(|thread| thread.join().unwrap());
}
