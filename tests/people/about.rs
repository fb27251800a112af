//! What a member knows of a room: how it is, who they are there, who else.

use std::time::Duration;

use async_std::task::block_on;
use chatnet::protocol::message::*;
use chatnet::testing::Proxy;
use chatnet::{Action, Client, Event, Events, Member, Reconnect, Registration, Room};

use crate::clients::next;
use crate::steps::*;
use crate::support::*;

async fn changed(events: &mut Events, kind: EventKind) {
    next(events, |event| matches!(event, Event::RoomChanged(changed) if changed.kind == kind).then_some(())).await;
}

async fn member(room: &Room, alias: &str) -> Member {
    let (members, _) = room.members(None, 100).await.unwrap();
    members.into_iter().find(|member| member.who.alias == alias).unwrap_or_else(|| panic!("{alias} is here"))
}

fn powers(room: &Room) -> [bool; 4] {
    [Action::Speak, Action::SetTopic, Action::Kick, Action::ChangeSettings].map(|action| room.may(action))
}

#[test]
fn a_page_of_members_tells_ranks_mutes_and_who_is_away() {
    let server = TestServer::start();
    block_on(async {
        let (ada, _of_ada) = Client::builder().alias("ada").room("den").connect(server.addr).await.unwrap();
        let (bob, _of_bob) = Client::builder().alias("bob").room("den").connect(server.addr).await.unwrap();
        let (_carl, _of_carl) = Client::builder().alias("carl").room("den").connect(server.addr).await.unwrap();
        let den = ada.room().unwrap();
        den.set_rank("bob", Rank::Moderator).await.unwrap();
        bob.away(Some("at tea")).await.unwrap();
        den.mute("carl", "", None).await.unwrap();
        let told = |m: Member| (m.rank, m.muted_until.map(|until| until.as_millis()), m.away);
        assert_eq!(told(member(&den, "ada").await), (Rank::Owner, None, None));
        assert_eq!(told(member(&den, "bob").await), (Rank::Moderator, None, Some("at tea".into())));
        assert_eq!(told(member(&den, "carl").await), (Rank::Member, Some(i64::MAX), None));
        bob.away(None).await.unwrap();
        den.unmute("carl").await.unwrap();
        assert_eq!(member(&den, "bob").await.away, None);
        assert_eq!(member(&den, "carl").await.muted_until, None);
        // A mute that is over is none.
        den.mute("carl", "", Some(Duration::ZERO)).await.unwrap();
        assert_eq!(member(&den, "carl").await.muted_until, None);
    });
}

#[test]
fn a_client_knows_who_it_is_in_a_room_and_how_that_is_as_both_change() {
    let server = TestServer::start();
    block_on(async {
        let (ada, mut of_ada) = Client::builder().alias("ada").connect(server.addr).await.unwrap();
        let settings = RoomSettings { topic: "tea".into(), ..RoomSettings::new(RoomKind::Hidden) };
        let den = ada.create_room("den", settings.clone(), None).await.unwrap();
        assert_eq!(
            (den.rank(), den.settings(), den.topic().as_deref()),
            (Some(Rank::Owner), Some(settings), Some("tea"))
        );
        let (bob, mut of_bob) = Client::builder().alias("bob").room("den").connect(server.addr).await.unwrap();
        let his = bob.room().unwrap();
        assert_eq!((his.rank(), his.topic().as_deref(), his.muted_until()), (Some(Rank::Member), Some("tea"), None));
        assert_eq!((powers(&den), powers(&his)), ([true; 4], [true, false, false, false]));

        den.set_topic("coffee").await.unwrap();
        changed(&mut of_bob, EventKind::TOPIC).await;
        assert_eq!(his.topic().as_deref(), Some("coffee"));
        den.mute("bob", "", None).await.unwrap();
        changed(&mut of_bob, EventKind::MUTE).await;
        assert!(his.muted_until().is_some() && !his.may(Action::Speak));
        den.unmute("bob").await.unwrap();
        changed(&mut of_bob, EventKind::UNMUTE).await;
        assert!(his.muted_until().is_none() && his.may(Action::Speak));
        den.set_rank("bob", Rank::Moderator).await.unwrap();
        changed(&mut of_bob, EventKind::ROLE).await;
        assert_eq!((his.rank(), powers(&his)), (Some(Rank::Moderator), [true, true, true, false]));
        den.set_rank("bob", Rank::Owner).await.unwrap();
        changed(&mut of_bob, EventKind::ROLE).await;
        changed(&mut of_ada, EventKind::ROLE).await;
        changed(&mut of_ada, EventKind::ROLE).await;
        assert_eq!((his.rank(), den.rank()), (Some(Rank::Owner), Some(Rank::Moderator)), "a room has one owner");
        his.set_settings(RoomSettings { archived: true, ..RoomSettings::default() }, None).await.unwrap();
        changed(&mut of_ada, EventKind::SETTINGS).await;
        assert_eq!((den.settings().unwrap().archived, den.topic(), den.may(Action::Speak)), (true, None, false));

        // What is read of the past changes nothing.
        den.history(chatnet::Place::After(chatnet::Seq::ZERO), 100).await.unwrap();
        assert_eq!((den.topic(), den.rank()), (None, Some(Rank::Moderator)));
        // Who comes in later is told how it is by now.
        let (carl, _of_carl) = Client::builder().alias("carl").room("den").connect(server.addr).await.unwrap();
        let theirs = carl.room().unwrap();
        assert_eq!((theirs.topic(), theirs.rank(), theirs.may(Action::Speak)), (None, Some(Rank::Member), false));
        den.leave().await.unwrap();
        assert_eq!((den.rank(), den.settings(), den.may(Action::Speak)), (None, None, false));
    });
}

#[test]
fn what_changed_while_a_client_was_away_is_known_when_it_is_back() {
    let server = TestServer::with(|builder| builder.max_replay(2).grace(Duration::from_secs(60)));
    let proxy = Proxy::start(server.addr, 1, u64::MAX / 8).unwrap();
    block_on(async {
        let (ada, _of_ada) = Client::builder().alias("ada").room("den").connect(server.addr).await.unwrap();
        let den = ada.room().unwrap();
        let rules = Reconnect::default().first_delay(Duration::from_secs(60)).max_delay(Duration::from_secs(60));
        let builder = Client::builder().alias("bob").room("den").reconnect(rules);
        let (bob, mut of_bob) = builder.connect(proxy.addr()).await.unwrap();
        let his = bob.room().unwrap();
        // Nobody answers there: the way to the server is gone.
        proxy.retarget(std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap());
        proxy.cut();
        next(&mut of_bob, |event| matches!(event, Event::Reconnecting { .. }).then_some(())).await;
        den.set_rank("bob", Rank::Moderator).await.unwrap();
        den.set_topic("tea").await.unwrap();
        for n in 0..5 {
            den.send(format!("text {n}")).await.unwrap().await.unwrap();
        }
        proxy.retarget(server.addr);
        bob.network_changed();
        next(&mut of_bob, |event| matches!(event, Event::Resumed { .. }).then_some(())).await;
        assert_eq!((his.rank(), his.topic().as_deref()), (Some(Rank::Moderator), Some("tea")));
    });
}

#[test]
fn an_admin_may_keep_order_everywhere_but_in_directs() {
    let server = TestServer::with(|builder| builder.registration(Registration::Open));
    block_on(async {
        let (bob, _of_bob) = Client::builder().alias("bob").room("den").connect(server.addr).await.unwrap();
        let (root, _events) = Client::builder().register("ruth", PASSWORD, None).connect(server.addr).await.unwrap();
        server.handle.set_admin(&chatnet::Alias::parse("ruth").unwrap(), true).await.unwrap();
        let den = root.join("den").await.unwrap();
        assert_eq!((den.rank(), powers(&den)), (Some(Rank::Member), [true; 4]));
        let direct = root.direct("bob").await.unwrap();
        assert_eq!(powers(&direct), [true, false, false, false]);
        drop(bob);
    });
}

#[test]
fn a_page_of_members_fits_into_a_frame_whatever_they_have_written() {
    let server = TestServer::start();
    let long = "🍵".repeat(200);
    let mut wires: Vec<Wire> = (0..40).map(|n| Wire::member(server.addr, &format!("n{n}"), "den").0).collect();
    for wire in &mut wires {
        wire.send(&Away { request: 4, text: Some(long.clone()) });
        assert_eq!(answer(wire, 4), Ok(()));
    }
    let (mut ada, joined) = Wire::member(server.addr, "ada", "den");
    let (mut seen, mut after, mut pages) = (Vec::new(), None, 0);
    loop {
        ada.send(&Members { request: 5, room: joined.room, after, limit: 100 });
        let page: MembersPage = ada.skip_to();
        assert!(chatnet::protocol::to_frame(&page).len() < 20_480, "what the least client takes");
        pages += 1;
        after = page.members.last().map(|member| member.principal);
        seen.extend(page.members.into_iter().map(|member| (member.alias, member.away)));
        if !page.more {
            break;
        }
    }
    assert!(pages > 1 && seen.len() == 41, "{pages} pages, {} people", seen.len());
    assert_eq!(seen.iter().filter(|(_, away)| away.as_ref() == Some(&long)).count(), 40);
}
