//! How a connection is made.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::channel::oneshot;
use futures::io::{AsyncRead, AsyncWrite};
use futures::{FutureExt, StreamExt};

use super::driver;
use super::error::ConnectError;
use super::event::{ClientHandler, CloseReason, DynClientHandler};
use super::link::Link;
use super::reach::{Security, reach};
use super::state::{MAX_BODY, State, Waiting};
use super::{Client, Events, Inner};
use crate::id::{Alias, RoomName};
use crate::protocol::VERSION;
use crate::protocol::message::{Attach, Auth, Hello, MAGIC};
use crate::rt::{self, TaskGroup};

/// Settings of a connection, begun by [`Client::builder`].
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until it connects"]
pub struct ClientBuilder {
    alias: String,
    room: Option<String>,
    agent: String,
    connect_timeout: Duration,
    handshake_timeout: Duration,
    outbox_bytes: usize,
    event_bytes: usize,
    security: Security,
}

impl Default for ClientBuilder {
    fn default() -> Self {
        Self {
            alias: String::new(),
            room: Some(String::new()),
            agent: concat!("chatnet/", env!("CARGO_PKG_VERSION")).into(),
            connect_timeout: Duration::from_secs(10),
            handshake_timeout: Duration::from_secs(10),
            outbox_bytes: 1 << 20,
            event_bytes: 4 << 20,
            security: Security::default(),
        }
    }
}

impl ClientBuilder {
    /// The alias to show. Default: the server picks one.
    pub fn alias(mut self, alias: impl Into<String>) -> Self {
        self.alias = alias.into();
        self
    }

    /// The room to join at once. Default: the server's own default.
    pub fn room(mut self, room: impl Into<String>) -> Self {
        self.room = Some(room.into());
        self
    }

    /// Join no room at once.
    pub fn no_room(mut self) -> Self {
        self.room = None;
        self
    }

    /// What the program calls itself, for the server's log. Default: `chatnet/VERSION`.
    pub fn agent(mut self, agent: impl Into<String>) -> Self {
        self.agent = agent.into();
        self
    }

    /// How long finding and reaching the server may take. Default: 10 s.
    pub fn connect_timeout(mut self, limit: Duration) -> Self {
        self.connect_timeout = limit;
        self
    }

    /// How long the server may take to begin the session then. Default: 10 s.
    pub fn handshake_timeout(mut self, limit: Duration) -> Self {
        self.handshake_timeout = limit;
        self
    }

    /// Bytes that may wait to be sent and acknowledged; [`send`](crate::Room::send) waits beyond. Default: 1 MiB.
    pub fn outbox_bytes(mut self, bytes: usize) -> Self {
        self.outbox_bytes = bytes;
        self
    }

    /// Bytes of events that may wait for the application; beyond, the server is asked to hold back. Default: 4 MiB.
    pub fn event_bytes(mut self, bytes: usize) -> Self {
        self.event_bytes = bytes;
        self
    }

    /// Speak TLS, and take only the server that this describes for the right one. Default: no TLS. Has no effect on
    /// [`connect_over`](Self::connect_over).
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
    /// host is tried in turn.
    ///
    /// Cancel safe: dropping it closes whatever was opened.
    ///
    /// # Errors
    ///
    /// See [`ConnectError`].
    pub async fn connect(self, addr: impl ToString) -> Result<(Client, Events), ConnectError> {
        self.check()?;
        let addr = addr.to_string();
        let limit = self.connect_timeout;
        let reached = rt::timeout(limit, reach(&addr, &self.security)).await;
        let socket = reached.unwrap_or(Err(ConnectError::Timeout { after: limit }))?;
        self.begin(socket).await.map_err(|e| e.at(&addr))
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

    /// Begin a session over a stream of the application's own: one end of
    /// [`transport::memory::pair`](crate::transport::memory::pair), a WebSocket, a pipe.
    ///
    /// # Errors
    ///
    /// See [`ConnectError`].
    pub async fn connect_over(
        self,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    ) -> Result<(Client, Events), ConnectError> {
        self.check()?;
        self.begin(stream).await
    }

    fn check(&self) -> Result<(), ConnectError> {
        if !self.alias.is_empty() {
            Alias::parse(&self.alias).map_err(ConnectError::Alias)?;
        }
        if let Some(room) = self.room.as_deref().filter(|room| !room.is_empty()) {
            RoomName::parse(room).map_err(ConnectError::Room)?;
        }
        Ok(())
    }

    async fn begin(
        self,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    ) -> Result<(Client, Events), ConnectError> {
        let mut state = State::new(self.outbox_bytes, self.event_bytes, self.room.is_some(), Instant::now());
        // A guest has no secret: everything may go at once, and one round trip is enough.
        state.send(&Hello {
            magic: MAGIC.to_vec().into(),
            min_version: VERSION,
            max_version: VERSION,
            capabilities: Vec::new(),
            max_body: MAX_BODY,
            agent: self.agent,
        });
        state.send(&Auth { mechanism: "guest".into(), data: self.alias.into_bytes().into() });
        state.send(&Attach { token: None, cursors: Vec::new(), more: false });
        if let Some(room) = &self.room {
            state.join(room, Waiting::First);
        }
        let (ready, begun) = oneshot::channel();
        state.ready = Some(ready);
        let link = Arc::new(Link::new(state));
        let tasks = TaskGroup::default();
        let opening = Opening { tasks: Some(tasks.clone()) };
        tasks.spawn(driver::run(Arc::clone(&link), stream));
        let events = Events::new(Arc::clone(&link));
        let limit = self.handshake_timeout;
        let begun = rt::timeout(limit, begun).await;
        begun
            .unwrap_or(Ok(Err(ConnectError::Timeout { after: limit })))
            .unwrap_or(Err(ConnectError::Closed(CloseReason::Cut)))?;
        let (alias, session, server) = {
            let state = link.lock();
            (state.alias.clone(), state.session, state.server.clone())
        };
        let (Some(alias), Some(session), Some(server)) = (alias, session, server) else {
            return Err(ConnectError::Closed(CloseReason::Cut));
        };
        opening.done();
        Ok((Client { inner: Arc::new(Inner { link, tasks, alias, session, server }) }, events))
    }
}

/// A connection that is being opened: cut if nobody waits for it any more.
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

/// Give a connection's events to a handler, one after the other.
async fn call(mut events: Events, mut handler: Box<dyn DynClientHandler>) {
    while let Some(event) = events.next().await {
        if AssertUnwindSafe(handler.event(event)).catch_unwind().await.is_err() {
            tracing::error!("a client's handler panicked; its connection is closed");
            events.link.lock().closing = true;
            events.link.output.notify();
            return;
        }
    }
}
