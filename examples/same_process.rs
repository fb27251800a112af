//! A server and its clients in one process, without a socket: a game's chat in single-player mode, or a test.

use std::error::Error;

use async_std::task;
use chatnet::{Client, Event, Events, Server, ServerHandle, transport::memory};
use futures::StreamExt;

async fn connect(handle: &ServerHandle, alias: &str) -> Result<(Client, Events), Box<dyn Error>> {
    let (near, far) = memory::pair(64 * 1024);
    let handle = handle.clone();
    task::spawn(async move { handle.serve_connection(far).await });
    Ok(Client::builder().alias(alias).connect_over(near).await?)
}

fn main() -> Result<(), Box<dyn Error>> {
    task::block_on(async {
        let server = Server::builder().build().await?;
        let handle = server.handle();
        let (ada, _) = connect(&handle, "ada").await?;
        let (bob, mut events) = connect(&handle, "bob").await?;
        ada.room().ok_or("no room")?.send("hello, neighbour").await?.await?;
        while let Some(event) = events.next().await {
            if let Event::Message(message) = event {
                println!("{} hears {}: {}", bob.alias(), message.from.alias, message.text);
                break;
            }
        }
        ada.close().await;
        bob.close().await;
        Ok(())
    })
}
