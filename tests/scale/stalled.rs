//! What a reader that stalls costs.

use std::io::Write;

use chatnet::protocol::message::*;
use chatnet::protocol::to_frame;

use crate::support::*;
use crate::{alone, resident, server};

const READERS: usize = 100;

/// The part of the promised 512 KiB that isn't the kernel's.
const EACH: usize = 256 << 10;

/// The room's log and its tail, and what an allocator keeps.
const ROOM: usize = 10 << 20;

#[test]
fn a_stalled_reader_costs_the_server_a_constant_however_much_it_misses() {
    let _alone = alone();
    let (program, addr) = server("", "--log error");
    let (mut ada, joined) = Wire::member(addr, "ada", "");
    // None of them reads; all of them show that they are there.
    let mut readers: Vec<_> = (0..READERS).map(|i| Wire::member(addr, &format!("r{i}"), "").0).collect();
    let mut memory = vec![resident(program.child.id())];
    let (outbox, text) = (outbox(), "x".repeat(60_000));
    let mut n = 0;
    for megabytes in [8, 24] {
        for _ in 0..megabytes * 1_000_000 / text.len() {
            n += 1;
            ada.send(&publish(joined.room, outbox, n, &[&text]));
            ada.expect::<Ack>();
        }
        for reader in &mut readers {
            reader.stream.write_all(&to_frame(&Ping { nonce: 1 })).unwrap();
        }
        ada.round_trip();
        memory.push(resident(program.child.id()));
    }
    println!(
        "{} MB were said; memory in KiB: {:?}",
        n * 60_000 / 1_000_000,
        memory.iter().map(|m| m / 1024).collect::<Vec<_>>()
    );
    assert!(memory[1] < memory[0] + READERS * EACH + ROOM);
    assert!(memory[2] < memory[1] + READERS * EACH / 8, "what is missed costs nothing");
}
