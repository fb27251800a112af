//! Handshakes on a server: bounded, so that a flood of them costs the others little.
//!
//! Two bounds. Their computing (some 0.14 ms each) is done by a few at a time: between two of them
//! everybody else's work gets its turn. Of connections that owe us an answer there is a largest number: one more, and the one
//! that has owed it longest is closed; an honest client answers within a round trip, so it is those who never meant to
//! that go. Who can't get its turn in time is closed at once.

use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::server::Identity;
use super::socket::TlsSocket;
use crate::rt::{self, Signal, Turns};
use crate::transport::stranger::{self, Stranger};

/// What is read of a client at once before its handshake is done, in bytes: a `ClientHello` with room to spare.
const READ_BYTES: usize = 4 * 1024;

/// The first byte of a TLS handshake.
const HANDSHAKE_RECORD: u8 = 0x16;

/// What a server's handshakes share.
#[derive(Debug)]
pub(crate) struct Handshakes {
    identity: Identity,
    computing: Turns,
    parallel: u32,
    /// How many wait for it, and what one takes, in nanoseconds.
    queued: AtomicUsize,
    cost: AtomicU64,
    /// How long a handshake may take.
    limit: Duration,
    /// Connections whose handshake waits for the client, at most `unfinished`.
    waiting: Mutex<BTreeMap<u64, Arc<Signal>>>,
    unfinished: usize,
    next: AtomicU64,
}

/// Why a connection wasn't taken.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// It speaks something else, and was told so.
    Stranger(Stranger, rt::Socket),
    /// The handshake failed; the peer has its alert.
    Failed(String, rt::Socket),
    /// Too many others have a handshake to finish.
    Crowded,
    /// It is gone.
    Gone(io::Error),
}

impl Handshakes {
    pub(crate) fn new(identity: Identity, unfinished: usize, limit: Duration) -> Self {
        // Half of the processors: the others' work always finds one.
        let parallel = (rt::parallelism() / 2).max(1);
        let (computing, parallel) = (Turns::new(parallel), parallel as u32);
        let (queued, cost) = (AtomicUsize::new(0), AtomicU64::new(0));
        Self {
            identity,
            computing,
            parallel,
            queued,
            cost,
            limit,
            waiting: Mutex::default(),
            unfinished: unfinished.max(1),
            next: AtomicU64::new(0),
        }
    }

    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Shake hands. The caller limits the time. Dropping it closes the connection.
    pub(crate) async fn accept(&self, tcp: rt::Socket) -> Result<TlsSocket, Refusal> {
        let mut head = Vec::new();
        // One byte tells TLS from everything else; what it is then needs a few more.
        while head.first().is_none_or(|first| *first != HANDSHAKE_RECORD && head.len() < stranger::HEAD) {
            match self.read(&tcp, &mut head).await? {
                // Whoever stops so early is told what is known by then.
                0 if !head.is_empty() => break,
                0 => return Err(Refusal::Gone(io::ErrorKind::UnexpectedEof.into())),
                _ => {}
            }
        }
        if head[0] != HANDSHAKE_RECORD {
            let stranger = stranger::at_tls(&head);
            // As a courtesy, without waiting: it fits into an empty send buffer.
            let _ = tcp.try_write(&[IoSlice::new(&stranger.answer())]);
            return Err(Refusal::Stranger(stranger, tcp));
        }
        let mut engine = self.identity.engine().map_err(|e| Refusal::Gone(io::Error::other(e)))?;
        let (mut plain, mut cipher) = (Vec::new(), Vec::new());
        loop {
            let received = {
                let _turn = self.turn()?;
                let _computing = self.computing.wait().await;
                let begun = Instant::now();
                let received = engine.receive(&mut head, &mut plain, &mut cipher);
                self.took(begun.elapsed());
                received
            };
            if let Err(e) = received {
                let _ = tcp.try_write(&[IoSlice::new(&cipher)]);
                return Err(Refusal::Failed(e.to_string(), tcp));
            }
            self.write(&tcp, &cipher).await?;
            cipher = Vec::new();
            if !engine.is_handshaking() {
                return Ok(TlsSocket::new(tcp, engine, plain));
            }
            head.clear();
            if self.read(&tcp, &mut head).await? == 0 {
                return Err(Refusal::Gone(io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }

    /// Wait for a turn to compute, if that can come in time: whoever would wait until its time is over only keeps others
    /// waiting, so that in the end nobody comes in.
    fn turn(&self) -> Result<Turn<'_>, Refusal> {
        let queued = self.queued.fetch_add(1, Ordering::Relaxed) as u64;
        let turn = Turn(self);
        let wait = Duration::from_nanos(queued.saturating_mul(self.cost.load(Ordering::Relaxed)));
        if wait / self.parallel > self.limit / 2 { Err(Refusal::Crowded) } else { Ok(turn) }
    }

    /// Note what a turn took: on average of the last few.
    fn took(&self, time: Duration) {
        let before = self.cost.load(Ordering::Relaxed);
        self.cost.store(before - before / 16 + time.as_nanos() as u64 / 16, Ordering::Relaxed);
    }

    /// Read some more, while nobody is waited for longer than for this one.
    async fn read(&self, tcp: &rt::Socket, head: &mut Vec<u8>) -> Result<usize, Refusal> {
        let begin = head.len();
        let owing = Owing::new(self);
        loop {
            let ready = rt::race(async { Some(tcp.readable().await) }, async {
                owing.given_up.wait().await;
                None
            });
            match ready.await {
                None => return Err(Refusal::Crowded),
                Some(Err(e)) => return Err(Refusal::Gone(e)),
                Some(Ok(())) => {}
            }
            head.resize(begin + READ_BYTES, 0);
            let read = tcp.try_read(&mut head[begin..]);
            head.truncate(begin + *read.as_ref().unwrap_or(&0));
            match read {
                Ok(n) => return Ok(n),
                Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                    head.shrink_to_fit();
                }
                Err(e) => return Err(Refusal::Gone(e)),
            }
        }
    }

    async fn write(&self, tcp: &rt::Socket, mut cipher: &[u8]) -> Result<(), Refusal> {
        while !cipher.is_empty() {
            match tcp.try_write(&[IoSlice::new(cipher)]) {
                Ok(n) => cipher = &cipher[n..],
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => tcp.writable().await.map_err(Refusal::Gone)?,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(Refusal::Gone(e)),
            }
        }
        Ok(())
    }
}

/// A place among those who wait to compute; given back when dropped.
struct Turn<'a>(&'a Handshakes);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.queued.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A place among those who owe an answer; given back when dropped.
struct Owing<'a> {
    all: &'a Handshakes,
    id: u64,
    given_up: Arc<Signal>,
}

impl<'a> Owing<'a> {
    fn new(all: &'a Handshakes) -> Self {
        let id = all.next.fetch_add(1, Ordering::Relaxed);
        let given_up = Arc::new(Signal::default());
        let mut waiting = all.waiting.lock();
        if waiting.len() >= all.unfinished
            && let Some((_, oldest)) = waiting.pop_first()
        {
            oldest.notify();
        }
        waiting.insert(id, Arc::clone(&given_up));
        drop(waiting);
        Self { all, id, given_up }
    }
}

impl Drop for Owing<'_> {
    fn drop(&mut self) {
        self.all.waiting.lock().remove(&self.id);
    }
}
