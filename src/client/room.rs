//! A room that a client is in, and the receipts for what it says there.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::channel::oneshot;

use super::Inner;
use super::error::{ReceiptError, RequestError, SendError};
use super::event::{Acked, Author};
use crate::id::{PrincipalId, RoomId, RoomName, Seq};
use crate::text;

/// A room that this client is in. Cheap to clone. Dropping it doesn't leave the room.
#[derive(Debug, Clone)]
pub struct Room {
    inner: Arc<Inner>,
    id: RoomId,
    name: RoomName,
}

impl Room {
    pub(super) fn new(inner: Arc<Inner>, id: RoomId, name: RoomName) -> Self {
        Self { inner, id, name }
    }

    /// The room's name.
    pub fn name(&self) -> &RoomName {
        &self.name
    }

    /// The room's id: of this incarnation.
    pub fn id(&self) -> RoomId {
        self.id
    }

    /// The highest seq up to which this client has, or knows, everything; none if it isn't in the room any more.
    pub fn cursor(&self) -> Option<Seq> {
        self.inner.link.lock().rooms.get(&self.id).map(|room| room.cursor.seen())
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
        let max = self.inner.server.max_event;
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
            if state.closed.is_some() || state.closing || !state.rooms.contains_key(&self.id) {
                return Err(SendError::Closed(text));
            }
            if !state.outbox.fits(&text) {
                return Err(SendError::Full(text));
            }
            state.outbox.push(self.id, text, token);
        }
        self.inner.link.output.notify();
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
                !state.outbox.has(self.id) || state.closed.is_some()
            })
            .await;
        let (answer, left) = oneshot::channel();
        {
            let mut state = link.lock();
            if state.closed.is_some() {
                return Err(RequestError::Closed);
            }
            state.leave(self.id, answer);
        }
        link.output.notify();
        left.await.unwrap_or(Err(RequestError::Closed))
    }

    /// A page of the room's members, in the order of their ids: those behind `after`, at most `limit` (and at most
    /// 100); and whether there are more.
    ///
    /// # Errors
    ///
    /// This client isn't in the room any more, or the connection has ended.
    pub async fn members(&self, after: Option<PrincipalId>, limit: u32) -> Result<(Vec<Author>, bool), RequestError> {
        let (answer, page) = oneshot::channel();
        {
            let mut state = self.inner.link.lock();
            if state.closed.is_some() {
                return Err(RequestError::Closed);
            }
            state.members(self.id, after, limit.clamp(1, 100), answer);
        }
        self.inner.link.output.notify();
        let page = page.await.unwrap_or(Err(RequestError::Closed))?;
        let author =
            |p: crate::protocol::message::Person| Author { principal: p.principal, kind: p.kind, alias: p.alias };
        Ok((page.members.into_iter().map(author).collect(), page.more))
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
        Pin::new(&mut self.answer).poll(cx).map(|answer| answer.unwrap_or(Err(ReceiptError::Lost)))
    }
}
