//! How many directs and blocks anybody has: up to that it works, beyond it is told, and the others are not in it.

use std::time::Duration;

use chatnet::id::RoomId;
use chatnet::protocol::message::*;
use chatnet::protocol::{Code, Message, to_frame};
use chatnet::{Limits, Registration};

use crate::steps::*;
use crate::support::*;

/// Directs that somebody has at most.
const DIRECTS: usize = 500;

/// Directs that guests from one address have opened with one person at most.
#[cfg(target_os = "linux")]
const OPENED: usize = 200;

/// People whom somebody has blocked at most.
const BLOCKS: usize = 1000;

/// A server on which so many guests, `p0` and on, are known, who are away: each kept without a connection.
fn with_people(count: usize, limits: Limits) -> TestServer {
    let long = Duration::from_secs(600);
    let server = TestServer::with(|server| server.registration(Registration::Open).limits(limits).grace(long));
    for n in 0..count {
        let mut wire = Wire::connect(server.addr);
        let attach = to_frame(&Attach { token: None, cursors: vec![], more: false });
        wire.raw(&[to_frame(&hello()), to_frame(&guest(&format!("p{n}"))), attach].concat());
        wire.skip_to::<Attached>();
    }
    server
}

fn to(n: usize) -> Whom {
    Whom::Name(format!("p{n}"))
}

/// Ask all of it at once; what comes of each question, in order.
fn all_at_once<M: Message>(wire: &mut Wire, count: usize, ask: impl Fn(usize) -> M, yes: Kind) -> Vec<Got> {
    let asked: Vec<u8> = (0..count).flat_map(|n| to_frame(&ask(n))).collect();
    wire.raw(&asked);
    let answers = std::iter::from_fn(|| wire.next()).filter(|got| got.is(yes) || got.is(Kind::ErrorReply));
    answers.take(count).collect()
}

/// Have directs with the first so many; the rooms.
fn open_directs(wire: &mut Wire, count: usize) -> Vec<RoomId> {
    let ask = |n| Direct { request: n as u32, whom: to(n) };
    let answers = all_at_once(wire, count, ask, Kind::Joined);
    let rooms = answers.iter().enumerate().map(|(n, got)| {
        let joined: Joined = got.read();
        assert_eq!((joined.request as usize, joined.name), (n, format!("@p{n}")));
        joined.room
    });
    rooms.collect()
}

fn direct(wire: &mut Wire, whom: Whom) -> Result<RoomId, (Code, String)> {
    wire.send(&Direct { request: 12, whom });
    loop {
        let got = wire.next().expect("the server answers");
        if got.is(Kind::Joined) && got.read::<Joined>().request == 12 {
            return Ok(got.read::<Joined>().room);
        }
        if got.is(Kind::ErrorReply) {
            let error: ErrorReply = got.read();
            assert_eq!((error.request, error.fatal), (Some(12), false));
            return Err((error.code, error.text));
        }
    }
}

/// It was one too many, and the text says what can be done.
#[track_caller]
fn assert_full(answered: Result<RoomId, (Code, String)>, advice: &str) {
    let (code, text) = answered.expect_err("it is one too many");
    assert_eq!(code, Code::TOO_MANY_ROOMS);
    assert!(text.contains(advice), "{text}");
}

fn leave(wire: &mut Wire, room: RoomId) {
    wire.send(&Leave { request: 14, room });
    assert_eq!(wire.skip_to::<Left>().room, room);
}

#[test]
fn somebody_has_five_hundred_directs_and_one_more_when_one_is_left() {
    let server = with_people(DIRECTS + 1, Limits::NONE);
    let (mut ada, mut bob) = (Wire::guest(server.addr, "ada"), Wire::guest(server.addr, "bob"));
    let rooms = open_directs(&mut ada, DIRECTS);
    assert_full(direct(&mut ada, to(DIRECTS)), "leave one first");
    assert_full(direct(&mut bob, Whom::Name("ada".into())), "write to them in a room");
    // The others have theirs, and she has what she had: directs, and any room besides.
    direct(&mut bob, to(0)).unwrap();
    assert_eq!(direct(&mut ada, to(7)), Ok(rooms[7]));
    assert_eq!(join(&mut ada, "den").unwrap().name, "den");
    say(&mut ada, rooms[DIRECTS - 1], "still here").unwrap();
    leave(&mut ada, rooms[3]);
    direct(&mut ada, to(DIRECTS)).unwrap();
    assert_full(direct(&mut ada, to(3)), "leave one first");
}

#[cfg(target_os = "linux")]
#[test]
fn guests_from_one_address_have_opened_two_hundred_directs_with_somebody_and_the_others_open_theirs() {
    let server = with_people(2, Limits::default());
    let guests: Vec<_> = (0..OPENED)
        .map(|n| {
            let mut wire = Wire::guest(server.addr, &format!("g{n}"));
            let room = direct(&mut wire, to(0)).unwrap();
            (wire, room)
        })
        .collect();
    let (mut ada, mut bob) = (Wire::guest(server.addr, "ada"), Wire::guest(server.addr, "bob"));
    assert_full(direct(&mut ada, to(0)), "try again later");
    // The others are reached, and who has one has it.
    direct(&mut ada, to(1)).unwrap();
    let mut guests = guests.into_iter();
    let (mut first, room) = guests.next().unwrap();
    assert_eq!(direct(&mut first, to(0)), Ok(room));
    let (mut second, room) = guests.next().unwrap();
    // An account is somebody, wherever it comes from; and so is a guest from elsewhere.
    direct(&mut register(server.addr, "carol"), to(0)).unwrap();
    let mut dan = Wire::over(connect_from(server.addr, "127.0.0.2").unwrap());
    dan.hello();
    dan.send(&guest("dan"));
    dan.expect::<Authenticated>();
    dan.send(&Attach { token: None, cursors: vec![], more: false });
    dan.expect::<Attached>();
    direct(&mut dan, to(0)).unwrap();
    // What one of them gives up another may have.
    leave(&mut second, room);
    direct(&mut bob, to(0)).unwrap();
    assert_full(direct(&mut ada, to(0)), "try again later");
}

#[test]
fn somebody_has_blocked_a_thousand_people_and_one_more_when_one_is_unblocked() {
    let server = with_people(BLOCKS + 1, Limits::NONE);
    let (mut ada, mut bob) = (Wire::guest(server.addr, "ada"), Wire::guest(server.addr, "bob"));
    let ask = |request, whom, blocked| Block { request, whom, blocked };
    let answers = all_at_once(&mut ada, BLOCKS, |n| ask(n as u32, to(n), true), Kind::Done);
    for (n, got) in answers.iter().enumerate() {
        assert_eq!(got.read::<Done>().request as usize, n);
    }
    ada.send(&ask(9, to(BLOCKS), true));
    let error: ErrorReply = ada.skip_to();
    assert_eq!((error.code, error.request, error.fatal), (Code::NOT_PERMITTED, Some(9), false));
    assert!(error.text.contains("unblock somebody first"), "{}", error.text);
    let blocks = |wire: &mut Wire, whom, blocked| {
        wire.send(&ask(13, whom, blocked));
        answer(wire, 13)
    };
    // Whom she has blocked stays so, and she reaches whom she couldn't block.
    assert_eq!(blocks(&mut ada, to(5), true), Ok(()));
    assert_eq!(direct(&mut ada, to(5)).map_err(|e| e.0), Err(Code::BLOCKED));
    direct(&mut ada, to(BLOCKS)).unwrap();
    assert_eq!(blocks(&mut bob, to(BLOCKS), true), Ok(()), "he has blocked nobody else");
    assert_eq!(blocks(&mut ada, to(5), false), Ok(()));
    assert_eq!(blocks(&mut ada, to(BLOCKS), true), Ok(()));
    assert_eq!(blocks(&mut ada, to(5), true), Err(Code::NOT_PERMITTED));
}
