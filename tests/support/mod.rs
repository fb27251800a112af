//! A client that speaks frames and nothing more, for tests that look at the wire; and a server to talk to.
#![allow(dead_code, unreachable_pub)] // each test crate uses its part

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use chatnet::id::{OutboxId, RoomId, Seq};
use chatnet::protocol::frame::{self, Header};
use chatnet::protocol::message::*;
use chatnet::protocol::{Message, decode, to_frame};
use chatnet::{Server, ServerBuilder, ServerHandle};

/// A test that waits longer than this has failed.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A server on a free port of 127.0.0.1; it is cut when this is dropped.
#[derive(Debug)]
pub struct TestServer {
    pub addr: SocketAddr,
    pub handle: ServerHandle,
    serving: Option<async_std::task::JoinHandle<()>>,
}

impl TestServer {
    pub fn start() -> Self {
        Self::with(|builder| builder)
    }

    /// Sessions end with their connections, unless `configure` says otherwise.
    pub fn with(configure: impl FnOnce(ServerBuilder) -> ServerBuilder) -> Self {
        let builder = configure(Server::builder().grace(Duration::ZERO));
        let server = async_std::task::block_on(builder.bind("127.0.0.1:0")).unwrap();
        let (addr, handle) = (server.local_addr().unwrap(), server.handle());
        Self { addr, handle, serving: Some(async_std::task::spawn(server.serve())) }
    }

    /// Wait until `serve` has resolved.
    pub fn join(mut self) {
        let serving = self.serving.take().unwrap();
        async_std::task::block_on(async_std::future::timeout(PATIENCE, serving)).expect("the server ends");
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        if let Some(serving) = self.serving.take() {
            async_std::task::block_on(serving.cancel());
        }
    }
}

/// A frame with its body.
#[derive(Debug, Clone)]
pub struct Got {
    pub header: Header,
    pub body: Vec<u8>,
}

impl Got {
    pub fn is(&self, kind: Kind) -> bool {
        self.header.kind == kind.0
    }

    pub fn read<M: Message>(&self) -> M {
        assert_eq!(Kind(self.header.kind).name(), M::KIND.name(), "{:?}", self.error());
        decode(&self.body).unwrap()
    }

    fn error(&self) -> Option<ErrorReply> {
        if self.is(Kind::ErrorReply) { decode(&self.body).ok() } else { None }
    }
}

/// One connection.
#[derive(Debug)]
pub struct Wire {
    pub stream: TcpStream,
    buffer: Vec<u8>,
}

impl Wire {
    pub fn connect(addr: SocketAddr) -> Self {
        Self::over(TcpStream::connect(addr).unwrap())
    }

    pub fn over(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, buffer: Vec::new() }
    }

    pub fn send<M: Message>(&mut self, message: &M) {
        self.raw(&to_frame(message));
    }

    pub fn raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// The next frame; none at the end of the stream.
    pub fn next(&mut self) -> Option<Got> {
        let mut chunk = [0; 65536];
        loop {
            if let Some((frame, used)) = frame::split(&self.buffer, 1 << 24).unwrap() {
                let got = Got { header: frame.header, body: frame.body.to_vec() };
                self.buffer.drain(..used);
                return Some(got);
            }
            match self.stream.read(&mut chunk) {
                Ok(0) => return None,
                Ok(n) => self.buffer.extend_from_slice(&chunk[..n]),
                Err(e) if e.kind() == std::io::ErrorKind::ConnectionReset => return None,
                Err(e) => panic!("nothing came in time: {e}"),
            }
        }
    }

    /// The next frame of this kind; heartbeats and presence in between are passed over, anything else is an error.
    pub fn expect<M: Message>(&mut self) -> M {
        loop {
            let got = self.next().unwrap_or_else(|| panic!("the server closed before {:?}", M::KIND.name()));
            let noise = got.is(Kind::Ping) || got.is(Kind::Pong) || got.is(Kind::Presence);
            if got.is(M::KIND) {
                return got.read();
            }
            assert!(noise, "expected {:?}, got {:?} {:?}", M::KIND.name(), Kind(got.header.kind).name(), got.error());
        }
    }

    /// Frames up to the first one of this kind are passed over.
    pub fn skip_to<M: Message>(&mut self) -> M {
        loop {
            let got = self.next().unwrap_or_else(|| panic!("the server closed before {:?}", M::KIND.name()));
            if got.is(M::KIND) {
                return got.read();
            }
        }
    }

    /// Read up to the end of the stream.
    pub fn rest(&mut self) -> Vec<Got> {
        std::iter::from_fn(|| self.next()).collect()
    }

    pub fn hello(&mut self) -> Welcome {
        self.send(&hello());
        self.expect()
    }

    /// Begin a session as a guest.
    pub fn guest(addr: SocketAddr, alias: &str) -> Self {
        let mut wire = Self::connect(addr);
        wire.hello();
        wire.send(&guest(alias));
        wire.expect::<Authenticated>();
        wire.send(&Attach { token: None, cursors: vec![], more: false });
        wire.expect::<Attached>();
        wire
    }

    /// Begin a session as a guest, and join a room.
    pub fn member(addr: SocketAddr, alias: &str, room: &str) -> (Self, Joined) {
        let mut wire = Self::guest(addr, alias);
        let joined = wire.join(room);
        (wire, joined)
    }

    pub fn join(&mut self, room: &str) -> Joined {
        self.send(&Join { request: 7, name: room.into() });
        self.expect()
    }

    /// An answer to this ping comes after everything that was under way before.
    pub fn round_trip(&mut self) -> Vec<Got> {
        self.send(&Ping { nonce: 4711 });
        let mut before = Vec::new();
        loop {
            let got = self.next().expect("the server is there");
            if got.is(Kind::Pong) && got.read::<Pong>().nonce == 4711 {
                return before;
            }
            before.push(got);
        }
    }
}

pub fn hello() -> Hello {
    Hello {
        magic: MAGIC.to_vec().into(),
        min_version: 1,
        max_version: 1,
        capabilities: vec![],
        max_body: 131_072,
        agent: "test".into(),
    }
}

pub fn guest(alias: &str) -> Auth {
    Auth { mechanism: "guest".into(), data: alias.as_bytes().to_vec().into() }
}

pub fn publish(room: RoomId, outbox: OutboxId, n: u64, texts: &[&str]) -> Publish {
    Publish { room, outbox, n, bodies: texts.iter().map(|text| Body::text(text)).collect(), expected: None }
}

/// The texts of a `Deliver`, with their seqs.
pub fn texts(deliver: &Deliver) -> Vec<(u64, String)> {
    let text = |e: &Delivered| String::from_utf8(e.bytes.clone()).unwrap();
    deliver.events.iter().enumerate().map(|(i, e)| (deliver.seq.get() + i as u64, text(e))).collect()
}

pub fn outbox() -> OutboxId {
    OutboxId::random()
}

pub const ZERO: Seq = Seq::ZERO;

/// Connect from another address of this machine than the others do.
#[cfg(target_os = "linux")]
pub fn connect_from(addr: SocketAddr, from: &str) -> std::io::Result<TcpStream> {
    use socket2::{Domain, Socket, Type};
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::new(from.parse().unwrap(), 0).into())?;
    socket.connect(&addr.into())?;
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// Resident memory of this process, in bytes.
#[cfg(target_os = "linux")]
pub fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}
