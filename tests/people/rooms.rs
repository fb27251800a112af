//! Rooms and their members: who has a place, whether they are here or not.

use chatnet::protocol::Code;
use chatnet::protocol::message::*;

use crate::steps::*;
use crate::support::*;

/// Leave for now: the session ends, a membership of an account doesn't.
fn bye(mut wire: Wire) {
    wire.send(&Bye { code: Code::GOODBYE, text: String::new(), retry_after_ms: None });
    wire.rest();
}

/// A room for so many, of ada's, who is here.
fn room_for(server: &TestServer, limit: u32) -> (Wire, chatnet::RoomId) {
    let mut ada = register(server.addr, "ada");
    let settings = RoomSettings { limit: Some(limit), ..RoomSettings::default() };
    let room = create(&mut ada, "den", settings).room;
    change(&mut ada, EventKind::MEMBERSHIP);
    (ada, room)
}

#[test]
fn a_member_who_is_away_keeps_their_place_and_comes_back_to_what_was_said() {
    let server = open();
    let (mut ada, room) = room_for(&server, 2);
    let mut bob = register(server.addr, "bob");
    join(&mut bob, "den").unwrap();
    change(&mut bob, EventKind::MEMBERSHIP);
    bye(bob);
    say(&mut ada, room, "while you were away").unwrap();
    assert_eq!(join(&mut register(server.addr, "carl"), "den"), Err(Code::ROOM_FULL), "bob's place is bob's");
    assert_eq!(join(&mut Wire::guest(server.addr, "troll"), "den"), Err(Code::ROOM_FULL));
    let mut bob = login(server.addr, "bob");
    assert_eq!(bob.skip_to::<Joined>().room, room);
    assert_eq!(hear(&mut bob), ["while you were away"]);
    bob.send(&Leave { request: 3, room });
    bob.skip_to::<Left>();
    assert!(join(&mut login(server.addr, "carl"), "den").is_ok(), "who leaves gives up their place");
}

#[test]
fn members_come_back_to_a_room_that_was_made_smaller_and_nobody_else_comes() {
    let server = open();
    let (mut ada, room) = room_for(&server, 9);
    let mut bob = register(server.addr, "bob");
    join(&mut bob, "den").unwrap();
    change(&mut bob, EventKind::MEMBERSHIP);
    bye(bob);
    let settings = Some(RoomSettings { limit: Some(1), ..RoomSettings::default() });
    assert_eq!(moderate(&mut ada, Moderate { settings, ..Moderate::new(11, room, EventKind::SETTINGS) }), Ok(()));
    let mut bob = login(server.addr, "bob");
    assert_eq!(bob.skip_to::<Joined>().room, room);
    assert_eq!(join(&mut Wire::guest(server.addr, "troll"), "den"), Err(Code::ROOM_FULL));
}

#[test]
fn a_guest_counts_while_here_and_an_invitation_once_it_is_taken() {
    let server = open();
    let (mut ada, room) = room_for(&server, 2);
    drop(register(server.addr, "bob"));
    assert_eq!(moderate(&mut ada, on(room, EventKind::INVITE, "bob")), Ok(()));
    let mut guest = Wire::guest(server.addr, "gina");
    assert!(join(&mut guest, "den").is_ok(), "who is invited has no place yet");
    assert_eq!(join(&mut login(server.addr, "bob"), "den"), Err(Code::ROOM_FULL));
    guest.send(&Leave { request: 3, room });
    guest.skip_to::<Left>();
    assert!(join(&mut login(server.addr, "bob"), "den").is_ok());
}
