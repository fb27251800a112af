//! What the benches have in common: a server as a child process, and a client load that one thread drives through
//! real sockets. It needs Linux: epoll, `/proc`, pinning to a processor.
#![allow(dead_code, unreachable_pub)] // each bench uses its part

pub mod book;
pub mod child;
pub mod engine;
pub mod link;
pub mod report;
pub mod wire;

use std::time::{Duration, Instant};

use book::Book;
use child::Server;
use engine::Engine;
use link::Under;

pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// After so long without a delivery that is due, it is lost.
const PATIENCE: Duration = Duration::from_secs(5);

/// A load that isn't measured goes before one that is: rings are allocated, and the processor's clock is up.
const WARM_UP: Duration = Duration::from_millis(200);

/// Nothing for so long: joining, or a load, has left nothing behind.
const QUIET: Duration = Duration::from_millis(100);

/// Who is where. Connection i is in room i mod `rooms`; the first `senders` of them send.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    pub rooms: usize,
    pub clients: usize,
    pub senders: usize,
    pub payload: usize,
}

impl Shape {
    pub const fn new(rooms: usize, clients: usize, senders: usize) -> Self {
        Self { rooms, clients, senders, payload: 64 }
    }
}

/// What one run found.
#[derive(Debug, Clone, Copy, Default)]
pub struct Flood {
    pub deliveries_per_second: f64,
    pub cpu_us: f64,
    /// Deliveries that one read of the load generator brought in.
    pub per_read: f64,
    /// How busy the load generator was: near 1.0 it is the limit of the rate (not of the CPU figure).
    pub busy: f64,
}

/// Each sender has `window` messages under way that not everybody has yet.
pub fn flood(under: Under, shape: Shape, window: u32, duration: Duration) -> Result<Flood> {
    let server = Server::start(under)?;
    let mut engine = Engine::join(&server, shape, 64)?;
    engine.settle(QUIET)?;
    let mut sent = vec![0; shape.senders];
    run_flood(&mut engine, &mut sent, window, WARM_UP.min(duration))?;

    let (before, reads) = (engine.book.total(), engine.reads);
    let (cpu, own, start) = (server.cpu()?, child::own_cpu(), Instant::now());
    run_flood(&mut engine, &mut sent, window, duration)?;
    let (wall, own, cpu) = (start.elapsed(), child::own_cpu() - own, server.cpu()? - cpu);
    finish(&mut engine, &sent)?;

    let delivered = (engine.book.total() - before) as f64;
    Ok(Flood {
        deliveries_per_second: delivered / wall.as_secs_f64(),
        cpu_us: cpu.as_secs_f64() * 1e6 / delivered,
        per_read: delivered / (engine.reads - reads).max(1) as f64,
        busy: own.as_secs_f64() / wall.as_secs_f64(),
    })
}

fn run_flood(engine: &mut Engine, sent: &mut [u32], window: u32, duration: Duration) -> Result<()> {
    let start = Instant::now();
    let mut ready: Vec<u32> = (0..sent.len() as u32).collect();
    let (mut last, mut seen) = (start, engine.book.total());
    loop {
        let sending = start.elapsed() < duration;
        if sending {
            for &sender in &ready {
                let (s, before) = (sender as usize, sent[sender as usize]);
                while sent[s] < engine.book.everybody_has(s) + window {
                    sent[s] += 1;
                    let now = engine.now().as_micros() as u64;
                    engine.publish(s, sent[s], now);
                }
                if sent[s] != before {
                    engine.flush(s)?;
                }
            }
        } else if engine.book.due(sent) == 0 {
            return Ok(());
        }
        ready.clear();
        engine.turn(Some(Duration::from_millis(50)))?;
        std::mem::swap(&mut ready, &mut engine.book.completed);
        if engine.book.total() != seen {
            (seen, last) = (engine.book.total(), Instant::now());
        } else if last.elapsed() > PATIENCE {
            return Err(format!("{} deliveries are lost", engine.book.due(sent)).into());
        }
    }
}

/// Delay from the moment at which a message was to be sent until each member had it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Latency {
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub p999_ms: f64,
    pub cpu_us: f64,
    pub busy: f64,
}

/// `rate` messages a second, whatever comes back; all senders in turn.
pub fn paced(under: Under, shape: Shape, rate: f64, duration: Duration) -> Result<Latency> {
    let server = Server::start(under)?;
    let mut engine = Engine::join(&server, shape, 64)?;
    engine.settle(QUIET)?;
    let mut sent = vec![0; shape.senders];
    engine.book.keep_delays();
    let (cpu, own, start) = (server.cpu()?, child::own_cpu(), Instant::now());
    let count = (rate * duration.as_secs_f64()) as u64;
    let due = |k: u64| Duration::from_secs_f64(0.01 + k as f64 / rate);
    let base = engine.now();
    let mut k = 0;
    while k < count || engine.book.due(&sent) > 0 {
        let now = engine.now() - base;
        if k < count && now >= due(k) {
            let s = k as usize % shape.senders;
            sent[s] += 1;
            engine.publish(s, sent[s], (base + due(k)).as_micros() as u64);
            engine.flush(s)?;
            k += 1;
        } else if k < count {
            engine.turn(Some(due(k) - now))?;
        } else if now > due(count) + PATIENCE {
            return Err(format!("{} deliveries are lost", engine.book.due(&sent)).into());
        } else {
            engine.turn(Some(Duration::from_millis(10)))?;
        }
        engine.book.completed.clear();
    }
    let (wall, own, cpu) = (start.elapsed(), child::own_cpu() - own, server.cpu()? - cpu);
    finish(&mut engine, &sent)?;
    Ok(latency(&mut engine, wall, own, cpu))
}

/// One of two says something as soon as the other has what was said before: nothing can be coalesced.
pub fn ping(under: Under, duration: Duration) -> Result<Latency> {
    let server = Server::start(under)?;
    let mut engine = Engine::join(&server, Shape::new(1, 2, 1), 2)?;
    engine.settle(QUIET)?;
    let mut sent = vec![0];
    run_flood(&mut engine, &mut sent, 1, WARM_UP.min(duration))?;
    engine.book.keep_delays();
    let (cpu, own, start) = (server.cpu()?, child::own_cpu(), Instant::now());
    run_flood(&mut engine, &mut sent, 1, duration)?;
    let (wall, own, cpu) = (start.elapsed(), child::own_cpu() - own, server.cpu()? - cpu);
    finish(&mut engine, &sent)?;
    Ok(latency(&mut engine, wall, own, cpu))
}

fn latency(engine: &mut Engine, wall: Duration, own: Duration, cpu: Duration) -> Latency {
    let delays = engine.book.delays();
    let at = |share: f64| delays[((delays.len() as f64 * share) as usize).min(delays.len() - 1)] as f64 / 1e3;
    Latency {
        p50_ms: at(0.5),
        p99_ms: at(0.99),
        p999_ms: at(0.999),
        cpu_us: cpu.as_secs_f64() * 1e6 / delays.len() as f64,
        busy: own.as_secs_f64() / wall.as_secs_f64(),
    }
}

/// What is late shows up as something that is too much; and every message has its ack.
fn finish(engine: &mut Engine, sent: &[u32]) -> Result<()> {
    engine.settle(QUIET)?;
    engine.book.check(sent)
}

/// What connections cost.
#[derive(Debug, Clone, Copy, Default)]
pub struct Joined {
    pub seconds: f64,
    pub cpu_ms: f64,
    /// Resident memory of the server for each connection, once all is quiet.
    pub bytes_each: f64,
}

/// Connect and join, `at_once` connections under way at any time, and then say nothing.
pub fn join(under: Under, shape: Shape, at_once: usize) -> Result<Joined> {
    let server = Server::start(under)?;
    #[cfg(feature = "tls")]
    let _first = match under {
        // Each of them has two tickets, and so will those that take one.
        Under::Resumed => {
            let mut first = Engine::join(&server, Shape { clients: at_once, ..shape }, at_once)?;
            first.settle(QUIET)?;
            Some(first)
        }
        _ => None,
    };
    let (cpu, memory, start) = (server.cpu()?, server.memory()?, Instant::now());
    let mut engine = Engine::join(&server, shape, at_once)?;
    let (seconds, cpu_ms) = (start.elapsed().as_secs_f64(), (server.cpu()? - cpu).as_secs_f64() * 1e3);
    // Presence of large rooms is collected for up to a second.
    engine.settle(Duration::from_millis(1200))?;
    let bytes_each = (server.memory()? as f64 - memory as f64) / shape.clients as f64;
    Ok(Joined { seconds, cpu_ms, bytes_each })
}
