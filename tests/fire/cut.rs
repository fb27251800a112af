//! Real sockets, cut at random.

use std::sync::Arc;
use std::time::Duration;

use async_std::task;
use chatnet::store::{SqliteOptions, SqliteStore};
use chatnet::testing::Proxy;
use chatnet::{Client, Server};

use crate::checker::{Checker, talk, watch};
use crate::{lobby_of, seed, whole_log};

const CLIENTS: usize = 50;
const TEXTS: usize = 400;

#[test]
fn fifty_clients_whose_connections_are_cut_say_and_hear_everything_once_and_in_order() {
    let seed = seed();
    let data = tempfile::tempdir().unwrap();
    let checker = Checker::default();
    let log = task::block_on(async {
        let store = SqliteStore::open(data.path().join("chatnet.db"), SqliteOptions::default()).unwrap();
        let store = Arc::new(store);
        let server = Server::builder().store(Arc::clone(&store)).bind("127.0.0.1:0").await.unwrap();
        let (addr, handle) = (server.local_addr().unwrap(), server.handle());
        let serving = task::spawn(server.serve());
        // Each client hears 20,000 texts of about 60 bytes: each is cut about a dozen times.
        let proxy = Proxy::start(addr, seed, 100_000).unwrap();
        let mut clients = Vec::new();
        for i in 0..CLIENTS {
            let number = checker.client();
            // Connecting itself doesn't try again; here it has to. Whoever was let in before the cut holds the alias.
            let (client, events) = loop {
                let builder = Client::builder().alias(format!("c{i}")).alias_fallback(true);
                match builder.connect(proxy.addr()).await {
                    Ok(connected) => break connected,
                    Err(e) => println!("client {i} connects again: {e}"),
                }
            };
            watch(&checker, number, events);
            clients.push((number, client));
        }
        let talking: Vec<_> = clients
            .iter()
            .map(|(number, client)| {
                let (checker, number, client) = (checker.clone(), *number, client.clone());
                task::spawn(async move { talk(&checker, number, &client, 0..TEXTS).await })
            })
            .collect();
        for talking in talking {
            talking.await;
        }
        checker.complete(Duration::from_secs(120)).await;
        println!("{} cuts, {} resumes, seed {seed}", proxy.cuts(), checker.resumed());
        assert!(proxy.cuts() > CLIENTS as u64, "too few connections were cut to show anything");
        let log = whole_log(&*store, lobby_of(&*store).await).await;
        for (_, client) in clients {
            client.close().await;
        }
        handle.shutdown(Duration::from_secs(5)).await;
        serving.await;
        log
    });
    checker.judge(&log);
}
