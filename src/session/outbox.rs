//! What a client has to say: numbered per room, bounded in bytes, kept until it is acked or refused.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use crate::id::{OutboxId, RoomId};
use crate::protocol::message::{Body, Publish};

/// Bodies in one frame, in bytes: several fit into one read of the server's.
const FRAME_BYTES: usize = 16 * 1024;

/// What a body takes besides its bytes, for the outbox's bound.
const ENTRY_BYTES: usize = 64;

/// A client's outbox. `T` is what its owner wants back with each outcome.
#[derive(Debug)]
pub(crate) struct Outbox<T> {
    id: OutboxId,
    capacity: usize,
    bytes: usize,
    len: usize,
    rooms: BTreeMap<RoomId, Queue<T>>,
    /// The room that was sent last: the others come before it is its turn again.
    last: Option<RoomId>,
}

#[derive(Debug)]
struct Queue<T> {
    /// The number of the first entry.
    first: u64,
    entries: VecDeque<Entry<T>>,
    /// So many of the entries are under way.
    sent: usize,
    /// Nothing is sent before.
    wait: Option<Instant>,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self { first: 1, entries: VecDeque::new(), sent: 0, wait: None }
    }
}

#[derive(Debug)]
struct Entry<T> {
    text: String,
    /// None once it is decided.
    token: Option<T>,
}

/// Something whose fate is decided.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Decided<T> {
    pub(crate) n: u64,
    pub(crate) text: String,
    pub(crate) token: T,
}

impl<T> Outbox<T> {
    /// An outbox that holds `capacity` bytes.
    pub(crate) fn new(id: OutboxId, capacity: usize) -> Self {
        Self { id, capacity, bytes: 0, len: 0, rooms: BTreeMap::new(), last: None }
    }

    pub(crate) fn id(&self) -> OutboxId {
        self.id
    }

    /// How many texts are neither acked nor refused.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Whether anything still has to be sent.
    pub(crate) fn has_unsent(&self) -> bool {
        self.rooms.values().any(|queue| queue.sent < queue.entries.len())
    }

    /// Whether anything of a room is undecided.
    pub(crate) fn has(&self, room: RoomId) -> bool {
        self.rooms.get(&room).is_some_and(|queue| !queue.entries.is_empty())
    }

    /// Whether a text fits. An empty outbox takes one of any size.
    pub(crate) fn fits(&self, text: &str) -> bool {
        self.len == 0 || self.bytes + text.len() + ENTRY_BYTES <= self.capacity
    }

    /// Add a text. Ask [`fits`](Self::fits) first.
    pub(crate) fn push(&mut self, room: RoomId, text: String, token: T) {
        self.bytes += text.len() + ENTRY_BYTES;
        self.len += 1;
        self.rooms.entry(room).or_default().entries.push_back(Entry { text, token: Some(token) });
    }

    /// The next frame to send, if there is one.
    pub(crate) fn next(&mut self, now: Instant) -> Option<Publish> {
        let ready = |queue: &Queue<T>| queue.sent < queue.entries.len() && queue.wait.is_none_or(|at| at <= now);
        let after = self.last.and_then(|last| {
            let bounds = (std::ops::Bound::Excluded(last), std::ops::Bound::Unbounded);
            self.rooms.range(bounds).find(|(_, queue)| ready(queue)).map(|(room, _)| *room)
        });
        let room = after.or_else(|| self.rooms.iter().find(|(_, queue)| ready(queue)).map(|(room, _)| *room))?;
        self.last = Some(room);
        let queue = self.rooms.get_mut(&room)?;
        queue.wait = None;
        // What was decided while it waited to come again would be a hole if it were left out: it is sent again, and
        // answered as before.
        let n = queue.first + queue.sent as u64;
        let (mut bodies, mut bytes) = (Vec::new(), 0);
        while let Some(entry) = queue.entries.get(queue.sent) {
            if !bodies.is_empty() && bytes + entry.text.len() > FRAME_BYTES {
                break;
            }
            bytes += entry.text.len() + 8;
            bodies.push(Body::text(&entry.text));
            queue.sent += 1;
        }
        Some(Publish { room, outbox: self.id, n, bodies, expected: None })
    }

    /// When there will be something to send that has to wait now.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.rooms.values().filter(|queue| queue.sent < queue.entries.len()).filter_map(|queue| queue.wait).min()
    }

    /// The server answered for these numbers, for good: acked or refused.
    pub(crate) fn decide(&mut self, room: RoomId, n: u64, count: u64, decided: &mut Vec<Decided<T>>) {
        let Some(queue) = self.rooms.get_mut(&room) else { return };
        let end = n.saturating_add(count).min(queue.first + queue.sent as u64);
        for n in n.max(queue.first)..end {
            let entry = &mut queue.entries[(n - queue.first) as usize];
            if let Some(token) = entry.token.take() {
                self.bytes -= entry.text.len() + ENTRY_BYTES;
                self.len -= 1;
                decided.push(Decided { n, text: std::mem::take(&mut entry.text), token });
            }
        }
        while queue.entries.front().is_some_and(|entry| entry.token.is_none()) {
            queue.entries.pop_front();
            queue.first += 1;
            queue.sent = queue.sent.saturating_sub(1);
        }
    }

    /// The server wants `n`, and everything behind it, again, after `wait`.
    pub(crate) fn again(&mut self, room: RoomId, n: u64, wait: Duration, now: Instant) {
        let Some(queue) = self.rooms.get_mut(&room) else { return };
        let from = n.saturating_sub(queue.first) as usize;
        // Already rewound so far: this answers something that was under way meanwhile.
        if n >= queue.first && from < queue.sent {
            queue.sent = from;
            queue.wait = Some(now + wait);
        }
    }

    /// The client is no longer in a room: give back what was to be said there.
    pub(crate) fn drop_room(&mut self, room: RoomId) -> Vec<Decided<T>> {
        let Some(queue) = self.rooms.get_mut(&room) else { return Vec::new() };
        queue.sent = queue.entries.len();
        let (first, count) = (queue.first, queue.sent as u64);
        let mut decided = Vec::new();
        self.decide(room, first, count, &mut decided);
        decided
    }

    /// Give back everything that is undecided.
    pub(crate) fn drain(&mut self) -> Vec<Decided<T>> {
        let rooms: Vec<RoomId> = self.rooms.keys().copied().collect();
        rooms.into_iter().flat_map(|room| self.drop_room(room)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ROOM: RoomId = RoomId::from_bytes([1; 16]);

    fn outbox(texts: usize) -> Outbox<usize> {
        let mut outbox = Outbox::new(OutboxId::from_bytes([2; 16]), 1 << 20);
        (0..texts).for_each(|i| outbox.push(ROOM, format!("t{i}"), i));
        outbox
    }

    #[test]
    fn what_waits_goes_out_in_one_frame_and_stays_until_it_is_acked() {
        let (mut o, now) = (outbox(3), Instant::now());
        let publish = o.next(now).unwrap();
        assert_eq!((publish.n, publish.bodies.len()), (1, 3));
        assert!(o.next(now).is_none());
        let mut decided = Vec::new();
        o.decide(ROOM, 1, 2, &mut decided);
        assert_eq!((decided.len(), o.len()), (2, 1));
        o.decide(ROOM, 1, 3, &mut decided);
        assert_eq!((decided.len(), o.len(), o.bytes), (3, 0, 0));
    }

    #[test]
    fn a_retryable_refusal_sends_its_number_and_all_behind_it_again_once_and_later() {
        let (mut o, now) = (outbox(3), Instant::now());
        o.next(now);
        o.decide(ROOM, 1, 1, &mut Vec::new());
        o.again(ROOM, 2, Duration::from_secs(1), now);
        // A second notice for the same hole changes nothing.
        o.again(ROOM, 2, Duration::from_secs(9), now);
        assert!(o.next(now).is_none());
        assert_eq!(o.due(), Some(now + Duration::from_secs(1)));
        let publish = o.next(now + Duration::from_secs(1)).unwrap();
        assert_eq!((publish.n, publish.bodies.len()), (2, 2));
    }

    #[test]
    fn it_is_full_by_bytes_and_takes_one_of_any_size_when_empty() {
        let mut o: Outbox<()> = Outbox::new(OutboxId::from_bytes([2; 16]), 200);
        assert!(o.fits(&"x".repeat(1000)));
        o.push(ROOM, "x".repeat(100), ());
        assert!(!o.fits("x"));
    }

    #[test]
    fn rooms_take_turns() {
        let mut o = outbox(0);
        let other = RoomId::from_bytes([9; 16]);
        for i in 0..4 {
            o.push(ROOM, "x".repeat(FRAME_BYTES), i);
            o.push(other, "x".repeat(FRAME_BYTES), i);
        }
        let rooms: Vec<_> = std::iter::from_fn(|| o.next(Instant::now())).map(|p| p.room).collect();
        assert_eq!(rooms, [ROOM, other, ROOM, other, ROOM, other, ROOM, other]);
    }

    #[derive(Debug, Clone, Copy)]
    enum Answer {
        Ack,
        Refuse,
        Retry,
    }

    proptest! {
        /// Against a server that takes, refuses and defers as it likes: each text is decided once, in order.
        #[test]
        fn every_text_is_decided_once_and_in_order(
            answers in proptest::collection::vec(
                prop_oneof![3 => Just(Answer::Ack), 1 => Just(Answer::Refuse), 2 => Just(Answer::Retry)], 0..80),
            texts in 1usize..40,
        ) {
            let (mut o, now) = (outbox(texts), Instant::now());
            let (mut expected, mut order, mut answers) = (1u64, Vec::new(), answers.into_iter());
            while let Some(publish) = o.next(now) {
                for i in 0..publish.bodies.len() as u64 {
                    let n = publish.n + i;
                    if n > expected {
                        o.again(ROOM, expected, Duration::ZERO, now);
                        continue;
                    }
                    let mut decided = Vec::new();
                    match answers.next().unwrap_or(Answer::Ack) {
                        _ if n < expected => {}
                        Answer::Ack | Answer::Refuse => {
                            expected += 1;
                            o.decide(ROOM, n, 1, &mut decided);
                        }
                        Answer::Retry => o.again(ROOM, n, Duration::ZERO, now),
                    }
                    order.extend(decided.into_iter().map(|d| d.token));
                }
            }
            prop_assert_eq!(order, (0..texts).collect::<Vec<_>>());
            prop_assert_eq!(o.len(), 0);
        }
    }
}
