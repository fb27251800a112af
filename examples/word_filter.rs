//! A server inside a program, with a rule of its own: some words don't pass.
//!
//! `cargo run --example word_filter -- 127.0.0.1:50000 darn heck`

use std::error::Error;

use chatnet::{Handler, Interests, Message, Server, Verdict};

#[derive(Debug)]
struct WordFilter {
    words: Vec<String>,
}

impl Handler for WordFilter {
    fn interests(&self) -> Interests {
        Interests::none().message()
    }

    async fn message(&self, message: Message<'_>) -> Verdict {
        let clean =
            self.words.iter().fold(message.text.to_owned(), |text, word| text.replace(word, &"*".repeat(word.len())));
        if clean == message.text { Verdict::Deliver } else { Verdict::Replace(clean) }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let addr = args.next().unwrap_or_else(|| "127.0.0.1:50000".into());
    let words = args.filter(|word| !word.is_empty()).collect();
    async_std::task::block_on(async {
        let server = Server::builder().name("filtered").handler(WordFilter { words }).bind(addr).await?;
        println!("listening on {}", server.local_addr().ok_or("no address")?);
        server.serve().await;
        Ok(())
    })
}
