//! A thousand clients in one room, two of them stopped dead: one for less, one for more than three heartbeats.

use std::collections::HashMap;
use std::io::Write;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_std::future::timeout;
use async_std::net::TcpStream;
use async_std::task::{self, JoinHandle, block_on};
use chatnet::protocol::message::*;
use chatnet::protocol::{decode, frame, to_frame};
use futures::io::{AsyncReadExt, AsyncWriteExt};
use futures::{StreamExt, stream};
use parking_lot::Mutex;
use serde_json::Value;

use crate::support::*;
use crate::{Program, alone, assert_not_held_up, p99, raise_descriptor_limit, resident, server};

/// Clients that speak frames and little more; the two that are stopped make it a thousand.
const LIGHT: usize = 998;
const SENDERS: usize = 10;

/// Each sender says something so often.
const EVERY: Duration = Duration::from_millis(500);

const HEARTBEAT: Duration = Duration::from_secs(4);

/// How long the usual course of things is measured.
const USUAL: Duration = Duration::from_secs(5);

/// What is poured at once into a second room, so that the sockets of those who are stopped fill up; four times that is
/// more than the kernel keeps, and more than the server does.
const POURS: u64 = 64;
const POUR_BYTES: usize = 32 * 1024;

/// What a busy machine, with a thousand readers on it, may add; a room held up by a stopped reader waits for seconds.
const HICCUP: Duration = Duration::from_millis(250);

/// What the server may need more than before: the logs and tails of two rooms are bounded to 10 MiB, and two stalled
/// readers to half a MiB each.
const GROWTH: usize = 16 << 20;

/// What part of the test a message was said in.
const WARMING_UP: u8 = b'w';
const USUALLY: u8 = b'u';
const STOPPED: u8 = b's';
/// Nobody says anything any more.
const SILENCE: u8 = b'.';

/// What all the light clients share.
struct Crowd {
    began: Instant,
    part: AtomicU8,
    said: AtomicU64,
    acked: AtomicU64,
    /// The highest seq that was acked.
    head: AtomicU64,
    /// Where each of them is.
    cursors: Vec<AtomicU64>,
    /// How long messages took, by the part they were said in.
    took: Mutex<HashMap<u8, Vec<Duration>>>,
}

impl Crowd {
    /// A text that tells in what part and when it was said.
    fn text(&self) -> Option<String> {
        let part = self.part.load(Ordering::SeqCst);
        (part != SILENCE).then(|| format!("{} {}", char::from(part), self.began.elapsed().as_micros()))
    }

    fn heard(&self, text: &[u8]) {
        let said = std::str::from_utf8(&text[2..]).unwrap().parse().unwrap();
        let took = self.began.elapsed().saturating_sub(Duration::from_micros(said));
        self.took.lock().entry(text[0]).or_default().push(took);
    }

    fn p99(&self, part: u8) -> Duration {
        p99(self.took.lock().remove(&part).unwrap_or_default())
    }

    /// Everything that was said is acked, and everybody has it.
    fn is_complete(&self) -> bool {
        let head = self.head.load(Ordering::SeqCst);
        self.acked.load(Ordering::SeqCst) == self.said.load(Ordering::SeqCst)
            && self.cursors.iter().all(|cursor| cursor.load(Ordering::SeqCst) == head)
    }
}

/// A light client: it shows that it is alive, and sees each event of the room once and in order.
struct Light {
    crowd: Arc<Crowd>,
    i: usize,
    stream: TcpStream,
    buffer: Vec<u8>,
    cursor: u64,
    /// Acks of own events that are ahead of the cursor.
    own: Vec<u64>,
}

impl Light {
    /// Join the room and listen from then on; gives what is needed to speak there.
    async fn join(crowd: Arc<Crowd>, addr: SocketAddr, i: usize) -> (JoinHandle<()>, TcpStream, Joined) {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let mut greeting = to_frame(&hello());
        greeting.extend(to_frame(&guest(&format!("light{i}"))));
        greeting.extend(to_frame(&Attach { token: None, cursors: vec![], more: false }));
        greeting.extend(to_frame(&Join { request: 1, name: String::new() }));
        stream.write_all(&greeting).await.unwrap();
        let mut light = Self { crowd, i, stream, buffer: Vec::new(), cursor: 0, own: Vec::new() };
        loop {
            let got = light.next().await;
            if got.is(Kind::Joined) {
                let joined: Joined = got.read();
                light.cursor = joined.head.get();
                let stream = light.stream.clone();
                return (task::spawn(light.listen()), stream, joined);
            }
            assert!(!got.is(Kind::ErrorReply), "{:?}", got.read::<ErrorReply>());
        }
    }

    async fn next(&mut self) -> Got {
        let mut chunk = [0; 16 * 1024];
        loop {
            if let Some((frame, used)) = frame::split(&self.buffer, 1 << 20).unwrap() {
                let got = Got { header: frame.header, body: frame.body.to_vec() };
                self.buffer.drain(..used);
                return got;
            }
            let n = self.stream.read(&mut chunk).await.unwrap();
            assert!(n > 0, "the server closed a light client's connection");
            self.buffer.extend_from_slice(&chunk[..n]);
        }
    }

    async fn listen(mut self) {
        let mut pinged = Instant::now();
        loop {
            if pinged.elapsed() >= HEARTBEAT / 2 {
                pinged = Instant::now();
                // One write of a few bytes into a socket that is empty: it doesn't mix with what a sender writes.
                self.stream.write_all(&to_frame(&Ping { nonce: 1 })).await.unwrap();
            }
            // What was read of a frame is kept when the time is over.
            let Ok(got) = timeout(HEARTBEAT / 4, self.next()).await else { continue };
            match Kind(got.header.kind) {
                Kind::Deliver => self.delivered(&decode(&got.body).unwrap()),
                Kind::Ack => {
                    let ack: Ack = got.read();
                    let last = ack.seq.get() + u64::from(ack.count) - 1;
                    self.own.extend(ack.seq.get()..=last);
                    self.crowd.acked.fetch_add(u64::from(ack.count), Ordering::SeqCst);
                    self.crowd.head.fetch_max(last, Ordering::SeqCst);
                    self.advance();
                }
                Kind::Presence | Kind::Ping | Kind::Pong => {}
                kind => panic!("a light client was told {:?}", kind.name()),
            }
        }
    }

    fn delivered(&mut self, deliver: &Deliver) {
        self.advance();
        assert_eq!(deliver.seq.get(), self.cursor + 1, "nothing is lost, doubled or out of order");
        self.cursor += deliver.events.len() as u64;
        deliver.events.iter().for_each(|event| self.crowd.heard(&event.bytes));
        self.advance();
    }

    fn advance(&mut self) {
        while let Some(i) = self.own.iter().position(|seq| *seq == self.cursor + 1) {
            self.own.swap_remove(i);
            self.cursor += 1;
        }
        self.crowd.cursors[self.i].store(self.cursor, Ordering::SeqCst);
    }
}

async fn speak(crowd: Arc<Crowd>, mut stream: TcpStream, joined: Joined, i: usize) {
    let outbox = outbox();
    // Not all at the same time.
    task::sleep(EVERY * i as u32 / SENDERS as u32).await;
    for n in 1.. {
        let Some(text) = crowd.text() else { return };
        crowd.said.fetch_add(1, Ordering::SeqCst);
        stream.write_all(&to_frame(&publish(joined.room, outbox, n, &[&text]))).await.unwrap();
        task::sleep(EVERY).await;
    }
}

/// `chatnet --json` in both rooms, and what it said about them: in each, every event once, in order, or told as a gap.
struct Witness {
    program: Program,
    cursors: HashMap<String, u64>,
    gaps: u64,
}

impl Witness {
    fn start(addr: SocketAddr, alias: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_chatnet"));
        command.args([
            "--plaintext",
            "--no-outbox",
            "--json",
            "--name",
            alias,
            "--host",
            &addr.ip().to_string(),
            "--port",
            &addr.port().to_string(),
        ]);
        let mut witness = Self { program: Program::start(&mut command), cursors: HashMap::new(), gaps: 0 };
        writeln!(witness.program.input.as_mut().unwrap(), "/join pour").unwrap();
        witness.until("it is in both rooms", |witness, _| witness.cursors.len() == 2);
        witness
    }

    /// Take what it says until `enough`.
    fn until(&mut self, what: &str, enough: impl Fn(&Self, &Value) -> bool) -> Value {
        loop {
            let line = self.program.out.recv_timeout(PATIENCE).unwrap_or_else(|e| panic!("until {what}: {e}"));
            let told: Value = serde_json::from_str(&line).unwrap();
            self.take(&told);
            if enough(self, &told) {
                return told;
            }
        }
    }

    fn take(&mut self, told: &Value) {
        let room = told["room"].as_str().unwrap_or_default().to_owned();
        let number = |field: &str| told[field].as_u64().unwrap();
        match told["event"].as_str().unwrap() {
            "entered" => drop(self.cursors.insert(room, number("head"))),
            "message" => self.advance(room, number("seq"), number("seq")),
            "gap" => {
                self.gaps += number("to") + 1 - number("from");
                self.advance(room, number("from"), number("to"));
            }
            _ => {}
        }
    }

    fn advance(&mut self, room: String, from: u64, to: u64) {
        let cursor = self.cursors.get_mut(&room).unwrap();
        assert_eq!(from, *cursor + 1, "in {room} each event comes once and in order");
        *cursor = to;
    }

    fn reaches(&mut self, room: &str, seq: u64) {
        if self.cursors[room] < seq {
            self.until("it has caught up", |witness, _| witness.cursors[room] >= seq);
        }
    }
}

/// Say a lot in the second room, and wait until it is stored.
fn pour(talker: &mut Wire, room: &Joined, outbox: chatnet::OutboxId, first: u64) -> u64 {
    let text = "x".repeat(POUR_BYTES);
    for n in first..first + POURS {
        talker.send(&publish(room.room, outbox, n, &[&text]));
    }
    loop {
        let ack: Ack = talker.expect();
        if ack.n + u64::from(ack.count) == first + POURS {
            return ack.seq.get() + u64::from(ack.count) - 1;
        }
    }
}

/// Have a client of few words show that it is there, for as long as the server is.
fn stay_alive(wire: &Wire) {
    let mut stream = wire.stream.try_clone().unwrap();
    std::thread::spawn(move || {
        while stream.write_all(&to_frame(&Ping { nonce: 2 })).is_ok() {
            std::thread::sleep(HEARTBEAT / 2);
        }
    });
}

fn wait_until(what: &str, ready: impl Fn() -> bool) {
    let since = Instant::now();
    while !ready() {
        assert!(since.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn of_a_thousand_two_are_stopped_dead_and_nobody_else_is_held_up_or_misses_anything() {
    let _alone = alone();
    raise_descriptor_limit();
    let (server, addr) = server("", &format!("--heartbeat {} --log info", HEARTBEAT.as_secs()));
    let empty = resident(server.child.id());
    let crowd = Arc::new(Crowd {
        began: Instant::now(),
        part: AtomicU8::new(WARMING_UP),
        said: AtomicU64::new(0),
        acked: AtomicU64::new(0),
        head: AtomicU64::new(0),
        cursors: (0..LIGHT).map(|_| AtomicU64::new(0)).collect(),
        took: Mutex::default(),
    });
    let joining = stream::iter(0..LIGHT).map(|i| Light::join(Arc::clone(&crowd), addr, i));
    let lights: Vec<_> = block_on(joining.buffer_unordered(50).collect());
    let (mut short, mut long) = (Witness::start(addr, "short"), Witness::start(addr, "long"));
    let (mut talker, room) = Wire::member(addr, "talker", "pour");
    stay_alive(&talker);
    let outbox = outbox();
    let mut tasks = Vec::new();
    for (i, (listening, stream, joined)) in lights.into_iter().enumerate() {
        tasks.push(listening);
        if i < SENDERS {
            tasks.push(task::spawn(speak(Arc::clone(&crowd), stream, joined, i)));
        }
    }

    // As usual, with both of them there; a thousand joins are news for a while, which isn't measured.
    let poured = pour(&mut talker, &room, outbox, 1);
    short.reaches("pour", poured);
    long.reaches("pour", poured);
    crowd.part.store(USUALLY, Ordering::SeqCst);
    let poured = pour(&mut talker, &room, outbox, 1 + POURS);
    short.reaches("pour", poured);
    std::thread::sleep(USUAL);
    let full = resident(server.child.id());

    // Both are stopped; one and a half heartbeats later one goes on.
    crowd.part.store(STOPPED, Ordering::SeqCst);
    let stopped = Instant::now();
    short.program.signal("STOP");
    long.program.signal("STOP");
    let pours = (2..6).map(|i| pour(&mut talker, &room, outbox, 1 + i * POURS));
    let poured = pours.last().unwrap();
    std::thread::sleep((HEARTBEAT * 3 / 2).saturating_sub(stopped.elapsed()));
    let stalled = resident(server.child.id());
    short.program.signal("CONT");
    assert!(stopped.elapsed() < HEARTBEAT * 5 / 2, "this machine is too busy to stop somebody for so short a time");
    short.reaches("pour", poured);

    // The other one doesn't: after three heartbeats it is given up.
    let line = server.logged("idle_timeout");
    assert!(line.contains("long"), "{line}");
    crowd.part.store(SILENCE, Ordering::SeqCst);
    wait_until("all of the crowd have everything", || crowd.is_complete());
    short.reaches("lobby", crowd.head.load(Ordering::SeqCst));
    let after = resident(server.child.id());

    // It finds itself disconnected, is told why, comes back and misses nothing.
    long.program.signal("CONT");
    let lost = long.until("it is told why", |_, told| told["state"] == "reconnecting");
    assert!(lost["reason"].as_str().unwrap().contains("idle_timeout"), "{lost}");
    long.reaches("pour", poured);
    long.reaches("lobby", crowd.head.load(Ordering::SeqCst));

    let (usual, during) = (crowd.p99(USUALLY), crowd.p99(STOPPED));
    let mib = |bytes: usize| bytes as f64 / f64::from(1 << 20);
    println!(
        "p99 {usual:?} as usual, {during:?} while two were stopped; {} messages",
        crowd.head.load(Ordering::SeqCst)
    );
    println!(
        "the server: {:.1} MiB empty, {:.1} with all, {:.1} with two stalled, {:.1} afterwards; a gap of {} was told",
        mib(empty),
        mib(full),
        mib(stalled),
        mib(after),
        short.gaps
    );
    assert!(stalled.max(after) < full + GROWTH);
    assert_not_held_up(usual, during, HICCUP);
    for task in tasks {
        // Whoever has failed says so here; the others would listen for ever.
        block_on(task.cancel());
    }
}
