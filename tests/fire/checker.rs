//! What was said, acknowledged and heard, and whether it fits together.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_std::task;
use chatnet::{Client, Event, Events, SkipReason};
use futures::StreamExt;

/// Knows what every client was told. Clones are the same checker.
#[derive(Debug, Clone, Default)]
pub struct Checker {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Texts that were given to a client to send.
    said: HashMap<String, usize>,
    /// What each client knows of the room: its place, and the text there.
    seen: Vec<BTreeMap<u64, String>>,
    /// The last message that each client was given, by its place.
    last: Vec<u64>,
    acked: HashMap<String, u64>,
    violations: Vec<String>,
    gaps: u64,
    resumed: u64,
}

impl Checker {
    /// Another client; its number.
    pub fn client(&self) -> usize {
        let mut inner = self.inner.lock().unwrap();
        inner.seen.push(BTreeMap::new());
        inner.last.push(0);
        inner.seen.len() - 1
    }

    pub fn said(&self, client: usize, text: &str) {
        self.inner.lock().unwrap().said.insert(text.to_owned(), client);
    }

    /// Take what a client is told.
    pub fn event(&self, client: usize, event: &Event) {
        let mut inner = self.inner.lock().unwrap();
        match event {
            Event::Message(message) => {
                let seq = message.seq.get();
                if seq <= inner.last[client] {
                    let last = inner.last[client];
                    inner.violations.push(format!("client {client} was given {seq} after {last}: {}", message.text));
                }
                inner.last[client] = seq;
                if inner.said.get(&message.text) == Some(&client) {
                    inner.violations.push(format!("client {client} was given its own {seq} as a message"));
                }
                inner.see(client, seq, &message.text);
            }
            Event::Acked(acked) => {
                let seq = acked.seq.get();
                if let Some(before) = inner.acked.insert(acked.text.clone(), seq) {
                    inner.violations.push(format!("{:?} was acked as {before} and as {seq}", acked.text));
                }
                inner.see(client, seq, &acked.text);
            }
            Event::Refused { text, reason, .. } => {
                inner.violations.push(format!("{text:?} was refused: {reason}"));
            }
            Event::Gap { from, to, reason, .. } => {
                inner.gaps += to.get() + 1 - from.get();
                if *reason != SkipReason::Limit {
                    inner.violations.push(format!("client {client} was told a gap {from}..{to} ({reason:?})"));
                }
            }
            Event::Resumed { .. } => inner.resumed += 1,
            Event::SessionLost { text, .. } => {
                inner.violations.push(format!("client {client} lost its session: {text}"))
            }
            Event::Closed { reason } => inner.violations.push(format!("client {client} was closed: {reason}")),
            _ => {}
        }
    }

    /// How many texts are acked.
    pub fn acked(&self) -> usize {
        self.inner.lock().unwrap().acked.len()
    }

    /// How often a client went on with its session.
    pub fn resumed(&self) -> u64 {
        self.inner.lock().unwrap().resumed
    }

    /// Wait until so many texts are acked.
    pub async fn acks(&self, wanted: usize, patience: Duration) {
        self.until("enough is acked", patience, || self.acked() >= wanted).await;
    }

    /// Wait until every client knows the whole room: as many events as were said.
    pub async fn complete(&self, patience: Duration) {
        self.until("everybody knows everything", patience, || self.is_complete()).await;
    }

    async fn until(&self, what: &str, patience: Duration, reached: impl Fn() -> bool) {
        let began = Instant::now();
        while !reached() {
            let short = || {
                let inner = self.inner.lock().unwrap();
                let known: Vec<usize> = inner.seen.iter().map(BTreeMap::len).collect();
                format!("{} said, {} acked, known {known:?}", inner.said.len(), inner.acked.len())
            };
            assert!(began.elapsed() < patience, "not yet, after {patience:?}: {what}: {}", short());
            assert!(self.violations().is_empty(), "{:#?}", self.violations());
            task::sleep(Duration::from_millis(2)).await;
        }
    }

    fn is_complete(&self) -> bool {
        let inner = self.inner.lock().unwrap();
        let all = inner.said.len();
        inner.acked.len() == all && inner.seen.iter().all(|seen| seen.len() == all)
    }

    fn violations(&self) -> Vec<String> {
        self.inner.lock().unwrap().violations.clone()
    }

    /// Judge: nothing invented, lost, doubled or in another order than in the log, which everybody knows alike.
    pub fn judge(&self, log: &[(u64, String)]) {
        let inner = self.inner.lock().unwrap();
        assert!(inner.violations.is_empty(), "{:#?}", inner.violations);
        let log: BTreeMap<u64, String> = log.iter().cloned().collect();
        let texts: HashMap<&String, u64> = log.iter().map(|(seq, text)| (text, *seq)).collect();
        assert_eq!(texts.len(), log.len(), "a text is in the log twice");
        assert!(log.keys().copied().eq(1..=log.len() as u64), "the log has a gap");
        for text in log.values() {
            assert!(inner.said.contains_key(text), "nobody said {text:?}");
        }
        for (text, seq) in &inner.acked {
            assert_eq!(texts.get(text), Some(seq), "{text:?} was acked as {seq}");
        }
        for (client, seen) in inner.seen.iter().enumerate() {
            assert!(*seen == log, "client {client} knows another room than the store");
        }
    }
}

impl Inner {
    fn see(&mut self, client: usize, seq: u64, text: &str) {
        if !self.said.contains_key(text) {
            self.violations.push(format!("client {client} was given {text:?}, which nobody said"));
        }
        if let Some(before) = self.seen[client].insert(seq, text.to_owned()) {
            self.violations.push(format!("client {client} was given {seq} twice: {before:?} and {text:?}"));
        }
    }
}

/// Give a client's events to the checker, for as long as they come.
pub fn watch(checker: &Checker, client: usize, mut events: Events) -> task::JoinHandle<()> {
    let checker = checker.clone();
    task::spawn(async move {
        while let Some(event) = events.next().await {
            // It wants to be closed at the end.
            if !matches!(event, Event::Closed { reason: chatnet::CloseReason::Requested }) {
                checker.event(client, &event);
            }
        }
    })
}

/// Have a client say so many texts, as fast as its outbox takes them.
pub async fn talk(checker: &Checker, number: usize, client: &Client, texts: std::ops::Range<usize>) {
    let room = client.room().expect("it is in the lobby");
    for i in texts {
        let text = format!("client {number} says {i}");
        checker.said(number, &text);
        drop(room.send(text).await.expect("the outbox takes it"));
    }
}
