//! One client resumes a million events behind, while others talk in its room and in another one: how fast it catches up,
//! what that costs the server's memory, and what the others notice. `cargo bench --features sqlite --bench catch_up`.
//!
//! The database, about 200 MB, lies in `CHATNET_BENCH_DIR` (default: the current directory).

mod load;

use std::collections::BTreeMap;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use std::{io::Read, io::Write, net::SocketAddr, path::Path};

use async_std::task;
use chatnet::id::{Alias, Lineage, PrincipalId, RoomId, RoomName, Seq, Timestamp};
use chatnet::protocol::frame::{self, Class, HEADER_LEN};
use chatnet::protocol::message::*;
use chatnet::protocol::{Message, decode, to_frame};
use chatnet::store::{Author, Change, Commit, Log, NewBatch, RoomRecord, Run, SqliteOptions, SqliteStore};
use chatnet::{Client, Event, Events};
use futures::StreamExt;
use load::child::{self, Server};

/// Messages a second of each room's speaker.
const PACE: u32 = 100;

fn main() -> load::Result<()> {
    child::begin()?;
    let args = load::report::Args::parse()?;
    let events = if args.quick { 20_000 } else { 1_000_000 };
    let dir = std::env::var("CHATNET_BENCH_DIR").unwrap_or_else(|_| ".".into());
    let path = Path::new(&dir).join(format!("chatnet-bench-{}.db", chatnet::SessionId::random()));
    let (room, lineage) = fill(&path, events)?;
    let database = path.to_str().ok_or("the directory's name is not UTF-8")?;
    let server = Server::of(
        load::link::Under::Plain,
        &[("CHATNET_BENCH_DATABASE", database), ("CHATNET_BENCH_REPLAY", "10000000")],
    )?;
    let span = if args.quick { Duration::from_millis(500) } else { Duration::from_secs(10) };
    for _ in 0..args.runs.min(3) {
        run(&server, room, lineage, span)?;
    }
    Ok(())
}

/// A database with two rooms, of which the lobby has so many events.
fn fill(path: &Path, events: u64) -> load::Result<(RoomId, Lineage)> {
    let store = SqliteStore::open(path, SqliteOptions::default())?;
    let room = |name| {
        let (id, name) = (RoomId::random(), RoomName::parse(name)?);
        Ok::<_, Box<dyn std::error::Error>>(RoomRecord { id, name, permanent: true, created: Timestamp::default() })
    };
    // Both stay when everybody has left: removing one is work, too.
    let (lobby, other) = (room("lobby")?, room("other")?);
    let room = lobby.id;
    let author = Author { principal: PrincipalId::random(), kind: PrincipalKind::Guest, alias: Alias::parse("eve")? };
    let author = Arc::new(author);
    task::block_on(async {
        store.append(Commit { changes: [lobby, other].map(Change::PutRoom).into(), ..Commit::default() }).await?;
        for first in (0..events).step_by(50) {
            let mut run = Run::default();
            for n in first..(first + 50).min(events) {
                run.push(
                    EventKind::TEXT,
                    format!("message number {n}, of about the length that people write").as_bytes(),
                );
            }
            let batch = NewBatch { room, author: Arc::clone(&author), origin: None, publish: None, events: run };
            store
                .append(Commit { changes: vec![], batches: vec![batch], now: Timestamp::from_millis(first as i64) })
                .await?;
        }
        // All of it is put into the index of words: what would be left of that is no part of catching up.
        store.search(room, "number", Seq::new(u64::MAX), 1).await?;
        store.close().await;
        Ok((room, store.lineage()))
    })
}

fn run(server: &Server, room: RoomId, lineage: Lineage, span: Duration) -> load::Result<()> {
    let before = talk(server.addr, || std::thread::sleep(span))?;
    let resting = server.memory()?;
    let (done, peak) = (AtomicBool::new(false), AtomicU64::new(0));
    let (during, caught_up) = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::SeqCst) {
                peak.fetch_max(server.memory().unwrap_or(0), Ordering::SeqCst);
                std::thread::sleep(Duration::from_millis(10));
            }
        });
        let caught_up = Mutex::new(None);
        let during = talk(server.addr, || {
            let catching_up = scope.spawn(|| {
                // Its own work is not to be what the others notice: they have the processor first.
                let _ = rustix::process::setpriority_process(None, 19);
                catch_up(server.addr, room, lineage)
            });
            *caught_up.lock().expect("not poisoned") = catching_up.join().ok();
        });
        done.store(true, Ordering::SeqCst);
        (during, caught_up.into_inner().expect("not poisoned"))
    });
    let (events, took) = caught_up.ok_or("it did not run")??;
    let during = during?;
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    println!(
        "caught up with {events} events in {:.2} s: {:.0}/s; memory {:.1} MiB, {:.1} MiB more at most",
        took.as_secs_f64(),
        events as f64 / took.as_secs_f64(),
        mib(resting),
        mib(peak.into_inner().saturating_sub(resting)),
    );
    for (name, took) in [("before", before), ("meanwhile", during)] {
        for (room, (n, p50, p99)) in took {
            println!("  {name:9} {room:6} {n:6} delivered, p50 {p50:.2} ms, p99 {p99:.2} ms");
        }
    }
    Ok(())
}

/// How many were delivered, and how long that took: p50 and p99 in milliseconds.
type Times = (usize, f64, f64);

/// Have somebody talk, and somebody listen, in the lobby and in another room while `work` is done.
fn talk(addr: SocketAddr, work: impl FnOnce()) -> load::Result<BTreeMap<&'static str, Times>> {
    let stop = Arc::new(AtomicBool::new(false));
    let began = Instant::now();
    let mut talking = Vec::new();
    for room in ["lobby", "other"] {
        let (stop, (speaker, _), (_listener, events)) = task::block_on(async {
            let client = |who: &str| Client::builder().alias(format!("{who}-{room}")).room(room).connect(addr);
            Ok::<_, chatnet::ConnectError>((Arc::clone(&stop), client("speaker").await?, client("listener").await?))
        })?;
        let listening = task::spawn(listen(events, began));
        let speaking = task::spawn(async move {
            let room = speaker.room().expect("it has joined one");
            let mut next = Instant::now();
            while !stop.load(Ordering::SeqCst) {
                let at = next.saturating_duration_since(began).as_nanos();
                drop(room.send(format!("at {at}")).await.expect("the outbox takes it"));
                next += Duration::from_secs(1) / PACE;
                task::sleep(next.saturating_duration_since(Instant::now())).await;
            }
            room.send("the end").await.expect("the outbox takes it").await.expect("acked");
            speaker.close().await;
        });
        talking.push((room, speaking, listening, _listener));
    }
    work();
    stop.store(true, Ordering::SeqCst);
    let mut all = BTreeMap::new();
    for (room, speaking, listening, listener) in talking {
        let mut took = task::block_on(async {
            speaking.await;
            let took = listening.await;
            listener.close().await;
            took
        });
        took.sort_unstable();
        let at = |part: usize| took.get(took.len() * part / 100).map_or(0.0, |took| took.as_secs_f64() * 1e3);
        all.insert(room, (took.len(), at(50), at(99)));
    }
    Ok(all)
}

async fn listen(mut events: Events, began: Instant) -> Vec<Duration> {
    let (mut took, mut last) = (Vec::new(), None);
    while let Some(event) = events.next().await {
        let Event::Message(message) = event else { continue };
        assert!(last.is_none_or(|last: Seq| message.seq > last), "in order");
        last = Some(message.seq);
        match message.text.strip_prefix("at ") {
            Some(at) => {
                let due = Duration::from_nanos(at.parse().expect("a number"));
                took.push(began.elapsed().saturating_sub(due));
            }
            None if message.text == "the end" => return took,
            None => {}
        }
    }
    took
}

/// Resume a session whose cursor is before the room's first event; how many events came, and how long it took.
fn catch_up(addr: SocketAddr, room: RoomId, lineage: Lineage) -> Result<(u64, Duration), String> {
    let mut wire = Wire::hello(addr)?;
    wire.send(&Auth { mechanism: "guest".into(), data: b"".to_vec().into() })?;
    wire.send(&Attach { token: None, cursors: vec![], more: false })?;
    let token = wire.until::<Attached>()?.token.ok_or("the server keeps no sessions")?;
    wire.send(&Join { request: 1, name: "lobby".into() })?;
    wire.until::<Joined>()?;
    drop(wire);

    let mut wire = Wire::hello(addr)?;
    let began = Instant::now();
    wire.send(&Auth { mechanism: "session".into(), data: token.clone() })?;
    let cursors = vec![Cursor { lineage, room, seq: Seq::ZERO }];
    wire.send(&Attach { token: Some(token), cursors, more: false })?;
    let joined = wire.until::<Joined>()?;
    let target = joined.latest.ok_or("it doesn't say how far behind this is")?.get();
    let (mut last, mut granted) = (0, 0);
    while last < target {
        let (header, body) = wire.next()?;
        if header.class == Class::BULK {
            granted += (HEADER_LEN + body.len()) as u64;
        }
        if header.kind == Kind::Skipped.0 {
            return Err(format!("something was skipped: {:?}", decode::<Skipped>(&body)));
        }
        if header.kind == Kind::Deliver.0 {
            let deliver: Deliver = decode(&body).map_err(|e| e.to_string())?;
            if deliver.seq.get() != last + 1 {
                return Err(format!("{} came behind {last}", deliver.seq));
            }
            last += deliver.events.len() as u64;
        }
        if granted > 128 * 1024 {
            wire.send(&Credit { class: Class::BULK.0, bytes: std::mem::take(&mut granted) })?;
        }
    }
    let took = began.elapsed();
    wire.send(&Bye { code: chatnet::Code::GOODBYE, text: String::new(), retry_after_ms: None })?;
    Ok((last, took))
}

/// A connection that speaks frames and nothing more: what is measured is the server.
struct Wire {
    stream: TcpStream,
    buffer: Vec<u8>,
    taken: usize,
}

impl Wire {
    fn hello(addr: SocketAddr) -> Result<Self, String> {
        let stream = TcpStream::connect(addr).map_err(|e| e.to_string())?;
        let mut wire = Self { stream, buffer: Vec::new(), taken: 0 };
        let (magic, agent, max_body) = (MAGIC.to_vec().into(), "bench".into(), 131_072);
        wire.send(&Hello { magic, min_version: 1, max_version: 1, capabilities: vec![], max_body, agent })?;
        wire.until::<Welcome>()?;
        Ok(wire)
    }

    fn send<M: Message>(&mut self, message: &M) -> Result<(), String> {
        self.stream.write_all(&to_frame(message)).map_err(|e| e.to_string())
    }

    fn until<M: Message>(&mut self) -> Result<M, String> {
        loop {
            let (header, body) = self.next()?;
            if header.kind == M::KIND.0 {
                return decode(&body).map_err(|e| e.to_string());
            }
        }
    }

    fn next(&mut self) -> Result<(frame::Header, Vec<u8>), String> {
        loop {
            let rest = &self.buffer[self.taken..];
            if let Some((frame, used)) = frame::split(rest, 1 << 24).map_err(|e| e.to_string())? {
                let next = (frame.header, frame.body.to_vec());
                self.taken += used;
                return Ok(next);
            }
            self.buffer.drain(..std::mem::take(&mut self.taken));
            let mut chunk = [0; 65536];
            match self.stream.read(&mut chunk).map_err(|e| e.to_string())? {
                0 => return Err("the server closed".into()),
                n => self.buffer.extend_from_slice(&chunk[..n]),
            }
        }
    }
}
