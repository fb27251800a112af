//! Connected sockets, whatever is spoken on them.

use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::io::{AsyncRead, AsyncWrite};

use super::Certificate;
#[cfg(feature = "tls")]
use super::tls::{TlsSocket, TlsStream};
use crate::rt;

/// A server's connection, that can be read once it is readable, and tried to be written without waiting.
#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(rt::Socket),
    #[cfg(feature = "tls")]
    Tls(Box<TlsSocket>),
}

impl Socket {
    /// Whether nobody on the way can read along.
    pub(crate) fn is_encrypted(&self) -> bool {
        match self {
            Self::Tcp(_) => false,
            #[cfg(feature = "tls")]
            Self::Tls(_) => true,
        }
    }

    /// Wait until there is something to read (or an end, or an error).
    pub(crate) async fn readable(&self) -> io::Result<()> {
        match self {
            Self::Tcp(socket) => socket.readable().await,
            #[cfg(feature = "tls")]
            Self::Tls(socket) => socket.readable().await,
        }
    }

    /// Wait until more of what was taken, or something new, can be written.
    pub(crate) async fn writable(&self) -> io::Result<()> {
        match self {
            Self::Tcp(socket) => socket.writable().await,
            #[cfg(feature = "tls")]
            Self::Tls(socket) => socket.writable().await,
        }
    }

    /// Read what is there; `WouldBlock` if there is nothing.
    pub(crate) fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => socket.try_read(buf),
            #[cfg(feature = "tls")]
            Self::Tls(socket) => socket.try_read(buf),
        }
    }

    /// Write what fits; `WouldBlock` if nothing does. What is taken may still be [behind](Self::is_behind).
    pub(crate) fn try_write(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => socket.try_write(bufs),
            #[cfg(feature = "tls")]
            Self::Tls(socket) => socket.try_write(bufs),
        }
    }

    /// Whether something that was taken is not with the kernel yet: it takes nothing more until it is, and
    /// [`writable`](Self::writable) moves it on.
    pub(crate) fn is_behind(&self) -> bool {
        match self {
            Self::Tcp(_) => false,
            #[cfg(feature = "tls")]
            Self::Tls(socket) => socket.is_behind(),
        }
    }

    /// Whether the kernel took something of what is behind since this was asked last: a slow peer isn't a dead one.
    pub(crate) fn has_moved(&self) -> bool {
        match self {
            Self::Tcp(_) => false,
            #[cfg(feature = "tls")]
            Self::Tls(socket) => socket.has_moved(),
        }
    }

    pub(crate) fn shutdown(&self, how: Shutdown) {
        match self {
            Self::Tcp(socket) => socket.shutdown(how),
            #[cfg(feature = "tls")]
            Self::Tls(socket) => socket.shutdown(how),
        }
    }

    /// What the peer has proved to be.
    pub(crate) fn certificate(&self) -> Option<&Certificate> {
        match self {
            Self::Tcp(_) => None,
            #[cfg(feature = "tls")]
            Self::Tls(socket) => socket.certificate(),
        }
    }
}

/// A client's connection.
#[derive(Debug)]
pub(crate) enum ClientStream {
    Tcp(rt::ClientSocket),
    #[cfg(feature = "tls")]
    Tls(Box<TlsStream<rt::ClientSocket>>),
}

macro_rules! either {
    ($self:ident, $stream:ident => $call:expr) => {
        match $self.get_mut() {
            ClientStream::Tcp($stream) => {
                let $stream = Pin::new($stream);
                $call
            }
            #[cfg(feature = "tls")]
            ClientStream::Tls($stream) => {
                let $stream = Pin::new($stream.as_mut());
                $call
            }
        }
    };
}

impl ClientStream {
    /// Whether nobody on the way can read along: it is encrypted, or doesn't leave this machine.
    pub(crate) fn is_private(&self) -> bool {
        match self {
            Self::Tcp(socket) => socket.peer().is_some_and(|peer| peer.ip().to_canonical().is_loopback()),
            #[cfg(feature = "tls")]
            Self::Tls(_) => true,
        }
    }
}

impl AsyncRead for ClientStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        either!(self, stream => stream.poll_read(cx, buf))
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        either!(self, stream => stream.poll_write(cx, buf))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => stream.poll_flush(cx))
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => stream.poll_close(cx))
    }
}
