//! What a client knows, over any number of connections. No clock, no socket: the time is an argument, what is to be
//! sent is left in `out`.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::channel::oneshot;

use super::account::Login;
use super::connection::Connection;
use super::error::{ConnectError, ReceiptError, RequestError};
use super::event::{Acked, CloseReason, Cursor, Event};
use super::journal::Pending;
use super::opening;
use super::pacing::Pacing;
use super::queue::EventQueue;
use super::requests::Waiting;
use super::rooms::{RoomState, Slot, Standing};
use crate::id::{Alias, Lineage, OutboxId, PrincipalId, RoomId, RoomName, SessionId};
use crate::protocol::message::{Bye, Credit, Progress};
use crate::protocol::{self, Class, Code, MAX_ITEMS, Message};
use crate::session::credit;
use crate::session::outbox::Outbox;

/// The longest body that the client takes, in bytes: what PROTOCOL.md recommends.
pub(super) const MAX_BODY: u32 = 131_072;

/// What is kept encoded and unsent, in bytes; publishes wait in the outbox as long as this is reached.
const OUT_BYTES: usize = 64 * 1024;

/// How often progress is told, at most.
pub(super) const PROGRESS: Duration = Duration::from_secs(1);

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

/// What the builder said.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) alias: String,
    pub(super) alias_fallback: bool,
    pub(super) login: Login,
    /// Secrets may go over connections that others can read.
    pub(super) plaintext_passwords: bool,
    /// The room to join at once; empty for the default room.
    pub(super) room: Option<String>,
    pub(super) agent: String,
    pub(super) handshake_timeout: Duration,
    pub(super) outbox_bytes: usize,
    pub(super) event_bytes: usize,
    pub(super) history_on_join: u32,
    /// What is read is marked by the application, not taken from what it has taken.
    pub(super) mark_by_hand: bool,
    /// Places of an earlier life that no room was found for yet.
    pub(super) cursors: Vec<Cursor>,
}

/// Where a receipt's answer goes.
pub(super) type Token = oneshot::Sender<Result<Acked, ReceiptError>>;

/// A client's state.
#[derive(Debug)]
pub(super) struct State {
    pub(super) settings: Settings,
    pub(super) server: Option<ServerInfo>,
    /// The life of the store that the rooms' places and the outbox's numbers belong to.
    pub(super) lineage: Option<Lineage>,
    pub(super) principal: Option<PrincipalId>,
    pub(super) alias: Option<Alias>,
    pub(super) session: Option<SessionId>,
    /// What continues the session on another connection.
    pub(super) token: Option<opening::Token>,
    /// A session has begun.
    pub(super) begun: bool,
    /// The application has its client: from here on connections come back.
    pub(super) connected: bool,
    /// Aliases that were refused on this connection.
    pub(super) tries: u8,
    pub(super) first_room: Option<Arc<Slot>>,
    /// Resolves `connect`.
    pub(super) ready: Option<oneshot::Sender<Result<(), ConnectError>>>,
    pub(super) rooms: HashMap<RoomId, RoomState>,
    pub(super) outbox: Outbox<Token>,
    /// What is to be written to the outbox's file.
    pub(super) journal: Option<Pending>,
    pub(super) waiting: BTreeMap<u32, Waiting>,
    pub(super) next_request: u32,
    pub(super) pacing: Pacing,
    pub(super) events: EventQueue,
    /// Frames to be sent before any publish.
    pub(super) out: Vec<u8>,
    pub(super) conn: Connection,
    /// The attempt that is waited for, between two connections.
    pub(super) attempt: Option<u32>,
    /// It is over, for good.
    pub(super) closed: Option<CloseReason>,
    /// The application wants to close; what is unsent goes first.
    pub(super) closing: Option<Instant>,
    /// Texts that were undecided at the end.
    pub(super) lost: usize,
    told: Instant,
}

impl State {
    pub(super) fn new(settings: Settings, now: Instant) -> Self {
        let outbox = Outbox::new(OutboxId::random(), settings.outbox_bytes);
        let events = EventQueue::new(settings.event_bytes);
        Self {
            settings,
            server: None,
            lineage: None,
            principal: None,
            alias: None,
            session: None,
            token: None,
            begun: false,
            connected: false,
            tries: 0,
            first_room: None,
            ready: None,
            rooms: HashMap::new(),
            outbox,
            journal: None,
            waiting: BTreeMap::new(),
            next_request: 1,
            pacing: Pacing::default(),
            events,
            out: Vec::new(),
            conn: Connection::new(now),
            attempt: None,
            closed: None,
            closing: None,
            lost: 0,
            told: now,
        }
    }

    pub(super) fn send<M: Message>(&mut self, message: &M) {
        protocol::encode(message, &mut self.out);
    }

    /// Take what is to be written now.
    pub(super) fn take_output(&mut self, now: Instant) -> Vec<u8> {
        let attached = self.conn.attached;
        if attached {
            self.flow();
            self.grant();
        }
        while attached && self.out.len() < OUT_BYTES {
            let rooms = &self.rooms;
            let may = |room| rooms.get(&room).is_some_and(|room| room.standing == Standing::In);
            let Some(publish) = self.outbox.next(now, may) else { break };
            self.send(&publish);
        }
        if self.closing.is_some() && self.conn.ended.is_none() && self.may_close() {
            self.progress(now, true);
            // Who comes back for what is undecided comes back as the same one: no goodbye then.
            if self.journal.is_none() || self.outbox.len() == 0 {
                self.token = None;
                self.journal_session();
                self.send(&Bye { code: Code::GOODBYE, text: String::new(), retry_after_ms: None });
            }
            self.conn.end(CloseReason::Requested);
        }
        if !self.out.is_empty() {
            self.conn.sent = now;
        }
        std::mem::take(&mut self.out)
    }

    /// Whether everything is sent that can be.
    fn may_close(&self) -> bool {
        // What is under way may have to come again, if it was too much at once: the goodbye waits for all answers,
        // unless it is kept for another time.
        let waits = if self.journal.is_some() { self.outbox.has_unsent() } else { self.outbox.len() > 0 };
        !self.begun || !waits
    }

    /// Allow the server to send as much bulk as the application has room for.
    fn grant(&mut self) {
        if let Some(bytes) = self.conn.credit.grant(self.room_for_bulk()) {
            self.send(&Credit { class: Class::BULK.0, bytes });
        }
    }

    /// Whether there is credit to be granted.
    pub(super) fn wants_grant(&self) -> bool {
        self.conn.is_up() && self.conn.credit.worth(self.room_for_bulk()).is_some()
    }

    /// Say something: it is sent as soon as it can be.
    pub(super) fn say(&mut self, room: RoomId, text: String, token: Token) {
        self.journal_room(room);
        let n = self.outbox.next_number(room);
        self.journal_text(room, n, &text);
        self.outbox.push(room, text, token);
    }

    /// What answers a question goes past the events that wait: whoever asks may be the one who doesn't take them.
    pub(super) fn room_for_bulk(&self) -> u64 {
        let room = self.events.room() as u64;
        if self.conn.bulk.is_empty() { room } else { room.max(credit::INITIAL) }
    }

    pub(super) fn progress(&mut self, now: Instant, at_once: bool) {
        if !at_once && now.saturating_duration_since(self.told) < PROGRESS {
            return;
        }
        let rooms = self.untold_reads();
        if !rooms.is_empty() {
            self.told = now;
            rooms.chunks(MAX_ITEMS).for_each(|rooms| self.send(&Progress { rooms: rooms.to_vec() }));
        }
    }

    /// It is over: answer everybody who waits.
    pub(super) fn finish(&mut self, reason: CloseReason) {
        if self.closed.is_some() {
            return;
        }
        self.closed = Some(reason.clone());
        self.conn.end(reason.clone());
        self.attempt = None;
        self.ready(Err(ConnectError::Closed(reason.clone())));
        for (_, waiting) in std::mem::take(&mut self.waiting) {
            waiting.fail(RequestError::Closed);
        }
        self.close_journal();
        let lost = self.outbox.drain();
        self.lost = lost.len();
        for decided in lost {
            let _ = decided.token.send(Err(ReceiptError::Lost { unsent: self.lost }));
        }
        self.rooms.clear();
        self.events.push(Event::Closed { reason });
    }
}
