//! Handshake, goodbye, the handle.

use std::time::Duration;

use async_std::task::block_on;
use chatnet::protocol::Code;
use chatnet::protocol::message::*;

use crate::support::*;

#[test]
fn an_alias_in_use_is_refused_with_a_free_one_and_the_client_may_try_again() {
    let server = TestServer::start();
    let _ada = Wire::guest(server.addr, "Ada");
    let mut other = Wire::connect(server.addr);
    other.hello();
    // Pipelined behind the refused Auth: skipped.
    other.send(&guest("ada"));
    other.send(&Attach { token: None, cursors: vec![], more: false });
    let error: ErrorReply = other.expect();
    assert_eq!((error.code, error.fatal), (Code::ALIAS_IN_USE, false));
    let free = error.suggestion.unwrap();
    assert_eq!(free, "ada2");
    other.send(&guest(&free));
    assert_eq!(other.expect::<Authenticated>().alias, "ada2");
}

#[test]
fn an_alias_that_looks_like_one_in_use_or_like_the_servers_own_is_refused() {
    let server = TestServer::start();
    let _ada = Wire::guest(server.addr, "paul");
    let mut other = Wire::connect(server.addr);
    other.hello();
    // A capital I, and Cyrillic letters; and somebody who wants to pass for the server.
    for (alike, code, free) in [
        ("PauI", Code::ALIAS_IN_USE, Some("PauI2")),
        ("раul", Code::ALIAS_IN_USE, Some("раul2")),
        ("ѕystem", Code::ALIAS_INVALID, None),
    ] {
        other.send(&guest(alike));
        let error: ErrorReply = other.expect();
        assert_eq!((error.code, error.suggestion.as_deref(), error.fatal), (code, free, false), "{alike}");
    }
    other.send(&guest("A\u{30a}sa"));
    assert_eq!(other.expect::<Authenticated>().alias, "Åsa", "names are in NFC");
}

#[test]
fn an_alias_is_free_again_when_its_session_is_gone() {
    let server = TestServer::start();
    let mut ada = Wire::guest(server.addr, "ada");
    ada.send(&Bye { code: Code::GOODBYE, text: String::new(), retry_after_ms: None });
    assert!(ada.rest().is_empty(), "a goodbye is not answered");
    Wire::guest(server.addr, "ada");
}

#[test]
fn without_a_wish_the_server_picks_an_alias() {
    let server = TestServer::start();
    let mut wire = Wire::connect(server.addr);
    wire.send(&hello());
    wire.send(&guest(""));
    wire.send(&Attach { token: None, cursors: vec![], more: false });
    wire.send(&Join { request: 1, name: String::new() });
    wire.expect::<Welcome>();
    assert!(wire.expect::<Authenticated>().alias.starts_with("guest"));
    assert!(!wire.expect::<Attached>().resumed);
    assert_eq!(wire.expect::<Joined>().name, "lobby");
}

#[test]
fn the_fifth_refused_alias_ends_the_connection() {
    let server = TestServer::start();
    let _ada = Wire::guest(server.addr, "ada");
    let mut other = Wire::connect(server.addr);
    other.hello();
    for i in 1..=5 {
        other.send(&guest("ada"));
        assert_eq!(other.expect::<ErrorReply>().fatal, i == 5);
    }
    assert!(other.rest().is_empty());
}

#[test]
fn the_handle_announces_publishes_inspects_and_disconnects() {
    let server = TestServer::start();
    let (mut ada, joined) = Wire::member(server.addr, "ada", "");
    let (mut bob, _) = Wire::member(server.addr, "bob", "den");
    block_on(async {
        server.handle.announce("hear, hear").await.unwrap();
        let lobby = chatnet::RoomName::parse("lobby").unwrap();
        let published = server.handle.publish(&lobby, "from the house").await.unwrap();
        assert_eq!((published.room, published.seq.get()), (joined.room, 1));
        let sessions = server.handle.sessions(None, 10).await.unwrap();
        let bob = sessions.items.iter().find(|s| s.alias.as_str() == "bob").unwrap();
        assert_eq!(bob.rooms[0].as_str(), "den");
        let first = server.handle.rooms(None, 1).await.unwrap();
        assert!(first.more);
        assert_eq!((first.items[0].name.as_str(), first.items[0].members), ("den", 1));
        let counters = server.handle.counters().await.unwrap();
        assert_eq!((counters.sessions, counters.rooms, counters.published), (2, 2, 1));
        assert!(server.handle.disconnect(bob.session, "bye\nnow").await.is_err(), "a reason is one line");
        server.handle.disconnect(bob.session, "bye\u{202e}now").await.unwrap();
        assert!(server.handle.announce("\u{1b}[2J").await.is_err());
    });
    assert_eq!(ada.expect::<Notice>().text, "hear, hear");
    let deliver: Deliver = ada.expect();
    assert_eq!((deliver.kind, deliver.alias.as_str()), (PrincipalKind::App, "server"));
    assert_eq!(bob.expect::<Notice>().text, "hear, hear");
    let bye: Bye = bob.expect();
    assert_eq!((bye.code, bye.text.as_str()), (Code::DISCONNECTED, "bye\u{fffd}now"));
    assert!(bob.rest().is_empty());
}

#[test]
fn a_shutdown_says_goodbye_and_serve_resolves() {
    let server = TestServer::start();
    let mut guests: Vec<_> = (0..20).map(|i| Wire::member(server.addr, &format!("g{i}"), "")).collect();
    block_on(server.handle.shutdown(Duration::from_secs(10)));
    for (guest, _) in &mut guests {
        assert_eq!(guest.skip_to::<Bye>().code, Code::SHUTTING_DOWN);
        assert!(guest.rest().is_empty());
    }
    assert!(std::net::TcpStream::connect(server.addr).is_err(), "nobody listens any more");
    assert!(block_on(server.handle.counters()).is_err());
    server.join();
}

#[test]
fn a_full_server_says_so() {
    let server = TestServer::with(|b| b.max_connections(2).max_connections_per_address(1));
    let _ada = Wire::guest(server.addr, "ada");
    let mut second = Wire::connect(server.addr);
    let error: ErrorReply = second.expect();
    assert_eq!((error.code, error.fatal), (Code::TOO_MANY_CONNECTIONS, true));
}

#[test]
fn unknown_kinds_are_skipped_and_told_unless_they_are_required() {
    let server = TestServer::start();
    let mut ada = Wire::guest(server.addr, "ada");
    ada.raw(&[0, 0, 0, 1, 0x80, 0x01, 0, 0, 0xf6]);
    assert_eq!(ada.expect::<ErrorReply>().code, Code::UNSUPPORTED_KIND);
    ada.round_trip();
    ada.raw(&[0, 0, 0, 1, 0x80, 0x01, 0, 1, 0xf6]);
    let error: ErrorReply = ada.expect();
    assert_eq!((error.code, error.fatal), (Code::UNSUPPORTED_KIND, true));
    assert!(ada.rest().is_empty());
}

#[test]
fn an_alias_that_comes_back_is_another_principal_and_every_event_says_whose_it_is() {
    let server = TestServer::start();
    let (mut bob, joined) = Wire::member(server.addr, "bob", "");
    let mut principals = Vec::new();
    for _ in 0..2 {
        let mut ada = Wire::connect(server.addr);
        ada.hello();
        ada.send(&guest("ada"));
        let who: Authenticated = ada.expect();
        ada.send(&Attach { token: None, cursors: vec![], more: false });
        ada.expect::<Attached>();
        ada.join("");
        ada.send(&publish(joined.room, outbox(), 1, &["x"]));
        let deliver: Deliver = bob.expect();
        assert_eq!(
            (deliver.principal, deliver.kind, deliver.alias.as_str()),
            (who.principal, PrincipalKind::Guest, "ada")
        );
        principals.push(who.principal);
        ada.send(&Bye { code: Code::GOODBYE, text: String::new(), retry_after_ms: None });
        ada.rest();
    }
    assert_ne!(principals[0], principals[1]);
}

#[test]
fn every_start_in_memory_is_another_lineage_with_other_rooms() {
    let (first, second) = (TestServer::start(), TestServer::start());
    let lineage = |server: &TestServer| Wire::connect(server.addr).hello().lineage;
    assert_eq!(lineage(&first), lineage(&first));
    assert_ne!(lineage(&first), lineage(&second));
    let room = |server: &TestServer| Wire::member(server.addr, "ada", "lobby").1.room;
    assert_ne!(room(&first), room(&second));
}
