//! How long to wait before connecting again, and when to give up. Pure: time and chance are arguments.

use std::time::{Duration, Instant};

/// A connection that lasted this long was a success, whatever it brought.
const STABLE: Duration = Duration::from_secs(10);

/// When and for how long a client tries to come back after its connection was lost.
///
/// Before attempt *k* it waits for a random time between nothing and `first delay · factor^(k−1)`, at most the longest
/// delay (exponential backoff with full jitter: a thousand clients of a restarted server don't come back at once). A
/// server that says when to come back is obeyed instead. Attempts are counted from the last connection that was of use:
/// one that brought something new, or lasted for 10 s.
///
/// ```
/// use std::time::Duration;
/// use chatnet::{Client, Reconnect};
///
/// // A service: never give up, and never wait longer than 5 s.
/// let rules = Reconnect::default().max_delay(Duration::from_secs(5)).max_elapsed(None);
/// let builder = Client::builder().reconnect(rules);
/// # let _ = builder;
/// ```
#[derive(Debug, Clone, PartialEq)]
#[must_use = "rules do nothing until a builder has them"]
pub struct Reconnect {
    first_delay: Duration,
    max_delay: Duration,
    factor: f64,
    max_attempts: Option<u32>,
    max_elapsed: Option<Duration>,
}

impl Default for Reconnect {
    /// Delays of up to 250 ms, doubled up to 30 s; give up after 10 minutes.
    fn default() -> Self {
        Self {
            first_delay: Duration::from_millis(250),
            max_delay: Duration::from_secs(30),
            factor: 2.0,
            max_attempts: None,
            max_elapsed: Some(Duration::from_secs(600)),
        }
    }
}

impl Reconnect {
    /// Don't come back: the first lost connection is the end.
    pub fn never() -> Self {
        Self::default().max_attempts(Some(0))
    }

    /// The longest wait before the first attempt. Default: 250 ms.
    pub fn first_delay(mut self, delay: Duration) -> Self {
        self.first_delay = delay;
        self
    }

    /// The longest wait before any attempt. Default: 30 s.
    pub fn max_delay(mut self, delay: Duration) -> Self {
        self.max_delay = delay;
        self
    }

    /// By how much the longest wait grows with each attempt; at least 1. Default: 2.
    pub fn factor(mut self, factor: f64) -> Self {
        self.factor = if factor >= 1.0 { factor } else { 1.0 };
        self
    }

    /// Give up after so many attempts in a row. Default: none, only the time counts.
    pub fn max_attempts(mut self, attempts: Option<u32>) -> Self {
        self.max_attempts = attempts;
        self
    }

    /// Give up after so much time without a connection; the last attempt is made at its end. Default: 10 minutes.
    pub fn max_elapsed(mut self, elapsed: Option<Duration>) -> Self {
        self.max_elapsed = elapsed;
        self
    }
}

/// Where a client stands between two connections.
#[derive(Debug)]
pub(crate) struct Backoff {
    rules: Reconnect,
    /// Attempts since the last connection that was of use.
    attempt: u32,
    /// When that one ended.
    since: Option<Instant>,
}

/// An attempt to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pause {
    /// Its number, from 1.
    pub(crate) attempt: u32,
    /// How long to wait before it.
    pub(crate) delay: Duration,
}

impl Backoff {
    pub(crate) fn new(rules: Reconnect) -> Self {
        Self { rules, attempt: 0, since: None }
    }

    /// A connection that began at `began` ends; it was of use if it brought something new.
    pub(crate) fn ended(&mut self, began: Instant, brought: bool, now: Instant) {
        if brought || now.saturating_duration_since(began) >= STABLE {
            self.attempt = 0;
            self.since = None;
        }
    }

    /// Plan the next attempt; none if it is time to give up. `after` is what the server asked for; `random` is any
    /// number, drawn anew.
    pub(crate) fn next(&mut self, after: Option<Duration>, now: Instant, random: u64) -> Option<Pause> {
        let gone = now.saturating_duration_since(*self.since.get_or_insert(now));
        let left = self.rules.max_elapsed.map(|max| max.saturating_sub(gone));
        if self.rules.max_attempts.is_some_and(|max| self.attempt >= max) || left == Some(Duration::ZERO) {
            return None;
        }
        let exponent = self.attempt.min(1000) as i32;
        let longest = self.rules.first_delay.as_secs_f64() * self.rules.factor.powi(exponent);
        let longest = longest.min(self.rules.max_delay.as_secs_f64());
        let share = (random >> 11) as f64 / (1u64 << 53) as f64;
        let jitter = Duration::try_from_secs_f64(longest * share).unwrap_or(self.rules.max_delay);
        let delay = match after {
            // Coming earlier than asked is of no use; if that is too late, there is no attempt.
            Some(after) if left.is_some_and(|left| after > left) => return None,
            Some(after) => after + jitter,
            None => jitter,
        };
        let delay = left.map_or(delay, |left| delay.min(left));
        self.attempt = self.attempt.saturating_add(1);
        Some(Pause { attempt: self.attempt, delay })
    }

    /// Something changed for the better: short waits again.
    pub(crate) fn hurry(&mut self) {
        self.attempt = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    fn longest(rules: Reconnect, count: usize) -> Vec<Duration> {
        let (mut backoff, now) = (Backoff::new(rules), Instant::now());
        (0..count).filter_map(|_| backoff.next(None, now, u64::MAX)).map(|pause| round(pause.delay)).collect()
    }

    fn round(delay: Duration) -> Duration {
        MS((delay.as_secs_f64() * 1000.0).round() as u64)
    }

    #[test]
    fn the_longest_wait_doubles_up_to_its_limit() {
        let expected = [250, 500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000].map(MS);
        assert_eq!(longest(Reconnect::default(), 9), expected);
    }

    #[test]
    fn after_ten_minutes_without_a_connection_it_gives_up_and_the_last_attempt_is_at_their_end() {
        let (mut backoff, begin) = (Backoff::new(Reconnect::default()), Instant::now());
        let mut now = begin;
        while let Some(pause) = backoff.next(None, now, u64::MAX) {
            now += pause.delay;
        }
        assert_eq!(now - begin, Duration::from_secs(600));
    }

    #[test]
    fn attempts_can_be_counted_and_never_is_none() {
        assert!(longest(Reconnect::never(), 9).is_empty());
        assert_eq!(longest(Reconnect::default().max_attempts(Some(2)), 9).len(), 2);
    }

    #[test]
    fn a_connection_of_use_begins_the_count_anew_and_one_that_is_cut_at_once_does_not() {
        let (mut backoff, now) = (Backoff::new(Reconnect::default()), Instant::now());
        let attempts = |backoff: &mut Backoff, now| backoff.next(None, now, 0).unwrap().attempt;
        assert_eq!(attempts(&mut backoff, now), 1);
        backoff.ended(now, false, now + MS(9_999));
        assert_eq!(attempts(&mut backoff, now), 2);
        backoff.ended(now, true, now);
        assert_eq!(attempts(&mut backoff, now), 1);
        backoff.ended(now, false, now + STABLE);
        assert_eq!(attempts(&mut backoff, now), 1);
        backoff.hurry();
        assert_eq!(attempts(&mut backoff, now), 1);
    }

    #[test]
    fn a_server_that_asks_for_time_is_given_it_and_too_much_is_the_end() {
        let (mut backoff, now) = (Backoff::new(Reconnect::default()), Instant::now());
        let delay = backoff.next(Some(MS(5000)), now, u64::MAX).unwrap().delay;
        assert!(delay >= MS(5000) && delay <= MS(5250), "{delay:?}");
        assert_eq!(backoff.next(Some(Duration::from_secs(601)), now, 0), None);
    }

    proptest! {
        #[test]
        fn no_wait_is_longer_than_its_limit(
            random in any::<u64>(), attempts in 0usize..2000, factor in 0.0f64..1e9, first in 0u64..1 << 40,
        ) {
            let rules = Reconnect::default().first_delay(MS(first)).factor(factor).max_elapsed(None);
            let (mut backoff, now) = (Backoff::new(rules), Instant::now());
            for _ in 0..attempts {
                let delay = backoff.next(None, now, random).unwrap().delay;
                prop_assert!(delay <= Duration::from_secs(30), "{:?}", delay);
            }
        }
    }
}
