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

/// Ada's account, which has the room, is deleted.
fn delete_ada(mut ada: Wire) {
    ada.send(&DeleteAccount { request: 5, password: PASSWORD.into() });
    ada.rest();
}

/// Ada has a room with bob and carl, who came in this order; her account is deleted.
fn inherits(carl_is_moderator: bool) -> &'static str {
    let server = open();
    let (mut ada, room) = room_for(&server, 9);
    let [mut bob, mut carl] = ["bob", "carl"].map(|name| {
        let mut wire = register(server.addr, name);
        join(&mut wire, "den").unwrap();
        change(&mut wire, EventKind::MEMBERSHIP);
        wire
    });
    if carl_is_moderator {
        assert_eq!(moderate(&mut ada, with_rank(room, "carl", Rank::Moderator)), Ok(()));
        change(&mut bob, EventKind::ROLE);
    }
    delete_ada(ada);
    let (heir, owner) = if carl_is_moderator { ("carl", &mut carl) } else { ("bob", &mut bob) };
    let (told, role) = loop {
        let (told, role) = change(owner, EventKind::ROLE);
        if role.value == Some(3) {
            break (told, role);
        }
    };
    assert_eq!((told.alias.as_str(), role.whom.unwrap().alias.as_str()), ("ada", heir));
    let settings = Some(RoomSettings { topic: "tea".into(), ..RoomSettings::new(RoomKind::InviteOnly) });
    assert_eq!(moderate(owner, Moderate { settings, ..Moderate::new(11, room, EventKind::SETTINGS) }), Ok(()));
    let (_, entry) = &async_std::task::block_on(server.handle.audit(None, 2)).unwrap()[1];
    assert_eq!((entry.alias.as_str(), entry.act.as_str(), entry.whom.as_str()), ("ada", "role", heir));
    heir
}

#[test]
fn a_room_whose_owner_is_deleted_goes_to_a_moderator_or_else_to_who_came_first() {
    assert_eq!(inherits(true), "carl");
    assert_eq!(inherits(false), "bob");
}

#[test]
fn what_is_said_to_a_deleted_account_is_refused() {
    let server = open();
    let ada = register(server.addr, "ada");
    let mut bob = register(server.addr, "bob");
    bob.send(&Direct { request: 12, whom: Whom::Name("ada".into()) });
    let direct = joined(&mut bob).unwrap().room;
    say(&mut bob, direct, "hello").unwrap();
    delete_ada(ada);
    assert_eq!(say(&mut bob, direct, "are you there?"), Err(Code::NO_SUCH_PERSON));
}
