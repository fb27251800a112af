//! What failed logins cost: whoever guesses waits, longer each time; nobody can lock another out. Pure.

use std::collections::HashMap;

use crate::limit::Prefix;

/// So many failures cost nothing: people mistype.
const FREE: u32 = 5;

/// So many failures of one address, whatever the accounts, cost nothing: a whole office may come from there.
const FREE_ADDRESS: u32 = 100;

/// The next one costs this, in milliseconds; each further one twice as much …
const FIRST_MS: u64 = 1_000;

/// … up to this.
const MAX_MS: u64 = 300_000;

/// After so long without a failure all is forgotten, in milliseconds.
const FORGET_MS: u64 = 3_600_000;

/// Pairs and addresses that are remembered; beyond, the ones that failed longest ago are forgotten.
const MAX_ENTRIES: usize = 65_536;

/// Failed logins, by account and address, and by address alone. Times are milliseconds on any clock.
#[derive(Debug, Default)]
pub(crate) struct Throttle {
    entries: HashMap<Key, Entry>,
}

/// An account that somebody tries from an address. Accounts that don't exist count like those that do, or the waiting
/// would tell them apart. Streams of the application's have no address, and are one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    account: Option<String>,
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
        let keys = keys(account, address);
        let until = keys.iter().filter_map(|key| self.entries.get(key)).map(|entry| entry.until).max()?;
        (until > now).then(|| until - now)
    }

    /// A login failed.
    pub(crate) fn failed(&mut self, account: &str, address: Option<Prefix>, now: u64) {
        for (key, free) in keys(account, address).into_iter().zip([FREE, FREE_ADDRESS]) {
            if self.entries.len() >= MAX_ENTRIES && !self.entries.contains_key(&key) {
                self.forget();
            }
            let entry = self.entries.entry(key).or_default();
            if now.saturating_sub(entry.last) > FORGET_MS {
                *entry = Entry::default();
            }
            entry.failures = entry.failures.saturating_add(1);
            entry.last = now;
            if entry.failures > free {
                let doubled = FIRST_MS.saturating_mul(1 << (entry.failures - free - 1).min(16));
                entry.until = now + doubled.min(MAX_MS);
            }
        }
    }

    /// A login worked: this account isn't being guessed from there. What the address did to others still counts.
    pub(crate) fn worked(&mut self, account: &str, address: Option<Prefix>) {
        let [pair, _] = keys(account, address);
        self.entries.remove(&pair);
    }

    fn forget(&mut self) {
        let mut times: Vec<u64> = self.entries.values().map(|entry| entry.last).collect();
        let middle = times.len() / 2;
        let (_, &mut median, _) = times.select_nth_unstable(middle);
        self.entries.retain(|_, entry| entry.last > median);
    }
}

fn keys(account: &str, address: Option<Prefix>) -> [Key; 2] {
    [Key { account: Some(account.to_owned()), address }, Key { account: None, address }]
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
    fn nobody_is_locked_out_by_somebody_elsewhere() {
        let mut throttle = Throttle::default();
        for _ in 0..1_000 {
            throttle.failed("ada", from("10.0.0.1"), 0);
        }
        assert_eq!(throttle.wait("ada", from("10.0.0.2"), 0), None);
        assert!(throttle.wait("bob", from("10.0.0.1"), 0).is_some(), "one address tries one account after the other");
    }

    #[test]
    fn a_login_that_works_forgives_and_so_does_time() {
        let (mut throttle, a) = (Throttle::default(), from("10.0.0.1"));
        for _ in 0..8 {
            throttle.failed("ada", a, 0);
        }
        throttle.worked("ada", a);
        assert_eq!(throttle.wait("ada", a, 0), None);
        for _ in 0..8 {
            throttle.failed("bob", a, 0);
        }
        throttle.failed("bob", a, FORGET_MS + 1);
        assert_eq!(throttle.wait("bob", a, FORGET_MS + 1), None);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut throttle = Throttle::default();
        for n in 0..3 * MAX_ENTRIES as u64 {
            throttle.failed(&n.to_string(), from("10.0.0.1"), n);
        }
        assert!(throttle.entries.len() <= MAX_ENTRIES);
    }
}
