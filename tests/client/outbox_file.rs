//! The outbox on disk: what one client leaves behind, the next one sends.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use async_std::task::{block_on, spawn};
use chatnet::id::Seq;
use chatnet::protocol::message::*;
use chatnet::{Client, ClientBuilder, Code, ConnectError, Event, ReceiptError, Reconnect};
use futures::StreamExt;

use crate::script::*;
use crate::support::TestServer;

/// A directory of a test's own.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("chatnet-{}", chatnet::SessionId::random()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn keeping(path: &PathBuf) -> ClientBuilder {
    Client::builder().alias("ada").outbox_file(path).reconnect(Reconnect::never())
}

/// What a crash at this moment would leave.
fn crash(directory: &Directory, name: &str) -> PathBuf {
    let left = directory.file(name);
    fs::copy(directory.file("outbox"), &left).unwrap();
    left
}

#[test]
fn what_a_crashed_client_had_not_had_answered_is_sent_by_the_next_one_under_its_numbers() {
    block_on(async {
        let directory = Directory::new();
        let (client, mut events, mut script, _road) = roaming(keeping(&directory.file("outbox"))).await;
        let room = client.room().unwrap();
        drop(room.send("one").await.unwrap());
        let first: Publish = script.expect().await;
        script.ack(&first, 0, 1, 10).await;
        until(&mut events, |e| matches!(e, Event::Acked(_)).then_some(())).await;
        drop(room.send("two").await.unwrap());
        script.expect::<Publish>().await;
        let left = crash(&directory, "left");

        let (near, mut script) = pipe();
        let opening = spawn(keeping(&left).connect_over(near));
        script.resume(1, 9, 10).await;
        // One for what is left to say there, one for being there.
        script.join_lobby(10).await;
        script.join_lobby(10).await;
        let (next, mut events) = opening.await.unwrap();
        assert_eq!(next.restored(), 1);
        let again: Publish = script.expect().await;
        assert_eq!((again.outbox, again.n, &again.bodies[..]), (first.outbox, 2, &[Body::text("two")][..]));
        script.ack(&again, 0, 1, 11).await;
        until(&mut events, |e| matches!(e, Event::Acked(a) if a.text == "two").then_some(())).await;
        // And what is said next goes on with the numbers.
        drop(next.room().unwrap().send("three").await.unwrap());
        assert_eq!(script.expect::<Publish>().await.n, 3);
    });
}

#[test]
fn a_text_is_on_the_disk_before_it_is_on_the_way() {
    block_on(async {
        let directory = Directory::new();
        let path = directory.file("outbox");
        let (client, _events, mut script, _road) = roaming(keeping(&path)).await;
        for i in 0..200 {
            let text = format!("text {i}.");
            drop(client.room().unwrap().send(&text).await.unwrap());
            script.expect::<Publish>().await;
            assert!(String::from_utf8_lossy(&fs::read(&path).unwrap()).contains(&text), "{text}");
        }
    });
}

#[test]
fn without_its_session_the_next_client_joins_the_rooms_again_and_keeps_the_numbers() {
    block_on(async {
        let directory = Directory::new();
        let (client, _events, mut script, _road) = roaming(keeping(&directory.file("outbox"))).await;
        drop(client.room().unwrap().send("one").await.unwrap());
        let first: Publish = script.expect().await;
        let left = crash(&directory, "left");
        let (near, mut script) = pipe();
        let opening = spawn(keeping(&left).room("den").connect_over(near));
        script.welcome(60_000).await;
        script.expect::<Auth>().await;
        let (text, request, suggestion) = ("gone".into(), None, None);
        let (code, fatal) = (Code::SESSION_EXPIRED, false);
        script.send(&ErrorReply { code, text, request, fatal, retry_after_ms: None, suggestion }).await;
        script.expect::<Auth>().await;
        script.authenticated(5).await;
        script.attached(false, 9).await;
        let rejoin: Join = script.expect().await;
        assert_eq!(rejoin.name, "lobby");
        let den: Join = script.expect().await;
        for (join, room, head) in [(rejoin, ROOM, 20), (den, chatnet::RoomId::from_bytes([6; 16]), 0)] {
            let (request, name, head) = (join.request, join.name, Seq::new(head));
            script
                .send(&Joined {
                    request,
                    room,
                    name,
                    head,
                    presence: 1,
                    count: 1,
                    latest: None,
                    read: None,
                    about: None,
                })
                .await;
        }
        let again: Publish = script.expect().await;
        assert_eq!((again.outbox, again.room, again.n), (first.outbox, ROOM, first.n));
        assert_eq!(&again.bodies[..], &[Body::text("one")][..]);
        assert_eq!(opening.await.unwrap().0.room().unwrap().name().as_str(), "den");
    });
}

#[test]
fn a_torn_file_gives_what_is_whole_and_one_of_another_kind_is_refused_and_left_alone() {
    block_on(async {
        let directory = Directory::new();
        let (client, _events, mut script, _road) = roaming(keeping(&directory.file("outbox"))).await;
        drop(client.room().unwrap().send("one").await.unwrap());
        script.expect::<Publish>().await;
        let left = crash(&directory, "left");
        let whole = fs::read(&left).unwrap();
        fs::write(&left, [&whole[..], &[0, 0, 0, 99, 1, 2]].concat()).unwrap();
        let (near, mut script) = pipe();
        let opening = spawn(keeping(&left).connect_over(near));
        script.resume(1, 9, 9).await;
        script.join_lobby(9).await;
        script.join_lobby(9).await;
        assert_eq!(opening.await.unwrap().0.restored(), 1);

        let foreign = directory.file("foreign");
        fs::write(&foreign, "dear diary").unwrap();
        let refused = keeping(&foreign).connect_over(pipe().0).await.unwrap_err();
        assert!(matches!(refused, ConnectError::Outbox { .. }) && refused.to_string().contains("not an outbox"));
        assert_eq!(fs::read(&foreign).unwrap(), b"dear diary");
    });
}

#[test]
fn one_client_at_a_time_uses_a_file_and_only_its_owner_may_read_it() {
    block_on(async {
        let directory = Directory::new();
        let path = directory.file("outbox");
        let (client, _events, _server) = connected(keeping(&path), 60_000).await;
        let busy = keeping(&path).connect_over(pipe().0).await.unwrap_err();
        assert!(busy.to_string().contains("another program is using it"), "{busy}");
        #[cfg(unix)]
        for name in ["outbox", "outbox.lock"] {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(directory.file(name)).unwrap().permissions().mode() & 0o777, 0o600);
        }
        client.close().await;
        drop(client);
        connected(keeping(&path), 60_000).await;
    });
}

#[test]
fn a_file_stays_small_however_much_passes_through_it() {
    block_on(async {
        let directory = Directory::new();
        let server = TestServer::start();
        let path = directory.file("outbox");
        let builder = keeping(&path).outbox_bytes(50_000);
        let (client, _events) = builder.connect(server.addr).await.unwrap();
        let room = client.room().unwrap();
        let mut longest = 0;
        for i in 0..2000 {
            drop(room.send(format!("{i} {}", "x".repeat(500))).await.unwrap());
            longest = longest.max(fs::metadata(&path).map_or(0, |m| m.len()));
        }
        assert!(client.flush().await);
        // What comes while it is written anew is added behind: once more than the bound, at most.
        assert!(longest < 2 * (2 * 50_000 + 64 * 1024), "{longest}");
    });
}

#[test]
fn a_client_that_crashes_again_and_again_says_everything_once() {
    block_on(async {
        let directory = Directory::new();
        let server = TestServer::with(|b| b.grace(Duration::from_secs(60)));
        let (_bob, mut heard) = Client::builder().alias("bob").connect(server.addr).await.unwrap();
        let mut path = directory.file("outbox");
        let mut said = 0;
        for round in 0..10 {
            let ada = Client::builder().alias("ada").outbox_file(&path);
            let (ada, mut events) = ada.connect(server.addr).await.unwrap();
            let room = ada.room().unwrap();
            let mut receipts = Vec::new();
            for _ in 0..20 {
                receipts.push(room.send(format!("{said}")).await.unwrap());
                said += 1;
            }
            // Some of it was answered, the rest is anywhere; the file is as it is.
            if round % 2 == 0 {
                let some = receipts.drain(..round).collect::<Vec<_>>();
                for receipt in some {
                    receipt.await.unwrap();
                }
            }
            let left = directory.file(&format!("left{round}"));
            loop {
                // Not while it is being replaced, and not before everything is in it.
                if let Ok(bytes) = fs::read(&path)
                    && String::from_utf8_lossy(&bytes).contains(&format!("{}", said - 1))
                {
                    fs::write(&left, bytes).unwrap();
                    break;
                }
                if receipts.is_empty() || ada.unsent() == 0 {
                    fs::copy(&path, &left).unwrap();
                    break;
                }
                async_std::task::yield_now().await;
            }
            path = left;
            // The old process is gone from here on: it says no goodbye, and hears nothing.
            spawn(async move { while events.next().await.is_some() {} });
            std::mem::forget((ada, room));
        }
        let (ada, _events) = Client::builder().alias("ada").outbox_file(&path).connect(server.addr).await.unwrap();
        assert!(ada.flush().await);
        for n in 0..said {
            let text = until(&mut heard, |e| if let Event::Message(m) = e { Some(m.text) } else { None }).await;
            assert_eq!(text, n.to_string());
        }
    });
}

#[test]
fn what_is_not_answered_at_the_end_is_told_as_lost_and_kept() {
    block_on(async {
        let directory = Directory::new();
        let path = directory.file("outbox");
        let (client, mut events, mut script) = connected(keeping(&path), 60_000).await;
        let receipt = client.room().unwrap().send("one").await.unwrap();
        script.expect::<Publish>().await;
        drop(script);
        closed(&mut events).await;
        assert_eq!(receipt.await.unwrap_err(), ReceiptError::Lost { unsent: 1 });
        client.close().await;
        drop(client);
        let (near, mut script) = pipe();
        let opening = spawn(keeping(&path).connect_over(near));
        script.welcome(60_000).await;
        script.authenticated(1).await;
        script.attached(false, 1).await;
        script.join_lobby(9).await;
        script.join_lobby(9).await;
        assert_eq!(opening.await.unwrap().0.restored(), 1);
    });
}

#[test]
fn an_outbox_that_can_not_be_kept_any_more_is_told_and_goes_on_in_memory() {
    block_on(async {
        let directory = Directory::new();
        let server = TestServer::start();
        let builder = keeping(&directory.file("outbox")).outbox_bytes(20_000);
        let (client, mut events) = builder.connect(server.addr).await.unwrap();
        let room = client.room().unwrap();
        // It is written anew now and then, which needs its directory.
        fs::remove_dir_all(&directory.0).unwrap();
        for i in 0..200 {
            drop(room.send(format!("{i} {}", "x".repeat(1000))).await.unwrap());
        }
        let told = until(&mut events, |e| if let Event::OutboxUnkept { text } = e { Some(text) } else { None }).await;
        assert!(told.contains("outbox: "), "{told}");
        room.send("still here").await.unwrap().await.unwrap();
    });
}
