//! Client and server of this library over connections that are cut at random: each message arrives once, in order.
#![cfg(feature = "testing")]

use std::collections::BTreeMap;
use std::time::Duration;

use async_std::task::{block_on, spawn};
use chatnet::testing::Proxy;
use chatnet::{Client, ClientBuilder, Event, Events, Reconnect};
use futures::StreamExt;
use futures::future::join_all;

use crate::support::{PATIENCE, TestServer};

fn hasty(alias: &str) -> ClientBuilder {
    let rules = Reconnect::default().first_delay(Duration::from_millis(1)).max_delay(Duration::from_millis(20));
    Client::builder().alias(alias).reconnect(rules)
}

/// Take events until everything up to `last` is known.
async fn take(mut events: Events, last: u64) -> BTreeMap<u64, String> {
    // Its own texts by their acks, others' by their events.
    let mut seen = BTreeMap::new();
    let mut before = 0;
    let taking = async {
        while (seen.len() as u64) < last {
            let (seq, text, live) = match events.next().await.expect("the client goes on") {
                Event::Message(m) => (m.seq.get(), m.text, true),
                Event::Acked(a) => (a.seq.get(), a.text, false),
                Event::Gap { from, to, .. } => panic!("a gap from {from} to {to}"),
                Event::SessionLost { code, text } => panic!("the session is lost: {text} ({code})"),
                Event::Closed { reason } => panic!("closed: {reason}"),
                _ => continue,
            };
            if live {
                assert!(seq > before, "{seq} came behind {before}");
                before = seq;
            }
            if let Some(old) = seen.insert(seq, text.clone()) {
                panic!("{seq} came twice: {old:?}, {text:?}, an event: {live}");
            }
        }
    };
    async_std::future::timeout(3 * PATIENCE, taking).await.expect("everything arrives in time");
    seen
}

#[test]
fn over_connections_that_are_cut_all_the_time_each_message_arrives_once_and_in_order() {
    const CLIENTS: u64 = 5;
    const EACH: u64 = 2_000;
    let seed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64;
    println!("seed {seed}");
    block_on(async {
        let server = TestServer::with(|b| b.grace(Duration::from_secs(60)));
        let proxy = Proxy::start(server.addr, seed, 30_000).unwrap();
        let mut clients = Vec::new();
        while (clients.len() as u64) < CLIENTS {
            // The first connection may be cut too, which is an error.
            let alias = format!("d{}", clients.len());
            if let Ok(client) = hasty(&alias).alias_fallback(true).connect(proxy.addr()).await {
                clients.push(client);
            }
        }
        let last = CLIENTS * EACH;
        let running = clients.into_iter().enumerate().map(|(i, (client, events))| {
            spawn(async move {
                let reading = spawn(take(events, last));
                let room = client.room().unwrap();
                for n in 0..EACH {
                    drop(room.send(format!("{i} {n}")).await.unwrap());
                }
                assert!(client.flush().await);
                (reading.await, client)
            })
        });
        let seen: Vec<(BTreeMap<u64, String>, Client)> = join_all(running).await;
        println!("{} cuts", proxy.cuts());
        assert!(proxy.cuts() > 3);
        let first = &seen[0].0;
        assert!(first.keys().copied().eq(1..=last));
        for (other, _) in &seen[1..] {
            assert!(other == first, "everybody ends equal");
        }
        for i in 0..CLIENTS {
            let own = first.values().filter_map(|text| text.strip_prefix(&format!("{i} ")));
            assert!(own.eq((0..EACH).map(|n| n.to_string()).collect::<Vec<_>>()), "in the order of sending");
        }
    });
}
