//! Every connection and every session, the aliases that are taken, and the tokens that sessions are continued with.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::ops::Bound;
use std::sync::Arc;

use parking_lot::Mutex;

use super::conn::{Close, Conn};
use super::names::{self, Names};
use super::session::{Session, Token};
use crate::id::{Alias, PrincipalId, SessionId};
use crate::limit::{Connections, Full};
use crate::protocol::PrincipalKind;
use crate::room::Author;
use crate::store::TokenHash;
use crate::text;

/// Sessions that may wait for a connection at once; beyond, the one that has waited longest is not kept.
const MAX_AWAY: usize = 100_000;

/// See the module.
#[derive(Debug)]
pub(super) struct Sessions {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    connections: Connections,
    conns: BTreeMap<u64, Arc<Conn>>,
    sessions: BTreeMap<SessionId, Arc<Session>>,
    aliases: Names<SessionId>,
    /// The second alias of guests who are being renamed.
    second: HashMap<SessionId, Alias>,
    tokens: HashMap<TokenHash, SessionId>,
    owners: BTreeSet<(PrincipalId, SessionId)>,
    /// Those without a connection, by the time at which they end.
    away: BTreeSet<(u64, SessionId)>,
    /// The same by session.
    until: HashMap<SessionId, u64>,
    guests: u64,
}

impl Sessions {
    pub(super) fn new(max: usize, max_per_address: usize) -> Self {
        Self {
            inner: Mutex::new(Inner {
                connections: Connections::new(max, max_per_address),
                conns: BTreeMap::new(),
                sessions: BTreeMap::new(),
                aliases: Names::default(),
                second: HashMap::new(),
                tokens: HashMap::new(),
                owners: BTreeSet::new(),
                away: BTreeSet::new(),
                until: HashMap::new(),
                guests: 1000,
            }),
        }
    }

    /// Count a connection, if there is room for it.
    pub(super) fn enter(&self, address: Option<IpAddr>) -> Result<(), Full> {
        self.inner.lock().connections.enter(address)
    }

    pub(super) fn leave(&self, address: Option<IpAddr>) {
        self.inner.lock().connections.leave(address);
    }

    pub(super) fn add(&self, conn: &Arc<Conn>) {
        self.inner.lock().conns.insert(conn.id, Arc::clone(conn));
    }

    pub(super) fn remove(&self, conn: u64) {
        self.inner.lock().conns.remove(&conn);
    }

    pub(super) fn find(&self, session: SessionId) -> Option<Arc<Session>> {
        self.inner.lock().sessions.get(&session).cloned()
    }

    /// Make a session under an alias, or one of the server's choice; `reserved` are the looks that guests can't have. A free
    /// alias as the error.
    pub(super) fn claim(
        &self,
        wish: Option<&Alias>,
        reserved: impl Fn(&str) -> bool,
        make: impl FnOnce(Alias) -> Session,
    ) -> Result<Arc<Session>, Alias> {
        let mut inner = self.inner.lock();
        let alias = match wish {
            Some(wish) if wish.looks().iter().any(|look| inner.aliases.has(look) || reserved(look)) => {
                return Err(inner.free_like(wish, &reserved));
            }
            Some(wish) => wish.clone(),
            None => inner.free_guest(&reserved),
        };
        let session = Arc::new(make(alias.clone()));
        inner.aliases.keep(&alias, session.id);
        Ok(session)
    }

    /// Keep another alias for a guest, besides the one that it has. A free one as the error.
    pub(super) fn claim_another(
        &self,
        session: &Session,
        alias: &Alias,
        reserved: impl Fn(&str) -> bool,
    ) -> Result<(), Alias> {
        let mut inner = self.inner.lock();
        if alias.looks().iter().any(|look| reserved(look)) || !inner.aliases.take(alias, session.id) {
            return Err(inner.free_like(alias, &reserved));
        }
        // Of a session that has ended meanwhile nothing is kept.
        if inner.sessions.contains_key(&session.id) {
            inner.second.insert(session.id, alias.clone());
        } else {
            inner.aliases.give_up(alias, session.id, None);
        }
        Ok(())
    }

    /// A guest doesn't get the alias that was kept for it.
    pub(super) fn give_back(&self, session: &Session) {
        let mut inner = self.inner.lock();
        if let Some(second) = inner.second.remove(&session.id) {
            inner.aliases.give_up(&second, session.id, Some(&session.author().alias));
        }
    }

    /// A session's person has another alias; a guest's one before is free.
    pub(super) fn renamed(&self, session: &Session, author: &Arc<Author>) {
        let mut inner = self.inner.lock();
        let before = session.author();
        session.rename(author);
        inner.second.remove(&session.id);
        inner.aliases.give_up(&before.alias, session.id, Some(&author.alias));
    }

    /// Whether a guest has this alias. `reserve` is called under the lock if not: no guest can take it meanwhile.
    pub(super) fn unless_claimed<T>(&self, alias: &Alias, reserve: impl FnOnce() -> T) -> Option<T> {
        let inner = self.inner.lock();
        (!alias.looks().iter().any(|look| inner.aliases.has(look))).then(reserve)
    }

    /// The guest's session of this alias.
    pub(super) fn by_alias(&self, alias: &str) -> Option<Arc<Session>> {
        let inner = self.inner.lock();
        let mut meant = inner.aliases.meant(alias).into_iter().filter_map(|id| inner.sessions.get(&id));
        // One that merely looks like it is somebody else's.
        meant.find(|session| names::is_called(&session.author().alias, alias)).cloned()
    }

    /// Every session of a principal.
    pub(super) fn of(&self, principal: PrincipalId) -> Vec<Arc<Session>> {
        let inner = self.inner.lock();
        let (low, high) = (SessionId::from_bytes([0; 16]), SessionId::from_bytes([0xff; 16]));
        let ids = inner.owners.range((principal, low)..=(principal, high));
        ids.filter_map(|(_, id)| inner.sessions.get(id).cloned()).collect()
    }

    /// Every session.
    pub(super) fn every(&self) -> Vec<Arc<Session>> {
        self.inner.lock().sessions.values().cloned().collect()
    }

    /// A session has its first connection.
    pub(super) fn begin(&self, session: &Arc<Session>, token: Option<&Token>) {
        let mut inner = self.inner.lock();
        inner.sessions.insert(session.id, Arc::clone(session));
        inner.owners.insert((session.principal, session.id));
        inner.rotate(session, None, token);
    }

    /// Put back a session that the store has kept. False if its alias is taken.
    pub(super) fn restore(&self, session: &Arc<Session>) -> bool {
        let mut inner = self.inner.lock();
        if session.kind != PrincipalKind::Account && !inner.aliases.take(&session.author().alias, session.id) {
            return false;
        }
        inner.owners.insert((session.principal, session.id));
        inner.sessions.insert(session.id, Arc::clone(session));
        inner.tokens.extend(session.tokens().map(|token| (token, session.id)));
        true
    }

    pub(super) fn by_token(&self, token: &TokenHash) -> Option<Arc<Session>> {
        let inner = self.inner.lock();
        inner.sessions.get(inner.tokens.get(token)?).cloned()
    }

    /// A session has a connection again, with which it came by the token `used`.
    pub(super) fn come_back(&self, session: &Arc<Session>, used: Option<TokenHash>, token: Option<&Token>) {
        let mut inner = self.inner.lock();
        inner.stay(session.id);
        inner.rotate(session, used, token);
    }

    /// A session has no connection, and ends at `until` unless it gets one. False if it can't be kept.
    pub(super) fn lose(&self, session: &Arc<Session>, until: u64) -> bool {
        let mut inner = self.inner.lock();
        if inner.away.len() >= MAX_AWAY || !inner.sessions.contains_key(&session.id) {
            return false;
        }
        // It may have been away already: a handshake that was to go on with it broke.
        inner.stay(session.id);
        inner.away.insert((until, session.id));
        inner.until.insert(session.id, until);
        true
    }

    /// Take out the sessions whose time without a connection is over.
    pub(super) fn expired(&self, now: u64) -> Vec<Arc<Session>> {
        let mut inner = self.inner.lock();
        let mut expired = Vec::new();
        while let Some(&(until, id)) = inner.away.first().filter(|(until, _)| *until <= now) {
            inner.away.remove(&(until, id));
            inner.until.remove(&id);
            expired.extend(inner.sessions.get(&id).cloned());
        }
        expired
    }

    /// A session has ended, or did not begin: its alias is free, its tokens are good for nothing.
    pub(super) fn release(&self, session: &Session) {
        let mut inner = self.inner.lock();
        // While it is being renamed it has two.
        let second = inner.second.remove(&session.id);
        for alias in [Some(session.author().alias.clone()), second].into_iter().flatten() {
            inner.aliases.give_up(&alias, session.id, None);
        }
        for token in session.tokens() {
            inner.tokens.remove(&token);
        }
        inner.stay(session.id);
        inner.owners.remove(&(session.principal, session.id));
        inner.sessions.remove(&session.id);
    }

    /// How many connections are open, and how many sessions there are.
    pub(super) fn counts(&self) -> (usize, usize) {
        let inner = self.inner.lock();
        (inner.connections.open(), inner.sessions.len())
    }

    /// Every connection at this moment.
    pub(super) fn all(&self) -> Vec<Arc<Conn>> {
        self.inner.lock().conns.values().cloned().collect()
    }

    /// Sessions in the order of their ids, behind `after`; and whether there are more.
    pub(super) fn page(&self, after: Option<SessionId>, limit: usize) -> (Vec<Arc<Session>>, bool) {
        let inner = self.inner.lock();
        let low = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut sessions = inner.sessions.range((low, Bound::Unbounded)).map(|(_, session)| Arc::clone(session));
        let page: Vec<_> = sessions.by_ref().take(limit).collect();
        (page, sessions.next().is_some())
    }

    /// Ask every connection to close, each for a reason of its own.
    pub(super) fn close_all(&self, mut close: impl FnMut() -> Close) {
        for conn in self.all() {
            conn.request_close(close());
        }
    }
}

impl Inner {
    fn stay(&mut self, session: SessionId) {
        if let Some(until) = self.until.remove(&session) {
            self.away.remove(&(until, session));
        }
    }

    fn rotate(&mut self, session: &Arc<Session>, used: Option<TokenHash>, token: Option<&Token>) {
        let Some(token) = token.map(Token::hash) else { return };
        for old in session.rotate(token, used) {
            self.tokens.remove(&old);
        }
        self.tokens.insert(token, session.id);
    }

    /// `ada` → `ada2`, `ada3`, …
    fn free_like(&mut self, wish: &Alias, reserved: &impl Fn(&str) -> bool) -> Alias {
        // Room for three digits.
        let head = text::graphemes(wish.as_str(), Alias::MAX_CHARS - 3).trim_end();
        // Once: this runs under the lock, and a thousand times if everybody wants the same alias.
        let looks = text::looks(head);
        let free = |n: &String| {
            let n = text::skeleton(n);
            looks.iter().map(|look| format!("{look}{n}")).all(|look| !self.aliases.has(&look) && !reserved(&look))
        };
        let suffix = (2..1000).map(|n| n.to_string()).find(free);
        let alias = suffix.and_then(|suffix| Alias::parse(&format!("{head}{suffix}")).ok());
        alias.unwrap_or_else(|| self.free_guest(reserved))
    }

    fn free_guest(&mut self, reserved: &impl Fn(&str) -> bool) -> Alias {
        loop {
            self.guests += 1;
            let alias = Alias::parse(&format!("guest{}", self.guests)).expect("letters and digits make an alias");
            if alias.looks().iter().all(|look| !self.aliases.has(look) && !reserved(look)) {
                return alias;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_that_is_lost_once_more_has_its_whole_time_again() {
        let sessions = Sessions::new(1, 1);
        let alias = Alias::parse("ada").unwrap();
        let author = Author { principal: PrincipalId::random(), kind: PrincipalKind::Guest, alias };
        let session = Arc::new(Session::new(Arc::new(author), 0));
        sessions.begin(&session, None);
        assert!(sessions.lose(&session, 10) && sessions.lose(&session, 20));
        assert!(sessions.expired(15).is_empty(), "its first time is not its time any more");
        assert_eq!(sessions.expired(20).len(), 1);
        assert!(sessions.expired(u64::MAX).is_empty());
    }
}
