//! What becomes of those who go on when they were told to wait.

use super::{Bucket, Rate};

const MS: u64 = 1_000_000;

/// What was under way when a refusal was sent is nobody's fault: for so long after it, in nanoseconds, nothing counts.
const UNDER_WAY: u64 = 1000 * MS;

/// Timers fire early and clocks differ: so much too early is in time, in nanoseconds.
const SLACK: u64 = 20 * MS;

/// So often one may come too early, before it counts.
const EARLY: Rate = Rate::per_second(1, 20);

/// So many bytes of messages that can't be taken, because an earlier one waits, are what a client may have had under
/// way: chatnet's own has at most 1 MiB.
const SPILLED: Rate = Rate::per_second(256 << 10, 4 << 20);

/// So many frames of them, for small messages come to no bytes worth counting: what a client may have under way that sends
/// each message in a frame of its own, and was told late to wait. A refill below the rate at which frames are read at all
/// (200 a second and session) is what tells one who goes on from one whose frames were under way.
const SPILLED_FRAMES: Rate = Rate::per_second(50, 2000);

/// So many cool-offs; the next one is the last.
const COOL_OFFS: Rate = Rate::per_minute(1, 2);

/// What is to be done about somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sentence {
    Nothing,
    /// Read nothing from them for a while.
    CoolOff,
    /// Part with them.
    Part,
}

/// How somebody has behaved. Times are nanoseconds on one clock.
#[derive(Debug, Default)]
pub(crate) struct Conduct {
    /// They were told to wait at this time …
    told: u64,
    /// … until this one.
    until: u64,
    early: Bucket,
    spilled: Bucket,
    spilled_frames: Bucket,
    cool_offs: Bucket,
}

impl Conduct {
    /// Something of theirs was refused, and they are told to wait for so long.
    pub(crate) fn refused(&mut self, now: u64, wait: u64) -> Sentence {
        let until = now.saturating_add(wait);
        if now.saturating_add(SLACK) >= self.until {
            (self.told, self.until) = (now, until);
            return Sentence::Nothing;
        }
        self.until = self.until.max(until);
        if now < self.told.saturating_add(UNDER_WAY) || self.early.take(EARLY, now) {
            return Sentence::Nothing;
        }
        self.judge(now)
    }

    /// So many bytes of theirs, a frame or what is left of one, were thrown away, because something before them was refused.
    pub(crate) fn spilled(&mut self, now: u64, bytes: usize) -> Sentence {
        if self.spilled.left(SPILLED, now) > 0 && self.spilled_frames.take(SPILLED_FRAMES, now) {
            self.spilled.charge(SPILLED, now, bytes as u64);
            return Sentence::Nothing;
        }
        self.judge(now)
    }

    fn judge(&mut self, now: u64) -> Sentence {
        (self.early, self.spilled, self.spilled_frames) = Default::default();
        if self.cool_offs.take(COOL_OFFS, now) { Sentence::CoolOff } else { Sentence::Part }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1000 * MS;

    #[test]
    fn who_waits_as_told_may_be_refused_for_ever() {
        let (mut conduct, mut now) = (Conduct::default(), SECOND);
        for _ in 0..1000 {
            // All that was under way comes in at once.
            assert!((0..100).all(|i| conduct.refused(now + i * MS, 3 * SECOND) == Sentence::Nothing));
            now += 99 * MS + 3 * SECOND;
        }
    }

    #[test]
    fn who_does_not_wait_cools_off_twice_and_is_parted_with() {
        let (mut conduct, mut now, mut sentences) = (Conduct::default(), SECOND, Vec::new());
        while sentences.last() != Some(&Sentence::Part) {
            let sentence = conduct.refused(now, 3 * SECOND);
            now += 10 * MS;
            if sentence != Sentence::Nothing {
                sentences.push(sentence);
                now += 5 * SECOND;
            }
            assert!(now < 60 * SECOND);
        }
        assert_eq!(sentences, [Sentence::CoolOff, Sentence::CoolOff, Sentence::Part]);
    }

    #[test]
    fn what_a_client_may_have_under_way_is_thrown_away_without_a_word() {
        let mut conduct = Conduct::default();
        let taken = (0..).take_while(|_| conduct.spilled(SECOND, 16 << 10) == Sentence::Nothing).count();
        assert_eq!(taken, 256, "4 MiB");
        let mut conduct = Conduct::default();
        let taken = (0..).take_while(|_| conduct.spilled(SECOND, 30) == Sentence::Nothing).count();
        assert_eq!(taken, 2000);
    }

    #[test]
    fn small_messages_that_go_on_and_on_are_an_offence_too() {
        let (mut conduct, mut now, mut sentences) = (Conduct::default(), SECOND, Vec::new());
        while sentences.last() != Some(&Sentence::Part) {
            let sentence = conduct.spilled(now, 30);
            // As fast as frames are read.
            now += 5 * MS;
            if sentence != Sentence::Nothing {
                sentences.push(sentence);
                now += 5 * SECOND;
            }
            assert!(now < 90 * SECOND, "{sentences:?}");
        }
        assert_eq!(sentences, [Sentence::CoolOff, Sentence::CoolOff, Sentence::Part]);
    }
}
