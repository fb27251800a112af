//! What the real server does rarely, or never.

use std::time::Duration;

use async_std::task::{block_on, spawn};
use chatnet::id::{PrincipalId, Seq};
use chatnet::protocol::message::*;
use chatnet::{Client, CloseReason, Code, ConnectError, Event, ReceiptError};
use futures::FutureExt;
use futures::io::AsyncWriteExt;

use crate::script::*;

#[test]
fn events_known_already_are_passed_over_and_a_hole_is_told() {
    block_on(async {
        let (_client, mut events, mut script) = connected(Client::builder(), 60_000).await;
        script.deliver(8, &["old", "old", "10", "11"]).await;
        script.deliver(11, &["11 again"]).await;
        script.deliver(14, &["14"]).await;
        script.send(&Skipped { room: ROOM, from: Seq::new(13), to: Seq::new(20), reason: 1 }).await;
        script.deliver(21, &["21"]).await;
        let mut seen = Vec::new();
        while seen.len() < 5 {
            seen.push(match next(&mut events).await {
                Event::Message(m) => format!("{} {}", m.seq, m.text),
                Event::Gap { from, to, .. } => format!("gap {from}-{to}"),
                other => panic!("{other:?}"),
            });
        }
        assert_eq!(seen, ["10 10", "11 11", "gap 12-13", "14 14", "gap 15-20"]);
        assert!(
            matches!(next(&mut events).await, Event::Message(m) if m.seq.get() == 21 && m.cursor.lineage == LINEAGE)
        );
    });
}

#[test]
fn own_events_count_by_their_acks() {
    block_on(async {
        let (client, mut events, mut script) = connected(Client::builder(), 60_000).await;
        let room = client.room().unwrap();
        let receipts = [room.try_send("a").unwrap(), room.try_send("b").unwrap()];
        let first: Publish = script.expect().await;
        script.ack(&first, 0, 1, 10).await;
        script.ack(&first, 1, 1, 12).await;
        for (receipt, seq) in receipts.into_iter().zip([10, 12]) {
            assert_eq!(receipt.await.unwrap().seq.get(), seq);
        }
        // An ack for 12 is no reason to believe that 11 was seen.
        assert_eq!(room.cursor(), Some(Seq::new(10)));
        script.deliver(11, &["between"]).await;
        script.deliver(13, &["behind"]).await;
        let mut texts = Vec::new();
        while texts.len() < 2 {
            match next(&mut events).await {
                Event::Message(m) => texts.push(m.text),
                Event::Acked(_) => {}
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(room.cursor(), Some(Seq::new(13)));
    });
}

#[test]
fn a_retryable_refusal_brings_its_text_and_all_behind_it_again_in_order() {
    block_on(async {
        let (client, _events, mut script) = connected(Client::builder(), 60_000).await;
        let room = client.room().unwrap();
        let receipts: Vec<_> = ["a", "b", "c"].map(|t| room.try_send(t).unwrap()).into();
        let mut numbers = 0;
        let mut first: Option<Publish> = None;
        while numbers < 3 {
            let publish: Publish = script.expect().await;
            numbers += publish.bodies.len();
            first.get_or_insert(publish);
        }
        let first = first.unwrap();
        script.ack(&first, 0, 1, 10).await;
        script.refuse(&first, 1, Code::HANDLER_FAILED, Some(20)).await;
        script.refuse(&first, 1, Code::RESEND, Some(0)).await;
        let again: Publish = script.expect().await;
        assert_eq!(again.n, 2);
        assert_eq!(again.bodies, [Body::text("b"), Body::text("c")]);
        script.refuse(&again, 0, Code::TEXT_INVALID, None).await;
        script.ack(&again, 1, 1, 11).await;
        let mut outcomes = Vec::new();
        for receipt in receipts {
            outcomes.push(receipt.await.map(|acked| acked.seq.get()));
        }
        let refused = ReceiptError::Refused { code: Code::TEXT_INVALID, text: "no".into() };
        assert_eq!(outcomes, [Ok(10), Err(refused), Ok(11)]);
    });
}

#[test]
fn a_silent_server_is_asked_and_given_up_after_three_heartbeats() {
    block_on(async {
        let (client, mut events, mut script) = connected(Client::builder(), 50).await;
        script.expect::<Ping>().await;
        assert!(matches!(closed(&mut events).await, CloseReason::IdleTimeout));
        assert!(client.is_closed());
    });
}

#[test]
fn pings_are_answered_while_nobody_takes_events() {
    block_on(async {
        let (_client, _events, mut script) = connected(Client::builder().event_bytes(1), 60_000).await;
        script.deliver(10, &["x"]).await;
        script.deliver(11, &["y"]).await;
        script.send(&Ping { nonce: 77 }).await;
        assert_eq!(script.expect::<Pong>().await.nonce, 77);
    });
}

#[test]
fn an_overloaded_client_holds_a_room_and_goes_on_where_it_was() {
    block_on(async {
        let (_client, mut events, mut script) = connected(Client::builder().event_bytes(200), 60_000).await;
        script.deliver(10, &["10", "11"]).await;
        script.deliver(12, &["12"]).await;
        assert_eq!(script.expect::<Hold>().await.room, ROOM);
        script.deliver(13, &["13"]).await;
        assert!(matches!(next(&mut events).await, Event::Message(m) if m.seq.get() == 10));
        assert!(matches!(next(&mut events).await, Event::Message(m) if m.seq.get() == 11));
        assert!(matches!(next(&mut events).await, Event::Overloaded { .. }));
        assert_eq!(script.expect::<Seek>().await.after.get(), 11);
        // Sent before the server knew: it comes again, and is no gap.
        script.deliver(14, &["14"]).await;
        script.deliver(12, &["12"]).await;
        assert!(matches!(next(&mut events).await, Event::Message(m) if m.seq.get() == 12));
    });
}

#[test]
fn a_server_that_breaks_the_protocol_is_left() {
    let attacks: [&[u8]; 4] =
        [&[0xff; 16], &[0, 0, 0, 1, 1, 8, 1, 0, 0xff], &[0, 0, 0, 1, 0x80, 0, 0, 1, 0], b"HTTP/1.1 400 Bad\r\n\r\n"];
    for attack in attacks {
        block_on(async {
            let (_client, mut events, mut script) = connected(Client::builder(), 60_000).await;
            script.pipe.write_all(attack).await.unwrap();
            assert!(matches!(closed(&mut events).await, CloseReason::Protocol(_)));
        });
    }
}

#[test]
fn unknown_events_and_frames_are_shown_or_skipped_and_never_an_error() {
    block_on(async {
        let (_client, mut events, mut script) = connected(Client::builder(), 60_000).await;
        script.pipe.write_all(&[0, 0, 0, 1, 0x80, 0, 0, 0, 0]).await.unwrap();
        let strange = Delivered { kind: EventKind(99), at_delta: 1, bytes: vec![0xff] };
        let (principal, kind) = (PrincipalId::from_bytes([3; 16]), PrincipalKind::Other(9));
        let (seq, alias, at) = (Seq::new(10), "bob".to_owned(), 5);
        script
            .send(&Deliver {
                room: ROOM,
                seq,
                principal,
                kind,
                alias,
                at,
                events: vec![strange],
                source: None,
                own: None,
            })
            .await;
        assert!(matches!(next(&mut events).await, Event::Unsupported { kind: EventKind(99), .. }));
    });
}

#[test]
fn a_goodbye_and_a_cut_end_with_their_reasons() {
    block_on(async {
        let (client, mut events, mut script) = connected(Client::builder(), 60_000).await;
        let receipt = client.room().unwrap().try_send("x").unwrap();
        script.send(&Bye { code: Code::SHUTTING_DOWN, text: "later".into(), retry_after_ms: Some(5) }).await;
        drop(script);
        assert!(matches!(closed(&mut events).await, CloseReason::Bye { code: Code::SHUTTING_DOWN, .. }));
        assert_eq!(receipt.await.unwrap_err(), ReceiptError::Lost { unsent: 1 });

        let (_client, mut events, script) = connected(Client::builder(), 60_000).await;
        drop(script);
        assert!(matches!(closed(&mut events).await, CloseReason::Cut));
    });
}

#[test]
fn a_handshake_that_takes_too_long_or_is_refused_is_an_error() {
    block_on(async {
        let (near, _script) = pipe();
        let slow = Client::builder().handshake_timeout(Duration::from_millis(50)).connect_over(near).await;
        assert!(matches!(slow, Err(ConnectError::Timeout { .. })));

        let (near, mut script) = pipe();
        let refusing = spawn(async move {
            script.welcome(60_000).await;
            let (code, text) = (Code::SERVER_FULL, "full".to_owned());
            script
                .send(&ErrorReply {
                    code,
                    text,
                    request: None,
                    fatal: true,
                    retry_after_ms: Some(90_500),
                    suggestion: None,
                })
                .await;
            script
        });
        let refused = Client::builder().connect_over(near).await;
        assert!(matches!(
            &refused,
            Err(ConnectError::Refused { code: Code::SERVER_FULL, retry_after_ms: Some(90_500), .. })
        ));
        assert!(refused.unwrap_err().to_string().ends_with("; it may work in 91 seconds"));
        drop(refusing.await);

        let (near, script) = pipe();
        drop(script);
        assert!(matches!(Client::builder().connect_over(near).await, Err(ConnectError::Closed(_))));
        assert!(Client::builder().alias("a\nb").connect_over(pipe().0).now_or_never().unwrap().is_err());
    });
}

#[test]
fn progress_is_told_for_what_the_application_has_taken() {
    block_on(async {
        let (client, mut events, mut script) = connected(Client::builder(), 60_000).await;
        script.deliver(10, &["10", "11", "12"]).await;
        assert!(matches!(next(&mut events).await, Event::Message(_)));
        assert!(matches!(next(&mut events).await, Event::Message(_)));
        let closing = spawn(async move { client.close().await });
        let progress: Progress = script.expect().await;
        assert_eq!((progress.rooms[0].room, progress.rooms[0].seq.get()), (ROOM, 11));
        script.expect::<Bye>().await;
        drop(script);
        closing.await;
    });
}

#[test]
fn how_a_room_is_is_known_once_it_was_changed_though_the_event_is_still_on_the_way() {
    block_on(async {
        let (client, mut events, mut script) = connected(Client::builder(), 60_000).await;
        let room = client.room().unwrap();
        let settings = RoomSettings::default();
        let about = Some(About { settings: settings.clone(), rank: Rank::Owner, admin: false, muted_until: None });
        let (name, head, latest, read) = ("lobby".into(), Seq::new(9), None, None);
        script.send(&Joined { request: 0, room: ROOM, name, head, presence: 1, count: 1, latest, read, about }).await;
        let limited = |limit: u32| RoomSettings { limit: Some(limit), ..settings.clone() };
        let tells = |limit: u32| {
            let change = RoomChange { settings: Some(limited(limit)), ..RoomChange::default() };
            vec![Delivered { kind: EventKind::SETTINGS, at_delta: 0, bytes: minicbor::to_vec(change).unwrap() }]
        };
        for (limit, seq) in [(2, 11), (3, 13)] {
            let (own, settings) = (room.clone(), limited(limit));
            let changing = spawn(async move { own.set_settings(settings, None).await });
            let asked: Moderate = script.expect().await;
            // What comes between is of no account, also of what one has changed oneself before.
            let before = if limit == 2 {
                vec![Delivered { kind: EventKind::MEMBERSHIP, ..tells(0).remove(0) }]
            } else {
                script.deliver_events(11, tells(2)).await;
                tells(4)
            };
            script.deliver_events(seq - 1, before).await;
            script.send(&Done { request: asked.request, seq: Some(Seq::new(seq)) }).await;
            changing.await.unwrap();
            assert_eq!(room.settings().unwrap().limit, Some(limit));
        }
        script.deliver_events(13, tells(3)).await;
        script.deliver_events(14, tells(5)).await;
        while room.settings().unwrap().limit != Some(5) {
            next(&mut events).await;
        }
    });
}
