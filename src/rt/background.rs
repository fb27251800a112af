//! Work that takes a processor for long, and stands back for everything else.

use std::thread;

/// Below the usual priority of 0: what is woken beside it runs at once. Not 19, for a login must come to its end on a
/// machine that is busy with other things.
#[cfg(target_os = "linux")]
const NICE: i32 = 10;

/// Do something that takes a processor for long, on a thread of its own that stands back for the others, where the
/// system knows threads that do.
///
/// # Panics
/// If it panics.
pub(crate) async fn spawn_background<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    super::spawn_blocking(move || stand_back_for(work)).await
}

fn stand_back_for<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let mut work = Some(work);
    // A thread that has stood back can't come forward again, so it is another one than those that are kept for blocking.
    let done = thread::scope(|scope| {
        let name = thread::Builder::new().name("chatnet-background".to_owned());
        let started = name.spawn_scoped(scope, || {
            stand_back();
            work.take().map(|work| work())
        });
        started.ok().and_then(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    });
    match (done, work) {
        (Some(done), _) => done,
        // No thread was to be had.
        (None, Some(work)) => work(),
        (None, None) => unreachable!("it ran and gave nothing"),
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

    #[cfg(target_os = "linux")]
    #[test]
    fn what_stands_back_is_the_work_and_no_thread_beside_it() {
        let nice = || rustix::process::getpriority_process(Some(rustix::thread::gettid())).unwrap();
        let before = nice();
        assert_eq!(stand_back_for(nice), NICE.max(before));
        assert_eq!(nice(), before);
    }

    #[test]
    #[should_panic(expected = "as it does")]
    fn a_panic_comes_through() {
        stand_back_for(|| panic!("as it does"));
    }
}
