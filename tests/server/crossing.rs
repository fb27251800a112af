//! Connections that come to the server in another order than they were opened, or twice.

use std::time::Duration;

use chatnet::Code;
use chatnet::protocol::message::*;

use crate::support::*;

const GRACE: Duration = Duration::from_secs(60);

/// A session; its token.
fn begin(server: &TestServer) -> (Wire, Vec<u8>) {
    let mut wire = Wire::connect(server.addr);
    wire.hello();
    wire.send(&guest("ada"));
    wire.expect::<Authenticated>();
    wire.send(&Attach { token: None, cursors: vec![], more: false });
    let token = wire.expect::<Attached>().token.unwrap().to_vec();
    (wire, token)
}

/// Come with a token, as far as it goes without an answer.
fn come(server: &TestServer, token: &[u8]) -> Wire {
    let mut wire = Wire::connect(server.addr);
    wire.send(&hello());
    wire.send(&Auth { mechanism: "session".into(), data: token.to_vec().into() });
    wire.send(&Attach { token: Some(token.to_vec().into()), cursors: vec![], more: false });
    wire
}

fn go_on(wire: &mut Wire) -> Vec<u8> {
    let attached: Attached = wire.skip_to();
    assert!(attached.resumed);
    attached.token.unwrap().to_vec()
}

/// Answer what is asked until this connection is told its end, if it is.
fn answer(mut wire: Wire) -> std::thread::JoinHandle<Vec<Got>> {
    std::thread::spawn(move || {
        let mut all = Vec::new();
        while let Some(got) = wire.next() {
            if got.is(Kind::Ping) {
                wire.send(&Pong { nonce: got.read::<Ping>().nonce });
            }
            all.push(got);
        }
        all
    })
}

#[test]
fn a_connection_that_was_opened_before_and_comes_later_takes_the_session_from_nobody_who_is_there() {
    let server = TestServer::with(|b| b.grace(GRACE));
    let (first, token) = begin(&server);
    first.stream.shutdown(std::net::Shutdown::Both).unwrap();
    let mut second = come(&server, &token);
    let newer = go_on(&mut second);
    let second = answer(second);
    // The same token once more: it was on its way for long.
    let refused: ErrorReply = come(&server, &token).skip_to();
    assert_eq!((refused.code, refused.retry_after_ms, refused.fatal), (Code::SESSION_REPLACED, Some(1000), true));
    // Whoever has the newer token goes on, and then the other one has to leave.
    go_on(&mut come(&server, &newer));
    let heard = second.join().unwrap();
    assert!(heard.last().is_some_and(|got| got.is(Kind::Bye)), "{heard:?}");
}

#[test]
fn a_client_that_never_heard_of_its_new_token_goes_on_with_the_old_one() {
    let server = TestServer::with(|b| b.grace(GRACE));
    let (_first, token) = begin(&server);
    // Half open: it is told, and doesn't answer.
    let mut second = come(&server, &token);
    go_on(&mut second);
    go_on(&mut come(&server, &token));
}

#[test]
fn a_late_connection_that_meets_an_empty_seat_does_not_cost_the_client_its_newer_token() {
    let server = TestServer::with(|b| b.grace(GRACE));
    let (first, token) = begin(&server);
    drop(first);
    let mut second = come(&server, &token);
    let newer = go_on(&mut second);
    drop(second);
    // The late one has the session now, and nobody is behind it.
    go_on(&mut come(&server, &token));
    let newest = go_on(&mut come(&server, &newer));
    // That one was used: those before it are good for nothing.
    let refused: ErrorReply = come(&server, &token).skip_to();
    assert_eq!((refused.code, refused.fatal), (Code::SESSION_EXPIRED, false));
    go_on(&mut come(&server, &newest));
}
