//! What a program that embeds the library may rely on: nothing of the process is the library's.

use std::time::Duration;

use async_std::task::{block_on, spawn};
use chatnet::{Client, Server};

/// In a process of its own, for nobody else may have set anything either.
#[test]
fn nothing_process_wide_is_set_and_servers_share_nothing() {
    block_on(async {
        let mut serving = Vec::new();
        for _ in 0..2 {
            let server = Server::builder().bind("127.0.0.1:0").await.unwrap();
            let (addr, handle) = (server.local_addr().unwrap(), server.handle());
            serving.push((spawn(server.serve()), handle));
            // The alias is free on each, and each numbers its own lobby.
            let (ada, _) = Client::builder().alias("ada").connect(addr).await.unwrap();
            let acked = ada.room().unwrap().send("hello").await.unwrap().await.unwrap();
            assert_eq!(acked.seq.get(), 1);
            ada.close().await;
        }
        for (serving, handle) in serving {
            handle.shutdown(Duration::from_secs(10)).await;
            serving.await;
        }
    });
    assert!(!tracing::dispatcher::has_been_set(), "the library has set a subscriber; that is the application's to do");
}
