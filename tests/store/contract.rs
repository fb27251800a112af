//! Every store keeps the contract.

use std::path::PathBuf;

use chatnet::store::{MemoryStore, SqliteOptions, SqliteStore};
use chatnet::testing::store::Place;

#[derive(Debug)]
struct Memory;

impl Place for Memory {
    type Store = MemoryStore;

    async fn open(&self) -> MemoryStore {
        MemoryStore::new(64 << 20, 1 << 30)
    }
}

/// A file that goes with its directory.
#[derive(Debug)]
pub(crate) struct File {
    pub(crate) dir: PathBuf,
    reopens: bool,
}

impl File {
    pub(crate) fn new(reopens: bool) -> Self {
        let dir = std::env::temp_dir().join(format!("chatnet-store-{}", chatnet::SessionId::random()));
        std::fs::create_dir(&dir).unwrap();
        Self { dir, reopens }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.dir.join("chat.db")
    }
}

impl Place for File {
    type Store = SqliteStore;

    async fn open(&self) -> SqliteStore {
        SqliteStore::open(self.path(), SqliteOptions::default()).unwrap()
    }

    fn reopens(&self) -> bool {
        self.reopens
    }
}

impl Drop for File {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let found = SqliteStore::check(self.path()).unwrap();
            assert_eq!(found.problems, Vec::<String>::new());
        }
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

mod memory {
    chatnet::store_contract!(super::Memory);
}

mod sqlite {
    chatnet::store_contract!(super::File::new(false));
}

mod sqlite_opened_again_between_steps {
    chatnet::store_contract!(super::File::new(true));
}
