//! Who came and went, and who is away, as versioned diffs: a storm of N joins costs O(N) frames and not O(N²).

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::batch::Author;

/// Rooms with more members than this are told counts only: a thousand names a second are of no use to anybody.
pub(crate) const MAX_DIFF_MEMBERS: usize = 500;

/// The least time between two diffs of a small room. The first change after a quiet time goes out at once.
const MIN_INTERVAL: Duration = Duration::from_millis(20);

/// A diff goes to every member, so its least interval grows with them: at most about a thousand presence frames a
/// second and room.
const INTERVAL_PER_MEMBER: Duration = Duration::from_millis(1);

/// The longest time a change of a large room waits.
const MAX_INTERVAL: Duration = Duration::from_secs(1);

/// Somebody came or went, or is away.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    /// The version that this change made.
    pub(crate) version: u64,
    pub(crate) who: Arc<Author>,
    pub(crate) what: ChangeKind,
}

/// What somebody did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ChangeKind {
    Came,
    Went,
    /// Away, with this text.
    Away(Arc<str>),
    Back,
}

impl ChangeKind {
    fn is_about_away(&self) -> bool {
        matches!(self, Self::Away(_) | Self::Back)
    }
}

/// What changed between two versions.
#[derive(Debug)]
pub(crate) struct Diff {
    pub(crate) from: u64,
    pub(crate) version: u64,
    /// None if the room is too large for names.
    pub(crate) changes: Option<Vec<Change>>,
}

/// Collects changes until it is time to tell them.
#[derive(Debug, Default)]
pub(crate) struct PresenceLog {
    version: u64,
    told: u64,
    changes: Vec<Change>,
    last: Option<Instant>,
}

impl PresenceLog {
    /// The version after all changes so far.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// Somebody came (`joined`) or went; `members` is how many there are now.
    pub(crate) fn record(&mut self, who: Arc<Author>, joined: bool, members: usize) {
        self.version += 1;
        // Too many for names anyway: don't keep them.
        if members.max(self.changes.len()) > MAX_DIFF_MEMBERS {
            self.changes.clear();
            return;
        }
        self.changes.retain(|c| c.who.principal != who.principal || !c.what.is_about_away());
        let (what, opposite) =
            if joined { (ChangeKind::Came, ChangeKind::Went) } else { (ChangeKind::Went, ChangeKind::Came) };
        // Who came and went unseen in between needs no telling.
        if let Some(i) = self.changes.iter().position(|c| c.who.principal == who.principal && c.what == opposite) {
            self.changes.remove(i);
        } else {
            self.changes.push(Change { version: self.version, who, what });
        }
    }

    /// Somebody who is here is away with a text, or back without; `members` is how many there are. Nobody is told in a
    /// room that is too large for names.
    pub(crate) fn away(&mut self, who: Arc<Author>, text: Option<Arc<str>>, members: usize) {
        if members.max(self.changes.len()) > MAX_DIFF_MEMBERS {
            return;
        }
        self.version += 1;
        // Only what they say last is of use.
        self.changes.retain(|c| c.who.principal != who.principal || !c.what.is_about_away());
        let what = text.map_or(ChangeKind::Back, ChangeKind::Away);
        self.changes.push(Change { version: self.version, who, what });
    }

    /// When the next diff may go out: `None` if there is nothing to tell.
    pub(crate) fn due(&self, members: usize) -> Option<Due> {
        if self.version == self.told {
            return None;
        }
        let interval = (INTERVAL_PER_MEMBER * members as u32).clamp(MIN_INTERVAL, MAX_INTERVAL);
        Some(self.last.map_or(Due::Now, |last| Due::At(last + interval)))
    }

    /// Take what changed, if it is time.
    pub(crate) fn take(&mut self, now: Instant, members: usize) -> Option<Diff> {
        match self.due(members)? {
            Due::At(at) if at > now => return None,
            _ => {}
        }
        self.last = Some(now);
        let changes = (members <= MAX_DIFF_MEMBERS).then(|| std::mem::take(&mut self.changes));
        let diff = Diff { from: self.told, version: self.version, changes };
        self.told = self.version;
        self.changes.clear();
        Some(diff)
    }
}

/// When something is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    Now,
    At(Instant),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{Alias, PrincipalId};
    use crate::protocol::PrincipalKind;

    fn who(n: u16) -> Arc<Author> {
        let mut id = [0; 16];
        id[..2].copy_from_slice(&n.to_be_bytes());
        let principal = PrincipalId::from_bytes(id);
        Arc::new(Author { principal, kind: PrincipalKind::Guest, alias: Alias::parse(&format!("n{n}")).unwrap() })
    }

    #[test]
    fn the_first_change_goes_out_at_once_and_a_storm_is_collected() {
        let (mut log, t) = (PresenceLog::default(), Instant::now());
        log.record(who(0), true, 1);
        assert_eq!(log.take(t, 1).unwrap().changes.unwrap().len(), 1);
        for n in 1..100 {
            log.record(who(n), true, 1 + n as usize);
        }
        assert!(log.take(t + Duration::from_millis(10), 100).is_none());
        let diff = log.take(t + Duration::from_millis(100), 100).unwrap();
        assert_eq!((diff.from, diff.version, diff.changes.unwrap().len()), (1, 100, 99));
        assert!(log.due(100).is_none());
    }

    #[test]
    fn who_comes_and_goes_in_between_is_not_told() {
        let mut log = PresenceLog::default();
        log.record(who(1), true, 1);
        log.record(who(1), false, 0);
        let diff = log.take(Instant::now(), 0).unwrap();
        assert_eq!((diff.version, diff.changes.unwrap().len()), (2, 0));
    }

    #[test]
    fn of_who_is_away_the_last_word_is_told_and_none_of_who_left() {
        let mut log = PresenceLog::default();
        let away = |text: &str| Some(Arc::from(text));
        log.record(who(1), true, 1);
        log.away(who(1), away("tea"), 2);
        log.away(who(2), away("tea"), 2);
        log.away(who(1), away("lunch"), 2);
        log.record(who(2), false, 1);
        let diff = log.take(Instant::now(), 1).unwrap();
        let told: Vec<_> =
            diff.changes.unwrap().into_iter().map(|c| (c.version, c.who.alias.to_string(), c.what)).collect();
        use ChangeKind::{Away, Came, Went};
        assert_eq!(told, [(1, "n1".into(), Came), (4, "n1".into(), Away("lunch".into())), (5, "n2".into(), Went)]);
        log.away(who(1), None, MAX_DIFF_MEMBERS + 1);
        assert!(log.due(1).is_none(), "a large room isn't told");
    }

    #[test]
    fn a_room_beyond_the_limit_is_told_counts_only() {
        let mut log = PresenceLog::default();
        for n in 0..600 {
            log.record(who(n), true, n as usize + 1);
        }
        let diff = log.take(Instant::now(), 600).unwrap();
        assert!(diff.changes.is_none());
        assert_eq!(diff.version, 600);
    }
}
