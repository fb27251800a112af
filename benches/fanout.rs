//! What a delivery costs: server CPU, rate and latency, through real sockets. See README.md.

mod load;

use std::time::Duration;

use load::link::Under;
use load::report::{Args, Table};
use load::{Result, Shape};

/// Name, shape, and how many messages each sender has under way.
const FLOODS: [(&str, Shape, u32); 5] = [
    ("1×100, 10 busy senders", Shape::new(1, 100, 10), 64),
    ("1×100, 10 senders, one message in flight each", Shape::new(1, 100, 10), 1),
    ("1×1000, 10 busy senders", Shape::new(1, 1000, 10), 64),
    ("1×1000, 10 senders, one message in flight each", Shape::new(1, 1000, 10), 1),
    ("200×5, everybody sends", Shape::new(200, 1000, 1000), 4),
];

const PACED: &str = "latency, 200 messages/s into 1×100";
const PING: &str = "latency, one message in flight between two";

fn main() -> Result<()> {
    load::child::begin()?;
    let args = Args::parse()?;
    let duration = |seconds: f64| Duration::from_secs_f64(if args.quick { 0.2 } else { seconds });
    let mut floods =
        Table::new(&[("deliveries/s", 0), ("server CPU µs/delivery", 3), ("deliveries/read", 1), ("load busy", 2)]);
    let mut latencies =
        Table::new(&[("p50 ms", 3), ("p99 ms", 2), ("p999 ms", 2), ("server CPU µs/delivery", 1), ("load busy", 2)]);
    // All works once, and again: what drifts, drifts for all of them.
    for _ in 0..args.runs {
        for (work, shape, window) in FLOODS {
            for (under, name) in both(work).filter(|(_, name)| args.wants(name)) {
                let run = load::flood(under, shape, window, duration(2.0)).map_err(|e| format!("{name}: {e}"))?;
                floods.add(&name, &[run.deliveries_per_second, run.cpu_us, run.per_read, run.busy]);
            }
        }
        for work in [PACED, PING] {
            for (under, name) in both(work).filter(|(_, name)| args.wants(name)) {
                let run = match work {
                    PACED => load::paced(under, Shape::new(1, 100, 100), 200.0, duration(6.0)),
                    _ => load::ping(under, duration(2.0)),
                };
                let run = run.map_err(|e| format!("{name}: {e}"))?;
                latencies.add(&name, &[run.p50_ms, run.p99_ms, run.p999_ms, run.cpu_us, run.busy]);
            }
        }
    }
    floods.print();
    latencies.print();
    Ok(())
}

/// A work over plaintext and, with feature `tls`, over TLS right behind it.
fn both(work: &str) -> impl Iterator<Item = (Under, String)> {
    Under::BOTH.iter().map(move |under| (*under, under.name(work)))
}
