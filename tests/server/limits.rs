//! Who does too much is told to wait; who doesn't wait is not waited for.

use std::io::Write;
use std::time::{Duration, Instant};

use chatnet::protocol::Code;
use chatnet::protocol::message::*;
use chatnet::protocol::to_frame;
use chatnet::{Limits, Rate, RoomName};

use crate::support::*;

/// Once, and then hardly ever again.
const ONCE: Rate = Rate::per_minute(1, 1);

fn limited(set: impl FnOnce(&mut Limits)) -> TestServer {
    let mut limits = Limits::default();
    limits.cool_off = Duration::from_millis(50);
    set(&mut limits);
    TestServer::with(|builder| builder.limits(limits))
}

#[test]
fn messages_beyond_the_limit_are_to_come_again_and_nothing_overtakes_them() {
    let server = limited(|limits| limits.session.messages = Rate::per_second(10, 3));
    let (mut ada, joined) = Wire::member(server.addr, "ada", "");
    let (mut bob, _) = Wire::member(server.addr, "bob", "");
    let (room, outbox) = (joined.room, outbox());
    ada.send(&publish(room, outbox, 1, &["1", "2", "3", "4", "5"]));
    // Under way already when the answer comes.
    ada.send(&publish(room, outbox, 6, &["6"]));
    let (mut acked, mut wait) = (0, None);
    while acked < 3 || wait.is_none() {
        let got = ada.next().unwrap();
        if got.is(Kind::Ack) {
            acked += got.read::<Ack>().count;
        } else if got.is(Kind::Refused) {
            let refused: Refused = got.read();
            assert_eq!((refused.n, refused.code, refused.permanent), (4, Code::RATE_LIMITED, false));
            assert!(wait.replace(refused.retry_after_ms.unwrap()).is_none(), "told once");
        }
    }
    // One fits into half of a burst of three.
    let wait = wait.unwrap();
    assert!((1..=100).contains(&wait), "{wait} ms");
    let mut next = 4;
    while next <= 6 {
        std::thread::sleep(Duration::from_millis(120));
        let texts: Vec<_> = (next..=6).map(|n| n.to_string()).collect();
        ada.send(&publish(room, outbox, next, &texts.iter().map(String::as_str).collect::<Vec<_>>()));
        next += u64::from(ada.skip_to::<Ack>().count);
    }
    let mut heard = Vec::new();
    while heard.len() < 6 {
        heard.extend(texts(&bob.skip_to::<Deliver>()));
    }
    assert_eq!(heard, (1..=6).map(|n| (n, n.to_string())).collect::<Vec<_>>());
}

#[test]
fn bytes_are_limited_as_messages_are() {
    let server = limited(|limits| limits.session.bytes = Rate::per_minute(60, 1000));
    let (mut ada, joined) = Wire::member(server.addr, "ada", "");
    let (outbox, large) = (outbox(), "x".repeat(600));
    ada.send(&publish(joined.room, outbox, 1, &[&large]));
    ada.send(&publish(joined.room, outbox, 2, &[&large]));
    assert_eq!(ada.skip_to::<Ack>().n, 1);
    assert_eq!(ada.skip_to::<Ack>().n, 2);
    ada.send(&publish(joined.room, outbox, 3, &["x"]));
    let refused = ada.skip_to::<Refused>();
    // 200 are owed, and half of the burst is worth coming for; one comes back a second.
    assert_eq!((refused.n, refused.code), (3, Code::RATE_LIMITED));
    assert!((690_000..=700_000).contains(&refused.retry_after_ms.unwrap()), "{refused:?}");
}

#[test]
fn joins_new_rooms_and_reads_are_refused_with_a_time_to_wait() {
    let server = limited(|limits| {
        limits.session.joins = Rate::per_minute(1, 3);
        limits.session.rooms = ONCE;
        limits.session.reads = ONCE;
    });
    let (mut ada, lobby) = Wire::member(server.addr, "ada", "");
    ada.join("first");
    let limited = |ada: &mut Wire| {
        let error: ErrorReply = ada.expect();
        assert_eq!((error.code, error.request, error.fatal), (Code::RATE_LIMITED, Some(9), false));
        assert!((1..=60_000).contains(&error.retry_after_ms.unwrap()));
    };
    ada.send(&Join { request: 9, name: "second".into() });
    limited(&mut ada);
    // Where one is already, one may join as often as one likes.
    ada.join("first");
    ada.send(&Join { request: 9, name: "third".into() });
    limited(&mut ada);
    ada.send(&Members { request: 3, room: lobby.room, after: None, limit: 10 });
    ada.expect::<MembersPage>();
    ada.send(&Members { request: 9, room: lobby.room, after: None, limit: 10 });
    limited(&mut ada);
    ada.send(&History { request: 9, room: lobby.room, place: Place::After(ZERO), limit: 10 });
    limited(&mut ada);
    ada.send(&Search { request: 9, room: lobby.room, query: "x".into(), before: None, limit: 10 });
    limited(&mut ada);
}

#[test]
fn sessions_of_one_address_share_its_limits_and_exempt_ones_have_none() {
    let messages = |limits: &mut Limits| limits.address.messages = ONCE;
    let server = limited(messages);
    let (mut ada, joined) = Wire::member(server.addr, "ada", "");
    let (mut bob, _) = Wire::member(server.addr, "bob", "");
    ada.send(&publish(joined.room, outbox(), 1, &["x"]));
    ada.skip_to::<Ack>();
    bob.send(&publish(joined.room, outbox(), 1, &["x"]));
    assert_eq!(bob.skip_to::<Refused>().code, Code::RATE_LIMITED);

    let server = limited(|limits| {
        messages(limits);
        limits.exempt.push("127.0.0.0/8".parse().unwrap());
    });
    let (mut ada, joined) = Wire::member(server.addr, "ada", "");
    ada.send(&publish(joined.room, outbox(), 1, &["x"; 100]));
    assert_eq!(ada.skip_to::<Ack>().count, 100);
}

#[test]
fn the_application_is_not_limited() {
    let server = limited(|limits| limits.session.messages = ONCE);
    async_std::task::block_on(async {
        for _ in 0..10 {
            server.handle.publish(&RoomName::parse("lobby").unwrap(), "x").await.unwrap();
        }
    });
}

#[test]
fn too_many_new_connections_from_an_address_are_told_when_to_come_back() {
    let server = limited(|limits| limits.connections = Rate::per_minute(1, 2));
    let _both = [Wire::guest(server.addr, "ada"), Wire::guest(server.addr, "bob")];
    let error: ErrorReply = Wire::connect(server.addr).expect();
    assert_eq!((error.code, error.fatal), (Code::TOO_MANY_CONNECTIONS, true));
    assert!(error.retry_after_ms.is_some());
}

#[test]
fn who_goes_on_though_told_to_wait_is_disconnected_with_the_reason() {
    let server = limited(|limits| limits.session.messages = Rate::per_minute(1, 1));
    let (ada, joined) = Wire::member(server.addr, "ada", "");
    let mut stream = ada.stream.try_clone().unwrap();
    let again = to_frame(&publish(joined.room, outbox(), 1, &["x"]));
    let mut next = to_frame(&publish(joined.room, outbox(), 1, &["y"]));
    next.extend(again);
    let sending = std::thread::spawn(move || {
        let since = Instant::now();
        // Until the server has closed.
        while stream.write_all(&next).is_ok() {
            assert!(since.elapsed() < PATIENCE, "it goes on for ever");
            std::thread::sleep(Duration::from_millis(2));
        }
    });
    let mut ada = ada;
    let rest = ada.rest();
    let bye = rest.iter().find(|got| got.is(Kind::Bye)).expect("a goodbye").read::<Bye>();
    assert_eq!(bye.code, Code::RATE_LIMITED);
    assert!(bye.retry_after_ms.is_some(), "it may come back, later");
    sending.join().unwrap();
}

#[test]
fn who_sends_frames_faster_than_allowed_is_read_no_faster_and_told_nothing() {
    let server = limited(|limits| limits.session.frames = Rate::per_second(1000, 100));
    let mut ada = Wire::guest(server.addr, "ada");
    let begun = Instant::now();
    ada.raw(&to_frame(&Ping { nonce: 1 }).repeat(1000));
    for _ in 0..1000 {
        ada.expect::<Pong>();
    }
    // All of them are read at once, and owed: what comes next is not.
    ada.round_trip();
    assert!(begun.elapsed() > Duration::from_millis(850), "{:?}", begun.elapsed());
}
