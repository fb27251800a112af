//! How many messages a second are acknowledged, by what the store promises and by how many speak at once, each with one
//! message in flight; beside how often the device can sync. `cargo bench --features sqlite --bench durable`.
//!
//! The database lies in `CHATNET_BENCH_DIR` (default: the current directory): name the device that is meant.

mod load;

use std::io::Write;
use std::time::{Duration, Instant};

use async_std::task;
use chatnet::Client;
use load::child::{self, Server};

const SPAN: Duration = Duration::from_secs(3);

fn main() -> load::Result<()> {
    child::begin()?;
    let args = load::report::Args::parse()?;
    let quick = args.quick;
    let (span, runs) = if quick { (SPAN / 10, 1) } else { (SPAN, 5) };
    println!("device: {:.0} syncs/s of 16 KiB", median((0..runs).map(|_| syncs(span)).collect::<Result<_, _>>()?));
    for store in ["memory", "sqlite-normal", "sqlite-full"] {
        for senders in [1, 10, 100] {
            let mut rates = Vec::new();
            let mut middle = Vec::new();
            for _ in 0..runs {
                let server = Server::with(load::link::Under::Plain, Some(store))?;
                let (acked, mut took) = task::block_on(speak(&server, senders, span))?;
                took.sort();
                rates.push(acked as f64 / span.as_secs_f64());
                middle.push(took[took.len() / 2].as_secs_f64() * 1e3);
            }
            let (rate, took) = (median(rates), median(middle));
            println!("{store:14} {senders:3} senders: {rate:8.0} acked/s, an ack takes {took:.3} ms (p50)");
        }
    }
    println!("device: {:.0} syncs/s of 16 KiB", median((0..runs).map(|_| syncs(span)).collect::<Result<_, _>>()?));
    Ok(())
}

/// Let so many clients speak for a while; each waits for its ack before it says the next.
async fn speak(server: &Server, senders: usize, span: Duration) -> load::Result<(usize, Vec<Duration>)> {
    let addr = server.addr;
    let mut clients = Vec::new();
    for i in 0..senders {
        // One that hears nobody: what is measured is the way of a message to its ack.
        let (client, events) = Client::builder().alias(format!("s{i}")).room(format!("r{i}")).connect(addr).await?;
        drop(events);
        clients.push(client);
    }
    let end = Instant::now() + span;
    let speaking: Vec<_> = clients
        .iter()
        .map(|client| {
            let room = client.room().expect("it has joined one");
            task::spawn(async move {
                let (mut took, mut last) = (Vec::new(), 0);
                while Instant::now() < end {
                    let began = Instant::now();
                    let acked = room.send("the quick brown fox jumps over the lazy dog, twice").await.expect("taken");
                    let acked = acked.await.expect("acked");
                    assert_eq!(acked.seq.get(), last + 1, "nothing lost, doubled or reordered");
                    last = acked.seq.get();
                    took.push(began.elapsed());
                }
                took
            })
        })
        .collect();
    let mut took = Vec::new();
    for speaking in speaking {
        took.extend(speaking.await);
    }
    Ok((took.len(), took))
}

/// How often a second the device takes 16 KiB for good.
fn syncs(span: Duration) -> load::Result<f64> {
    let dir = std::env::var("CHATNET_BENCH_DIR").unwrap_or_else(|_| ".".into());
    let path = std::path::Path::new(&dir).join(format!("chatnet-bench-{}.raw", chatnet::SessionId::random()));
    let mut file = std::fs::File::create(&path)?;
    let (began, mut count) = (Instant::now(), 0);
    while began.elapsed() < span {
        file.write_all(&[7; 16 * 1024])?;
        file.sync_data()?;
        count += 1;
    }
    std::fs::remove_file(path)?;
    Ok(f64::from(count) / span.as_secs_f64())
}

fn median(mut of: Vec<f64>) -> f64 {
    of.sort_by(f64::total_cmp);
    of[of.len() / 2]
}
