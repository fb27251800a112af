//! The runtime: the only file that names async-std and its reactor, async-io.
//!
//! Nothing of theirs shows in a public signature, so that another runtime can take their place in this file alone.

use std::future::Future;
use std::io::{self, IoSlice};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use async_io::Async;
use event_listener::Event;
use futures::future::{AbortHandle, Abortable, Either, FutureExt, select};
use futures::io::{AsyncRead, AsyncWrite};
use futures::task::AtomicWaker;
use parking_lot::Mutex;

mod background;
mod turns;

pub(crate) use async_std::task::{sleep, spawn_blocking, yield_now};
pub(crate) use background::spawn_background;
#[cfg(feature = "sqlite")]
pub(crate) use background::stand_back;
pub(crate) use turns::{Turn, Turns};

/// Connections that may wait to be accepted. A storm of thousands must not meet SYN drops, each of which costs its
/// client a second; the kernel caps it at `net.core.somaxconn`.
const LISTEN_BACKLOG: i32 = 4096;

/// Kernel send buffer asked for on a server's connections, in bytes: little unsent data in the kernel keeps control
/// frames from queueing behind events, and bounds what a stalled reader costs.
const SEND_BUFFER: usize = 128 * 1024;

/// How many threads poll tasks.
pub(crate) fn parallelism() -> usize {
    std::thread::available_parallelism().map_or(1, |n| n.get())
}

/// Wait until a point in time.
pub(crate) async fn sleep_until(at: Instant) {
    sleep(at.saturating_duration_since(Instant::now())).await;
}

/// Run `future` for at most `limit`; `None` if that was not enough.
pub(crate) async fn timeout<T>(limit: Duration, future: impl Future<Output = T>) -> Option<T> {
    async_std::future::timeout(limit, future).await.ok()
}

/// Tasks with one owner, who waits for them or cuts them.
#[derive(Debug, Clone, Default)]
pub(crate) struct TaskGroup {
    inner: Arc<GroupInner>,
}

#[derive(Debug, Default)]
struct GroupInner {
    live: AtomicUsize,
    cut: Mutex<Cut>,
    idle: Event,
}

#[derive(Debug, Default)]
struct Cut {
    handles: Vec<AbortHandle>,
    // Handles of finished tasks are swept out when the list has doubled since the last time.
    sweep_at: usize,
    done: bool,
}

impl TaskGroup {
    /// Run `future` on the runtime's threads. Once the group is cut, it is dropped instead.
    pub(crate) fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        let (handle, registration) = AbortHandle::new_pair();
        {
            let mut cut = self.inner.cut.lock();
            if cut.done {
                return;
            }
            if cut.handles.len() >= cut.sweep_at.max(64) {
                let live = self.inner.live.load(Ordering::Relaxed);
                cut.handles.retain(|h| !h.is_aborted());
                cut.sweep_at = 2 * live.max(64);
            }
            cut.handles.push(handle.clone());
        }
        self.inner.live.fetch_add(1, Ordering::Relaxed);
        let leave = Leave { group: Arc::clone(&self.inner), handle };
        // Not an async block: that would keep room for the future twice, as captured and as awaited, and a server
        // has one of these a connection.
        async_std::task::spawn(Abortable::new(future, registration).map(move |_| drop(leave)));
    }

    /// How many tasks are there.
    pub(crate) fn len(&self) -> usize {
        self.inner.live.load(Ordering::Acquire)
    }

    /// Wait until no task is left.
    pub(crate) async fn wait(&self) {
        while self.len() > 0 {
            let idle = self.inner.idle.listen();
            if self.len() == 0 {
                return;
            }
            idle.await;
        }
    }

    /// Drop every task at its next await, and those that come later at once.
    pub(crate) fn cut(&self) {
        let handles = {
            let mut cut = self.inner.cut.lock();
            cut.done = true;
            std::mem::take(&mut cut.handles)
        };
        handles.iter().for_each(AbortHandle::abort);
    }
}

#[derive(Debug)]
struct Leave {
    group: Arc<GroupInner>,
    handle: AbortHandle,
}

impl Drop for Leave {
    fn drop(&mut self) {
        // Marks the handle as one to sweep.
        self.handle.abort();
        if self.group.live.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.group.idle.notify(usize::MAX);
        }
    }
}

/// Wakes the one task that waits; a notification that comes before the wait is kept.
#[derive(Debug, Default)]
pub(crate) struct Signal {
    set: AtomicBool,
    waker: AtomicWaker,
}

impl Signal {
    pub(crate) fn notify(&self) {
        if !self.set.swap(true, Ordering::AcqRel) {
            self.waker.wake();
        }
    }

    /// Wait for the next notification. Cancel safe; one task at a time.
    pub(crate) async fn wait(&self) {
        std::future::poll_fn(|cx| self.poll_wait(cx)).await;
    }

    pub(crate) fn poll_wait(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.waker.register(cx.waker());
        if self.set.swap(false, Ordering::AcqRel) { Poll::Ready(()) } else { Poll::Pending }
    }
}

/// Wakes all tasks that wait when something changed; a waiter looks again at what it waits for.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    event: Event,
}

impl Gate {
    pub(crate) fn open(&self) {
        self.event.notify(usize::MAX);
    }

    /// Wait until `ready` says so; it is asked at first and after every [`open`](Self::open). Cancel safe.
    pub(crate) async fn until(&self, ready: impl Fn() -> bool) {
        loop {
            if ready() {
                return;
            }
            let listener = self.event.listen();
            if ready() {
                return;
            }
            listener.await;
        }
    }
}

/// The first of two futures to finish; the other is dropped.
pub(crate) async fn race<T>(a: impl Future<Output = T>, b: impl Future<Output = T>) -> T {
    match select(pin!(a), pin!(b)).await {
        Either::Left((t, _)) | Either::Right((t, _)) => t,
    }
}

/// Look up a `HOST:PORT`.
///
/// # Errors
///
/// The name can't be resolved, or has no address.
pub(crate) async fn resolve(addr: String) -> io::Result<Vec<SocketAddr>> {
    let found: Vec<SocketAddr> =
        spawn_blocking(move || std::net::ToSocketAddrs::to_socket_addrs(addr.as_str()).map(Iterator::collect)).await?;
    if found.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
    }
    Ok(found)
}

/// A socket that listens.
#[derive(Debug)]
pub(crate) struct Listener(Async<TcpListener>);

impl Listener {
    /// Listen at `addr`, with a backlog deep enough for a storm of connections.
    pub(crate) fn bind(addr: SocketAddr) -> io::Result<Self> {
        let socket = socket2::Socket::new(socket2::Domain::for_address(addr), socket2::Type::STREAM, None)?;
        // On Windows the option means something else: another process could take the port over.
        #[cfg(unix)]
        socket.set_reuse_address(true)?;
        socket.bind(&addr.into())?;
        socket.listen(LISTEN_BACKLOG)?;
        Self::adopt(socket.into())
    }

    /// Take a socket that listens already.
    pub(crate) fn adopt(listener: TcpListener) -> io::Result<Self> {
        Async::new(listener).map(Self)
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.get_ref().local_addr()
    }

    pub(crate) async fn accept(&self) -> io::Result<(Socket, SocketAddr)> {
        let (stream, addr) = self.0.accept().await?;
        // Coalescing is done in user space; Nagle's algorithm would only add 40 ms.
        stream.get_ref().set_nodelay(true)?;
        let _ = socket2::SockRef::from(stream.get_ref()).set_send_buffer_size(SEND_BUFFER);
        Ok((Socket(stream), addr))
    }
}

/// A connected socket that can be read once it is readable, and tried to be written without waiting.
#[derive(Debug)]
pub(crate) struct Socket(Async<TcpStream>);

impl Socket {
    /// Wait until there is something to read (or an end, or an error).
    pub(crate) async fn readable(&self) -> io::Result<()> {
        self.0.readable().await
    }

    pub(crate) async fn writable(&self) -> io::Result<()> {
        self.0.writable().await
    }

    /// Read what is there; `WouldBlock` if there is nothing.
    pub(crate) fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        io::Read::read(&mut self.0.get_ref(), buf)
    }

    /// Write what fits; `WouldBlock` if nothing does.
    pub(crate) fn try_write(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        io::Write::write_vectored(&mut self.0.get_ref(), bufs)
    }

    pub(crate) fn shutdown(&self, how: std::net::Shutdown) {
        // It fails only if the connection is gone, which is what is wanted.
        let _ = self.0.get_ref().shutdown(how);
    }
}

/// A client's connection.
#[derive(Debug)]
pub(crate) struct ClientSocket(Async<TcpStream>);

impl ClientSocket {
    /// Connect to `addr`. Cancel safe: dropping it closes the attempt.
    pub(crate) async fn connect(addr: SocketAddr) -> io::Result<Self> {
        let stream = Async::<TcpStream>::connect(addr).await?;
        stream.get_ref().set_nodelay(true)?;
        Ok(Self(stream))
    }

    /// Who is at the other end.
    pub(crate) fn peer(&self) -> Option<SocketAddr> {
        self.0.get_ref().peer_addr().ok()
    }
}

impl AsyncRead for ClientSocket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for ClientSocket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, bufs)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_close(cx)
    }
}
