//! Connections that are lost, against a server that follows a script.

use std::time::{Duration, Instant};

use async_std::task::block_on;
use chatnet::id::{Lineage, OutboxId, RoomId, Seq, SessionId};
use chatnet::protocol::message::*;
use chatnet::{
    Client, ClientState, CloseReason, Code, Event, ReceiptError, Reconnect, RequestError, SkipReason as Reason,
};
use futures::FutureExt;

use crate::script::*;

/// Comes back soon, and for ever.
fn soon() -> chatnet::ClientBuilder {
    let rules = Reconnect::default().first_delay(Duration::from_millis(1)).max_delay(Duration::from_millis(20));
    Client::builder().alias("ada").reconnect(rules)
}

#[test]
fn a_cut_connection_is_opened_again_and_the_session_goes_on_where_it_was() {
    block_on(async {
        let (client, mut events, mut script, mut road) = roaming(soon()).await;
        let session = client.session();
        script.deliver(10, &["ten"]).await;
        assert!(matches!(next(&mut events).await, Event::Message(m) if m.seq.get() == 10));
        drop(script);
        assert!(matches!(next(&mut events).await, Event::Reconnecting { attempt: 1, reason: CloseReason::Cut, .. }));
        let mut script = road.next().await;
        let cursors = script.resume(1, 10, 12).await;
        assert_eq!(cursors, [Cursor { lineage: LINEAGE, room: ROOM, seq: Seq::new(10) }]);
        script.replay(10, &["ten", "eleven", "twelve"], None).await;
        script.deliver(13, &["live"]).await;
        assert!(matches!(next(&mut events).await, Event::Resumed { replayed: 2 }));
        let mut heard = Vec::new();
        while heard.len() < 3 {
            let Event::Message(m) = next(&mut events).await else { panic!("a message") };
            heard.push((m.seq.get(), m.source));
        }
        assert_eq!(heard, [(11, Source::Replay), (12, Source::Replay), (13, Source::Live)]);
        assert_eq!((client.state(), client.session()), (ClientState::Connected, session));
        // The token is a new one each time.
        drop(script);
        road.next().await.resume(2, 13, 13).await;
        until(&mut events, |e| matches!(e, Event::Resumed { replayed: 0 }).then_some(())).await;
    });
}

#[test]
fn what_was_not_answered_is_sent_again_under_its_numbers_and_own_events_in_the_replay_are_acks() {
    block_on(async {
        let (client, mut events, mut script, mut road) = roaming(soon()).await;
        let room = client.room().unwrap();
        let receipts = ["a", "b", "c"].map(|text| room.try_send(text).unwrap());
        let mut sent: Publish = script.expect().await;
        while sent.n + (sent.bodies.len() as u64) < 4 {
            sent.bodies.extend(script.expect::<Publish>().await.bodies);
        }
        script.ack(&sent, 0, 1, 10).await;
        until(&mut events, |e| matches!(e, Event::Acked(a) if a.seq.get() == 10).then_some(())).await;
        drop(script);
        // "b" had arrived, and somebody else spoke behind it.
        let mut script = road.next().await;
        script.resume(1, 10, 12).await;
        let again: Publish = script.expect().await;
        assert_eq!((again.outbox, again.n), (sent.outbox, 2));
        script.replay(11, &["b"], Some((sent.outbox, 2))).await;
        script.replay(12, &["hello"], None).await;
        assert_eq!(again.bodies, [Body::text("b"), Body::text("c")]);
        script.ack(&again, 0, 1, 11).await;
        script.ack(&again, 1, 1, 13).await;
        let mut told = Vec::new();
        while told.len() < 3 {
            match next(&mut events).await {
                Event::Acked(a) => told.push(format!("ack {} {}", a.seq, a.text)),
                Event::Message(m) => told.push(format!("{} {}", m.seq, m.text)),
                Event::Reconnecting { .. } | Event::Resumed { .. } => {}
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(told, ["ack 11 b", "12 hello", "ack 13 c"]);
        let mut seqs = Vec::new();
        for receipt in receipts {
            seqs.push(receipt.await.unwrap().seq.get());
        }
        assert_eq!(seqs, [10, 11, 13]);
        assert_eq!(room.cursor(), Some(Seq::new(13)));
    });
}

/// Refuse a session's token, and admit the client as somebody new.
async fn expire(script: &mut Script, principal: u8) {
    script.welcome(60_000).await;
    assert_eq!(script.expect::<Auth>().await.mechanism, "session");
    let (text, request, suggestion) = ("gone".into(), None, None);
    script
        .send(&ErrorReply {
            code: Code::SESSION_EXPIRED,
            text,
            request,
            fatal: false,
            retry_after_ms: None,
            suggestion,
        })
        .await;
    let auth: Auth = script.expect().await;
    assert_eq!((auth.mechanism.as_str(), &auth.data[..]), ("guest", &b"ada"[..]));
    assert_eq!(script.expect::<Attach>().await.token, None);
    script.authenticated(principal).await;
    script.attached(false, 9).await;
}

#[test]
fn a_session_that_has_ended_begins_anew_and_the_rooms_go_on_where_they_were() {
    block_on(async {
        let (client, mut events, mut script, mut road) = roaming(soon()).await;
        let room = client.room().unwrap();
        let receipt = room.try_send("a").unwrap();
        let first: Publish = script.expect().await;
        drop(script);
        let mut script = road.next().await;
        expire(&mut script, 5).await;
        script.join_lobby(11).await;
        assert_eq!(script.expect::<Seek>().await.after, Seq::new(9));
        script.deliver(10, &["ten", "eleven"]).await;
        // Somebody else publishes here now, under the same numbers: the server knows them.
        let again: Publish = script.expect().await;
        assert_eq!((again.outbox, again.n), (first.outbox, first.n));
        script.ack(&again, 0, 1, 12).await;
        assert_eq!(receipt.await.unwrap().seq.get(), 12);
        let mut told = Vec::new();
        while told.len() < 6 {
            told.push(match next(&mut events).await {
                Event::Reconnecting { .. } => "reconnecting".to_owned(),
                Event::SessionLost { code: Code::SESSION_EXPIRED, .. } => "lost".to_owned(),
                Event::Connected { .. } => "connected".to_owned(),
                Event::Joined { .. } => "joined".to_owned(),
                Event::Message(m) => m.text,
                other => panic!("{other:?}"),
            });
        }
        assert_eq!(told, ["reconnecting", "lost", "connected", "joined", "ten", "eleven"]);
    });
}

#[test]
fn in_another_life_of_the_store_the_outbox_and_the_places_begin_anew_and_handles_go_on() {
    block_on(async {
        let (client, mut events, mut script, mut road) = roaming(soon()).await;
        let room = client.room().unwrap();
        let receipts = ["a", "b"].map(|text| room.try_send(text).unwrap());
        let first: Publish = script.expect().await;
        drop(script);
        let mut script = road.next().await;
        script.lineage = Lineage::from_bytes([9; 16]);
        expire(&mut script, 5).await;
        let (request, id) = (script.expect::<Join>().await.request, RoomId::from_bytes([6; 16]));
        let (name, head) = ("lobby".into(), Seq::new(4));
        script
            .send(&Joined {
                request,
                room: id,
                name,
                head,
                presence: 1,
                count: 1,
                latest: None,
                read: None,
                about: None,
            })
            .await;
        let again: Publish = script.expect().await;
        assert!(again.outbox != first.outbox);
        assert_eq!((again.room, again.n, &again.bodies[..]), (id, 1, &[Body::text("a"), Body::text("b")][..]));
        let (outbox, n, count, seq) = (again.outbox, 1, 2, Seq::new(5));
        script.send(&Ack { room: id, outbox, n, count, seq, at: 6, replaced: None }).await;
        for (receipt, seq) in receipts.into_iter().zip([5, 6]) {
            assert_eq!(receipt.await.unwrap().seq.get(), seq);
        }
        let gap = until(&mut events, |e| match e {
            Event::Gap { from, to, reason, .. } => Some((from.get(), to.get(), reason)),
            _ => None,
        });
        assert_eq!(gap.await, (1, 4, Reason::Reset));
        assert_eq!((room.id(), room.cursor()), (id, Some(Seq::new(6))));
        drop(room.try_send("c").unwrap());
        assert_eq!(script.expect::<Publish>().await.room, id);
    });
}

#[test]
fn a_place_that_the_server_resets_is_a_told_gap_and_what_follows_is_new() {
    block_on(async {
        let (_client, mut events, script, mut road) = roaming(soon()).await;
        drop(script);
        let mut script = road.next().await;
        script.resume(1, 3, 3).await;
        script.send(&Skipped { room: ROOM, from: Seq::new(1), to: Seq::new(3), reason: Reason::Reset.to_u8() }).await;
        script.deliver(4, &["four"]).await;
        let gap = until(&mut events, |e| match e {
            Event::Gap { from, to, reason, .. } => Some((from.get(), to.get(), reason)),
            _ => None,
        });
        assert_eq!(gap.await, (1, 3, Reason::Reset));
        assert!(matches!(next(&mut events).await, Event::Message(m) if m.seq.get() == 4));
    });
}

#[test]
fn a_server_that_has_forgotten_its_acks_gets_the_numbers_that_it_waits_for() {
    block_on(async {
        let (client, _events, mut script, mut road) = roaming(soon()).await;
        let room = client.room().unwrap();
        let first = room.try_send("a").unwrap();
        let sent: Publish = script.expect().await;
        script.ack(&sent, 0, 1, 10).await;
        first.await.unwrap();
        let second = room.try_send("b").unwrap();
        script.expect::<Publish>().await;
        drop(script);
        let mut script = road.next().await;
        script.resume(1, 10, 10).await;
        let again: Publish = script.expect().await;
        assert_eq!(again.n, 2);
        let (outbox, n, code, text) = (again.outbox, 1, Code::RESEND, "resend".into());
        script.send(&Refused { room: ROOM, outbox, n, code, text, permanent: false, retry_after_ms: None }).await;
        let renumbered: Publish = script.expect().await;
        assert_eq!((renumbered.n, &renumbered.bodies[..]), (1, &[Body::text("b")][..]));
        script.ack(&renumbered, 0, 1, 11).await;
        assert_eq!(second.await.unwrap().seq.get(), 11);
    });
}

#[test]
fn a_goodbye_with_a_time_is_obeyed_and_one_without_is_the_end() {
    block_on(async {
        let (client, mut events, mut script, mut road) = roaming(soon()).await;
        let (code, text) = (Code::SHUTTING_DOWN, "back soon".to_owned());
        script.send(&Bye { code, text, retry_after_ms: Some(50) }).await;
        drop(script);
        let (wait, began) = until(&mut events, |e| match e {
            Event::Reconnecting { delay, reason: CloseReason::Bye { .. }, .. } => Some((delay, Instant::now())),
            _ => None,
        })
        .await;
        assert!(wait >= Duration::from_millis(50));
        let mut script = road.next().await;
        assert!(began.elapsed() >= Duration::from_millis(40));
        script.resume(1, 9, 9).await;
        let receipt = client.room().unwrap().try_send("x").unwrap();
        let (code, text) = (Code::SESSION_REPLACED, "another connection".to_owned());
        script.send(&Bye { code, text, retry_after_ms: None }).await;
        drop(script);
        assert!(matches!(closed(&mut events).await, CloseReason::Bye { code: Code::SESSION_REPLACED, .. }));
        assert_eq!(receipt.await.unwrap_err(), ReceiptError::Lost { unsent: 1 });
        assert_eq!((client.state(), client.unsent()), (ClientState::Closed, 1));
    });
}

#[test]
fn after_its_last_attempt_it_gives_up_and_says_why_and_how_much_was_not_sent() {
    block_on(async {
        let rules = Reconnect::default().first_delay(Duration::from_millis(1)).max_attempts(Some(3));
        let (client, mut events, script, mut road) = roaming(Client::builder().reconnect(rules)).await;
        let receipts = ["a", "b"].map(|text| client.room().unwrap().try_send(text).unwrap());
        road.cut();
        drop(script);
        let mut attempts = Vec::new();
        let reason = loop {
            match next(&mut events).await {
                Event::Reconnecting { attempt, .. } => attempts.push(attempt),
                Event::Closed { reason } => break reason,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(attempts, [1, 2, 3]);
        assert!(matches!(reason, CloseReason::Unreachable(_)), "{reason}");
        for receipt in receipts {
            assert_eq!(receipt.await.unwrap_err(), ReceiptError::Lost { unsent: 2 });
        }
        assert_eq!(client.unsent(), 2);
        assert!(matches!(client.join("den").await, Err(RequestError::Closed)));
    });
}

#[test]
fn network_changed_ends_the_wait_at_once() {
    block_on(async {
        let hour = Duration::from_secs(3600);
        let rules = Reconnect::default().first_delay(hour).max_delay(hour).max_elapsed(None);
        let (client, mut events, script, mut road) = roaming(Client::builder().reconnect(rules)).await;
        drop(script);
        until(&mut events, |e| matches!(e, Event::Reconnecting { .. }).then_some(())).await;
        assert_eq!(client.state(), ClientState::Reconnecting { attempt: 1 });
        client.network_changed();
        road.next().await.resume(1, 9, 9).await;
        until(&mut events, |e| matches!(e, Event::Resumed { .. }).then_some(())).await;
    });
}

#[test]
fn network_changed_asks_a_server_that_seems_to_be_there_and_leaves_one_that_does_not_answer() {
    block_on(async {
        let (client, mut events, mut script, mut road) = roaming(soon()).await;
        client.network_changed();
        let ping: Ping = script.expect().await;
        script.send(&Pong { nonce: ping.nonce }).await;
        script.deliver(10, &["here"]).await;
        assert!(matches!(next(&mut events).await, Event::Message(_)));
        client.network_changed();
        script.expect::<Ping>().await;
        // It never answers; after at most 5 s it is left for another one.
        road.next().await.resume(1, 10, 10).await;
        let why = until(&mut events, |e| if let Event::Reconnecting { reason, .. } = e { Some(reason) } else { None });
        assert!(matches!(why.await, CloseReason::IdleTimeout));
        drop(script);
    });
}

#[test]
fn questions_outlive_a_connection_and_history_comes_whole() {
    block_on(async {
        let (client, _events, mut script, mut road) = roaming(soon()).await;
        let room = client.room().unwrap();
        let asking = {
            let room = room.clone();
            async_std::task::spawn(async move { room.history(Place::After(Seq::ZERO), 50).await })
        };
        script.expect::<History>().await;
        let past = |seq: u64, text: &str, own| Deliver {
            room: ROOM,
            seq: Seq::new(seq),
            principal: chatnet::PrincipalId::from_bytes([if own { 1 } else { 3 }; 16]),
            kind: PrincipalKind::Guest,
            alias: "somebody".into(),
            at: 5,
            events: vec![Delivered { kind: EventKind::TEXT, at_delta: 0, bytes: text.into() }],
            source: Some(Source::History.to_u8()),
            own: own.then_some(OwnPublish { outbox: OutboxId::from_bytes([4; 16]), n: 1 }),
        };
        script.send(&past(1, "one", false)).await;
        drop(script);
        let mut script = road.next().await;
        script.resume(1, 9, 9).await;
        let request = script.expect::<History>().await.request;
        script.send(&past(1, "one", false)).await;
        script.send(&past(2, "two", true)).await;
        script.send(&HistoryEnd { request, room: ROOM, more_before: false, more_after: true }).await;
        let page = asking.await.unwrap();
        let messages = page.messages.iter().map(|item| match item {
            chatnet::HistoryItem::Message(m) => (m.seq.get(), m.own, m.source),
            other => panic!("{other:?}"),
        });
        assert_eq!(messages.collect::<Vec<_>>(), [(1, false, Source::History), (2, true, Source::History)]);
        assert_eq!((page.more_before, page.more_after), (false, true));
    });
}

#[test]
fn credit_is_granted_as_the_application_takes_events_and_never_more_than_it_has_room_for() {
    const ROOM_FOR: usize = 400_000;
    block_on(async {
        let (_client, mut events, script, mut road) = roaming(soon().event_bytes(ROOM_FOR)).await;
        drop(script);
        let mut script = road.next().await;
        script.resume(1, 9, 1000).await;
        until(&mut events, |e| matches!(e, Event::Resumed { .. }).then_some(())).await;
        let text = "x".repeat(10_000);
        let (mut credit, mut seq, mut taken) = (262_144i64, 9, 9);
        // A server that sends whenever it may.
        while taken < 200 {
            while credit > 0 && seq < 200 {
                seq += 1;
                script.replay(seq, &[&text], None).await;
                credit -= 10_080;
            }
            let idle = credit <= 0 && taken == seq;
            let grant = if idle { Some(script.expect().await) } else { script.expect::<Credit>().now_or_never() };
            if let Some(grant) = grant {
                assert_eq!(grant.class, 2);
                credit += grant.bytes as i64;
            }
            let waiting = (seq - taken) as i64 * 10_080;
            assert!(credit + waiting <= ROOM_FOR as i64 + 20_000, "{credit} granted while {waiting} wait");
            if taken == seq {
                continue;
            }
            match next(&mut events).await {
                Event::Message(m) => {
                    taken += 1;
                    assert_eq!(m.seq.get(), taken);
                }
                Event::Overloaded { .. } => panic!("it was sent more than it has room for"),
                _ => {}
            }
        }
    });
}

#[test]
fn a_token_is_shown_to_nobody() {
    block_on(async {
        let (client, _events, _script, _road) = roaming(soon()).await;
        let shown = format!("{client:?}");
        assert!(shown.contains("Token(…)") && !shown.contains("1, 1, 1"), "{shown}");
        assert_eq!(client.session(), SessionId::from_bytes([2; 16]));
    });
}

#[test]
fn a_room_that_the_server_has_lost_is_joined_again_and_what_was_said_there_is_not_refused() {
    block_on(async {
        let (client, mut events, mut script, mut road) = roaming(soon()).await;
        let receipt = client.room().unwrap().try_send("a").unwrap();
        script.expect::<Publish>().await;
        drop(script);
        let mut script = road.next().await;
        script.welcome(60_000).await;
        script.expect::<Attach>().await;
        script.authenticated(1).await;
        script.attached(true, 2).await;
        let (code, text) = (Code::NOT_A_MEMBER, "not here".to_owned());
        script.send(&Left { request: 0, room: ROOM, code, text }).await;
        script.join_lobby(9).await;
        let again: Publish = script.expect().await;
        script.ack(&again, 0, 1, 10).await;
        assert_eq!(receipt.await.unwrap().seq.get(), 10);
        until(&mut events, |e| matches!(e, Event::Resumed { .. }).then_some(())).await;
    });
}

#[test]
fn an_alias_that_was_taken_meanwhile_is_the_end_and_says_so() {
    block_on(async {
        let (_client, mut events, script, mut road) = roaming(soon()).await;
        drop(script);
        let mut script = road.next().await;
        script.welcome(60_000).await;
        for (code, mechanism) in [(Code::SESSION_EXPIRED, "session"), (Code::ALIAS_IN_USE, "guest")] {
            assert_eq!(script.expect::<Auth>().await.mechanism, mechanism);
            let (text, request, suggestion) = ("no".into(), None, Some("ada2".into()));
            script.send(&ErrorReply { code, text, request, fatal: false, retry_after_ms: None, suggestion }).await;
        }
        let reason = closed(&mut events);
        let (reason, _) = futures::join!(reason, async { drop(script) });
        assert!(matches!(reason, CloseReason::Bye { code: Code::ALIAS_IN_USE, .. }), "{reason}");
    });
}

#[test]
fn closing_without_a_connection_does_not_wait_for_one_unless_something_is_unsent() {
    block_on(async {
        let hour = Duration::from_secs(3600);
        let rules = Reconnect::default().first_delay(hour).max_delay(hour).max_elapsed(None);
        let (client, mut events, script, _road) = roaming(Client::builder().reconnect(rules)).await;
        drop(script);
        until(&mut events, |e| matches!(e, Event::Reconnecting { .. }).then_some(())).await;
        async_std::future::timeout(Duration::from_secs(5), client.close()).await.expect("at once");
        assert!(matches!(closed(&mut events).await, CloseReason::Requested));
    });
}
