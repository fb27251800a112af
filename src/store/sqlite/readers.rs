//! Threads that read, each with a connection of its own: what they do never delays a commit.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use parking_lot::{Condvar, Mutex};

use super::read::Reader;
use super::schema;
use crate::rt;
use crate::store::StoreError;

/// A search takes one for a while; the other one goes on with pages, for at most one searches at a time.
const THREADS: usize = 2;

type Work = Box<dyn FnOnce(&mut Reader) + Send>;

/// How long something takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cost {
    /// A page, or less.
    Page,
    /// As long as there is to look through. Pages go before, however many searches wait.
    Search,
}

#[derive(Debug)]
pub(super) struct Readers {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    queues: Mutex<Queues>,
    more: Condvar,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Queues {
    pages: VecDeque<Work>,
    searches: VecDeque<Work>,
    /// One of the threads searches.
    is_searching: bool,
    is_closed: bool,
    live: usize,
}

impl Readers {
    pub(super) fn start(path: &Path) -> Result<Self, StoreError> {
        let mut readers = Self { shared: Arc::default(), threads: Vec::new() };
        for i in 0..THREADS {
            let reader = Reader::new(schema::open_reader(path)?);
            let shared = Arc::clone(&readers.shared);
            shared.queues.lock().live += 1;
            let thread = super::spawn(format!("chatnet-read-{i}"), move || run(reader, Alive(shared)))?;
            readers.threads.push(thread);
        }
        Ok(readers)
    }

    /// Hand work to the next thread that is free; false if all are gone.
    pub(super) fn run(&self, cost: Cost, work: impl FnOnce(&mut Reader) + Send + 'static) -> bool {
        let mut queues = self.shared.queues.lock();
        if queues.is_closed || queues.live == 0 {
            return false;
        }
        match cost {
            Cost::Page => queues.pages.push_back(Box::new(work)),
            Cost::Search => queues.searches.push_back(Box::new(work)),
        }
        self.shared.more.notify_one();
        true
    }

    /// Let them finish what was handed to them.
    pub(super) fn stop(&mut self) {
        self.shared.queues.lock().is_closed = true;
        self.shared.more.notify_all();
        for thread in self.threads.drain(..) {
            // It panicked: whoever waited for it has been told by the end of its channel.
            let _ = thread.join();
        }
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.stop();
    }
}

/// One of the threads. What waits when the last one panics is dropped, so that whoever waits for it is told.
struct Alive(Arc<Shared>);

impl Drop for Alive {
    fn drop(&mut self) {
        let mut queues = self.0.queues.lock();
        queues.live -= 1;
        if queues.live == 0 {
            let (pages, searches) = (std::mem::take(&mut queues.pages), std::mem::take(&mut queues.searches));
            drop(queues);
            drop((pages, searches));
        }
    }
}

/// Another search may begin, also when this one panicked.
struct Searching<'s>(&'s Shared);

impl Drop for Searching<'_> {
    fn drop(&mut self) {
        self.0.queues.lock().is_searching = false;
        self.0.more.notify_one();
    }
}

fn run(mut reader: Reader, alive: Alive) {
    // A commit that comes beside a page or a search has the processor first: somebody waits for its acknowledgement.
    rt::stand_back();
    let shared = &*alive.0;
    let mut queues = shared.queues.lock();
    loop {
        if let Some(work) = queues.pages.pop_front() {
            drop(queues);
            work(&mut reader);
        } else if !queues.is_searching
            && let Some(work) = queues.searches.pop_front()
        {
            queues.is_searching = true;
            drop(queues);
            let _searching = Searching(shared);
            work(&mut reader);
        } else if queues.is_closed {
            // What is left, another one is at, or comes to.
            return;
        } else {
            shared.more.wait(&mut queues);
            continue;
        }
        queues = shared.queues.lock();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn pages_go_before_searches_and_one_thread_at_most_searches() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rooms.db");
        drop(schema::open(&path).unwrap());
        let mut readers = Readers::start(&path).unwrap();
        let (done, all) = channel();
        let (go_on, wait) = channel::<()>();
        let first = done.clone();
        assert!(readers.run(Cost::Search, move |_| {
            let _ = wait.recv();
            first.send("a long search").unwrap();
        }));
        for (cost, name) in [(Cost::Search, "a search"), (Cost::Page, "a page"), (Cost::Page, "another page")] {
            let done = done.clone();
            assert!(readers.run(cost, move |_| done.send(name).unwrap()));
        }
        assert_eq!((all.recv(), all.recv()), (Ok("a page"), Ok("another page")));
        go_on.send(()).unwrap();
        assert_eq!((all.recv(), all.recv()), (Ok("a long search"), Ok("a search")));
        readers.stop();
        assert!(!readers.run(Cost::Page, |_| ()));
    }

    #[test]
    fn who_waits_for_readers_that_panicked_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rooms.db");
        drop(schema::open(&path).unwrap());
        let readers = Readers::start(&path).unwrap();
        let (sender, told) = channel::<()>();
        for _ in 0..THREADS {
            readers.run(Cost::Search, |_| panic!("as it does"));
        }
        readers.run(Cost::Search, move |_| drop(sender));
        assert!(told.recv().is_err());
        while readers.run(Cost::Page, |_| ()) {
            std::thread::yield_now();
        }
    }
}
