//! Taking connections, whatever happens: one that can't be taken never ends the server.

use std::io;
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::io::{AsyncRead, AsyncReadExt, AsyncWrite};

use super::conn::{Close, Conn, Link};
use super::reader::Reader;
use super::shared::Shared;
use super::toll;
use super::writer;
use crate::limit::Full;
use crate::protocol::message::ErrorReply;
use crate::protocol::{self, Code};
use crate::rt::{self, Listener, Signal};
use crate::transport::Socket;

/// After an accept that failed for want of something (file descriptors, memory) the next try waits: at first so
/// long, then twice as long each time …
const BACKOFF: Duration = Duration::from_millis(10);

/// … up to this.
const MAX_BACKOFF: Duration = Duration::from_secs(1);

/// How long an application's stream may take to read the goodbye.
const STREAM_LINGER: Duration = Duration::from_secs(5);

/// Accept until the server stops.
pub(super) async fn run(shared: &Arc<Shared>, listener: &Listener) {
    let mut backoff = BACKOFF;
    loop {
        let accepted = rt::race(async { Some(listener.accept().await) }, async {
            shared.stop.stopping().await;
            None
        })
        .await;
        match accepted {
            None => return,
            Some(Ok((socket, address))) => {
                backoff = BACKOFF;
                // In turn with those who were taken and aren't in yet: a storm waits in the kernel.
                let turn = shared.entering.wait().await;
                take(shared, socket, address);
                drop(turn);
                // Thousands may wait to be taken: those who are here already have their turns in between.
                rt::yield_now().await;
            }
            // The peer gave up while it waited, or was reset before its options could be set: the next one, please.
            Some(Err(e)) if is_the_peers(&e) => {}
            Some(Err(e)) => {
                tracing::error!("a connection could not be accepted, trying again in {backoff:?}: {e}");
                rt::race(rt::sleep(backoff), shared.stop.stopping()).await;
                backoff = (backoff * 2).min(MAX_BACKOFF);
            }
        }
    }
}

fn is_the_peers(e: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, InvalidInput, NotConnected};
    matches!(e.kind(), ConnectionAborted | ConnectionReset | NotConnected | InvalidInput)
}

fn take(shared: &Arc<Shared>, socket: rt::Socket, address: SocketAddr) {
    let arrived = toll::arrive(shared, address.ip());
    let counted = Some(address.ip()).filter(|address| !toll::is_exempt(shared, *address));
    if let Err(full) = arrived.and_then(|()| shared.sessions.enter(counted)) {
        shared.counters.rejected.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(%address, "connection refused: {}", full_text(full));
        let (code, text) = (full_code(full), full_text(full).to_owned());
        let (request, retry_after_ms, suggestion) = (None, Some(5000), None);
        let error = protocol::to_frame(&ErrorReply { code, text, request, fatal: true, retry_after_ms, suggestion });
        // As a courtesy, without waiting: it fits into an empty send buffer.
        let _ = socket.try_write(&[io::IoSlice::new(&error)]);
        socket.shutdown(Shutdown::Write);
        return;
    }
    shared.counters.accepted.fetch_add(1, Ordering::Relaxed);
    let accepted = shared.clock.now();
    let place = Place { shared: Arc::clone(shared), address: counted };
    #[cfg(feature = "tls")]
    if shared.tls.is_some() {
        let secured = Arc::clone(shared);
        shared.tasks.spawn(async move {
            let Some(tls) = &secured.tls else { return };
            if let Some(socket) = super::tls::shake_hands(&secured, tls, socket, address).await {
                // On a task of its own: this one's memory is the handshake's.
                begin(&secured, socket, address, accepted, place);
            }
        });
        return;
    }
    begin(shared, Socket::Tcp(socket), address, accepted, place);
}

fn begin(shared: &Arc<Shared>, socket: Socket, address: SocketAddr, accepted: u64, place: Place) {
    let conn = Arc::new(Conn::new(Some(address), Link::Socket(socket), accepted));
    tracing::info!(connection = conn.id, %address, "connected");
    let mut reader = Reader::new(Arc::clone(shared), conn);
    shared.tasks.spawn(async move {
        // By reference: a future keeps what it is given by value twice.
        reader.run_socket().await;
        // It is given back however the task ends.
        drop(place);
    });
}

fn full_code(full: Full) -> Code {
    match full {
        Full::Server => Code::SERVER_FULL,
        Full::Address | Full::Fast => Code::TOO_MANY_CONNECTIONS,
    }
}

fn full_text(full: Full) -> &'static str {
    match full {
        Full::Server => "the server has as many connections as it takes; come back later",
        Full::Address => "your address has as many connections as it may have; close one first",
        Full::Fast => "too many connections came from your address in a short time; wait, and connect again",
    }
}

/// A place among the connections; given back when dropped.
#[derive(Debug)]
struct Place {
    shared: Arc<Shared>,
    address: Option<IpAddr>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.shared.sessions.leave(self.address);
    }
}

/// Why the application's stream was not served.
pub(super) fn enter_stream(shared: &Arc<Shared>) -> Result<(), Full> {
    shared.sessions.enter(None)
}

/// Serve a stream of the application's, until it ends; its place was entered before.
pub(super) async fn serve_stream(shared: Arc<Shared>, stream: impl AsyncRead + AsyncWrite + Send + Unpin) -> Close {
    shared.counters.accepted.fetch_add(1, Ordering::Relaxed);
    let conn = Arc::new(Conn::new(None, Link::Stream(Signal::default()), shared.clock.now()));
    tracing::info!(connection = conn.id, "connected by a stream of the application's");
    let _place = Place { shared: Arc::clone(&shared), address: None };
    let (read, mut write) = stream.split();
    let reader = Reader::new(Arc::clone(&shared), Arc::clone(&conn));
    let close = {
        let writing = writer::run_stream(&shared, &conn, &mut write);
        let reading = reader.run_stream(read);
        futures::pin_mut!(writing, reading);
        match futures::future::select(reading, writing.as_mut()).await {
            futures::future::Either::Left((close, _)) => {
                // The goodbye is in the queue; the writer ends once it is out.
                conn.finish();
                let _ = rt::timeout(STREAM_LINGER, writing).await;
                close
            }
            futures::future::Either::Right(((), reading)) => reading.await,
        }
    };
    let _ = rt::timeout(STREAM_LINGER, futures::AsyncWriteExt::close(&mut write)).await;
    close
}
