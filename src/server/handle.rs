//! What an application can do with a running server.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures::channel::oneshot;
use futures::io::{AsyncRead, AsyncWrite};

use super::accept;
use super::attach;
use super::books;
use super::committer::Submission;
use super::conn::Close;
use super::flusher::Turn;
use super::membership;
use super::moderation::find;
use super::publish;
use super::session::Session;
use super::shared::{Clock, Shared};
use crate::id::{Alias, PrincipalId, RoomId, RoomName, Seq, SessionId, Timestamp, random_u32};
use crate::protocol::Code;
use crate::protocol::message::{EventKind, Notice, Whom};
use crate::room::Run;
use crate::rt;
use crate::store::Change;

/// The most entries that one page of an inspection has.
const MAX_PAGE: usize = 1000;

/// Clients are told to come back after this time at the earliest, in milliseconds: a restart takes about as long …
const RETURN_MS: u32 = 500;

/// … and so many of them a millisecond, each of which costs about 50 µs, …
const COMEBACKS_PER_MS: u32 = 5;

/// … spread over this time at least, in milliseconds, …
const MIN_SPREAD_MS: u32 = 1000;

/// … and at most.
const MAX_SPREAD_MS: u32 = 60_000;

/// What is published has this time to be stored, whatever the deadline.
const LAST_COMMIT: Duration = Duration::from_secs(1);

/// A running server, from inside the application. Cheap to clone; any task or thread may use it.
///
/// Its calls are `async` and can fail, and lists come in pages, so that they can stay as they are when a server is
/// more than one process. Dropping a handle does nothing to the server. All calls are cancel safe.
#[derive(Debug, Clone)]
pub struct ServerHandle {
    shared: Arc<Shared>,
}

impl ServerHandle {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    pub(super) fn running(&self) -> Result<&Arc<Shared>, HandleError> {
        if self.shared.stop.is_stopped() { Err(HandleError::Stopped) } else { Ok(&self.shared) }
    }

    /// Tell everybody who is connected something. It is in no room's log: who isn't here doesn't get it.
    ///
    /// # Errors
    ///
    /// The text is too long or holds control characters; the server has stopped.
    pub async fn announce(&self, text: impl Into<String>) -> Result<(), HandleError> {
        let shared = self.running()?;
        let text = text.into();
        valid(shared, &text)?;
        let notice = Notice { text, at: Clock::timestamp().as_millis() };
        let mut turn = Turn::new();
        for conn in shared.sessions.all() {
            if conn.pulse.attached.load(Ordering::Relaxed) && conn.backlog() < super::output::CONTROL_CAP {
                conn.queue(&notice);
                conn.kick(shared);
            }
            turn.step().await;
        }
        note(shared, "announce", None, "", &notice.text, Vec::new()).await
    }

    /// Say something in a room, as the application. It is an event of the room's log like any other; a room that
    /// isn't there is made. Resolves once it is stored.
    ///
    /// # Errors
    ///
    /// The text is too long or holds control characters; there are too many rooms; the store failed; the server has
    /// stopped.
    pub async fn publish(&self, room: &RoomName, text: impl AsRef<str>) -> Result<Published, HandleError> {
        let shared = self.running()?;
        let text = text.as_ref();
        valid(shared, text)?;
        if shared.rooms.find(room).is_none() {
            room.clone().addressable().map_err(|e| HandleError::Text(e.to_string()))?;
        }
        shared.commits.room().await;
        let opened = shared.rooms.open(room, true, Clock::timestamp(), |change| shared.keep(change), |_, _| Vec::new());
        let (room, _) = opened.map_err(|_| HandleError::TooManyRooms)?;
        let mut events = Run::default();
        events.push(EventKind::TEXT, text.as_bytes());
        let (done, kept) = oneshot::channel();
        let id = room.id;
        shared.commits.submit(Submission::App { room, events, done });
        let batch = kept.await.map_err(|_| HandleError::Stopped)?;
        let batch = batch.map_err(|e| HandleError::Store(e.to_string()))?;
        Ok(Published { room: id, seq: batch.first, at: batch.at })
    }

    /// Remove an event's body: from the room's log, from what is searched, and from what is still to be sent. The event
    /// keeps its number, with the kind [`REMOVED`](EventKind::REMOVED). Whoever has it already keeps it; backups do too.
    ///
    /// # Errors
    ///
    /// There is no such room or event; the store failed; the server has stopped.
    pub async fn redact(&self, room: &RoomName, seq: Seq) -> Result<(), HandleError> {
        let shared = self.running()?;
        let room = shared.rooms.find(room).ok_or(HandleError::NoSuchEvent)?;
        let redacted = shared.store.redact(room.id, seq, EventKind::REMOVED, b"").await;
        room.lock().tail.redact(seq, EventKind::REMOVED, b"");
        match redacted {
            Ok(true) => note(shared, "delete", Some(&room.name), "", &format!("#{seq}"), Vec::new()).await,
            Ok(false) => Err(HandleError::NoSuchEvent),
            Err(e) => Err(HandleError::Store(e.to_string())),
        }
    }

    /// A page of sessions in the order of their ids: those behind `after`, at most `limit` (and at most 1000).
    ///
    /// # Errors
    ///
    /// The server has stopped.
    pub async fn sessions(&self, after: Option<SessionId>, limit: usize) -> Result<Page<SessionInfo>, HandleError> {
        let (sessions, more) = self.running()?.sessions.page(after, limit.clamp(1, MAX_PAGE));
        let items = sessions.iter().map(|session| {
            let conn = session.conn();
            SessionInfo {
                session: session.id,
                principal: session.principal,
                alias: session.author().alias.clone(),
                connected: conn.is_some(),
                address: conn.as_ref().and_then(|conn| conn.address),
                agent: conn.as_ref().and_then(|conn| Some(conn.identity()?.agent.clone())).unwrap_or_default(),
                rooms: session.rooms.lock().iter().map(|member| member.room.name.clone()).collect(),
            }
        });
        Ok(Page { items: items.collect(), more })
    }

    /// A page of rooms in the order of their names: those behind `after`, at most `limit` (and at most 1000).
    ///
    /// # Errors
    ///
    /// The server has stopped.
    pub async fn rooms(&self, after: Option<RoomName>, limit: usize) -> Result<Page<RoomInfo>, HandleError> {
        let (rooms, more) = self.running()?.rooms.page(after.as_ref(), limit.clamp(1, MAX_PAGE));
        let items = rooms.iter().map(|room| RoomInfo {
            room: room.id,
            name: room.name.clone(),
            members: room.members(),
            head: room.head(),
        });
        Ok(Page { items: items.collect(), more })
    }

    /// What has been counted since the server was started.
    ///
    /// # Errors
    ///
    /// The server has stopped.
    pub async fn counters(&self) -> Result<Counters, HandleError> {
        let shared = self.running()?;
        let (connections, sessions) = shared.sessions.counts();
        let get = |n: &std::sync::atomic::AtomicU64| n.load(Ordering::Relaxed);
        let c = &shared.counters;
        Ok(Counters {
            connections,
            sessions,
            rooms: shared.rooms.len(),
            accepted: get(&c.accepted),
            rejected: get(&c.rejected),
            published: get(&c.published),
            refused: get(&c.refused),
            skipped: get(&c.skipped),
            tls_handshakes: get(&c.handshakes),
            tls_resumed: get(&c.resumed),
            bytes_in: get(&c.bytes_in),
            bytes_out: get(&c.bytes_out),
        })
    }

    /// End somebody's session. They are told `reason`, which is one line of at most 1024 bytes.
    ///
    /// # Errors
    ///
    /// There is no such session (any more); the reason is too long or holds control characters; the store failed; the
    /// server has stopped.
    pub async fn disconnect(&self, session: SessionId, reason: &str) -> Result<(), HandleError> {
        let shared = self.running()?;
        is_reason(shared, reason)?;
        let session = shared.sessions.find(session).ok_or(HandleError::NoSuchSession)?;
        end(shared, &session, reason).await;
        note(shared, "disconnect", None, session.author().alias.as_str(), reason, Vec::new()).await
    }

    /// End all sessions of somebody, who is named as commands of clients name people: letter case doesn't count, nor how
    /// letters are composed, and `_` stands for a space. They are told `reason`. Resolves to how many there were.
    ///
    /// # Errors
    ///
    /// Nobody of this name is here; the reason is too long or holds control characters; the store failed; the server has
    /// stopped.
    pub async fn kick(&self, whom: &str, reason: &str) -> Result<usize, HandleError> {
        let shared = self.running()?;
        is_reason(shared, reason)?;
        let who = find(shared, &Whom::Name(whom.to_owned())).ok_or(HandleError::NoSuchPerson)?;
        let sessions = shared.sessions.of(who.principal);
        if sessions.is_empty() {
            return Err(HandleError::NoSuchPerson);
        }
        for session in &sessions {
            end(shared, session, reason).await;
        }
        note(shared, "kick", None, who.alias.as_str(), reason, Vec::new()).await?;
        Ok(sessions.len())
    }

    /// Stop: take no more connections, store what was published, say goodbye to everybody, and wait for at most
    /// `deadline` until they have read it. Then whatever is left is cut, and [`Server::serve`](super::Server::serve)
    /// resolves. A second call waits for the first.
    pub async fn shutdown(&self, deadline: Duration) {
        let shared = &self.shared;
        if !shared.stop.begin() {
            shared.stop.stopped().await;
            return;
        }
        tracing::info!("stopping: saying goodbye to {} connections", shared.sessions.counts().0);
        // Whoever comes back does so at a time of its own: not all at once.
        let spread = (shared.sessions.counts().0 as u32 / COMEBACKS_PER_MS).clamp(MIN_SPREAD_MS, MAX_SPREAD_MS);
        let close = || Close {
            retry_after_ms: Some(RETURN_MS + random_u32() % spread),
            ..Close::bye(Code::SHUTTING_DOWN, "the server is stopping; come back later")
        };
        let told = async {
            while shared.tasks.len() > 0 {
                // Again and again: one that was accepted at the last moment is told too.
                shared.sessions.close_all(close);
                let _ = rt::timeout(Duration::from_millis(100), shared.tasks.wait()).await;
            }
        };
        let began = Instant::now();
        if rt::timeout(deadline, told).await.is_none() {
            tracing::warn!("{} connections were cut at the deadline", shared.sessions.counts().0);
        }
        let left = deadline.saturating_sub(began.elapsed()).max(LAST_COMMIT);
        if rt::timeout(left, shared.commits.settled()).await.is_none() {
            tracing::error!("what was published last could not be stored in time; it was not acknowledged");
        }
        shared.store.close().await;
        super::cut(shared);
    }

    /// Serve a connection over a stream of the application's own (a WebSocket, a pipe, one end of
    /// [`transport::memory::pair`](crate::transport::memory::pair)). Resolves when it has ended.
    ///
    /// Dropping the future cuts the connection.
    ///
    /// # Errors
    ///
    /// The server is full, is stopping, or has stopped.
    pub async fn serve_connection(
        &self,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin,
    ) -> Result<(), HandleError> {
        let shared = self.running()?;
        if shared.stop.is_stopping() {
            return Err(HandleError::Stopped);
        }
        accept::enter_stream(shared).map_err(|_| HandleError::Full)?;
        let shared = Arc::clone(shared);
        let served = accept::serve_stream(Arc::clone(&shared), stream);
        rt::race(async { drop(served.await) }, shared.stop.stopped()).await;
        Ok(())
    }
}

fn valid(shared: &Shared, text: &str) -> Result<(), HandleError> {
    publish::check(EventKind::TEXT, text.as_bytes(), shared.config.max_event).map_err(|(_, why)| HandleError::Text(why))
}

/// Whether this may be a reason: what holds of those that clients give, too.
pub(super) fn is_reason(shared: &Shared, text: &str) -> Result<(), HandleError> {
    membership::topic(text, shared.config.max_event).map_err(|refusal| HandleError::Text(refusal.text))
}

/// End a session.
async fn end(shared: &Arc<Shared>, session: &Arc<Session>, reason: &str) {
    let close = Close::bye(Code::DISCONNECTED, crate::text::display_line(reason));
    match session.conn() {
        Some(conn) => conn.request_close(close),
        None => attach::end(shared, session, &close).await,
    }
}

/// Keep what the application has done, with its entry of the audit log.
pub(super) async fn note(
    shared: &Arc<Shared>,
    act: &str,
    room: Option<&RoomName>,
    whom: &str,
    text: &str,
    mut changes: Vec<Change>,
) -> Result<(), HandleError> {
    changes.push(Change::Audit(books::entry(&shared.app, act, room, whom, text)));
    shared.keep_surely(changes).await.map_err(|e| HandleError::Store(e.to_string()))
}

/// An event that the application published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Published {
    /// The room.
    pub room: RoomId,
    /// Its number there.
    pub seq: Seq,
    /// The server's time.
    pub at: Timestamp,
}

/// Part of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Page<T> {
    /// The entries, in order.
    pub items: Vec<T>,
    /// There are more behind the last one.
    pub more: bool,
}

/// Somebody's stay.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionInfo {
    /// Which.
    pub session: SessionId,
    /// Who.
    pub principal: PrincipalId,
    /// Under which alias.
    pub alias: Alias,
    /// Whether it has a connection; one without ends when its grace is over.
    pub connected: bool,
    /// From where; none for a stream of the application's, and without a connection.
    pub address: Option<SocketAddr>,
    /// What the client calls itself.
    pub agent: String,
    /// Where it is a member.
    pub rooms: Vec<RoomName>,
}

/// A room, as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RoomInfo {
    /// Which incarnation.
    pub room: RoomId,
    /// Its name.
    pub name: RoomName,
    /// How many are in it.
    pub members: usize,
    /// Its last event.
    pub head: Seq,
}

/// What a server has counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Connections at this moment, those in their handshake included.
    pub connections: usize,
    /// Sessions at this moment.
    pub sessions: usize,
    /// Rooms at this moment.
    pub rooms: usize,
    /// Connections taken.
    pub accepted: u64,
    /// Connections refused because there were too many.
    pub rejected: u64,
    /// Events stored.
    pub published: u64,
    /// Events refused.
    pub refused: u64,
    /// Events that readers were told they had missed.
    pub skipped: u64,
    /// TLS handshakes that were completed.
    pub tls_handshakes: u64,
    /// Those of them that resumed an earlier session.
    pub tls_resumed: u64,
    /// Bytes read, as they are inside TLS.
    pub bytes_in: u64,
    /// Bytes written, as they are inside TLS.
    pub bytes_out: u64,
}

/// Why a call didn't do what it was asked to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum HandleError {
    /// The server has stopped.
    Stopped,
    /// There is no such session, or no longer.
    NoSuchSession,
    /// There is no such room, or no such event in it, or no longer.
    NoSuchEvent,
    /// There is no such room, or no longer.
    NoSuchRoom,
    /// Nobody is known by this name.
    NoSuchPerson,
    /// The alias is taken, or was.
    AliasTaken,
    /// The password is too short or too long.
    Password,
    /// There is no such ban.
    NoSuchBan,
    /// There are as many rooms as may be.
    TooManyRooms,
    /// There are as many connections as may be.
    Full,
    /// The text breaks the rules.
    Text(String),
    /// The store failed; the event isn't kept.
    Store(String),
    /// The server doesn't speak TLS.
    NoTls,
    /// The new certificate can't be used; the old one stays.
    Certificate(String),
}

impl fmt::Display for HandleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stopped => f.write_str("the server has stopped"),
            Self::NoSuchSession => f.write_str("there is no such session; it may have ended"),
            Self::NoSuchEvent => {
                f.write_str("there is no such room, or no such event in it; it may not be kept any more")
            }
            Self::NoSuchRoom => f.write_str("there is no such room; it may have ended"),
            Self::NoSuchPerson => f.write_str("nobody is known by this name"),
            Self::AliasTaken => f.write_str("the alias is somebody's, or was an account's; choose another one"),
            Self::Password => f.write_str("a password has 8 to 1024 bytes; choose another one"),
            Self::NoSuchBan => f.write_str("there is no such ban"),
            Self::TooManyRooms => f.write_str("the server has as many rooms as it may; raise `max_rooms`"),
            Self::Full => f.write_str("the server has as many connections as it may; raise `max_connections`"),
            Self::Text(why) | Self::Store(why) => f.write_str(why),
            Self::NoTls => f.write_str("the server does not speak TLS; give its builder a `tls`"),
            Self::Certificate(why) => write!(f, "{why}; the old certificate stays"),
        }
    }
}

impl std::error::Error for HandleError {}
