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

/// Two devices of one account, on a server where it is the account that is limited.
fn two_devices(set: impl FnOnce(&mut Limits)) -> (TestServer, [Wire; 2]) {
    let mut limits = Limits::default();
    set(&mut limits);
    let server = TestServer::with(|builder| builder.limits(limits));
    let alias = chatnet::Alias::parse("ada").unwrap();
    async_std::task::block_on(server.handle.create_account(&alias, PASSWORD)).unwrap();
    let devices = [login(&server), login(&server)];
    (server, devices)
}

const PASSWORD: &str = "correct horse";

fn login(server: &TestServer) -> Wire {
    let credentials = Credentials { name: "ada".into(), secret: PASSWORD.into(), code: None };
    let mut wire = Wire::connect(server.addr);
    wire.hello();
    wire.send(&Auth { mechanism: "password".into(), data: minicbor::to_vec(&credentials).unwrap().into() });
    wire.expect::<Authenticated>();
    wire.send(&Attach { token: None, cursors: vec![], more: false });
    wire.expect::<Attached>();
    wire
}

/// What a refused request is told.
fn refused(wire: &mut Wire) -> Code {
    wire.skip_to::<ErrorReply>().code
}

#[test]
fn the_devices_of_an_account_share_its_messages() {
    let (server, [mut desk, mut phone]) = two_devices(|limits| limits.account.messages = Rate::per_minute(1, 3));
    let room = desk.join("den").room;
    // The other device is in it too.
    phone.skip_to::<Joined>();
    desk.send(&publish(room, outbox(), 1, &["1", "2"]));
    assert_eq!(desk.skip_to::<Ack>().count, 2);
    phone.send(&publish(room, outbox(), 1, &["3", "4"]));
    // What is refused may be told before what is taken.
    let (mut taken, mut told) = (0, None);
    while taken == 0 || told.is_none() {
        let got = phone.next().unwrap();
        if got.is(Kind::Ack) {
            taken += got.read::<Ack>().count;
        } else if got.is(Kind::Refused) {
            let refused: Refused = got.read();
            told = Some((refused.n, refused.code));
        }
    }
    assert_eq!((taken, told), (1, Some((2, Code::RATE_LIMITED))));
    desk.send(&publish(room, outbox(), 1, &["5"]));
    assert_eq!(desk.skip_to::<Refused>().code, Code::RATE_LIMITED);
    // A third device has no more, and a guest isn't the account.
    let mut third = login(&server);
    third.skip_to::<Joined>();
    third.send(&publish(room, outbox(), 1, &["6"]));
    assert_eq!(third.skip_to::<Refused>().code, Code::RATE_LIMITED);
    let (mut bob, joined) = Wire::member(server.addr, "bob", "den");
    bob.send(&publish(joined.room, outbox(), 1, &["7"]));
    assert_eq!(bob.skip_to::<Ack>().count, 1);
}

#[test]
fn the_devices_of_an_account_share_its_joins_and_the_rooms_that_it_makes() {
    let (_server, [mut desk, mut phone]) = two_devices(|limits| limits.account.joins = Rate::per_minute(1, 2));
    desk.join("one");
    phone.skip_to::<Joined>();
    phone.send(&Join { request: 9, name: "two".into() });
    phone.skip_to::<Joined>();
    desk.skip_to::<Joined>();
    desk.send(&Join { request: 9, name: "three".into() });
    assert_eq!(refused(&mut desk), Code::RATE_LIMITED);

    let (_server, [mut desk, mut phone]) = two_devices(|limits| limits.account.rooms = ONCE);
    desk.join("one");
    phone.skip_to::<Joined>();
    phone.send(&Join { request: 9, name: "two".into() });
    assert_eq!(refused(&mut phone), Code::RATE_LIMITED);
}

#[test]
fn what_an_account_has_used_stays_used_when_its_devices_go_and_come() {
    let (server, devices) = two_devices(|limits| limits.account.joins = ONCE);
    let [mut desk, phone] = devices;
    desk.join("one");
    drop((desk, phone));
    let mut again = login(&server);
    again.send(&Join { request: 9, name: "two".into() });
    assert_eq!(refused(&mut again), Code::RATE_LIMITED);
}

#[test]
fn guesses_at_an_account_are_counted_whatever_device_they_come_from() {
    let (server, _devices) = two_devices(|_| {});
    let guess = || {
        let mut wire = Wire::connect(server.addr);
        wire.hello();
        let credentials = Credentials { name: "ada".into(), secret: "incorrect horse".into(), code: None };
        wire.send(&Auth { mechanism: "password".into(), data: minicbor::to_vec(&credentials).unwrap().into() });
        wire.expect::<ErrorReply>().code
    };
    let told: Vec<_> = (0..7).map(|_| guess()).collect();
    assert_eq!(told[..6], [Code::AUTH_FAILED; 6]);
    assert_eq!(told[6], Code::TOO_MANY_LOGINS, "each was a connection of its own");
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
fn who_sends_small_messages_and_never_comes_back_to_the_refused_one_is_disconnected_too() {
    let server = limited(|limits| {
        limits.session.messages = Rate::per_minute(1, 1);
        // They are read slowly enough to be few bytes.
        (limits.session.frames, limits.address.frames) = (Rate::per_second(3000, 100), Rate::NONE);
    });
    let (ada, joined) = Wire::member(server.addr, "ada", "");
    let (mut stream, outbox) = (ada.stream.try_clone().unwrap(), outbox());
    let sending = std::thread::spawn(move || {
        let since = Instant::now();
        let mut numbers = 1..;
        // Until the server has closed.
        loop {
            let frames: Vec<u8> =
                numbers.by_ref().take(100).flat_map(|n| to_frame(&publish(joined.room, outbox, n, &["x"]))).collect();
            if stream.write_all(&frames).is_err() {
                break;
            }
            assert!(since.elapsed() < PATIENCE, "it goes on for ever");
        }
    });
    let mut ada = ada;
    let rest = ada.rest();
    let bye = rest.iter().find(|got| got.is(Kind::Bye)).expect("a goodbye").read::<Bye>();
    assert_eq!(bye.code, Code::RATE_LIMITED);
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

#[test]
fn what_is_said_into_a_room_that_one_is_not_in_counts_too() {
    let server = limited(|limits| limits.session.messages = Rate::per_minute(1, 3));
    let mut eve = Wire::guest(server.addr, "eve");
    let (nowhere, outbox) = (chatnet::RoomId::random(), outbox());
    eve.send(&publish(nowhere, outbox, 1, &["x"; 500]));
    for n in 1..=3 {
        let refused: Refused = eve.expect();
        assert_eq!((refused.n, refused.code, refused.permanent), (n, Code::NOT_A_MEMBER, true));
    }
    let refused: Refused = eve.expect();
    assert_eq!((refused.n, refused.code, refused.permanent), (4, Code::RATE_LIMITED, false));
    assert!(eve.round_trip().is_empty(), "the others come again with it");
}

#[test]
fn what_is_sent_again_is_read_as_slowly_as_frames_are() {
    let server = limited(|limits| limits.session.frames = Rate::per_second(100, 100));
    let (mut ada, joined) = Wire::member(server.addr, "ada", "");
    let (outbox, texts) = (outbox(), ["x"; 200]);
    ada.send(&publish(joined.room, outbox, 1, &texts));
    let mut acked = 0;
    while acked < 200 {
        acked += ada.skip_to::<Ack>().count;
    }
    let begun = Instant::now();
    ada.send(&publish(joined.room, outbox, 1, &texts));
    // About two hundred frames, of which one hundred may come at once.
    ada.skip_to::<Ack>();
    ada.round_trip();
    ada.round_trip();
    assert!(begun.elapsed() >= Duration::from_millis(700), "{:?}", begun.elapsed());
}

#[test]
fn keeping_order_counts_like_messages_and_blocking_like_joins() {
    let server = limited(|limits| {
        limits.session.messages = ONCE;
        limits.session.joins = Rate::per_minute(1, 2);
    });
    let (mut ada, joined) = Wire::member(server.addr, "ada", "den");
    let _bob = Wire::guest(server.addr, "bob");
    let limited = |ada: &mut Wire| {
        let error: ErrorReply = ada.skip_to();
        assert_eq!((error.code, error.request, error.fatal), (Code::RATE_LIMITED, Some(9), false));
    };
    let topic =
        |request| Moderate { text: Some("tea".into()), ..Moderate::new(request, joined.room, EventKind::TOPIC) };
    ada.send(&topic(8));
    assert_eq!(ada.skip_to::<Done>().request, 8);
    ada.send(&topic(9));
    limited(&mut ada);
    let block = |request, blocked| Block { request, whom: Whom::Name("bob".into()), blocked };
    ada.send(&block(8, true));
    assert_eq!(ada.skip_to::<Done>().request, 8);
    ada.send(&block(9, false));
    limited(&mut ada);
}

#[test]
fn no_password_is_hashed_for_who_may_not_have_a_room_with_it() {
    let server = limited(|limits| limits.session.rooms = ONCE);
    let (mut ada, joined) = Wire::member(server.addr, "ada", "den");
    let (mut eve, _) = Wire::member(server.addr, "eve", "den");
    // Its hashing would fail, and be told.
    let password = || Some(Secret(String::new()));
    let settings = RoomSettings::new(RoomKind::Password);
    eve.send(&Moderate {
        settings: Some(settings.clone()),
        password: password(),
        ..Moderate::new(9, joined.room, EventKind::SETTINGS)
    });
    assert_eq!(eve.skip_to::<ErrorReply>().code, Code::NOT_PERMITTED);
    ada.send(&CreateRoom { request: 9, name: "vault".into(), settings: settings.clone(), password: password() });
    assert_eq!(ada.skip_to::<ErrorReply>().code, Code::RATE_LIMITED);
    eve.send(&CreateRoom { request: 9, name: "den".into(), settings, password: password() });
    assert_eq!(eve.skip_to::<ErrorReply>().code, Code::ROOM_EXISTS);
}

#[test]
fn frames_of_those_who_are_not_in_yet_count_for_their_address() {
    let server = limited(|limits| limits.address.frames = Rate::per_second(100, 100));
    let mut eve = Wire::connect(server.addr);
    eve.hello();
    let begun = Instant::now();
    eve.raw(&to_frame(&Ping { nonce: 1 }).repeat(300));
    // Not known, and told so: all before it was read by then.
    eve.raw(&[0, 0, 0, 1, 0x7f, 0xff, 0, 0, 0x80]);
    eve.expect::<ErrorReply>();
    // Whichever of the two had to wait for it: nobody from there is read from before the 200 too many are paid.
    Wire::connect(server.addr).hello();
    assert!(begun.elapsed() >= Duration::from_millis(1500), "{:?}", begun.elapsed());
}
