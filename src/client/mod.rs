//! The client.

mod builder;
mod dispatch;
mod driver;
mod error;
mod event;
mod link;
mod queue;
mod reach;
mod room;
mod state;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::channel::oneshot;
use futures::stream::{FusedStream, Stream};

use link::Link;
use state::Waiting;

use crate::id::{Alias, RoomName, SessionId};
use crate::rt::{self, TaskGroup};

pub use builder::ClientBuilder;
pub use error::{ConnectError, ReceiptError, RequestError, SendError};
pub use event::{Acked, Author, ChatMessage, ClientHandler, CloseReason, Cursor, Event};
pub use room::{Receipt, Room};
pub use state::ServerInfo;

/// How long closing may take; then the connection is cut.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection to a server.
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
/// Cheap to clone; any task or thread may use it. When the last `Client` and [`Room`] of a connection are dropped, what
/// is in the outbox is sent, and the connection is closed with a goodbye; dropping [`Events`] only means that nobody
/// wants to see them.
#[derive(Debug, Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    link: Arc<Link>,
    tasks: TaskGroup,
    alias: Alias,
    session: SessionId,
    server: ServerInfo,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.link.lock().closing = true;
        self.link.output.notify();
    }
}

impl Client {
    /// Begin to configure a connection.
    pub fn builder() -> ClientBuilder {
        ClientBuilder::default()
    }

    /// The alias that the server knows this client by.
    pub fn alias(&self) -> &Alias {
        &self.inner.alias
    }

    /// The session's id, as the server's log has it.
    pub fn session(&self) -> SessionId {
        self.inner.session
    }

    /// What the server said about itself.
    pub fn server(&self) -> &ServerInfo {
        &self.inner.server
    }

    /// The room that was joined when connecting, as long as this client is in it.
    pub fn room(&self) -> Option<Room> {
        let state = self.inner.link.lock();
        let id = state.first_room?;
        let name = state.rooms.get(&id)?.name.clone();
        drop(state);
        Some(Room::new(Arc::clone(&self.inner), id, name))
    }

    /// Join a room by its name. Joining one that this client is in already gives the same room.
    ///
    /// Cancel safe; the joining may go on, and is told as an event then.
    ///
    /// # Errors
    ///
    /// The name breaks the rules, the server refuses, or the connection has ended.
    pub async fn join(&self, name: &str) -> Result<Room, RequestError> {
        RoomName::parse(name).map_err(RequestError::Room)?;
        let (answer, joined) = oneshot::channel();
        {
            let mut state = self.inner.link.lock();
            if state.closed.is_some() {
                return Err(RequestError::Closed);
            }
            state.join(name, Waiting::Join(answer));
        }
        self.inner.link.output.notify();
        let (id, name) = joined.await.unwrap_or(Err(RequestError::Closed))?;
        Ok(Room::new(Arc::clone(&self.inner), id, name))
    }

    /// How many texts are neither acked nor refused.
    pub fn unsent(&self) -> usize {
        self.inner.link.lock().outbox.len()
    }

    /// Whether the connection has ended.
    pub fn is_closed(&self) -> bool {
        self.inner.link.lock().closed.is_some()
    }

    /// Wait until everything that was sent is acked or refused, or the connection has ended. True if nothing is left.
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
        self.inner.link.lock().closing = true;
        self.inner.link.output.notify();
        if rt::timeout(CLOSE_TIMEOUT, self.inner.tasks.wait()).await.is_none() {
            self.inner.tasks.cut();
        }
    }
}

/// What happens on a connection, in order. Ends behind [`Event::Closed`].
///
/// Events wait here for the application, up to [`event_bytes`](ClientBuilder::event_bytes); then the server is asked to
/// hold back, see [`Event::Overloaded`].
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
        let wants_flow = state.wants_flow();
        drop(state);
        if wants_flow {
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
