//! Peers at the wrong kind of port are told at once, in their own language.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use async_std::task::block_on;
use chatnet::protocol::Code;
use chatnet::protocol::message::ErrorReply;
use chatnet::{Client, ConnectError};

use crate::certificates::own;
use crate::support::{PATIENCE, TestServer, Wire, hello};

/// Say something and read to the end.
fn answer(addr: SocketAddr, words: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(words).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    answer
}

#[test]
fn a_client_without_tls_is_told_that_it_is_needed() {
    let (server, _) = own();
    let mut wire = Wire::connect(server.addr);
    wire.send(&hello());
    let error: ErrorReply = wire.expect();
    assert_eq!((error.code, error.fatal), (Code::TLS_REQUIRED, true));
    assert!(wire.rest().is_empty());
    let e = block_on(Client::builder().connect(server.addr)).unwrap_err();
    assert!(matches!(e, ConnectError::TlsRequired { .. }), "{e:?}");
}

#[test]
fn a_tls_client_at_a_plaintext_port_gets_an_alert_and_ours_says_what_is_wrong() {
    let server = TestServer::start();
    let (_other, tls) = own();
    let begun = Instant::now();
    let e = block_on(Client::builder().tls(tls).connect(server.addr)).unwrap_err();
    assert!(matches!(e, ConnectError::NoTls { .. }), "{e:?}");
    assert!(begun.elapsed() < Duration::from_secs(5));
    let alert = answer(server.addr, &[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]);
    assert_eq!(alert[..7], [0x15, 3, 3, 0, 2, 2, 40]);
}

#[test]
fn a_web_browser_gets_a_page_at_either() {
    let (with, _) = own();
    for addr in [with.addr, TestServer::start().addr] {
        let page = String::from_utf8(answer(addr, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")).unwrap();
        let (head, body) = page.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 400 "), "{head}");
        assert!(head.contains(&format!("Content-Length: {}", body.len())), "{head}");
        assert!(body.contains("chatnet server"), "{body}");
    }
}

#[test]
fn an_ssh_client_gets_a_disconnect_at_either() {
    let (with, _) = own();
    let without = TestServer::start();
    for addr in [with.addr, without.addr] {
        let said = answer(addr, b"SSH-2.0-OpenSSH_9.9\r\n");
        assert!(said.starts_with(b"SSH-2.0-chatnet\r\n"));
        assert!(said.windows(14).any(|w| w == b"not an SSH ser"));
    }
}

#[test]
fn our_client_names_what_answers_in_chatnets_place() {
    let (_server, tls) = own();
    for (words, what) in [("HTTP/1.1 400 Bad Request\r\n\r\n", "a web server"), ("SSH-2.0-x\r\n", "an SSH server")] {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let serving = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(words.as_bytes()).unwrap();
            let _ = stream.read(&mut [0; 4096]);
        });
        let e = block_on(Client::builder().tls(tls.clone()).connect(addr)).unwrap_err();
        assert!(e.to_string().contains(what), "{e}");
        serving.join().unwrap();
    }
}

#[test]
fn half_a_client_hello_ends_in_time_and_costs_nobody_else() {
    let (_, _) = own();
    let tls = chatnet::transport::tls::ServerTls::self_signed(&["localhost".into()]).unwrap();
    let server = TestServer::with(|b| b.tls(tls).handshake_timeout(Duration::from_millis(300)));
    let begun = Instant::now();
    for words in [&b""[..], &[0x16], &[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3], &[0, 0]] {
        let _ = answer(server.addr, words);
    }
    assert!(begun.elapsed() >= Duration::from_millis(4 * 300) && begun.elapsed() < PATIENCE);
    // A message of a handshake may be long, but not for ever.
    let mut endless = TcpStream::connect(server.addr).unwrap();
    let mut record = vec![0x16, 3, 3, 0x40, 0, 1, 0xff, 0xff, 0xff];
    record.resize(5 + 0x4000, 0);
    let sent = (0..1000).take_while(|_| endless.write_all(&record).is_ok()).count();
    assert!(sent < 1000, "a handshake of 16 MiB was read");
    // Something that begins like TLS and isn't is answered by an alert.
    let alert = answer(server.addr, &[0x16, 3, 3, 0, 4, 9, 0, 0, 0]);
    assert_eq!((alert[0], alert.len()), (0x15, 7), "{alert:?}");
}

#[test]
fn other_peoples_tls_works_too() {
    // openssl is an independent implementation; both versions have to do.
    if Command::new("openssl").arg("version").output().is_err() {
        eprintln!("openssl is not here: skipped");
        return;
    }
    let (server, _) = own();
    for version in ["-tls1_2", "-tls1_3"] {
        let output = Command::new("openssl")
            .args(["s_client", "-connect", &server.addr.to_string(), version, "-alpn", "chatnet/1", "-brief"])
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(told.contains("CONNECTION ESTABLISHED"), "{version}: {told}");
    }
}
