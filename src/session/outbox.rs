//! What a client has to say: numbered per room, bounded in bytes, kept until it is acked or refused.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use crate::id::{OutboxId, RoomId};
use crate::protocol::MAX_ITEMS;
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
    /// Counts what was added or numbered anew, for whoever keeps it on disk.
    serial: u64,
    /// Nothing with a higher serial is sent; none: everything may be.
    kept: Option<u64>,
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
    /// So many may be under way: what the server's limits let pass, as far as it is known.
    window: usize,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self { first: 1, entries: VecDeque::new(), sent: 0, wait: None, window: usize::MAX }
    }
}

#[derive(Debug)]
struct Entry<T> {
    text: String,
    /// None once it is decided.
    token: Option<T>,
    serial: u64,
    /// It may have arrived.
    sent: bool,
}

impl<T> Queue<T> {
    fn next_is(&self, kept: Option<u64>, now: Instant) -> bool {
        let next = self.entries.get(self.sent).filter(|_| self.sent < self.window);
        next.is_some_and(|next| kept.is_none_or(|kept| next.serial <= kept)) && self.wait.is_none_or(|at| at <= now)
    }

    /// Number what is undecided from `first` on, and send it again.
    fn renumber(&mut self, first: u64, serial: u64) {
        self.entries.retain(|entry| entry.token.is_some());
        self.entries.iter_mut().for_each(|entry| entry.serial = serial);
        (self.first, self.sent, self.wait) = (first, 0, None);
    }
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
        Self { id, capacity, bytes: 0, len: 0, rooms: BTreeMap::new(), last: None, serial: 0, kept: None }
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

    /// The number that the next text of a room gets.
    pub(crate) fn next_number(&self, room: RoomId) -> u64 {
        self.rooms.get(&room).map_or(1, |queue| queue.first + queue.entries.len() as u64)
    }

    /// Bytes of what is undecided.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Add a text. Ask [`fits`](Self::fits) first.
    pub(crate) fn push(&mut self, room: RoomId, text: String, token: T) {
        self.bytes += text.len() + ENTRY_BYTES;
        self.len += 1;
        self.serial += 1;
        let queue = self.rooms.entry(room).or_default();
        queue.entries.push_back(Entry { text, token: Some(token), serial: self.serial, sent: false });
    }

    /// The next frame to send, if there is one, to a room that `may` be sent to.
    pub(crate) fn next(&mut self, now: Instant, may: impl Fn(RoomId) -> bool) -> Option<Publish> {
        let kept = self.kept;
        let ready = |(room, queue): &(&RoomId, &Queue<T>)| queue.next_is(kept, now) && may(**room);
        let after = self.last.and_then(|last| {
            let bounds = (std::ops::Bound::Excluded(last), std::ops::Bound::Unbounded);
            self.rooms.range(bounds).find(ready).map(|(room, _)| *room)
        });
        let room = after.or_else(|| self.rooms.iter().find(ready).map(|(room, _)| *room))?;
        self.last = Some(room);
        let queue = self.rooms.get_mut(&room)?;
        queue.wait = None;
        // What was decided while it waited to come again would be a hole if it were left out: it is sent again, and
        // answered as before.
        let n = queue.first + queue.sent as u64;
        let (mut bodies, mut bytes) = (Vec::new(), 0);
        while let Some(entry) = queue.entries.get_mut(queue.sent) {
            let full = !bodies.is_empty() && bytes + entry.text.len() > FRAME_BYTES || bodies.len() >= MAX_ITEMS;
            if full || queue.sent >= queue.window || kept.is_some_and(|kept| entry.serial > kept) {
                break;
            }
            entry.sent = true;
            bytes += entry.text.len() + 8;
            bodies.push(Body::text(&entry.text));
            queue.sent += 1;
        }
        Some(Publish { room, outbox: self.id, n, bodies, expected: None })
    }

    /// From here on nothing is sent before it is [`kept`](Self::kept).
    pub(crate) fn keep_first(&mut self) {
        self.kept = Some(self.serial);
    }

    /// Everything up to this serial is kept.
    pub(crate) fn kept(&mut self, serial: u64) {
        self.kept = self.kept.map(|kept| kept.max(serial));
    }

    /// Nothing is kept any more: everything may be sent at once.
    pub(crate) fn keep_nothing(&mut self) {
        self.kept = None;
    }

    /// The serial of what was added last.
    pub(crate) fn serial(&self) -> u64 {
        self.serial
    }

    /// Go on with numbers of an earlier life: what comes next in a room is `first`.
    pub(crate) fn restore(&mut self, room: RoomId, first: u64) {
        self.rooms.entry(room).or_default().first = first;
    }

    /// The number of a room's first undecided text, or of its next one.
    pub(crate) fn first(&self, room: RoomId) -> u64 {
        self.rooms.get(&room).map_or(1, |queue| queue.first)
    }

    /// The rooms with numbers, the first number and what is undecided.
    pub(crate) fn contents(&self) -> impl Iterator<Item = (RoomId, u64, impl Iterator<Item = &str>)> {
        self.rooms.iter().map(|(room, queue)| (*room, queue.first, queue.entries.iter().map(|e| e.text.as_str())))
    }

    /// When there will be something to send that has to wait now.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.rooms.values().filter(|queue| queue.sent < queue.entries.len()).filter_map(|queue| queue.wait).min()
    }

    /// The server answered for these numbers, for good: acked or refused; maybe on a connection before this one, on
    /// which they weren't sent yet.
    pub(crate) fn decide(&mut self, room: RoomId, n: u64, count: u64, decided: &mut Vec<Decided<T>>) {
        let Some(queue) = self.rooms.get_mut(&room) else { return };
        let end = n.saturating_add(count).min(queue.first + queue.entries.len() as u64);
        for n in n.max(queue.first)..end {
            let entry = &mut queue.entries[(n - queue.first) as usize];
            if let Some(token) = entry.token.take() {
                queue.window = queue.window.saturating_add(1);
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

    /// Whether a number was acked, or refused for good, and is not kept any more.
    pub(crate) fn is_decided(&self, room: RoomId, n: u64) -> bool {
        self.rooms.get(&room).is_some_and(|queue| n < queue.first)
    }

    /// The server wants `n`, and everything behind it, again, after `wait`. True if it has forgotten numbers that it
    /// had answered, `n` among them, and so were numbered anew from `n` on: it has taken nothing behind it.
    ///
    /// If it is `paced`, what was sent was too much at once: half as much is under way from here on, and twice as much
    /// once that has passed, and so on. So what is sent in vain is no more than what arrives.
    pub(crate) fn again(&mut self, room: RoomId, n: u64, wait: Duration, paced: bool, now: Instant) -> bool {
        let Some(queue) = self.rooms.get_mut(&room) else { return false };
        if n < queue.first {
            self.serial += 1;
            queue.renumber(n, self.serial);
            queue.wait = Some(now + wait);
            return true;
        }
        let from = (n - queue.first) as usize;
        // Already rewound so far: this answers something that was under way meanwhile.
        if from < queue.sent {
            if paced {
                queue.window = (queue.sent / 2).max(1);
            }
            queue.sent = from;
            queue.wait = Some(now + wait);
        }
        false
    }

    /// The connection was lost: everything undecided is sent again, under its old numbers.
    pub(crate) fn rewind(&mut self) {
        for queue in self.rooms.values_mut() {
            (queue.sent, queue.wait) = (0, None);
        }
    }

    /// The server knows nothing of this outbox: what is undecided is numbered from 1 on, under a new id.
    pub(crate) fn renumber(&mut self, id: OutboxId) {
        self.id = id;
        self.serial += 1;
        self.rooms.retain(|_, queue| !queue.entries.is_empty());
        self.rooms.values_mut().for_each(|queue| queue.renumber(1, self.serial));
    }

    /// A room is another one now: what is undecided there is said here, before anything else.
    pub(crate) fn move_room(&mut self, from: RoomId, to: RoomId) {
        if from == to {
            return;
        }
        let Some(mut moved) = self.rooms.remove(&from) else { return };
        self.serial += 1;
        moved.renumber(1, self.serial);
        let there = self.rooms.remove(&to).unwrap_or_default();
        if there.first == 1 && there.sent == 0 {
            moved.entries.extend(there.entries);
            self.rooms.insert(to, moved);
        } else {
            let mut there = there;
            there.entries.extend(moved.entries);
            self.rooms.insert(to, there);
        }
    }

    /// The client is no longer in a room: give back what was to be said there.
    pub(crate) fn drop_room(&mut self, room: RoomId) -> Vec<Decided<T>> {
        let Some(queue) = self.rooms.get(&room) else { return Vec::new() };
        let (first, count) = (queue.first, queue.entries.len() as u64);
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
        for i in 0..texts {
            outbox.push(ROOM, format!("t{i}"), i);
        }
        outbox
    }

    fn all(_: RoomId) -> bool {
        true
    }

    #[test]
    fn what_waits_goes_out_in_one_frame_and_stays_until_it_is_acked() {
        let (mut o, now) = (outbox(3), Instant::now());
        let publish = o.next(now, all).unwrap();
        assert_eq!((publish.n, publish.bodies.len()), (1, 3));
        assert!(o.next(now, all).is_none());
        let mut decided = Vec::new();
        o.decide(ROOM, 1, 2, &mut decided);
        assert_eq!((decided.len(), o.len()), (2, 1));
        o.decide(ROOM, 1, 3, &mut decided);
        assert_eq!((decided.len(), o.len(), o.bytes), (3, 0, 0));
    }

    #[test]
    fn a_retryable_refusal_sends_its_number_and_all_behind_it_again_once_and_later() {
        let (mut o, now) = (outbox(3), Instant::now());
        o.next(now, all);
        o.decide(ROOM, 1, 1, &mut Vec::new());
        o.again(ROOM, 2, Duration::from_secs(1), false, now);
        // A second notice for the same hole changes nothing.
        o.again(ROOM, 2, Duration::from_secs(9), false, now);
        assert!(o.next(now, all).is_none());
        assert_eq!(o.due(), Some(now + Duration::from_secs(1)));
        let publish = o.next(now + Duration::from_secs(1), all).unwrap();
        assert_eq!((publish.n, publish.bodies.len()), (2, 2));
    }

    #[test]
    fn what_is_too_much_at_once_is_halved_and_grows_again_with_what_arrives() {
        let (mut o, now) = (outbox(100), Instant::now());
        let anywhere = |_| true;
        assert_eq!(o.next(now, anywhere).unwrap().bodies.len(), 100);
        o.again(ROOM, 1, Duration::ZERO, true, now);
        assert_eq!(o.next(now, anywhere).unwrap().bodies.len(), 50);
        assert!(o.next(now, anywhere).is_none());
        o.again(ROOM, 1, Duration::ZERO, true, now);
        assert_eq!(o.next(now, anywhere).unwrap().bodies.len(), 25);
        o.decide(ROOM, 1, 25, &mut Vec::new());
        assert_eq!(o.next(now, anywhere).unwrap().bodies.len(), 50);
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
        let rooms: Vec<_> = std::iter::from_fn(|| o.next(Instant::now(), all)).map(|p| p.room).collect();
        assert_eq!(rooms, [ROOM, other, ROOM, other, ROOM, other, ROOM, other]);
    }

    #[test]
    fn a_room_that_may_not_be_sent_to_holds_up_no_other() {
        let mut o = outbox(1);
        let other = RoomId::from_bytes([9; 16]);
        o.push(other, "x".into(), 1);
        let now = Instant::now();
        assert_eq!(o.next(now, |room| room == other).unwrap().room, other);
        assert!(o.next(now, |room| room == other).is_none());
        assert_eq!(o.next(now, all).unwrap().room, ROOM);
    }

    #[test]
    fn a_room_that_begins_anew_gets_what_was_undecided_from_number_one_on() {
        let (mut o, now) = (outbox(3), Instant::now());
        o.next(now, all);
        o.decide(ROOM, 1, 1, &mut Vec::new());
        let other = RoomId::from_bytes([9; 16]);
        o.push(other, "later".into(), 7);
        o.move_room(ROOM, other);
        let publish = o.next(now, all).unwrap();
        assert_eq!((publish.room, publish.n), (other, 1));
        assert_eq!(publish.bodies, ["t1", "t2", "later"].map(Body::text));
        assert!(!o.has(ROOM) && o.len() == 3);
    }

    #[test]
    fn a_server_that_forgot_its_acks_gets_the_numbers_that_it_waits_for() {
        let (mut o, now) = (outbox(4), Instant::now());
        o.next(now, all);
        o.decide(ROOM, 1, 2, &mut Vec::new());
        assert!(!o.again(ROOM, 3, Duration::ZERO, false, now));
        assert!(o.again(ROOM, 1, Duration::ZERO, false, now));
        let publish = o.next(now, all).unwrap();
        assert_eq!((publish.n, publish.bodies), (1, vec![Body::text("t2"), Body::text("t3")]));
    }

    #[test]
    fn nothing_is_sent_before_it_is_kept() {
        let (mut o, now) = (outbox(0), Instant::now());
        o.keep_first();
        o.push(ROOM, "a".into(), 0);
        let serial = o.serial();
        o.push(ROOM, "b".into(), 1);
        assert!(o.next(now, all).is_none());
        o.kept(serial);
        assert_eq!(o.next(now, all).unwrap().bodies, [Body::text("a")]);
        o.kept(o.serial());
        o.renumber(OutboxId::from_bytes([3; 16]));
        assert!(o.next(now, all).is_none(), "its new numbers are not kept yet");
        o.kept(o.serial());
        assert_eq!(o.next(now, all).unwrap().bodies.len(), 2);
    }

    #[derive(Debug, Clone, Copy)]
    enum Answer {
        Ack,
        Refuse,
        Retry,
    }

    proptest! {
        /// Over connections that are cut anywhere, against a server that stores each number once and whose acks get
        /// lost: each text is stored once, in order, and decided once.
        #[test]
        fn what_is_sent_over_any_number_of_cut_connections_is_stored_once(
            cuts in proptest::collection::vec((0usize..6, 0usize..6), 0..30), texts in 1usize..40,
        ) {
            let (mut o, now) = (outbox(texts), Instant::now());
            let (mut stored, mut order): (Vec<String>, Vec<usize>) = (Vec::new(), Vec::new());
            let mut cuts = cuts.into_iter();
            loop {
                // On each connection only so much arrives, and only so many answers come back.
                let (arrive, answers) = cuts.next().unwrap_or((usize::MAX, usize::MAX));
                o.rewind();
                let sent: Vec<Publish> = std::iter::from_fn(|| o.next(now, all)).collect();
                let bodies = sent.iter().flat_map(|p| (p.n..).zip(&p.bodies)).take(arrive);
                let mut told = Vec::new();
                for (n, body) in bodies {
                    let text = String::from_utf8(body.bytes.clone()).unwrap();
                    match n.cmp(&(stored.len() as u64 + 1)) {
                        std::cmp::Ordering::Equal => stored.push(text),
                        std::cmp::Ordering::Less => prop_assert_eq!(&text, &stored[n as usize - 1]),
                        std::cmp::Ordering::Greater => prop_assert!(false, "a hole before {}", n),
                    }
                    told.push(n);
                }
                for n in told.into_iter().take(answers) {
                    let mut decided = Vec::new();
                    o.decide(ROOM, n, 1, &mut decided);
                    order.extend(decided.into_iter().map(|d| d.token));
                }
                if o.len() == 0 {
                    break;
                }
            }
            prop_assert_eq!(order, (0..texts).collect::<Vec<_>>());
            prop_assert_eq!(stored, (0..texts).map(|i| format!("t{i}")).collect::<Vec<_>>());
        }

        /// Against a server that takes, refuses and defers as it likes: each text is decided once, in order.
        #[test]
        fn every_text_is_decided_once_and_in_order(
            answers in proptest::collection::vec(
                prop_oneof![3 => Just(Answer::Ack), 1 => Just(Answer::Refuse), 2 => Just(Answer::Retry)], 0..80),
            texts in 1usize..40,
            paced in any::<bool>(),
        ) {
            let (mut o, now) = (outbox(texts), Instant::now());
            let (mut expected, mut order, mut answers) = (1u64, Vec::new(), answers.into_iter());
            while let Some(publish) = o.next(now, all) {
                for i in 0..publish.bodies.len() as u64 {
                    let n = publish.n + i;
                    if n > expected {
                        o.again(ROOM, expected, Duration::ZERO, paced, now);
                        continue;
                    }
                    let mut decided = Vec::new();
                    match answers.next().unwrap_or(Answer::Ack) {
                        _ if n < expected => {}
                        Answer::Ack | Answer::Refuse => {
                            expected += 1;
                            o.decide(ROOM, n, 1, &mut decided);
                        }
                        Answer::Retry => drop(o.again(ROOM, n, Duration::ZERO, paced, now)),
                    }
                    order.extend(decided.into_iter().map(|d| d.token));
                }
            }
            prop_assert_eq!(order, (0..texts).collect::<Vec<_>>());
            prop_assert_eq!(o.len(), 0);
        }
    }
}
