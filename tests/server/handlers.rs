//! The application's say.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chatnet::protocol::Code;
use chatnet::protocol::message::*;
use chatnet::{Admission, Handler, Interests, Message, Peer, RoomName, Verdict};

use crate::support::*;

/// Decides by what is said, and notes what it was told.
#[derive(Debug, Default, Clone)]
struct Rule {
    fail: Arc<AtomicBool>,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Rule {
    fn note(&self, what: String) {
        self.seen.lock().unwrap().push(what);
    }
}

impl Handler for Rule {
    async fn connect(&self, who: Peer<'_>) -> Admission {
        self.note(format!("connect {} {}", who.alias, who.agent));
        match who.alias.as_str() {
            "mallory" => Admission::Refuse("not you".into()),
            "panic" => panic!("in connect"),
            _ => Admission::Allow,
        }
    }

    async fn join(&self, who: Peer<'_>, room: &RoomName) -> Admission {
        self.note(format!("join {} {room}", who.alias));
        if room.as_str() == "vault" { Admission::Refuse("closed".into()) } else { Admission::Allow }
    }

    async fn message(&self, message: Message<'_>) -> Verdict {
        let failing = self.fail.load(Ordering::SeqCst);
        match message.text {
            "panic" if failing => panic!("in message"),
            "hang" if failing => std::future::pending().await,
            "darn" => Verdict::Replace("d***".into()),
            "spam" => Verdict::Refuse("no spam".into()),
            "bad" => Verdict::Replace("\u{1b}[2J".into()),
            _ => Verdict::Deliver,
        }
    }

    async fn leave(&self, who: Peer<'_>, room: &RoomName) {
        self.note(format!("leave {} {room}", who.alias));
    }

    async fn disconnect(&self, who: Peer<'_>, reason: Code) {
        self.note(format!("disconnect {} {}", who.alias, reason.name()));
    }
}

fn start(rule: &Rule) -> TestServer {
    TestServer::with(|b| b.handler(rule.clone()).handler_timeout(Duration::from_millis(200)))
}

#[test]
fn a_verdict_delivers_replaces_or_refuses() {
    let server = start(&Rule::default());
    let (mut ada, joined) = Wire::member(server.addr, "ada", "");
    let (mut bob, _) = Wire::member(server.addr, "bob", "");
    ada.send(&publish(joined.room, outbox(), 1, &["fine", "darn", "spam", "bad", "end"]));
    assert_eq!(ada.expect::<Ack>().replaced, None);
    assert_eq!(ada.expect::<Ack>().replaced, Some(Body::text("d***")));
    let spam: Refused = ada.expect();
    assert_eq!((spam.n, spam.code, spam.text.as_str()), (3, Code::MESSAGE_REFUSED, "no spam"));
    assert_eq!(ada.expect::<Refused>().n, 4, "a replacement has to keep to the rules too");
    assert_eq!(ada.expect::<Ack>().n, 5);
    let heard: Vec<_> = (0..3).flat_map(|_| texts(&bob.expect())).map(|(_, text)| text).collect();
    assert_eq!(heard, ["fine", "d***", "end"]);
}

#[test]
fn a_handler_that_panics_or_hangs_hurts_nobody_but_its_message_which_may_come_again() {
    for what in ["panic", "hang"] {
        let rule = Rule::default();
        rule.fail.store(true, Ordering::SeqCst);
        let server = start(&rule);
        let (mut ada, joined) = Wire::member(server.addr, "ada", "");
        let (mut bob, _) = Wire::member(server.addr, "bob", "");
        let box_a = outbox();
        ada.send(&publish(joined.room, box_a, 1, &["before", what, "after"]));
        // A refusal that isn't permanent may overtake the ack.
        let answers = std::iter::from_fn(|| ada.next()).filter(|got| !got.is(Kind::Presence)).take(2);
        let answers: Vec<_> = answers.collect();
        let answer = |kind| answers.iter().find(|got| got.is(kind)).expect("an ack and a refusal come");
        assert_eq!(answer(Kind::Ack).read::<Ack>().n, 1);
        let refused: Refused = answer(Kind::Refused).read();
        assert_eq!((refused.n, refused.code, refused.permanent), (2, Code::HANDLER_FAILED, false));
        // Somebody else is heard meanwhile.
        bob.send(&publish(joined.room, outbox(), 1, &["me too"]));
        assert_eq!(bob.skip_to::<Ack>().seq.get(), 2);
        rule.fail.store(false, Ordering::SeqCst);
        // Nothing has overtaken it: from the number named on, all come again, once.
        ada.send(&publish(joined.room, box_a, 2, &[what, "after"]));
        assert_eq!([ada.skip_to::<Ack>().n, ada.expect::<Ack>().n], [2, 3]);
        let mut heard = Vec::new();
        while heard.len() < 2 {
            heard.extend(bob.round_trip().iter().filter(|g| g.is(Kind::Deliver)).flat_map(|g| texts(&g.read())));
        }
        assert_eq!(heard, [(3, what.to_owned()), (4, "after".to_owned())]);
    }
}

#[test]
fn who_is_refused_is_told_why() {
    let rule = Rule::default();
    let server = start(&rule);
    for (alias, code) in [("mallory", Code::CONNECT_REFUSED), ("panic", Code::HANDLER_FAILED)] {
        let mut wire = Wire::connect(server.addr);
        wire.hello();
        wire.send(&guest(alias));
        let error: ErrorReply = wire.expect();
        assert_eq!((error.code, error.fatal), (code, true));
        assert!(wire.rest().is_empty());
    }
    let mut ada = Wire::guest(server.addr, "ada");
    ada.send(&Join { request: 1, name: "vault".into() });
    assert_eq!(ada.expect::<ErrorReply>().code, Code::JOIN_REFUSED);
    // The alias of one who was refused is free.
    rule.seen.lock().unwrap().clear();
    Wire::connect(server.addr).hello();
}

#[test]
fn everything_it_is_interested_in_is_told_in_order() {
    let rule = Rule::default();
    let server = start(&rule);
    let (mut ada, joined) = Wire::member(server.addr, "ada", "");
    ada.join("den");
    ada.send(&Leave { request: 1, room: joined.room });
    ada.expect::<Left>();
    ada.send(&Bye { code: Code::GOODBYE, text: String::new(), retry_after_ms: None });
    ada.rest();
    async_std::task::block_on(server.handle.shutdown(PATIENCE));
    let told = [
        "connect ada test",
        "join ada lobby",
        "join ada den",
        "leave ada lobby",
        "leave ada den",
        "disconnect ada goodbye",
    ];
    assert_eq!(*rule.seen.lock().unwrap(), told);
}

#[test]
fn who_is_put_out_of_a_room_has_left_it() {
    let rule = Rule::default();
    let server = start(&rule);
    let (mut ada, joined) = Wire::member(server.addr, "ada", "den");
    for (alias, act) in [("bob", EventKind::KICK), ("carl", EventKind::BAN)] {
        let (mut wire, _) = Wire::member(server.addr, alias, "den");
        let whom = Some(Whom::Name(alias.into()));
        ada.send(&Moderate { whom, ..Moderate::new(9, joined.room, act) });
        ada.skip_to::<Done>();
        wire.skip_to::<Left>();
        let told = || rule.seen.lock().unwrap().iter().filter(|told| **told == format!("leave {alias} den")).count();
        let begun = std::time::Instant::now();
        // It is told on a task of its own.
        while told() == 0 {
            assert!(begun.elapsed() < PATIENCE, "{:?}", rule.seen.lock().unwrap());
            std::thread::sleep(Duration::from_millis(1));
        }
        wire.send(&Bye { code: Code::GOODBYE, text: String::new(), retry_after_ms: None });
        wire.rest();
        assert_eq!(told(), 1, "and not once more at the end");
    }
}

/// Interested in nothing, so never called.
#[derive(Debug)]
struct Idle;

impl Handler for Idle {
    fn interests(&self) -> Interests {
        Interests::none()
    }

    async fn message(&self, _: Message<'_>) -> Verdict {
        panic!("it said that it isn't interested")
    }
}

#[test]
fn a_handler_is_not_called_for_what_it_is_not_interested_in() {
    let server = TestServer::with(|b| b.handler(Idle));
    let (mut ada, joined) = Wire::member(server.addr, "ada", "");
    ada.send(&publish(joined.room, outbox(), 1, &["x"]));
    ada.expect::<Ack>();
}
