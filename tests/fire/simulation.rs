//! Clients over a network that fails in every way, and a server that is stopped and started meanwhile.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_std::task;
use chatnet::store::{Durability, SqliteOptions, SqliteStore, StoreErrorKind};
use chatnet::testing::{Crossroads, Faulty, Plan, Random};
use chatnet::transport::memory;
use chatnet::{Client, Server, ServerHandle};

use crate::checker::{Checker, talk, watch};
use crate::{lobby_of, seed, whole_log};

const CLIENTS: usize = 8;
const ROUNDS: usize = 6;

/// A running server.
struct Running {
    handle: ServerHandle,
    serving: task::JoinHandle<()>,
}

impl Running {
    async fn start(path: &Path) -> Self {
        let builder = Server::builder().store(open(path).await).heartbeat(Duration::from_millis(200));
        let server = builder.build().await.unwrap();
        Self { handle: server.handle(), serving: task::spawn(server.serve()) }
    }

    /// Without a goodbye: whatever it had not stored is lost.
    async fn cut(self) {
        self.serving.cancel().await;
    }

    async fn shut_down(self) {
        self.handle.shutdown(Duration::from_secs(5)).await;
        self.serving.await;
    }
}

/// Open the store, once the last of the server before has let go of it.
async fn open(path: &Path) -> SqliteStore {
    let began = Instant::now();
    loop {
        match SqliteStore::open(path, SqliteOptions::default().durability(Durability::Normal)) {
            Ok(store) => return store,
            Err(e) if e.kind() == StoreErrorKind::InUse && began.elapsed() < Duration::from_secs(20) => {
                task::sleep(Duration::from_millis(2)).await;
            }
            Err(e) => panic!("{e}"),
        }
    }
}

#[test]
fn whatever_the_network_and_the_servers_life_do_everybody_ends_equal_to_the_store() {
    let seed = seed();
    let mut random = Random::new(seed);
    let data = tempfile::tempdir().unwrap();
    let path = data.path().join("chatnet.db");
    let checker = Checker::default();
    let log = task::block_on(async {
        let mut server = Running::start(&path).await;
        // Where connections go at the moment, and what happens to them.
        let there = Arc::new(Mutex::new(server.handle.clone()));
        let weather = Arc::new(Mutex::new((Random::new(random.next_u64()), true)));
        let crossroads = Crossroads::new(random.next_u64());
        let mut clients = Vec::new();
        for i in 0..CLIENTS {
            let number = checker.client();
            let (there, weather, crossroads) = (Arc::clone(&there), Arc::clone(&weather), crossroads.clone());
            let connect = move || {
                let plan = match &mut *weather.lock().unwrap() {
                    (random, true) => Plan::drawn(random, 6_000, Duration::from_millis(30)),
                    _ => Plan::calm(),
                };
                let there = Arc::clone(&there);
                let road = crossroads.open(move || {
                    let (near, far) = memory::pair(4096);
                    // A late one may meet another server than was there when it was opened.
                    let handle = there.lock().unwrap().clone();
                    task::spawn(async move { handle.serve_connection(far).await });
                    near
                });
                async move { Ok(Faulty::new(road, plan)) }
            };
            let (client, events) = loop {
                let builder = Client::builder().alias(format!("c{i}")).alias_fallback(true);
                let builder = builder.handshake_timeout(Duration::from_millis(500));
                match builder.connect_by(connect.clone()).await {
                    Ok(connected) => break connected,
                    // The first connection doesn't come back by itself; whoever was let in already holds the alias.
                    Err(e) => {
                        println!("client {i} connects again: {e}");
                        task::sleep(Duration::from_millis(5)).await;
                    }
                }
            };
            watch(&checker, number, events);
            clients.push((number, client));
        }
        crossroads.rush();
        let mut said = 0;
        for round in 0..ROUNDS {
            let texts = 20 + random.below(60) as usize;
            let talking: Vec<_> = clients
                .iter()
                .map(|(number, client)| {
                    let (checker, number, client) = (checker.clone(), *number, client.clone());
                    task::spawn(async move { talk(&checker, number, &client, said..said + texts).await })
                })
                .collect();
            said += texts;
            let wanted = checker.acked() + 1 + random.below((texts * CLIENTS / 2) as u64) as usize;
            checker.acks(wanted, Duration::from_secs(60)).await;
            if round % 2 == 0 {
                server.cut().await;
            } else {
                server.shut_down().await;
            }
            server = Running::start(&path).await;
            *there.lock().unwrap() = server.handle.clone();
            clients.iter().for_each(|(_, client)| client.network_changed());
            for talking in talking {
                talking.await;
            }
        }
        weather.lock().unwrap().1 = false;
        crossroads.calm();
        checker.complete(Duration::from_secs(60)).await;
        for (_, client) in clients {
            client.close().await;
        }
        println!("{crossroads:?}");
        assert!(crossroads.crossed() + crossroads.doubled() > 0, "too few to show anything");
        server.shut_down().await;
        drop(there);
        let store = open(&path).await;
        whole_log(&store, lobby_of(&store).await).await
    });
    checker.judge(&log);
    println!("{} events, {} resumes, seed {seed}", log.len(), checker.resumed());
}
