//! Many clients on one thread: epoll, one buffer for all reads, and the book.

use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use chatnet::id::{OutboxId, RoomId};
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};

use super::book::{self, STAMP};
use super::child::Server;
use super::link::Link;
use super::wire::{self, Said};
use super::{Book, Result, Shape};

const BUFFER_BYTES: usize = 1 << 20;

/// Ciphertext that is read at once: with the beginning of a frame before it, it fits into the buffer.
const CIPHER_BYTES: usize = BUFFER_BYTES / 2;

/// Engines so far: clients of different ones have different aliases.
static ENGINES: AtomicUsize = AtomicUsize::new(0);

/// Joining all of them takes at most so long.
const JOIN: Duration = Duration::from_secs(60);

pub struct Engine {
    epoll: OwnedFd,
    events: Vec<epoll::Event>,
    buffer: Vec<u8>,
    cipher: Vec<u8>,
    text: Vec<u8>,
    number: usize,
    clients: Vec<Client>,
    shape: Shape,
    joined: usize,
    began: Instant,
    pub book: Book,
    pub reads: u64,
}

#[derive(Debug)]
struct Client {
    link: Link,
    outbox: OutboxId,
    room: Option<RoomId>,
    /// The beginning of a frame that isn't whole.
    carry: Vec<u8>,
    out: Vec<u8>,
    /// The socket took no more; epoll tells when it does.
    blocked: bool,
}

impl Engine {
    /// Connect and join everybody, `at_once` of them under way at any time.
    pub fn join(server: &Server, shape: Shape, at_once: usize) -> Result<Self> {
        let mut engine = Self {
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            events: Vec::with_capacity(1024),
            buffer: vec![0; BUFFER_BYTES],
            cipher: vec![0; CIPHER_BYTES],
            number: ENGINES.fetch_add(1, Ordering::Relaxed),
            text: vec![b'x'; shape.payload.max(STAMP)],
            clients: Vec::with_capacity(shape.clients),
            shape,
            joined: 0,
            began: Instant::now(),
            book: Book::new(shape),
            reads: 0,
        };
        while engine.joined < shape.clients {
            while engine.clients.len() < shape.clients && engine.clients.len() - engine.joined < at_once {
                engine.connect(server)?;
            }
            engine.turn(Some(Duration::from_millis(100)))?;
            if engine.began.elapsed() > JOIN {
                return Err(format!("{} of {} clients joined in {JOIN:?}", engine.joined, shape.clients).into());
            }
        }
        Ok(engine)
    }

    fn connect(&mut self, server: &Server) -> Result<()> {
        let id = self.clients.len();
        let link = Link::connect(server.addr, &server.dial)?;
        epoll::add(&self.epoll, &link.tcp, epoll::EventData::new_u64(id as u64), epoll::EventFlags::IN)?;
        let (outbox, room, carry, blocked) = (OutboxId::random(), None, Vec::new(), false);
        let (alias, mut out) = (format!("c{}x{id}", self.number), Vec::new());
        wire::hello(&alias, &format!("room{}", id % self.shape.rooms), &mut out);
        self.clients.push(Client { link, outbox, room, carry, out, blocked });
        self.flush(id)
    }

    /// Since the engine began.
    pub fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// Append a message to what client `id` sends; [`flush`](Self::flush) sends it.
    pub fn publish(&mut self, id: usize, n: u32, at: u64) {
        book::stamp(id, n, at, &mut self.text);
        let client = &mut self.clients[id];
        let room = client.room.expect("it has joined");
        wire::publish(room, client.outbox, n.into(), &self.text, &mut client.out);
    }

    pub fn flush(&mut self, id: usize) -> Result<()> {
        let client = &mut self.clients[id];
        let blocked = client.link.flush(&mut client.out).map_err(|e| format!("client {id} can't write: {e}"))?;
        if blocked != client.blocked {
            client.blocked = blocked;
            let out = if blocked { epoll::EventFlags::OUT } else { epoll::EventFlags::empty() };
            let data = epoll::EventData::new_u64(id as u64);
            epoll::modify(&self.epoll, &client.link.tcp, data, epoll::EventFlags::IN | out)?;
        }
        Ok(())
    }

    /// Wait until something can be read, at most so long, and read it; true if there was something.
    pub fn turn(&mut self, limit: Option<Duration>) -> Result<bool> {
        // Rounded down: the last millisecond before a message is due is spent looking.
        let limit = limit.map(|limit| Timespec {
            tv_sec: limit.as_secs() as i64,
            tv_nsec: i64::from(limit.subsec_millis()) * 1_000_000,
        });
        self.events.clear();
        match epoll::wait(&self.epoll, spare_capacity(&mut self.events), limit.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
        for i in 0..self.events.len() {
            let (flags, id) = (self.events[i].flags, self.events[i].data.u64() as usize);
            if flags.contains(epoll::EventFlags::OUT) {
                self.flush(id)?;
            }
            if flags.intersects(epoll::EventFlags::IN | epoll::EventFlags::HUP | epoll::EventFlags::ERR) {
                self.read(id)?;
            }
        }
        Ok(!self.events.is_empty())
    }

    fn read(&mut self, id: usize) -> Result<()> {
        let client = &mut self.clients[id];
        let kept = client.carry.len();
        self.buffer[..kept].copy_from_slice(&client.carry);
        let n = match client.link.read(&mut self.buffer[kept..], &mut self.cipher) {
            Ok(0) => return Err(format!("the server closed the connection of client {id}").into()),
            Ok(n) => n,
            Err(e) if e.kind() == ErrorKind::WouldBlock => {
                return if client.link.wants_write() { self.flush(id) } else { Ok(()) };
            }
            Err(e) => return Err(format!("client {id} can't read: {e}").into()),
        };
        self.reads += 1;
        let now = self.began.elapsed().as_micros() as u64;
        let bytes = &self.buffer[..kept + n];
        let mut used = 0;
        while let Some((said, n)) = wire::next(&bytes[used..])? {
            used += n;
            match said {
                Said::Deliver { seq, mut events } => {
                    self.book.run(id, seq, events.len());
                    while let Some(text) = events.next() {
                        self.book.heard(id, text, now);
                    }
                    if events.len() > 0 {
                        return Err(format!("client {id} got a Deliver that ends early").into());
                    }
                }
                Said::Ack { n, count } => self.book.acked(id, n, count),
                Said::Joined { room } => {
                    client.room = Some(room);
                    self.joined += 1;
                }
                Said::Ping { body } => wire::pong(body, &mut client.out),
                Said::Other => {}
            }
        }
        client.carry.clear();
        client.carry.extend_from_slice(&bytes[used..]);
        if client.out.is_empty() && !client.link.wants_write() { Ok(()) } else { self.flush(id) }
    }

    /// Read until nothing came for so long.
    pub fn settle(&mut self, quiet: Duration) -> Result<()> {
        let mut last = Instant::now();
        while last.elapsed() < quiet {
            if self.turn(Some(Duration::from_millis(10)))? {
                last = Instant::now();
            }
        }
        Ok(())
    }
}
