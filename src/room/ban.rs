//! Whom a ban is for: somebody, whoever shows a certain alias, or whoever comes from an address.

use std::fmt;
use std::net::IpAddr;

use crate::id::{Alias, PrincipalId};
use crate::limit::Network;
use crate::text;

/// Whom a ban is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BanTarget {
    /// This one, under whatever alias; the one of the time is for reading.
    Principal(PrincipalId, Alias),
    /// Whoever's alias fits, or looks as if it did: `*` stands for any characters, `?` for one; letter case doesn't count.
    Mask(String),
    /// Whoever comes from there.
    Address(Network),
}

impl fmt::Display for BanTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Principal(_, alias) => alias.fmt(f),
            Self::Mask(mask) => mask.fmt(f),
            Self::Address(network) => network.fmt(f),
        }
    }
}

impl BanTarget {
    /// A mask, a network (`203.0.113.0/24`, `2001:db8::/48`) or an address, which stands for what counts as
    /// [one](Network::around); none for a name that is neither.
    pub fn pattern(raw: &str) -> Option<Self> {
        match raw.parse().map(Network::around).or_else(|_| raw.parse::<Network>()) {
            Ok(network) => Some(Self::Address(network)),
            Err(_) => raw.contains(['*', '?']).then(|| Self::Mask(raw.to_lowercase())),
        }
    }

    /// Whether the ban is for somebody.
    pub fn fits(&self, principal: PrincipalId, alias: &Alias, address: Option<IpAddr>) -> bool {
        match self {
            Self::Principal(banned, _) => *banned == principal,
            Self::Mask(mask) => {
                fits(mask, &alias.folded()) || {
                    // Letters that look alike are taken for each other.
                    let (masks, aliases) = (text::looks(mask), alias.looks());
                    masks.iter().any(|mask| aliases.iter().any(|alias| fits(mask, alias)))
                }
            }
            Self::Address(network) => address.is_some_and(|address| network.contains(address)),
        }
    }
}

fn fits(mask: &str, name: &str) -> bool {
    let (mask, name): (Vec<char>, Vec<char>) = (mask.chars().collect(), name.chars().collect());
    matches(&mask, &name)
}

/// Whether a mask fits a name, in time that is bounded by the product of their lengths.
fn matches(mask: &[char], name: &[char]) -> bool {
    let (mut m, mut n) = (0, 0);
    // Where the last star was, and up to where it has taken characters.
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        if m < mask.len() && mask[m] == '*' {
            star = Some((m, n));
            m += 1;
        } else if m < mask.len() && (mask[m] == '?' || mask[m] == name[n]) {
            (m, n) = (m + 1, n + 1);
        } else if let Some((at, taken)) = star {
            star = Some((at, taken + 1));
            (m, n) = (at + 1, taken + 1);
        } else {
            return false;
        }
    }
    mask[m..].iter().all(|&c| c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(ban: &str, alias: &str, address: Option<&str>) -> bool {
        let address = address.map(|address| address.parse().unwrap());
        let ban = BanTarget::pattern(ban).unwrap();
        ban.fits(PrincipalId::from_bytes([1; 16]), &Alias::parse(alias).unwrap(), address)
    }

    #[test]
    fn a_mask_fits_whole_aliases_whatever_their_case() {
        assert!(fits("Spam*", "SPAMMER", None) && fits("*", "x", None) && fits("a?c", "abc", None));
        assert!(fits("*bot*", "robotic", None) && fits("a*b*c", "aXXbXbc", None));
        assert!(!fits("spam*", "ispam", None) && !fits("a?c", "ac", None) && !fits("*bot", "bots", None));
    }

    #[test]
    fn a_mask_fits_what_looks_like_what_it_fits() {
        assert!(fits("spam*", "ѕpam bot", None) && fits("*spam", "BUY SΡAM", None));
        assert!(fits("spam*", "sраm", None) && fits("ѕpam*", "spam bot", None) && fits("ad?m", "аdam", None));
        assert!(fits("ill*", "lll", None) && !fits("spam*", "ѕpan", None) && !fits("spam?", "ѕpam", None));
    }

    #[test]
    fn a_network_fits_its_addresses() {
        assert!(fits("203.0.113.0/24", "x", Some("203.0.113.77")));
        assert!(fits("203.0.113.7", "x", Some("::ffff:203.0.113.7")));
        assert!(!fits("203.0.113.7", "x", Some("203.0.113.8")));
        assert!(fits("2001:db8::1", "x", Some("2001:db8::2:3")) && !fits("2001:db8::1", "x", Some("2001:db8:0:1::1")));
        assert!(fits("0.0.0.0/0", "x", Some("8.8.8.8")) && !fits("0.0.0.0/0", "x", Some("2001:db8::1")));
        assert!(!fits("203.0.113.7", "x", None), "a stream has no address");
        assert!(BanTarget::pattern("1.2.3.4/33").is_none() && BanTarget::pattern("ada").is_none());
    }

    #[test]
    fn somebody_stays_banned_under_another_alias() {
        let (ada, alias) = (PrincipalId::from_bytes([1; 16]), Alias::parse("ada").unwrap());
        let ban = BanTarget::Principal(ada, alias.clone());
        assert!(ban.fits(ada, &Alias::parse("bob").unwrap(), None));
        assert!(!ban.fits(PrincipalId::from_bytes([2; 16]), &alias, None));
        assert_eq!(ban.to_string(), "ada");
    }
}
