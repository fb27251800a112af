//! The writer of a connection that isn't caught up: it goes on from the cursors, over all rooms, until it is.
//!
//! A socket has one only while it needs one. A stream of the application's has one all its life.

use std::io;
use std::sync::Arc;

use futures::io::{AsyncWrite, AsyncWriteExt};

use super::conn::{Conn, Link};
use super::output::Pumped;
use super::reading;
use super::shared::Shared;
use crate::rt;

/// What is written to a stream at once, in bytes.
const STAGE_BYTES: usize = 64 * 1024;

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
            Pumped::Reading => reading::step(&shared, &conn).await,
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
            Pumped::Reading => reading::step(shared, conn).await,
            Pumped::More | Pumped::Blocked => {}
            Pumped::Failed(_) => return,
        }
    }
}

/// Take at most 64 KiB of what is to be written.
fn stage(staged: &mut Vec<u8>, bufs: &[io::IoSlice<'_>]) -> io::Result<usize> {
    let before = staged.len();
    for buf in bufs {
        let room = STAGE_BYTES - (staged.len() - before);
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
