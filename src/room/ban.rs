//! Whom a ban is for: somebody, whoever shows a certain alias, or whoever comes from an address.

use std::cell::OnceCell;
use std::fmt;
use std::net::IpAddr;

use super::Author;
use crate::id::{Alias, PrincipalId};
use crate::limit::Network;
use crate::protocol::PrincipalKind;
use crate::text::{self, NameError};

/// The longest mask, in characters as people count them.
const MAX_MASK: usize = 64;

/// Whom a ban is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BanTarget {
    /// This account, under whatever alias; the one of the time is for reading.
    Principal(PrincipalId, Alias),
    /// This guest, and whatever guest shows this alias, or one that looks like it: a guest who comes again is another
    /// principal. Accounts are not meant.
    Guest {
        /// Who it was.
        principal: PrincipalId,
        /// Under which alias.
        alias: Alias,
        /// Guests from there are meant too. It isn't shown.
        from: Option<Network>,
    },
    /// Whoever's alias fits, or looks as if it did: `*` stands for any characters, `?` for one; letter case doesn't count.
    Mask(String),
    /// Whoever comes from there.
    Address(Network),
}

impl fmt::Display for BanTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Principal(_, alias) | Self::Guest { alias, .. } => alias.fmt(f),
            Self::Mask(mask) => mask.fmt(f),
            Self::Address(network) => network.fmt(f),
        }
    }
}

impl BanTarget {
    /// Somebody.
    pub fn of(who: &Author, from: Option<Network>) -> Self {
        let (principal, alias) = (who.principal, who.alias.clone());
        if who.kind == PrincipalKind::Guest {
            Self::Guest { principal, alias, from }
        } else {
            Self::Principal(principal, alias)
        }
    }

    /// A mask, a network (`203.0.113.0/24`, `2001:db8::/48`) or an address, which stands for what counts as
    /// [one](Network::around); none for a name that is neither.
    pub fn pattern(raw: &str) -> Option<Self> {
        match raw.parse().map(Network::around).or_else(|_| raw.parse::<Network>()) {
            Ok(network) => Some(Self::Address(network)),
            Err(_) => raw.contains(['*', '?']).then(|| Self::Mask(raw.to_lowercase())),
        }
    }

    /// Check that it may be a new one: a mask is longer than an alias at most by its stars, and holds what an alias may.
    pub(crate) fn check(&self) -> Result<(), NameError> {
        match self {
            Self::Mask(mask) => text::check_name(mask, "mask", MAX_MASK).map(drop),
            _ => Ok(()),
        }
    }

    /// Whether the ban is for somebody.
    pub fn fits(&self, who: &Author, address: Option<IpAddr>) -> bool {
        self.fits_seen(&self.looks(), &Seen::new(who), address)
    }

    /// What it has to be kept with, for [`fits_seen`](Self::fits_seen).
    pub(crate) fn looks(&self) -> Looks {
        match self {
            Self::Mask(mask) => Looks::new(mask, &text::looks(mask)),
            Self::Guest { alias, .. } => Looks::new(alias.as_str(), &alias.looks()),
            Self::Principal(..) | Self::Address(_) => Looks::default(),
        }
    }

    /// [`fits`](Self::fits), for one of many bans and somebody whom all of them are asked about.
    pub(crate) fn fits_seen(&self, looks: &Looks, seen: &Seen<'_>, address: Option<IpAddr>) -> bool {
        let comes_from = |network: &Network| address.is_some_and(|address| network.contains(address));
        let who = seen.who;
        match self {
            Self::Principal(banned, _) => *banned == who.principal,
            Self::Guest { principal, from, .. } => {
                *principal == who.principal
                    || who.kind == PrincipalKind::Guest
                        && (from.as_ref().is_some_and(comes_from) || looks.are_like(seen.looks()))
            }
            Self::Mask(_) => looks.fit(seen.looks()),
            Self::Address(network) => comes_from(network),
        }
    }

    /// Whether it is somebody who is banned by this, and no pattern that they fit.
    pub(crate) fn names(&self, who: &Author) -> bool {
        match self {
            Self::Principal(banned, _) => *banned == who.principal,
            Self::Guest { principal, alias, .. } => {
                *principal == who.principal || who.kind == PrincipalKind::Guest && alias.is_like(&who.alias)
            }
            Self::Mask(_) | Self::Address(_) => false,
        }
    }

    /// Whether this is about the same as another one, which is none any more beside it.
    pub(crate) fn replaces(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Principal(a, _), Self::Principal(b, _)) => a == b,
            (Self::Guest { principal: a, alias, .. }, Self::Guest { principal: b, alias: other, .. }) => {
                a == b || alias.is_like(other)
            }
            (a, b) => a == b,
        }
    }
}

/// A name as it is written and as it looks. To work that out costs far more than to compare it: a ban is asked again and
/// again.
#[derive(Debug, Clone, Default)]
pub(crate) struct Looks {
    written: Vec<char>,
    looks: Vec<Vec<char>>,
}

impl Looks {
    fn new(written: &str, looks: &[String]) -> Self {
        Self { written: written.chars().collect(), looks: looks.iter().map(|look| look.chars().collect()).collect() }
    }

    /// Whether this is a mask of that name. Letters that look alike are taken for each other.
    fn fit(&self, name: &Self) -> bool {
        let fits = |mask: &Vec<char>| name.looks.iter().any(|look| matches(mask, look));
        matches(&self.written, &name.written) || self.looks.iter().any(fits)
    }

    /// Whether the two can't be told from each other.
    fn are_like(&self, other: &Self) -> bool {
        self.looks.iter().any(|look| other.looks.contains(look))
    }
}

/// Somebody whom many bans are asked about.
#[derive(Debug)]
pub(crate) struct Seen<'a> {
    who: &'a Author,
    looks: OnceCell<Looks>,
}

impl<'a> Seen<'a> {
    pub(crate) fn new(who: &'a Author) -> Self {
        Self { who, looks: OnceCell::new() }
    }

    fn looks(&self) -> &Looks {
        self.looks.get_or_init(|| Looks::new(&self.who.alias.folded(), &self.who.alias.looks()))
    }
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

    fn who(n: u8, kind: PrincipalKind, alias: &str) -> Author {
        Author { principal: PrincipalId::from_bytes([n; 16]), kind, alias: Alias::parse(alias).unwrap() }
    }

    fn fits(ban: &str, alias: &str, address: Option<&str>) -> bool {
        let address = address.map(|address| address.parse().unwrap());
        let ban = BanTarget::pattern(ban).unwrap();
        ban.fits(&who(1, PrincipalKind::Account, alias), address)
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
        let ban = BanTarget::of(&who(1, PrincipalKind::Account, "ada"), None);
        assert!(ban.fits(&who(1, PrincipalKind::Account, "bob"), None));
        assert!(!ban.fits(&who(2, PrincipalKind::Guest, "ada"), None));
        assert_eq!(ban.to_string(), "ada");
    }

    #[test]
    fn a_guest_stays_banned_who_comes_again_under_the_same_alias_and_an_account_is_somebody_else() {
        let from = "203.0.113.7".parse().map(Network::around).ok();
        let ban = BanTarget::of(&who(1, PrincipalKind::Guest, "troll"), from);
        let there = from.and_then(|_| "203.0.113.7".parse().ok());
        assert!(
            ban.fits(&who(1, PrincipalKind::Guest, "bob"), None)
                && ban.fits(&who(2, PrincipalKind::Guest, "TROLL"), None)
        );
        assert!(
            ban.fits(&who(3, PrincipalKind::Guest, "bob"), there)
                && !ban.fits(&who(3, PrincipalKind::Guest, "bob"), None)
        );
        assert!(!ban.fits(&who(4, PrincipalKind::Account, "troll"), there));
        let again = BanTarget::of(&who(2, PrincipalKind::Guest, "tr0ll"), None);
        assert!(
            again.replaces(&ban) && !again.replaces(&BanTarget::of(&who(4, PrincipalKind::Account, "troll"), None))
        );
    }

    #[test]
    fn a_mask_holds_what_an_alias_may_and_is_not_much_longer() {
        let check = |mask: &str| BanTarget::pattern(mask).unwrap().check();
        assert!(check("spam*").is_ok() && check("* the ?").is_ok());
        assert!(check("a\u{1b}*").is_err() && check("\u{202e}*").is_err() && check(&"*".repeat(65)).is_err());
    }
}
