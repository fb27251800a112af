//! A session: one client's stay on the server. It outlives a broken connection, so that whoever comes back goes on
//! where they were, under the same alias and in the same rooms.

use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use sha2::{Digest, Sha256};

use super::conn::Conn;
use super::rooms::Member;
use crate::id::{PrincipalId, SessionId, Timestamp, random_bytes};
use crate::limit::{Conduct, Meter};
use crate::protocol::{Message, PrincipalKind};
use crate::room::Author;
use crate::store::{SessionRecord, TokenHash};

/// A session, with a connection or waiting for one.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) id: SessionId,
    pub(super) principal: PrincipalId,
    pub(super) kind: PrincipalKind,
    /// When it was looked at what its account was proved by; see [`People::moment`](super::people::People::moment).
    pub(super) proven: u64,
    /// The person as others see them; another one once their alias is another.
    author: RwLock<Arc<Author>>,
    /// The rooms that it is in. Locked under a room's lock, never around it.
    pub(super) rooms: Mutex<Vec<Arc<Member>>>,
    /// Held while the session moves from one connection to another, is left without one, or ends. Outermost.
    pub(super) moving: Mutex<()>,
    /// What it has used of its limits, whatever connection it had.
    pub(super) meter: Meter,
    pub(super) conduct: Mutex<Conduct>,
    /// How often in a row it came back without having got further.
    fruitless: Mutex<(u64, u32)>,
    seat: Mutex<Seat>,
}

#[derive(Debug, Default)]
struct Seat {
    conn: Option<Arc<Conn>>,
    ended: bool,
    /// What continues it, oldest first. All but the last one were followed by another, which the client may not have
    /// come to know: each is good until a later one was used.
    tokens: Vec<TokenHash>,
}

/// Tokens that nobody has used; beyond, the oldest of them is forgotten.
const MAX_TOKENS: usize = 8;

/// A session's secret, 256 bits: whoever has it is that session. Only its hash is kept.
pub(super) struct Token(pub(super) Vec<u8>);

impl Token {
    pub(super) fn random() -> Self {
        Self([random_bytes(), random_bytes()].concat())
    }

    pub(super) fn hash(&self) -> TokenHash {
        hash(&self.0)
    }
}

/// Whether a token is the newest one of its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Newest {
    Yes,
    /// A newer one was given to a connection, which may not have come to know it.
    No,
}

/// The hash under which a token is known. A fast one: what it protects is as random as a key.
pub(super) fn hash(token: &[u8]) -> TokenHash {
    Sha256::digest(token).into()
}

impl Session {
    pub(super) fn new(author: Arc<Author>, proven: u64) -> Self {
        Self { proven, ..Self::restored(SessionId::random(), author, Vec::new()) }
    }

    pub(super) fn restored(id: SessionId, author: Arc<Author>, tokens: Vec<TokenHash>) -> Self {
        let seat = Mutex::new(Seat { tokens, ..Seat::default() });
        Self {
            id,
            principal: author.principal,
            kind: author.kind,
            proven: 0,
            author: RwLock::new(author),
            rooms: Mutex::default(),
            moving: Mutex::default(),
            meter: Meter::default(),
            conduct: Mutex::default(),
            fruitless: Mutex::new((u64::MAX, 0)),
            seat,
        }
    }

    /// The person as others see them at this moment.
    pub(super) fn author(&self) -> Arc<Author> {
        Arc::clone(&self.author.read())
    }

    /// Its person has another alias.
    pub(super) fn rename(&self, author: &Arc<Author>) {
        *self.author.write() = Arc::clone(author);
    }

    /// Give it a connection. Returns the one that it had.
    pub(super) fn sit(&self, conn: Option<&Arc<Conn>>) -> Option<Arc<Conn>> {
        std::mem::replace(&mut self.seat.lock().conn, conn.cloned())
    }

    /// The connection that it has.
    pub(super) fn conn(&self) -> Option<Arc<Conn>> {
        self.seat.lock().conn.clone()
    }

    /// Whether this is its connection.
    pub(super) fn is_on(&self, conn: &Arc<Conn>) -> bool {
        self.seat.lock().conn.as_ref().is_some_and(|mine| Arc::ptr_eq(mine, conn))
    }

    /// Queue a frame on whatever connection it has. Without one it is lost: who comes back sends again what wasn't
    /// answered.
    pub(super) fn queue<M: Message>(&self, message: &M) {
        if let Some(conn) = &self.seat.lock().conn {
            conn.queue(message);
        }
    }

    pub(super) fn has_ended(&self) -> bool {
        self.seat.lock().ended
    }

    /// End it; true for the first who does.
    pub(super) fn end(&self) -> bool {
        !std::mem::replace(&mut self.seat.lock().ended, true)
    }

    /// The hashes that it is known by.
    pub(super) fn tokens(&self) -> impl Iterator<Item = TokenHash> + use<> {
        self.seat.lock().tokens.clone().into_iter()
    }

    /// It comes back from these places: a number that rises with each of them.
    pub(super) fn came_from(&self, places: u64) {
        let mut fruitless = self.fruitless.lock();
        *fruitless = (places, if fruitless.0 == places { fruitless.1 + 1 } else { 0 });
    }

    /// How large a frame of what it missed may be, where `usual` is usual: less if its connections don't last for one.
    pub(super) fn piece(&self, usual: usize) -> usize {
        usual >> self.fruitless.lock().1.saturating_sub(1).min(usize::BITS - 1)
    }

    /// Whether it is continued by this token, and whether that is the newest one.
    pub(super) fn knows(&self, token: &TokenHash) -> Option<Newest> {
        let seat = self.seat.lock();
        let i = seat.tokens.iter().position(|known| known == token)?;
        Some(if i + 1 == seat.tokens.len() { Newest::Yes } else { Newest::No })
    }

    /// Take a new token; `used` is the one that the client came back with. Returns the tokens that are good for nothing
    /// any more: those before it.
    pub(super) fn rotate(&self, new: TokenHash, used: Option<TokenHash>) -> Vec<TokenHash> {
        let tokens = &mut self.seat.lock().tokens;
        let first = used.and_then(|used| tokens.iter().position(|known| *known == used)).unwrap_or(tokens.len());
        let mut old: Vec<TokenHash> = tokens.drain(..first).collect();
        if tokens.len() >= MAX_TOKENS {
            old.push(tokens.remove(1));
        }
        tokens.push(new);
        old
    }

    /// How the store keeps it; none if it can't be continued.
    pub(super) fn record(&self, seen: Timestamp) -> Option<SessionRecord> {
        let seat = self.seat.lock();
        Some(SessionRecord {
            id: self.id,
            principal: self.principal,
            kind: self.kind,
            alias: self.author.read().alias.clone(),
            token: *seat.tokens.last()?,
            previous: seat.tokens[..seat.tokens.len() - 1].to_vec(),
            seen,
        })
    }
}
