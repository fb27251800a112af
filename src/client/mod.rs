//! The client.

mod about;
mod account;
mod builder;
mod connection;
mod connector;
mod dispatch;
mod driver;
mod error;
mod event;
mod export;
mod history;
mod journal;
mod link;
mod opening;
mod pacing;
mod people;
mod publishing;
mod queue;
mod reach;
mod reading;
mod reads;
mod reconnect;
mod requests;
mod room;
mod rooms;
mod state;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures::channel::oneshot;
use futures::stream::{FusedStream, Stream};

use link::Link;
use requests::{Waiting, Way};

use crate::id::{Alias, PrincipalId, RoomName, SessionId};
use crate::rt::{self, TaskGroup};

pub use crate::session::backoff::Reconnect;
pub use about::Member;
pub use account::OwnSession;
pub use builder::ClientBuilder;
pub use connector::Connector;
pub use error::{ConnectError, ReceiptError, RequestError, SendError};
pub use event::{Acked, Author, ChatMessage, ClientHandler, CloseReason, Cursor, Event, RoomChanged};
pub use export::{Exported, OwnSaid, RoomMembership};
pub use history::{HistoryItem, HistoryPage, SearchHit, SearchPage};
pub use people::{Ban, ListedRoom, PersonInfo};
pub use room::{Receipt, Room};
pub use state::ServerInfo;

/// How long closing may take; then the connection is cut.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

/// A client of a server: one session, over as many connections as it takes.
///
/// ```
/// # async_std::task::block_on(async {
/// # let server = chatnet::Server::builder().bind("127.0.0.1:0").await?;
/// # let addr = server.local_addr().unwrap();
/// # let serving = async_std::task::spawn(server.serve());
/// use chatnet::{Client, Event};
/// use futures::StreamExt;
///
/// let (ada, _) = Client::builder().alias("ada").connect(addr).await?;
/// let (bob, mut events) = Client::builder().alias("bob").connect(addr).await?;
///
/// let acked = ada.room().unwrap().send("hello").await?.await?;
/// println!("stored as number {}", acked.seq);
///
/// while let Some(event) = events.next().await {
///     if let Event::Message(message) = event {
///         assert_eq!((message.from.alias.as_str(), message.text.as_str()), ("ada", "hello"));
///         break;
///     }
/// }
/// bob.close().await;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
///
/// A connection that is lost is opened again by the rules of [`Reconnect`]. The session goes on then: what was missed
/// comes, in order and once; what was said meanwhile is sent; receipts, requests and room handles don't notice. See
/// [`Event::Reconnecting`], [`Event::Resumed`], [`Event::SessionLost`].
///
/// Cheap to clone; any task or thread may use it. When the last `Client` and [`Room`] of a connection are dropped, what
/// is in the outbox is sent, for at most 10 s if there is no connection, and the session ends with a goodbye; dropping
/// [`Events`] only means that nobody wants to see them.
#[derive(Debug, Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    link: Arc<Link>,
    tasks: TaskGroup,
    /// What was known at first, for what can't be unknown.
    alias: Alias,
    principal: PrincipalId,
    session: SessionId,
    server: ServerInfo,
    restored: usize,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.link.lock().closing.get_or_insert_with(Instant::now);
        self.link.changed();
    }
}

/// How a client stands to its server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientState {
    /// The session goes on over a connection.
    Connected,
    /// The connection was lost; another one is being opened, or waited for.
    Reconnecting {
        /// The attempt's number.
        attempt: u32,
    },
    /// It is over.
    Closed,
}

impl Client {
    /// Begin to configure a connection.
    pub fn builder() -> ClientBuilder {
        ClientBuilder::default()
    }

    /// The alias that the server knows this client by.
    pub fn alias(&self) -> Alias {
        self.inner.link.lock().alias.clone().unwrap_or_else(|| self.inner.alias.clone())
    }

    /// Who the server knows this client as: the author of what it says. A guest is somebody else once its session was lost;
    /// an account stays who it is.
    pub fn principal(&self) -> PrincipalId {
        self.inner.link.lock().principal.unwrap_or(self.inner.principal)
    }

    /// The session's id, as the server's log has it.
    pub fn session(&self) -> SessionId {
        self.inner.link.lock().session.unwrap_or(self.inner.session)
    }

    /// What the server said about itself.
    pub fn server(&self) -> ServerInfo {
        self.inner.link.lock().server.clone().unwrap_or_else(|| self.inner.server.clone())
    }

    /// How this client stands to its server at this moment.
    pub fn state(&self) -> ClientState {
        self.inner.link.lock().standing()
    }

    /// Say that the network may be another one: a cable was plugged in, a laptop woke up. A client that waits to connect
    /// again does so at once; one that is connected asks whether the server is still there, and connects again unless it
    /// is heard within 5 s.
    pub fn network_changed(&self) {
        let link = &self.inner.link;
        let up = {
            let mut state = link.lock();
            let up = state.conn.is_up();
            state.probe(Instant::now());
            up
        };
        if !up {
            link.network.notify();
        }
        link.output.notify();
    }

    /// The room that was joined when connecting, as long as this client is in it.
    pub fn room(&self) -> Option<Room> {
        let state = self.inner.link.lock();
        let slot = state.first_room.clone()?;
        let known = state.rooms.contains_key(&slot.id());
        drop(state);
        known.then(|| Room::new(Arc::clone(&self.inner), slot))
    }

    /// Join a room by its name. Joining one that this client is in already gives the same room. Waits for a connection
    /// if there is none.
    ///
    /// Cancel safe; the joining may go on, and is told as an event then.
    ///
    /// # Errors
    ///
    /// The name breaks the rules, the server refuses, or the client is closed.
    pub async fn join(&self, name: &str) -> Result<Room, RequestError> {
        RoomName::parse(name).map_err(RequestError::Room)?;
        let (answer, joined) = oneshot::channel();
        {
            let mut state = self.inner.link.lock();
            if state.closed.is_some() {
                return Err(RequestError::Closed);
            }
            state.ask(Waiting::Join { name: name.into(), way: Way::Name, answer });
        }
        self.inner.link.output.notify();
        let slot = joined.await.unwrap_or(Err(RequestError::Closed))?;
        Ok(Room::new(Arc::clone(&self.inner), slot))
    }

    /// How many texts of an earlier client's were taken over from the [outbox's file](ClientBuilder::outbox_file).
    pub fn restored(&self) -> usize {
        self.inner.restored
    }

    /// How many texts are neither acked nor refused; once the client is closed, how many were not.
    pub fn unsent(&self) -> usize {
        let state = self.inner.link.lock();
        state.outbox.len() + state.lost
    }

    /// Whether it is over: the client was closed, gave up, or may not come back.
    pub fn is_closed(&self) -> bool {
        self.inner.link.lock().closed.is_some()
    }

    /// Wait until everything that was sent is acked or refused, over however many connections it takes, or the client is
    /// closed. True if nothing is left.
    ///
    /// Cancel safe.
    pub async fn flush(&self) -> bool {
        let link = &self.inner.link;
        link.outbox
            .until(|| {
                let state = link.lock();
                state.outbox.len() == 0 || state.closed.is_some()
            })
            .await;
        let state = link.lock();
        state.outbox.len() == 0 && state.closed.is_none()
    }

    /// Send what is in the outbox, say goodbye, and wait until that is written, for at most 10 s. It doesn't wait for
    /// acks: [`flush`](Self::flush) does. Closing twice is fine.
    pub async fn close(&self) {
        let link = &self.inner.link;
        link.lock().closing.get_or_insert_with(Instant::now);
        link.changed();
        if rt::timeout(CLOSE_TIMEOUT, self.inner.tasks.wait()).await.is_none() {
            self.inner.tasks.cut();
            link.lock().finish(CloseReason::Requested);
            link.changed();
        }
    }
}

/// What happens to a client, in order. Ends behind [`Event::Closed`].
///
/// Events wait here for the application, up to [`event_bytes`](ClientBuilder::event_bytes); then the server is asked to
/// hold back, see [`Event::Overloaded`].
///
/// It is a [`Stream`]: `next` comes with [`futures::StreamExt`].
///
/// ```
/// use chatnet::{Event, Events};
/// use futures::StreamExt;
///
/// async fn print(mut events: Events) {
///     while let Some(event) = events.next().await {
///         if let Event::Message(message) = event {
///             println!("{}: {}", message.from.alias, message.text);
///         }
///     }
/// }
/// ```
#[derive(Debug)]
pub struct Events {
    link: Arc<Link>,
    done: bool,
}

impl Events {
    fn new(link: Arc<Link>) -> Self {
        Self { link, done: false }
    }
}

impl Stream for Events {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        if self.done {
            return Poll::Ready(None);
        }
        let mut state = self.link.lock();
        let poll = state.events.poll_pop(cx);
        let wants_turn = state.wants_flow() || state.wants_grant();
        drop(state);
        if wants_turn {
            self.link.output.notify();
        }
        poll.map(|event| {
            self.done = matches!(event, Event::Closed { .. });
            Some(event)
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.link.lock().events.len(), None)
    }
}

impl FusedStream for Events {
    fn is_terminated(&self) -> bool {
        self.done
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.link.lock().events.abandon();
        self.link.output.notify();
    }
}
