//! What a client knows of one connection; the session may outlive it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::event::CloseReason;
use crate::protocol::message::Ping;
use crate::session::credit::Credit;
use crate::session::heartbeat::MISSED;

use super::error::ConnectError;
use super::state::{PROGRESS, State};

/// How long a connection that may be dead has to show that it isn't.
const PROBE: Duration = Duration::from_secs(5);

/// One connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) began: Instant,
    /// Nobody on the way can read what goes over it.
    pub(super) private: bool,
    /// The server speaks chatnet.
    pub(super) welcomed: bool,
    /// The handshake is over.
    pub(super) attached: bool,
    /// It was begun with a session's token, and the server hasn't answered to it.
    pub(super) resuming: bool,
    /// A resumed session is still to be told to the application.
    pub(super) untold: bool,
    /// Events that come as replay.
    pub(super) replayed: u64,
    /// Requests whose answers are bulk: they come in this order.
    pub(super) bulk: VecDeque<u32>,
    pub(super) credit: Credit,
    /// Something new came, or something was stored.
    pub(super) brought: bool,
    /// Why it ended; none as long as it goes on.
    pub(super) ended: Option<CloseReason>,
    heard: Instant,
    pub(super) sent: Instant,
    /// It has to be heard until then.
    probe: Option<Instant>,
}

impl Connection {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            began: now,
            private: false,
            welcomed: false,
            attached: false,
            resuming: false,
            untold: false,
            replayed: 0,
            bulk: VecDeque::new(),
            credit: Credit::default(),
            brought: false,
            ended: None,
            heard: now,
            sent: now,
            probe: None,
        }
    }

    /// Whether the session goes on over it at this moment.
    pub(super) fn is_up(&self) -> bool {
        self.attached && self.ended.is_none()
    }

    /// It ends; the first reason counts.
    pub(super) fn end(&mut self, reason: CloseReason) {
        self.ended.get_or_insert(reason);
    }
}

impl State {
    /// A byte came.
    pub(super) fn heard(&mut self, now: Instant) {
        self.conn.heard = now;
        self.conn.probe = None;
    }

    /// The network may be another one: ask whether the connection is still there.
    pub(super) fn probe(&mut self, now: Instant) {
        if self.conn.is_up() {
            let until = now + PROBE.min(self.heartbeat());
            self.send(&Ping { nonce: 0 });
            self.conn.probe.get_or_insert(until);
        } else {
            // A handshake on the old way.
            self.conn.end(CloseReason::Cut);
        }
    }

    pub(super) fn heartbeat(&self) -> Duration {
        self.server.as_ref().map_or(Duration::from_secs(15), |server| server.heartbeat)
    }

    /// Time has passed. Returns when to be called again.
    pub(super) fn tick(&mut self, now: Instant) -> Instant {
        let heartbeat = self.heartbeat();
        self.forget_typists(now);
        if self.conn.attached {
            let silent = now.saturating_duration_since(self.conn.heard) >= heartbeat * MISSED as u32;
            if silent || self.conn.probe.is_some_and(|until| now >= until) {
                self.conn.end(CloseReason::IdleTimeout);
            } else if now.saturating_duration_since(self.conn.sent) >= heartbeat {
                self.send(&Ping { nonce: 0 });
                self.conn.sent = now;
            }
            self.progress(now, false);
            self.rejoin_due(now);
            self.keep_pace(now);
            // A server that says nothing of a room is not waited for for ever.
            if self.conn.untold && now.saturating_duration_since(self.conn.began) >= heartbeat {
                self.stop_waiting_for_rooms();
            }
        } else if now.saturating_duration_since(self.conn.began) >= self.settings.handshake_timeout {
            let after = self.settings.handshake_timeout;
            self.ready(Err(ConnectError::Timeout { after }));
            self.conn.end(CloseReason::Unreachable(ConnectError::Timeout { after }.into()));
        }
        // How often to look is known once the server has said its heartbeat.
        let look = if self.conn.attached { heartbeat / 8 } else { Duration::ZERO };
        let next = now + look.clamp(Duration::from_millis(10), PROGRESS);
        // What is due already is sent by the writer, who needs a turn for it.
        let due = [self.outbox.due(), self.pacing.due().filter(|_| self.conn.attached)].into_iter().flatten().min();
        due.map_or(next, |due| due.clamp(now + Duration::from_millis(1), next))
    }
}
