//! Events on their way to the application, bounded in bytes: nothing that the driver does waits for them.

use std::collections::{HashMap, VecDeque};
use std::task::{Context, Poll, Waker};

use super::event::Event;
use crate::id::{RoomId, Seq};

/// A bounded queue of events.
#[derive(Debug)]
pub(super) struct EventQueue {
    events: VecDeque<Event>,
    bytes: usize,
    capacity: usize,
    waker: Option<Waker>,
    /// Nobody will take any more.
    abandoned: bool,
    /// How far the application has taken each room's events, since this was asked for last.
    taken: HashMap<RoomId, Seq>,
}

impl EventQueue {
    pub(super) fn new(capacity: usize) -> Self {
        Self { events: VecDeque::new(), bytes: 0, capacity, waker: None, abandoned: false, taken: HashMap::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.events.len()
    }

    /// Whether what can come again is to wait.
    pub(super) fn is_full(&self) -> bool {
        self.bytes >= self.capacity
    }

    /// Whether there is room for what had to wait.
    pub(super) fn is_drained(&self) -> bool {
        self.bytes <= self.capacity / 2
    }

    /// How many bytes there is room for.
    pub(super) fn room(&self) -> usize {
        self.capacity.saturating_sub(self.bytes)
    }

    pub(super) fn push(&mut self, event: Event) {
        if self.abandoned {
            self.note(&event);
            return;
        }
        self.bytes += event.weight();
        self.events.push_back(event);
        self.waker.take().into_iter().for_each(Waker::wake);
    }

    /// Push what has no second chance, unless the application is hopelessly behind.
    pub(super) fn push_lossy(&mut self, event: Event) {
        if self.bytes < 2 * self.capacity {
            self.push(event);
        }
    }

    pub(super) fn poll_pop(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        let Some(event) = self.events.pop_front() else {
            self.waker = Some(cx.waker().clone());
            return Poll::Pending;
        };
        self.bytes -= event.weight();
        self.note(&event);
        Poll::Ready(event)
    }

    /// The application has this.
    fn note(&mut self, event: &Event) {
        let place = match event {
            Event::Message(message) => message.cursor,
            Event::RoomChanged(changed) => changed.cursor,
            _ => return,
        };
        self.taken.insert(place.room, place.seq);
    }

    /// Nobody takes events any more: drop them.
    pub(super) fn abandon(&mut self) {
        self.abandoned = true;
        self.events.clear();
        self.bytes = 0;
    }

    pub(super) fn take_progress(&mut self) -> HashMap<RoomId, Seq> {
        std::mem::take(&mut self.taken)
    }
}
