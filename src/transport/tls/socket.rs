//! A server's TLS connection behind the same interface as a plain socket's.
//!
//! What is written is encrypted in full-size records and written in one go. What the kernel doesn't take of it waits
//! here, at most about 64 KiB: until it is gone the connection is *behind*, and takes nothing more. At rest it holds
//! keys and no buffer: reading and encrypting are done in buffers of the thread.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::engine::{Engine, Sealed};
use crate::rt;
use crate::transport::Certificate;

/// Ciphertext that one read takes, in bytes: four full-size records.
const READ_BYTES: usize = 64 * 1024;

/// A server's TLS connection, once its handshake is done.
#[derive(Debug)]
pub(crate) struct TlsSocket {
    tcp: rt::Socket,
    inner: Mutex<Inner>,
    behind: AtomicBool,
    moved: AtomicBool,
    unread: AtomicBool,
    certificate: Option<Certificate>,
    resumed: bool,
}

#[derive(Debug)]
struct Inner {
    engine: Engine,
    /// Ciphertext that the kernel hasn't taken.
    cipher: Vec<u8>,
    offset: usize,
    /// Plaintext that its reader hasn't taken.
    plain: Vec<u8>,
    /// It failed: nothing goes through it any more.
    failed: bool,
}

/// A thread's buffers.
#[derive(Default)]
struct Buffers {
    read: Vec<u8>,
    plain: Vec<u8>,
    cipher: Vec<u8>,
    staging: Vec<u8>,
    /// Always as long as it has ever been.
    sealed: Vec<u8>,
}

thread_local! {
    static BUFFERS: RefCell<Buffers> = RefCell::default();
}

impl TlsSocket {
    /// Take over a connection whose handshake is done; `plain` is what came right behind it.
    pub(super) fn new(tcp: rt::Socket, engine: Engine, plain: Vec<u8>) -> Self {
        let (certificate, resumed) = (engine.certificate(), engine.is_resumed());
        let unread = AtomicBool::new(!plain.is_empty());
        let inner = Inner { engine, cipher: Vec::new(), offset: 0, plain, failed: false };
        let (behind, moved) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { tcp, inner: Mutex::new(inner), behind, moved, unread, certificate, resumed }
    }

    pub(crate) async fn readable(&self) -> io::Result<()> {
        if self.unread.load(Ordering::Acquire) { Ok(()) } else { self.tcp.readable().await }
    }

    /// Wait until the kernel takes something, and give it what is behind.
    pub(crate) async fn writable(&self) -> io::Result<()> {
        self.tcp.writable().await?;
        self.flush(&mut self.inner.lock())
    }

    pub(crate) fn is_behind(&self) -> bool {
        self.behind.load(Ordering::Acquire)
    }

    pub(crate) fn has_moved(&self) -> bool {
        self.moved.swap(false, Ordering::Relaxed)
    }

    /// Whether it went on from an earlier session's ticket.
    pub(crate) fn is_resumed(&self) -> bool {
        self.resumed
    }

    pub(crate) fn certificate(&self) -> Option<&Certificate> {
        self.certificate.as_ref()
    }

    pub(crate) fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        let mut inner = self.inner.lock();
        if !inner.plain.is_empty() {
            return Ok(self.hand_out(&mut inner, buf));
        }
        if inner.failed {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        BUFFERS.with_borrow_mut(|Buffers { read, plain, cipher, .. }| {
            read.resize(READ_BYTES, 0);
            // No more than the reader asks for: a stranger in its handshake is read in small portions.
            let max = buf.len().min(READ_BYTES);
            let n = self.tcp.try_read(&mut read[..max])?;
            if n == 0 {
                return Ok(0);
            }
            plain.clear();
            cipher.clear();
            let result = inner.engine.receive(&mut read[..n], plain, cipher);
            if !cipher.is_empty() {
                let waiting = inner.cipher.len() - inner.offset;
                if waiting > 2 * READ_BYTES {
                    // It makes us answer and takes no answers: key updates without end.
                    inner.failed = true;
                    return Err(io::Error::other("the peer asks for more answers than it takes"));
                }
                inner.cipher.extend_from_slice(cipher);
                self.flush(&mut inner)?;
            }
            if let Err(e) = result {
                inner.failed = true;
                return Err(io::Error::new(io::ErrorKind::InvalidData, e));
            }
            let taken = plain.len().min(buf.len());
            buf[..taken].copy_from_slice(&plain[..taken]);
            if taken < plain.len() {
                inner.plain.extend_from_slice(&plain[taken..]);
                self.unread.store(true, Ordering::Release);
            }
            match taken {
                0 if !inner.engine.is_peer_closed() => Err(io::ErrorKind::WouldBlock.into()),
                n => Ok(n),
            }
        })
    }

    fn hand_out(&self, inner: &mut Inner, buf: &mut [u8]) -> usize {
        let n = inner.plain.len().min(buf.len());
        buf[..n].copy_from_slice(&inner.plain[..n]);
        inner.plain.drain(..n);
        if inner.plain.is_empty() {
            inner.plain = Vec::new();
            self.unread.store(false, Ordering::Release);
        }
        n
    }

    pub(crate) fn try_write(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut inner = self.inner.lock();
        if inner.failed {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.flush(&mut inner)?;
        if !inner.cipher.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        BUFFERS.with_borrow_mut(|Buffers { staging, sealed, .. }| {
            let Sealed { taken, bytes } = inner.engine.seal(bufs, staging, sealed).map_err(io::Error::other)?;
            let cipher = &sealed[..bytes];
            let sent = match self.tcp.try_write(&[IoSlice::new(cipher)]) {
                Ok(n) => n,
                Err(e) if is_for_later(&e) => 0,
                Err(e) => {
                    inner.failed = true;
                    return Err(e);
                }
            };
            if sent < cipher.len() {
                inner.cipher.extend_from_slice(&cipher[sent..]);
                self.behind.store(true, Ordering::Release);
            }
            Ok(taken)
        })
    }

    /// Give the kernel what is behind, as far as it takes it.
    fn flush(&self, inner: &mut Inner) -> io::Result<()> {
        while inner.offset < inner.cipher.len() {
            match self.tcp.try_write(&[IoSlice::new(&inner.cipher[inner.offset..])]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => {
                    inner.offset += n;
                    self.moved.store(true, Ordering::Relaxed);
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if is_for_later(&e) => {
                    self.behind.store(true, Ordering::Release);
                    return Ok(());
                }
                Err(e) => {
                    inner.failed = true;
                    return Err(e);
                }
            }
        }
        inner.cipher = Vec::new();
        inner.offset = 0;
        self.behind.store(false, Ordering::Release);
        Ok(())
    }

    pub(crate) fn shutdown(&self, how: Shutdown) {
        let mut inner = self.inner.lock();
        if how != Shutdown::Read && !inner.failed {
            // Told as far as it can be without waiting: the peer has its goodbye already.
            if let Ok(cipher) = inner.engine.close() {
                inner.cipher.extend_from_slice(&cipher);
                let _ = self.flush(&mut inner);
            }
            inner.failed = how == Shutdown::Both;
        }
        self.tcp.shutdown(how);
    }
}

fn is_for_later(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
