//! A proxy between real sockets that cuts connections at random.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::Random;

/// Passes connections on to a server, each until about so many bytes have passed; then it is cut.
///
/// It runs on threads of its own, two a connection, and ends when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    addr: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    target: Mutex<SocketAddr>,
    random: Mutex<Random>,
    mean_bytes: AtomicU64,
    cuts: AtomicU64,
    /// The clients' ends of the connections that were passed on.
    open: Mutex<Vec<TcpStream>>,
    stopped: AtomicBool,
}

impl Proxy {
    /// Listen on a free port of 127.0.0.1 and pass connections on to `target`, cutting each after 1 to `2 * mean_bytes`
    /// bytes in both directions together, drawn from `seed`.
    ///
    /// # Errors
    ///
    /// No socket is to be had.
    pub fn start(target: SocketAddr, seed: u64, mean_bytes: u64) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let addr = listener.local_addr()?;
        let shared = Arc::new(Shared {
            target: Mutex::new(target),
            random: Mutex::new(Random::new(seed)),
            mean_bytes: AtomicU64::new(mean_bytes),
            cuts: AtomicU64::new(0),
            open: Mutex::default(),
            stopped: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if accepting.stopped.load(Ordering::SeqCst) {
                    return;
                }
                if let Ok(stream) = stream {
                    accepting.pass(stream);
                }
            }
        });
        Ok(Self { addr, shared })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Pass on connections that come from here on to another server: the old one was started again elsewhere.
    pub fn retarget(&self, target: SocketAddr) {
        *self.shared.target.lock() = target;
    }

    /// Cut no more connections.
    pub fn calm(&self) {
        self.shared.mean_bytes.store(u64::MAX / 4, Ordering::SeqCst);
    }

    /// Cut every connection that there is, now.
    pub fn cut(&self) {
        for stream in self.shared.open.lock().drain(..) {
            // One that has ended already needs no cutting.
            if stream.shutdown(Shutdown::Both).is_ok() {
                self.shared.cuts.fetch_add(1, Ordering::SeqCst);
            }
        }
    }

    /// How many connections were cut.
    pub fn cuts(&self) -> u64 {
        self.shared.cuts.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect_timeout(&self.addr, Duration::from_secs(1));
    }
}

impl Shared {
    fn pass(self: &Arc<Self>, near: TcpStream) {
        let target = *self.target.lock();
        let Ok(far) = TcpStream::connect_timeout(&target, Duration::from_secs(5)) else { return };
        let life = 1 + self.random.lock().below(2 * self.mean_bytes.load(Ordering::SeqCst));
        let left = Arc::new(AtomicU64::new(life));
        self.open.lock().extend(near.try_clone());
        let pairs = [(near.try_clone(), far.try_clone()), (Ok(far), Ok(near))];
        for (from, to) in pairs {
            let (Ok(from), Ok(to)) = (from, to) else { return };
            let (shared, left) = (Arc::clone(self), Arc::clone(&left));
            std::thread::spawn(move || shared.copy(from, to, &left));
        }
    }

    fn copy(&self, mut from: TcpStream, mut to: TcpStream, left: &AtomicU64) {
        let mut buffer = [0; 4096];
        while let Ok(n @ 1..) = from.read(&mut buffer) {
            let take = |left: u64| Some(left.saturating_sub(n as u64));
            let before = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).unwrap_or(0);
            let may = before.min(n as u64);
            if to.write_all(&buffer[..may as usize]).is_err() {
                break;
            }
            // Once calm, a connection that was to be cut lives on.
            if may < n as u64 && self.mean_bytes.load(Ordering::SeqCst) < u64::MAX / 4 {
                self.cuts.fetch_add(1, Ordering::SeqCst);
                let _ = from.shutdown(Shutdown::Both);
                break;
            }
            if may < n as u64 {
                left.store(u64::MAX / 4, Ordering::SeqCst);
                if to.write_all(&buffer[may as usize..n]).is_err() {
                    break;
                }
            }
        }
        let _ = to.shutdown(Shutdown::Both);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that sends back what it gets.
    fn echo() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                std::thread::spawn(move || {
                    let mut from = stream.try_clone().unwrap();
                    let _ = std::io::copy(&mut from, &mut stream);
                });
            }
        });
        addr
    }

    fn connect(proxy: &Proxy) -> TcpStream {
        let mut stream = TcpStream::connect(proxy.addr()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut back = [0];
        stream.write_all(b"x").unwrap();
        stream.read_exact(&mut back).unwrap();
        stream
    }

    #[test]
    fn a_cut_ends_every_connection_at_once_and_none_that_comes_later() {
        let proxy = Proxy::start(echo(), 1, u64::MAX / 8).unwrap();
        let mut before: Vec<_> = (0..3).map(|_| connect(&proxy)).collect();
        proxy.cut();
        for stream in &mut before {
            // An end or a reset; a connection that lived on would have it wait.
            let read = stream.read(&mut [0; 8]);
            assert!(!matches!(&read, Err(e) if e.kind() == std::io::ErrorKind::WouldBlock), "{read:?}");
            assert_eq!(read.unwrap_or(0), 0);
        }
        assert_eq!(proxy.cuts(), 3);
        let mut later = connect(&proxy);
        later.write_all(b"y").unwrap();
        let mut back = [0];
        later.read_exact(&mut back).unwrap();
        assert_eq!((&back, proxy.cuts()), (b"y", 3));
        drop(later);
        proxy.cut();
        proxy.cut();
        assert!(proxy.cuts() <= 4, "nothing is cut twice");
    }
}
