//! TLS over any stream: a client's side.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use rustls::pki_types::CertificateDer;

use super::client::ClientTls;
use super::engine::{Engine, Sealed};
use super::failure::{Failure, failure};
use crate::transport::Certificate;

/// Ciphertext that one read takes, in bytes: one full-size record.
const READ_BYTES: usize = 16 * 1024 + 512;

/// A stream inside TLS.
#[derive(Debug)]
pub(crate) struct TlsStream<S> {
    stream: S,
    engine: Engine,
    plain: Vec<u8>,
    taken: usize,
    cipher: Vec<u8>,
    written: usize,
    closing: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream<S> {
    /// Shake hands. Cancel safe: dropping it closes the stream.
    pub(crate) async fn connect(stream: S, tls: &ClientTls, host: &str) -> Result<Self, Failure> {
        let engine = tls.engine(host)?;
        let (plain, cipher) = (Vec::new(), Vec::new());
        let mut this = Self { stream, engine, plain, taken: 0, cipher, written: 0, closing: false };
        let mut read = vec![0; READ_BYTES];
        let mut first = Vec::new();
        let mut n = 0;
        loop {
            if first.len() < 1024 {
                first.extend_from_slice(&read[..n.min(1024)]);
            }
            let received = this.engine.receive(&mut read[..n], &mut this.plain, &mut this.cipher);
            let flushed = this.flush().await;
            if let Err(e) = received {
                // A plain server's reason may follow its alert by another packet.
                if let Ok(more) = this.stream.read(&mut read).await {
                    first.extend_from_slice(&read[..more]);
                }
                return Err(failure(e, &first));
            }
            flushed.map_err(Failure::Io)?;
            if !this.engine.is_handshaking() {
                return Ok(this);
            }
            n = this.stream.read(&mut read).await.map_err(Failure::Io)?;
            if n == 0 {
                return Err(Failure::Cut);
            }
        }
    }

    /// The certificates that the server has shown.
    pub(crate) fn peer_chain(&self) -> Vec<CertificateDer<'static>> {
        self.engine.peer_chain().unwrap_or_default().to_vec()
    }

    /// What the server has proved to be.
    pub(crate) fn certificate(&self) -> Option<Certificate> {
        self.engine.certificate()
    }

    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.cipher.len() {
            match ready!(Pin::new(&mut self.stream).poll_write(cx, &self.cipher[self.written..]))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                n => self.written += n,
            }
        }
        self.cipher = Vec::new();
        self.written = 0;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for TlsStream<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        loop {
            if this.taken < this.plain.len() {
                let n = buf.len().min(this.plain.len() - this.taken);
                buf[..n].copy_from_slice(&this.plain[this.taken..this.taken + n]);
                this.taken += n;
                return Poll::Ready(Ok(n));
            }
            this.plain = Vec::new();
            this.taken = 0;
            if this.engine.is_peer_closed() {
                return Poll::Ready(Ok(0));
            }
            let mut read = [0; READ_BYTES];
            let n = ready!(Pin::new(&mut this.stream).poll_read(cx, &mut read))?;
            if n == 0 {
                // An end without TLS's goodbye: chatnet has its own, and a session that ends without is cut.
                return Poll::Ready(Ok(0));
            }
            let received = this.engine.receive(&mut read[..n], &mut this.plain, &mut this.cipher);
            // An answer of TLS's own: what isn't taken now goes before the next write.
            let _ = this.poll_drain(cx);
            received.map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?;
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for TlsStream<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_drain(cx))?;
        let sealed = this.engine.seal(&[IoSlice::new(buf)], &mut Vec::new(), &mut this.cipher);
        let Sealed { taken, bytes } = sealed.map_err(io::Error::other)?;
        this.cipher.truncate(bytes);
        // What it doesn't take now is flushed later.
        if let Poll::Ready(Err(e)) = this.poll_drain(cx) {
            return Poll::Ready(Err(e));
        }
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_drain(cx))?;
        Pin::new(&mut this.stream).poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.closing {
            this.closing = true;
            // A broken session has nothing to say goodbye with.
            this.cipher.extend(this.engine.close().unwrap_or_default());
        }
        ready!(this.poll_drain(cx))?;
        Pin::new(&mut this.stream).poll_close(cx)
    }
}
