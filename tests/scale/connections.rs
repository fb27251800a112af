//! How many connections one address has.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use chatnet::protocol::Code;
use chatnet::protocol::message::*;
use chatnet::{Limits, Rate};

use crate::support::*;
use crate::{alone, limited_server, raise_descriptor_limit};

/// Connections that one address has at most, unless told otherwise.
const CONNECTIONS: usize = 1024;

/// One too many is told so, and what can be done, and is closed.
#[track_caller]
fn assert_turned_away(mut wire: Wire) {
    let error: ErrorReply = wire.expect();
    assert_eq!((error.code, error.fatal), (Code::TOO_MANY_CONNECTIONS, true));
    assert!(error.retry_after_ms.is_some());
    assert!(error.text.contains("close one first"), "{}", error.text);
    assert!(wire.rest().is_empty());
}

/// Connect as soon as there is a place again: the server has to notice first that somebody is gone.
fn connect_in_time(addr: std::net::SocketAddr) -> Wire {
    let since = Instant::now();
    loop {
        let mut wire = Wire::connect(addr);
        wire.send(&hello());
        if wire.next().is_some_and(|got| got.is(Kind::Welcome)) {
            return wire;
        }
        assert!(since.elapsed() < PATIENCE, "its place is given back");
    }
}

#[test]
fn an_address_has_1024_connections_and_the_others_have_theirs() {
    let _alone = alone();
    raise_descriptor_limit();
    // How fast they come is another limit.
    let mut limits = Limits::default();
    limits.connections = Rate::NONE;
    let long = Duration::from_secs(600);
    let server = TestServer::with(|server| server.limits(limits).handshake_timeout(long));
    let mut ada = Wire::guest(server.addr, "ada");
    let mut others: Vec<_> = (1..CONNECTIONS).map(|_| TcpStream::connect(server.addr).unwrap()).collect();
    // They are taken in the order in which they come.
    Wire::over(others.last().unwrap().try_clone().unwrap()).hello();
    assert_turned_away(Wire::connect(server.addr));
    assert_turned_away(Wire::connect(server.addr));
    // Whoever is in stays in, and who comes from elsewhere comes in.
    ada.round_trip();
    Wire::over(connect_from(server.addr, "127.0.0.2").unwrap()).hello();
    drop(others.pop());
    let _last = connect_in_time(server.addr);
    assert_turned_away(Wire::connect(server.addr));
}

#[test]
fn how_many_connections_an_address_has_can_be_said() {
    let _alone = alone();
    let (_program, addr) = limited_server("", "--max-connections-per-address 2 --log error");
    let both = [Wire::guest(addr, "ada"), Wire::guest(addr, "bob")];
    assert_turned_away(Wire::connect(addr));
    Wire::over(connect_from(addr, "127.0.0.2").unwrap()).hello();
    drop(both);
    connect_in_time(addr);
}
