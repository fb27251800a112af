//! Which publish ids were taken: idempotence without a window, keyed by the outbox.
//!
//! The outbox's id alone is the key, not the principal with it: it is a secret of 128 bits that only its owner knows, and
//! so a guest whose session has expired meanwhile, and who is another principal now, can still send again safely.

use std::collections::{BTreeSet, HashMap, VecDeque};

use crate::id::{OutboxId, PrincipalId, Seq, Timestamp};

/// Runs of numbers per outbox whose place in the log is remembered, so that a resend gets its first ack again. Runs
/// that follow each other in the log count as one: a lone publisher has one run, whatever it sent.
const MAX_RUNS: usize = 64;

/// Consecutive numbers that became consecutive events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// The first number.
    pub n: u64,
    /// How many.
    pub count: u64,
    /// The first one's place; 0 if it is no longer known.
    pub seq: Seq,
    /// Their time.
    pub at: Timestamp,
}

/// Outboxes that one principal may have in one room: each is remembered, so a client can't have any number of them.
const MAX_OUTBOXES: usize = 64;

/// A publish id is reserved between its arrival and its commit. Numbers that are released while later ones are under
/// way make those stale: they carry the epoch of their reservation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Epoch(u32);

/// What becomes of a number that a client sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Offer {
    /// Nothing is known here of this outbox: ask the store, and [`recall`](Publishers::recall) what it says.
    Unknown,
    /// The next one: it is reserved now, and must be committed, refused or released.
    New(Epoch),
    /// It was accepted before: answer with this.
    Duplicate(Taken),
    /// It was refused for good before.
    Refused,
    /// It is being stored; its ack is on the way.
    InFlight,
    /// An earlier one is missing. `tell` is true once per hole.
    Ahead { expected: u64, tell: bool },
}

/// The publishers of one room.
#[derive(Debug, Default)]
pub(crate) struct Publishers {
    outboxes: HashMap<OutboxId, Outbox>,
    owners: BTreeSet<(PrincipalId, OutboxId)>,
}

#[derive(Debug)]
struct Outbox {
    /// The number that comes next; those before it are decided or reserved.
    next: u64,
    /// All numbers up to this one are decided: they became events, or were refused for good.
    decided: u64,
    epoch: Epoch,
    /// `next` when a hole was told, so that it is told once.
    told: Option<u64>,
    taken: VecDeque<Taken>,
    refused: VecDeque<u64>,
    /// Its owner is gone; it goes as soon as nothing of it is under way.
    orphaned: bool,
}

impl Outbox {
    fn is_under_way(&self) -> bool {
        self.next > self.decided + 1
    }
}

impl Publishers {
    /// Ask for number `n`, and reserve up to `count` numbers from it on if it is the next one.
    pub(crate) fn offer(&mut self, outbox: OutboxId, n: u64, count: u64) -> Offer {
        let Some(entry) = self.outboxes.get_mut(&outbox) else { return Offer::Unknown };
        if n > entry.next || n == 0 {
            let tell = entry.told != Some(entry.next);
            entry.told = Some(entry.next);
            return Offer::Ahead { expected: entry.next, tell };
        }
        if n == entry.next {
            entry.next = n.saturating_add(count);
            entry.told = None;
            return Offer::New(entry.epoch);
        }
        if n > entry.decided {
            return Offer::InFlight;
        }
        if entry.refused.contains(&n) {
            return Offer::Refused;
        }
        let unknown = Taken { n, count: 1, seq: Seq::ZERO, at: Timestamp::default() };
        let run = entry.taken.iter().rev().find(|run| (run.n..run.n + run.count).contains(&n));
        Offer::Duplicate(run.map_or(unknown, |run| Taken {
            n,
            count: 1,
            seq: Seq::new(run.seq.get() + (n - run.n)),
            at: run.at,
        }))
    }

    /// Take what the store knows of an outbox of `who`'s: up to which number it is decided (0 for a new one), and the
    /// last run of numbers that became events. False if `who` has as many outboxes here as may be.
    pub(crate) fn recall(&mut self, who: PrincipalId, outbox: OutboxId, decided: u64, last: Option<Taken>) -> bool {
        if self.outboxes.contains_key(&outbox) {
            return true;
        }
        if self.of(who).count() >= MAX_OUTBOXES {
            return false;
        }
        self.owners.insert((who, outbox));
        let entry = Outbox {
            next: decided.saturating_add(1),
            decided,
            epoch: Epoch(0),
            told: None,
            taken: last.into_iter().collect(),
            refused: VecDeque::new(),
            orphaned: false,
        };
        self.outboxes.insert(outbox, entry);
        true
    }

    /// Whether a reservation still holds.
    pub(crate) fn holds(&self, outbox: OutboxId, epoch: Epoch) -> bool {
        self.outboxes.get(&outbox).is_some_and(|entry| entry.epoch == epoch)
    }

    /// Reserved numbers became events.
    pub(crate) fn commit(&mut self, outbox: OutboxId, taken: Taken) {
        let Some(entry) = self.outboxes.get_mut(&outbox) else { return };
        entry.decided = entry.decided.max(taken.n + taken.count - 1);
        match entry.taken.back_mut() {
            // Runs that follow each other in the log too count as one.
            Some(last)
                if last.n + last.count == taken.n
                    && last.seq.get() + last.count == taken.seq.get()
                    && last.at == taken.at =>
            {
                last.count += taken.count;
            }
            _ => entry.taken.push_back(taken),
        }
        if entry.taken.len() > MAX_RUNS {
            entry.taken.pop_front();
        }
        self.bury(outbox);
    }

    /// A reserved number was refused for good: it is used up.
    pub(crate) fn refuse(&mut self, outbox: OutboxId, n: u64) {
        let Some(entry) = self.outboxes.get_mut(&outbox) else { return };
        entry.decided = entry.decided.max(n);
        entry.refused.push_back(n);
        if entry.refused.len() > MAX_RUNS {
            entry.refused.pop_front();
        }
        self.bury(outbox);
    }

    /// Reserved numbers from `n` on were not taken, for now: they must come again, from `n` on. What was reserved
    /// behind them becomes stale; what was reserved before them is decided already, or goes on with `keep_earlier`.
    pub(crate) fn release(&mut self, outbox: OutboxId, n: u64, keep_earlier: bool) {
        let Some(entry) = self.outboxes.get_mut(&outbox) else { return };
        entry.next = entry.next.min(n);
        if !keep_earlier {
            entry.epoch = Epoch(entry.epoch.0.wrapping_add(1));
        }
        // The refusal that goes out with this names the number to come again with.
        entry.told = Some(entry.next);
        self.bury(outbox);
    }

    /// Somebody is gone: the store knows of their outboxes from here on. Of what is under way it can't know yet: whoever
    /// comes with such an outbox meanwhile meets its reservations.
    pub(crate) fn forget(&mut self, who: PrincipalId) {
        let gone: Vec<OutboxId> = self.of(who).collect();
        for outbox in gone {
            self.owners.remove(&(who, outbox));
            if let Some(entry) = self.outboxes.get_mut(&outbox) {
                entry.orphaned = true;
            }
            self.bury(outbox);
        }
    }

    fn bury(&mut self, outbox: OutboxId) {
        if self.outboxes.get(&outbox).is_some_and(|entry| entry.orphaned && !entry.is_under_way()) {
            self.outboxes.remove(&outbox);
        }
    }

    fn of(&self, who: PrincipalId) -> impl Iterator<Item = OutboxId> {
        let (low, high) = (OutboxId::from_bytes([0; 16]), OutboxId::from_bytes([0xff; 16]));
        self.owners.range((who, low)..=(who, high)).map(|&(_, outbox)| outbox)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHO: PrincipalId = PrincipalId::from_bytes([1; 16]);
    const BOX: OutboxId = OutboxId::from_bytes([2; 16]);

    const NEW: Offer = Offer::New(Epoch(0));

    /// With an outbox that is known, and new.
    fn known() -> Publishers {
        let mut p = Publishers::default();
        assert!(p.recall(WHO, BOX, 0, None));
        p
    }

    fn taken(n: u64, count: u64, seq: u64) -> Taken {
        Taken { n, count, seq: Seq::new(seq), at: Timestamp::from_millis(7) }
    }

    #[test]
    fn a_number_sent_again_gets_its_first_place_again() {
        let mut p = known();
        assert_eq!(p.offer(BOX, 1, 1), NEW);
        assert_eq!(p.offer(BOX, 1, 1), Offer::InFlight);
        assert_eq!(p.offer(BOX, 2, 1), NEW);
        p.commit(BOX, taken(1, 2, 10));
        assert_eq!(p.offer(BOX, 2, 1), Offer::Duplicate(taken(2, 1, 11)));
    }

    #[test]
    fn a_hole_is_told_once_and_nothing_overtakes_it() {
        let mut p = known();
        assert_eq!(p.offer(BOX, 2, 1), Offer::Ahead { expected: 1, tell: true });
        assert_eq!(p.offer(BOX, 3, 1), Offer::Ahead { expected: 1, tell: false });
        assert_eq!(p.offer(BOX, 1, 1), NEW);
        assert_eq!(p.offer(BOX, 3, 1), Offer::Ahead { expected: 2, tell: true });
    }

    #[test]
    fn a_permanent_refusal_uses_its_number_up_and_a_retryable_one_does_not() {
        let mut p = known();
        assert_eq!(p.offer(BOX, 1, 1), NEW);
        p.refuse(BOX, 1);
        assert_eq!(p.offer(BOX, 1, 1), Offer::Refused);
        assert_eq!(p.offer(BOX, 2, 1), NEW);
        assert_eq!(p.offer(BOX, 3, 1), NEW);
        p.release(BOX, 2, true);
        // The refusal named number 2 already.
        assert_eq!(p.offer(BOX, 3, 1), Offer::Ahead { expected: 2, tell: false });
        assert_eq!(p.offer(BOX, 2, 1), NEW);
    }

    #[test]
    fn a_refused_number_behind_a_committed_one_stays_refused() {
        let mut p = known();
        assert_eq!(p.offer(BOX, 1, 1), NEW);
        p.refuse(BOX, 1);
        assert_eq!(p.offer(BOX, 2, 1), NEW);
        p.commit(BOX, taken(2, 1, 1));
        assert_eq!(p.offer(BOX, 1, 1), Offer::Refused);
    }

    #[test]
    fn a_place_that_is_no_longer_known_is_acked_without_one() {
        let mut p = known();
        for n in 1..=100 {
            assert_eq!(p.offer(BOX, n, 1), NEW);
            p.commit(BOX, taken(n, 1, n * 3));
        }
        assert!(matches!(p.offer(BOX, 1, 1), Offer::Duplicate(t) if t.seq == Seq::ZERO));
        assert!(matches!(p.offer(BOX, 100, 1), Offer::Duplicate(t) if t.seq == Seq::new(300)));
    }

    #[test]
    fn what_was_reserved_behind_a_released_number_is_stale() {
        let mut p = known();
        let Offer::New(first) = p.offer(BOX, 1, 10) else { panic!("1 is the next number") };
        p.release(BOX, 1, false);
        assert!(!p.holds(BOX, first));
        let Offer::New(again) = p.offer(BOX, 1, 10) else { panic!("1 is the next number again") };
        assert!(p.holds(BOX, again));
    }

    #[test]
    fn one_client_can_not_have_any_number_of_outboxes() {
        let mut p = Publishers::default();
        let other = |i: u8| OutboxId::from_bytes([i; 16]);
        for i in 0..64 {
            assert!(p.recall(WHO, other(i), 0, None));
        }
        assert!(!p.recall(WHO, other(99), 0, None));
        p.forget(WHO);
        assert!(p.recall(WHO, other(99), 0, None));
    }

    #[test]
    fn what_is_under_way_when_its_owner_goes_is_not_taken_a_second_time() {
        let mut p = known();
        assert_eq!(p.offer(BOX, 1, 2), NEW);
        p.forget(WHO);
        // Somebody new with the same outbox, before the first one's is decided.
        assert_eq!(p.offer(BOX, 1, 1), Offer::InFlight);
        p.commit(BOX, taken(1, 1, 10));
        assert_eq!(p.offer(BOX, 1, 1), Offer::Duplicate(taken(1, 1, 10)));
        p.release(BOX, 2, false);
        assert_eq!(p.offer(BOX, 2, 1), Offer::Unknown);
    }

    #[test]
    fn what_the_store_knows_of_an_outbox_holds_for_whoever_has_it() {
        let mut p = Publishers::default();
        assert_eq!(p.offer(BOX, 5, 1), Offer::Unknown);
        assert!(p.recall(WHO, BOX, 4, Some(taken(3, 2, 9))));
        assert_eq!(p.offer(BOX, 4, 1), Offer::Duplicate(taken(4, 1, 10)));
        assert!(matches!(p.offer(BOX, 1, 1), Offer::Duplicate(t) if t.seq == Seq::ZERO));
        assert_eq!(p.offer(BOX, 5, 1), NEW);
    }
}
