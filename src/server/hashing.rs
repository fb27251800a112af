//! Passwords are hashed off the async threads, at a lower priority than these, a few at a time, and in turn by address.

use std::sync::Arc;

use super::places::{Origin, Places, TooMany};
use crate::rt;

/// How many passwords are checked at once: each takes a processor for 50 ms, and 19 MiB.
#[derive(Debug)]
pub(super) struct Pool(Arc<Places>);

impl Pool {
    /// `most` of one address may wait.
    pub(super) fn new(most: usize) -> Self {
        // One processor is left for everything else, where there is more than one.
        Self(Places::new(rt::parallelism().saturating_sub(1).max(1), most))
    }

    /// Do something slow with a password, in its turn.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        origin: Origin,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, TooMany> {
        let place = self.0.enter(origin)?;
        place.turn().await;
        // The place goes along: whoever hangs up gives it back only when the work is done.
        Ok(rt::spawn_background(move || {
            let _place = place;
            work()
        })
        .await)
    }
}
