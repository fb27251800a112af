//! A flood of handshakes costs the others little.

use std::time::Duration;

use chatnet::transport::tls::ServerTls;

use crate::certificates::own;
use crate::flood_tools::{Chat, Flood};
use crate::support::TestServer;

#[test]
fn a_flood_of_handshakes_half_of_them_never_finished_leaves_the_others_latency() {
    let (server, tls) = own();
    // A handshake takes an unoptimised server and its unoptimised client, both in this process, about 3 ms: this is what
    // two processors do of them beside other tests. The full flood, 2,000 a second, is in benches/tls.rs.
    let (per_second, users, during) = (200, 20, Duration::from_secs(2));
    let chat = Chat::connect(server.addr, &Some(tls.clone()), users);
    let mut last = String::new();
    for attempt in 1..=3 {
        let (_, before) = chat.latencies(during);
        let flood = Flood::start(server.addr, &tls, per_second);
        let (_, meanwhile) = chat.latencies(during);
        let begun = flood.begun();
        drop(flood);
        last = format!("p99 {before:?} without, {meanwhile:?} with {begun} handshakes in about {during:?}");
        println!("attempt {attempt}: {last}");
        // Twice, and what a busy machine adds to figures of a millisecond.
        if begun >= per_second && meanwhile < 2 * before + Duration::from_millis(20) {
            return;
        }
    }
    panic!("{last}");
}

#[test]
fn of_too_many_unfinished_handshakes_the_oldest_go_and_new_clients_come_in() {
    let tls = ServerTls::self_signed(&["127.0.0.1".into()]).unwrap();
    let client = chatnet::transport::tls::ClientTls::pinned(tls.fingerprint()).unwrap();
    let server = TestServer::with(|b| b.tls(tls).max_unfinished_handshakes(50));
    let silent = |_| std::net::TcpStream::connect(server.addr).unwrap();
    let mut first = silent(0);
    let _others: Vec<_> = (0..200).map(silent).collect();
    first.set_read_timeout(Some(crate::support::PATIENCE)).unwrap();
    // The end comes long before its time is over.
    let begun = std::time::Instant::now();
    assert_eq!(std::io::Read::read(&mut first, &mut [0; 8]).unwrap_or(0), 0);
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    async_std::task::block_on(crate::certificates::join(chatnet::Client::builder().tls(client), &server, "ada"));
}
