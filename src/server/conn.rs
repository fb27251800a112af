//! One connection: what the tasks that serve it, and those that serve its rooms, share.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

use super::output::{Fresh, Output, Pumped, Queue, Written};
use super::rooms::Member;
use super::session::Session;
use super::shared::Shared;
use super::toll::{Address, Toll};
use crate::handler::Peer;
use crate::id::{RoomId, SessionId};
use crate::protocol::{self, Code, Message};
use crate::room::{Author, Chunk};
use crate::rt::Signal;
use crate::session::heartbeat::Vitals;
use crate::transport::stranger::Stranger;
use crate::transport::{Certificate, Socket};

/// A connection.
#[derive(Debug)]
pub(super) struct Conn {
    /// Its number in this server's life; the log names it from the first byte on.
    pub(super) id: u64,
    pub(super) address: Option<SocketAddr>,
    pub(super) link: Link,
    identity: OnceLock<Identity>,
    output: Mutex<Output>,
    queue: Mutex<Queue>,
    writer: AtomicBool,
    /// Wakes the reader: it is to close, or may read again.
    pub(super) wake: Signal,
    close: Mutex<Option<Close>>,
    pub(super) pulse: Pulse,
    /// Publishes that are with the committer.
    pub(super) in_flight: AtomicUsize,
    /// The reader waits until none is.
    pub(super) settling: AtomicBool,
    /// What counts for it; none if it isn't limited.
    pub(super) toll: OnceLock<Toll>,
    /// What all from its address have used, once it was looked up; none if they aren't limited.
    pub(super) origin: OnceLock<Option<Arc<Address>>>,
    /// Nothing is read from it before this time, in nanoseconds on the server's clock.
    pub(super) quiet_until: AtomicU64,
    presence_missed: AtomicBool,
    finished: AtomicBool,
}

/// Who is at the other end.
#[derive(Debug)]
pub(super) struct Identity {
    pub(super) session: Arc<Session>,
    pub(super) agent: String,
    /// The session was there before.
    pub(super) resuming: bool,
}

/// How bytes get out.
#[derive(Debug)]
pub(super) enum Link {
    /// A socket, which anybody may try to write to.
    Socket(Socket),
    /// An application's stream: its own writer writes, when it is woken.
    Stream(Signal),
}

/// Why and how a connection ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Close {
    pub(super) code: Code,
    pub(super) text: String,
    /// Milliseconds after which coming back may help.
    pub(super) retry_after_ms: Option<u32>,
    pub(super) farewell: Farewell,
}

/// What a peer is told at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Farewell {
    /// A goodbye.
    Bye,
    /// A fatal error.
    Error,
    /// Nothing: it said goodbye itself.
    Heard,
    /// The same, in the language of a peer that doesn't speak chatnet.
    Foreign(Stranger),
    /// Nothing: it is gone.
    None,
}

impl Close {
    pub(super) fn bye(code: Code, text: impl Into<String>) -> Self {
        Self { code, text: text.into(), retry_after_ms: None, farewell: Farewell::Bye }
    }

    pub(super) fn error(code: Code, text: impl Into<String>) -> Self {
        Self { farewell: Farewell::Error, ..Self::bye(code, text) }
    }

    pub(super) fn gone(code: Code, text: impl Into<String>) -> Self {
        Self { farewell: Farewell::None, ..Self::bye(code, text) }
    }

    /// Whether the session ends with the connection: a goodbye ends it, unless it says when to come back; a cut doesn't.
    pub(super) fn ends_session(&self) -> bool {
        match self.farewell {
            Farewell::Bye | Farewell::Error => self.retry_after_ms.is_none(),
            Farewell::Heard | Farewell::Foreign(_) => true,
            Farewell::None => false,
        }
    }
}

/// When a connection showed signs of life; milliseconds on the server's clock, 0 for never.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    pub(super) began: AtomicU64,
    pub(super) attached: AtomicBool,
    pub(super) heard: AtomicU64,
    pub(super) sent: AtomicU64,
    pub(super) frame_since: AtomicU64,
    pub(super) stalled_since: AtomicU64,
    pub(super) paused: AtomicBool,
}

impl Pulse {
    pub(super) fn vitals(&self) -> Vitals {
        let get = |a: &AtomicU64| a.load(Ordering::Relaxed);
        let some = |n: u64| (n > 0).then_some(n);
        Vitals {
            attached: self.attached.load(Ordering::Relaxed),
            began: get(&self.began),
            heard: get(&self.heard),
            sent: get(&self.sent),
            frame_since: some(get(&self.frame_since)),
            stalled_since: some(get(&self.stalled_since)),
            reading: !self.paused.load(Ordering::Relaxed),
        }
    }

    /// The transport took something, or nothing.
    pub(super) fn wrote(&self, bytes: usize, blocked: bool, now: u64) {
        if bytes > 0 {
            self.sent.store(now, Ordering::Relaxed);
            self.stalled_since.store(if blocked { now } else { 0 }, Ordering::Relaxed);
        } else if blocked {
            let _ = self.stalled_since.compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed);
        } else {
            self.stalled_since.store(0, Ordering::Relaxed);
        }
    }
}

/// Numbers for connections.
static NEXT: AtomicU64 = AtomicU64::new(1);

impl Conn {
    pub(super) fn new(address: Option<SocketAddr>, link: Link, now: u64) -> Self {
        let pulse = Pulse::default();
        [&pulse.began, &pulse.heard, &pulse.sent].iter().for_each(|at| at.store(now, Ordering::Relaxed));
        Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            address,
            link,
            identity: OnceLock::new(),
            output: Mutex::default(),
            queue: Mutex::default(),
            writer: AtomicBool::new(false),
            wake: Signal::default(),
            close: Mutex::default(),
            pulse,
            in_flight: AtomicUsize::new(0),
            settling: AtomicBool::new(false),
            toll: OnceLock::new(),
            origin: OnceLock::new(),
            quiet_until: AtomicU64::new(0),
            presence_missed: AtomicBool::new(false),
            finished: AtomicBool::new(false),
        }
    }

    pub(super) fn identify(&self, session: Arc<Session>, agent: String, resuming: bool) {
        let _ = self.identity.set(Identity { session, agent, resuming });
    }

    pub(super) fn identity(&self) -> Option<&Identity> {
        self.identity.get()
    }

    /// How handlers see it under this alias; none before it has one.
    pub(super) fn peer<'a>(&'a self, author: &'a Author) -> Option<Peer<'a>> {
        let Identity { session, agent, .. } = self.identity()?;
        Some(Peer {
            session: session.id,
            principal: author.principal,
            kind: author.kind,
            alias: &author.alias,
            address: self.address,
            agent,
            certificate: self.certificate(),
        })
    }

    /// The rooms that its session is in, if it is this connection that the session has.
    pub(super) fn members(&self) -> Vec<Arc<Member>> {
        let Some(identity) = self.identity() else { return Vec::new() };
        let rooms = identity.session.rooms.lock();
        rooms.iter().filter(|member| std::ptr::eq(&*member.conn, self)).cloned().collect()
    }

    /// What the peer has proved to be.
    pub(super) fn certificate(&self) -> Option<&Certificate> {
        match &self.link {
            Link::Socket(socket) => socket.certificate(),
            Link::Stream(_) => None,
        }
    }

    pub(super) fn member(&self, room: RoomId) -> Option<Arc<Member>> {
        let rooms = self.identity()?.session.rooms.lock();
        rooms.iter().find(|member| member.room.id == room && std::ptr::eq(&*member.conn, self)).cloned()
    }

    /// The session that it has, or will have; all zero before that is known.
    fn session(&self) -> SessionId {
        self.identity().map_or(SessionId::from_bytes([0; 16]), |identity| identity.session.id)
    }

    /// Put a control frame into the queue; [`kick`](Self::kick) sends it.
    pub(super) fn queue<M: Message>(&self, message: &M) {
        let mut queue = self.queue.lock();
        if !queue.parted {
            protocol::encode(message, &mut queue.control);
        }
    }

    /// Put the last frame into the queue: what others leave for this connection from here on is left out.
    pub(super) fn queue_last<M: Message>(&self, message: &M) {
        let mut queue = self.queue.lock();
        protocol::encode(message, &mut queue.control);
        queue.parted = true;
    }

    /// Say something to a peer that doesn't speak chatnet.
    pub(super) fn queue_foreign(&self, stranger: Stranger) {
        self.queue.lock().control.extend(stranger.answer());
    }

    /// Put presence frames into the queue, unless too much waits there already.
    pub(super) fn queue_presence(&self, member: &Member, frames: &[u8]) {
        let mut queue = self.queue.lock();
        if queue.parted {
            return;
        }
        if queue.control.len() + frames.len() > super::output::CONTROL_CAP {
            member.presence_missed.store(true, Ordering::Relaxed);
            self.presence_missed.store(true, Ordering::Relaxed);
        } else {
            queue.control.extend_from_slice(frames);
        }
    }

    /// Put a signal into the queue, unless much waits there already: then it is dropped, and false.
    pub(super) fn queue_signal(&self, frame: &[u8]) -> bool {
        let mut queue = self.queue.lock();
        let there = !queue.parted && queue.control.len() + frame.len() <= super::output::CONTROL_CAP / 2;
        if there {
            queue.control.extend_from_slice(frame);
        }
        there
    }

    /// Whether presence was left out, and there is room to say so now.
    pub(super) fn take_presence_missed(&self) -> bool {
        self.presence_missed.load(Ordering::Relaxed)
            && self.backlog() < super::output::CONTROL_CAP / 2
            && self.presence_missed.swap(false, Ordering::Relaxed)
    }

    /// Whether so much was queued that no frame is to be taken before it is written.
    pub(super) fn is_full(&self) -> bool {
        self.queue.lock().control.len() > super::output::CONTROL_CAP
    }

    /// Bytes that wait before anything of a room.
    pub(super) fn backlog(&self) -> usize {
        let pending = self.output.try_lock().map_or(0, |output| output.pending());
        pending + self.queue.lock().control.len()
    }

    pub(super) fn with_output<T>(&self, f: impl FnOnce(&mut Output) -> T) -> T {
        f(&mut self.output.lock())
    }

    /// Send a member what its room's flusher has just closed, and whatever else waits.
    pub(super) fn deliver(self: &Arc<Self>, shared: &Arc<Shared>, member: &Arc<Member>, chunks: &[Arc<Chunk>]) {
        match &self.link {
            Link::Stream(_) => self.mark(member),
            Link::Socket(_) => match self.try_round(shared, Some(Fresh { member, chunks })) {
                Some(()) => return self.recheck(shared),
                None => self.mark(member),
            },
        }
        self.kick(shared);
    }

    fn mark(&self, member: &Arc<Member>) {
        if !member.dirty.swap(true, Ordering::SeqCst) {
            self.queue.lock().dirty.push(Arc::clone(member));
        }
    }

    /// Note that a member has something, and send it.
    pub(super) fn deliver_marked(self: &Arc<Self>, shared: &Arc<Shared>, member: &Arc<Member>) {
        self.mark(member);
        self.kick(shared);
    }

    /// Send what waits, without waiting for the transport.
    pub(super) fn kick(self: &Arc<Self>, shared: &Arc<Shared>) {
        match &self.link {
            Link::Stream(signal) => signal.notify(),
            Link::Socket(_) => {
                if self.try_round(shared, None).is_some() {
                    self.recheck(shared);
                }
            }
        }
    }

    /// Look again at what others left while the output was locked.
    fn recheck(self: &Arc<Self>, shared: &Arc<Shared>) {
        loop {
            {
                let queue = self.queue.lock();
                if queue.control.is_empty() && queue.dirty.is_empty() || self.writer.load(Ordering::SeqCst) {
                    return;
                }
            }
            if self.try_round(shared, None).is_none() {
                return;
            }
        }
    }

    /// One round, if nobody else is at it. What it leaves behind is the writer's.
    fn try_round(self: &Arc<Self>, shared: &Arc<Shared>, fresh: Option<Fresh<'_>>) -> Option<()> {
        let Link::Socket(socket) = &self.link else { return None };
        let mut output = self.output.try_lock()?;
        let pumped = self.round(shared, &mut output, fresh, &mut |bufs| socket.try_write(bufs));
        drop(output);
        match pumped {
            Pumped::Idle => {}
            Pumped::More | Pumped::Blocked | Pumped::Reading => self.start_writer(shared),
            Pumped::Failed(e) => self.broken(&e),
        }
        Some(())
    }

    /// One round, with its counting.
    pub(super) fn round(
        &self,
        shared: &Shared,
        output: &mut Output,
        fresh: Option<Fresh<'_>>,
        sink: &mut dyn FnMut(&[IoSlice<'_>]) -> io::Result<usize>,
    ) -> Pumped {
        let mut written = Written::default();
        let mut pumped = output.round(self.session(), &self.queue, fresh, sink, &mut written);
        if let Link::Socket(socket) = &self.link {
            // What TLS has taken and the kernel hasn't is still to be written: nobody is done before that.
            if matches!(pumped, Pumped::Idle) && socket.is_behind() && output.block() {
                pumped = Pumped::Blocked;
            }
            written.bytes += usize::from(written.bytes == 0 && socket.has_moved());
        }
        if written.bytes > 0 || matches!(pumped, Pumped::Blocked) {
            self.pulse.wrote(written.bytes, matches!(pumped, Pumped::Blocked), shared.clock.now());
            shared.counters.bytes_out.fetch_add(written.bytes as u64, Ordering::Relaxed);
            // What is queued counts too: the reader, woken too early, would only look, and wake itself, again and again.
            if self.pulse.paused.load(Ordering::Relaxed)
                && output.pending() + self.queue.lock().control.len() < super::output::CONTROL_CAP / 2
            {
                self.wake.notify();
            }
        }
        pumped
    }

    fn start_writer(self: &Arc<Self>, shared: &Arc<Shared>) {
        if !self.writer.swap(true, Ordering::SeqCst) {
            shared.tasks.spawn(super::writer::run(Arc::clone(shared), Arc::clone(self)));
        }
    }

    /// The writer has nothing left; false if something came in meanwhile.
    pub(super) fn stop_writer(&self) -> bool {
        self.writer.store(false, Ordering::SeqCst);
        let idle = !self.output.lock().has_work() && {
            let queue = self.queue.lock();
            queue.control.is_empty() && queue.dirty.is_empty()
        };
        idle || self.writer.swap(true, Ordering::SeqCst)
    }

    /// Writing failed: the peer is gone.
    pub(super) fn broken(&self, e: &io::Error) {
        self.request_close(Close::gone(Code::GOODBYE, format!("the connection broke: {e}")));
    }

    /// Ask the reader to end the connection; the first reason counts.
    pub(super) fn request_close(&self, close: Close) {
        self.close.lock().get_or_insert(close);
        self.wake.notify();
    }

    pub(super) fn close_requested(&self) -> Option<Close> {
        self.close.lock().clone()
    }

    /// Whether everything that waits has been written.
    pub(super) fn is_drained(&self) -> bool {
        let pending = self.output.lock().pending();
        let behind = matches!(&self.link, Link::Socket(socket) if socket.is_behind());
        pending == 0 && !behind && self.queue.lock().control.is_empty()
    }

    /// The session has ended: finish the frame that is begun, then control, and nothing of a room.
    pub(super) fn mute(&self) {
        self.output.lock().mute();
        self.queue.lock().dirty.clear();
    }

    /// Nothing more will be queued: a stream's writer ends once it has written what waits.
    pub(super) fn finish(&self) {
        self.finished.store(true, Ordering::SeqCst);
        if let Link::Stream(signal) = &self.link {
            signal.notify();
        }
    }

    pub(super) fn is_finished(&self) -> bool {
        self.finished.load(Ordering::SeqCst)
    }
}
