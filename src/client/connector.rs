//! How a connection is opened, each time anew.

use std::future::Future;
use std::io;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use futures::io::{AsyncRead, AsyncWrite};
use parking_lot::Mutex;

use super::error::ConnectError;
use super::reach::{Security, reach};
use crate::rt;
use crate::transport::ClientStream;

/// Opens a client's connections: over a transport of the application's own, as often as it takes.
///
/// A closure that returns a future of a stream is one:
///
/// ```
/// use chatnet::{Client, Server, transport::memory};
///
/// # async_std::task::block_on(async {
/// let server = Server::builder().build().await?;
/// let handle = server.handle();
/// let connect = move || {
///     let (handle, (near, far)) = (handle.clone(), memory::pair(4096));
///     async_std::task::spawn(async move { handle.serve_connection(far).await });
///     async move { Ok(near) }
/// };
/// let (ada, _events) = Client::builder().alias("ada").connect_by(connect).await?;
/// # ada.close().await;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
pub trait Connector: Send + Sync + 'static {
    /// What it opens.
    type Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static;

    /// Open a connection. Dropped if it takes longer than [`connect_timeout`](crate::ClientBuilder::connect_timeout),
    /// or is no longer wanted.
    fn connect(&self) -> impl Future<Output = io::Result<Self::Stream>> + Send;
}

impl<F, Opening, S> Connector for F
where
    F: Fn() -> Opening + Send + Sync + 'static,
    Opening: Future<Output = io::Result<S>> + Send,
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    type Stream = S;

    fn connect(&self) -> impl Future<Output = io::Result<S>> + Send {
        self()
    }
}

/// Any stream.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// A stream, and whether nobody on the way can read what goes over it.
pub(super) type Opened = Result<(Box<dyn Stream>, bool), ConnectError>;

/// Opens connections, whatever they go over.
pub(super) trait Open: Send + Sync {
    fn open(&self) -> BoxFuture<'_, Opened>;
}

/// A transport of the application's.
pub(super) struct Own<C>(pub(super) C);

impl<C: Connector> Open for Own<C> {
    fn open(&self) -> BoxFuture<'_, Opened> {
        let opened = self.0.connect();
        async move { opened.await.map(|s| (Box::new(s) as _, false)).map_err(ConnectError::Transport) }.boxed()
    }
}

/// `HOST:PORT`, looked up each time.
pub(super) struct Tcp {
    pub(super) addr: String,
    pub(super) security: Security,
}

impl Open for Tcp {
    fn open(&self) -> BoxFuture<'_, Opened> {
        let opened = |stream: ClientStream| {
            let private = stream.is_private();
            (Box::new(stream) as _, private)
        };
        reach(&self.addr, &self.security).map(move |reached| reached.map(opened)).boxed()
    }
}

/// One stream, once.
pub(super) struct Once<S>(Mutex<Option<S>>);

impl<S> Once<S> {
    pub(super) fn new(stream: S) -> Self {
        Self(Mutex::new(Some(stream)))
    }
}

impl<S: Stream + 'static> Open for Once<S> {
    fn open(&self) -> BoxFuture<'_, Opened> {
        let stream = self.0.lock().take();
        let stream = stream.ok_or_else(|| ConnectError::Transport(io::ErrorKind::NotConnected.into()));
        std::future::ready(stream.map(|stream| (Box::new(stream) as _, false))).boxed()
    }
}

/// Open a connection within a time limit.
pub(super) async fn open(by: &dyn Open, limit: Duration) -> Opened {
    rt::timeout(limit, by.open()).await.unwrap_or(Err(ConnectError::Timeout { after: limit }))
}
