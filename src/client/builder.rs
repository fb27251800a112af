//! How a client is made.

use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::channel::oneshot;
use futures::io::{AsyncRead, AsyncWrite};
use futures::{FutureExt, StreamExt};

use super::account::Login;
use super::connector::{Connector, Once, Open, Own, Tcp};
use super::error::ConnectError;
use super::event::{ClientHandler, CloseReason, Cursor, DynClientHandler};
use super::link::Link;
use super::reach::Security;
use super::requests::Waiting;
use super::state::{Settings, State};
use super::{Client, Events, Inner, journal, reconnect};
use crate::id::{Alias, RoomName};
use crate::protocol::message::Secret;
use crate::rt::TaskGroup;
use crate::session::backoff::Reconnect;

/// Settings of a client, begun by [`Client::builder`].
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until it connects"]
pub struct ClientBuilder {
    settings: Settings,
    connect_timeout: Duration,
    reconnect: Reconnect,
    outbox_file: Option<PathBuf>,
    security: Security,
}

impl Default for ClientBuilder {
    fn default() -> Self {
        let settings = Settings {
            alias: String::new(),
            alias_fallback: false,
            login: Login::Guest,
            plaintext_passwords: false,
            room: Some(String::new()),
            agent: concat!("chatnet/", env!("CARGO_PKG_VERSION")).into(),
            handshake_timeout: Duration::from_secs(10),
            outbox_bytes: 1 << 20,
            event_bytes: 4 << 20,
            history_on_join: 0,
            mark_by_hand: false,
            cursors: Vec::new(),
        };
        let (connect_timeout, reconnect, outbox_file) = (Duration::from_secs(10), Reconnect::default(), None);
        Self { settings, connect_timeout, reconnect, outbox_file, security: Security::default() }
    }
}

impl ClientBuilder {
    /// The alias to show. Default: the server picks one.
    pub fn alias(mut self, alias: impl Into<String>) -> Self {
        self.settings.alias = alias.into();
        self
    }

    /// Take the alias that the server proposes if the wished one is in use: when connecting, and when a lost session
    /// begins anew. Default: no; connecting fails, and a client that comes back too late is closed.
    pub fn alias_fallback(mut self, fallback: bool) -> Self {
        self.settings.alias_fallback = fallback;
        self
    }

    /// Log in to an account. Its password goes over TLS, or to this machine, and nowhere else:
    /// [`ConnectError::Insecure`]. Kept in memory, for sessions that begin anew.
    pub fn account(mut self, alias: impl Into<String>, password: &str) -> Self {
        (self.settings.alias, self.settings.login) = (alias.into(), Login::Password(password.into()));
        self
    }

    /// Make an account, and be it. `code` is an invite code, or the server's password, where one is asked for.
    pub fn register(mut self, alias: impl Into<String>, password: &str, code: Option<&str>) -> Self {
        let (password, code) = (password.into(), code.map(Secret::from));
        (self.settings.alias, self.settings.login) = (alias.into(), Login::Register { password, code });
        self
    }

    /// Give an account whose password is lost a new one, with a code from an admin, and log in.
    pub fn reset_password(mut self, alias: impl Into<String>, password: &str, code: &str) -> Self {
        let (password, code) = (password.into(), code.into());
        (self.settings.alias, self.settings.login) = (alias.into(), Login::Reset { password, code });
        self
    }

    /// The server's password, for guests of a server that has one.
    pub fn server_password(mut self, password: &str) -> Self {
        self.settings.login = Login::GuestPassword(password.into());
        self
    }

    /// Send passwords also over unencrypted connections to other machines, and over a transport of the application's
    /// own ([`connect_by`](Self::connect_by), [`connect_over`](Self::connect_over)), of which this client can't know who
    /// reads along. Default: no.
    pub fn plaintext_passwords(mut self, allowed: bool) -> Self {
        self.settings.plaintext_passwords = allowed;
        self
    }

    /// The room to join at once. Default: the server's own default.
    pub fn room(mut self, room: impl Into<String>) -> Self {
        self.settings.room = Some(room.into());
        self
    }

    /// Join no room at once.
    pub fn no_room(mut self) -> Self {
        self.settings.room = None;
        self
    }

    /// What the program calls itself, for the server's log. Default: `chatnet/VERSION`.
    pub fn agent(mut self, agent: impl Into<String>) -> Self {
        self.settings.agent = agent.into();
        self
    }

    /// How long finding and reaching the server may take, each time. Default: 10 s.
    pub fn connect_timeout(mut self, limit: Duration) -> Self {
        self.connect_timeout = limit;
        self
    }

    /// How long the server may take to begin the session then, each time. Default: 10 s.
    pub fn handshake_timeout(mut self, limit: Duration) -> Self {
        self.settings.handshake_timeout = limit;
        self
    }

    /// When to come back after a connection was lost, and when to give up. The first connection is not tried again:
    /// [`connect`](Self::connect) fails at once. Default: see [`Reconnect::default`].
    pub fn reconnect(mut self, rules: Reconnect) -> Self {
        self.reconnect = rules;
        self
    }

    /// Bytes that may wait to be sent and acknowledged; [`send`](crate::Room::send) waits beyond. Default: 1 MiB.
    pub fn outbox_bytes(mut self, bytes: usize) -> Self {
        self.settings.outbox_bytes = bytes;
        self
    }

    /// Bytes of events that may wait for the application; beyond, the server is asked to hold back. Default: 4 MiB.
    pub fn event_bytes(mut self, bytes: usize) -> Self {
        self.settings.event_bytes = bytes;
        self
    }

    /// On coming into a room, first tell the last `events` of what was said there before (at most 500), as
    /// [`Event::Message`](crate::Event::Message) with [`Source::History`](crate::Source::History); live events come
    /// behind them, each once. Costs a round trip before the first live event. Default: none.
    pub fn history_on_join(mut self, events: u32) -> Self {
        self.settings.history_on_join = events;
        self
    }

    /// What is read is what the application marks by [`Room::mark_read`](crate::Room::mark_read): for a program that shows
    /// one of several rooms at a time. Default: no; what the application has taken is read.
    ///
    /// A session of an account begins with what is unread, as [`Source::Replay`](crate::Source::Replay), as far as the
    /// server replays.
    pub fn mark_read_by_hand(mut self, by_hand: bool) -> Self {
        self.settings.mark_by_hand = by_hand;
        self
    }

    /// A place up to which an earlier client's application has taken a room's events, from
    /// [`ChatMessage::cursor`](crate::ChatMessage::cursor): on joining that room, this client goes on behind it, and
    /// looks at no history. Call it once for each room. If the place is none of that room's log any more, it is told as
    /// [`Event::Gap`](crate::Event::Gap) with [`SkipReason::Reset`](crate::SkipReason::Reset).
    pub fn cursor(mut self, place: Cursor) -> Self {
        self.settings.cursors.retain(|other| other.room != place.room);
        self.settings.cursors.push(place);
        self
    }

    /// Keep what is sent and not yet answered in this file, so that it survives this process: the next client with the
    /// same file sends it. Default: none, the outbox is in memory.
    ///
    /// A text is written, and synced to the disk, before it is sent; what comes together is synced together. So a crash
    /// of the program, or of the machine, loses no text that [`send`](crate::Room::send) has taken for longer than that
    /// sync takes. The file also holds the session's token, with which the next client goes on with the session, if that
    /// is still within the server's grace time: then nothing is stored twice, and nobody notices. Only its owner may read
    /// the file. One client at a time may use it. It stays below twice [`outbox_bytes`](Self::outbox_bytes) and 64 KiB.
    ///
    /// If it can't be written any more, that is told ([`Event::OutboxUnkept`](crate::Event::OutboxUnkept)), the file is
    /// removed, and the outbox goes on in memory.
    pub fn outbox_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.outbox_file = Some(path.into());
        self
    }

    /// Speak TLS, and take only the server that this describes for the right one. Default: no TLS. Has no effect on
    /// [`connect_by`](Self::connect_by) and [`connect_over`](Self::connect_over).
    #[cfg(feature = "tls")]
    pub fn tls(mut self, tls: crate::transport::tls::ClientTls) -> Self {
        self.security = Security::Tls(tls);
        self
    }

    /// Speak TLS, and decide by what is remembered whom to take for the right server; at the first contact the
    /// application is asked, by [`ConnectError::UnknownServer`]. See [`trust`](crate::trust).
    #[cfg(feature = "tls")]
    pub fn trust(mut self, trust: crate::trust::Trust) -> Self {
        self.security = Security::Trust(trust);
        self
    }

    /// Connect to `HOST:PORT`. Resolves when the session has begun and its first room is joined. Each address of the
    /// host is tried in turn; they are looked up anew for each connection.
    ///
    /// Cancel safe: dropping it closes whatever was opened.
    ///
    /// # Errors
    ///
    /// See [`ConnectError`].
    pub async fn connect(self, addr: impl ToString) -> Result<(Client, Events), ConnectError> {
        let addr = addr.to_string();
        let security = self.security.clone();
        self.begin(Box::new(Tcp { addr: addr.clone(), security })).await.map_err(|e| e.at(&addr))
    }

    /// Connect, and have events given to `handler` on a task of the library's own.
    ///
    /// # Errors
    ///
    /// See [`ConnectError`].
    pub async fn connect_with(self, addr: impl ToString, handler: impl ClientHandler) -> Result<Client, ConnectError> {
        let (client, events) = self.connect(addr).await?;
        // Not one of the connection's own tasks: a handler may close the connection and wait for its end.
        let calls = TaskGroup::default();
        calls.spawn(call(events, Box::new(handler)));
        Ok(client)
    }

    /// Begin a session over a transport of the application's own, which can be opened again when a connection is lost.
    ///
    /// # Errors
    ///
    /// See [`ConnectError`].
    pub async fn connect_by(self, connector: impl Connector) -> Result<(Client, Events), ConnectError> {
        self.begin(Box::new(Own(connector))).await
    }

    /// Begin a session over one stream of the application's own: an end of
    /// [`transport::memory::pair`](crate::transport::memory::pair), a WebSocket, a pipe. It can't be opened again: its
    /// end is the client's; [`connect_by`](Self::connect_by) comes back.
    ///
    /// # Errors
    ///
    /// See [`ConnectError`].
    pub async fn connect_over(
        self,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    ) -> Result<(Client, Events), ConnectError> {
        self.reconnect(Reconnect::never()).begin(Box::new(Once::new(stream))).await
    }

    fn check(&self) -> Result<(), ConnectError> {
        if !self.settings.alias.is_empty() {
            Alias::parse(&self.settings.alias).map_err(ConnectError::Alias)?;
        }
        if let Some(room) = self.settings.room.as_deref().filter(|room| !room.is_empty()) {
            RoomName::parse(room).map_err(ConnectError::Room)?;
        }
        Ok(())
    }

    async fn begin(self, by: Box<dyn Open>) -> Result<(Client, Events), ConnectError> {
        self.check()?;
        let room = self.settings.room.clone();
        let mut state = State::new(self.settings, Instant::now());
        let mut file = None;
        if let Some(path) = self.outbox_file {
            file = Some(journal::open(path, &mut state).await?);
        }
        let restored = state.outbox.len();
        if let Some(name) = room {
            state.ask(Waiting::First { name });
        }
        let (ready, begun) = oneshot::channel();
        state.ready = Some(ready);
        let link = Arc::new(Link::new(state));
        let tasks = TaskGroup::default();
        let opening = Opening { tasks: Some(tasks.clone()) };
        if let Some(file) = file {
            tasks.spawn(journal::run(Arc::clone(&link), file));
        }
        tasks.spawn(reconnect::run(Arc::clone(&link), by, self.connect_timeout, self.reconnect));
        let events = Events::new(Arc::clone(&link));
        if let Err(e) = begun.await.unwrap_or(Err(ConnectError::Closed(CloseReason::Cut))) {
            // Whoever tries again finds the outbox's file free.
            tasks.wait().await;
            return Err(e);
        }
        let (alias, principal, session, server) = {
            let state = link.lock();
            (state.alias.clone(), state.principal, state.session, state.server.clone())
        };
        let (Some(alias), Some(principal), Some(session), Some(server)) = (alias, principal, session, server) else {
            return Err(ConnectError::Closed(CloseReason::Cut));
        };
        opening.done();
        Ok((Client { inner: Arc::new(Inner { link, tasks, alias, principal, session, server, restored }) }, events))
    }
}

/// A client that is being opened: cut if nobody waits for it any more.
struct Opening {
    tasks: Option<TaskGroup>,
}

impl Opening {
    fn done(mut self) {
        self.tasks = None;
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        self.tasks.iter().for_each(TaskGroup::cut);
    }
}

/// Give a client's events to a handler, one after the other.
async fn call(mut events: Events, mut handler: Box<dyn DynClientHandler>) {
    while let Some(event) = events.next().await {
        if AssertUnwindSafe(handler.event(event)).catch_unwind().await.is_err() {
            tracing::error!("a client's handler panicked; its connection is closed");
            events.link.lock().closing.get_or_insert_with(Instant::now);
            events.link.changed();
            return;
        }
    }
}
