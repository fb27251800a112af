//! What people do, in one line each.

use std::net::SocketAddr;

use chatnet::Registration;
use chatnet::id::{RoomId, Seq};
use chatnet::protocol::Code;
use chatnet::protocol::message::*;

use crate::support::*;

pub(crate) const PASSWORD: &str = "correct horse";

/// A server that takes new accounts.
pub(crate) fn open() -> TestServer {
    TestServer::with(|builder| builder.registration(Registration::Open))
}

pub(crate) fn auth(mechanism: &str, name: &str, secret: &str, code: Option<&str>) -> Auth {
    let credentials = Credentials { name: name.into(), secret: secret.into(), code: code.map(Secret::from) };
    Auth { mechanism: mechanism.into(), data: minicbor::to_vec(&credentials).unwrap().into() }
}

/// Authenticate; the refusal if there is one.
pub(crate) fn attempt(addr: SocketAddr, auth: &Auth) -> Result<(Wire, Authenticated), ErrorReply> {
    let mut wire = Wire::connect(addr);
    wire.hello();
    wire.send(auth);
    let got = wire.next().unwrap();
    if got.is(Kind::ErrorReply) {
        return Err(got.read());
    }
    let who = got.read();
    wire.send(&Attach { token: None, cursors: vec![], more: false });
    wire.expect::<Attached>();
    Ok((wire, who))
}

pub(crate) fn register(addr: SocketAddr, alias: &str) -> Wire {
    attempt(addr, &auth("register", alias, PASSWORD, None)).expect("it is registered").0
}

pub(crate) fn login(addr: SocketAddr, alias: &str) -> Wire {
    attempt(addr, &auth("password", alias, PASSWORD, None)).expect("it is let in").0
}

/// The answer to a request, whatever comes before it.
pub(crate) fn answer(wire: &mut Wire, request: u32) -> Result<(), Code> {
    loop {
        let got = wire.next().expect("the server answers");
        if got.is(Kind::Done) && got.read::<Done>().request == request {
            return Ok(());
        }
        if got.is(Kind::ErrorReply) {
            let error: ErrorReply = got.read();
            assert_eq!(error.request, Some(request), "{error:?}");
            return Err(error.code);
        }
    }
}

pub(crate) fn moderate(wire: &mut Wire, moderate: Moderate) -> Result<(), Code> {
    let request = moderate.request;
    wire.send(&moderate);
    answer(wire, request)
}

pub(crate) fn on(room: RoomId, act: EventKind, whom: &str) -> Moderate {
    Moderate { whom: Some(Whom::Name(whom.into())), ..Moderate::new(11, room, act) }
}

pub(crate) fn with_rank(room: RoomId, whom: &str, rank: Rank) -> Moderate {
    Moderate { value: Some(rank.to_u8().into()), ..on(room, EventKind::ROLE, whom) }
}

/// Join; the refusal if there is one.
pub(crate) fn join(wire: &mut Wire, room: &str) -> Result<Joined, Code> {
    wire.send(&Join { request: 7, name: room.into() });
    joined(wire)
}

pub(crate) fn joined(wire: &mut Wire) -> Result<Joined, Code> {
    loop {
        let got = wire.next().expect("the server answers");
        if got.is(Kind::Joined) {
            return Ok(got.read());
        }
        if got.is(Kind::ErrorReply) {
            return Err(got.read::<ErrorReply>().code);
        }
    }
}

pub(crate) fn create(wire: &mut Wire, name: &str, settings: RoomSettings) -> Joined {
    let password = (settings.kind == RoomKind::Password).then(|| PASSWORD.into());
    wire.send(&CreateRoom { request: 9, name: name.into(), settings, password });
    joined(wire).expect("it is made")
}

/// Say something, and wait for the answer.
pub(crate) fn say(wire: &mut Wire, room: RoomId, text: &str) -> Result<Seq, Code> {
    wire.send(&publish(room, outbox(), 1, &[text]));
    loop {
        let got = wire.next().expect("the server answers");
        if got.is(Kind::Ack) {
            return Ok(got.read::<Ack>().seq);
        }
        if got.is(Kind::Refused) {
            return Err(got.read::<Refused>().code);
        }
    }
}

/// The next event of this kind, as a change.
pub(crate) fn change(wire: &mut Wire, kind: EventKind) -> (Deliver, RoomChange) {
    loop {
        let deliver: Deliver = wire.skip_to();
        if let Some(event) = deliver.events.iter().find(|event| event.kind == kind) {
            let change = minicbor::decode(&event.bytes).unwrap();
            return (deliver, change);
        }
    }
}

/// The next texts that come.
pub(crate) fn hear(wire: &mut Wire) -> Vec<String> {
    loop {
        let deliver: Deliver = wire.skip_to();
        let texts: Vec<String> = deliver
            .events
            .iter()
            .filter(|e| e.kind == EventKind::TEXT)
            .map(|e| String::from_utf8(e.bytes.clone()).unwrap())
            .collect();
        if !texts.is_empty() {
            return texts;
        }
    }
}
