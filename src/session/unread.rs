//! How much of a room is unread: one marker, and what doesn't count behind it.

use std::collections::BTreeSet;

use crate::id::Seq;

/// Events that don't count are remembered up to so many; beyond, the count is a little too high until it is read.
const MAX_QUIET: usize = 4096;

/// What is read of a room, and what isn't.
#[derive(Debug, Clone)]
pub(crate) struct Unread {
    head: u64,
    read: u64,
    /// Behind the marker: one's own events, and those that are no message.
    quiet: BTreeSet<u64>,
}

impl Unread {
    pub(crate) fn new(head: Seq, read: Seq) -> Self {
        Self { head: head.get().max(read.get()), read: read.get(), quiet: BTreeSet::new() }
    }

    /// The room has events up to this one.
    pub(crate) fn reaches(&mut self, head: Seq) {
        self.head = self.head.max(head.get());
    }

    /// This event need not be read.
    pub(crate) fn hush(&mut self, seq: Seq) {
        self.reaches(seq);
        if seq.get() > self.read {
            self.quiet.insert(seq.get());
            if self.quiet.len() > MAX_QUIET {
                self.quiet.pop_first();
            }
        }
        self.absorb();
    }

    /// Everything up to this event is read. True if that is further than before.
    pub(crate) fn read_up_to(&mut self, seq: Seq) -> bool {
        let seq = seq.get().min(self.head);
        let further = seq > self.read;
        if further {
            self.read = seq;
            self.quiet = self.quiet.split_off(&(seq + 1));
            self.absorb();
        }
        further
    }

    /// What needs no reading, and follows what is read, is read.
    fn absorb(&mut self) {
        while self.quiet.first() == Some(&(self.read + 1)) {
            self.quiet.pop_first();
            self.read += 1;
        }
    }

    /// The last event that is read.
    pub(crate) fn read(&self) -> Seq {
        Seq::new(self.read)
    }

    /// The last event there is.
    pub(crate) fn head(&self) -> Seq {
        Seq::new(self.head)
    }

    /// How many messages are unread.
    pub(crate) fn count(&self) -> u64 {
        (self.head - self.read).saturating_sub(self.quiet.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn seq(n: u64) -> Seq {
        Seq::new(n)
    }

    #[test]
    fn what_one_says_oneself_is_read_unless_something_before_it_is_not() {
        let mut unread = Unread::new(seq(10), seq(10));
        unread.hush(seq(11));
        assert_eq!((unread.count(), unread.read()), (0, seq(11)));
        unread.reaches(seq(12));
        unread.hush(seq(13));
        assert_eq!((unread.count(), unread.read()), (1, seq(11)));
        assert!(unread.read_up_to(seq(12)));
        assert_eq!((unread.count(), unread.read()), (0, seq(13)), "and what follows it");
    }

    #[test]
    fn a_marker_goes_forwards_only_and_not_beyond_what_there_is() {
        let mut unread = Unread::new(seq(10), seq(5));
        assert!(!unread.read_up_to(seq(3)));
        assert!(unread.read_up_to(seq(99)));
        assert_eq!((unread.count(), unread.read(), unread.head()), (0, seq(10), seq(10)));
    }

    proptest! {
        #[test]
        fn the_count_is_what_counts_behind_the_marker(
            head in 0u64..60, quiet in proptest::collection::btree_set(1u64..60, 0..60), reads in proptest::collection::vec(0u64..60, 0..5),
        ) {
            let mut unread = Unread::new(seq(head), seq(0));
            quiet.iter().for_each(|n| unread.hush(seq(*n)));
            let head = quiet.iter().copied().max().unwrap_or(0).max(head);
            reads.iter().for_each(|n| { unread.read_up_to(seq(*n)); });
            let read = reads.iter().copied().max().unwrap_or(0).min(head);
            let expected = (read + 1..=head).filter(|n| !quiet.contains(n)).count() as u64;
            prop_assert_eq!(unread.count(), expected);
        }
    }
}
