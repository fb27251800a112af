//! The writer of a connection that isn't caught up: it goes on from the cursors, over all rooms, until it is.
//!
//! A socket has one only while it needs one. A stream of the application's has one all its life.

use std::io;
use std::sync::Arc;

use futures::io::{AsyncWrite, AsyncWriteExt};

use super::conn::{Conn, Link};
use super::output::Pumped;
use super::rooms::Member;
use super::shared::Shared;
use crate::id::Seq;
use crate::protocol::message::{SkipReason, Skipped, Source};
use crate::protocol::{self, Code};
use crate::rt;

/// What is read from the store at once, in bytes: about one write.
const REFILL_BYTES: usize = 64 * 1024;

/// Write to a socket until its connection is caught up.
pub(super) async fn run(shared: Arc<Shared>, conn: Arc<Conn>) {
    let Link::Socket(socket) = &conn.link else { return };
    loop {
        let pumped = conn.with_output(|output| conn.round(&shared, output, None, &mut |bufs| socket.try_write(bufs)));
        match pumped {
            Pumped::Idle => {
                if conn.stop_writer() {
                    return;
                }
            }
            // Others want to run too, and this connection is behind anyway.
            Pumped::More => rt::yield_now().await,
            Pumped::Blocked => {
                if let Err(e) = socket.writable().await {
                    conn.broken(&e);
                }
                conn.with_output(|output| output.unblock());
            }
            Pumped::Starved(member) => refill(&shared, &conn, &member).await,
            Pumped::Failed(e) => conn.broken(&e),
        }
    }
}

/// Write to an application's stream, until it fails.
pub(super) async fn run_stream(shared: &Arc<Shared>, conn: &Arc<Conn>, stream: &mut (impl AsyncWrite + Unpin)) {
    let Link::Stream(signal) = &conn.link else { return };
    let mut staged = Vec::new();
    loop {
        let pumped = conn.with_output(|output| {
            output.unblock();
            conn.round(shared, output, None, &mut |bufs| stage(&mut staged, bufs))
        });
        if !staged.is_empty() {
            conn.pulse.wrote(0, true, shared.clock.now());
            if let Err(e) = write(shared, conn, stream, &staged).await {
                conn.with_output(|output| output.fail());
                conn.broken(&e);
                return;
            }
            conn.pulse.wrote(1, false, shared.clock.now());
            staged.clear();
        }
        match pumped {
            Pumped::Idle => {
                if conn.is_finished() {
                    return;
                }
                staged = Vec::new();
                signal.wait().await;
            }
            Pumped::Starved(member) => refill(shared, conn, &member).await,
            Pumped::More | Pumped::Blocked => {}
            Pumped::Failed(_) => return,
        }
    }
}

/// Take at most 64 KiB of what is to be written.
fn stage(staged: &mut Vec<u8>, bufs: &[io::IoSlice<'_>]) -> io::Result<usize> {
    let before = staged.len();
    for buf in bufs {
        let room = REFILL_BYTES - (staged.len() - before);
        staged.extend_from_slice(&buf[..buf.len().min(room)]);
    }
    Ok(staged.len() - before)
}

async fn write(
    shared: &Shared,
    conn: &Conn,
    stream: &mut (impl AsyncWrite + Unpin),
    mut bytes: &[u8],
) -> io::Result<()> {
    while !bytes.is_empty() {
        let n = stream.write(bytes).await?;
        if n == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        conn.pulse.wrote(n, n < bytes.len(), shared.clock.now());
        bytes = &bytes[n..];
    }
    stream.flush().await
}

/// Read on from the store for a member whose cursor fell off the tail.
async fn refill(shared: &Shared, conn: &Conn, member: &Arc<Member>) {
    let cursor = member.cursor();
    let page = match shared.store.read(member.room.id, cursor, REFILL_BYTES).await {
        Ok(page) => page,
        Err(e) => {
            tracing::error!(session = %conn.id, room = %member.room.name, "reading events for a slow reader failed: {e}");
            conn.request_close(super::conn::Close {
                retry_after_ms: Some(1000),
                ..super::conn::Close::bye(Code::STORE_FAILED, "the events you missed can't be read; come back later")
            });
            return;
        }
    };
    let (mut frames, mut reached) = (Vec::new(), cursor);
    if let Some(trimmed) = page.trimmed {
        let room = member.room.id;
        let reason = SkipReason::Trimmed.to_u8();
        protocol::encode(&Skipped { room, from: cursor.next(), to: trimmed, reason }, &mut frames);
        shared.counters.skipped.fetch_add(trimmed.get() - cursor.get(), std::sync::atomic::Ordering::Relaxed);
        reached = trimmed;
    }
    for batch in &page.batches {
        if batch.new.origin != Some(conn.id) {
            batch.encode(Source::Live, None, &mut frames);
        }
        reached = batch.last();
    }
    if reached == cursor {
        // Nothing is kept there, nor behind it: what the tail has dropped and the store doesn't know is gone.
        let oldest = member.room.lock().tail.oldest();
        if oldest > cursor.next() {
            let to = Seq::new(oldest.get() - 1);
            let reason = SkipReason::Trimmed.to_u8();
            protocol::encode(&Skipped { room: member.room.id, from: cursor.next(), to, reason }, &mut frames);
            reached = to;
        }
    }
    conn.with_output(|output| output.refilled(member, &frames, reached));
}
