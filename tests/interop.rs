//! A client in another language, written from PROTOCOL.md alone, talks with this library's.
#![cfg(unix)]

#[path = "support/mod.rs"]
mod support;

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use async_std::task::block_on;
use chatnet::{Client, Event};
use futures::StreamExt;
use support::TestServer;

#[test]
fn a_client_from_the_document_alone_hears_and_is_heard() {
    let server = TestServer::start();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/client.py");
    block_on(async {
        let (ada, mut events) = Client::builder().alias("ada").connect(server.addr).await.unwrap();
        let port = server.addr.port().to_string();
        let mut python = Command::new("python3")
            .args([script, "127.0.0.1", &port, "pythia", "grüße ✓", "3"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 is there");
        let mut lines = BufReader::new(python.stdout.take().unwrap()).lines().map(Result::unwrap);
        assert_eq!(lines.next().as_deref(), Some("joined lobby"));
        let heard = loop {
            match events.next().await.unwrap() {
                Event::Message(message) => break message,
                Event::Closed { reason } => panic!("{reason}"),
                _ => {}
            }
        };
        assert_eq!((heard.from.alias.as_str(), heard.text.as_str(), heard.seq.get()), ("pythia", "grüße ✓", 1));
        // Longer than a CBOR head of one byte can say.
        let long = "x".repeat(70_000 / 2);
        for text in ["one", "", &long] {
            ada.room().unwrap().send(text).await.unwrap().await.unwrap();
        }
        let rest: Vec<String> = lines.collect();
        let expected = ["acked 1", "heard 2 ada one", "heard 3 ada ", &format!("heard 4 ada {long}"), "done"];
        assert_eq!(rest, expected);
        assert!(python.wait().unwrap().success());
    });
}
