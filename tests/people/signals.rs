//! Who is writing, and how far has been read: told to those whom it concerns, kept where it has to be.

use std::time::{Duration, Instant};

use async_std::task::block_on;
use chatnet::protocol::Code;
use chatnet::protocol::message::*;
use chatnet::{Client, Event, EventKind, RoomId, Seq, Source};

use crate::clients::{next, text};
use crate::steps::*;
use crate::support::*;

fn typing(wire: &mut Wire, room: RoomId, typing: bool) {
    wire.send(&Typing { room, typing });
    // What it leads to is on its way once this is answered.
    wire.round_trip();
}

/// The signals that came up to now.
fn signals(wire: &mut Wire) -> Vec<(String, bool)> {
    let got = wire.round_trip();
    let types = got.iter().filter(|got| got.is(Kind::Types)).map(|got| got.read::<Types>());
    types.map(|types| (types.person.alias, types.typing)).collect()
}

#[test]
fn who_writes_is_told_to_the_others_once_in_a_while_and_is_in_no_log() {
    let server = TestServer::start();
    let (mut ada, joined) = Wire::member(server.addr, "ada", "den");
    let (mut bob, _) = Wire::member(server.addr, "bob", "den");
    for _ in 0..50 {
        typing(&mut ada, joined.room, true);
    }
    typing(&mut ada, joined.room, false);
    typing(&mut ada, joined.room, false);
    assert_eq!(signals(&mut bob), [("ada".to_owned(), true), ("ada".to_owned(), false)]);
    assert_eq!(signals(&mut ada), [], "one knows that oneself");
    assert_eq!(say(&mut ada, joined.room, "hello"), Ok(Seq::new(1)), "no event has come of it");
}

#[test]
fn who_may_not_talk_or_is_blocked_is_not_seen_writing() {
    let server = open();
    let mut ada = register(server.addr, "ada");
    let room = join(&mut ada, "den").unwrap().room;
    change(&mut ada, EventKind::MEMBERSHIP);
    let (mut bob, _) = Wire::member(server.addr, "bob", "den");
    let (mut carl, _) = Wire::member(server.addr, "carl", "den");
    let mut eve = Wire::guest(server.addr, "eve");
    typing(&mut eve, room, true);
    ada.send(&Block { request: 13, whom: Whom::Name("bob".into()), blocked: true });
    assert_eq!(answer(&mut ada, 13), Ok(()));
    typing(&mut bob, room, true);
    assert_eq!(signals(&mut carl), [("bob".to_owned(), true)]);
    assert_eq!(signals(&mut ada), []);
    assert_eq!(moderate(&mut ada, on(room, EventKind::MUTE, "carl")), Ok(()));
    typing(&mut carl, room, true);
    assert_eq!(signals(&mut bob), []);
}

/// Who is away or back, of what came up to now.
fn aways(wire: &mut Wire) -> Vec<(String, Option<String>)> {
    let got = wire.round_trip();
    let presence = got.iter().filter(|got| got.is(Kind::Presence)).map(|got| got.read::<Presence>());
    presence.flat_map(|presence| presence.away.unwrap_or_default()).map(|away| (away.alias, away.text)).collect()
}

/// Wait for the first of them.
fn next_away(wire: &mut Wire) -> (String, Option<String>) {
    loop {
        if let Some(away) = wire.skip_to::<Presence>().away {
            let [AwayChange { alias, text, .. }] = &away[..] else { panic!("one at a time: {away:?}") };
            return (alias.clone(), text.clone());
        }
    }
}

fn be_away(wire: &mut Wire, text: Option<&str>) -> Result<(), Code> {
    wire.send(&Away { request: 14, text: text.map(str::to_owned) });
    answer(wire, 14)
}

#[test]
fn who_is_away_is_told_in_every_room_that_they_are_in_and_come_into() {
    let server = open();
    let mut ada = register(server.addr, "ada");
    join(&mut ada, "den").unwrap();
    let (mut bob, _) = Wire::member(server.addr, "bob", "den");
    let (mut carl, _) = Wire::member(server.addr, "carl", "garden");
    assert_eq!(be_away(&mut ada, Some("at tea\u{1b}[2J")), Ok(()));
    let at_tea = ("ada".to_owned(), Some("at tea\u{fffd}[2J".to_owned()));
    assert_eq!(next_away(&mut bob), at_tea);
    assert_eq!(be_away(&mut ada, Some("at tea\u{1b}[2J")), Ok(()));
    assert_eq!(aways(&mut carl), [], "she is not there");
    join(&mut ada, "garden").unwrap();
    assert_eq!(next_away(&mut carl), at_tea);
    assert_eq!(be_away(&mut ada, None), Ok(()));
    let back = ("ada".to_owned(), None);
    assert_eq!((next_away(&mut bob), next_away(&mut carl)), (back.clone(), back), "what is no news isn't told");
}

#[test]
fn who_is_away_and_back_again_and_again_is_told_to_wait() {
    let server = open();
    let (mut ada, _) = Wire::member(server.addr, "ada", "den");
    let told = (0..1000).map(|n| be_away(&mut ada, Some(&n.to_string()))).find(Result::is_err);
    assert_eq!(told, Some(Err(Code::RATE_LIMITED)));
}

#[test]
fn the_client_tells_who_is_away_on_all_devices() {
    let server = TestServer::start();
    block_on(async {
        let (ada, mut of_ada) = Client::builder().alias("ada").room("den").connect(server.addr).await.unwrap();
        let (_bob, mut of_bob) = Client::builder().alias("bob").room("den").connect(server.addr).await.unwrap();
        let away = |event| match event {
            Event::MemberAway { who, text, .. } => Some((who.alias, text)),
            _ => None,
        };
        for text in [Some("at tea"), None] {
            ada.away(text).await.unwrap();
            let told = ("ada".to_owned(), text.map(str::to_owned));
            assert_eq!(next(&mut of_bob, away).await, told);
            assert_eq!(next(&mut of_ada, away).await, told);
        }
    });
}

#[test]
fn a_crowd_is_not_told_who_writes() {
    let server = TestServer::start();
    let (mut ada, joined) = Wire::member(server.addr, "ada", "den");
    let mut crowd: Vec<Wire> = (0..100).map(|n| Wire::member(server.addr, &format!("n{n}"), "den").0).collect();
    typing(&mut ada, joined.room, true);
    assert_eq!(signals(&mut crowd[99]), [], "101 are here");
    let mut last = crowd.pop().unwrap();
    last.send(&Leave { request: 3, room: joined.room });
    last.skip_to::<Left>();
    typing(&mut ada, joined.room, true);
    assert_eq!(signals(&mut crowd[0]), [("ada".to_owned(), true)]);
}

#[test]
fn the_client_tells_who_writes_until_they_have_said_it_or_have_stopped() {
    let server = TestServer::start();
    block_on(async {
        let (ada, _events) = Client::builder().alias("ada").room("den").connect(server.addr).await.unwrap();
        let (bob, mut of_bob) = Client::builder().alias("bob").room("den").connect(server.addr).await.unwrap();
        let (den, his) = (ada.room().unwrap(), bob.room().unwrap());
        let writes = |event| match event {
            Event::Typing { who, typing, .. } => Some((who.alias, typing)),
            _ => None,
        };
        for _ in 0..100 {
            den.typing();
        }
        assert_eq!(next(&mut of_bob, writes).await, ("ada".to_owned(), true));
        assert_eq!(his.who_is_typing().len(), 1);
        den.send("hello").await.unwrap().await.unwrap();
        assert_eq!(next(&mut of_bob, writes).await, ("ada".to_owned(), false));
        assert_eq!(next(&mut of_bob, text).await, "hello");
        assert!(his.who_is_typing().is_empty());
        // What is never ended ends by itself; the next signal may come three seconds behind the first.
        let begun = Instant::now();
        async_std::task::sleep(Duration::from_secs(3)).await;
        den.typing();
        assert_eq!(next(&mut of_bob, writes).await, ("ada".to_owned(), true));
        assert_eq!(next(&mut of_bob, writes).await, ("ada".to_owned(), false));
        assert!(begun.elapsed() >= Duration::from_secs(8), "after six seconds");
    });
}

#[test]
fn what_one_device_has_read_is_read_on_the_others_and_by_the_next_one() {
    let server = open();
    let mut desk = register(server.addr, "ada");
    let room = join(&mut desk, "den").unwrap().room;
    change(&mut desk, EventKind::MEMBERSHIP);
    let mut phone = login(server.addr, "ada");
    let there: Joined = phone.skip_to();
    let (mut bob, _) = Wire::member(server.addr, "bob", "den");
    let texts: Vec<String> = (0..5).map(|n| format!("text {n}")).collect();
    bob.send(&publish(room, outbox(), 1, &texts.iter().map(String::as_str).collect::<Vec<_>>()));
    let first = bob.skip_to::<Ack>().seq;
    let third = Seq::new(first.get() + 2);
    desk.send(&Progress { rooms: vec![RoomProgress { room, seq: third }] });
    let read: Read = phone.skip_to();
    assert_eq!((read.room, read.seq), (room, third));
    assert!(there.read.unwrap() < third);
    // Backwards and beyond the end is nowhere.
    desk.send(&Progress { rooms: vec![RoomProgress { room, seq: Seq::new(1) }] });
    let mut pad = login(server.addr, "ada");
    let joined: Joined = pad.skip_to();
    assert_eq!((joined.head, joined.read), (third, Some(third)), "the first unread one is the first that comes");
    assert_eq!(hear(&mut pad), ["text 3", "text 4"]);
    desk.send(&Progress { rooms: vec![RoomProgress { room, seq: Seq::new(1 << 60) }] });
    let last = Seq::new(first.get() + 4);
    assert_eq!(phone.skip_to::<Read>().seq, last);
    assert_eq!(pad.skip_to::<Read>().seq, last);
}

#[test]
fn unread_messages_are_counted_until_they_are_marked_and_on_all_devices_alike() {
    let server = open();
    block_on(async {
        let by_hand = || Client::builder().room("den").mark_read_by_hand(true);
        let (ada, mut of_ada) = by_hand().register("ada", PASSWORD, None).connect(server.addr).await.unwrap();
        let (bob, _of_bob) = Client::builder().alias("bob").room("den").connect(server.addr).await.unwrap();
        let (phone, mut on_phone) = by_hand().account("ada", PASSWORD).connect(server.addr).await.unwrap();
        let (den, same, his) = (ada.room().unwrap(), phone.room().unwrap(), bob.room().unwrap());
        for n in 0..5 {
            his.send(format!("text {n}")).await.unwrap().await.unwrap();
        }
        let mut seqs = Vec::new();
        while seqs.len() < 5 {
            seqs.push(
                next(&mut of_ada, |event| match event {
                    Event::Message(message) => Some(message.seq),
                    _ => None,
                })
                .await,
            );
            next(&mut on_phone, text).await;
        }
        assert_eq!((den.unread(), same.unread()), (5, 5), "taken is not read");
        // What one says oneself is nothing to read.
        den.send("mine").await.unwrap().await.unwrap();
        assert_eq!(next(&mut on_phone, text).await, "mine");
        assert_eq!((den.unread(), same.unread()), (5, 5));
        den.mark_read(seqs[2]);
        assert_eq!(den.unread(), 2);
        let read = next(&mut on_phone, |event| match event {
            Event::Read { seq, unread, .. } => Some((seq, unread)),
            _ => None,
        });
        assert_eq!(read.await, (seqs[2], 2));
        assert_eq!(same.unread(), 2);
        // A new device begins with what is unread.
        let (pad, mut on_pad) = by_hand().account("ada", PASSWORD).connect(server.addr).await.unwrap();
        let first = next(&mut on_pad, |event| match event {
            Event::Message(message) => Some((message.text, message.source)),
            _ => None,
        });
        assert_eq!(first.await, ("text 3".to_owned(), Source::Replay));
        next(&mut on_pad, |event| text(event).filter(|text| text == "mine")).await;
        assert_eq!(pad.room().unwrap().unread(), 2);
        den.mark_read(den.head().unwrap());
        assert_eq!((den.unread(), den.read()), (0, den.head()));
    });
}

#[test]
fn without_marks_what_is_taken_is_read() {
    let server = TestServer::start();
    block_on(async {
        let (ada, mut of_ada) = Client::builder().alias("ada").room("den").connect(server.addr).await.unwrap();
        let (bob, _of_bob) = Client::builder().alias("bob").room("den").connect(server.addr).await.unwrap();
        for n in 0..3 {
            bob.room().unwrap().send(format!("text {n}")).await.unwrap().await.unwrap();
        }
        // They are there once something of a later time has come.
        let den = ada.room().unwrap();
        den.send("mine").await.unwrap().await.unwrap();
        assert_eq!(den.unread(), 3);
        next(&mut of_ada, text).await;
        assert_eq!(den.unread(), 2);
        next(&mut of_ada, text).await;
        next(&mut of_ada, text).await;
        assert_eq!(den.unread(), 0);
    });
}
