//! Broken and hostile peers.

use std::io::Write;
use std::time::{Duration, Instant};

use chatnet::Limits;
use chatnet::protocol::Code;
use chatnet::protocol::message::*;
use chatnet::protocol::to_frame;

use crate::support::*;

fn fails_with(bytes: &[u8]) -> Code {
    let server = TestServer::start();
    let mut wire = Wire::connect(server.addr);
    wire.raw(bytes);
    let error: ErrorReply = wire.expect();
    assert!(error.fatal && !error.text.is_empty());
    assert!(wire.rest().is_empty());
    error.code
}

#[test]
fn strangers_are_refused_with_a_code() {
    // HTTP, TLS and SSH are answered in their own language: tests/tls/strangers.rs.
    assert_eq!(fails_with(b"NICK ada\r\nUSER ada"), Code::NOT_CHATNET);
    assert_eq!(fails_with(&to_frame(&Ping { nonce: 1 })), Code::NOT_CHATNET);
    assert_eq!(fails_with(&[0xff; 100]), Code::FRAME_TOO_LONG);
    assert_eq!(fails_with(&to_frame(&Hello { magic: b"chatter".to_vec().into(), ..hello() })), Code::NOT_CHATNET);
    assert_eq!(fails_with(&to_frame(&Hello { min_version: 2, max_version: 9, ..hello() })), Code::UNSUPPORTED_VERSION);
    assert_eq!(fails_with(&to_frame(&Hello { max_body: 4096, ..hello() })), Code::LIMITS_TOO_SMALL);
    assert_eq!(fails_with(&[0, 0, 0, 2, 0, 1, 0, 0, 0xff, 0xff]), Code::MALFORMED);
}

#[test]
fn an_attached_client_that_breaks_the_rules_is_told_and_closed() {
    let server = TestServer::start();
    let cases: [(&[u8], Code); 3] = [
        (&[0xff, 0xff, 0xff, 0xff], Code::FRAME_TOO_LONG),
        (&[0, 0, 0, 1, 1, 5, 1, 0, 0xff], Code::MALFORMED),
        (&[0, 0, 0, 1, 1, 1, 0, 0, 0x80], Code::MALFORMED),
    ];
    for (bytes, code) in cases {
        let mut wire = Wire::guest(server.addr, "ada");
        wire.raw(bytes);
        let error: ErrorReply = wire.expect();
        assert_eq!((error.code, error.fatal), (code, true));
        assert!(wire.rest().is_empty());
    }
}

#[test]
fn half_a_handshake_and_silence_ends_in_time() {
    let server = TestServer::with(|b| b.handshake_timeout(Duration::from_millis(200)));
    let begun = Instant::now();
    let mut silent = Wire::connect(server.addr);
    let mut half = Wire::connect(server.addr);
    half.raw(&to_frame(&hello())[..5]);
    let mut slow = Wire::connect(server.addr);
    slow.hello();
    for wire in [&mut silent, &mut half, &mut slow] {
        assert_eq!(wire.expect::<ErrorReply>().code, Code::HANDSHAKE_TIMEOUT);
        assert!(wire.rest().is_empty());
    }
    // The server's clock is as exact as its sweeper's tick, an eighth of the limit.
    assert!(begun.elapsed() >= Duration::from_millis(170));
}

#[test]
fn one_byte_now_and_then_does_not_keep_a_frame_open() {
    let server = TestServer::with(|b| b.heartbeat(Duration::from_millis(100)));
    let mut wire = Wire::guest(server.addr, "ada");
    let mut dripping = wire.stream.try_clone().unwrap();
    let frame = to_frame(&Join { request: 1, name: "x".repeat(60) });
    std::thread::spawn(move || {
        for byte in frame {
            if dripping.write_all(&[byte]).is_err() {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    });
    assert_eq!(wire.expect::<ErrorReply>().code, Code::FRAME_TIMEOUT);
}

#[test]
fn a_peer_that_vanished_without_a_word_is_noticed_within_three_heartbeats() {
    let heartbeat = Duration::from_millis(200);
    let server = TestServer::with(|b| b.heartbeat(heartbeat));
    let (mut ada, _) = Wire::member(server.addr, "ada", "");
    let (_silent, _) = Wire::member(server.addr, "silent", "");
    let begun = Instant::now();
    // Ada answers pings; the other one's socket stays open, and silent.
    loop {
        let got = ada.next().expect("ada is alive");
        if got.is(Kind::Ping) {
            ada.send(&Pong { nonce: got.read::<Ping>().nonce });
        } else if got.is(Kind::Presence) && got.read::<Presence>().left.iter().any(|p| p.alias == "silent") {
            break;
        }
    }
    let took = begun.elapsed();
    assert!(took >= 2 * heartbeat && took < 4 * heartbeat, "{took:?}");
}

#[test]
fn a_client_that_takes_no_answers_is_not_read_any_further_and_costs_little() {
    // Limits would have so much read only slowly.
    let server = TestServer::with(|b| b.heartbeat(Duration::from_millis(500)).limits(Limits::NONE));
    let (mut ada, _) = Wire::member(server.addr, "ada", "");
    ada.stream.set_write_timeout(Some(Duration::from_millis(100))).unwrap();
    let pings = to_frame(&Ping { nonce: 1 }).repeat(1000);
    let begun = Instant::now();
    let mut sent = 0usize;
    // Nothing is read: at last the server doesn't read either, and gives up after three heartbeats.
    while begun.elapsed() < PATIENCE {
        match ada.stream.write(&pings) {
            Ok(n) => sent += n,
            Err(e) if matches!(e.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {
                if async_std::task::block_on(server.handle.sessions(None, 10)).unwrap().items.is_empty() {
                    break;
                }
            }
            Err(_) => break,
        }
    }
    println!("{} KiB of pings went out", sent / 1024);
    assert!(begun.elapsed() < PATIENCE);
    // What the kernel holds for both ends, and little more; each would have cost an answer of its size.
    assert!(sent < 24 << 20, "{} KiB", sent / 1024);
}

#[test]
fn arrays_beyond_their_bounds_are_malformed() {
    let server = TestServer::start();
    let (mut ada, joined) = Wire::member(server.addr, "ada", "");
    ada.send(&publish(joined.room, outbox(), 1, &["x"; 512]));
    let first = ada.skip_to::<Ack>();
    assert_eq!(first.n, 1);
    ada.send(&publish(joined.room, outbox(), 1, &["x"; 513]));
    assert_eq!(ada.skip_to::<ErrorReply>().code, Code::MALFORMED);

    let (mut bob, joined) = Wire::member(server.addr, "bob", "");
    let progress = RoomProgress { room: joined.room, seq: ZERO };
    bob.send(&Progress { rooms: vec![progress; 512] });
    bob.round_trip();
    bob.send(&Progress { rooms: vec![progress; 513] });
    assert_eq!(bob.skip_to::<ErrorReply>().code, Code::MALFORMED);
}

#[test]
fn answers_longer_than_what_they_answer_do_not_pile_up() {
    let server = TestServer::with(|b| b.limits(Limits::NONE));
    // 9 bytes are answered by ten times as many: what is read at once, by 600 KiB.
    let strange = [0, 0, 0, 1, 0x7f, 0xff, 0, 0, 0x80].repeat(7000);
    let mut wires: Vec<_> = (0..120).map(|i| (Wire::guest(server.addr, &format!("eve{i}")), 0)).collect();
    let memory = resident();
    wires.iter().for_each(|(wire, _)| wire.stream.set_nonblocking(true).unwrap());
    // Until none of them is read from any more, or all is sent.
    let mut quiet = 0;
    while quiet < 10 {
        quiet += 1;
        for (wire, sent) in &mut wires {
            let left = &strange[*sent % strange.len()..];
            let n = if *sent < 20 * strange.len() { wire.stream.write(left).unwrap_or(0) } else { 0 };
            *sent += n;
            quiet = if n > 0 { 0 } else { quiet };
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let grown = resident().saturating_sub(memory) / wires.len();
    println!("{} KiB for each", grown / 1024);
    // There are many of them, so that other tests' memory makes no difference.
    assert!(grown < 400 << 10, "{} KiB", grown / 1024);
    // Whoever takes the answers gets them all.
    let (wire, sent) = &mut wires[0];
    wire.stream.set_nonblocking(false).unwrap();
    let mut answers = 0;
    while answers < *sent / 9 {
        answers += usize::from(wire.next().unwrap_or_else(|| panic!("{answers} of {sent}")).is(Kind::ErrorReply));
    }
}
