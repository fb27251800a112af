//! A room that a client is in, and the receipts for what it says there.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::channel::oneshot;

use super::error::{ReceiptError, RequestError, SendError};
use super::event::Acked;
use super::history::{HistoryPage, Reader, SearchPage};
use super::link::Link;
use super::requests::{Answer, Waiting};
use super::rooms::Slot;
use super::{Client, Inner};
use crate::id::{RoomId, RoomName, Seq};
use crate::protocol::message::Place;
use crate::text;

/// A room that this client is in. Cheap to clone. Dropping it doesn't leave the room.
#[derive(Debug, Clone)]
pub struct Room {
    inner: Arc<Inner>,
    slot: Arc<Slot>,
}

impl Room {
    pub(super) fn new(inner: Arc<Inner>, slot: Arc<Slot>) -> Self {
        Self { inner, slot }
    }

    pub(super) fn link(&self) -> &Link {
        &self.inner.link
    }

    pub(super) fn client(&self) -> Client {
        Client { inner: Arc::clone(&self.inner) }
    }

    /// The room's name.
    pub fn name(&self) -> &RoomName {
        &self.slot.name
    }

    /// The room's id: of this incarnation. It is another one when the room, or the server's store, has begun anew.
    pub fn id(&self) -> RoomId {
        self.slot.id()
    }

    /// The highest seq up to which this client has, or knows, everything; none if it isn't in the room any more.
    pub fn cursor(&self) -> Option<Seq> {
        self.inner.link.lock().rooms.get(&self.slot.id()).map(|room| room.cursor.seen())
    }

    /// Say something. Waits until there is room in the outbox; what is in there is sent in this order, and kept until
    /// the server has answered. The [`Receipt`] resolves with that answer; it may be dropped.
    ///
    /// Cancel safe: a text whose call was dropped before it resolved is not sent.
    ///
    /// # Errors
    ///
    /// The text breaks the rules, this client has left the room, or the connection has ended; the text is given back.
    pub async fn send(&self, text: impl Into<String>) -> Result<Receipt, SendError> {
        let mut text = text.into();
        let link = &self.inner.link;
        loop {
            text = match self.try_send(text) {
                Err(SendError::Full(text)) => text,
                other => return other,
            };
            link.outbox
                .until(|| {
                    let state = link.lock();
                    state.outbox.fits(&text) || state.closed.is_some()
                })
                .await;
        }
    }

    /// Say something if there is room in the outbox now.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send), or the outbox is full; the text is given back.
    pub fn try_send(&self, text: impl Into<String>) -> Result<Receipt, SendError> {
        let text = text.into();
        let max = self.inner.link.lock().server.as_ref().map_or(u32::MAX, |server| server.max_event);
        if text.len() > max as usize {
            return Err(SendError::TooLarge { text, max });
        }
        if let Err(e) = text::check_text(text.as_bytes()) {
            let why = e.to_string();
            return Err(SendError::Invalid { text, why });
        }
        let (token, answer) = oneshot::channel();
        {
            let mut state = self.inner.link.lock();
            let id = self.slot.id();
            if state.closed.is_some() || state.closing.is_some() || !state.rooms.contains_key(&id) {
                return Err(SendError::Closed(text));
            }
            if !state.outbox.fits(&text) {
                return Err(SendError::Full(text));
            }
            state.say(id, text, token);
        }
        self.inner.link.output.notify();
        self.inner.link.journal.notify();
        Ok(Receipt { answer })
    }

    /// Stop being a member. What this client said before is stored before it leaves.
    ///
    /// # Errors
    ///
    /// This client isn't in the room any more, or the connection has ended.
    pub async fn leave(&self) -> Result<(), RequestError> {
        let link = &self.inner.link;
        // What was sent is answered first: the server forgets a guest's numbers when it leaves.
        link.outbox
            .until(|| {
                let state = link.lock();
                !state.outbox.has(self.slot.id()) || state.closed.is_some()
            })
            .await;
        let left = self.ask(|room, answer| Waiting::Leave { room, answer })?;
        left.await.unwrap_or(Err(RequestError::Closed))
    }

    /// Read a part of the room's log: at most `limit` events, and at most 500. It doesn't move the room's cursor.
    ///
    /// Waits for a connection if there is none. Cancel safe.
    ///
    /// ```
    /// # async_std::task::block_on(async {
    /// # let server = chatnet::Server::builder().bind("127.0.0.1:0").await?;
    /// # let addr = server.local_addr().unwrap();
    /// # let serving = async_std::task::spawn(server.serve());
    /// use chatnet::{Client, HistoryItem, Place, Seq};
    ///
    /// let (ada, _events) = Client::builder().alias("ada").connect(addr).await?;
    /// let room = ada.room().unwrap();
    /// room.send("hello").await?.await?;
    ///
    /// let page = room.history(Place::After(Seq::ZERO), 50).await?;
    /// assert!(matches!(&page.messages[..], [HistoryItem::Message(message)] if message.text == "hello"));
    /// assert!(!page.more_after);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    ///
    /// This client isn't in the room any more, the server can't read it, or the client is closed.
    pub async fn history(&self, place: Place, limit: u32) -> Result<HistoryPage, RequestError> {
        let (limit, got) = (limit.clamp(1, 500), Vec::new());
        let page = self.ask(|room, answer| {
            let reader = Reader::Caller(answer);
            Waiting::History { room, place, limit, got, reader }
        })?;
        page.await.unwrap_or(Err(RequestError::Closed))
    }

    /// Find texts that have all of the query's words (one that ends with `*` matches what begins with it), newest
    /// first: at most `limit`, and at most 50, before the event `before`. Letter case and accents don't count.
    ///
    /// Waits for a connection if there is none. Cancel safe.
    ///
    /// # Errors
    ///
    /// There is no word in the query, this client isn't in the room any more, the server can't search, or the client
    /// is closed.
    pub async fn search(
        &self,
        query: impl Into<String>,
        before: Option<Seq>,
        limit: u32,
    ) -> Result<SearchPage, RequestError> {
        let (query, limit) = (query.into(), limit.clamp(1, 50));
        let page = self.ask(|room, answer| Waiting::Search { room, query, before, limit, answer })?;
        page.await.unwrap_or(Err(RequestError::Closed))
    }

    pub(super) fn ask<T>(
        &self,
        waiting: impl FnOnce(RoomId, Answer<T>) -> Waiting,
    ) -> Result<oneshot::Receiver<Result<T, RequestError>>, RequestError> {
        let (answer, answered) = oneshot::channel();
        {
            let mut state = self.inner.link.lock();
            if state.closed.is_some() {
                return Err(RequestError::Closed);
            }
            state.ask(waiting(self.slot.id(), answer));
        }
        self.inner.link.output.notify();
        Ok(answered)
    }
}

/// Resolves when the server has answered for a text: it is stored, or refused. Dropping it changes nothing.
#[derive(Debug)]
#[must_use = "a receipt says whether the text is stored; drop it with `drop` if you don't want to know"]
pub struct Receipt {
    answer: oneshot::Receiver<Result<Acked, ReceiptError>>,
}

impl Future for Receipt {
    type Output = Result<Acked, ReceiptError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.answer).poll(cx).map(|answer| answer.unwrap_or(Err(ReceiptError::Lost { unsent: 1 })))
    }
}
