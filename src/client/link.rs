//! What handles, events and driver of one connection share.

use parking_lot::{Mutex, MutexGuard};

use super::state::State;
use crate::rt::{Gate, Signal};

/// A connection's state, and who is woken when it changes.
#[derive(Debug)]
pub(super) struct Link {
    state: Mutex<State>,
    /// There may be something to write.
    pub(super) output: Signal,
    /// There may be room in the outbox, or nothing left in it.
    pub(super) outbox: Gate,
}

impl Link {
    pub(super) fn new(state: State) -> Self {
        Self { state: Mutex::new(state), output: Signal::default(), outbox: Gate::default() }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Something came from the server.
    pub(super) fn changed(&self) {
        self.output.notify();
        self.outbox.open();
    }
}
