//! A reader's cursor: the highest seq up to which every event was delivered, acked as its own, or told as skipped.

use std::collections::BTreeMap;

use crate::id::Seq;

/// Where a reader is in a room.
#[derive(Debug, Clone)]
pub(crate) struct Cursor {
    seen: u64,
    /// Own events ahead of the cursor: first seq → behind the last one.
    ahead: BTreeMap<u64, u64>,
}

/// What a delivery brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// Events from this one on are new; those before it, in the same delivery, are known.
    New { from: Seq },
    /// All of it is known.
    Known,
    /// It would leave a hole: these are missing, and nobody said that they would not come.
    Hole { from: Seq, to: Seq },
}

impl Cursor {
    pub(crate) fn new(head: Seq) -> Self {
        Self { seen: head.get(), ahead: BTreeMap::new() }
    }

    pub(crate) fn seen(&self) -> Seq {
        Seq::new(self.seen)
    }

    /// Judge `count` events from `first` on, and move over them unless there is a hole.
    pub(crate) fn deliver(&mut self, first: Seq, count: u64) -> Delivery {
        let (first, end) = (first.get(), first.get().saturating_add(count));
        if end <= self.seen + 1 {
            return Delivery::Known;
        }
        if first > self.seen + 1 {
            return Delivery::Hole { from: Seq::new(self.seen + 1), to: Seq::new(first - 1) };
        }
        let from = Seq::new(self.seen + 1);
        self.seen = end - 1;
        self.absorb();
        Delivery::New { from }
    }

    /// Own events are in the log.
    pub(crate) fn acked(&mut self, first: Seq, count: u64) {
        let (first, end) = (first.get(), first.get().saturating_add(count));
        // Without a place (0) it was acked long ago, and the cursor is past it.
        if first == 0 || end <= self.seen + 1 {
            return;
        }
        let known = self.ahead.entry(first).or_insert(end);
        *known = end.max(*known);
        self.absorb();
    }

    /// Own events at or ahead of the cursor that were acked, among the `count` ones from `first` on: first seq and the
    /// one behind the last.
    pub(crate) fn acked_in(&self, first: Seq, count: u64) -> Vec<(u64, u64)> {
        let end = first.get().saturating_add(count);
        self.ahead.range(..end).map(|(from, to)| (*from, *to)).filter(|(_, to)| *to > first.get()).collect()
    }

    /// Events up to `to` will not come.
    pub(crate) fn skip(&mut self, to: Seq) {
        self.seen = self.seen.max(to.get());
        self.absorb();
    }

    fn absorb(&mut self) {
        while let Some(entry) = self.ahead.first_entry() {
            if *entry.key() > self.seen + 1 {
                return;
            }
            self.seen = self.seen.max(entry.remove() - 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn s(n: u64) -> Seq {
        Seq::new(n)
    }

    #[test]
    fn an_ack_ahead_does_not_move_the_cursor_over_what_is_missing() {
        let mut c = Cursor::new(s(9));
        c.acked(s(12), 1);
        assert_eq!(c.seen(), s(9));
        assert_eq!(c.deliver(s(10), 2), Delivery::New { from: s(10) });
        assert_eq!(c.seen(), s(12));
    }

    #[test]
    fn a_hole_is_named_and_a_skip_closes_it() {
        let mut c = Cursor::new(s(0));
        assert_eq!(c.deliver(s(4), 1), Delivery::Hole { from: s(1), to: s(3) });
        c.skip(s(3));
        assert_eq!(c.deliver(s(4), 1), Delivery::New { from: s(4) });
        assert_eq!(c.deliver(s(2), 2), Delivery::Known);
        assert_eq!(c.deliver(s(3), 3), Delivery::New { from: s(5) });
    }

    proptest! {
        #[test]
        fn every_event_is_taken_once_however_they_are_cut_and_repeated(
            own in proptest::collection::vec(any::<bool>(), 1..60),
            repeats in proptest::collection::vec(0u64..10, 0..60),
        ) {
            let mut c = Cursor::new(Seq::ZERO);
            let mut taken = Vec::new();
            // All own events are acked first: far ahead of the cursor.
            for (i, _) in own.iter().enumerate().filter(|(_, own)| **own) {
                c.acked(s(i as u64 + 1), 1);
            }
            for (i, _) in own.iter().enumerate().filter(|(_, own)| !**own) {
                let seq = i as u64 + 1;
                let back = repeats.get(i).copied().unwrap_or(0).min(i as u64);
                // A delivery may begin before the cursor.
                if let Delivery::New { from } = c.deliver(s(seq - back), back + 1) {
                    taken.extend((from.get()..=seq).filter(|n| !own[*n as usize - 1]));
                }
            }
            let others: Vec<u64> = (1..=own.len() as u64).filter(|n| !own[*n as usize - 1]).collect();
            prop_assert_eq!(taken, others);
            prop_assert_eq!(c.seen(), s(own.len() as u64));
        }
    }
}
