//! Who is in a room.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::id::{PrincipalId, SessionId};

/// The members of a room, by principal and session, and a list of them for whoever sends to all.
#[derive(Debug)]
pub(crate) struct Members<M> {
    map: BTreeMap<(PrincipalId, SessionId), Arc<M>>,
    principals: usize,
    // Rebuilt when somebody sends after a change, not at every change: a storm of joins costs O(N), not O(N²).
    list: Option<Arc<[Arc<M>]>>,
}

impl<M> Default for Members<M> {
    fn default() -> Self {
        Self { map: BTreeMap::new(), principals: 0, list: None }
    }
}

impl<M> Members<M> {
    /// Add a session. True if its principal was not here before.
    pub(crate) fn insert(&mut self, principal: PrincipalId, session: SessionId, member: Arc<M>) -> bool {
        let first = !self.has(principal);
        self.map.insert((principal, session), member);
        self.list = None;
        self.principals += usize::from(first);
        first
    }

    /// Take a session out: its member, and whether its principal is gone with it.
    pub(crate) fn remove(&mut self, principal: PrincipalId, session: SessionId) -> Option<(Arc<M>, bool)> {
        let member = self.map.remove(&(principal, session))?;
        self.list = None;
        let gone = !self.has(principal);
        self.principals -= usize::from(gone);
        Some((member, gone))
    }

    /// Whether any session of `principal` is here.
    pub(crate) fn has(&self, principal: PrincipalId) -> bool {
        self.sessions(principal).next().is_some()
    }

    /// The members that a principal's sessions are.
    pub(crate) fn of(&self, principal: PrincipalId) -> impl Iterator<Item = &Arc<M>> {
        self.sessions(principal)
    }

    /// Every member.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<M>> {
        self.map.values()
    }

    fn sessions(&self, principal: PrincipalId) -> impl Iterator<Item = &Arc<M>> {
        let (low, high) = (SessionId::from_bytes([0; 16]), SessionId::from_bytes([0xff; 16]));
        self.map.range((principal, low)..=(principal, high)).map(|(_, member)| member)
    }

    /// How many principals are here.
    pub(crate) fn count(&self) -> usize {
        self.principals
    }

    /// Whether nobody is here.
    pub(crate) fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    /// Put another member in a session's place: it has another connection now, or none. False if it isn't here.
    pub(crate) fn replace(&mut self, principal: PrincipalId, session: SessionId, member: Arc<M>) -> bool {
        self.list = None;
        self.map.get_mut(&(principal, session)).map(|place| *place = member).is_some()
    }

    /// Every session that `here` says is connected, as a list that stays as it is while others come and go.
    pub(crate) fn list(&mut self, here: impl Fn(&M) -> bool) -> Arc<[Arc<M>]> {
        let all = self.map.values().filter(|member| here(member));
        Arc::clone(self.list.get_or_insert_with(|| all.cloned().collect()))
    }

    /// A page of principals in the order of their ids, behind `after`; and whether there are more.
    pub(crate) fn page(&self, after: Option<PrincipalId>, limit: usize) -> (Vec<Arc<M>>, bool) {
        let low = match after {
            Some(principal) => std::ops::Bound::Excluded((principal, SessionId::from_bytes([0xff; 16]))),
            None => std::ops::Bound::Unbounded,
        };
        let mut page = Vec::new();
        let mut last = None;
        for (&(principal, _), member) in self.map.range((low, std::ops::Bound::Unbounded)) {
            if last == Some(principal) {
                continue;
            }
            if page.len() == limit {
                return (page, true);
            }
            last = Some(principal);
            page.push(Arc::clone(member));
        }
        (page, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(p: u8, s: u8) -> (PrincipalId, SessionId) {
        (PrincipalId::from_bytes([p; 16]), SessionId::from_bytes([s; 16]))
    }

    #[test]
    fn a_principal_counts_once_whatever_its_sessions() {
        let mut members = Members::default();
        let ((a, s1), (_, s2)) = (ids(1, 1), ids(1, 2));
        assert!(members.insert(a, s1, Arc::new("one")));
        assert!(!members.insert(a, s2, Arc::new("two")));
        assert_eq!(members.count(), 1);
        assert_eq!(members.list(|_| true).len(), 2);
        assert!(matches!(members.remove(a, s1), Some((_, false))));
        assert!(matches!(members.remove(a, s2), Some((_, true))));
        assert!(members.is_empty() && members.count() == 0);
    }

    #[test]
    fn pages_cover_everybody_once() {
        let mut members = Members::default();
        for p in 0..25 {
            for s in 0..2 {
                let (a, b) = ids(p, s);
                members.insert(a, b, Arc::new(p));
            }
        }
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let (page, more) = members.page(after, 10);
            seen.extend(page.iter().map(|p| **p));
            after = seen.last().map(|p| PrincipalId::from_bytes([*p; 16]));
            if !more {
                break;
            }
        }
        assert_eq!(seen, (0..25).collect::<Vec<u8>>());
    }
}
