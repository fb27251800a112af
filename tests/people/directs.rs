use chatnet::protocol::Code;
use chatnet::protocol::message::*;

use crate::steps::*;
use crate::support::*;

fn direct(wire: &mut Wire, whom: &str) -> Result<Joined, Code> {
    wire.send(&Direct { request: 12, whom: Whom::Name(whom.into()) });
    joined(wire)
}

#[test]
fn a_direct_is_the_same_room_for_both_and_is_called_after_the_other() {
    let server = TestServer::start();
    let (mut ada, mut bob) = (Wire::guest(server.addr, "ada"), Wire::guest(server.addr, "Bob B"));
    let mine = direct(&mut ada, "bob b").unwrap();
    let theirs: Joined = bob.skip_to();
    assert_eq!((mine.name.as_str(), theirs.name.as_str()), ("@Bob_B", "@ada"));
    assert_eq!((mine.room, theirs.request), (theirs.room, 0));
    say(&mut ada, mine.room, "psst").unwrap();
    assert_eq!(hear(&mut bob), ["psst"]);
    assert_eq!(direct(&mut bob, "ada").unwrap().room, mine.room);
    assert_eq!(direct(&mut ada, "nobody"), Err(Code::NO_SUCH_PERSON));
}

#[test]
fn a_direct_reaches_an_account_that_is_offline_when_it_comes() {
    let server = open();
    drop(register(server.addr, "bob"));
    let mut ada = register(server.addr, "ada");
    let room = direct(&mut ada, "bob").unwrap().room;
    say(&mut ada, room, "call me").unwrap();
    let mut bob = login(server.addr, "bob");
    let there: Joined = bob.skip_to();
    assert_eq!((there.room, there.name.as_str()), (room, "@ada"));
    assert_eq!(hear(&mut bob), ["call me"]);
    say(&mut bob, room, "yes?").unwrap();
    assert_eq!(hear(&mut ada), ["yes?"]);
}

#[test]
fn nobody_else_finds_or_reads_a_direct_admins_included() {
    let server = open();
    let mut admin = register(server.addr, "olga");
    async_std::task::block_on(server.handle.set_admin(&chatnet::Alias::parse("olga").unwrap(), true)).unwrap();
    let (mut ada, mut bob) = (Wire::guest(server.addr, "ada"), Wire::guest(server.addr, "bob"));
    let room = direct(&mut ada, "bob").unwrap().room;
    bob.skip_to::<Joined>();
    say(&mut ada, room, "secret").unwrap();
    admin.send(&ListRooms { request: 5, after: None, limit: 50 });
    assert!(admin.skip_to::<RoomsPage>().rooms.iter().all(|room| room.name == "lobby"));
    assert_eq!(join(&mut admin, &format!("@{room}")), Err(Code::ROOM_NAME_INVALID));
    assert_eq!(join(&mut admin, "@ada"), Err(Code::ROOM_NAME_INVALID));
    admin.send(&History { request: 6, room, place: Place::After(ZERO), limit: 10 });
    assert_eq!(answer(&mut admin, 6), Err(Code::NOT_A_MEMBER));
    admin.send(&Search { request: 7, room, query: "secret".into(), before: None, limit: 10 });
    assert_eq!(answer(&mut admin, 7), Err(Code::NOT_A_MEMBER));
    let invite = on(room, EventKind::INVITE, "olga");
    assert_eq!(moderate(&mut admin, invite.clone()), Err(Code::NOT_PERMITTED));
    assert_eq!(moderate(&mut ada, invite), Err(Code::NOT_PERMITTED));
}

#[test]
fn whoever_is_blocked_reaches_nobody_until_it_is_taken_back() {
    let server = open();
    let (mut ada, mut bob) = (register(server.addr, "ada"), register(server.addr, "bob"));
    let room = direct(&mut ada, "bob").unwrap().room;
    bob.skip_to::<Joined>();
    let block = |blocked| Block { request: 13, whom: Whom::Name("ada".into()), blocked };
    bob.send(&block(true));
    assert_eq!(answer(&mut bob, 13), Ok(()));
    assert_eq!(say(&mut ada, room, "hello?"), Err(Code::BLOCKED));
    assert_eq!(direct(&mut ada, "bob"), Err(Code::BLOCKED));
    bob.send(&block(false));
    assert_eq!(answer(&mut bob, 13), Ok(()));
    say(&mut ada, room, "hello!").unwrap();
    assert_eq!(hear(&mut bob), ["hello!"]);
}

#[test]
fn a_guest_s_direct_ends_with_the_guest() {
    let server = open();
    let mut ada = register(server.addr, "ada");
    let mut guest = Wire::guest(server.addr, "guest7");
    let room = direct(&mut ada, "guest7").unwrap().room;
    guest.skip_to::<Joined>();
    drop(guest);
    let left: Left = ada.skip_to();
    assert_eq!(left.room, room);
    drop(ada);
    let mut ada = login(server.addr, "ada");
    assert!(!ada.round_trip().iter().any(|got| got.is(Kind::Joined)));
}

#[test]
fn what_is_known_of_somebody_is_whether_they_are_here_and_away() {
    let server = open();
    let mut ada = register(server.addr, "ada");
    let mut bob = Wire::guest(server.addr, "bob");
    bob.send(&Away { request: 3, text: Some("at lunch\x1b[2J".into()) });
    assert_eq!(answer(&mut bob, 3), Ok(()));
    let whois = |wire: &mut Wire, whom: &str| {
        wire.send(&Whois { request: 4, whom: Whom::Name(whom.into()) });
        wire.skip_to::<Profile>()
    };
    let profile = whois(&mut ada, "bob");
    assert!(profile.online && profile.seen.is_none());
    assert_eq!(profile.away.as_deref(), Some("at lunch\u{fffd}[2J"));
    ada.send(&Bye { code: Code::GOODBYE, text: String::new(), retry_after_ms: None });
    ada.rest();
    let profile = whois(&mut bob, "ada");
    assert!(!profile.online && profile.seen.is_some_and(|seen| seen > 0));
}

fn leave(wire: &mut Wire, room: chatnet::RoomId) {
    wire.send(&Leave { request: 14, room });
    let left: Left = wire.skip_to();
    assert_eq!((left.room, left.request), (room, 14));
}

#[test]
fn no_stranger_takes_another_s_rooms_away_with_directs() {
    let server = TestServer::with(|server| server.registration(chatnet::Registration::Open).max_rooms_per_session(3));
    let mut ada = register(server.addr, "ada");
    let mut here = Vec::new();
    for n in 0..4 {
        let mut guest = Wire::guest(server.addr, &format!("stranger{n}"));
        let room = direct(&mut guest, "ada").unwrap().room;
        say(&mut guest, room, "hello").unwrap();
        here.push(guest);
    }
    for _ in &here {
        ada.skip_to::<Joined>();
    }
    assert_eq!(join(&mut ada, "quiet").unwrap().name, "quiet");
}

#[test]
fn a_direct_ends_when_its_guest_leaves_it() {
    let server = open();
    let mut ada = register(server.addr, "ada");
    let mut guest = Wire::guest(server.addr, "passing by");
    let room = direct(&mut guest, "ada").unwrap().room;
    ada.skip_to::<Joined>();
    say(&mut guest, room, "bye").unwrap();
    leave(&mut guest, room);
    assert_eq!(ada.skip_to::<Left>().room, room);
    drop(ada);
    let mut ada = login(server.addr, "ada");
    assert!(!ada.round_trip().iter().any(|got| got.is(Kind::Joined)));
}

#[test]
fn a_direct_in_which_nothing_was_said_ends_with_whoever_leaves_it() {
    let server = open();
    let (mut ada, mut bob) = (register(server.addr, "ada"), register(server.addr, "bob"));
    let room = direct(&mut ada, "bob").unwrap().room;
    bob.skip_to::<Joined>();
    leave(&mut ada, room);
    assert_eq!(bob.skip_to::<Left>().room, room);
    let room = direct(&mut ada, "bob").unwrap().room;
    bob.skip_to::<Joined>();
    say(&mut ada, room, "this stays").unwrap();
    leave(&mut ada, room);
    assert_eq!(hear(&mut bob), ["this stays"]);
    assert_eq!(direct(&mut ada, "bob").unwrap().room, room);
}

#[test]
fn nobody_keeps_whom_a_guest_had_blocked() {
    let server = open();
    let mut ada = register(server.addr, "ada");
    let mut guest = Wire::guest(server.addr, "guest7");
    let block = |whom: &str| Block { request: 13, whom: Whom::Name(whom.into()), blocked: true };
    ada.send(&block("guest7"));
    assert_eq!(answer(&mut ada, 13), Ok(()));
    guest.send(&block("ada"));
    assert_eq!(answer(&mut guest, 13), Ok(()));
    let blocked = |wire: &mut Wire| {
        wire.send(&ListBlocks { request: 15, after: None });
        wire.skip_to::<BlocksPage>().blocked.len()
    };
    assert_eq!((blocked(&mut ada), blocked(&mut guest)), (1, 1));
    guest.send(&Bye { code: Code::GOODBYE, text: String::new(), retry_after_ms: None });
    guest.rest();
    // The alias is free when the session has ended, of which nothing is kept then.
    while attempt(server.addr, &Auth { mechanism: "guest".into(), data: b"guest7".to_vec().into() }).is_err() {}
    assert_eq!(blocked(&mut ada), 0);
}
