//! What failed logins cost: whoever guesses waits, longer each time; nobody can lock another out. Pure.

use std::collections::HashMap;

use crate::limit::Prefix;

/// So many failures cost nothing: people mistype.
const FREE: u32 = 5;

/// The next one costs this, in milliseconds; each further one twice as much …
const FIRST_MS: u64 = 1_000;

/// … up to this.
const MAX_MS: u64 = 300_000;

/// After so long without a failure all is forgotten, in milliseconds.
const FORGET_MS: u64 = 3_600_000;

/// Pairs that are remembered for failures; beyond, the ones that failed longest ago are forgotten.
const MAX_ENTRIES: usize = 65_536;

/// Pairs that are remembered for logins that worked, at about 150 bytes each; beyond, the ones that did so longest ago
/// are forgotten.
const MAX_KNOWN: usize = 10_000;

/// Logins that failed, and those that worked, by account and address. Times are milliseconds on any clock.
#[derive(Debug, Default)]
pub(crate) struct Throttle {
    failed: HashMap<Key, Entry>,
    /// Who has come in from where, and when last.
    known: HashMap<Key, u64>,
}

/// An account that somebody tries from an address. Accounts that don't exist count like those that do, or the waiting
/// would tell them apart. Streams of the application's have no address, and are one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    account: String,
    address: Option<Prefix>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Entry {
    failures: u32,
    last: u64,
    until: u64,
}

impl Throttle {
    /// Milliseconds that a login has to wait; none if it may be tried now.
    pub(crate) fn wait(&self, account: &str, address: Option<Prefix>, now: u64) -> Option<u64> {
        let until = self.failed.get(&key(account, address))?.until;
        (until > now).then(|| until - now)
    }

    /// A login failed.
    pub(crate) fn failed(&mut self, account: &str, address: Option<Prefix>, now: u64) {
        let key = key(account, address);
        make_room(&mut self.failed, &key, MAX_ENTRIES, |entry| entry.last);
        let entry = self.failed.entry(key).or_default();
        if now.saturating_sub(entry.last) > FORGET_MS {
            *entry = Entry::default();
        }
        entry.failures = entry.failures.saturating_add(1);
        entry.last = now;
        if entry.failures > FREE {
            let doubled = FIRST_MS.saturating_mul(1 << (entry.failures - FREE - 1).min(16));
            entry.until = now + doubled.min(MAX_MS);
        }
    }

    /// A login worked: this account isn't being guessed from there, and comes from there.
    pub(crate) fn worked(&mut self, account: &str, address: Option<Prefix>, now: u64) {
        self.failed.remove(&key(account, address));
        self.came(account, address, now);
    }

    /// An account has come in from an address, whatever it has shown for that.
    pub(crate) fn came(&mut self, account: &str, address: Option<Prefix>, now: u64) {
        let key = key(account, address);
        make_room(&mut self.known, &key, MAX_KNOWN, |at| *at);
        self.known.insert(key, now);
    }

    /// Whether an account has come in from an address before.
    pub(crate) fn knows(&self, account: &str, address: Option<Prefix>) -> bool {
        self.known.contains_key(&key(account, address))
    }
}

fn key(account: &str, address: Option<Prefix>) -> Key {
    Key { account: account.to_owned(), address }
}

/// Forget the older half of a full table, unless what comes is in it already.
fn make_room<V>(table: &mut HashMap<Key, V>, key: &Key, max: usize, last: impl Fn(&V) -> u64) {
    if table.len() < max || table.contains_key(key) {
        return;
    }
    let mut times: Vec<u64> = table.values().map(&last).collect();
    let middle = times.len() / 2;
    let (_, &mut median, _) = times.select_nth_unstable(middle);
    table.retain(|_, value| last(value) > median);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(address: &str) -> Option<Prefix> {
        Some(Prefix::from(address.parse::<std::net::IpAddr>().unwrap()))
    }

    #[test]
    fn whoever_guesses_waits_longer_each_time() {
        let (mut throttle, a) = (Throttle::default(), from("10.0.0.1"));
        for _ in 0..5 {
            throttle.failed("ada", a, 0);
        }
        assert_eq!(throttle.wait("ada", a, 0), None);
        throttle.failed("ada", a, 0);
        assert_eq!(throttle.wait("ada", a, 0), Some(1_000));
        throttle.failed("ada", a, 1_000);
        assert_eq!(throttle.wait("ada", a, 1_000), Some(2_000));
        for _ in 0..50 {
            throttle.failed("ada", a, 1_000);
        }
        assert_eq!(throttle.wait("ada", a, 1_000), Some(MAX_MS));
    }

    #[test]
    fn nobody_is_locked_out_by_somebody_elsewhere_nor_by_guesses_at_others() {
        let mut throttle = Throttle::default();
        for n in 0..1_000 {
            throttle.failed("ada", from("10.0.0.1"), 0);
            throttle.failed(&n.to_string(), from("10.0.0.1"), 0);
        }
        assert_eq!(throttle.wait("ada", from("10.0.0.2"), 0), None);
        assert_eq!(throttle.wait("bob", from("10.0.0.1"), 0), None, "an office may come from one address");
    }

    #[test]
    fn a_login_that_works_forgives_and_so_does_time() {
        let (mut throttle, a) = (Throttle::default(), from("10.0.0.1"));
        for _ in 0..8 {
            throttle.failed("ada", a, 0);
        }
        throttle.worked("ada", a, 1);
        assert_eq!(throttle.wait("ada", a, 0), None);
        for _ in 0..8 {
            throttle.failed("bob", a, 0);
        }
        throttle.failed("bob", a, FORGET_MS + 1);
        assert_eq!(throttle.wait("bob", a, FORGET_MS + 1), None);
    }

    #[test]
    fn an_account_is_known_where_it_came_in_and_nowhere_else() {
        let mut throttle = Throttle::default();
        throttle.worked("ada", from("10.0.0.1"), 0);
        assert!(throttle.knows("ada", from("10.0.0.1")));
        assert!(!throttle.knows("ada", from("10.0.0.2")) && !throttle.knows("bob", from("10.0.0.1")));
        throttle.failed("ada", from("10.0.0.1"), 1);
        assert!(throttle.knows("ada", from("10.0.0.1")), "whoever guesses at it takes nothing from it");
    }

    #[test]
    fn what_is_remembered_is_bounded_and_the_newest_of_it() {
        let (mut throttle, a, last) = (Throttle::default(), from("10.0.0.1"), 3 * MAX_ENTRIES as u64);
        for n in 0..=last {
            throttle.failed(&n.to_string(), a, n);
            throttle.worked(&format!("w{n}"), a, n);
        }
        assert!(throttle.failed.len() <= MAX_ENTRIES && throttle.known.len() <= MAX_KNOWN);
        assert!(throttle.knows(&format!("w{last}"), a) && !throttle.knows("w0", a));
    }
}
