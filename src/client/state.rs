//! What a client knows of its connection. No clock, no socket: the time is an argument, what is to be sent is left in
//! `out`.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use futures::channel::oneshot;

use super::error::{ConnectError, ReceiptError, RequestError};
use super::event::{Acked, CloseReason, Event};
use super::queue::EventQueue;
use crate::id::{Alias, Lineage, OutboxId, RoomId, RoomName, SessionId};
use crate::protocol::message::{
    Bye, Hold, Join, Joined, Leave, Members, MembersPage, Ping, Progress, RoomProgress, Seek,
};
use crate::protocol::{self, Code, Message};
use crate::session::cursor::Cursor;
use crate::session::heartbeat::MISSED;
use crate::session::outbox::{Decided, Outbox};

/// The longest body that the client takes, in bytes: what PROTOCOL.md recommends.
pub(super) const MAX_BODY: u32 = 131_072;

/// What is kept encoded and unsent, in bytes; publishes wait in the outbox as long as this is reached.
const OUT_BYTES: usize = 64 * 1024;

/// How often progress is told, at most.
const PROGRESS: Duration = Duration::from_secs(1);

/// What the server said about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerInfo {
    /// Its name.
    pub name: String,
    /// The protocol version that is spoken.
    pub version: u16,
    /// The largest text it takes, in bytes.
    pub max_event: u32,
    /// After this time of silence a side asks whether the other is there.
    pub heartbeat: Duration,
    /// The room that is meant when none is named.
    pub default_room: Option<RoomName>,
    /// The life of its store.
    pub lineage: Lineage,
}

/// Where a receipt's answer goes.
pub(super) type Token = oneshot::Sender<Result<Acked, ReceiptError>>;

type Answer<T> = oneshot::Sender<Result<T, RequestError>>;

/// A request that waits for its answer.
#[derive(Debug)]
pub(super) enum Waiting {
    Join(Answer<(RoomId, RoomName)>),
    Leave(Answer<()>),
    Members(Answer<MembersPage>),
    /// The room that is joined at the beginning.
    First,
}

/// A room that this client is in.
#[derive(Debug)]
pub(super) struct RoomState {
    pub(super) name: RoomName,
    pub(super) cursor: Cursor,
    pub(super) flow: Flow,
    /// The last version of its presence that is known.
    pub(super) presence: u64,
}

/// Whether a room's events flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    Live,
    /// The server was asked to wait: the application doesn't keep up.
    Held,
    /// It was asked to go on; what comes before its answer is old.
    Seeking,
}

/// A client's state.
#[derive(Debug)]
pub(super) struct State {
    pub(super) server: Option<ServerInfo>,
    pub(super) alias: Option<Alias>,
    pub(super) session: Option<SessionId>,
    pub(super) first_room: Option<RoomId>,
    /// Resolves `connect`.
    pub(super) ready: Option<oneshot::Sender<Result<(), ConnectError>>>,
    pub(super) rooms: HashMap<RoomId, RoomState>,
    pub(super) outbox: Outbox<Token>,
    pub(super) waiting: HashMap<u32, Waiting>,
    pub(super) events: EventQueue,
    /// Frames to be sent before any publish.
    pub(super) out: Vec<u8>,
    pub(super) closed: Option<CloseReason>,
    /// The application wants to close; what is unsent goes first.
    pub(super) closing: bool,
    pub(super) wants_room: bool,
    next_request: u32,
    heard: Instant,
    sent: Instant,
    told: Instant,
}

impl State {
    pub(super) fn new(outbox_bytes: usize, event_bytes: usize, wants_room: bool, now: Instant) -> Self {
        Self {
            server: None,
            alias: None,
            session: None,
            first_room: None,
            ready: None,
            rooms: HashMap::new(),
            outbox: Outbox::new(OutboxId::random(), outbox_bytes),
            waiting: HashMap::new(),
            events: EventQueue::new(event_bytes),
            out: Vec::new(),
            closed: None,
            closing: false,
            wants_room,
            next_request: 1,
            heard: now,
            sent: now,
            told: now,
        }
    }

    pub(super) fn send<M: Message>(&mut self, message: &M) {
        protocol::encode(message, &mut self.out);
    }

    fn request(&mut self, waiting: Waiting) -> u32 {
        let request = self.next_request;
        // 0 stands for "no request".
        self.next_request = self.next_request.checked_add(1).unwrap_or(1);
        self.waiting.insert(request, waiting);
        request
    }

    pub(super) fn join(&mut self, name: &str, waiting: Waiting) {
        let request = self.request(waiting);
        self.send(&Join { request, name: name.into() });
    }

    pub(super) fn leave(&mut self, room: RoomId, answer: Answer<()>) {
        let request = self.request(Waiting::Leave(answer));
        self.send(&Leave { request, room });
    }

    pub(super) fn members(
        &mut self,
        room: RoomId,
        after: Option<crate::id::PrincipalId>,
        limit: u32,
        answer: Answer<MembersPage>,
    ) {
        let request = self.request(Waiting::Members(answer));
        self.send(&Members { request, room, after, limit });
    }

    /// A byte came.
    pub(super) fn heard(&mut self, now: Instant) {
        self.heard = now;
    }

    /// Take what is to be written now.
    pub(super) fn take_output(&mut self, now: Instant) -> Vec<u8> {
        self.flow();
        let attached = self.session.is_some();
        while attached && self.out.len() < OUT_BYTES {
            let Some(publish) = self.outbox.next(now) else { break };
            self.send(&publish);
        }
        if self.closing && self.closed.is_none() && (!attached || !self.outbox.has_unsent()) {
            self.progress(now, true);
            self.send(&Bye { code: Code::GOODBYE, text: String::new(), retry_after_ms: None });
            self.close(CloseReason::Requested);
        }
        if !self.out.is_empty() {
            self.sent = now;
        }
        std::mem::take(&mut self.out)
    }

    /// Time has passed. Returns when to be called again.
    pub(super) fn tick(&mut self, now: Instant) -> Instant {
        let heartbeat = self.server.as_ref().map_or(Duration::from_secs(15), |server| server.heartbeat);
        if self.session.is_some() {
            if now.saturating_duration_since(self.heard) >= heartbeat * MISSED as u32 {
                self.close(CloseReason::IdleTimeout);
            } else if now.saturating_duration_since(self.sent) >= heartbeat {
                self.send(&Ping { nonce: 0 });
                self.sent = now;
            }
            self.progress(now, false);
        }
        // How often to look is known once the server has said its heartbeat.
        let look = if self.session.is_some() { heartbeat / 8 } else { Duration::ZERO };
        let next = now + look.clamp(Duration::from_millis(10), PROGRESS);
        // What is due already is sent by the writer, who needs a turn for it.
        self.outbox.due().map_or(next, |due| due.clamp(now + Duration::from_millis(1), next))
    }

    fn progress(&mut self, now: Instant, at_once: bool) {
        if !at_once && now.saturating_duration_since(self.told) < PROGRESS {
            return;
        }
        let taken = self.events.take_progress();
        if !taken.is_empty() {
            self.told = now;
            let rooms = taken.into_iter().filter(|(room, _)| self.rooms.contains_key(room));
            let rooms = rooms.map(|(room, seq)| RoomProgress { room, seq }).collect();
            self.send(&Progress { rooms });
        }
    }

    /// Let held rooms go on once the application has caught up.
    fn flow(&mut self) {
        if !self.events.is_drained() {
            return;
        }
        for (&room, state) in &mut self.rooms {
            if state.flow == Flow::Held {
                state.flow = Flow::Seeking;
                protocol::encode(&Seek { room, after: state.cursor.seen() }, &mut self.out);
            }
        }
    }

    /// Stop a room's events for now.
    pub(super) fn hold(&mut self, room: RoomId) {
        let Some(state) = self.rooms.get_mut(&room) else { return };
        if state.flow == Flow::Live {
            self.events.push(Event::Overloaded { room: state.name.clone() });
        }
        if state.flow != Flow::Held {
            state.flow = Flow::Held;
            self.send(&Hold { room });
        }
    }

    pub(super) fn wants_flow(&self) -> bool {
        self.events.is_drained() && self.rooms.values().any(|room| room.flow == Flow::Held)
    }

    /// A room was entered, or it was said again.
    pub(super) fn entered(&mut self, joined: &Joined, name: RoomName) {
        if self.rooms.contains_key(&joined.room) {
            return;
        }
        let (cursor, presence) = (Cursor::new(joined.head), joined.presence);
        let state = RoomState { name: name.clone(), cursor, flow: Flow::Live, presence };
        self.rooms.insert(joined.room, state);
        let (id, head, members) = (joined.room, joined.head, joined.count);
        self.events.push(Event::Joined { room: name, id, head, members });
    }

    /// Report the fate of texts that the server refused, or will never answer for.
    pub(super) fn refuse(&mut self, room: &RoomName, decided: Vec<Decided<Token>>, code: Code, reason: &str) {
        for Decided { text, token, .. } in decided {
            let _ = token.send(Err(ReceiptError::Refused { code, text: reason.to_owned() }));
            let (room, reason) = (room.clone(), reason.to_owned());
            self.events.push_lossy(Event::Refused { room, code, reason, text });
        }
    }

    /// The connection ends; the first reason counts.
    pub(super) fn close(&mut self, reason: CloseReason) {
        if self.closed.is_some() {
            return;
        }
        if let Some(ready) = self.ready.take() {
            let _ = ready.send(Err(ConnectError::Closed(reason.clone())));
        }
        self.closed = Some(reason);
    }

    /// The connection has ended: answer everybody who waits.
    pub(super) fn finish(&mut self) {
        let reason = self.closed.get_or_insert(CloseReason::Cut).clone();
        for (_, waiting) in self.waiting.drain() {
            match waiting {
                Waiting::Join(answer) => drop(answer.send(Err(RequestError::Closed))),
                Waiting::Leave(answer) => drop(answer.send(Err(RequestError::Closed))),
                Waiting::Members(answer) => drop(answer.send(Err(RequestError::Closed))),
                Waiting::First => {}
            }
        }
        for decided in self.outbox.drain() {
            let _ = decided.token.send(Err(ReceiptError::Lost));
        }
        if let Some(ready) = self.ready.take() {
            let _ = ready.send(Err(ConnectError::Closed(reason.clone())));
        }
        self.rooms.clear();
        self.events.push(Event::Closed { reason });
    }
}
