//! Publish, ack, deliver.

use chatnet::protocol::Code;
use chatnet::protocol::message::*;

use crate::support::*;

#[test]
fn what_one_says_the_other_gets_once_and_the_sender_only_its_ack() {
    let server = TestServer::start();
    let (mut ada, joined) = Wire::member(server.addr, "ada", "");
    let (mut bob, _) = Wire::member(server.addr, "bob", "lobby");
    let outbox = outbox();
    ada.send(&publish(joined.room, outbox, 1, &["hello", "world"]));
    let ack: Ack = ada.expect();
    assert_eq!((ack.n, ack.count, ack.seq.get()), (1, 2, 1));
    let deliver: Deliver = bob.expect();
    assert_eq!(texts(&deliver), [(1, "hello".into()), (2, "world".into())]);
    assert_eq!((deliver.alias.as_str(), deliver.at), ("ada", ack.at));
    assert!(ada.round_trip().iter().all(|got| !got.is(Kind::Deliver)), "the sender's own message came back");
    assert!(bob.round_trip().iter().all(|got| !got.is(Kind::Deliver)), "a message came twice");
}

#[test]
fn a_number_sent_again_is_acked_again_and_not_delivered_again() {
    let server = TestServer::start();
    let (mut ada, joined) = Wire::member(server.addr, "ada", "");
    let (mut bob, _) = Wire::member(server.addr, "bob", "");
    let outbox = outbox();
    ada.send(&publish(joined.room, outbox, 1, &["once"]));
    let first: Ack = ada.expect();
    ada.send(&publish(joined.room, outbox, 1, &["once"]));
    assert_eq!(ada.expect::<Ack>(), first);
    ada.send(&publish(joined.room, outbox, 2, &["next"]));
    assert_eq!(ada.expect::<Ack>().seq.get(), 2);
    assert_eq!(texts(&bob.expect()), [(1, "once".into())]);
    assert_eq!(texts(&bob.expect()), [(2, "next".into())]);
}

#[test]
fn a_resend_with_something_new_behind_it_is_half_acked_again_and_half_taken() {
    let server = TestServer::start();
    let (mut ada, joined) = Wire::member(server.addr, "ada", "");
    let outbox = outbox();
    ada.send(&publish(joined.room, outbox, 1, &["a", "b"]));
    ada.expect::<Ack>();
    ada.send(&publish(joined.room, outbox, 1, &["a", "b", "c"]));
    let acks: Vec<Ack> = (0..3).map(|_| ada.expect()).collect();
    assert_eq!(acks.iter().map(|a| (a.n, a.seq.get())).collect::<Vec<_>>(), [(1, 1), (2, 2), (3, 3)]);
}

#[test]
fn a_hole_is_told_once_with_the_number_to_go_on_with() {
    let server = TestServer::start();
    let (mut ada, joined) = Wire::member(server.addr, "ada", "");
    let outbox = outbox();
    ada.send(&publish(joined.room, outbox, 2, &["b"]));
    ada.send(&publish(joined.room, outbox, 3, &["c"]));
    let refused: Refused = ada.expect();
    assert_eq!((refused.code, refused.n, refused.permanent), (Code::RESEND, 1, false));
    assert!(ada.round_trip().is_empty());
    ada.send(&publish(joined.room, outbox, 1, &["a", "b", "c"]));
    assert_eq!(ada.expect::<Ack>().count, 3);
}

#[test]
fn a_refused_number_is_used_up_and_the_next_one_is_taken() {
    let server = TestServer::with(|builder| builder.max_event(10));
    let (mut ada, joined) = Wire::member(server.addr, "ada", "");
    let outbox = outbox();
    ada.send(&publish(joined.room, outbox, 1, &["fine", "much too long", "bad \u{1b}", "fine too"]));
    assert_eq!(ada.expect::<Ack>().n, 1);
    let codes = [ada.expect::<Refused>(), ada.expect::<Refused>()].map(|r| (r.n, r.code, r.permanent));
    assert_eq!(codes, [(2, Code::EVENT_TOO_LARGE, true), (3, Code::TEXT_INVALID, true)]);
    let ack: Ack = ada.expect();
    assert_eq!((ack.n, ack.seq.get()), (4, 2));
    ada.send(&publish(joined.room, outbox, 2, &["again"]));
    assert!(ada.expect::<Refused>().permanent);
}

#[test]
fn a_precondition_holds_or_refuses() {
    let server = TestServer::start();
    let (mut ada, joined) = Wire::member(server.addr, "ada", "");
    let outbox = outbox();
    let conditional = |n, expected| Publish { expected: Some(expected), ..publish(joined.room, outbox, n, &["x"]) };
    ada.send(&conditional(1, ZERO));
    assert_eq!(ada.expect::<Ack>().seq.get(), 1);
    ada.send(&conditional(2, ZERO));
    let refused: Refused = ada.expect();
    assert_eq!((refused.code, refused.permanent), (Code::PRECONDITION_FAILED, true));
}

#[test]
fn a_kind_of_event_that_clients_may_not_publish_is_refused_for_good() {
    let server = TestServer::start();
    let (mut ada, joined) = Wire::member(server.addr, "ada", "");
    let outbox = outbox();
    let strange = Body { kind: EventKind(200), bytes: vec![0xff] };
    ada.send(&Publish { bodies: vec![strange, Body::text("fine")], ..publish(joined.room, outbox, 1, &[]) });
    let refused: Refused = ada.expect();
    assert_eq!((refused.n, refused.code, refused.permanent), (1, Code::EVENT_KIND_REFUSED, true));
    assert_eq!(ada.expect::<Ack>().n, 2);
}

#[test]
fn what_was_read_at_once_is_acked_by_ranges() {
    let server = TestServer::start();
    let (mut ada, joined) = Wire::member(server.addr, "ada", "");
    let outbox = outbox();
    let texts: Vec<_> = (0..100).map(|i| i.to_string()).collect();
    ada.send(&publish(joined.room, outbox, 1, &texts.iter().map(String::as_str).collect::<Vec<_>>()));
    let ack: Ack = ada.expect();
    assert_eq!((ack.n, ack.count, ack.seq.get()), (1, 100, 1));
    assert!(ada.round_trip().is_empty());
}

#[test]
fn who_is_not_in_a_room_can_not_speak_there() {
    let server = TestServer::start();
    let (_bob, joined) = Wire::member(server.addr, "bob", "secret");
    let mut ada = Wire::guest(server.addr, "ada");
    ada.send(&publish(joined.room, outbox(), 1, &["x"]));
    assert_eq!(ada.expect::<Refused>().code, Code::NOT_A_MEMBER);
    ada.send(&Members { request: 1, room: joined.room, after: None, limit: 10 });
    assert_eq!(ada.expect::<ErrorReply>().code, Code::NOT_A_MEMBER);
}

#[test]
fn what_was_said_before_a_goodbye_or_a_cut_is_delivered() {
    let server = TestServer::start();
    let (mut bob, joined) = Wire::member(server.addr, "bob", "");
    for (i, polite) in [true, false].into_iter().enumerate() {
        // Another alias each time: the one before is free a moment after its last words.
        let (mut ada, _) = Wire::member(server.addr, &format!("ada{i}x"), "");
        ada.send(&publish(joined.room, outbox(), 1, &["last words"]));
        if polite {
            ada.send(&Bye { code: Code::GOODBYE, text: String::new(), retry_after_ms: None });
        }
        drop(ada);
        assert_eq!(texts(&bob.expect())[0].0, i as u64 + 1);
    }
}

#[test]
fn many_writers_are_heard_by_all_in_one_order_and_nothing_is_lost() {
    const WRITERS: usize = 8;
    const EACH: u64 = 500;
    let server = TestServer::start();
    let members: Vec<_> = (0..WRITERS).map(|i| Wire::member(server.addr, &format!("w{i}"), "")).collect();
    let talk = |(i, (mut wire, joined)): (usize, (Wire, Joined))| {
        let mut writer = wire.stream.try_clone().unwrap();
        let sending = std::thread::spawn(move || {
            let outbox = outbox();
            for n in 1..=EACH {
                let text = format!("{i}:{n}");
                std::io::Write::write_all(
                    &mut writer,
                    &chatnet::protocol::to_frame(&publish(joined.room, outbox, n, &[&text])),
                )
                .unwrap();
            }
        });
        let mut log = vec![String::new(); (WRITERS as u64 * EACH) as usize];
        let mut left = log.len();
        let mut cursor = joined.head.get();
        while left > 0 {
            let got = wire.next().unwrap();
            if got.is(Kind::Ack) {
                let ack: Ack = got.read();
                for k in 0..u64::from(ack.count) {
                    log[(ack.seq.get() + k - 1) as usize] = format!("{i}:{}", ack.n + k);
                    left -= 1;
                }
            } else if got.is(Kind::Deliver) {
                for (seq, text) in texts(&got.read()) {
                    assert!(seq > cursor, "event {seq} after {cursor}");
                    cursor = seq;
                    assert!(log[seq as usize - 1].is_empty(), "event {seq} twice");
                    log[seq as usize - 1] = text;
                    left -= 1;
                }
            }
        }
        sending.join().unwrap();
        log
    };
    let talks: Vec<_> = members.into_iter().enumerate().map(|m| std::thread::spawn(move || talk(m))).collect();
    let logs: Vec<_> = talks.into_iter().map(|t| t.join().unwrap()).collect();
    for i in 0..WRITERS {
        let own: Vec<_> = logs[0].iter().filter(|text| text.starts_with(&format!("{i}:"))).collect();
        assert_eq!(own, (1..=EACH).map(|n| format!("{i}:{n}")).collect::<Vec<_>>().iter().collect::<Vec<_>>());
    }
    assert!(logs.iter().all(|log| *log == logs[0]), "the logs differ");
}
