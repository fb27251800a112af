//! Work that takes a processor for long, and stands back for everything else.
//!
//! Its threads are kept from one piece of work to the next. What Linux puts on a processor is who has had less of it than
//! is due, and a new thread has had nothing: with one for each password, people's messages waited 4.6 ms (p99) beside
//! passwords at this priority, and 1.6 ms with threads that go on, against 1.4 ms without any (medians of five, Linux 6.18).

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::LazyLock;
use std::thread;
use std::time::Duration;

use futures::channel::oneshot;
use parking_lot::{Condvar, Mutex};

/// Below the usual priority of 0: what is woken beside it runs at once. Not 19, for a login must come to its end on a
/// machine that is busy with other things.
#[cfg(target_os = "linux")]
const NICE: i32 = 10;

/// How long a thread waits for more to do before it ends.
const KEPT: Duration = Duration::from_secs(10);

type Work = Box<dyn FnOnce() + Send>;

static THREADS: LazyLock<Threads> = LazyLock::new(Threads::default);

/// As many threads as there is work at a time; how much that is, is for those to bound who bring it.
#[derive(Default)]
struct Threads {
    state: Mutex<State>,
    brought: Condvar,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Work>,
    idle: usize,
    live: usize,
}

/// Do something that takes a processor for long, on a thread that stands back for the others, where the system knows
/// threads that do. Once called, the work is done also if the future is dropped.
///
/// # Panics
/// If it panics.
pub(crate) fn spawn_background<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> impl Future<Output = T> + Send {
    let (sender, done) = oneshot::channel();
    let work: Work = Box::new(move || {
        // Whoever waited for it may have gone.
        let _ = sender.send(catch_unwind(AssertUnwindSafe(work)));
    });
    if let Some(work) = THREADS.bring(work) {
        // No thread was to be had: better at the usual priority than never.
        drop(super::spawn_blocking(work));
    }
    async { done.await.expect("it was brought to be done").unwrap_or_else(|panic| resume_unwind(panic)) }
}

impl Threads {
    /// Have one of the threads do this; it comes back if there is none.
    fn bring(&'static self, work: Work) -> Option<Work> {
        let mut state = self.state.lock();
        state.queue.push_back(work);
        if state.queue.len() <= state.idle {
            self.brought.notify_one();
            return None;
        }
        let name = thread::Builder::new().name("chatnet-background".to_owned());
        match name.spawn(|| self.serve()) {
            Ok(_) => state.live += 1,
            Err(_) if state.live == 0 => return state.queue.pop_back(),
            // One of those that are there comes to it.
            Err(_) => {}
        }
        None
    }

    fn serve(&self) {
        stand_back();
        let mut state = self.state.lock();
        loop {
            while let Some(work) = state.queue.pop_front() {
                drop(state);
                work();
                state = self.state.lock();
            }
            state.idle += 1;
            let waited = self.brought.wait_for(&mut state, KEPT);
            state.idle -= 1;
            if waited.timed_out() && state.queue.is_empty() {
                state.live -= 1;
                return;
            }
        }
    }
}

/// Have this thread stand back for the others from here on, for it can't come forward again.
pub(crate) fn stand_back() {
    // Of this thread alone: that is what Linux takes a process for. Where it may not be, the work is done all the same.
    // A process that stands back further as a whole stays where it is.
    #[cfg(target_os = "linux")]
    if rustix::process::getpriority_process(Some(rustix::thread::gettid())).is_ok_and(|nice| nice < NICE) {
        let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::executor::block_on;

    #[cfg(target_os = "linux")]
    #[test]
    fn what_stands_back_is_the_work_and_no_thread_beside_it() {
        let nice = || rustix::process::getpriority_process(Some(rustix::thread::gettid())).unwrap();
        let before = nice();
        assert_eq!(block_on(spawn_background(nice)), NICE.max(before));
        assert_eq!(nice(), before);
    }

    #[test]
    #[should_panic(expected = "as it does")]
    fn a_panic_comes_through() {
        block_on(spawn_background(|| panic!("as it does")));
    }

    #[test]
    fn a_thread_goes_on_to_what_is_brought_next_also_after_a_panic() {
        // Threads of this test alone.
        let threads: &'static Threads = Box::leak(Box::default());
        let run = |work: fn()| {
            let (sender, done) = oneshot::channel();
            let work = move || {
                let _ = sender.send((thread::current().id(), catch_unwind(work).is_err()));
            };
            assert!(threads.bring(Box::new(work)).is_none());
            let did = block_on(done).unwrap();
            while threads.state.lock().idle == 0 {
                thread::yield_now();
            }
            did
        };
        let (first, panicked) = run(|| panic!("as it does"));
        assert!(panicked);
        assert_eq!(run(|| ()), (first, false));
        assert_eq!(threads.state.lock().live, 1);
    }

    #[test]
    fn work_that_is_brought_at_once_is_done_at_once() {
        let threads: &'static Threads = Box::leak(Box::default());
        // Each waits for the others.
        let all = std::sync::Arc::new(std::sync::Barrier::new(3));
        for _ in 0..2 {
            let theirs = std::sync::Arc::clone(&all);
            let work = move || {
                theirs.wait();
            };
            assert!(threads.bring(Box::new(work)).is_none());
        }
        all.wait();
    }
}
