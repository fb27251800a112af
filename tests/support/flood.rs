//! A flood of TLS handshakes, half of them never finished, and how long messages take meanwhile.
#![allow(dead_code, unreachable_pub)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_std::task::{self, block_on};
use chatnet::transport::tls::ClientTls;
use chatnet::{Client, Event};
use futures::StreamExt;

/// What a client of this library says first.
pub fn client_hello(tls: &ClientTls) -> Vec<u8> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let client = task::spawn(Client::builder().tls(tls.clone()).connect(addr));
    let (mut stream, _) = listener.accept().unwrap();
    let mut hello = vec![0; 5];
    stream.read_exact(&mut hello).unwrap();
    let length = usize::from(u16::from_be_bytes([hello[3], hello[4]]));
    hello.resize(5 + length, 0);
    stream.read_exact(&mut hello[5..]).unwrap();
    drop(stream);
    assert!(block_on(client).is_err());
    hello
}

/// Begins handshakes until it is dropped: one after the other, `per_second` of them, every second one finished.
pub struct Flood {
    stop: Arc<AtomicBool>,
    begun: Arc<AtomicUsize>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Flood {
    pub fn start(addr: SocketAddr, tls: &ClientTls, per_second: usize) -> Self {
        const THREADS: usize = 4;
        let (stop, begun) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let hello = client_hello(tls);
        let threads = (0..THREADS).map(|_| {
            let (stop, begun, hello, tls) = (Arc::clone(&stop), Arc::clone(&begun), hello.clone(), tls.clone());
            std::thread::spawn(move || {
                let pace = Duration::from_secs(1) * THREADS as u32 / per_second as u32;
                let mut unfinished = std::collections::VecDeque::new();
                let mut next = Instant::now();
                for n in 0.. {
                    std::thread::sleep(next.saturating_duration_since(Instant::now()));
                    next += pace;
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    begun.fetch_add(1, Ordering::Relaxed);
                    if n % 2 == 0 {
                        // Finished, and gone.
                        let tls = tls.clone();
                        task::spawn(async move { drop(Client::builder().no_room().tls(tls).connect(addr).await) });
                        continue;
                    }
                    let Ok(mut stream) = TcpStream::connect(addr) else { continue };
                    let _ = stream.write_all(&hello);
                    unfinished.push_back(stream);
                    // As many file descriptors as a test may have.
                    if unfinished.len() > 100 {
                        unfinished.pop_front();
                    }
                }
            })
        });
        Self { threads: threads.collect(), stop, begun }
    }

    pub fn begun(&self) -> usize {
        self.begun.load(Ordering::Relaxed)
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.threads.drain(..).for_each(|thread| thread.join().unwrap());
    }
}

fn builder(tls: &Option<ClientTls>) -> chatnet::ClientBuilder {
    match tls {
        Some(tls) => Client::builder().tls(tls.clone()),
        None => Client::builder(),
    }
}

/// People who chat in a room.
pub struct Chat {
    clients: Vec<Client>,
    base: Instant,
    took: Arc<Mutex<Vec<Duration>>>,
}

impl Chat {
    pub fn connect(addr: SocketAddr, tls: &Option<ClientTls>, users: usize) -> Self {
        let (base, took) = (Instant::now(), Arc::<Mutex<Vec<Duration>>>::default());
        let mut clients = Vec::new();
        for _ in 0..users {
            let (client, mut events) = block_on(builder(tls).connect(addr)).unwrap();
            clients.push(client);
            let took = Arc::clone(&took);
            task::spawn(async move {
                while let Some(event) = events.next().await {
                    if let Event::Message(message) = event {
                        let sent = Duration::from_nanos(message.text.parse().unwrap());
                        took.lock().unwrap().push(base.elapsed().saturating_sub(sent));
                    }
                }
            });
        }
        Self { clients, base, took }
    }

    /// How long messages take from one to another: 50th and 99th percentile.
    pub fn latencies(&self, during: Duration) -> (Duration, Duration) {
        self.took.lock().unwrap().clear();
        let (begun, mut sent) = (Instant::now(), 0);
        block_on(async {
            // About one message of somebody's every 20 ms.
            while begun.elapsed() < during {
                let room = self.clients[sent % self.clients.len()].room().unwrap();
                let now = self.base.elapsed().as_nanos() as u64;
                room.send(now.to_string()).await.unwrap().await.unwrap();
                sent += 1;
                task::sleep(Duration::from_millis(20)).await;
            }
            while self.took.lock().unwrap().len() < sent * (self.clients.len() - 1) {
                task::sleep(Duration::from_millis(1)).await;
            }
        });
        let mut took = self.took.lock().unwrap().clone();
        took.sort();
        (took[took.len() / 2], took[took.len() * 99 / 100])
    }
}
