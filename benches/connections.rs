//! What a connection costs: memory while it is idle, and time while many come at once. See README.md.

mod load;

use load::link::Under;
use load::report::{Args, Table};
use load::{Result, Shape};

fn main() -> Result<()> {
    load::child::begin()?;
    let args = Args::parse()?;
    let count = |count: usize| if args.quick { count / 20 } else { count };
    let works = [
        ("5,000 idle in 1,000 rooms", Shape::new(count(1000), count(5000), 1), 64),
        ("storm of 2,000 into 400 rooms", Shape::new(count(400), count(2000), 1), 200),
        ("storm of 2,000 into one room", Shape::new(1, count(2000), 1), 200),
    ];
    let mut table =
        Table::new(&[("bytes/connection", 0), ("seconds", 3), ("server CPU ms", 0), ("server CPU µs/connection", 0)]);
    for _ in 0..args.runs {
        for (work, shape, at_once) in works {
            let named = Under::ALL.iter().map(|under| (*under, under.name(work)));
            for (under, name) in named.filter(|(_, name)| args.wants(name)) {
                let run = load::join(under, shape, at_once).map_err(|e| format!("{name}: {e}"))?;
                let each_us = run.cpu_ms * 1e3 / shape.clients as f64;
                table.add(&name, &[run.bytes_each, run.seconds, run.cpu_ms, each_us]);
            }
        }
    }
    table.print();
    Ok(())
}
