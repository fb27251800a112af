//! Threads that read, each with a connection of its own: what they do never delays a commit.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use parking_lot::Mutex;

use super::read::Reader;
use super::schema;
use crate::rt;
use crate::store::StoreError;

/// A search takes one for a while; the other one goes on with pages.
const THREADS: usize = 2;

type Work = Box<dyn FnOnce(&mut Reader) + Send>;

#[derive(Debug)]
pub(super) struct Readers {
    work: Option<Sender<Work>>,
    threads: Vec<JoinHandle<()>>,
}

impl Readers {
    pub(super) fn start(path: &Path) -> Result<Self, StoreError> {
        let (work, waiting) = channel::<Work>();
        let waiting = Arc::new(Mutex::new(waiting));
        let mut threads = Vec::new();
        for i in 0..THREADS {
            let reader = Reader::new(schema::open_reader(path)?);
            threads.push(super::spawn(format!("chatnet-read-{i}"), {
                let waiting = Arc::clone(&waiting);
                move || run(reader, &waiting)
            })?);
        }
        Ok(Self { work: Some(work), threads })
    }

    /// Hand work to the next thread that is free; false if all are gone.
    pub(super) fn run(&self, work: impl FnOnce(&mut Reader) + Send + 'static) -> bool {
        self.work.as_ref().is_some_and(|sender| sender.send(Box::new(work)).is_ok())
    }

    /// Let them finish what was handed to them.
    pub(super) fn stop(&mut self) {
        self.work = None;
        for thread in self.threads.drain(..) {
            // It panicked: whoever waited for it has been told by the end of its channel.
            let _ = thread.join();
        }
    }
}

fn run(mut reader: Reader, waiting: &Mutex<Receiver<Work>>) {
    // A commit that comes beside a page or a search has the processor first: somebody waits for its acknowledgement.
    rt::stand_back();
    loop {
        // One waits in the receiver, the others for the lock; it is let go before the work begins.
        let next = waiting.lock().recv();
        match next {
            Ok(work) => work(&mut reader),
            Err(_) => return,
        }
    }
}
