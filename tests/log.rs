//! What the server logs, as the application's subscriber gets it. A process of its own: a subscriber is for all of it.

use std::fmt::{Debug, Write};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use async_std::task::block_on;
use chatnet::{Client, Handler, Interests, Message, Verdict};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber, span};

#[path = "support/mod.rs"]
mod support;

use support::{PATIENCE, TestServer, Wire};

static LOG: Mutex<Vec<(Level, String)>> = Mutex::new(Vec::new());

/// Keeps every event as one line.
struct Keep;

impl Subscriber for Keep {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("chatnet")
    }

    fn event(&self, event: &Event<'_>) {
        struct Line(String);
        impl Visit for Line {
            fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
                write!(self.0, "{}={value:?} ", field.name()).unwrap();
            }
        }
        let mut line = Line(String::new());
        event.record(&mut line);
        LOG.lock().unwrap().push((*event.metadata().level(), line.0));
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

/// The line with all of these in it; waits for it.
fn logged(level: Level, words: &[&str]) -> String {
    let since = Instant::now();
    loop {
        let log = LOG.lock().unwrap().clone();
        if let Some((_, line)) =
            log.iter().find(|(l, line)| *l == level && words.iter().all(|word| line.contains(word)))
        {
            return line.clone();
        }
        assert!(since.elapsed() < PATIENCE, "no {level} line with {words:?} in {log:#?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Blocks its thread, or panics.
#[derive(Debug)]
struct Rude;

impl Handler for Rude {
    fn interests(&self) -> Interests {
        Interests::none().message()
    }

    async fn message(&self, message: Message<'_>) -> Verdict {
        match message.text {
            "block" => std::thread::sleep(Duration::from_millis(150)),
            "panic" => panic!("of my own"),
            _ => {}
        }
        Verdict::Deliver
    }
}

#[test]
fn what_goes_wrong_is_logged_with_its_session_and_what_is_said_is_not() {
    tracing::subscriber::set_global_default(Keep).unwrap();
    let server = TestServer::with(|builder| builder.handler(Rude));
    let session = block_on(async {
        let (ada, _) = Client::builder().alias("ada").connect(server.addr).await.unwrap();
        let room = ada.room().unwrap();
        room.send("quick and secret").await.unwrap().await.unwrap();
        room.send("block").await.unwrap().await.unwrap();
        let session = ada.session().to_string();
        let blocked = logged(Level::WARN, &["blocked its thread for", &session]);
        assert!(blocked.contains("handler's message"), "{blocked}");
        let slow = LOG.lock().unwrap().iter().filter(|(_, line)| line.contains("blocked its thread")).count();
        assert_eq!(slow, 1, "a quick answer is not worth a line");
        drop(room.send("panic").await.unwrap());
        session
    });
    logged(Level::ERROR, &["panicked: of my own", &session]);

    let mut stranger = Wire::connect(server.addr);
    stranger.raw(b"GET / HTTP/1.1\r\n\r\n");
    std::io::Read::read_to_end(&mut stranger.stream, &mut Vec::new()).unwrap();
    let address = stranger.stream.local_addr().unwrap().to_string();
    logged(Level::INFO, &["not_chatnet", "HTTP", &address]);
    assert!(!LOG.lock().unwrap().iter().any(|(level, line)| *level <= Level::INFO && line.contains("secret")));
}
