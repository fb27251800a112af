//! The driver of a client's connection: it moves bytes and decides nothing. It never waits for the application.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use futures::{SinkExt, StreamExt};
use futures_codec::{FramedRead, FramedWrite};

use super::dispatch;
use super::event::CloseReason;
use super::link::Link;
use super::state::MAX_BODY;
use crate::protocol::codec::{CodecError, FrameCodec};
use crate::rt;

/// How long the last frames, the goodbye among them, may take to be written.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Drive a connection until it ends.
pub(super) async fn run(link: &Link, stream: impl AsyncRead + AsyncWrite + Unpin) {
    let (read, write) = stream.split();
    let mut write = FramedWrite::new(write, FrameCodec::new(MAX_BODY));
    let mut frames = FramedRead::new(Heard { inner: read, link }, FrameCodec::new(MAX_BODY));
    {
        let reading = read_frames(link, &mut frames, false);
        let writing = write_frames(link, &mut write);
        let ticking = tick(link);
        rt::race(reading, rt::race(writing, ticking)).await;
    }
    let last = {
        let mut state = link.lock();
        match state.conn.ended {
            // Whoever left, or was silent, hears nothing more; and the next connection may be wanted soon.
            Some(CloseReason::Requested | CloseReason::Protocol(_) | CloseReason::Bye { .. }) => {
                state.take_output(Instant::now())
            }
            _ => return,
        }
    };
    let farewell = async {
        if !last.is_empty() {
            write.send(Bytes::from(last)).await?;
        }
        write.close().await?;
        // Closing a socket while something unread lies in it would reset the connection, and with it what the server
        // hasn't read yet. It closes when it has read the goodbye; acks that come until then count.
        read_frames(link, &mut frames, true).await;
        Ok::<(), CodecError>(())
    };
    let _ = rt::timeout(LAST_WORDS, farewell).await;
}

type Frames<'a, R> = FramedRead<Heard<'a, R>, FrameCodec>;

/// Take frames until the connection is to end; `on` until it has ended.
async fn read_frames(link: &Link, frames: &mut Frames<'_, impl AsyncRead + Unpin>, on: bool) {
    loop {
        let reason = match frames.next().await {
            Some(Ok(frame)) => {
                let mut state = link.lock();
                dispatch::frame(&mut state, &frame.as_frame(), Instant::now());
                let ended = state.conn.ended.is_some() && !on;
                drop(state);
                link.changed();
                if ended {
                    return;
                }
                continue;
            }
            None => CloseReason::Cut,
            Some(Err(CodecError::Io(e))) if e.kind() == io::ErrorKind::UnexpectedEof => CloseReason::Cut,
            Some(Err(CodecError::Io(e))) => CloseReason::Io(Arc::new(e)),
            Some(Err(CodecError::TooLong(e))) => CloseReason::Protocol(e.to_string()),
        };
        link.lock().conn.end(reason);
        return;
    }
}

async fn write_frames(link: &Link, write: &mut FramedWrite<impl AsyncWrite + Unpin, FrameCodec>) {
    loop {
        let (bytes, ended) = {
            let mut state = link.lock();
            (state.take_output(Instant::now()), state.conn.ended.is_some())
        };
        if !bytes.is_empty()
            && let Err(e) = write.send(Bytes::from(bytes)).await
        {
            let reason = match e {
                CodecError::Io(e) if e.kind() == io::ErrorKind::BrokenPipe => CloseReason::Cut,
                CodecError::Io(e) => CloseReason::Io(Arc::new(e)),
                CodecError::TooLong(e) => CloseReason::Protocol(e.to_string()),
            };
            // What the server said before it closed is still to be read: the reader finds the end.
            if rt::timeout(Duration::from_secs(1), std::future::pending::<()>()).await.is_none() {
                link.lock().conn.end(reason);
            }
            return;
        }
        if ended {
            return;
        }
        link.output.wait().await;
    }
}

async fn tick(link: &Link) {
    loop {
        let next = {
            let mut state = link.lock();
            let next = state.tick(Instant::now());
            if state.conn.ended.is_some() {
                return;
            }
            next
        };
        link.output.notify();
        rt::sleep_until(next).await;
    }
}

/// Notes every byte that comes as a sign of life.
struct Heard<'a, R> {
    inner: R,
    link: &'a Link,
}

impl<R: AsyncRead + Unpin> AsyncRead for Heard<'_, R> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.inner).poll_read(cx, buf);
        if let Poll::Ready(Ok(1..)) = poll {
            self.link.lock().heard(Instant::now());
        }
        poll
    }
}
