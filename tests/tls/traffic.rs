//! What goes over the wire: everything, whatever its size, and nothing that can be read.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use async_std::task::block_on;
use chatnet::transport::tls::{ClientTls, ServerTls};
use chatnet::{Client, Event, Events};
use futures::StreamExt;

use crate::certificates::{join, own};
use crate::support::{PATIENCE, TestServer};

/// Stands between a client and a server, and keeps what it sees.
fn proxy(to: SocketAddr, seen: Arc<Mutex<Vec<u8>>>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    thread::spawn(move || {
        for here in listener.incoming() {
            let (here, there) = (here.unwrap(), TcpStream::connect(to).unwrap());
            for (mut from, mut into) in [
                (here.try_clone().unwrap(), there.try_clone().unwrap()),
                (there.try_clone().unwrap(), here.try_clone().unwrap()),
            ] {
                let seen = Arc::clone(&seen);
                thread::spawn(move || {
                    let mut chunk = [0; 65536];
                    while let Ok(n @ 1..) = from.read(&mut chunk) {
                        seen.lock().unwrap().extend_from_slice(&chunk[..n]);
                        if into.write_all(&chunk[..n]).is_err() {
                            break;
                        }
                    }
                    let _ = into.shutdown(Shutdown::Write);
                });
            }
        }
    });
    addr
}

fn holds(seen: &[u8], word: &str) -> bool {
    seen.windows(word.len()).any(|window| window == word.as_bytes())
}

async fn message(events: &mut Events) -> String {
    loop {
        match events.next().await.unwrap() {
            Event::Message(message) => return message.text,
            Event::Closed { reason } => panic!("{reason}"),
            _ => {}
        }
    }
}

#[test]
fn whoever_listens_in_reads_neither_texts_nor_aliases() {
    const WORDS: [&str; 5] = ["Rumpelstiltskin", "Scheherazade", "abracadabra", "secret-den", "lobby"];
    let talk = |with_tls: bool| {
        let (server, tls) = own();
        let server = if with_tls { server } else { TestServer::start() };
        let seen = Arc::default();
        let addr = proxy(server.addr, Arc::clone(&seen));
        let builder = || if with_tls { Client::builder().tls(tls.clone()) } else { Client::builder() };
        block_on(async {
            let (one, _) = builder().alias(WORDS[0]).connect(addr).await.unwrap();
            let (two, mut events) = builder().alias(WORDS[1]).connect(addr).await.unwrap();
            one.room().unwrap().send(WORDS[2]).await.unwrap().await.unwrap();
            assert_eq!(message(&mut events).await, WORDS[2]);
            two.join(WORDS[3]).await.unwrap();
        });
        let seen = seen.lock().unwrap().clone();
        WORDS.map(|word| holds(&seen, word))
    };
    assert_eq!(talk(true), [false; 5]);
    // The test sees what there is to be seen.
    assert_eq!(talk(false), [true; 5]);
}

#[test]
fn whoever_listens_in_while_somebody_registers_and_logs_in_reads_no_password() {
    const SECRETS: [&str; 3] = ["correct horse battery", "another staple entirely", "Rumpelstiltskin"];
    let talk = |with_tls: bool| {
        let open = |builder: chatnet::ServerBuilder| builder.registration(chatnet::Registration::Open);
        let tls = ServerTls::self_signed(&["localhost".into()]).unwrap();
        let client = ClientTls::pinned(tls.fingerprint()).unwrap();
        let server = TestServer::with(|b| if with_tls { open(b).tls(tls) } else { open(b) });
        let seen = Arc::default();
        let addr = proxy(server.addr, Arc::clone(&seen));
        let builder = || if with_tls { Client::builder().tls(client.clone()) } else { Client::builder() };
        block_on(async {
            let (one, _) = builder().register(SECRETS[2], SECRETS[0], None).connect(addr).await.unwrap();
            one.change_password(SECRETS[0], SECRETS[1]).await.unwrap();
            one.close().await;
            let (two, _) = builder().account(SECRETS[2], SECRETS[1]).connect(addr).await.unwrap();
            two.close().await;
        });
        let seen = seen.lock().unwrap().clone();
        SECRETS.map(|word| holds(&seen, word))
    };
    assert_eq!(talk(true), [false; 3]);
    // Over loopback a password may go without TLS: the test sees what there is to be seen.
    assert_eq!(talk(false), [true; 3]);
}

#[test]
fn texts_of_every_size_arrive_whole_and_in_order() {
    let (server, tls) = own();
    block_on(async {
        let (ada, _) = join(Client::builder().tls(tls.clone()), &server, "ada").await;
        let (_bob, mut events) = join(Client::builder().tls(tls), &server, "bob").await;
        let room = ada.room().unwrap();
        // Around the sizes of a record, of what is encrypted at once, and of the largest text.
        let sizes = [0, 1, 100, 16_300, 16_383, 16_384, 16_385, 32_768, 65_000, 65_535, 65_536];
        let sending = async {
            for _ in 0..3 {
                for size in sizes {
                    drop(room.send("x".repeat(size)).await.unwrap());
                }
            }
        };
        let hearing = async {
            for _ in 0..3 {
                for size in sizes {
                    assert_eq!(message(&mut events).await.len(), size);
                }
            }
        };
        futures::join!(sending, hearing);
    });
}

#[test]
fn a_reader_that_stalls_holds_nobody_up_and_gets_everything_when_it_reads_on() {
    let tls = ServerTls::self_signed(&["localhost".into()]).unwrap();
    let client = ClientTls::pinned(tls.fingerprint()).unwrap();
    // Nothing but what is behind may make the server write on: no heartbeat comes to its help.
    let server = TestServer::with(|b| b.tls(tls).heartbeat(Duration::from_secs(3600)));
    let builder = || Client::builder().tls(client.clone());
    block_on(async {
        let (ada, mut told) = join(builder(), &server, "ada").await;
        // The kernel's buffers are full at one of these: the last of what was sent is in ciphertext that it didn't take.
        for count in 1..=24 {
            let name = format!("room{count}");
            let gate = Arc::new(Gate::default());
            let addr = stalling(server.addr, Arc::clone(&gate));
            let room = ada.join(&name).await.unwrap();
            let (_bob, mut events) = builder().room(&name).connect(server.addr).await.unwrap();
            let (_slow, mut slow) = builder().room(&name).connect(addr).await.unwrap();
            // Presence would have it written too: it is told before.
            let mut joined = 0;
            while joined < 2 {
                joined += usize::from(
                    matches!(told.next().await, Some(Event::MemberJoined { room, .. }) if room.as_str() == name),
                );
            }
            room.send("warm").await.unwrap().await.unwrap();
            assert_eq!((message(&mut slow).await, message(&mut events).await), ("warm".into(), "warm".into()));
            gate.set(true);
            for n in 0..count {
                room.send(format!("{n} {}", "x".repeat(30_000))).await.unwrap().await.unwrap();
                assert!(message(&mut events).await.starts_with(&format!("{n} ")));
            }
            gate.set(false);
            let hearing = async {
                for n in 0..count {
                    assert!(message(&mut slow).await.starts_with(&format!("{n} ")), "{n} of {count}");
                }
            };
            let heard = async_std::future::timeout(PATIENCE, hearing).await;
            heard.unwrap_or_else(|_| panic!("of {count} messages the last ones don't come"));
            room.leave().await.unwrap();
        }
    });
}

/// Open until it is shut.
#[derive(Default)]
struct Gate {
    shut: Mutex<bool>,
    changed: Condvar,
}

impl Gate {
    fn set(&self, shut: bool) {
        *self.shut.lock().unwrap() = shut;
        self.changed.notify_all();
    }

    fn pass(&self) {
        drop(self.changed.wait_while(self.shut.lock().unwrap(), |shut| *shut).unwrap());
    }
}

/// Passes on what the server says only while the gate is open.
fn stalling(to: SocketAddr, gate: Arc<Gate>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    thread::spawn(move || {
        let (here, _) = listener.accept().unwrap();
        let there = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        // Before connecting, so that the kernel takes little of what isn't read.
        there.set_recv_buffer_size(32 * 1024).unwrap();
        there.connect(&to.into()).unwrap();
        let there = TcpStream::from(there);
        let (mut from, mut into) = (here.try_clone().unwrap(), there.try_clone().unwrap());
        thread::spawn(move || drop(std::io::copy(&mut from, &mut into)));
        let (mut from, mut into) = (there, here);
        let mut chunk = [0; 4096];
        while let Ok(n @ 1..) = from.read(&mut chunk) {
            gate.pass();
            if into.write_all(&chunk[..n]).is_err() {
                return;
            }
        }
    });
    addr
}

#[test]
fn a_silent_connection_stays_by_heartbeats_alone() {
    let tls = ServerTls::self_signed(&["localhost".into()]).unwrap();
    let client = ClientTls::pinned(tls.fingerprint()).unwrap();
    let server = TestServer::with(|b| b.tls(tls).heartbeat(Duration::from_millis(100)));
    block_on(async {
        let (ada, mut events) = join(Client::builder().tls(client), &server, "ada").await;
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(1000) {
            let event = async_std::future::timeout(Duration::from_millis(100), events.next()).await;
            assert!(!matches!(event, Ok(Some(Event::Closed { .. }) | None)), "{event:?}");
        }
        assert!(begun.elapsed() < PATIENCE);
        assert_eq!(ada.room().unwrap().send("x").await.unwrap().await.unwrap().seq.get(), 1);
    });
}
