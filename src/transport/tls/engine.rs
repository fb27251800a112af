//! TLS without a socket: ciphertext in, plaintext out, and the other way round. Between two calls it keeps nothing but
//! the keys and an unfinished record, so that an idle connection costs no buffer.

use std::io::IoSlice;

use rustls::client::UnbufferedClientConnection;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus};

use super::fingerprint;
use crate::transport::Certificate;

/// The most plaintext that is encrypted at once, in bytes: four full-size records, so that what a connection has
/// pending is bounded.
pub(super) const SEAL_BYTES: usize = 64 * 1024;

/// What four records add to it, TLS 1.2's included; a key update goes before them at most.
const SEAL_OVERHEAD: usize = 512;

/// The most that is kept of what was read, in bytes: a handshake's longest message (a chain of certificates), and a
/// read behind it.
const CARRY_BYTES: usize = 128 * 1024;

/// One side of a TLS connection.
pub(super) struct Engine {
    session: Session,
    /// Ciphertext that was read and isn't a whole record yet.
    carry: Vec<u8>,
    handshaking: bool,
    peer_closed: bool,
    /// It must not be asked again.
    failed: bool,
}

enum Session {
    Server(UnbufferedServerConnection),
    Client(UnbufferedClientConnection),
}

/// What came of it.
#[derive(Debug)]
enum Step {
    /// The connection has to be asked again.
    Again,
    /// There is nothing left to do.
    Rest,
}

/// One step, for either side's type: they share no trait.
macro_rules! step {
    ($session:expr, $incoming:expr, $plain:expr, $cipher:expr, $handshaking:expr, $peer_closed:expr) => {{
        let UnbufferedStatus { mut discard, state, .. } = $session.process_tls_records($incoming);
        let step = match state {
            Ok(ConnectionState::ReadTraffic(mut traffic)) => loop {
                match traffic.next_record() {
                    None => break Ok(Step::Again),
                    Some(Ok(record)) => {
                        discard += record.discard;
                        $plain.extend_from_slice(record.payload);
                    }
                    Some(Err(e)) => break Err(e),
                }
            },
            Ok(ConnectionState::EncodeTlsData(mut data)) => {
                encode(|out| data.encode(out), $cipher);
                Ok(Step::Again)
            }
            Ok(ConnectionState::TransmitTlsData(data)) => {
                data.done();
                Ok(Step::Again)
            }
            Ok(ConnectionState::PeerClosed) => {
                *$peer_closed = true;
                Ok(Step::Again)
            }
            Ok(ConnectionState::WriteTraffic(_)) => {
                *$handshaking = false;
                Ok(Step::Rest)
            }
            // Early data is never offered nor taken.
            Ok(_) => Ok(Step::Rest),
            Err(e) => Err(e),
        };
        (discard, step)
    }};
}

/// What was encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sealed {
    /// Bytes of plaintext.
    pub(super) taken: usize,
    /// Bytes of ciphertext.
    pub(super) bytes: usize,
}

/// Make room for so many bytes, where there isn't: a buffer that is used again is wiped once only.
fn grow(buf: &mut Vec<u8>, len: usize) {
    if buf.len() < len {
        buf.resize(len, 0);
    }
}

/// Let `write` append to `cipher`, which grows by what it asks for.
fn encode(mut write: impl FnMut(&mut [u8]) -> Result<usize, EncodeError>, cipher: &mut Vec<u8>) {
    let begin = cipher.len();
    let mut room = 2048;
    loop {
        cipher.resize(begin + room, 0);
        match write(&mut cipher[begin..]) {
            Ok(n) => return cipher.truncate(begin + n),
            Err(EncodeError::InsufficientSize(e)) if e.required_size > room => room = e.required_size,
            Err(_) => return cipher.truncate(begin),
        }
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Nothing of the keys.
        f.debug_struct("Engine").field("handshaking", &self.handshaking).finish_non_exhaustive()
    }
}

impl Engine {
    pub(super) fn server(connection: UnbufferedServerConnection) -> Self {
        Self::new(Session::Server(connection))
    }

    pub(super) fn client(connection: UnbufferedClientConnection) -> Self {
        Self::new(Session::Client(connection))
    }

    fn new(session: Session) -> Self {
        Self { session, carry: Vec::new(), handshaking: true, peer_closed: false, failed: false }
    }

    /// Whether application data can't be sent yet.
    pub(super) fn is_handshaking(&self) -> bool {
        self.handshaking
    }

    /// Whether the peer has said that nothing more comes.
    pub(super) fn is_peer_closed(&self) -> bool {
        self.peer_closed
    }

    /// Take what was read. What it says is appended to `plain`, what has to be answered to `cipher`, also on an error:
    /// the alert that tells the peer.
    pub(super) fn receive(
        &mut self,
        read: &mut [u8],
        plain: &mut Vec<u8>,
        cipher: &mut Vec<u8>,
    ) -> Result<(), rustls::Error> {
        if self.failed {
            return Err(rustls::Error::General("the connection has failed".into()));
        }
        if self.carry.is_empty() {
            let mut used = 0;
            let result = self.process(read, &mut used, plain, cipher);
            self.carry.extend_from_slice(&read[used..]);
            return result;
        }
        self.carry.extend_from_slice(read);
        if self.carry.len() > CARRY_BYTES {
            self.failed = true;
            return Err(rustls::Error::General("a message of the handshake is too long".into()));
        }
        let (mut carry, mut used) = (std::mem::take(&mut self.carry), 0);
        let result = self.process(&mut carry, &mut used, plain, cipher);
        if used < carry.len() {
            carry.drain(..used);
            self.carry = carry;
        }
        result
    }

    fn process(
        &mut self,
        incoming: &mut [u8],
        used: &mut usize,
        plain: &mut Vec<u8>,
        cipher: &mut Vec<u8>,
    ) -> Result<(), rustls::Error> {
        loop {
            let (discard, step) = self.step(&mut incoming[*used..], plain, cipher);
            *used += discard;
            match step {
                Ok(Step::Again) => {}
                Ok(Step::Rest) => return Ok(()),
                Err(e) => {
                    self.failed = true;
                    // The alert waits to be encoded. rustls remembers places in the buffer: it has to be the same one.
                    // And it mustn't be asked for more than that: it would find the error again.
                    while self.has_to_say() {
                        let (discard, _) = self.step(&mut incoming[*used..], plain, cipher);
                        *used += discard;
                    }
                    return Err(e);
                }
            }
        }
    }

    fn has_to_say(&self) -> bool {
        match &self.session {
            Session::Server(session) => session.wants_write(),
            Session::Client(session) => session.wants_write(),
        }
    }

    fn step(
        &mut self,
        incoming: &mut [u8],
        plain: &mut Vec<u8>,
        cipher: &mut Vec<u8>,
    ) -> (usize, Result<Step, rustls::Error>) {
        let (handshaking, peer_closed) = (&mut self.handshaking, &mut self.peer_closed);
        match &mut self.session {
            Session::Server(session) => step!(session, incoming, plain, cipher, handshaking, peer_closed),
            Session::Client(session) => step!(session, incoming, plain, cipher, handshaking, peer_closed),
        }
    }

    /// Encrypt what is in `bufs`, at most [`SEAL_BYTES`] of it, into the beginning of `cipher`, whose length is room and
    /// is only ever added to. `staging` is room to gather what is in pieces.
    pub(super) fn seal(
        &mut self,
        bufs: &[IoSlice<'_>],
        staging: &mut Vec<u8>,
        cipher: &mut Vec<u8>,
    ) -> Result<Sealed, rustls::Error> {
        // Mostly a room's log in one piece: that needs no gathering.
        let plain = match bufs {
            [buf] => &buf[..buf.len().min(SEAL_BYTES)],
            _ => {
                staging.clear();
                for buf in bufs {
                    let room = SEAL_BYTES - staging.len();
                    staging.extend_from_slice(&buf[..buf.len().min(room)]);
                }
                staging
            }
        };
        if plain.is_empty() {
            return Ok(Sealed { taken: 0, bytes: 0 });
        }
        let bytes = self.write(cipher, plain.len() + SEAL_OVERHEAD, |traffic, out| match traffic {
            Traffic::Server(traffic) => traffic.encrypt(plain, out),
            Traffic::Client(traffic) => traffic.encrypt(plain, out),
        })?;
        Ok(Sealed { taken: plain.len(), bytes })
    }

    /// Say that nothing more will be sent: what is to go out.
    pub(super) fn close(&mut self) -> Result<Vec<u8>, rustls::Error> {
        let mut cipher = Vec::new();
        let bytes = self.write(&mut cipher, SEAL_OVERHEAD, |traffic, out| match traffic {
            Traffic::Server(traffic) => traffic.queue_close_notify(out),
            Traffic::Client(traffic) => traffic.queue_close_notify(out),
        })?;
        cipher.truncate(bytes);
        Ok(cipher)
    }

    /// Have something written into the beginning of `cipher`. Returns how much that is.
    fn write(
        &mut self,
        cipher: &mut Vec<u8>,
        mut room: usize,
        mut write: impl FnMut(Traffic<'_, '_>, &mut [u8]) -> Result<usize, EncryptError>,
    ) -> Result<usize, rustls::Error> {
        if self.failed {
            return Err(rustls::Error::General("the connection has failed".into()));
        }
        let mut begin = 0;
        if self.has_to_say() {
            // Whatever the connection itself wants to say goes first. Nothing new can be in `carry`: it was looked at.
            let mut carry = std::mem::take(&mut self.carry);
            let (mut plain, mut used, mut own) = (Vec::new(), 0, Vec::new());
            let result = self.process(&mut carry, &mut used, &mut plain, &mut own);
            debug_assert!(plain.is_empty() && used == 0, "what was read is processed when it is read");
            self.carry = carry;
            result?;
            begin = own.len();
            grow(cipher, begin);
            cipher[..begin].copy_from_slice(&own);
        }
        loop {
            grow(cipher, begin + room);
            let out = &mut cipher[begin..];
            let written = match &mut self.session {
                Session::Server(session) => match session.process_tls_records(&mut self.carry).state? {
                    ConnectionState::WriteTraffic(mut traffic) => write(Traffic::Server(&mut traffic), out),
                    _ => Err(EncryptError::EncryptExhausted),
                },
                Session::Client(session) => match session.process_tls_records(&mut self.carry).state? {
                    ConnectionState::WriteTraffic(mut traffic) => write(Traffic::Client(&mut traffic), out),
                    _ => Err(EncryptError::EncryptExhausted),
                },
            };
            match written {
                Ok(n) => return Ok(begin + n),
                Err(EncryptError::InsufficientSize(e)) if e.required_size > room => room = e.required_size,
                Err(e) => return Err(rustls::Error::General(e.to_string())),
            }
        }
    }

    /// The certificates that the peer has shown.
    pub(super) fn peer_chain(&self) -> Option<&[rustls::pki_types::CertificateDer<'static>]> {
        match &self.session {
            Session::Server(session) => session.peer_certificates(),
            Session::Client(session) => session.peer_certificates(),
        }
    }

    /// What the peer has proved to be.
    pub(super) fn certificate(&self) -> Option<Certificate> {
        let chain = self.peer_chain()?;
        let fingerprint = fingerprint(chain.first()?).ok()?;
        Some(Certificate::new(fingerprint, chain.iter().map(|der| der.to_vec()).collect()))
    }

    /// Whether an earlier session was resumed.
    pub(super) fn is_resumed(&self) -> bool {
        let kind = match &self.session {
            Session::Server(session) => session.handshake_kind(),
            Session::Client(session) => session.handshake_kind(),
        };
        kind == Some(rustls::HandshakeKind::Resumed)
    }
}

enum Traffic<'a, 'b> {
    Server(&'a mut rustls::unbuffered::WriteTraffic<'b, rustls::server::ServerConnectionData>),
    Client(&'a mut rustls::unbuffered::WriteTraffic<'b, rustls::client::ClientConnectionData>),
}
