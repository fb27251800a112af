//! The real server with its real database, killed again and again under load.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use async_std::task;
use chatnet::store::{Log, SqliteOptions, SqliteStore};
use chatnet::testing::Random;
use chatnet::{Client, Seq};

use crate::checker::{Checker, talk, watch};
use crate::process::{Daemon, Running, program};
use crate::{seed, whole_log};

/// Clients that talk.
const CLIENTS: usize = 6;

/// Begin to copy a running server's database.
fn back_up(data: &Path, copy: &Path) -> (Running, PathBuf) {
    let mut command = program(&[], data);
    command.arg("backup").arg(copy).stdout(Stdio::null()).stderr(Stdio::null());
    (Running(command.spawn().unwrap()), copy.to_owned())
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn a_server_that_is_killed_again_and_again_loses_no_acked_event_and_doubles_none() {
    let rounds: usize = std::env::var("CHATNET_FIRE_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(10);
    let seed = seed();
    let mut random = Random::new(seed);
    let data = tempfile::tempdir().unwrap();
    let addr = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let start = || Daemon::start(data.path(), &["--port", &addr.port().to_string()]);
    let mut server = start();
    let checker = Checker::default();
    let server = task::block_on(async {
        let mut clients = Vec::new();
        for i in 0..CLIENTS {
            let number = checker.client();
            let (client, events) = Client::builder().alias(format!("c{i}")).connect(addr).await.unwrap();
            watch(&checker, number, events);
            clients.push((number, client));
        }
        let (mut said, mut copies) = (0, 0);
        for round in 0..rounds {
            let texts = 50 + random.below(200) as usize;
            let talking: Vec<_> = clients
                .iter()
                .map(|(number, client)| {
                    let (checker, number, client) = (checker.clone(), *number, client.clone());
                    task::spawn(async move { talk(&checker, number, &client, said..said + texts).await })
                })
                .collect();
            said += texts;
            // Somewhere while they talk; often enough in the middle of a commit.
            let acked = checker.acked();
            let wanted = acked + 1 + random.below((texts * CLIENTS / 2) as u64) as usize;
            checker.acks(wanted, Duration::from_secs(30)).await;
            // Now and then while a copy is made, which is killed as well, or is whole.
            let copying =
                (random.below(4) == 0).then(|| back_up(data.path(), &data.path().join(format!("copy-{round}"))));
            task::sleep(Duration::from_micros(random.below(20_000))).await;
            server.kill();
            if let Some((mut copying, copy)) = copying {
                if random.below(2) == 0 {
                    let _ = copying.kill();
                }
                if copying.wait().unwrap().success() {
                    let findings = SqliteStore::check(&copy).unwrap();
                    assert!(findings.problems.is_empty(), "{:?}", findings.problems);
                    copies += 1;
                }
            }
            server = start();
            clients.iter().for_each(|(_, client)| client.network_changed());
            for talking in talking {
                talking.await;
            }
            println!("round {round}: {} acked of {}", checker.acked(), said * CLIENTS);
        }
        checker.complete(Duration::from_secs(60)).await;
        for (_, client) in clients {
            client.close().await;
        }
        println!("{copies} copies were made meanwhile");
        server
    });
    server.kill();
    let log = task::block_on(async {
        let store = SqliteStore::open(data.path().join("chatnet.db"), SqliteOptions::default()).unwrap();
        let snapshot = store.load().await.unwrap();
        let (lobby, extent) = snapshot.rooms.iter().find(|(room, _)| room.name.as_str() == "lobby").unwrap();
        assert_eq!(extent.trimmed, Seq::ZERO);
        whole_log(&store, lobby.id).await
    });
    checker.judge(&log);
    println!("{rounds} kills, {} events, {} resumes, seed {seed}", log.len(), checker.resumed());
}
