//! Keeping order: reasons are held to the rules, guests who come again are met, and the books say all that was done.

use std::time::Duration;

use async_std::task::block_on;
use chatnet::protocol::Code;
use chatnet::protocol::message::*;
use chatnet::store::{AuditRecord, Change, Commit, Log, MemoryStore, Retention};
use chatnet::{Alias, HandleError, PrincipalId, RoomName, Timestamp};

use crate::steps::*;
use crate::support::*;

fn alias(raw: &str) -> Alias {
    Alias::parse(raw).unwrap()
}

/// Somebody who keeps order everywhere.
fn admin(server: &TestServer) -> Wire {
    let wire = register(server.addr, "olga");
    block_on(server.handle.set_admin(&alias("olga"), true)).unwrap();
    wire
}

/// The newest entries, the newest first: act, room, whom, text.
fn entries(server: &TestServer, limit: usize) -> Vec<(String, String, String, String)> {
    let found = block_on(server.handle.audit(None, limit)).unwrap();
    found.into_iter().map(|(_, e)| (e.act, e.room, e.whom, e.text)).collect()
}

#[test]
fn whatever_reason_is_given_is_held_to_the_rules() {
    let server = open();
    let handle = &server.handle;
    drop(register(server.addr, "bob"));
    let _ada = Wire::guest(server.addr, "ada");
    let session = block_on(handle.sessions(None, 10)).unwrap().items.pop().unwrap().session;
    let long = "x".repeat(1025);
    for reason in ["bye\u{1b}[31m\u{202e}", "two\nlines", long.as_str()] {
        assert!(matches!(block_on(handle.ban("bob", reason, None)), Err(HandleError::Text(_))), "{reason:?}");
        assert!(matches!(block_on(handle.kick("ada", reason)), Err(HandleError::Text(_))), "{reason:?}");
        assert!(matches!(block_on(handle.disconnect(session, reason)), Err(HandleError::Text(_))), "{reason:?}");
    }
    assert!(matches!(block_on(handle.announce("bye\u{1b}[31m")), Err(HandleError::Text(_))));
    for mask in ["a\u{1b}*".to_owned(), "*".repeat(200)] {
        assert!(matches!(block_on(handle.ban(&mask, "", None)), Err(HandleError::Text(_))), "{mask:?}");
    }
    assert!(block_on(handle.bans()).unwrap().is_empty() && entries(&server, 10).is_empty());
    assert!(block_on(handle.ban("bob", &"x".repeat(1024), None)).is_ok());
}

/// All pages of something, each of which has to fit into a frame that any client takes.
fn pages<M: chatnet::protocol::Message>(wire: &mut Wire, kind: Kind) -> M {
    loop {
        let got = wire.next().expect("the server answers");
        if got.is(kind) {
            assert!(got.body.len() <= 20_480, "{} bytes", got.body.len());
            return got.read();
        }
        assert!(!got.is(Kind::ErrorReply), "{:?}", got.read::<ErrorReply>());
    }
}

#[test]
fn a_page_of_the_audit_log_fits_into_a_frame_whatever_is_stored() {
    let store = MemoryStore::new(1 << 20, 1 << 24);
    let by = PrincipalId::random();
    let changes = (0..40).map(|n| {
        let (at, act, room) = (Timestamp::from_millis(n), "ban".to_owned(), String::new());
        Change::Audit(AuditRecord {
            at,
            by,
            alias: alias("server"),
            act,
            room,
            whom: "b".repeat(5000),
            text: "é".repeat(7500),
        })
    });
    block_on(store.append(Commit { changes: changes.collect(), batches: vec![], now: Timestamp::from_millis(0) }))
        .unwrap();
    let server = TestServer::with(|builder| builder.registration(chatnet::Registration::Open).store(store));
    let mut olga = admin(&server);
    let (mut seen, mut before) = (Vec::new(), None);
    loop {
        olga.send(&ListAudit { request: 5, before, limit: 1000 });
        let page: AuditPage = pages(&mut olga, Kind::AuditPage);
        assert!(page.entries.iter().all(|entry| entry.text.len() <= 1024 && entry.whom.len() <= 512));
        before = page.entries.last().map(|entry| entry.n);
        seen.extend(page.entries.into_iter().map(|entry| entry.n));
        if !page.more {
            break;
        }
    }
    assert_eq!(seen, (1..=41).rev().collect::<Vec<u64>>(), "each once, and the grant");
}

#[test]
fn every_ban_of_a_room_is_listed_in_pages_that_fit_into_a_frame() {
    let server = TestServer::with(|builder| builder.limits(chatnet::Limits::NONE));
    let (mut ada, joined) = Wire::member(server.addr, "ada", "den");
    let text = Some("x".repeat(1024));
    for n in 0..60 {
        let ban = Moderate { text: text.clone(), ..on(joined.room, EventKind::BAN, &format!("spam{n}*")) };
        assert_eq!(moderate(&mut ada, ban), Ok(()));
    }
    let mut seen = Vec::new();
    loop {
        let skip = (!seen.is_empty()).then_some(seen.len() as u32);
        ada.send(&ListBans { request: 5, room: joined.room, skip });
        let page: BansPage = pages(&mut ada, Kind::BansPage);
        seen.extend(page.bans.into_iter().map(|ban| ban.whom));
        if page.more != Some(true) {
            break;
        }
    }
    assert_eq!(seen, (0..60).map(|n| format!("spam{n}*")).collect::<Vec<_>>());
    let long = on(joined.room, EventKind::BAN, &format!("{}*", "x".repeat(500)));
    assert_eq!(moderate(&mut ada, long), Err(Code::BAD_REQUEST));
}

#[test]
fn a_banned_guest_who_comes_again_is_still_banned_and_whoever_did_it_is_told_what_that_holds() {
    let server = open();
    let (mut ada, joined) = Wire::member(server.addr, "ada", "den");
    let (troll, _) = Wire::member(server.addr, "troll", "den");
    ada.send(&on(joined.room, EventKind::BAN, "troll"));
    assert!(ada.skip_to::<Notice>().text.contains("may come by another name"));
    drop(troll);
    let mut troll = again(&server, "Troll");
    assert_eq!(join(&mut troll, "den"), Err(Code::ROOM_BANNED));
    let mut bob = Wire::guest(server.addr, "bob");
    assert!(join(&mut bob, "den").is_ok(), "others come in");
    bob.send(&ChangeAlias { request: 3, alias: "tr0ll".into() });
    assert!(bob.skip_to::<ErrorReply>().code != Code::GOODBYE, "nor may one who is here be called so");
    // The one of another session is meant, and so is whoever is called so by now.
    let unban = Moderate { request: 12, ..on(joined.room, EventKind::UNBAN, "troll") };
    assert_eq!(moderate(&mut ada, unban), Ok(()));
    assert!(join(&mut troll, "den").is_ok());
    // An account of that name is somebody else.
    assert_eq!(moderate(&mut ada, on(joined.room, EventKind::BAN, "troll")), Ok(()));
    drop(troll);
    let mut account = until(|| attempt(server.addr, &auth("register", "troll", PASSWORD, None)).ok()).0;
    assert!(join(&mut account, "den").is_ok());
}

/// A guest who has just gone comes again.
fn again(server: &TestServer, alias: &str) -> Wire {
    let connect = || {
        let mut wire = Wire::connect(server.addr);
        wire.hello();
        wire.send(&guest(alias));
        let here = wire.next().unwrap().is(Kind::Authenticated);
        here.then(|| {
            wire.send(&Attach { token: None, cursors: vec![], more: false });
            wire.expect::<Attached>();
            wire
        })
    };
    until(connect)
}

/// What there is once a session of before is gone.
fn until<T>(get: impl Fn() -> Option<T>) -> T {
    (0..1000)
        .find_map(|_| {
            get().or_else(|| {
                std::thread::yield_now();
                None
            })
        })
        .expect("the session of before ends")
}

#[test]
fn a_muted_guest_who_comes_again_is_still_muted_until_that_is_taken_back() {
    let server = TestServer::start();
    let (mut ada, joined) = Wire::member(server.addr, "ada", "den");
    let (mut troll, _) = Wire::member(server.addr, "troll", "den");
    assert_eq!(moderate(&mut ada, on(joined.room, EventKind::MUTE, "troll")), Ok(()));
    assert_eq!(say(&mut troll, joined.room, "mmh"), Err(Code::MUTED));
    drop(troll);
    let mut troll = again(&server, "TROLL");
    let there = join(&mut troll, "den").unwrap();
    assert!(there.about.unwrap().muted_until.is_some(), "and is told so");
    assert_eq!(say(&mut troll, joined.room, "mmh"), Err(Code::MUTED));
    drop(troll);
    let mut bob = Wire::guest(server.addr, "bob");
    join(&mut bob, "den").unwrap();
    say(&mut bob, joined.room, "others talk").unwrap();
    let mut troll = again(&server, "troll");
    assert_eq!(moderate(&mut ada, on(joined.room, EventKind::UNMUTE, "troll")), Ok(()), "also while they are not in");
    join(&mut troll, "den").unwrap();
    say(&mut troll, joined.room, "thanks").unwrap();
}

#[cfg(target_os = "linux")]
#[test]
fn a_guest_is_banned_with_where_they_come_from_and_nobody_is_shown_where_that_is() {
    let server = open();
    let (mut ada, joined) = Wire::member(server.addr, "ada", "den");
    let from = |address: &str| {
        let mut wire = Wire::over(connect_from(server.addr, address).unwrap());
        wire.hello();
        wire
    };
    let mut troll = from("127.0.0.2");
    troll.send(&guest("troll"));
    troll.expect::<Authenticated>();
    troll.send(&Attach { token: None, cursors: vec![], more: false });
    troll.expect::<Attached>();
    troll.join("den");
    let with_address = Moderate { value: Some(1), ..on(joined.room, EventKind::BAN, "troll") };
    assert_eq!(moderate(&mut ada, with_address), Ok(()));
    assert_eq!(troll.skip_to::<Left>().code, Code::ROOM_BANNED);
    let mut other = from("127.0.0.2");
    other.send(&guest("other"));
    other.expect::<Authenticated>();
    other.send(&Attach { token: None, cursors: vec![], more: false });
    other.expect::<Attached>();
    assert_eq!(join(&mut other, "den"), Err(Code::ROOM_BANNED));
    assert!(join(&mut Wire::guest(server.addr, "bob"), "den").is_ok(), "who comes from elsewhere comes in");
    ada.send(&ListBans { request: 5, room: joined.room, skip: None });
    let bans: BansPage = ada.skip_to();
    assert_eq!(bans.bans.iter().map(|ban| ban.whom.as_str()).collect::<Vec<_>>(), ["troll"]);
    drop(register(server.addr, "carl"));
    let account = Moderate { value: Some(1), ..on(joined.room, EventKind::BAN, "carl") };
    assert_eq!(moderate(&mut ada, account), Err(Code::BAD_REQUEST));
}

#[test]
fn a_guest_who_is_banned_from_the_server_does_not_come_again_under_the_same_alias() {
    let server = open();
    let mut troll = Wire::guest(server.addr, "troll");
    let ban = block_on(server.handle.ban("troll", "spam", Some(Duration::from_secs(3600)))).unwrap();
    assert!(matches!(ban.target, chatnet::store::BanTarget::Guest { .. }));
    assert!(troll.rest().iter().any(|got| got.is(Kind::Bye) || got.is(Kind::ErrorReply)));
    let refused = |alias: &str| {
        let mut wire = Wire::connect(server.addr);
        wire.hello();
        wire.send(&guest(alias));
        wire.rest().iter().find(|got| got.is(Kind::ErrorReply)).map(|got| got.read::<ErrorReply>().code)
    };
    assert_eq!(refused("Troll"), Some(Code::BANNED));
    block_on(server.handle.unban("TROLL")).unwrap();
    drop(again(&server, "troll"));
}

#[test]
fn the_books_say_who_did_what_to_whom_and_why_and_until_when() {
    let server = open();
    let handle = &server.handle;
    let (mut ada, joined) = Wire::member(server.addr, "ada", "den");
    let (mut bob, _) = Wire::member(server.addr, "bob", "den");
    let seq = say(&mut bob, joined.room, "something rude").unwrap();
    let delete = Moderate {
        value: Some(seq.get()),
        text: Some("rude".into()),
        ..Moderate::new(11, joined.room, EventKind::DELETION)
    };
    assert_eq!(moderate(&mut ada, delete), Ok(()));
    let mute = Moderate { for_ms: Some(60_000), text: Some("loud".into()), ..on(joined.room, EventKind::MUTE, "bob") };
    assert_eq!(moderate(&mut ada, mute), Ok(()));
    let settings = Some(RoomSettings { limit: Some(9), archived: true, ..RoomSettings::new(RoomKind::Hidden) });
    assert_eq!(
        moderate(&mut ada, Moderate { settings, ..Moderate::new(11, joined.room, EventKind::SETTINGS) }),
        Ok(())
    );
    assert_eq!(moderate(&mut ada, with_rank(joined.room, "bob", Rank::Moderator)), Ok(()));
    let found = entries(&server, 10);
    let line = |n: usize| {
        let (act, room, whom, text) = &found[n];
        (act.as_str(), room.as_str(), whom.as_str(), text.as_str())
    };
    assert_eq!(line(0), ("role", "den", "bob", "moderator"));
    let changed = "hidden; limit 9, was none; archived; history since one joined";
    assert_eq!(line(1), ("settings", "den", "", changed));
    let (act, _, whom, text) = line(2);
    assert!((act, whom) == ("mute", "bob") && text.starts_with("until 2") && text.ends_with("Z: loud"), "{text}");
    assert_eq!(line(3), ("delete", "den", "bob", format!("#{seq}: rude").as_str()));

    let den = RoomName::parse("den").unwrap();
    let mut keep = Retention::ALL;
    keep.max_events = Some(100);
    block_on(handle.set_retention(&den, Some(keep))).unwrap();
    block_on(handle.announce("tea is ready")).unwrap();
    let at = block_on(handle.publish(&den, "hello")).unwrap().seq;
    block_on(handle.redact(&den, at)).unwrap();
    block_on(handle.ban("spam*", "bots", Some(Duration::from_secs(60)))).unwrap();
    block_on(handle.kick("bob", "enough")).unwrap();
    let session = block_on(handle.sessions(None, 10)).unwrap().items.into_iter().find(|s| s.alias.as_str() == "ada");
    block_on(handle.disconnect(session.unwrap().session, "bye")).unwrap();
    let found = entries(&server, 6);
    let line = |n: usize| {
        let (act, room, whom, text) = &found[n];
        (act.as_str(), room.as_str(), whom.as_str(), text.as_str())
    };
    assert_eq!(line(0), ("disconnect", "", "ada", "bye"));
    assert_eq!(line(1), ("kick", "", "bob", "enough"));
    assert!(
        line(2).2 == "spam*" && line(2).3.starts_with("until 2") && line(2).3.ends_with("Z: bots"),
        "{:?}",
        line(2)
    );
    assert_eq!(line(3), ("delete", "den", "", format!("#{at}").as_str()));
    assert_eq!(line(4), ("announce", "", "", "tea is ready"));
    assert_eq!(line(5), ("retain", "den", "", "at most 100 events"));
}

#[test]
fn whoever_is_thrown_out_is_found_as_everywhere_else() {
    let server = TestServer::start();
    let kick = |name: &str| block_on(server.handle.kick(name, ""));
    for (alias, name) in [("Zoë", "zoe\u{308}"), ("Zoë", "ZOË"), ("Ada Lovelace", "ada_lovelace")] {
        let mut wire = again(&server, alias);
        assert_eq!(kick(name), Ok(1), "{name:?}");
        assert_eq!(wire.skip_to::<Bye>().code, Code::DISCONNECTED);
        wire.rest();
    }
    assert_eq!(kick("nobody"), Err(HandleError::NoSuchPerson));
}

#[test]
fn a_room_keeps_a_bounded_number_of_guests_muted_who_are_gone() {
    let server = TestServer::with(|server| server.limits(chatnet::Limits::NONE));
    let (mut ada, joined) = Wire::member(server.addr, "ada", "den");
    let mut mute = |n: usize| {
        let (guest, _) = Wire::member(server.addr, &format!("g{n}"), "den");
        let muted = moderate(&mut ada, on(joined.room, EventKind::MUTE, &format!("g{n}")));
        drop(guest);
        muted
    };
    (0..500).for_each(|n| assert_eq!(mute(n), Ok(()), "{n}"));
    assert_eq!(mute(500), Err(Code::BAD_REQUEST));
    assert_eq!(moderate(&mut ada, on(joined.room, EventKind::UNMUTE, "g7")), Ok(()));
    let (_guest, _) = Wire::member(server.addr, "g501", "den");
    assert_eq!(moderate(&mut ada, on(joined.room, EventKind::MUTE, "g501")), Ok(()));
}
