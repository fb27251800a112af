//! What a session, an account or an address has used of its limits.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use super::{Bucket, Rate, Rates};

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    Messages,
    Bytes,
    Joins,
    Rooms,
    Reads,
    Frames,
    /// New connections; of addresses only.
    Connections,
    /// Passwords and codes that were wrong; of addresses only.
    Logins,
}

impl Rates {
    pub(crate) fn of(&self, what: What) -> Rate {
        match what {
            What::Messages => self.messages,
            What::Bytes => self.bytes,
            What::Joins => self.joins,
            What::Rooms => self.rooms,
            What::Reads => self.reads,
            What::Frames => self.frames,
            What::Connections | What::Logins => Rate::NONE,
        }
    }
}

/// A bucket of each kind. Shared by whom it is for.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    buckets: [Bucket; 8],
}

impl Meter {
    pub(crate) fn of(&self, what: What) -> &Bucket {
        &self.buckets[what as usize]
    }

    fn is_unused(&self, now: u64) -> bool {
        self.buckets.iter().all(|bucket| bucket.is_full(now))
    }
}

impl AsRef<Meter> for Meter {
    fn as_ref(&self) -> &Meter {
        self
    }
}

/// The meters of all who are there, and of those who were a moment ago; each perhaps with something beside it.
#[derive(Debug)]
pub(crate) struct Meters<K, M = Meter> {
    max: usize,
    meters: HashMap<K, Arc<M>>,
    /// Looked through for idle ones when there are so many.
    look_at: usize,
    /// For those that there is no room for.
    others: Arc<M>,
}

/// It isn't worth while to look through fewer.
const FEW: usize = 1024;

impl<K: Eq + Hash, M: AsRef<Meter> + Default> Meters<K, M> {
    /// At most `max` meters; whoever comes when there are as many shares one with others.
    pub(crate) fn new(max: usize) -> Self {
        Self { max, meters: HashMap::new(), look_at: FEW.min(max), others: Arc::default() }
    }

    /// Whose meter this is, as long as anybody holds it or anything of it is used.
    pub(crate) fn of(&mut self, who: K, now: u64) -> Arc<M> {
        if let Some(meter) = self.meters.get(&who) {
            return Arc::clone(meter);
        }
        if self.meters.len() >= self.look_at {
            self.meters.retain(|_, meter| Arc::strong_count(meter) > 1 || !(**meter).as_ref().is_unused(now));
            // Half of them new before the next look: each costs its share of two.
            self.look_at = (2 * self.meters.len()).max(FEW).min(self.max);
            if self.meters.len() >= self.max {
                return Arc::clone(&self.others);
            }
        }
        Arc::clone(self.meters.entry(who).or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_quiet_is_forgotten_and_who_is_not_is_not() {
        let rate = Rate::per_second(1, 10);
        let mut meters: Meters<u32> = Meters::new(2000);
        let held = meters.of(0, 1);
        meters.of(1, 1).of(What::Joins).charge(rate, 1, 5);
        (2..1900).for_each(|who| drop(meters.of(who, 1)));
        assert!(meters.meters.len() <= FEW);
        assert!(Arc::ptr_eq(&held, &meters.of(0, 1)));
        assert_eq!(meters.of(1, 1).of(What::Joins).left(rate, 1), 5);
        // Five seconds later it is as if it had done nothing.
        (2..4000).for_each(|who| drop(meters.of(who, 6_000_000_000)));
        assert!(!meters.meters.contains_key(&1));
    }

    #[test]
    fn those_that_there_is_no_room_for_share_one_meter() {
        let mut meters: Meters<u32> = Meters::new(10);
        let held: Vec<_> = (0..50).map(|who| meters.of(who, 1)).collect();
        assert_eq!(meters.meters.len(), 10);
        assert!(Arc::ptr_eq(&held[20], &held[49]) && !Arc::ptr_eq(&held[1], &held[2]));
        assert!(Arc::ptr_eq(&held[3], &meters.of(3, 1)), "who was there before keeps its own");
    }
}
