//! Streams that fail as networks do, at a chosen byte, and repeatably.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::io::{AsyncRead, AsyncWrite};

use super::Random;
use crate::rt;

/// What happens to a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// It is cut: both ends are told, each in its time.
    Cut,
    /// It is half open from here on: nothing gets through in either direction, and neither end is told. What is
    /// written seems to be sent.
    Vanish,
    /// Nothing passes in this direction for so long; then it goes on.
    Stall(Duration),
}

/// When which faults happen to one connection.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    read: VecDeque<(u64, Fault)>,
    write: VecDeque<(u64, Fault)>,
    piece: Option<usize>,
    seed: u64,
}

impl Plan {
    /// Nothing goes wrong.
    pub fn calm() -> Self {
        Self::default()
    }

    /// After so many bytes were read from the stream. Faults of one direction are given in rising order.
    #[must_use]
    pub fn reading(mut self, bytes: u64, fault: Fault) -> Self {
        self.read.push_back((bytes, fault));
        self
    }

    /// After so many bytes were written to the stream.
    #[must_use]
    pub fn writing(mut self, bytes: u64, fault: Fault) -> Self {
        self.write.push_back((bytes, fault));
        self
    }

    /// At most so many bytes pass at once, 1 at least; how many is drawn from `seed`.
    #[must_use]
    pub fn pieces(self, max: usize, seed: u64) -> Self {
        Self { piece: Some(max.max(1)), seed, ..self }
    }

    /// Draw a plan: a connection that lives for about `mean_bytes` in one of the directions, with a stall now and then,
    /// and then is cut or vanishes; its bytes pass in pieces.
    pub fn drawn(random: &mut Random, mean_bytes: u64, stall: Duration) -> Self {
        let life = 1 + random.below(2 * mean_bytes.max(1));
        let end = if random.below(4) == 0 { Fault::Vanish } else { Fault::Cut };
        let plan = Self::calm().pieces(1 + random.below(2000) as usize, random.next_u64());
        let (early, stall) = (life / 2, Fault::Stall(stall));
        let stalls = random.below(3) == 0 && early > 0;
        match (random.below(2) == 0, stalls) {
            (true, true) => plan.reading(early, stall).reading(life, end),
            (true, false) => plan.reading(life, end),
            (false, true) => plan.writing(early, stall).writing(life, end),
            (false, false) => plan.writing(life, end),
        }
    }
}

/// A stream with a [`Plan`]. Dropping it drops what is inside.
pub struct Faulty<S> {
    inner: Option<S>,
    vanished: bool,
    read: Lane,
    write: Lane,
    piece: Option<usize>,
    random: Random,
}

#[derive(Default)]
struct Lane {
    passed: u64,
    faults: VecDeque<(u64, Fault)>,
    stalled: Option<BoxFuture<'static, ()>>,
}

enum Step {
    /// So many bytes may pass at most.
    Pass(u64),
    Wait,
    Fault(Fault),
}

impl Lane {
    fn step(&mut self, cx: &mut Context<'_>) -> Step {
        loop {
            if let Some(stalled) = &mut self.stalled {
                if stalled.as_mut().poll(cx).is_pending() {
                    return Step::Wait;
                }
                self.stalled = None;
            }
            match self.faults.front().copied() {
                None => return Step::Pass(u64::MAX),
                Some((at, _)) if at > self.passed => return Step::Pass(at - self.passed),
                Some((_, Fault::Stall(time))) => {
                    self.faults.pop_front();
                    self.stalled = Some(Box::pin(rt::sleep(time)));
                }
                Some((_, fault)) => {
                    self.faults.pop_front();
                    return Step::Fault(fault);
                }
            }
        }
    }
}

impl<S> Faulty<S> {
    /// Put a plan on a stream.
    pub fn new(inner: S, plan: Plan) -> Self {
        let lane = |faults| Lane { faults, ..Lane::default() };
        let (read, write) = (lane(plan.read), lane(plan.write));
        Self { inner: Some(inner), vanished: false, read, write, piece: plan.piece, random: Random::new(plan.seed) }
    }

    fn piece(&mut self, len: usize, may: u64) -> usize {
        let may = usize::try_from(may).unwrap_or(usize::MAX);
        let piece = self.piece.map_or(usize::MAX, |max| 1 + self.random.below(max as u64) as usize);
        len.min(may).min(piece)
    }

    fn fail(&mut self, fault: Fault) {
        match fault {
            Fault::Cut => self.inner = None,
            _ => self.vanished = true,
        }
    }
}

fn cut() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, "the connection was cut, as planned")
}

impl<S: AsyncRead + Unpin> AsyncRead for Faulty<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        loop {
            if this.vanished {
                return Poll::Pending;
            }
            let Some(inner) = &mut this.inner else { return Poll::Ready(Err(cut())) };
            match this.read.step(cx) {
                Step::Wait => return Poll::Pending,
                Step::Fault(fault) => this.fail(fault),
                Step::Pass(may) => {
                    let inner = Pin::new(inner);
                    let piece = this.piece.map_or(usize::MAX, |max| 1 + this.random.below(max as u64) as usize);
                    let len = buf.len().min(usize::try_from(may).unwrap_or(usize::MAX)).min(piece);
                    let poll = inner.poll_read(cx, &mut buf[..len]);
                    if let Poll::Ready(Ok(n)) = poll {
                        this.read.passed += n as u64;
                    }
                    return poll;
                }
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Faulty<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        loop {
            if this.vanished {
                return Poll::Ready(Ok(buf.len()));
            }
            if this.inner.is_none() {
                return Poll::Ready(Err(cut()));
            }
            match this.write.step(cx) {
                Step::Wait => return Poll::Pending,
                Step::Fault(fault) => this.fail(fault),
                Step::Pass(may) => {
                    let len = this.piece(buf.len(), may);
                    let Some(inner) = &mut this.inner else { continue };
                    let poll = Pin::new(inner).poll_write(cx, &buf[..len]);
                    if let Poll::Ready(Ok(n)) = poll {
                        this.write.passed += n as u64;
                    }
                    return poll;
                }
            }
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.inner {
            Some(inner) => Pin::new(inner).poll_flush(cx),
            None => Poll::Ready(Err(cut())),
        }
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.vanished {
            return Poll::Ready(Ok(()));
        }
        match &mut self.inner {
            Some(inner) => Pin::new(inner).poll_close(cx),
            None => Poll::Ready(Ok(())),
        }
    }
}

impl<S> fmt::Debug for Faulty<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match (&self.inner, self.vanished) {
            (None, _) => "cut",
            (_, true) => "vanished",
            _ => "connected",
        };
        write!(f, "Faulty({state}, read {}, written {})", self.read.passed, self.write.passed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::memory;
    use futures::executor::block_on;
    use futures::io::{AsyncReadExt, AsyncWriteExt};

    #[test]
    fn a_cut_comes_at_its_byte_and_both_ends_notice() {
        let (near, mut far) = memory::pair(64);
        let mut near = Faulty::new(near, Plan::calm().writing(5, Fault::Cut).pieces(2, 7));
        block_on(async {
            assert!(near.write_all(b"hello world").await.is_err());
            let mut heard = Vec::new();
            far.read_to_end(&mut heard).await.unwrap();
            assert_eq!(heard, b"hello");
            assert!(near.read(&mut [0]).await.is_err());
        });
    }

    #[test]
    fn a_half_open_connection_swallows_and_says_nothing() {
        let (near, mut far) = memory::pair(64);
        let mut near = Faulty::new(near, Plan::calm().writing(2, Fault::Vanish));
        block_on(async {
            near.write_all(b"hello").await.unwrap();
            far.write_all(b"anybody?").await.unwrap();
            let mut heard = [0; 5];
            assert_eq!(far.read(&mut heard).await.unwrap(), 2);
            let mut reading = Box::pin(near.read(&mut heard));
            assert!(futures::poll!(reading.as_mut()).is_pending());
        });
    }
}
