//! A server that runs out of file descriptors.

use std::net::TcpStream;

use crate::support::*;
use crate::{alone, server};

#[test]
fn a_server_without_a_free_descriptor_backs_off_says_so_and_goes_on() {
    let _alone = alone();
    let (mut program, addr) = server("ulimit -n 64;", "--log error");
    let (mut ada, joined) = Wire::member(addr, "ada", "");
    let (mut bob, _) = Wire::member(addr, "bob", "");
    // The kernel takes them all; the server can't.
    let many: Vec<_> = (0..100).map(|_| TcpStream::connect(addr).unwrap()).collect();
    for wait in ["10ms", "20ms", "40ms", "80ms"] {
        let line = program.logged("could not be accepted");
        assert!(line.contains(&format!("trying again in {wait}")), "{line}");
    }
    // Who is in goes on.
    ada.send(&publish(joined.room, outbox(), 1, &["still here"]));
    assert_eq!(texts(&bob.expect())[0].1, "still here");
    drop(many);
    let (mut eve, _) = Wire::member(addr, "eve", "");
    ada.send(&publish(joined.room, outbox(), 1, &["welcome"]));
    assert_eq!(texts(&eve.expect())[0].1, "welcome");
    assert!(program.child.try_wait().unwrap().is_none());
}

#[test]
fn a_soft_limit_is_raised_to_what_the_system_allows() {
    let _alone = alone();
    let (_program, addr) = server("ulimit -S -n 64;", "--log error");
    let wires: Vec<_> = (0..100).map(|i| Wire::guest(addr, &format!("g{i}"))).collect();
    assert_eq!(wires.len(), 100, "each of them was let in");
}
