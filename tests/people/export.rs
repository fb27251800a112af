//! What the server keeps of somebody, they can have.

use async_std::task::block_on;
use chatnet::protocol::message::*;
use chatnet::{Client, Exported, Limits};
use futures::{StreamExt, TryStreamExt};

use crate::steps::*;
use crate::support::*;

#[test]
fn everything_of_ones_own_and_nothing_of_others_is_exported() {
    let server = open();
    block_on(async {
        let (ada, _events) =
            Client::builder().room("den").register("ada", PASSWORD, None).connect(server.addr).await.unwrap();
        let (bob, _of_bob) =
            Client::builder().room("den").register("bob", PASSWORD, None).connect(server.addr).await.unwrap();
        let den = ada.room().unwrap();
        // Of what is removed later nothing is kept.
        let gone = den.send("taken back").await.unwrap().await.unwrap();
        den.delete_message(gone.seq).await.unwrap();
        for n in 0..100 {
            drop(den.send(format!("mine {n} {}", "x".repeat(500))).await.unwrap());
            drop(bob.room().unwrap().send(format!("his {n}")).await.unwrap());
        }
        assert!(ada.flush().await && bob.flush().await);
        let direct = ada.direct("bob").await.unwrap();
        direct.send("psst").await.unwrap().await.unwrap();
        let left = ada.join("attic").await.unwrap();
        left.send("x".repeat(60_000)).await.unwrap().await.unwrap();
        // Somebody else keeps the room, so that it stays when she leaves.
        bob.join("attic").await.unwrap();
        left.leave().await.unwrap();
        ada.create_room("secret", RoomSettings::new(RoomKind::InviteOnly), None).await.unwrap();
        ada.block("bob", true).await.unwrap();
        let all: Vec<Exported> = ada.export().try_collect().await.unwrap();
        let account = all.iter().find_map(|item| match item {
            Exported::Account(account) => Some(account),
            _ => None,
        });
        let account = account.unwrap();
        assert_eq!(account.alias, "ada");
        assert!(account.created.is_some());
        let sessions = all.iter().filter(|item| matches!(item, Exported::Session(session) if session.current));
        assert_eq!(sessions.count(), 1);
        let blocked: Vec<_> = all
            .iter()
            .filter_map(|item| match item {
                Exported::Blocked(who) => Some(who.alias.as_str()),
                _ => None,
            })
            .collect();
        assert_eq!(blocked, ["bob"]);
        let rooms: Vec<_> = all
            .iter()
            .filter_map(|item| match item {
                Exported::Membership(membership) => {
                    Some((membership.room.as_str(), membership.member, membership.rank))
                }
                _ => None,
            })
            .collect();
        for expected in [
            ("den", true, Rank::Owner),
            ("@bob", true, Rank::Member),
            ("attic", false, Rank::Owner),
            ("secret", true, Rank::Owner),
        ] {
            assert!(rooms.contains(&expected), "{expected:?} in {rooms:?}");
        }
        let texts: Vec<_> = all
            .iter()
            .filter_map(|item| match item {
                Exported::Event(said) => said.text().map(|text| (said.room.as_str(), text)),
                _ => None,
            })
            .collect();
        assert_eq!(texts.len(), 102);
        assert!(
            (0..100)
                .all(|n| texts.iter().any(|(room, text)| *room == "den" && text.starts_with(&format!("mine {n} "))))
        );
        assert!(
            texts.contains(&("@bob", "psst"))
                && texts.iter().any(|(room, text)| *room == "attic" && text.len() == 60_000)
        );
        assert!(!texts.iter().any(|(_, text)| text.starts_with("his") || *text == "taken back"));
        // Of an account's creation its owner alone is told.
        assert_eq!(bob.whois("ada").await.unwrap().created, None);
    });
}

#[test]
fn a_page_is_small_however_much_is_kept() {
    let server = TestServer::with(|builder| builder.limits(Limits::NONE));
    let (mut ada, joined) = Wire::member(server.addr, "ada", "den");
    let (mut bob, _) = Wire::member(server.addr, "bob", "den");
    let (mine, his) = (outbox(), outbox());
    let text = "x".repeat(4000);
    for n in 0..300 {
        bob.send(&publish(joined.room, his, n + 1, &[&text]));
        bob.skip_to::<Ack>();
        if n % 10 == 0 {
            ada.send(&publish(joined.room, mine, n / 10 + 1, &[&text]));
            ada.skip_to::<Ack>();
        }
    }
    let (mut after, mut found, mut pages) = (None, 0, 0);
    loop {
        ada.send(&ListOwnEvents { request: 5, after });
        let got = loop {
            let got = ada.next().unwrap();
            if got.is(Kind::OwnEventsPage) {
                break got;
            }
        };
        assert!(got.body.len() <= 16 * 1024, "{} bytes", got.body.len());
        let page: OwnEventsPage = got.read();
        assert!(page.events.iter().all(|event| event.bytes.len() == 4000));
        (found, pages) = (found + page.events.len(), pages + 1);
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    assert_eq!(found, 30);
    assert!(pages >= 10, "{pages} pages of at most three");
}

#[test]
fn what_a_limit_slows_down_arrives_complete() {
    // Twenty a second, and no more than three at once.
    let reads = chatnet::Rate::per_second(20, 3);
    let server = TestServer::with(|builder| {
        let mut limits = Limits::default();
        limits.session.reads = reads;
        limits.session.joins = reads;
        builder.limits(limits)
    });
    block_on(async {
        let (ada, _events) = Client::builder().alias("ada").room("den").connect(server.addr).await.unwrap();
        let den = ada.room().unwrap();
        den.send("needle").await.unwrap().await.unwrap();
        let searches = futures::future::join_all((0..12).map(|_| den.search("needle", None, 5)));
        let pasts =
            futures::future::join_all((0..12).map(|_| den.history(chatnet::Place::Before(chatnet::Seq::new(9)), 5)));
        let names: Vec<String> = (0..12).map(|n| format!("room{n}")).collect();
        let joins = futures::future::join_all(names.iter().map(|name| ada.join(name)));
        let (searches, pasts, joins) = futures::join!(searches, pasts, joins);
        assert!(searches.into_iter().all(|page| page.unwrap().hits.len() == 1));
        assert!(pasts.into_iter().all(|page| page.unwrap().messages.len() == 1));
        assert!(joins.into_iter().all(|room| room.is_ok()));
        assert!(ada.list_rooms(None, 50).await.is_ok());
        assert!(ada.export().all(|item| async move { item.is_ok() }).await);
        assert!(!ada.is_closed());
    });
}

#[test]
fn rooms_are_listed_by_name_for_those_who_may_see_them_in_pages() {
    let server = open();
    let (mut ada, mut bob) = (register(server.addr, "ada"), register(server.addr, "bob"));
    let hidden = || RoomSettings { kind: RoomKind::Hidden, ..RoomSettings::default() };
    let room = create(&mut ada, "a-hidden", hidden()).room;
    create(&mut ada, "c-hidden", hidden());
    create(&mut bob, "b-hidden", hidden());
    create(&mut bob, "b-public", RoomSettings::default());
    let all = |wire: &mut Wire| {
        let (mut names, mut after) = (Vec::new(), None);
        loop {
            wire.send(&ListRooms { request: 5, after: after.take(), limit: 1 });
            let page: RoomsPage = wire.skip_to();
            names.extend(page.rooms.into_iter().map(|room| room.name).filter(|name| name != "lobby"));
            if !page.more {
                return names;
            }
            after = Some(names.last().unwrap().clone());
        }
    };
    assert_eq!(all(&mut ada), ["a-hidden", "b-public", "c-hidden"]);
    assert_eq!(all(&mut bob), ["b-hidden", "b-public"]);
    for (settings, seen) in [(RoomSettings::default(), true), (hidden(), false)] {
        let change = Moderate { settings: Some(settings), ..Moderate::new(11, room, EventKind::SETTINGS) };
        assert_eq!(moderate(&mut ada, change), Ok(()));
        assert_eq!(all(&mut bob).contains(&"a-hidden".to_owned()), seen);
    }
}

#[test]
fn a_rank_in_a_room_that_was_left_is_listed_too() {
    let server = open();
    let (mut ada, mut bob) = (register(server.addr, "ada"), register(server.addr, "bob"));
    let room = create(&mut ada, "garden", RoomSettings::default()).room;
    join(&mut bob, "garden").unwrap();
    ada.send(&Leave { request: 14, room });
    ada.skip_to::<Left>();
    ada.send(&ListMemberships { request: 15, after: None });
    let page: MembershipsPage = ada.skip_to();
    let garden = page.memberships.iter().find(|place| place.room == room).unwrap();
    assert_eq!((garden.member, garden.rank), (false, Rank::Owner));
}
