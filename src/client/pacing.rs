//! A limit of the server's is a pace: what was too much at once is asked again, one after the other.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::requests::Waiting;
use super::state::State;

/// Questions that were too many at once.
#[derive(Debug, Default)]
pub(super) struct Pacing {
    /// By their numbers: in the order in which they were asked.
    waiting: BTreeSet<u32>,
    next: Option<Instant>,
    /// How long the server said to wait, the last time.
    pace: Duration,
}

impl Pacing {
    /// Everything is asked anew.
    pub(super) fn clear(&mut self) {
        self.waiting.clear();
        self.next = None;
    }

    /// When the next question may be asked.
    pub(super) fn due(&self) -> Option<Instant> {
        self.next
    }
}

impl Waiting {
    /// Whether it may wait for its turn. What is to be done once is not: whoever asks for that decides by themselves.
    pub(super) fn keeps_pace(&self) -> bool {
        match self {
            Self::First { .. }
            | Self::Join { .. }
            | Self::Members { .. }
            | Self::History { .. }
            | Self::Search { .. } => true,
            Self::Ask { again, .. } => *again,
            Self::Rejoin { .. } | Self::Leave { .. } => false,
        }
    }
}

impl State {
    /// The server says that this was too much at once.
    pub(super) fn too_fast(&mut self, request: u32, waiting: Waiting, wait_ms: u32, now: Instant) {
        self.waiting.insert(request, waiting);
        let pacing = &mut self.pacing;
        pacing.waiting.insert(request);
        pacing.pace = Duration::from_millis(u64::from(wait_ms.max(1)));
        let next = now + pacing.pace;
        pacing.next = Some(pacing.next.map_or(next, |at| at.max(next)));
    }

    /// Whether others wait for their turn, so that this question does too.
    pub(super) fn queues(&mut self, request: u32) -> bool {
        let queues = !self.pacing.waiting.is_empty() && self.waiting.get(&request).is_some_and(Waiting::keeps_pace);
        if queues {
            self.pacing.waiting.insert(request);
        }
        queues
    }

    /// Ask the next question whose turn it is.
    pub(super) fn keep_pace(&mut self, now: Instant) {
        if self.pacing.next.is_none_or(|at| at > now) {
            return;
        }
        // Whoever asked may have got an answer otherwise, or be in the room no more.
        while let Some(request) = self.pacing.waiting.pop_first() {
            if self.waiting.contains_key(&request) {
                self.send_request(request);
                break;
            }
        }
        self.pacing.next = (!self.pacing.waiting.is_empty()).then(|| now + self.pacing.pace);
    }
}
