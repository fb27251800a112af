//! A pair of connected streams inside one process: a client and a server that need no socket, and tests.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures::io::{AsyncRead, AsyncWrite};
use parking_lot::Mutex;

/// Make two ends of a pipe; what is written to one is read from the other. Each direction holds up to `capacity`
/// bytes (at least 1); a writer waits while it is full.
///
/// ```
/// use chatnet::transport::memory;
/// use futures::io::{AsyncReadExt, AsyncWriteExt};
///
/// # futures::executor::block_on(async {
/// let (mut here, mut there) = memory::pair(1024);
/// here.write_all(b"hello").await?;
/// here.close().await?;
/// let mut heard = String::new();
/// there.read_to_string(&mut heard).await?;
/// assert_eq!(heard, "hello");
/// # Ok::<(), std::io::Error>(())
/// # }).unwrap();
/// ```
pub fn pair(capacity: usize) -> (Pipe, Pipe) {
    let direction = || Arc::new(Mutex::new(Direction { capacity: capacity.max(1), ..Direction::default() }));
    let (a, b) = (direction(), direction());
    (Pipe { read: Arc::clone(&a), write: Arc::clone(&b) }, Pipe { read: b, write: a })
}

/// One end of a [`pair`]. Dropping it closes both directions: the other end reads what was written, then the end; what
/// it writes fails with `BrokenPipe`.
#[derive(Debug)]
pub struct Pipe {
    read: Arc<Mutex<Direction>>,
    write: Arc<Mutex<Direction>>,
}

#[derive(Debug, Default)]
struct Direction {
    bytes: VecDeque<u8>,
    capacity: usize,
    no_more_written: bool,
    no_more_read: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl AsyncRead for Pipe {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut direction = self.read.lock();
        if direction.bytes.is_empty() && !direction.no_more_written && !buf.is_empty() {
            direction.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let n = io::Read::read(&mut direction.bytes, buf)?;
        if direction.bytes.is_empty() {
            direction.bytes.shrink_to(1024);
        }
        direction.writer.take().into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(n))
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let mut direction = self.write.lock();
        if direction.no_more_read || direction.no_more_written {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let n = buf.len().min(direction.capacity - direction.bytes.len());
        if n == 0 && !buf.is_empty() {
            direction.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        direction.bytes.extend(&buf[..n]);
        direction.reader.take().into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(n))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut direction = self.write.lock();
        direction.no_more_written = true;
        direction.reader.take().into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(()))
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        for (direction, reading) in [(&self.read, true), (&self.write, false)] {
            let mut direction = direction.lock();
            direction.no_more_read |= reading;
            direction.no_more_written |= !reading;
            direction.reader.take().into_iter().chain(direction.writer.take()).for_each(Waker::wake);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::executor::block_on;
    use futures::io::{AsyncReadExt, AsyncWriteExt};

    #[test]
    fn a_full_pipe_makes_its_writer_wait_and_loses_nothing() {
        let (mut a, mut b) = pair(7);
        let sent: Vec<u8> = (0..1000u32).map(|i| i as u8).collect();
        let mut got = Vec::new();
        let write = async {
            a.write_all(&sent).await.unwrap();
            a.close().await.unwrap();
        };
        block_on(async { futures::join!(write, b.read_to_end(&mut got)).1.unwrap() });
        assert_eq!(got, sent);
    }

    #[test]
    fn a_dropped_end_is_the_end_for_the_reader_and_a_broken_pipe_for_the_writer() {
        let (mut a, b) = pair(8);
        drop(b);
        assert_eq!(block_on(a.write(b"x")).unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        assert_eq!(block_on(a.read(&mut [0; 4])).unwrap(), 0);
    }
}
