//! Token buckets, each a single number: the time at which it is full again (GCRA).

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

const SECOND: u64 = 1_000_000_000;

/// Inside, time is counted in parts of a nanosecond, so that what a byte costs is a whole number of them, near enough.
/// An `u64` holds 36 years of them.
const PARTS: u64 = 16;

/// How often something may be done: a *burst* at once, and a steady rate in the long run.
///
/// Whoever has done nothing for a while may do the whole burst; what is used of it comes back at the steady rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// In so many parts of a nanosecond one comes back.
    one: u64,
    burst: u64,
}

impl Rate {
    /// No limit.
    pub const NONE: Rate = Rate { one: 0, burst: u64::MAX };

    /// So many a second, and a burst. Both are at least 1.
    pub const fn per_second(count: u64, burst: u64) -> Self {
        Self::new(count, SECOND, burst)
    }

    /// So many a minute, and a burst. Both are at least 1.
    pub const fn per_minute(count: u64, burst: u64) -> Self {
        Self::new(count, 60 * SECOND, burst)
    }

    const fn new(count: u64, nanoseconds: u64, burst: u64) -> Self {
        let one = match (nanoseconds * PARTS).checked_div(count) {
            // Never.
            None => u64::MAX,
            Some(0) => 1,
            Some(one) => one,
        };
        Self { one, burst }
    }

    pub(crate) fn is_valid(&self) -> bool {
        self.one < u64::MAX && self.burst > 0
    }

    pub(crate) fn is_none(&self) -> bool {
        self.one == 0
    }

    /// So many of `n` are worth coming for: all, or half of the burst.
    pub(crate) fn batch(&self, n: u64) -> u64 {
        n.min((self.burst / 2).max(1))
    }

    /// The time in which `n` come back.
    fn cost(&self, n: u64) -> u64 {
        n.saturating_mul(self.one)
    }
}

/// How much of a [`Rate`] is used. Times are nanoseconds on one clock. It may be shared: two who take at the same moment
/// may together take a little too much, which they then wait for.
#[derive(Debug, Default)]
pub(crate) struct Bucket {
    full_at: AtomicU64,
}

impl Bucket {
    /// How many may be taken now.
    pub(crate) fn left(&self, rate: Rate, now: u64) -> u64 {
        let used = self.full_at.load(Relaxed).saturating_sub(now.saturating_mul(PARTS));
        rate.cost(rate.burst).saturating_sub(used).checked_div(rate.one).unwrap_or(u64::MAX)
    }

    /// Take `n`, whether there are as many or not: what is too much is owed.
    pub(crate) fn charge(&self, rate: Rate, now: u64, n: u64) {
        if !rate.is_none() {
            let (now, cost) = (now.saturating_mul(PARTS), rate.cost(n));
            let _ = self.full_at.fetch_update(Relaxed, Relaxed, |at| Some(at.max(now).saturating_add(cost)));
        }
    }

    /// Take one, if there is one.
    pub(crate) fn take(&self, rate: Rate, now: u64) -> bool {
        let taken = self.left(rate, now) > 0;
        if taken {
            self.charge(rate, now, 1);
        }
        taken
    }

    /// Nanoseconds until `n` may be taken, or the whole burst if that is less.
    pub(crate) fn wait(&self, rate: Rate, now: u64, n: u64) -> u64 {
        let used = self.full_at.load(Relaxed).saturating_sub(now.saturating_mul(PARTS));
        let spare = rate.cost(rate.burst).saturating_sub(rate.cost(n.min(rate.burst)));
        used.saturating_sub(spare).div_ceil(PARTS)
    }

    /// Whether it is as if nothing had ever been taken.
    pub(crate) fn is_full(&self, now: u64) -> bool {
        self.full_at.load(Relaxed) <= now.saturating_mul(PARTS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_burst_is_there_at_once_and_comes_back_at_the_rate() {
        let (bucket, rate) = (Bucket::default(), Rate::per_second(10, 3));
        let taken = (0..5).filter(|_| bucket.take(rate, SECOND)).count();
        assert_eq!((taken, bucket.wait(rate, SECOND, 1)), (3, SECOND / 10));
        assert!(!bucket.take(rate, SECOND + SECOND / 10 - 1));
        assert!(bucket.take(rate, SECOND + SECOND / 10));
        assert_eq!(bucket.left(rate, 9 * SECOND), 3);
        assert!(bucket.is_full(9 * SECOND));
    }

    #[test]
    fn what_is_owed_is_paid_back_first() {
        let (bucket, rate) = (Bucket::default(), Rate::per_second(1, 2));
        bucket.charge(rate, SECOND, 10);
        assert_eq!((bucket.left(rate, SECOND), bucket.wait(rate, SECOND, 1)), (0, 9 * SECOND));
        assert_eq!(bucket.left(rate, 10 * SECOND), 1);
    }

    #[test]
    fn without_a_limit_there_is_always_more() {
        let bucket = Bucket::default();
        bucket.charge(Rate::NONE, 5, u64::MAX);
        assert_eq!((bucket.left(Rate::NONE, 5), bucket.wait(Rate::NONE, 5, 9)), (u64::MAX, 0));
    }

    proptest! {
        /// However it is asked, in any span of time it gives at most the burst and what came back in that span.
        #[test]
        fn nobody_gets_more_than_burst_and_rate(
            count in 1u64..1000, burst in 1u64..1000,
            asks in proptest::collection::vec((0u64..SECOND, 1u64..50), 1..200),
        ) {
            let (bucket, rate) = (Bucket::default(), Rate::per_second(count, burst));
            let (mut now, mut taken) = (1, 0u64);
            for (pause, n) in asks {
                now += pause;
                let n = n.min(bucket.left(rate, now));
                bucket.charge(rate, now, n);
                taken += n;
                let back = now as f64 * count as f64 / SECOND as f64;
                prop_assert!(taken as f64 <= burst as f64 + back * 1.001 + 1.0);
            }
        }

        /// Who waits as long as they are told gets what they waited for.
        #[test]
        fn waiting_as_told_is_enough(count in 1u64..1000, burst in 1u64..1000, used in 0u64..3000, n in 1u64..1000) {
            let (bucket, rate) = (Bucket::default(), Rate::per_second(count, burst));
            bucket.charge(rate, 1, used);
            let later = 1 + bucket.wait(rate, 1, n);
            prop_assert!(bucket.left(rate, later) >= n.min(burst));
        }
    }
}
