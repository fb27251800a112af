//! A client that comes back after its session has ended: what the server had stored before is not stored again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_std::task::{block_on, spawn};
use chatnet::transport::memory::{self, Pipe};
use chatnet::{Client, ClientBuilder, Event, Events, HistoryItem, Place, Reconnect, Room};
use futures::io::{AsyncReadExt, AsyncWriteExt};

use crate::script::until;
use crate::support::TestServer;

/// A server whose sessions wait for a moment only.
fn server() -> TestServer {
    TestServer::with(|b| b.grace(Duration::from_millis(100)))
}

/// The way to a server, on which answers can be held back while what is sent arrives.
#[derive(Clone)]
struct Way {
    handle: chatnet::ServerHandle,
    mute: Arc<AtomicBool>,
    cut: Arc<AtomicBool>,
}

impl Way {
    fn to(server: &TestServer) -> Self {
        Self { handle: server.handle.clone(), mute: Arc::default(), cut: Arc::default() }
    }

    async fn open(self) -> std::io::Result<Pipe> {
        if self.cut.load(Ordering::SeqCst) {
            return Err(std::io::ErrorKind::ConnectionRefused.into());
        }
        let (near, middle) = memory::pair(1 << 16);
        let (other, far) = memory::pair(1 << 16);
        let handle = self.handle.clone();
        spawn(async move { handle.serve_connection(far).await });
        let (from_client, to_client) = middle.split();
        let (from_server, to_server) = other.split();
        let (mute, cut) = (Arc::clone(&self.mute), Arc::clone(&self.cut));
        spawn(pass(from_client, to_server, Arc::default(), Arc::clone(&cut)));
        spawn(pass(from_server, to_client, mute, cut));
        Ok(near)
    }
}

async fn pass(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    mute: Arc<AtomicBool>,
    cut: Arc<AtomicBool>,
) {
    let mut buffer = [0; 4096];
    while let (Ok(n @ 1..), false) = (from.read(&mut buffer).await, cut.load(Ordering::SeqCst)) {
        if !mute.load(Ordering::SeqCst) && to.write_all(&buffer[..n]).await.is_err() {
            break;
        }
    }
    let _ = to.close().await;
}

fn hasty() -> ClientBuilder {
    let wait = Duration::from_millis(5);
    Client::builder().alias("ada").reconnect(Reconnect::default().first_delay(wait).max_delay(wait))
}

async fn bob(server: &TestServer) -> (Client, Events) {
    Client::builder().alias("bob").connect(server.addr).await.unwrap()
}

/// Wait until somebody else has said this.
async fn heard(events: &mut Events, text: &str) {
    until(events, |e| matches!(e, Event::Message(m) if m.text == text).then_some(())).await;
}

/// Every text of a room.
async fn said(room: &Room) -> Vec<String> {
    let page = room.history(Place::After(chatnet::Seq::ZERO), 100).await.unwrap();
    let text = |item: &HistoryItem| if let HistoryItem::Message(m) = item { Some(m.text.clone()) } else { None };
    page.messages.iter().filter_map(text).collect()
}

#[test]
fn what_was_stored_before_a_session_expired_is_acked_with_its_place_and_not_stored_again() {
    block_on(async {
        let server = server();
        let (bob, mut bobs) = bob(&server).await;
        let way = Way::to(&server);
        let (ada, mut events) = hasty()
            .connect_by({
                let way = way.clone();
                move || way.clone().open()
            })
            .await
            .unwrap();
        let room = ada.room().unwrap();
        room.send("one").await.unwrap().await.unwrap();
        way.mute.store(true, Ordering::SeqCst);
        let receipts = [room.send("two").await.unwrap(), room.send("three").await.unwrap()];
        heard(&mut bobs, "three").await;
        // The answers are lost with the connection, and the session in its time.
        way.cut.store(true, Ordering::SeqCst);
        room.send("four").await.map(drop).unwrap();
        until(&mut bobs, |e| matches!(e, Event::MemberLeft { .. }).then_some(())).await;
        way.mute.store(false, Ordering::SeqCst);
        way.cut.store(false, Ordering::SeqCst);
        until(&mut events, |e| matches!(e, Event::SessionLost { .. }).then_some(())).await;
        for (receipt, seq) in receipts.into_iter().zip(2..) {
            assert_eq!(receipt.await.unwrap().seq.get(), seq);
        }
        heard(&mut bobs, "four").await;
        assert_eq!(said(&bob.room().unwrap()).await, ["one", "two", "three", "four"]);
    });
}

#[test]
fn what_was_stored_before_a_session_expired_is_not_stored_again_by_the_next_client_with_its_outbox() {
    block_on(async {
        let (server, directory) = (server(), tempfile::tempdir().unwrap());
        let (bob, mut bobs) = bob(&server).await;
        let way = Way::to(&server);
        let file = directory.path().join("outbox");
        let (ada, _events) = hasty()
            .outbox_file(&file)
            .connect_by({
                let way = way.clone();
                move || way.clone().open()
            })
            .await
            .unwrap();
        let room = ada.room().unwrap();
        way.mute.store(true, Ordering::SeqCst);
        drop(room.send("one").await.unwrap());
        heard(&mut bobs, "one").await;
        // What a crash would leave.
        let left = directory.path().join("left");
        std::fs::copy(&file, &left).unwrap();
        way.cut.store(true, Ordering::SeqCst);
        until(&mut bobs, |e| matches!(e, Event::MemberLeft { .. }).then_some(())).await;
        let (again, mut events) = hasty().outbox_file(&left).connect(server.addr).await.unwrap();
        assert_eq!(again.restored(), 1);
        let acked = until(&mut events, |e| if let Event::Acked(acked) = e { Some(acked) } else { None }).await;
        assert_eq!((acked.text.as_str(), acked.seq.get()), ("one", 1));
        again.room().unwrap().send("two").await.unwrap().await.unwrap();
        heard(&mut bobs, "two").await;
        assert_eq!(said(&bob.room().unwrap()).await, ["one", "two"]);
        drop(ada);
    });
}
