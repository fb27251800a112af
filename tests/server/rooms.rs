//! Joining, leaving, presence.

use chatnet::protocol::Code;
use chatnet::protocol::message::*;

use crate::support::*;

#[test]
fn who_joins_and_leaves_is_told_to_the_others() {
    let server = TestServer::start();
    let (mut ada, joined) = Wire::member(server.addr, "ada", "");
    let (mut bob, told) = Wire::member(server.addr, "bob", "");
    assert_eq!((joined.count, told.count), (1, 2));
    let named = |wire: &mut Wire, joined: bool| loop {
        let presence: Presence = wire.skip_to();
        let people = if joined { &presence.joined } else { &presence.left };
        if people.iter().any(|person| person.alias == "bob") {
            break presence;
        }
    };
    assert_eq!(named(&mut ada, true).count, 2);
    bob.send(&Leave { request: 9, room: told.room });
    assert_eq!(bob.expect::<Left>().request, 9);
    assert_eq!(named(&mut ada, false).count, 1);
    // A cut is a leaving too.
    bob.join("");
    named(&mut ada, true);
    drop(bob);
    named(&mut ada, false);
}

#[test]
fn nothing_of_a_room_follows_left() {
    let server = TestServer::start();
    let (mut ada, joined) = Wire::member(server.addr, "ada", "");
    let (mut bob, _) = Wire::member(server.addr, "bob", "");
    let outbox = outbox();
    for n in 1..=200 {
        ada.send(&publish(joined.room, outbox, n, &["x"]));
    }
    bob.send(&Leave { request: 1, room: joined.room });
    bob.skip_to::<Left>();
    assert!(bob.round_trip().iter().all(|got| !got.is(Kind::Deliver) && !got.is(Kind::Presence)));
}

#[test]
fn a_room_begins_with_its_first_member_and_ends_with_its_last() {
    let server = TestServer::start();
    let (mut ada, first) = Wire::member(server.addr, "ada", "den");
    ada.send(&publish(first.room, outbox(), 1, &["x"]));
    ada.expect::<Ack>();
    ada.send(&Leave { request: 1, room: first.room });
    ada.expect::<Left>();
    let second = ada.join("den");
    assert_ne!(first.room, second.room);
    assert_eq!(second.head.get(), 0);
    // The default room stays.
    let lobby = ada.join("");
    ada.send(&Leave { request: 2, room: lobby.room });
    ada.expect::<Left>();
    assert_eq!(ada.join("lobby").room, lobby.room);
}

#[test]
fn joining_twice_answers_twice_and_delivers_once() {
    let server = TestServer::start();
    let (mut ada, joined) = Wire::member(server.addr, "ada", "");
    let (mut bob, _) = Wire::member(server.addr, "bob", "");
    assert_eq!(bob.join("lobby").room, joined.room);
    ada.send(&publish(joined.room, outbox(), 1, &["x"]));
    bob.expect::<Deliver>();
    assert!(bob.round_trip().iter().all(|got| !got.is(Kind::Deliver)));
}

#[test]
fn names_and_limits_are_refused_with_their_codes() {
    let server = TestServer::with(|b| b.default_room(None).max_rooms_per_session(2).max_rooms(3));
    let mut ada = Wire::guest(server.addr, "ada");
    let mut code = |name: &str| {
        ada.send(&Join { request: 3, name: name.into() });
        let error: ErrorReply = ada.expect();
        assert_eq!((error.request, error.fatal), (Some(3), false));
        error.code
    };
    assert_eq!(code(""), Code::NO_SUCH_ROOM);
    assert_eq!(code("two words"), Code::ROOM_NAME_INVALID);
    ada.join("a");
    ada.join("b");
    ada.send(&Join { request: 3, name: "c".into() });
    assert_eq!(ada.expect::<ErrorReply>().code, Code::TOO_MANY_ROOMS);
    let mut bob = Wire::guest(server.addr, "bob");
    bob.join("c");
    bob.send(&Join { request: 3, name: "d".into() });
    assert_eq!(bob.expect::<ErrorReply>().code, Code::TOO_MANY_ROOMS);
}

#[test]
fn members_come_in_pages() {
    let server = TestServer::start();
    let (mut ada, joined) = Wire::member(server.addr, "ada", "");
    let others: Vec<_> = (0..120).map(|i| Wire::member(server.addr, &format!("m{i}"), "")).collect();
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        ada.send(&Members { request: 5, room: joined.room, after, limit: 1000 });
        let page: MembersPage = ada.expect();
        assert!(page.members.len() <= 100);
        after = page.members.last().map(|person| person.principal);
        seen.extend(page.members.into_iter().map(|person| person.alias));
        if !page.more {
            break;
        }
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 121);
    drop(others);
}

#[test]
fn a_storm_of_joins_costs_presence_frames_in_proportion_to_joins() {
    let server = TestServer::start();
    let (mut ada, _) = Wire::member(server.addr, "ada", "");
    let others: Vec<_> = (0..300).map(|i| Wire::member(server.addr, &format!("m{i}"), "")).collect();
    let (mut frames, mut people) = (0, 0);
    while people < 300 {
        let presence: Presence = ada.skip_to();
        frames += 1;
        people += presence.joined.iter().filter(|person| person.alias != "ada").count();
    }
    // Each of the 300 would have got up to 300 frames without collecting.
    assert!(frames <= 150, "{frames} frames");
    drop(others);
}

#[test]
fn a_held_room_is_silent_until_sought_and_then_complete() {
    let server = TestServer::start();
    let (mut ada, joined) = Wire::member(server.addr, "ada", "");
    let (mut bob, _) = Wire::member(server.addr, "bob", "");
    let outbox = outbox();
    ada.send(&publish(joined.room, outbox, 1, &["1"]));
    bob.expect::<Deliver>();
    bob.send(&Hold { room: joined.room });
    bob.round_trip();
    ada.send(&publish(joined.room, outbox, 2, &["2", "3"]));
    ada.expect::<Ack>();
    ada.expect::<Ack>();
    assert!(bob.round_trip().iter().all(|got| !got.is(Kind::Deliver)));
    bob.send(&Seek { room: joined.room, after: chatnet::id::Seq::new(1) });
    assert_eq!(texts(&bob.expect()), [(2, "2".into()), (3, "3".into())]);
    // Beyond the head there is nothing to go to.
    bob.send(&Seek { room: joined.room, after: chatnet::id::Seq::new(99) });
    bob.round_trip();
    ada.send(&publish(joined.room, outbox, 4, &["4"]));
    assert_eq!(texts(&bob.expect()), [(4, "4".into())]);
}
