//! How a server is put together.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::Server;
use super::attach;
use super::committer::{self, CommitQueue};
use super::conn::{Conn, Link};
use super::flusher::{self, FlushQueue};
use super::guess::Login;
use super::login::Registration;
use super::people::People;
use super::places::Places;
use super::probe::Probes;
use super::reads::{self, Reads};
use super::registry::Sessions;
use super::retention;
use super::rooms::Rooms;
use super::session;
use super::shared::{Clock, Counts, ENTERING_PARTS, Shared, Stop};
use super::sweeper;
use super::toll::Tolls;
use crate::auth::{Authenticator, DynAuthenticator, password};
use crate::handler::{DynHandler, Handler, Interests};
use crate::id::{Alias, PrincipalId, RoomName};
use crate::limit::Limits;
use crate::protocol::PrincipalKind;
use crate::room::Author;
use crate::rt::{self, Listener, Signal, TaskGroup, Turns};
use crate::session::handshake::EVENT_OVERHEAD;
use crate::store::{DynLog, Log, MemoryStore, Retention, StoreError, TokenHash};
use crate::text;
#[cfg(feature = "tls")]
use crate::transport::tls::{Handshakes, Identity};

/// Connections from one address, if nothing else is said and there are limits.
const MAX_PER_ADDRESS: usize = 1024;

/// What may be set.
#[derive(Debug)]
pub(super) struct Config {
    pub(super) name: String,
    pub(super) heartbeat: Duration,
    pub(super) handshake_timeout: Duration,
    pub(super) handler_timeout: Duration,
    pub(super) default_room: Option<RoomName>,
    pub(super) max_event: u32,
    pub(super) max_body: u32,
    pub(super) max_rooms_per_session: usize,
    pub(super) grace: Duration,
    pub(super) max_replay: u64,
    pub(super) retention: Retention,
    pub(super) guests: bool,
    /// The server's password, as a hash.
    pub(super) join_password: Option<TokenHash>,
    pub(super) registration: Registration,
    pub(super) plaintext_passwords: bool,
}

/// Settings of a [`Server`], begun by [`Server::builder`].
///
/// All of them have defaults that are safe for strangers. A value out of range is an error of
/// [`bind`](Self::bind), [`listen`](Self::listen) or [`build`](Self::build), not of the setter.
#[derive(Debug)]
#[must_use = "a builder does nothing until it is bound"]
pub struct ServerBuilder {
    config: Config,
    handler: Option<Arc<dyn DynHandler>>,
    authenticator: Option<Arc<dyn DynAuthenticator>>,
    interests: Interests,
    store: Option<Arc<dyn DynLog>>,
    max_connections: usize,
    max_connections_per_address: Option<usize>,
    limits: Limits,
    max_rooms: usize,
    tail_bytes: usize,
    log_bytes: usize,
    room_log_bytes: usize,
    #[cfg(feature = "tls")]
    tls: Option<crate::transport::tls::ServerTls>,
    #[cfg(feature = "tls")]
    max_unfinished_handshakes: usize,
}

impl Default for ServerBuilder {
    fn default() -> Self {
        Self {
            config: Config {
                name: "chatnet".into(),
                heartbeat: Duration::from_secs(15),
                handshake_timeout: Duration::from_secs(10),
                handler_timeout: Duration::from_secs(5),
                default_room: RoomName::parse("lobby").ok(),
                max_event: 65_536,
                max_body: 131_072,
                max_rooms_per_session: 100,
                grace: Duration::from_secs(60),
                max_replay: 100_000,
                retention: Retention::ALL,
                guests: true,
                join_password: None,
                registration: Registration::Closed,
                plaintext_passwords: false,
            },
            authenticator: None,
            handler: None,
            interests: Interests::none(),
            store: None,
            max_connections: 100_000,
            max_connections_per_address: None,
            limits: Limits::default(),
            max_rooms: 100_000,
            tail_bytes: 64 << 20,
            log_bytes: 256 << 20,
            room_log_bytes: 4 << 20,
            #[cfg(feature = "tls")]
            tls: None,
            #[cfg(feature = "tls")]
            max_unfinished_handshakes: 2048,
        }
    }
}

impl ServerBuilder {
    /// The server's name, which clients show in one line. At most 64 characters are used. Default: `chatnet`.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        let name: String = name.into().chars().take(64).collect();
        self.config.name = text::display_line(&name).into_owned();
        self
    }

    /// The application's say in what happens. Default: none, everything passes.
    pub fn handler(mut self, handler: impl Handler) -> Self {
        self.interests = handler.interests();
        self.handler = Some(Arc::new(handler));
        self
    }

    /// The application's own way to tell who somebody is. Default: none; accounts are the server's own.
    pub fn authenticator(mut self, authenticator: impl Authenticator) -> Self {
        self.authenticator = Some(Arc::new(authenticator));
        self
    }

    /// Whether people may come in without an account. Default: yes.
    pub fn guests(mut self, guests: bool) -> Self {
        self.config.guests = guests;
        self
    }

    /// A password that guests, and those who make an account, have to know. Default: none. It is checked like a key, not
    /// like an account's password: choose a long one.
    pub fn join_password(mut self, password: impl AsRef<str>) -> Self {
        self.config.join_password = Some(session::hash(password.as_ref().as_bytes()));
        self
    }

    /// Who may make an account. Default: [`Registration::Closed`]. Accounts last as long as the
    /// [`store`](Self::store) does: without one, until the server ends.
    pub fn registration(mut self, registration: Registration) -> Self {
        self.config.registration = registration;
        self
    }

    /// Take passwords over unencrypted connections from anywhere: whoever is on the way can read them. Default: from
    /// this machine only.
    pub fn plaintext_passwords(mut self, allowed: bool) -> Self {
        self.config.plaintext_passwords = allowed;
        self
    }

    /// After this time of silence a side asks the other whether it is there; after three of them it gives up. Also
    /// how long a reader may stall: three of them. Until then it costs at most about 512 KiB, however much it misses:
    /// 128 KiB of send buffer, which Linux may count double, what is left of one write (64 KiB and one frame of a
    /// client's, which grows with [`max_event`](Self::max_event)), and 64 KiB of answers. 50 ms to 1 hour. Default:
    /// 15 s. Shorter ones notice the dead sooner and keep sleeping phones awake.
    pub fn heartbeat(mut self, heartbeat: Duration) -> Self {
        self.config.heartbeat = heartbeat;
        self
    }

    /// How long a new connection may take to become a session. 50 ms to 1 hour. Default: 10 s.
    pub fn handshake_timeout(mut self, limit: Duration) -> Self {
        self.config.handshake_timeout = limit;
        self
    }

    /// How long one call of the [`Handler`] may take; then it is dropped, and what it was about is refused, to be
    /// tried again. Default: 5 s.
    pub fn handler_timeout(mut self, limit: Duration) -> Self {
        self.config.handler_timeout = limit;
        self
    }

    /// How long a session is kept whose connection was cut: its alias is held, it stays in its rooms, and nobody is told
    /// that it left. A client that comes back in this time goes on where it was. Zero: sessions end with their
    /// connection. At most 30 days. Default: 60 s. With a store that outlives the process, sessions outlive it too.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.config.grace = grace;
        self
    }

    /// How many events of each room a client that comes back is sent by itself. Who missed more is told so, is sent the
    /// newest ones, and may read the rest as history. Default: 100,000.
    pub fn max_replay(mut self, events: u64) -> Self {
        self.config.max_replay = events;
        self
    }

    /// The room that clients join unless told otherwise; it is there from the start and stays. None: each client has to
    /// name one. Default: `lobby`.
    pub fn default_room(mut self, room: Option<RoomName>) -> Self {
        self.config.default_room = room;
        self
    }

    /// The largest text, in bytes, that may be published. 1 to 16 MiB. Default: 65,536. Larger ones need clients that
    /// take them: a client says at connecting what it takes, and is refused if that is less.
    pub fn max_event(mut self, bytes: u32) -> Self {
        self.config.max_event = bytes;
        self
    }

    /// How many connections are taken at once; further ones are told `server_full`. Default: 100,000.
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.max_connections = connections;
        self
    }

    /// How many connections one address may have (IPv6: one /64 network). Default: 1,024, for a whole office may come from
    /// one address, with two devices each; without limits ([`Limits::NONE`]) no limit but
    /// [`max_connections`](Self::max_connections). Networks that are [exempt](Limits::exempt) aren't counted.
    pub fn max_connections_per_address(mut self, connections: usize) -> Self {
        self.max_connections_per_address = Some(connections);
        self
    }

    /// How fast sessions, accounts and addresses may do things. Default: [`Limits::default`], which people don't meet;
    /// programs that have much to say do, and are slowed down.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// How many rooms there may be at once. Default: 100,000. A room is made by its first member, and ends with its
    /// last.
    pub fn max_rooms(mut self, rooms: usize) -> Self {
        self.max_rooms = rooms;
        self
    }

    /// In how many rooms one session may be at once. Default: 100. Directs don't count: somebody has at most 500.
    pub fn max_rooms_per_session(mut self, rooms: usize) -> Self {
        self.config.max_rooms_per_session = rooms;
        self
    }

    /// Bytes of the newest events of all rooms together that are kept ready to be sent; a reader that is further
    /// behind is sent what the log has. A room gets its share, 64 KiB to 1 MiB. Default: 64 MiB.
    pub fn tail_bytes(mut self, bytes: usize) -> Self {
        self.tail_bytes = bytes;
        self
    }

    /// Bytes of a room's events that are kept in memory; the oldest go first, and a reader who missed them is told
    /// the gap. All rooms together keep at most 64 times as much. Default: 4 MiB.
    pub fn room_log_bytes(mut self, bytes: usize) -> Self {
        self.room_log_bytes = bytes;
        self.log_bytes = bytes.saturating_mul(64);
        self
    }

    /// How much of each room's log is kept, if [`ServerHandle::set_retention`](super::ServerHandle::set_retention) says
    /// nothing else of that room. What is dropped becomes a gap that readers are told. Looked after once a minute.
    /// Default: everything that the store keeps.
    pub fn retention(mut self, keep: Retention) -> Self {
        self.config.retention = keep;
        self
    }

    /// Speak TLS on the socket, and nothing else: who doesn't is told so. Default: no TLS. Streams of the application's
    /// ([`ServerHandle::serve_connection`](super::ServerHandle::serve_connection)) are served as they are.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, tls: crate::transport::tls::ServerTls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// How many connections may leave their TLS handshake unfinished at once; one more, and the one that has for longest
    /// is closed. Default: 2,048; each costs about 20 KiB.
    #[cfg(feature = "tls")]
    pub fn max_unfinished_handshakes(mut self, connections: usize) -> Self {
        self.max_unfinished_handshakes = connections;
        self
    }

    /// Where rooms and what must outlive the process are kept. Default: a [`MemoryStore`], which ends with it.
    pub fn store(mut self, store: impl Log) -> Self {
        self.store = Some(Arc::new(store));
        self
    }

    /// Listen at `HOST:PORT`. Port 0 picks a free one, see [`Server::local_addr`]. Connections are taken once
    /// [`Server::serve`] runs.
    ///
    /// # Errors
    ///
    /// A setting is out of range, the name can't be resolved, the address is in use or not this machine's, or the store
    /// can't be read.
    pub async fn bind(self, addr: impl ToString) -> Result<Server, BindError> {
        let addr = addr.to_string();
        self.check()?;
        let io = |source| BindError::Bind { addr: addr.clone(), source };
        let mut last = None;
        for found in rt::resolve(addr.clone()).await.map_err(io)? {
            match Listener::bind(found) {
                Ok(listener) => return self.start(Some(listener)).await,
                Err(e) => last = Some(e),
            }
        }
        Err(io(last.unwrap_or_else(|| io::ErrorKind::NotFound.into())))
    }

    /// Take over a listener of the application's, for example one passed in by the system's service manager.
    ///
    /// # Errors
    ///
    /// A setting is out of range, the listener can't be made non-blocking, or the store can't be read.
    pub async fn listen(self, listener: std::net::TcpListener) -> Result<Server, BindError> {
        self.check()?;
        let addr = listener.local_addr().map_or_else(|_| "the listener given".into(), |addr| addr.to_string());
        let listener = Listener::adopt(listener).map_err(|source| BindError::Bind { addr, source })?;
        self.start(Some(listener)).await
    }

    /// A server without a socket: connections come by [`ServerHandle::serve_connection`](super::ServerHandle).
    ///
    /// # Errors
    ///
    /// A setting is out of range, or the store can't be read.
    pub async fn build(self) -> Result<Server, BindError> {
        self.check()?;
        self.start(None).await
    }

    fn check(&self) -> Result<(), BindError> {
        let bad = |what: &'static str, allowed: &'static str| Err(BindError::Setting { what, allowed });
        let times = Duration::from_millis(50)..=Duration::from_secs(3600);
        if !times.contains(&self.config.heartbeat) {
            return bad("heartbeat", "50 ms to 1 hour");
        }
        if !times.contains(&self.config.handshake_timeout) {
            return bad("handshake_timeout", "50 ms to 1 hour");
        }
        if self.config.grace > Duration::from_secs(30 * 86_400) {
            return bad("grace", "at most 30 days");
        }
        if !(1..=16 << 20).contains(&self.config.max_event) {
            return bad("max_event", "1 byte to 16 MiB");
        }
        if !self.limits.are_valid() {
            return bad("limits", "rates, bursts and places of at least 1, and a cool-off of at most 1 hour");
        }
        Ok(())
    }

    async fn start(mut self, listener: Option<Listener>) -> Result<Server, BindError> {
        // Two of the largest events in one frame, so that a batch isn't cut for a small text beside a large one.
        self.config.max_body = self.config.max_body.max(2 * self.config.max_event + EVENT_OVERHEAD);
        let app = Author {
            principal: PrincipalId::random(),
            kind: PrincipalKind::App,
            alias: Alias::parse("server").expect("it is a valid alias"),
        };
        let store = self.store.unwrap_or_else(|| Arc::new(MemoryStore::new(self.room_log_bytes, self.log_bytes)));
        let snapshot = store.load().await.map_err(BindError::Store)?;
        let clock = Clock::new();
        let nobody = Conn::new(None, Link::Stream(Signal::default()), clock.now());
        nobody.with_output(|output| output.fail());
        let unlimited = self.limits == Limits::NONE;
        let per_address = if unlimited { usize::MAX } else { MAX_PER_ADDRESS };
        let per_address = self.max_connections_per_address.unwrap_or(per_address);
        let shared = Arc::new(Shared {
            store,
            handler: self.handler,
            authenticator: self.authenticator,
            people: People::default(),
            login: Login::new(&self.limits),
            reads: Reads::default(),
            searches: Places::new(1, usize::MAX),
            interests: self.interests,
            rooms: Rooms::new(self.max_rooms, self.tail_bytes),
            sessions: Sessions::new(self.max_connections, per_address),
            commits: CommitQueue::default(),
            probes: Probes::default(),
            trims: Signal::default(),
            flushes: (0..rt::parallelism()).map(|_| FlushQueue::default()).collect(),
            tolls: Tolls::new(self.limits),
            entering: Turns::share(ENTERING_PARTS),
            clock,
            nobody: Arc::new(nobody),
            counters: Counts::default(),
            tasks: TaskGroup::default(),
            engine: TaskGroup::default(),
            stop: Stop::default(),
            app: Arc::new(app),
            #[cfg(feature = "tls")]
            tls: self.tls.map(|tls| {
                Handshakes::new(Identity::new(tls), self.max_unfinished_handshakes, self.config.handshake_timeout)
            }),
            config: self.config,
        });
        attach::restore(&shared, snapshot);
        if let Some(name) = &shared.config.default_room {
            // A permanent room is made whatever the limit is.
            let keep = |change| shared.keep(change);
            let _ = shared.rooms.open(name, true, Clock::timestamp(), keep, |_, _| Vec::new());
        }
        // A thread of its own for 50 ms, so that the first login takes as long as any other.
        shared.engine.spawn(rt::spawn_blocking(password::prepare));
        shared.engine.spawn(committer::run(Arc::clone(&shared)));
        shared.engine.spawn(sweeper::run(Arc::clone(&shared)));
        shared.engine.spawn(retention::run(Arc::clone(&shared)));
        shared.engine.spawn(reads::run(Arc::clone(&shared)));
        #[cfg(feature = "tls")]
        shared.engine.spawn(super::tls::watch(Arc::clone(&shared)));
        for shard in 0..shared.flushes.len() {
            shared.engine.spawn(flusher::run(Arc::clone(&shared), shard));
        }
        Ok(Server::new(shared, listener))
    }
}

/// Why a server could not be put together.
#[derive(Debug)]
#[non_exhaustive]
pub enum BindError {
    /// The address can't be listened at.
    Bind {
        /// Which.
        addr: String,
        /// Why.
        source: io::Error,
    },
    /// The store can't be read.
    Store(StoreError),
    /// A setting is out of range.
    Setting {
        /// Which.
        what: &'static str,
        /// What it may be.
        allowed: &'static str,
    },
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind { addr, source } => match source.kind() {
                io::ErrorKind::AddrInUse => write!(f, "{addr} is in use by another program; choose another port"),
                io::ErrorKind::PermissionDenied => {
                    write!(f, "listening at {addr} is not permitted; choose a port above 1023")
                }
                io::ErrorKind::AddrNotAvailable => write!(f, "{addr} is not an address of this machine"),
                _ => write!(f, "can't listen at {addr}: {source}"),
            },
            Self::Store(e) => e.fmt(f),
            Self::Setting { what, allowed } => write!(f, "{what} is out of range; allowed is {allowed}"),
        }
    }
}

impl std::error::Error for BindError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Bind { source, .. } => Some(source),
            Self::Store(e) => Some(e),
            Self::Setting { .. } => None,
        }
    }
}
