//! Stores from outside.
#![cfg(all(feature = "sqlite", feature = "testing"))]

mod contract;
mod copies;
mod crash;
mod files;
mod people;
mod space;

use std::path::PathBuf;
use std::sync::Arc;

use chatnet::store::{Author, Commit, NewBatch, Run, SqliteOptions, SqliteStore};
use chatnet::{Alias, EventKind, PrincipalId, PrincipalKind, RoomId, Timestamp};

/// A directory of its own, which goes with it.
#[derive(Debug)]
struct Dir(PathBuf);

impl Dir {
    fn new() -> Self {
        let dir = std::env::temp_dir().join(format!("chatnet-store-{}", chatnet::SessionId::random()));
        std::fs::create_dir(&dir).unwrap();
        Self(dir)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn db(&self) -> PathBuf {
        self.file("chat.db")
    }

    fn open(&self) -> SqliteStore {
        SqliteStore::open(self.db(), SqliteOptions::default()).unwrap()
    }

    /// Names of the files whose bytes have this text somewhere.
    fn grep(&self, text: &str) -> Vec<String> {
        let has = |bytes: Vec<u8>| bytes.windows(text.len()).any(|window| window.eq_ignore_ascii_case(text.as_bytes()));
        let files = std::fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap());
        let found = files.filter(|file| has(std::fs::read(file.path()).unwrap()));
        found.map(|file| file.file_name().into_string().unwrap()).collect()
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn texts(room: RoomId, now: i64, texts: &[&str]) -> Commit {
    let author = Author {
        principal: PrincipalId::from_bytes([1; 16]),
        kind: PrincipalKind::Guest,
        alias: Alias::parse("ada").unwrap(),
    };
    let mut events = Run::default();
    texts.iter().for_each(|text| events.push(EventKind::TEXT, text.as_bytes()));
    let batch = NewBatch { room, author: Arc::new(author), origin: None, publish: None, events };
    Commit { changes: Vec::new(), batches: vec![batch], now: Timestamp::from_millis(now) }
}
