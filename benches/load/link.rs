//! A client's socket, plain or with TLS. TLS is rustls' own buffered client, so that what is measured against it is not
//! tested by itself.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

#[cfg(feature = "tls")]
pub use tls::Config;

use super::Result;

/// What is spoken below the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Under {
    Plain,
    /// TLS 1.3; every connection with a handshake of its own.
    #[cfg(feature = "tls")]
    Tls,
    /// TLS 1.3; every connection goes on from an earlier one's ticket.
    #[cfg(feature = "tls")]
    Resumed,
}

impl Under {
    /// Plaintext, and TLS beside it if it was compiled in.
    pub const BOTH: &[Self] = &[
        Self::Plain,
        #[cfg(feature = "tls")]
        Self::Tls,
    ];

    pub const ALL: &[Self] = &[
        Self::Plain,
        #[cfg(feature = "tls")]
        Self::Tls,
        #[cfg(feature = "tls")]
        Self::Resumed,
    ];

    /// A work's name over it.
    pub fn name(self, work: &str) -> String {
        match self {
            Self::Plain => work.to_owned(),
            #[cfg(feature = "tls")]
            Self::Tls => format!("{work}, TLS"),
            #[cfg(feature = "tls")]
            Self::Resumed => format!("{work}, TLS resumed"),
        }
    }
}

/// How clients of a server connect.
#[derive(Debug, Clone)]
pub enum Dial {
    Plain,
    #[cfg(feature = "tls")]
    Tls(Config),
}

#[derive(Debug)]
pub struct Link {
    pub tcp: TcpStream,
    #[cfg(feature = "tls")]
    tls: Option<Box<rustls::ClientConnection>>,
}

impl Link {
    pub fn connect(addr: SocketAddr, dial: &Dial) -> Result<Self> {
        // On one machine a connection is there at once, as long as the server's backlog isn't full.
        let tcp = TcpStream::connect(addr)?;
        tcp.set_nonblocking(true)?;
        tcp.set_nodelay(true)?;
        Ok(match dial {
            Dial::Plain => Self {
                tcp,
                #[cfg(feature = "tls")]
                tls: None,
            },
            #[cfg(feature = "tls")]
            Dial::Tls(config) => Self { tcp, tls: Some(Box::new(config.begin()?)) },
        })
    }

    /// Read what is there into `plain`, and say how much it is; `WouldBlock` if it is nothing, 0 at the end. `cipher` is
    /// room to work in, no larger than `plain`.
    #[cfg_attr(not(feature = "tls"), allow(unused_variables))]
    pub fn read(&mut self, plain: &mut [u8], cipher: &mut [u8]) -> io::Result<usize> {
        #[cfg(feature = "tls")]
        if let Some(tls) = &mut self.tls {
            return tls::read(&mut self.tcp, tls, plain, cipher);
        }
        self.tcp.read(plain)
    }

    /// Send `out` as far as it goes. True if something is left, here or there.
    pub fn flush(&mut self, out: &mut Vec<u8>) -> io::Result<bool> {
        #[cfg(feature = "tls")]
        if let Some(tls) = &mut self.tls {
            return tls::flush(&mut self.tcp, tls, out);
        }
        let mut written = 0;
        while written < out.len() {
            match self.tcp.write(&out[written..]) {
                Ok(n) => written += n,
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(e) => return Err(e),
            }
        }
        out.drain(..written);
        Ok(!out.is_empty())
    }

    /// Whether TLS has something to say by itself.
    pub fn wants_write(&self) -> bool {
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            return tls.wants_write();
        }
        false
    }
}

#[cfg(feature = "tls")]
mod tls {
    use std::collections::VecDeque;
    use std::io::{self, ErrorKind, Read, Write};
    use std::net::TcpStream;
    use std::sync::{Arc, Mutex};

    use chatnet::transport::tls::SelfSigned;
    use rustls::client::{ClientSessionStore, Resumption, Tls12ClientSessionValue, Tls13ClientSessionValue};
    use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
    use rustls::{ClientConfig, ClientConnection, NamedGroup, RootCertStore};

    use super::super::Result;

    /// What all clients of a server share.
    #[derive(Debug, Clone)]
    pub struct Config(Arc<ClientConfig>);

    impl Config {
        /// Trust this server only.
        pub fn new(server: &SelfSigned, resuming: bool) -> Result<Self> {
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from_pem_slice(server.certificate_pem().as_bytes())?)?;
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
            let mut config = config.with_root_certificates(roots).with_no_client_auth();
            config.alpn_protocols = vec![b"chatnet/1".to_vec()];
            config.resumption =
                if resuming { Resumption::store(Arc::<Tickets>::default()) } else { Resumption::disabled() };
            Ok(Self(Arc::new(config)))
        }

        pub fn begin(&self) -> Result<ClientConnection> {
            Ok(ClientConnection::new(Arc::clone(&self.0), ServerName::try_from("localhost")?)?)
        }
    }

    /// Every ticket there is: rustls' own store keeps eight of a server, and here two hundred connect at once.
    #[derive(Debug, Default)]
    struct Tickets(Mutex<VecDeque<Tls13ClientSessionValue>>);

    impl ClientSessionStore for Tickets {
        fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}

        fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
            None
        }

        fn set_tls12_session(&self, _: ServerName<'static>, _: Tls12ClientSessionValue) {}

        fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
            None
        }

        fn remove_tls12_session(&self, _: &ServerName<'static>) {}

        fn insert_tls13_ticket(&self, _: ServerName<'static>, ticket: Tls13ClientSessionValue) {
            self.0.lock().unwrap().push_back(ticket);
        }

        fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
            self.0.lock().unwrap().pop_front()
        }
    }

    pub fn read(
        tcp: &mut TcpStream,
        tls: &mut ClientConnection,
        plain: &mut [u8],
        cipher: &mut [u8],
    ) -> io::Result<usize> {
        let n = tcp.read(cipher)?;
        let (mut rest, mut taken) = (&cipher[..n], 0);
        while !rest.is_empty() {
            tls.read_tls(&mut rest)?;
            tls.process_new_packets().map_err(io::Error::other)?;
            loop {
                match tls.reader().read(&mut plain[taken..]) {
                    Ok(0) => break,
                    Ok(n) => taken += n,
                    Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                    Err(e) => return Err(e),
                }
            }
        }
        // Bytes of TLS alone are not the end.
        if n > 0 && taken == 0 { Err(ErrorKind::WouldBlock.into()) } else { Ok(taken) }
    }

    pub fn flush(tcp: &mut TcpStream, tls: &mut ClientConnection, out: &mut Vec<u8>) -> io::Result<bool> {
        loop {
            let taken = if out.is_empty() { 0 } else { tls.writer().write(out)? };
            out.drain(..taken);
            while tls.wants_write() {
                match tls.write_tls(tcp) {
                    Ok(_) => {}
                    Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(true),
                    Err(e) => return Err(e),
                }
            }
            // Before the handshake is done it keeps what it is given, and then has nothing to write.
            if taken == 0 || out.is_empty() {
                return Ok(false);
            }
        }
    }
}
