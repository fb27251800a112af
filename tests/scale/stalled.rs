//! What a reader that stalls costs.

use std::io::Write;

use chatnet::protocol::message::*;
use chatnet::protocol::to_frame;

use crate::support::*;
use crate::{alone, server};

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
    let mut memory = vec![crate::resident(program.child.id())];
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
        memory.push(crate::resident(program.child.id()));
    }
    println!(
        "{} MB were said; memory in KiB: {:?}",
        n * 60_000 / 1_000_000,
        memory.iter().map(|m| m / 1024).collect::<Vec<_>>()
    );
    assert!(memory[1] < memory[0] + READERS * EACH + ROOM);
    assert!(memory[2] < memory[1] + READERS * EACH / 8, "what is missed costs nothing");
}

/// The tails of all rooms share one budget: many busy rooms get less each.
#[test]
fn two_hundred_rooms_share_one_budget() {
    const ROOMS: usize = 200;
    let _alone = alone();
    // In this process, for the program has no such settings. The logs keep 1 MiB altogether; the tails 64 KiB each, the
    // least that a room gets, where one alone would have had 1 MiB.
    let server = TestServer::with(|b| {
        b.limits(chatnet::Limits::NONE).tail_bytes(4 << 20).room_log_bytes(16 << 10).max_rooms_per_session(ROOMS)
    });
    let mut ada = Wire::guest(server.addr, "ada");
    let rooms: Vec<_> = (0..ROOMS).map(|i| ada.join(&format!("room{i}")).room).collect();
    let (outbox, text) = (outbox(), "x".repeat(50_000));
    let before = crate::resident(std::process::id());
    for n in 1..=8 {
        for room in &rooms {
            ada.send(&publish(*room, outbox, n, &[&text]));
            ada.expect::<Ack>();
        }
    }
    let grown = crate::resident(std::process::id()).saturating_sub(before);
    println!("80 MB were said in {ROOMS} rooms, {} KiB more", grown / 1024);
    assert!(grown < 40 << 20, "{} KiB", grown / 1024);
}
