//! The driver of one connection: it reads, cuts frames, has them dispatched, and decides nothing.

use std::cell::RefCell;
use std::io;
use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::io::{AsyncRead, AsyncReadExt};

use super::attach::{self, Registered};
use super::conn::{Close, Conn, Farewell, Link};
use super::dispatch::{self, Flow, Work};
use super::output::CONTROL_CAP;
use super::publish::{self, Collected};
use super::shared::Shared;
use super::toll;
use crate::auth::Exchange;
use crate::protocol::Code;
use crate::protocol::frame::{self, Frame, MAX_HANDSHAKE_BODY};
use crate::protocol::message::{Bye, ErrorReply, Kind};
use crate::rt::{self, Turn};
use crate::session::handshake::Handshake;
use crate::transport::{Socket, stranger};

/// One read's buffer, shared by all connections of a thread: an idle connection owns none.
const READ_BYTES: usize = 64 * 1024;

/// Before a connection is attached it is read in small portions: what a stranger sends ahead is kept.
const HANDSHAKE_READ_BYTES: usize = 8 * 1024;

/// Of those who stand in line with others from their address, each is read a little: so all of them are.
const LINE_READ_BYTES: usize = 4 * 1024;

/// How long a connection that was told goodbye may take to read that, at most.
const LINGER: Duration = Duration::from_secs(60);

/// After the goodbye, what the peer still sends is read and thrown away for so long, so that the kernel doesn't
/// reset the connection before the goodbye is read …
const DRAIN: Duration = Duration::from_secs(2);

/// … and up to so many bytes.
const DRAIN_BYTES: usize = 256 * 1024;

/// A submitted publish is normally settled within milliseconds; a session that ends waits for its own at most this.
const SETTLE: Duration = Duration::from_secs(5);

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES]);
}

/// The reading side of a connection.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) shared: Arc<Shared>,
    pub(super) conn: Arc<Conn>,
    /// None once it is attached.
    pub(super) handshake: Option<Box<Handshake>>,
    /// The client's name for itself, until it is known who it is.
    pub(super) agent: String,
    /// Challenges of the attempt to authenticate that is under way.
    pub(super) exchange: Vec<Exchange>,
    collected: Option<Collected>,
    /// What was read and not taken yet: a frame that isn't whole, or what waits for an answer of the application's.
    carry: Vec<u8>,
    taken: usize,
    /// Frames that were read wait in the carry until the peer has taken what waits for it, or may send again.
    held: bool,
}

impl Reader {
    pub(super) fn new(shared: Arc<Shared>, conn: Arc<Conn>) -> Self {
        Self {
            shared,
            conn,
            handshake: Some(Box::default()),
            agent: String::new(),
            exchange: Vec::new(),
            collected: None,
            carry: Vec::new(),
            taken: 0,
            held: false,
        }
    }

    /// Serve a socket until it ends.
    pub(super) async fn run_socket(&mut self) {
        let (shared, conn) = (Arc::clone(&self.shared), Arc::clone(&self.conn));
        let Link::Socket(socket) = &conn.link else { return };
        let _registered = Registered::new(&self.shared, &conn);
        let close = loop {
            if let Some(close) = self.before_read().await {
                break close;
            }
            if !self.held {
                let ready = rt::race(async { Some(socket.readable().await) }, async {
                    conn.wake.wait().await;
                    None
                })
                .await;
                match ready {
                    None => continue,
                    Some(Err(e)) => break gone(&e),
                    Some(Ok(())) => {}
                }
            }
            let Some(line) = self.may_read(&conn).await else { continue };
            let max = if line.is_some() { LINE_READ_BYTES } else { self.portion() };
            let turn = if self.handshake.is_some() { Some(shared.entering.wait().await) } else { None };
            let flow = if std::mem::take(&mut self.held) {
                Some(self.feed_carry())
            } else {
                BUFFER.with_borrow_mut(|buffer| match socket.try_read(&mut buffer[..max]) {
                    Ok(0) => Some(Flow::Close(cut())),
                    Ok(n) => Some(self.feed(&buffer[..n])),
                    Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => None,
                    Err(e) => Some(Flow::Close(gone(&e))),
                })
            };
            drop((turn, line));
            let Some(flow) = flow else { continue };
            if let Some(close) = self.follow(flow).await {
                break close;
            }
        };
        // When many go at once, they take turns like those who come.
        shared.entering.pace(Box::pin(self.end(close, socket)).as_mut()).await;
    }

    /// Serve an application's stream until it ends; its writer runs beside.
    pub(super) async fn run_stream(mut self, mut stream: impl AsyncRead + Unpin) -> Close {
        let conn = Arc::clone(&self.conn);
        let _registered = Registered::new(&self.shared, &conn);
        let mut buffer = vec![0; HANDSHAKE_READ_BYTES];
        let close = loop {
            if let Some(close) = self.before_read().await {
                break close;
            }
            if self.may_read(&conn).await.is_none() {
                continue;
            }
            let flow = if std::mem::take(&mut self.held) {
                self.feed_carry()
            } else {
                let read = rt::race(async { Some(stream.read(&mut buffer).await) }, async {
                    conn.wake.wait().await;
                    None
                })
                .await;
                match read {
                    None => continue,
                    Some(Ok(0)) => Flow::Close(cut()),
                    Some(Ok(n)) => self.feed(&buffer[..n]),
                    Some(Err(e)) => Flow::Close(gone(&e)),
                }
            };
            if let Some(close) = self.follow(flow).await {
                break close;
            }
        };
        self.leave(&close).await;
        close
    }

    /// Wait until more may be read: too much control output, or too much for the committer, stops the reading.
    async fn before_read(&mut self) -> Option<Close> {
        loop {
            if let Some(close) = self.conn.close_requested() {
                return Some(close);
            }
            let paused = self.conn.backlog() > CONTROL_CAP;
            self.conn.pulse.paused.store(paused, Ordering::Relaxed);
            if !paused && self.shared.commits.has_room() {
                return None;
            }
            if paused {
                self.conn.kick(&self.shared);
                // Looked at again after the flag is up: whoever writes from here on sees it.
                if self.conn.backlog() > CONTROL_CAP {
                    self.conn.wake.wait().await;
                }
                self.conn.pulse.heard.store(self.shared.clock.now(), Ordering::Relaxed);
            } else {
                let (shared, conn) = (&self.shared, &self.conn);
                self.conn.pulse.paused.store(true, Ordering::Relaxed);
                rt::race(Box::pin(shared.commits.room()), conn.wake.wait()).await;
                self.conn.pulse.heard.store(self.shared.clock.now(), Ordering::Relaxed);
            }
        }
    }

    /// Wait until as little was sent as may be. None if everything has to be looked at again; the turn in which it is
    /// read, if others from its address wait for theirs.
    async fn may_read<'c>(&self, conn: &'c Conn) -> Option<Option<Turn<'c>>> {
        let pause = toll::quiet(&self.shared, conn);
        if pause.is_none() && !toll::has_to_queue(&self.shared, conn) {
            return Some(None);
        }
        conn.pulse.paused.store(true, Ordering::Relaxed);
        let waiting = Box::pin(async {
            match pause {
                Some(pause) => {
                    rt::sleep(pause).await;
                    None
                }
                None => Some(toll::line(&self.shared, conn).await),
            }
        });
        let turn = rt::race(waiting, async {
            conn.wake.wait().await;
            None
        })
        .await;
        conn.pulse.heard.store(self.shared.clock.now(), Ordering::Relaxed);
        turn
    }

    fn portion(&self) -> usize {
        if self.handshake.is_some() { HANDSHAKE_READ_BYTES } else { READ_BYTES }
    }

    /// Take what was read. What can't be taken yet is kept.
    fn feed(&mut self, bytes: &[u8]) -> Flow {
        self.conn.pulse.heard.store(self.shared.clock.now(), Ordering::Relaxed);
        self.shared.counters.bytes_in.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        if self.carry.is_empty() {
            let (used, flow) = self.process(bytes);
            self.carry.extend_from_slice(&bytes[used..]);
            self.note_frame();
            return flow;
        }
        self.carry.extend_from_slice(bytes);
        self.feed_carry()
    }

    fn feed_carry(&mut self) -> Flow {
        let carry = std::mem::take(&mut self.carry);
        let (used, flow) = self.process(&carry[self.taken..]);
        self.taken += used;
        self.carry = carry;
        if self.taken == self.carry.len() {
            self.carry = Vec::new();
            self.taken = 0;
        } else if self.taken > READ_BYTES || !matches!(flow, Flow::Work(_)) {
            self.carry.drain(..self.taken);
            self.carry.shrink_to(READ_BYTES);
            self.taken = 0;
        }
        self.note_frame();
        flow
    }

    /// Note since when a frame is begun and not whole.
    fn note_frame(&self) {
        let since = &self.conn.pulse.frame_since;
        if self.carry.is_empty() {
            since.store(0, Ordering::Relaxed);
        } else if since.load(Ordering::Relaxed) == 0 {
            since.store(self.shared.clock.now(), Ordering::Relaxed);
        }
    }

    /// Take whole frames, up to one that has to wait for something. Returns the bytes taken.
    fn process(&mut self, bytes: &[u8]) -> (usize, Flow) {
        let (mut used, mut frames) = (0, 0);
        let flow = loop {
            if frames > 0 && self.conn.is_full() {
                break Flow::Full;
            }
            let max = if self.handshake.is_some() { MAX_HANDSHAKE_BODY } else { self.shared.config.max_body };
            match frame::split(&bytes[used..], max) {
                Ok(None) => break Flow::Next,
                Ok(Some((frame, n))) => {
                    used += n;
                    frames += 1;
                    // Whatever is begun behind it is another frame.
                    self.conn.pulse.frame_since.store(0, Ordering::Relaxed);
                    match self.frame(&frame) {
                        Flow::Next => {}
                        flow => break flow,
                    }
                }
                Err(e) => {
                    let greeting = self.handshake.is_some();
                    if let Some(stranger) = stranger::at_plaintext(&e.head).filter(|_| greeting) {
                        let farewell = Farewell::Foreign(stranger);
                        break Flow::Close(Close { farewell, ..Close::error(stranger.code(), stranger.text()) });
                    }
                    let known = greeting && frame::stranger(&e.head).is_some();
                    let code = if known { Code::NOT_CHATNET } else { Code::FRAME_TOO_LONG };
                    break Flow::Close(Close::error(code, e.to_string()));
                }
            }
        };
        publish::flush(&self.shared, &mut self.collected);
        toll::frames(&self.shared, &self.conn, frames);
        (used, flow)
    }

    fn frame(&mut self, frame: &Frame<'_>) -> Flow {
        if self.handshake.is_none() && frame.header.kind == Kind::Publish.0 {
            return match publish::take(&self.shared, &self.conn, frame.body, &mut self.collected) {
                Ok(None) => Flow::Next,
                Ok(Some(work)) => Flow::Work(work),
                Err(e) => Flow::Close(dispatch::malformed(Kind::Publish, &e)),
            };
        }
        publish::flush(&self.shared, &mut self.collected);
        dispatch::frame(self, frame)
    }

    /// Do what a frame asked for, and take what was read behind it.
    async fn follow(&mut self, mut flow: Flow) -> Option<Close> {
        loop {
            match flow {
                Flow::Next => {
                    self.conn.kick(&self.shared);
                    return None;
                }
                Flow::Full => {
                    self.held = true;
                    self.conn.kick(&self.shared);
                    return None;
                }
                Flow::Close(close) => return Some(close),
                Flow::Work(work) => {
                    if let Err(close) = Box::pin(self.work(work)).await {
                        return Some(close);
                    }
                    if let Some(close) = self.conn.close_requested() {
                        return Some(close);
                    }
                    flow = if self.carry.is_empty() {
                        Flow::Next
                    } else if self.conn.backlog() > CONTROL_CAP || toll::quiet(&self.shared, &self.conn).is_some() {
                        Flow::Full
                    } else {
                        self.feed_carry()
                    };
                }
            }
        }
    }

    async fn work(&mut self, work: Work) -> Result<(), Close> {
        let (shared, enters) = (Arc::clone(&self.shared), work.enters());
        let work = std::pin::pin!(dispatch::work(self, work));
        if enters { shared.entering.pace(work).await } else { work.await }
    }

    /// End the session and queue the goodbye.
    async fn leave(&mut self, close: &Close) {
        // What was said before the goodbye counts: it is stored before its author leaves.
        self.settle().await;
        self.conn.mute();
        match close.farewell {
            Farewell::Bye => {
                let Close { code, text, retry_after_ms, .. } = close.clone();
                self.conn.queue_last(&Bye { code, text, retry_after_ms });
            }
            Farewell::Error => {
                let Close { code, text, retry_after_ms, .. } = close.clone();
                let (request, suggestion) = (None, None);
                self.conn.queue_last(&ErrorReply { code, text, request, fatal: true, retry_after_ms, suggestion });
            }
            Farewell::Foreign(stranger) => self.conn.queue_foreign(stranger),
            Farewell::Heard | Farewell::None => {}
        }
        self.conn.kick(&self.shared);
        attach::leave(&self.shared, &self.conn, close).await;
    }

    /// Wait until the publishes of this session are committed or refused.
    pub(super) async fn settle(&mut self) {
        let conn = &self.conn;
        // Before the look: whoever settles the last one after it sees the flag, and wakes.
        conn.settling.store(true, Ordering::SeqCst);
        let settled = async {
            while conn.in_flight.load(Ordering::SeqCst) > 0 {
                conn.wake.wait().await;
            }
        };
        if conn.in_flight.load(Ordering::SeqCst) > 0 && rt::timeout(SETTLE, settled).await.is_none() {
            tracing::warn!(connection = conn.id, "a session's publishes were not stored within {SETTLE:?} of its end");
        }
        conn.settling.store(false, Ordering::SeqCst);
        // The wake may have been for something else too.
        if conn.close_requested().is_some() {
            conn.wake.notify();
        }
    }

    /// End a socket: let it take the goodbye, and close it without a reset.
    async fn end(&mut self, close: Close, socket: &Socket) {
        self.leave(&close).await;
        if matches!(close.farewell, Farewell::Bye | Farewell::Error | Farewell::Foreign(_)) {
            let told = async {
                while !self.conn.is_drained() {
                    if socket.writable().await.is_err() {
                        return;
                    }
                    self.conn.with_output(|output| output.unblock());
                    self.conn.kick(&self.shared);
                    rt::yield_now().await;
                }
            };
            let _ = rt::timeout(LINGER, told).await;
            linger(socket).await;
        }
        self.conn.with_output(|output| output.fail());
        socket.shutdown(Shutdown::Both);
    }
}

/// Close a socket that was told goodbye, without a reset that would take the goodbye away.
pub(super) async fn linger(socket: &Socket) {
    socket.shutdown(Shutdown::Write);
    let _ = rt::timeout(DRAIN, drain(socket)).await;
}

async fn drain(socket: &Socket) {
    let mut left = DRAIN_BYTES;
    while left > 0 && socket.readable().await.is_ok() {
        match BUFFER.with_borrow_mut(|buffer| socket.try_read(buffer)) {
            Ok(0) => return,
            Ok(n) => left = left.saturating_sub(n),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
}

fn cut() -> Close {
    Close::gone(Code::GOODBYE, "the peer closed the connection without a goodbye")
}

fn gone(e: &io::Error) -> Close {
    Close::gone(Code::GOODBYE, format!("the connection broke: {e}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size<F>(_: impl FnOnce(&'static mut Reader) -> F) -> usize {
        size_of::<F>()
    }

    /// Thousands of connections are idle; what is rare in the life of one is kept in a box of its own while it lasts.
    #[test]
    fn what_an_idle_connection_keeps_is_small() {
        let (task, conn) = (size(Reader::run_socket) + size_of::<Reader>(), size_of::<Conn>());
        assert!(task <= 704, "a connection's task has {task} bytes");
        assert!(conn <= 576, "a connection has {conn} bytes");
    }
}
