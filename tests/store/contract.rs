//! Every store keeps the contract.

use chatnet::store::{MemoryStore, SqliteOptions, SqliteStore};
use chatnet::testing::store::Place;

use super::Dir;

#[derive(Debug)]
struct Memory;

impl Place for Memory {
    type Store = MemoryStore;

    async fn open(&self) -> MemoryStore {
        MemoryStore::new(64 << 20, 1 << 30)
    }
}

/// A database, looked through at the end.
#[derive(Debug)]
struct File {
    dir: Dir,
    options: SqliteOptions,
    reopens: bool,
}

impl File {
    /// Found by looking through them.
    fn scanned() -> Self {
        Self { dir: Dir::new(), options: SqliteOptions::default(), reopens: false }
    }

    /// Found by the index.
    fn indexed(reopens: bool) -> Self {
        Self { dir: Dir::new(), options: SqliteOptions::default().scan(0), reopens }
    }
}

impl Place for File {
    type Store = SqliteStore;

    async fn open(&self) -> SqliteStore {
        SqliteStore::open(self.dir.db(), self.options.clone()).unwrap()
    }

    fn reopens(&self) -> bool {
        self.reopens
    }
}

impl Drop for File {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let found = SqliteStore::check(self.dir.db()).unwrap();
            assert_eq!(found.problems, Vec::<String>::new());
        }
    }
}

mod memory {
    chatnet::store_contract!(super::Memory);
}

mod sqlite {
    chatnet::store_contract!(super::File::scanned());
}

mod sqlite_with_an_index {
    chatnet::store_contract!(super::File::indexed(false));
}

mod sqlite_opened_again_between_steps {
    chatnet::store_contract!(super::File::indexed(true));
}
