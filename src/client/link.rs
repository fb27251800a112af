//! What handles, events and tasks of one client share.

use parking_lot::{Mutex, MutexGuard};

use super::state::State;
use crate::rt::{Gate, Signal};

/// A client's state, and who is woken when it changes.
#[derive(Debug)]
pub(super) struct Link {
    state: Mutex<State>,
    /// There may be something to write.
    pub(super) output: Signal,
    /// There may be room in the outbox, or nothing left in it.
    pub(super) outbox: Gate,
    /// The network may have changed, while there was no connection.
    pub(super) network: Signal,
    /// There may be something to write to the outbox's file.
    pub(super) journal: Signal,
}

impl Link {
    pub(super) fn new(state: State) -> Self {
        let state = Mutex::new(state);
        let (output, network, journal) = (Signal::default(), Signal::default(), Signal::default());
        Self { state, output, outbox: Gate::default(), network, journal }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Something came from the server, or the application wants something.
    pub(super) fn changed(&self) {
        self.output.notify();
        self.journal.notify();
        self.outbox.open();
    }
}
