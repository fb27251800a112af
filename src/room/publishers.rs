//! Which publish ids were taken: idempotence without a window, keyed by who published and from which outbox.

use std::collections::{HashMap, VecDeque};

use crate::id::{OutboxId, PrincipalId, Seq, Timestamp};

/// Runs of numbers per outbox whose place in the log is remembered, so that a resend gets its first ack again. Runs
/// that follow each other in the log count as one: a lone publisher has one run, whatever it sent.
const MAX_RUNS: usize = 64;

/// Consecutive numbers that became consecutive events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) n: u64,
    pub(crate) count: u64,
    /// The first one's place; 0 if it is no longer known.
    pub(crate) seq: Seq,
    pub(crate) at: Timestamp,
}

/// What becomes of a number that a client sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Offer {
    /// The next one: it is reserved now, and must be committed, refused or released.
    New,
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
    outboxes: HashMap<(PrincipalId, OutboxId), Outbox>,
}

#[derive(Debug)]
struct Outbox {
    /// The number that comes next; those before it are decided or reserved.
    next: u64,
    /// All numbers up to this one are decided.
    decided: u64,
    /// `next` when a hole was told, so that it is told once.
    told: Option<u64>,
    taken: VecDeque<Taken>,
    refused: VecDeque<u64>,
}

impl Default for Outbox {
    fn default() -> Self {
        Self { next: 1, decided: 0, told: None, taken: VecDeque::new(), refused: VecDeque::new() }
    }
}

impl Publishers {
    /// Ask for number `n`. Reserves it if it is the next one.
    pub(crate) fn offer(&mut self, who: PrincipalId, outbox: OutboxId, n: u64) -> Offer {
        let entry = self.outboxes.entry((who, outbox)).or_default();
        if n > entry.next || n == 0 {
            let tell = entry.told != Some(entry.next);
            entry.told = Some(entry.next);
            return Offer::Ahead { expected: entry.next, tell };
        }
        if n == entry.next {
            entry.next += 1;
            entry.told = None;
            return Offer::New;
        }
        if entry.refused.contains(&n) {
            return Offer::Refused;
        }
        if n > entry.decided {
            return Offer::InFlight;
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

    /// Reserved numbers became events.
    pub(crate) fn commit(&mut self, who: PrincipalId, outbox: OutboxId, taken: Taken) {
        let entry = self.outboxes.entry((who, outbox)).or_default();
        let end = taken.n + taken.count;
        entry.decided = entry.decided.max(end - 1);
        entry.next = entry.next.max(end);
        match entry.taken.back_mut() {
            Some(run)
                if run.n + run.count == taken.n
                    && run.seq.get() + run.count == taken.seq.get()
                    && run.at == taken.at =>
            {
                run.count += taken.count;
            }
            _ => entry.taken.push_back(taken),
        }
        if entry.taken.len() > MAX_RUNS {
            entry.taken.pop_front();
        }
    }

    /// A reserved number was refused for good: it is used up.
    pub(crate) fn refuse(&mut self, who: PrincipalId, outbox: OutboxId, n: u64) {
        let entry = self.outboxes.entry((who, outbox)).or_default();
        entry.next = entry.next.max(n + 1);
        entry.refused.push_back(n);
        if entry.refused.len() > MAX_RUNS {
            entry.refused.pop_front();
        }
    }

    /// Reserved numbers from `n` on were not taken, for now: they must come again, from `n` on.
    pub(crate) fn release(&mut self, who: PrincipalId, outbox: OutboxId, n: u64) {
        let entry = self.outboxes.entry((who, outbox)).or_default();
        entry.next = entry.next.min(n);
        entry.refused.retain(|&refused| refused < n);
        // The refusal that goes out with this names the number to come again with.
        entry.told = Some(entry.next);
    }

    /// A guest is gone, and its numbers with it.
    pub(crate) fn forget(&mut self, who: PrincipalId) {
        self.outboxes.retain(|(principal, _), _| *principal != who);
    }

    /// How many outboxes of `who` are known here.
    pub(crate) fn outboxes(&self, who: PrincipalId) -> usize {
        self.outboxes.keys().filter(|(principal, _)| *principal == who).count()
    }

    /// Whether this outbox has published here before.
    pub(crate) fn knows(&self, who: PrincipalId, outbox: OutboxId) -> bool {
        self.outboxes.contains_key(&(who, outbox))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHO: PrincipalId = PrincipalId::from_bytes([1; 16]);
    const BOX: OutboxId = OutboxId::from_bytes([2; 16]);

    fn taken(n: u64, count: u64, seq: u64) -> Taken {
        Taken { n, count, seq: Seq::new(seq), at: Timestamp::from_millis(7) }
    }

    #[test]
    fn a_number_sent_again_gets_its_first_place_again() {
        let mut p = Publishers::default();
        assert_eq!(p.offer(WHO, BOX, 1), Offer::New);
        assert_eq!(p.offer(WHO, BOX, 1), Offer::InFlight);
        assert_eq!(p.offer(WHO, BOX, 2), Offer::New);
        p.commit(WHO, BOX, taken(1, 2, 10));
        assert_eq!(p.offer(WHO, BOX, 2), Offer::Duplicate(taken(2, 1, 11)));
    }

    #[test]
    fn a_hole_is_told_once_and_nothing_overtakes_it() {
        let mut p = Publishers::default();
        assert_eq!(p.offer(WHO, BOX, 2), Offer::Ahead { expected: 1, tell: true });
        assert_eq!(p.offer(WHO, BOX, 3), Offer::Ahead { expected: 1, tell: false });
        assert_eq!(p.offer(WHO, BOX, 1), Offer::New);
        assert_eq!(p.offer(WHO, BOX, 3), Offer::Ahead { expected: 2, tell: true });
    }

    #[test]
    fn a_permanent_refusal_uses_its_number_up_and_a_retryable_one_does_not() {
        let mut p = Publishers::default();
        assert_eq!(p.offer(WHO, BOX, 1), Offer::New);
        p.refuse(WHO, BOX, 1);
        assert_eq!(p.offer(WHO, BOX, 1), Offer::Refused);
        assert_eq!(p.offer(WHO, BOX, 2), Offer::New);
        assert_eq!(p.offer(WHO, BOX, 3), Offer::New);
        p.release(WHO, BOX, 2);
        // The refusal named number 2 already.
        assert_eq!(p.offer(WHO, BOX, 3), Offer::Ahead { expected: 2, tell: false });
        assert_eq!(p.offer(WHO, BOX, 2), Offer::New);
    }

    #[test]
    fn a_refused_number_behind_a_committed_one_stays_refused() {
        let mut p = Publishers::default();
        assert_eq!(p.offer(WHO, BOX, 1), Offer::New);
        p.refuse(WHO, BOX, 1);
        assert_eq!(p.offer(WHO, BOX, 2), Offer::New);
        p.commit(WHO, BOX, taken(2, 1, 1));
        assert_eq!(p.offer(WHO, BOX, 1), Offer::Refused);
    }

    #[test]
    fn a_place_that_is_no_longer_known_is_acked_without_one() {
        let mut p = Publishers::default();
        for n in 1..=100 {
            assert_eq!(p.offer(WHO, BOX, n), Offer::New);
            p.commit(WHO, BOX, taken(n, 1, n * 3));
        }
        assert!(matches!(p.offer(WHO, BOX, 1), Offer::Duplicate(t) if t.seq == Seq::ZERO));
        assert!(matches!(p.offer(WHO, BOX, 100), Offer::Duplicate(t) if t.seq == Seq::new(300)));
    }
}
