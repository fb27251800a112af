//! Sessions that outlive their connections.

use std::time::Duration;

use chatnet::id::{Lineage, RoomId, Seq};
use chatnet::protocol::Code;
use chatnet::protocol::frame::{Class, HEADER_LEN};
use chatnet::protocol::message::*;

use crate::support::*;

const GRACE: Duration = Duration::from_secs(60);

fn start() -> TestServer {
    TestServer::with(|b| b.grace(GRACE))
}

/// A guest in the lobby, the token it can come back with, and the server's lineage.
struct Guest {
    wire: Wire,
    token: Vec<u8>,
    lineage: Lineage,
    room: RoomId,
    session: Attached,
}

fn guest_in_lobby(server: &TestServer, alias: &str) -> Guest {
    let mut wire = Wire::connect(server.addr);
    let lineage = wire.hello().lineage;
    wire.send(&guest(alias));
    wire.expect::<Authenticated>();
    wire.send(&Attach { token: None, cursors: vec![], more: false });
    let session: Attached = wire.expect();
    assert_eq!(u128::from(session.grace_ms), GRACE.as_millis());
    let token = session.token.clone().expect("sessions are kept").into();
    let room = wire.join("").room;
    Guest { wire, token, lineage, room, session }
}

/// Come back with a token and a place.
fn come_back(server: &TestServer, token: &[u8], cursors: Vec<Cursor>) -> (Wire, Attached) {
    let mut wire = Wire::connect(server.addr);
    wire.hello();
    wire.send(&Auth { mechanism: "session".into(), data: token.to_vec().into() });
    wire.send(&Attach { token: Some(token.to_vec().into()), cursors, more: false });
    wire.expect::<Authenticated>();
    let attached: Attached = wire.expect();
    assert!(attached.resumed && attached.token.is_some());
    (wire, attached)
}

fn at(guest: &Guest, seq: u64) -> Vec<Cursor> {
    vec![Cursor { lineage: guest.lineage, room: guest.room, seq: Seq::new(seq) }]
}

/// Wait for the acks up to this event; the last one's time.
fn acked_up_to(wire: &mut Wire, seq: u64) -> i64 {
    loop {
        let ack: Ack = wire.expect();
        if ack.seq.get() + u64::from(ack.count) > seq {
            return ack.at;
        }
    }
}

/// The events of replays, until `count` came; own ones with their numbers.
fn replayed(wire: &mut Wire, count: usize) -> Vec<(u64, String, Option<u64>)> {
    let mut events = Vec::new();
    while events.len() < count {
        let deliver: Deliver = wire.expect();
        assert_eq!(deliver.source, Some(Source::Replay.to_u8()));
        let own = deliver.own.map(|own| own.n);
        let numbered = texts(&deliver).into_iter().enumerate();
        events.extend(numbered.map(|(i, (seq, text))| (seq, text, own.map(|n| n + i as u64))));
    }
    events
}

#[test]
fn who_was_cut_comes_back_unnoticed_and_is_sent_what_was_missed_its_own_included() {
    let server = start();
    let (mut bob, _) = Wire::member(server.addr, "bob", "");
    let mut ada = guest_in_lobby(&server, "ada");
    while !bob.skip_to::<Presence>().joined.iter().any(|person| person.alias == "ada") {}
    let (box_a, box_b) = (outbox(), outbox());
    ada.wire.send(&publish(ada.room, box_a, 1, &["one"]));
    assert_eq!(ada.wire.expect::<Ack>().seq.get(), 1);
    // Stored, but its ack is never read.
    ada.wire.send(&publish(ada.room, box_a, 2, &["two"]));
    assert_eq!(texts(&bob.skip_to()), [(1, "one".into())]);
    assert_eq!(texts(&bob.skip_to()), [(2, "two".into())]);
    ada.wire.stream.shutdown(std::net::Shutdown::Both).unwrap();
    bob.send(&publish(ada.room, box_b, 1, &["three"]));
    bob.expect::<Ack>();

    let (mut again, attached) = come_back(&server, &ada.token, at(&ada, 1));
    assert_eq!(attached.session, ada.session.session);
    let joined: Joined = again.expect();
    assert_eq!((joined.request, joined.room, joined.head.get()), (0, ada.room, 1));
    assert_eq!(joined.latest, Some(Seq::new(3)));
    assert_eq!(replayed(&mut again, 2), [(2, "two".into(), Some(2)), (3, "three".into(), None)]);
    // What is live comes live, and what was sent before is acked again.
    again.send(&publish(ada.room, box_a, 2, &["two"]));
    assert_eq!(again.expect::<Ack>().seq.get(), 2);
    bob.send(&publish(ada.room, box_b, 2, &["four"]));
    let four: Deliver = again.expect();
    assert_eq!((four.source, texts(&four)), (None, vec![(4, "four".into())]));
    // Nobody was told that anybody had left.
    let told = bob.round_trip();
    let presence = told.iter().filter(|got| got.is(Kind::Presence)).map(|got| got.read::<Presence>());
    assert_eq!(presence.collect::<Vec<_>>(), []);
}

#[test]
fn a_session_that_is_taken_over_is_not_hurt_by_its_old_connections_death() {
    let server = start();
    let mut ada = guest_in_lobby(&server, "ada");
    let (mut again, attached) = come_back(&server, &ada.token, at(&ada, 0));
    again.expect::<Joined>();
    assert_eq!(ada.wire.skip_to::<Bye>().code, Code::SESSION_REPLACED);
    assert!(ada.wire.rest().is_empty());
    drop(ada.wire);
    let (mut bob, _) = Wire::member(server.addr, "bob", "");
    bob.send(&publish(ada.room, outbox(), 1, &["still there?"]));
    assert_eq!(texts(&again.expect()), [(1, "still there?".into())]);
    // The token from before is good until the new one was used, and no longer.
    drop(again);
    let new: Vec<u8> = attached.token.unwrap().into();
    let (third, _) = come_back(&server, &ada.token, vec![]);
    drop(third);
    let (_fourth, _) = come_back(&server, &new, vec![]);
    let mut wire = Wire::connect(server.addr);
    wire.hello();
    wire.send(&Auth { mechanism: "session".into(), data: ada.token.into() });
    assert_eq!(wire.expect::<ErrorReply>().code, Code::SESSION_EXPIRED);
}

#[test]
fn a_goodbye_ends_a_session_at_once_and_its_token_is_good_for_nothing() {
    let server = start();
    let mut ada = guest_in_lobby(&server, "ada");
    ada.wire.send(&Bye { code: Code::GOODBYE, text: String::new(), retry_after_ms: None });
    ada.wire.rest();
    let mut wire = Wire::connect(server.addr);
    wire.hello();
    wire.send(&Auth { mechanism: "session".into(), data: ada.token.into() });
    wire.send(&Attach { token: None, cursors: vec![], more: false });
    let error: ErrorReply = wire.expect();
    assert_eq!((error.code, error.fatal), (Code::SESSION_EXPIRED, false));
    // Its alias is free, and whoever was refused may begin anew.
    wire.send(&guest("ada"));
    assert_eq!(wire.expect::<Authenticated>().alias, "ada");
}

#[test]
fn a_session_that_does_not_come_back_in_time_ends() {
    let server = TestServer::with(|b| b.grace(Duration::from_millis(200)));
    let (mut bob, _) = Wire::member(server.addr, "bob", "");
    let (ada, _) = Wire::member(server.addr, "ada", "");
    bob.skip_to::<Presence>();
    drop(ada);
    loop {
        let presence: Presence = bob.skip_to();
        if presence.left.iter().any(|person| person.alias == "ada") {
            break;
        }
    }
    Wire::guest(server.addr, "ada");
}

#[test]
fn a_place_that_does_not_fit_is_a_told_gap() {
    let server = start();
    let (mut bob, joined) = Wire::member(server.addr, "bob", "");
    let mut ada = guest_in_lobby(&server, "ada");
    bob.send(&publish(joined.room, outbox(), 1, &["1", "2"]));
    ada.wire.skip_to::<Deliver>();
    let foreign = Cursor { lineage: Lineage::from_bytes([9; 16]), room: ada.room, seq: Seq::new(1) };
    let beyond = at(&ada, 99)[0];
    let mut token = ada.token.clone();
    for cursor in [foreign, beyond] {
        let (mut again, attached) = come_back(&server, &token, vec![cursor]);
        token = attached.token.unwrap().into();
        assert_eq!(again.expect::<Joined>().head.get(), 2);
        let skipped: Skipped = again.expect();
        let expected = (1, 2, SkipReason::Reset.to_u8());
        assert_eq!((skipped.from.get(), skipped.to.get(), skipped.reason), expected);
    }
    // A room that it isn't in any more is told as left.
    let other = RoomId::from_bytes([7; 16]);
    let (mut again, _) =
        come_back(&server, &token, vec![Cursor { lineage: ada.lineage, room: other, seq: Seq::new(1) }]);
    again.expect::<Joined>();
    assert_eq!(again.expect::<Left>().room, other);
}

#[test]
fn who_comes_back_again_and_again_without_getting_further_is_sent_smaller_pieces() {
    let server = start();
    let (mut bob, joined) = Wire::member(server.addr, "bob", "");
    let ada = guest_in_lobby(&server, "ada");
    ada.wire.stream.shutdown(std::net::Shutdown::Both).unwrap();
    let text = "x".repeat(500);
    bob.send(&publish(joined.room, outbox(), 1, &[text.as_str(); 20]));
    acked_up_to(&mut bob, 20);
    let mut token = ada.token.clone();
    let mut sizes = Vec::new();
    for _ in 0..8 {
        let (mut again, attached) = come_back(&server, &token, at(&ada, 0));
        token = attached.token.unwrap().to_vec();
        sizes.push(again.skip_to::<Deliver>().events.len());
    }
    assert_eq!((sizes[0], sizes[1], sizes[7]), (20, 20, 1), "{sizes:?}");
    // It got further: as usual from here on.
    let (mut again, _) = come_back(&server, &token, at(&ada, 1));
    assert_eq!(again.skip_to::<Deliver>().events.len(), 19);
}

#[test]
fn more_than_is_replayed_by_itself_is_told_and_can_be_read_as_history() {
    let server = TestServer::with(|b| b.grace(GRACE).max_replay(10));
    let (mut bob, joined) = Wire::member(server.addr, "bob", "");
    let ada = guest_in_lobby(&server, "ada");
    let box_b = outbox();
    for n in 1..=30 {
        bob.send(&publish(joined.room, box_b, n, &[&n.to_string()]));
    }
    acked_up_to(&mut bob, 30);
    ada.wire.stream.shutdown(std::net::Shutdown::Both).unwrap();
    let (mut again, _) = come_back(&server, &ada.token, at(&ada, 0));
    again.expect::<Joined>();
    let skipped: Skipped = again.expect();
    let expected = (1, 20, SkipReason::Limit.to_u8());
    assert_eq!((skipped.from.get(), skipped.to.get(), skipped.reason), expected);
    let seqs: Vec<u64> = replayed(&mut again, 10).into_iter().map(|(seq, ..)| seq).collect();
    assert_eq!(seqs, (21..=30).collect::<Vec<_>>());
    let (page, end) = history(&mut again, ada.room, Place::Before(Seq::new(21)), 15);
    assert_eq!(page, (6..=20).collect::<Vec<_>>());
    assert_eq!((end.more_before, end.more_after), (true, true));
}

/// The seqs of a part of a room's log, and how it ended.
fn history(wire: &mut Wire, room: RoomId, place: Place, limit: u32) -> (Vec<u64>, HistoryEnd) {
    wire.send(&History { request: 5, room, place, limit });
    let mut seqs = Vec::new();
    loop {
        let got = wire.next().expect("an answer");
        if got.is(Kind::HistoryEnd) {
            assert_eq!(got.header.class, Class::BULK);
            return (seqs, got.read());
        }
        if got.is(Kind::Deliver) {
            let deliver: Deliver = got.read();
            assert_eq!(deliver.source, Some(Source::History.to_u8()));
            seqs.extend(texts(&deliver).into_iter().map(|(seq, _)| seq));
        }
    }
}

#[test]
fn history_is_read_in_pages_from_anywhere_and_says_whether_there_is_more() {
    let server = TestServer::start();
    let (mut ada, joined) = Wire::member(server.addr, "ada", "");
    let box_a = outbox();
    for n in 1..=10 {
        ada.send(&publish(joined.room, box_a, n, &[&format!("text {n}")]));
    }
    let at = acked_up_to(&mut ada, 10);
    let s = Seq::new;
    let mut part = |place, limit| {
        let (seqs, end) = history(&mut ada, joined.room, place, limit);
        (seqs, end.more_before, end.more_after)
    };
    assert_eq!(part(Place::Before(s(u64::MAX)), 3), (vec![8, 9, 10], true, false));
    assert_eq!(part(Place::Before(s(3)), 500), (vec![1, 2], false, true));
    assert_eq!(part(Place::After(s(8)), 500), (vec![9, 10], true, false));
    assert_eq!(part(Place::After(s(0)), 2), (vec![1, 2], false, true));
    assert_eq!(part(Place::Around(s(5)), 4), (vec![3, 4, 5, 6], true, true));
    assert_eq!(part(Place::Before(s(1)), 5), (vec![], false, true));
    assert_eq!(part(Place::After(s(10)), 5), (vec![], true, false));
    assert_eq!(part(Place::AfterTime(i64::MIN), 1), (vec![1], false, true));
    assert_eq!(part(Place::BeforeTime(at + 1), 1), (vec![10], true, false));

    ada.send(&Search { request: 6, room: joined.room, query: "TEXT 1*".into(), before: None, limit: 1 });
    let page: SearchPage = ada.expect();
    assert_eq!((page.hits.len(), page.hits[0].seq.get(), page.more), (1, 10, true));
    ada.send(&Search { request: 7, room: joined.room, query: "text 1*".into(), before: Some(s(10)), limit: 5 });
    let page: SearchPage = ada.expect();
    assert_eq!((page.hits[0].snippet.as_str(), page.hits.len(), page.more), ("text 1", 1, false));
    ada.send(&Search { request: 8, room: joined.room, query: " - ".into(), before: None, limit: 5 });
    assert_eq!(ada.expect::<ErrorReply>().request, Some(8));
    ada.send(&History { request: 9, room: RoomId::from_bytes([1; 16]), place: Place::After(s(0)), limit: 1 });
    assert_eq!(ada.expect::<ErrorReply>().code, Code::NOT_A_MEMBER);
}

#[test]
fn bulk_waits_for_credit_and_holds_up_nothing_else() {
    let server = start();
    let (mut bob, joined) = Wire::member(server.addr, "bob", "");
    let ada = guest_in_lobby(&server, "ada");
    let text = "x".repeat(10_000);
    let box_b = outbox();
    for n in 1..=100 {
        bob.send(&publish(joined.room, box_b, n, &[&text]));
    }
    acked_up_to(&mut bob, 100);
    ada.wire.stream.shutdown(std::net::Shutdown::Both).unwrap();
    let (mut again, _) = come_back(&server, &ada.token, at(&ada, 0));
    again.expect::<Joined>();
    again.send(&Join { request: 7, name: "den".into() });
    let mut early = Vec::new();
    let den: Joined = loop {
        let got = again.next().unwrap();
        if got.is(Kind::Joined) {
            break got.read();
        }
        early.push(got);
    };
    // Without a grant, no more than the first one comes, give or take a frame; the other room lives on.
    let (mut eve, _) = Wire::member(server.addr, "eve", "den");
    eve.send(&publish(den.room, outbox(), 1, &["hello"]));
    let (mut bulk, mut seqs) = (0, Vec::new());
    let mut early = early.into_iter();
    loop {
        let got = early.next().unwrap_or_else(|| again.next().unwrap());
        if !got.is(Kind::Deliver) {
            continue;
        }
        let deliver: Deliver = got.read();
        if deliver.room == den.room {
            break;
        }
        bulk += HEADER_LEN + got.body.len();
        seqs.extend(texts(&deliver).into_iter().map(|(seq, _)| seq));
    }
    for got in again.round_trip().iter().filter(|got| got.is(Kind::Deliver)) {
        bulk += HEADER_LEN + got.body.len();
        seqs.extend(texts(&got.read()).into_iter().map(|(seq, _)| seq));
    }
    assert!(bulk <= 262_144 + 80_000, "{bulk} bytes came without being granted");
    assert!(seqs.len() < 100);
    again.send(&Credit { class: Class::BULK.0, bytes: 10_000_000 });
    while seqs.len() < 100 {
        seqs.extend(texts(&again.expect()).into_iter().map(|(seq, _)| seq));
    }
    assert_eq!(seqs, (1..=100).collect::<Vec<_>>());
}
