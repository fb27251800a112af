use async_std::task::block_on;
use chatnet::Alias;
use chatnet::protocol::Code;
use chatnet::protocol::message::*;

use crate::steps::*;
use crate::support::*;

#[test]
fn who_makes_a_room_owns_it_and_hands_it_over() {
    let server = TestServer::start();
    let (mut ada, joined) = Wire::member(server.addr, "ada", "den");
    let (mut bob, _) = Wire::member(server.addr, "bob", "den");
    let topic = |text: &str| Moderate { text: Some(text.into()), ..Moderate::new(11, joined.room, EventKind::TOPIC) };
    assert_eq!(moderate(&mut bob, topic("mine")), Err(Code::NOT_PERMITTED));
    assert_eq!(moderate(&mut ada, topic("tea")), Ok(()));
    let (told, change_) = change(&mut bob, EventKind::TOPIC);
    assert_eq!((told.alias.as_str(), change_.text.as_deref()), ("ada", Some("tea")));
    assert_eq!(moderate(&mut ada, with_rank(joined.room, "bob", Rank::Owner)), Ok(()));
    let settings = |kind| Moderate {
        settings: Some(RoomSettings::new(kind)),
        ..Moderate::new(11, joined.room, EventKind::SETTINGS)
    };
    assert_eq!(moderate(&mut ada, settings(RoomKind::Hidden)), Err(Code::NOT_PERMITTED), "a moderator by now");
    assert_eq!(moderate(&mut bob, settings(RoomKind::Hidden)), Ok(()));
}

#[test]
fn a_kick_is_told_to_all_and_is_the_last_thing_its_target_gets() {
    let server = TestServer::start();
    let (mut ada, joined) = Wire::member(server.addr, "ada", "den");
    let (mut bob, _) = Wire::member(server.addr, "bob", "den");
    let kick = Moderate { text: Some("spam".into()), ..on(joined.room, EventKind::KICK, "bob") };
    assert_eq!(moderate(&mut bob, on(joined.room, EventKind::KICK, "ada")), Err(Code::NOT_PERMITTED));
    assert_eq!(moderate(&mut ada, kick), Ok(()));
    let left: Left = bob.skip_to();
    assert_eq!((left.code, left.text.as_str()), (Code::KICKED, "you were kicked: spam"));
    say(&mut ada, joined.room, "and stay out").unwrap();
    assert!(!bob.round_trip().iter().any(|got| got.is(Kind::Deliver)), "nothing of the room comes behind it");
    assert_eq!(say(&mut bob, joined.room, "hey"), Err(Code::NOT_A_MEMBER));
    let audit = block_on(server.handle.audit(None, 10)).unwrap();
    let (_, entry) = &audit[0];
    let line =
        (entry.alias.as_str(), entry.act.as_str(), entry.room.as_str(), entry.whom.as_str(), entry.text.as_str());
    assert_eq!(line, ("ada", "kick", "den", "bob", "spam"));
    assert!(join(&mut bob, "den").is_ok(), "a kick is not a ban");
}

#[test]
fn a_ban_keeps_somebody_out_by_whatever_it_names_until_it_is_taken_back() {
    let server = open();
    let mut ada = register(server.addr, "ada");
    let room = ada.join("den").room;
    let mut bob = register(server.addr, "bob");
    bob.join("den");
    change(&mut bob, EventKind::MEMBERSHIP);
    assert_eq!(moderate(&mut ada, on(room, EventKind::BAN, "bob")), Ok(()));
    assert_eq!(bob.skip_to::<Left>().code, Code::ROOM_BANNED);
    assert_eq!(join(&mut bob, "den"), Err(Code::ROOM_BANNED));
    drop(bob);
    let mut bob = login(server.addr, "bob");
    assert!(!bob.round_trip().iter().any(|got| got.is(Kind::Joined)), "and is no member next time");
    assert_eq!(moderate(&mut ada, on(room, EventKind::UNBAN, "bob")), Ok(()));
    assert!(join(&mut bob, "den").is_ok());

    let (mut troll, _) = Wire::member(server.addr, "troll7", "den");
    assert_eq!(moderate(&mut ada, on(room, EventKind::BAN, "troll?")), Ok(()));
    assert_eq!(troll.skip_to::<Left>().code, Code::ROOM_BANNED);
    assert_eq!(join(&mut Wire::guest(server.addr, "TROLL8"), "den"), Err(Code::ROOM_BANNED));
    assert_eq!(moderate(&mut ada, on(room, EventKind::BAN, "127.0.0.1")), Ok(()));
    assert_eq!(join(&mut Wire::guest(server.addr, "carl"), "den"), Err(Code::ROOM_BANNED));
    say(&mut ada, room, "an owner is not banned by an address").unwrap();
    ada.send(&ListBans { request: 5, room, skip: None });
    let bans: BansPage = ada.skip_to();
    let names: Vec<_> = bans.bans.iter().map(|ban| ban.whom.as_str()).collect();
    assert_eq!(names, ["troll?", "127.0.0.1/32"]);
}

#[test]
fn a_ban_and_a_mute_end_at_their_time() {
    let server = TestServer::start();
    let (mut ada, joined) = Wire::member(server.addr, "ada", "den");
    let (mut bob, _) = Wire::member(server.addr, "bob", "den");
    let for_now = |act| Moderate { for_ms: Some(0), ..on(joined.room, act, "bob") };
    assert_eq!(moderate(&mut ada, for_now(EventKind::MUTE)), Ok(()));
    say(&mut bob, joined.room, "it is over").unwrap();
    assert_eq!(moderate(&mut ada, for_now(EventKind::BAN)), Ok(()));
    assert!(join(&mut bob, "den").is_ok());
}

#[test]
fn who_is_muted_reads_and_does_not_talk_and_leaving_does_not_help() {
    let server = TestServer::start();
    let (mut ada, joined) = Wire::member(server.addr, "ada", "den");
    let (mut bob, _) = Wire::member(server.addr, "bob", "den");
    assert_eq!(moderate(&mut ada, on(joined.room, EventKind::MUTE, "bob")), Ok(()));
    assert_eq!(say(&mut bob, joined.room, "mmh"), Err(Code::MUTED));
    say(&mut ada, joined.room, "shh").unwrap();
    assert_eq!(hear(&mut bob), ["shh"]);
    bob.send(&Leave { request: 3, room: joined.room });
    bob.skip_to::<Left>();
    bob.join("den");
    assert_eq!(say(&mut bob, joined.room, "mmh"), Err(Code::MUTED));
    assert_eq!(moderate(&mut ada, on(joined.room, EventKind::UNMUTE, "bob")), Ok(()));
    say(&mut bob, joined.room, "thanks").unwrap();
}

#[test]
fn the_right_to_speak_is_looked_at_when_the_text_is_stored() {
    let server = TestServer::start();
    let (mut ada, joined) = Wire::member(server.addr, "ada", "den");
    let (mut bob, _) = Wire::member(server.addr, "bob", "den");
    let outbox = outbox();
    for n in 1..=50 {
        bob.send(&publish(joined.room, outbox, n, &["x"]));
    }
    assert_eq!(moderate(&mut ada, on(joined.room, EventKind::MUTE, "bob")), Ok(()));
    bob.send(&publish(joined.room, outbox, 51, &["too late"]));
    let refused: Refused = bob.skip_to();
    assert_eq!((refused.code, refused.permanent), (Code::MUTED, true));
    // In the log nothing of bob's stands behind the mute.
    ada.send(&History { request: 1, room: joined.room, place: Place::After(ZERO), limit: 500 });
    let mut muted = false;
    loop {
        let got = ada.next().unwrap();
        if got.is(Kind::HistoryEnd) {
            break;
        }
        if !got.is(Kind::Deliver) || got.header.class != chatnet::protocol::Class::BULK {
            continue;
        }
        let deliver: Deliver = got.read();
        assert!(!(muted && deliver.alias == "bob"));
        muted |= deliver.events.iter().any(|event| event.kind == EventKind::MUTE);
    }
    assert!(muted);
}

#[test]
fn an_invite_only_room_takes_who_was_invited_and_is_listed_for_its_members() {
    let server = TestServer::start();
    let mut ada = Wire::guest(server.addr, "ada");
    let room = create(&mut ada, "cellar", RoomSettings::new(RoomKind::InviteOnly)).room;
    say(&mut ada, room, "before").unwrap();
    let mut bob = Wire::guest(server.addr, "bob");
    assert_eq!(join(&mut bob, "cellar"), Err(Code::INVITE_ONLY));
    let names = |wire: &mut Wire| {
        wire.send(&ListRooms { request: 5, after: None, limit: 50 });
        let page: RoomsPage = wire.skip_to();
        page.rooms.into_iter().map(|room| room.name).collect::<Vec<_>>()
    };
    assert_eq!(names(&mut bob), ["lobby"]);
    assert_eq!(names(&mut ada), ["cellar", "lobby"]);
    assert_eq!(moderate(&mut ada, on(room, EventKind::INVITE, "bob")), Ok(()));
    let joined = join(&mut bob, "cellar").unwrap();
    // What was said before is not for who came later, however it is asked for.
    bob.send(&History { request: 1, room, place: Place::After(ZERO), limit: 500 });
    bob.send(&Search { request: 2, room, query: "before".into(), before: None, limit: 10 });
    bob.send(&Seek { room, after: ZERO });
    say(&mut ada, room, "after").unwrap();
    let (mut hits, mut texts) = (None, Vec::new());
    while hits.is_none() || texts.is_empty() {
        let got = bob.next().unwrap();
        if got.is(Kind::SearchPage) {
            hits = Some(got.read::<SearchPage>().hits.len());
        } else if got.is(Kind::Deliver) {
            let deliver: Deliver = got.read();
            let said = deliver.events.into_iter().filter(|event| event.kind == EventKind::TEXT);
            texts.extend(said.map(|event| String::from_utf8(event.bytes).unwrap()));
        }
    }
    assert!(hits == Some(0) && texts.iter().all(|text| text == "after"), "{texts:?}");
    assert_eq!(moderate(&mut bob, on(room, EventKind::INVITE, "ada")), Err(Code::NOT_PERMITTED));
    assert_eq!(joined.count, 2);
}

#[test]
fn a_cursor_from_before_one_came_reads_nothing_that_was_said_before() {
    let server = TestServer::with(|builder| builder.grace(std::time::Duration::from_secs(60)));
    let mut ada = Wire::guest(server.addr, "ada");
    let room = create(&mut ada, "cellar", RoomSettings::new(RoomKind::InviteOnly)).room;
    say(&mut ada, room, "before").unwrap();
    assert_eq!(moderate(&mut ada, on(room, EventKind::INVITE, "bob")), Err(Code::NO_SUCH_PERSON));
    let mut bob = Wire::connect(server.addr);
    let lineage = bob.hello().lineage;
    bob.send(&guest("bob"));
    bob.expect::<Authenticated>();
    bob.send(&Attach { token: None, cursors: vec![], more: false });
    let token = bob.expect::<Attached>().token.unwrap();
    assert_eq!(moderate(&mut ada, on(room, EventKind::INVITE, "bob")), Ok(()));
    join(&mut bob, "cellar").unwrap();
    drop(bob);
    say(&mut ada, room, "after").unwrap();
    let mut bob = Wire::connect(server.addr);
    bob.hello();
    bob.send(&Auth { mechanism: "session".into(), data: token.clone() });
    bob.expect::<Authenticated>();
    let cursors = vec![Cursor { lineage, room, seq: ZERO }];
    bob.send(&Attach { token: Some(token), cursors, more: false });
    assert_eq!(hear(&mut bob), ["after"]);
}

#[test]
fn a_password_opens_its_room_and_no_other_does() {
    let server = TestServer::start();
    let mut ada = Wire::guest(server.addr, "ada");
    create(&mut ada, "vault", RoomSettings::new(RoomKind::Password));
    let mut bob = Wire::guest(server.addr, "bob");
    assert_eq!(join(&mut bob, "vault"), Err(Code::ROOM_PASSWORD));
    bob.send(&JoinWith { request: 7, name: "vault".into(), password: "incorrect horse".into() });
    assert_eq!(joined(&mut bob), Err(Code::ROOM_PASSWORD));
    bob.send(&JoinWith { request: 7, name: "vault".into(), password: PASSWORD.into() });
    assert!(joined(&mut bob).is_ok());
    bob.send(&CreateRoom { request: 9, name: "vault".into(), settings: RoomSettings::default(), password: None });
    assert_eq!(joined(&mut bob), Err(Code::ROOM_EXISTS));
}

#[test]
fn settings_are_kept_to_full_announcement_only_archived() {
    let server = TestServer::start();
    let mut ada = Wire::guest(server.addr, "ada");
    let settings = RoomSettings { limit: Some(2), announcement_only: true, ..RoomSettings::default() };
    let room = create(&mut ada, "news", settings.clone()).room;
    let (mut bob, _) = Wire::member(server.addr, "bob", "news");
    assert_eq!(join(&mut Wire::guest(server.addr, "carl"), "news"), Err(Code::ROOM_FULL));
    assert_eq!(say(&mut bob, room, "me too"), Err(Code::ANNOUNCEMENT_ONLY));
    assert_eq!(moderate(&mut ada, with_rank(room, "bob", Rank::Moderator)), Ok(()));
    say(&mut bob, room, "me too").unwrap();
    let archived = Some(RoomSettings { archived: true, ..settings });
    let act = Moderate { settings: archived, ..Moderate::new(11, room, EventKind::SETTINGS) };
    assert_eq!(moderate(&mut ada, act), Ok(()));
    assert_eq!(say(&mut ada, room, "the end"), Err(Code::ARCHIVED));
}

#[test]
fn a_deleted_message_is_gone_from_the_log_and_all_are_told() {
    let server = TestServer::start();
    let (mut ada, joined) = Wire::member(server.addr, "ada", "den");
    let (mut bob, _) = Wire::member(server.addr, "bob", "den");
    let seq = say(&mut bob, joined.room, "something rude").unwrap();
    let delete = Moderate { value: Some(seq.get()), ..Moderate::new(11, joined.room, EventKind::DELETION) };
    assert_eq!(moderate(&mut bob, delete.clone()), Err(Code::NOT_PERMITTED));
    assert_eq!(moderate(&mut ada, delete), Ok(()));
    assert_eq!(change(&mut bob, EventKind::DELETION).1.seq(), Some(seq));
    bob.send(&History { request: 1, room: joined.room, place: Place::After(ZERO), limit: 500 });
    let first: Deliver = bob.skip_to();
    assert_eq!((first.seq, first.events[0].kind, first.events[0].bytes.len()), (seq, EventKind::REMOVED, 0));
}

#[test]
fn an_admin_keeps_order_in_rooms_that_it_is_not_in() {
    let server = open();
    let mut admin = register(server.addr, "olga");
    block_on(server.handle.set_admin(&Alias::parse("olga").unwrap(), true)).unwrap();
    let (mut ada, joined) = Wire::member(server.addr, "ada", "den");
    assert_eq!(moderate(&mut admin, on(joined.room, EventKind::KICK, "ada")), Ok(()));
    assert_eq!(ada.skip_to::<Left>().code, Code::KICKED);
    admin.send(&ListAudit { request: 5, before: None, limit: 10 });
    let page: AuditPage = admin.skip_to();
    let acts: Vec<_> = page.entries.iter().map(|entry| (entry.by.as_str(), entry.act.as_str())).collect();
    assert_eq!(acts, [("olga", "kick"), ("server", "grant")]);
    ada.send(&ListAudit { request: 5, before: None, limit: 10 });
    assert_eq!(answer(&mut ada, 5), Err(Code::NOT_PERMITTED));
}

// Other systems have one address of their own by default.
#[cfg(target_os = "linux")]
#[test]
fn a_device_at_a_banned_address_comes_in_with_no_other_device_of_its_account() {
    let server = open();
    let (mut ada, joined) = Wire::member(server.addr, "ada", "den");
    let room = joined.room;
    drop(register(server.addr, "bob"));
    assert_eq!(moderate(&mut ada, on(room, EventKind::BAN, "127.0.0.7")), Ok(()));
    let mut banned = Wire::over(connect_from(server.addr, "127.0.0.7").unwrap());
    banned.hello();
    banned.send(&auth("password", "bob", PASSWORD, None));
    banned.expect::<Authenticated>();
    banned.send(&Attach { token: None, cursors: vec![], more: false });
    banned.expect::<Attached>();
    assert_eq!(join(&mut banned, "den").unwrap_err(), Code::ROOM_BANNED);
    let mut bob = login(server.addr, "bob");
    join(&mut bob, "den").unwrap();
    change(&mut ada, EventKind::MEMBERSHIP);
    assert!(banned.round_trip().iter().all(|got| !got.is(Kind::Joined)), "it would hear everything");
    assert_eq!(say(&mut banned, room, "here I am"), Err(Code::NOT_A_MEMBER));
    assert!(say(&mut bob, room, "so am I").is_ok());
}

#[test]
fn an_invitation_is_told_once_and_not_by_whom_one_has_blocked() {
    let server = open();
    let mut ada = register(server.addr, "ada");
    let mut bob = register(server.addr, "bob");
    let invitations = |wire: &mut Wire| wire.round_trip().iter().filter(|got| got.is(Kind::Notice)).count();
    let room = create(&mut ada, "den", RoomSettings::default()).room;
    for _ in 0..3 {
        assert_eq!(moderate(&mut ada, on(room, EventKind::INVITE, "bob")), Ok(()));
    }
    assert_eq!(invitations(&mut bob), 1);
    bob.send(&Block { request: 13, whom: Whom::Name("ada".into()), blocked: true });
    assert_eq!(answer(&mut bob, 13), Ok(()));
    let room = create(&mut ada, "you_are_ugly", RoomSettings::default()).room;
    assert_eq!(moderate(&mut ada, on(room, EventKind::INVITE, "bob")), Ok(()));
    assert_eq!(invitations(&mut bob), 0);
}

#[test]
fn a_room_has_a_bounded_number_of_bans_and_those_that_are_over_make_room() {
    let server = TestServer::with(|server| server.limits(chatnet::Limits::NONE));
    let (mut ada, joined) = Wire::member(server.addr, "ada", "den");
    let room = joined.room;
    let short = Moderate { for_ms: Some(1), ..on(room, EventKind::BAN, "over*") };
    assert_eq!(moderate(&mut ada, short), Ok(()));
    let mut over = Wire::guest(server.addr, "overlord");
    while join(&mut over, "den").is_err() {}
    for n in 0..500 {
        assert_eq!(moderate(&mut ada, on(room, EventKind::BAN, &format!("troll{n}*"))), Ok(()), "{n}");
    }
    assert_eq!(moderate(&mut ada, on(room, EventKind::BAN, "one more*")), Err(Code::BAD_REQUEST));
    assert_eq!(moderate(&mut ada, on(room, EventKind::BAN, "troll7*")), Ok(()), "again");
    assert_eq!(moderate(&mut ada, on(room, EventKind::UNBAN, "troll8*")), Ok(()));
    assert_eq!(moderate(&mut ada, on(room, EventKind::BAN, "one more*")), Ok(()));
    let mut troll = Wire::guest(server.addr, "TROLL7 again");
    assert_eq!(join(&mut troll, "den").unwrap_err(), Code::ROOM_BANNED);
}
