//! A client's connections, one after the other, until it is closed or gives up.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::connector::{self, Open};
use super::driver;
use super::error::ConnectError;
use super::event::{CloseReason, Event};
use super::link::Link;
use super::state::State;
use super::{CLOSE_TIMEOUT, ClientState};
use crate::protocol::Code;
use crate::rt;
use crate::session::backoff::{Backoff, Reconnect};

/// Keep a client connected.
pub(super) async fn run(link: Arc<Link>, by: Box<dyn Open>, limit: Duration, rules: Reconnect) {
    let mut backoff = Backoff::new(rules);
    loop {
        match rt::race(async { Woken::By(connector::open(&*by, limit).await) }, woken(&link)).await {
            Woken::By(Ok((_, private))) if !link.lock().may_open(private) => {
                link.lock().unreachable(ConnectError::Insecure, Instant::now());
            }
            Woken::By(Ok((stream, private))) => {
                link.lock().open(private, Instant::now());
                driver::run(&link, stream).await;
            }
            Woken::By(Err(e)) => link.lock().unreachable(e, Instant::now()),
            // The attempt goes the old way: begin it anew.
            Woken::Network => continue,
            Woken::Stop => link.lock().conn.end(CloseReason::Requested),
        }
        let random = random();
        let next = link.lock().next_attempt(&mut backoff, Instant::now(), random);
        link.changed();
        let Some(delay) = next else { return };
        let waited = async {
            rt::sleep(delay).await;
            Woken::By(())
        };
        match rt::race(waited, woken(&link)).await {
            Woken::By(()) => {}
            Woken::Network => backoff.hurry(),
            Woken::Stop => {
                link.lock().finish(CloseReason::Requested);
                return link.changed();
            }
        }
    }
}

/// What ended a wait.
enum Woken<T> {
    By(T),
    Network,
    Stop,
}

async fn woken<T>(link: &Link) -> Woken<T> {
    let network = async {
        link.network.wait().await;
        Woken::Network
    };
    rt::race(network, async {
        stopped(link).await;
        Woken::Stop
    })
    .await
}

/// Resolves when a client without a connection is to end: it has nothing to send, or has tried to for long enough.
async fn stopped(link: &Link) {
    let since = || link.lock().closing;
    link.outbox.until(|| since().is_some()).await;
    let until = since().unwrap_or_else(Instant::now) + CLOSE_TIMEOUT;
    let sent = link.outbox.until(|| link.lock().outbox.len() == 0);
    let _ = rt::timeout(until.saturating_duration_since(Instant::now()), sent).await;
}

fn random() -> u64 {
    let mut bytes = [0; 8];
    // Without chance clients may come back all at once, which is no reason not to come back.
    let _ = getrandom::fill(&mut bytes);
    u64::from_ne_bytes(bytes)
}

/// What an end leads to.
enum Verdict {
    Final,
    /// Come back, if the server said so after that time.
    Again(Option<Duration>),
}

fn judge(reason: &CloseReason, welcomed: bool) -> Verdict {
    match reason {
        CloseReason::Requested => Verdict::Final,
        CloseReason::Bye { retry_after_ms: Some(ms), .. } => {
            Verdict::Again(Some(Duration::from_millis(u64::from(*ms))))
        }
        // Time ran out on the way, or this machine slept: the server has nothing against this client.
        CloseReason::Bye { code: Code::IDLE_TIMEOUT | Code::FRAME_TIMEOUT | Code::HANDSHAKE_TIMEOUT, .. } => {
            Verdict::Again(None)
        }
        CloseReason::Bye { .. } => Verdict::Final,
        // Whatever answered was no chatnet server: a captive portal, or another program while the server is away.
        CloseReason::Protocol(_) if !welcomed => Verdict::Again(None),
        CloseReason::Protocol(_) => Verdict::Final,
        // Not the server it was, or not as private as it was: a person has to look, nobody is to be asked again and
        // again until one gets through.
        CloseReason::Unreachable(e) if e.is_about_trust() => Verdict::Final,
        CloseReason::IdleTimeout | CloseReason::Cut | CloseReason::Io(_) | CloseReason::Unreachable(_) => {
            Verdict::Again(None)
        }
    }
}

impl State {
    /// Whether this client may say what it has to over such a connection.
    fn may_open(&self, private: bool) -> bool {
        self.may_tell_secrets(private) || !self.settings.login.is_secret()
    }

    /// Whether a secret may go over such a connection.
    pub(super) fn may_tell_secrets(&self, private: bool) -> bool {
        private || self.settings.plaintext_passwords
    }

    /// No connection could be opened.
    fn unreachable(&mut self, e: ConnectError, now: Instant) {
        self.conn = super::connection::Connection::new(now);
        if self.ready.is_some() {
            self.ready(Err(e));
            return self.conn.end(CloseReason::Cut);
        }
        self.conn.end(CloseReason::Unreachable(Arc::new(e)));
    }

    /// A connection ended. How long to wait before the next one; none if that was the end.
    fn next_attempt(&mut self, backoff: &mut Backoff, now: Instant, random: u64) -> Option<Duration> {
        let reason = self.conn.ended.clone().unwrap_or(CloseReason::Cut);
        backoff.ended(self.conn.began, self.conn.brought, now);
        let pause = match judge(&reason, self.conn.welcomed) {
            // The first connection fails fast.
            _ if !self.connected => None,
            _ if self.closing.is_some_and(|since| self.outbox.len() == 0 || now >= since + CLOSE_TIMEOUT) => None,
            Verdict::Final => None,
            Verdict::Again(after) => backoff.next(after, now, random),
        };
        let Some(pause) = pause else {
            let requested = self.closing.is_some() && !matches!(reason, CloseReason::Bye { .. });
            self.finish(if requested { CloseReason::Requested } else { reason });
            return None;
        };
        self.attempt = Some(pause.attempt);
        tracing::debug!(attempt = pause.attempt, delay = ?pause.delay, "connection lost: {reason}");
        self.events.push_lossy(Event::Reconnecting { attempt: pause.attempt, delay: pause.delay, reason });
        Some(pause.delay)
    }

    pub(super) fn standing(&self) -> ClientState {
        match (&self.closed, self.conn.is_up()) {
            (Some(_), _) => ClientState::Closed,
            (None, true) => ClientState::Connected,
            (None, false) => ClientState::Reconnecting { attempt: self.attempt.unwrap_or(0) },
        }
    }
}
