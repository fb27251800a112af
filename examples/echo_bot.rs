//! A bot: it answers what people say to it.
//!
//! `cargo run --example echo_bot -- 127.0.0.1:50000`

use std::error::Error;

use chatnet::{Client, Event};
use futures::StreamExt;

fn main() -> Result<(), Box<dyn Error>> {
    let addr = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:50000".into());
    async_std::task::block_on(async {
        let (client, mut events) = Client::builder().alias("echo").connect(addr).await?;
        println!("here as {}", client.alias());
        while let Some(event) = events.next().await {
            match event {
                Event::Message(message) => {
                    let Some(text) = message.text.strip_prefix("echo, ") else { continue };
                    let Some(room) = client.room() else { continue };
                    let answer = format!("{}: {text}", message.from.alias);
                    // The receipt says whether it was stored; a bot that only answers needn't wait for it.
                    drop(room.send(answer).await?);
                }
                Event::Reconnecting { reason, .. } | Event::Closed { reason } => println!("{reason}"),
                _ => {}
            }
        }
        Ok(())
    })
}
