//! Certificates replaced while the server runs.

use std::fs;
use std::time::{Duration, Instant};

use async_std::task::block_on;
use chatnet::transport::tls::{ClientTls, ServerTls};
use chatnet::{Client, Event};
use futures::StreamExt;

use crate::certificates::{Authority, directory, join, own};
use crate::support::{PATIENCE, TestServer};

#[test]
fn a_reload_under_load_drops_no_session_and_a_broken_file_keeps_the_old_certificate() {
    let authority = Authority::new("the lab");
    let directory = directory("reload");
    let (chain, key) = (directory.join("chain.pem"), directory.join("key.pem"));
    let write = |pair: &crate::certificates::Pair| {
        fs::write(&key, &pair.key).unwrap();
        fs::write(&chain, &pair.chain).unwrap();
    };
    write(&authority.issue(&["127.0.0.1"]));
    let server = TestServer::with(|b| b.tls(ServerTls::pem_files(&chain, &key).unwrap()));
    let tls = || ClientTls::authorities(&authority.pem).unwrap();
    let first = server.handle.fingerprint().unwrap();
    block_on(async {
        let (ada, _) = join(Client::builder().tls(tls()), &server, "ada").await;
        let (_bob, mut events) = join(Client::builder().tls(tls()), &server, "bob").await;
        let talking = async_std::task::spawn(async move {
            let room = ada.room().unwrap();
            for n in 0..2000 {
                room.send(n.to_string()).await.unwrap().await.unwrap();
            }
            ada
        });
        let mut heard = 0;
        let mut prints = vec![first];
        while heard < 2000 {
            match events.next().await.unwrap() {
                Event::Message(message) => {
                    assert_eq!(message.text, heard.to_string());
                    heard += 1;
                    if heard % 500 == 0 {
                        write(&authority.issue(&["127.0.0.1"]));
                        prints.push(server.handle.reload_tls().await.unwrap());
                    }
                }
                Event::Closed { reason } => panic!("a session was dropped: {reason}"),
                _ => {}
            }
        }
        prints.sort();
        prints.dedup();
        assert_eq!(prints.len(), 5, "each reload showed another key");
        let ada = talking.await;

        let last = server.handle.fingerprint().unwrap();
        fs::write(&chain, "-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n").unwrap();
        let e = server.handle.reload_tls().await.unwrap_err();
        assert!(e.to_string().contains("chain.pem") && e.to_string().contains("the old certificate stays"), "{e}");
        // A key that isn't this certificate's won't do either.
        fs::write(&chain, authority.issue(&["127.0.0.1"]).chain).unwrap();
        let e = server.handle.reload_tls().await.unwrap_err();
        assert!(e.to_string().contains("is not the certificate's"), "{e}");
        assert_eq!(server.handle.fingerprint(), Some(last));
        let (_eve, _) = join(Client::builder().tls(ClientTls::pinned(last).unwrap()), &server, "eve").await;
        assert_eq!(ada.room().unwrap().send("still here").await.unwrap().await.unwrap().seq.get(), 2001);
    });
}

#[test]
fn a_changed_file_is_noticed_by_itself() {
    let authority = Authority::new("the lab");
    let directory = directory("watch");
    let (chain, key) = (directory.join("chain.pem"), directory.join("key.pem"));
    let pair = authority.issue(&["127.0.0.1"]);
    fs::write(&chain, &pair.chain).unwrap();
    fs::write(&key, &pair.key).unwrap();
    let server = TestServer::with(|b| b.tls(ServerTls::pem_files(&chain, &key).unwrap()));
    let first = server.handle.fingerprint();
    let pair = authority.issue(&["127.0.0.1", "another.example.org"]);
    fs::write(&key, &pair.key).unwrap();
    fs::write(&chain, &pair.chain).unwrap();
    let begun = Instant::now();
    while server.handle.fingerprint() == first {
        assert!(begun.elapsed() < PATIENCE, "the new certificate isn't taken");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_server_without_tls_has_nothing_to_reload() {
    let server = TestServer::start();
    assert!(block_on(server.handle.reload_tls()).is_err());
    assert_eq!(server.handle.fingerprint(), None);
    let (own, _) = own();
    assert_eq!(block_on(own.handle.reload_tls()).ok(), own.handle.fingerprint());
}
