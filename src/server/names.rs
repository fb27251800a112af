//! Which aliases are taken, by whom.

use std::collections::HashMap;

use crate::id::Alias;
use crate::room::{Author, BanTarget};
use crate::text;

/// No alias is longer, in bytes: what is longer isn't looked at.
const MAX_BYTES: usize = 256;

/// Aliases and whose they are: of those that look alike, one is taken.
#[derive(Debug)]
pub(super) struct Names<T> {
    by_look: HashMap<String, T>,
    /// Without the letters' case. Two may have taken them that share a look, when that was not known yet.
    by_name: HashMap<String, T>,
}

impl<T> Default for Names<T> {
    fn default() -> Self {
        Self { by_look: HashMap::new(), by_name: HashMap::new() }
    }
}

impl<T: Copy + Eq> Names<T> {
    /// Whether a look is an alias's that is taken.
    pub(super) fn has(&self, look: &str) -> bool {
        self.by_look.contains_key(look)
    }

    /// Take an alias for somebody. False if it is another one's, or looks like it.
    pub(super) fn take(&mut self, alias: &Alias, who: T) -> bool {
        let free = alias.looks().iter().all(|look| self.by_look.get(look).is_none_or(|owner| *owner == who));
        if free {
            self.keep(alias, who);
        }
        free
    }

    /// Keep an alias somebody's who had it before, whatever looks like it.
    pub(super) fn keep(&mut self, alias: &Alias, who: T) {
        for look in alias.looks() {
            self.by_look.entry(look).or_insert(who);
        }
        self.by_name.entry(alias.folded()).or_insert(who);
    }

    /// An alias isn't somebody's any more; what it shares with `other`, which is theirs, stays.
    pub(super) fn give_up(&mut self, alias: &Alias, who: T, other: Option<&Alias>) {
        let kept = other.map(Alias::looks).unwrap_or_default();
        for look in alias.looks().into_iter().filter(|look| !kept.contains(look)) {
            if self.by_look.get(&look) == Some(&who) {
                self.by_look.remove(&look);
            }
        }
        let name = alias.folded();
        if other.is_none_or(|other| other.folded() != name) && self.by_name.get(&name) == Some(&who) {
            self.by_name.remove(&name);
        }
    }

    /// Whoever may be meant by a name: the one of exactly this alias first, then those whose alias looks like it.
    pub(super) fn meant(&self, name: &str) -> Vec<T> {
        if name.len() > MAX_BYTES {
            return Vec::new();
        }
        let name = text::composed(name);
        let exactly = self.by_name.get(&name.to_lowercase());
        let looks = text::looks(&name);
        exactly.into_iter().chain(looks.iter().filter_map(|look| self.by_look.get(look))).copied().collect()
    }
}

/// Whether an alias is what somebody calls it: letter case doesn't count, nor how a keyboard composes letters, and
/// commands can't have spaces.
pub(super) fn is_called(alias: &Alias, name: &str) -> bool {
    name.len() <= MAX_BYTES && alias.folded().replace(' ', "_") == text::composed(name).to_lowercase().replace(' ', "_")
}

/// Whether a ban is the one that is named so, or somebody's who is known so now.
pub(super) fn is_called_so(target: &BanTarget, name: &str, somebody: Option<&Author>) -> bool {
    match target {
        BanTarget::Principal(_, alias) | BanTarget::Guest { alias, .. } if is_called(alias, name) => true,
        target => target.to_string().eq_ignore_ascii_case(name) || somebody.is_some_and(|who| target.names(who)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alias(alias: &str) -> Alias {
        Alias::parse(alias).unwrap()
    }

    #[test]
    fn what_looks_like_a_name_is_taken_with_it_and_free_with_it() {
        let mut names = Names::default();
        assert!(names.take(&alias("victor"), 1) && names.take(&alias("Victor"), 1));
        assert!(!names.take(&alias("νictor"), 2) && !names.take(&alias("VICT0R"), 2));
        names.give_up(&alias("victor"), 2, None);
        assert!(!names.take(&alias("victor"), 2), "only whose it is gives it up");
        names.give_up(&alias("victor"), 1, None);
        assert!(names.take(&alias("νictor"), 2) && !names.take(&alias("victor"), 1));
    }

    #[test]
    fn names_of_before_that_look_alike_are_both_found() {
        let mut names = Names::default();
        names.keep(&alias("ada lovelace"), 1);
        names.keep(&alias("ada_lovelace"), 2);
        assert_eq!(names.meant("Ada_Lovelace")[0], 2);
        assert_eq!(names.meant("ada lovelace")[0], 1);
    }
}
