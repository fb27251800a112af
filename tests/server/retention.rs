//! How much of a room is kept, and what readers are told of the rest.

use std::time::Duration;

use async_std::task::block_on;
use chatnet::HandleError;
use chatnet::id::{RoomId, RoomName, Seq};
use chatnet::protocol::message::*;
use chatnet::store::Retention;

use crate::support::*;

fn name(name: &str) -> RoomName {
    RoomName::parse(name).unwrap()
}

/// The first event that can still be read.
fn first(wire: &mut Wire, room: RoomId) -> u64 {
    wire.send(&History { request: 5, room, place: Place::After(Seq::ZERO), limit: 1 });
    // What is asked for just when it is trimmed is nothing.
    let mut first = 0;
    loop {
        let got = wire.next().expect("the server answers");
        if got.is(Kind::Deliver) {
            first = got.read::<Deliver>().seq.get();
        }
        if got.is(Kind::HistoryEnd) {
            return first;
        }
    }
}

/// Wait until what can be read begins there.
fn until_first(wire: &mut Wire, room: RoomId, seq: u64) {
    // Each look is a round trip, so that there is time for it to happen.
    let looks = std::iter::repeat_with(|| first(wire, room)).take(20_000);
    assert!(looks.into_iter().any(|first| first == seq), "it is not trimmed up to {seq}");
}

fn say(wire: &mut Wire, room: RoomId, texts: u64) {
    let outbox = outbox();
    for n in 1..=texts {
        wire.send(&publish(room, outbox, n, &[&format!("{n}")]));
        wire.skip_to::<Ack>();
    }
}

#[test]
fn a_room_keeps_as_much_as_is_said_of_it_and_others_keep_what_is_said_of_all() {
    let server = TestServer::with(|b| b.retention(Retention::ALL.max_events(8)));
    let (mut ada, den) = Wire::member(server.addr, "ada", "den");
    let cellar = ada.join("cellar");
    for room in [den.room, cellar.room] {
        say(&mut ada, room, 10);
    }
    let set = |room, keep| block_on(server.handle.set_retention(&name(room), keep));
    set("den", Some(Retention::ALL.max_events(3))).unwrap();
    until_first(&mut ada, den.room, 8);
    assert_eq!(first(&mut ada, cellar.room), 3);
    // By bytes: two digits are the last one's.
    set("den", Some(Retention::ALL.max_bytes(3))).unwrap();
    until_first(&mut ada, den.room, 9);
    // By age: but for the newest all are older than nothing.
    std::thread::sleep(Duration::from_millis(2));
    set("den", Some(Retention::ALL.max_age(Duration::ZERO))).unwrap();
    until_first(&mut ada, den.room, 10);
    set("den", None).unwrap();
    assert_eq!(block_on(server.handle.retention(&name("den"))), Ok(Retention::ALL.max_events(8)));
    assert_eq!(set("nowhere", None), Err(HandleError::NoSuchRoom));
}

#[test]
fn who_is_behind_what_was_trimmed_is_told_the_gap_and_goes_on() {
    let server = TestServer::start();
    let (mut ada, den) = Wire::member(server.addr, "ada", "den");
    say(&mut ada, den.room, 10);
    block_on(server.handle.set_retention(&name("den"), Some(Retention::ALL.max_events(4)))).unwrap();
    until_first(&mut ada, den.room, 7);
    let (mut bob, joined) = Wire::member(server.addr, "bob", "den");
    assert_eq!(joined.head, Seq::new(10));
    bob.send(&Seek { room: den.room, after: Seq::new(2) });
    let skipped: Skipped = bob.skip_to();
    assert_eq!((skipped.from.get(), skipped.to.get(), skipped.reason), (3, 6, SkipReason::Trimmed.to_u8()));
    let mut seen = Vec::new();
    while seen.len() < 4 {
        seen.extend(texts(&bob.skip_to()));
    }
    assert_eq!(seen, (7..=10).map(|n| (n, n.to_string())).collect::<Vec<_>>());
}

#[cfg(feature = "sqlite")]
#[test]
fn what_is_said_of_a_room_outlives_the_server_and_ends_with_the_room() {
    use chatnet::store::{Log, SqliteOptions, SqliteStore};

    let dir = tempfile::tempdir().unwrap();
    let open = || SqliteStore::open(dir.path().join("chat.db"), SqliteOptions::default()).unwrap();
    let keep = Retention::ALL.max_events(3).max_age(Duration::from_secs(7));
    let lobby = name("lobby");
    for round in 0..2 {
        let server = TestServer::with(|b| b.store(open()));
        if round == 0 {
            block_on(server.handle.set_retention(&lobby, Some(keep))).unwrap();
            let (mut ada, _) = Wire::member(server.addr, "ada", "den");
            block_on(server.handle.set_retention(&name("den"), Some(keep))).unwrap();
            ada.send(&Bye { code: chatnet::Code::GOODBYE, text: String::new(), retry_after_ms: None });
            ada.rest();
        }
        assert_eq!(block_on(server.handle.retention(&lobby)), Ok(keep));
        block_on(server.handle.shutdown(Duration::from_secs(5)));
        server.join();
    }
    let store = open();
    let kept = block_on(store.load()).unwrap().retention;
    assert_eq!(kept.into_iter().map(|(_, keep)| keep).collect::<Vec<_>>(), [keep], "the other room has ended");
}
