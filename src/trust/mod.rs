//! Which servers are trusted, and why: an authority vouches for them, or their key is remembered.
//!
//! [`Trust`] decides in this order:
//!
//! 1. a fingerprint that was given, or one that is remembered for this host and port: the server's key must be that one;
//! 2. an authority vouches for the server, by name: that is remembered too, and from then on nothing less will do;
//! 3. it is the first contact: [`ConnectError::UnknownServer`](crate::ConnectError::UnknownServer) tells the
//!    fingerprint, before anything was said to the server. [`Trust::accept`] remembers it; then connect again.
//!
//! What is remembered stands in a file like SSH's `known_hosts`, one server a line: [`KnownServers`].

mod known;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::transport::Fingerprint;
use crate::transport::tls::{Authorities, ClientTls, Expected, TlsError};

pub use known::{KnownServer, KnownServers, Remembered, ServerAddr};

/// A client's decision whom to trust, for [`ClientBuilder::trust`](crate::ClientBuilder::trust).
///
/// ```no_run
/// # async_std::task::block_on(async {
/// use chatnet::trust::{KnownServers, Trust};
/// use chatnet::{Client, ConnectError};
///
/// let trust = Trust::new(KnownServers::default_path()?);
/// let builder = Client::builder().trust(trust.clone());
/// let (client, events) = match builder.clone().connect("chat.example.org:50000").await {
///     Err(ConnectError::UnknownServer { server, fingerprint, .. }) => {
///         println!("is {fingerprint} what the server's operator says?");
///         trust.accept(&server, fingerprint)?;
///         builder.connect("chat.example.org:50000").await?
///     }
///     connected => connected?,
/// };
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Debug, Clone)]
pub struct Trust {
    known: KnownServers,
    fingerprint: Option<Fingerprint>,
    authorities: Option<Authorities>,
    cache: Arc<Mutex<Cache>>,
}

#[derive(Debug, Default)]
struct Cache {
    system: Option<Authorities>,
    /// The configuration in use, with its tickets.
    last: Option<(ServerAddr, Basis, ClientTls)>,
}

/// Why a server may be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Basis {
    /// Its key is the given or the remembered one.
    Pin(Fingerprint),
    /// It is remembered as one that an authority vouches for, or authorities were named.
    Authority,
    /// Nothing is known yet.
    Nothing,
}

impl Trust {
    /// Remember servers in this file.
    pub fn new(known: KnownServers) -> Self {
        Self { known, fingerprint: None, authorities: None, cache: Arc::default() }
    }

    /// Take the server with this key only. At the first contact it is remembered; a server that is remembered by
    /// another key, or by its authority, stays remembered so.
    pub fn fingerprint(mut self, fingerprint: Fingerprint) -> Self {
        self.fingerprint = Some(fingerprint);
        self
    }

    /// Trust the authorities in this PEM file instead of the system's. A server that none of them vouches for is
    /// refused then, unless its key is given or remembered. Blocks while it reads.
    ///
    /// # Errors
    ///
    /// They can't be read.
    pub fn authorities_file(mut self, path: impl Into<PathBuf>) -> Result<Self, TlsError> {
        self.authorities = Some(crate::transport::tls::authorities_file(path.into())?);
        Ok(self)
    }

    /// Remember a server by its key, as the person or a setting has decided. Blocks while it writes.
    ///
    /// # Errors
    ///
    /// The file can't be written, or remembers something else of this server.
    pub fn accept(&self, server: &ServerAddr, fingerprint: Fingerprint) -> io::Result<()> {
        self.known.remember(server, Remembered::Key(fingerprint))
    }

    /// What is remembered.
    pub fn known(&self) -> &KnownServers {
        &self.known
    }

    /// What to expect of a server. Blocks.
    pub(crate) fn expect(&self, server: &ServerAddr) -> Result<(Basis, ClientTls), TrustError> {
        let remembered = self.known.find(server).map_err(TrustError::File)?;
        let basis = match (self.fingerprint, remembered) {
            (Some(given), _) => Basis::Pin(given),
            (None, Some(Remembered::Key(known))) => Basis::Pin(known),
            (None, Some(Remembered::Authority)) => Basis::Authority,
            (None, None) if self.authorities.is_some() => Basis::Authority,
            (None, None) => Basis::Nothing,
        };
        let mut cache = self.cache.lock();
        if let Some((last, with, tls)) = &cache.last
            && (last, *with) == (server, basis)
        {
            return Ok((basis, tls.clone()));
        }
        let expected = match basis {
            Basis::Pin(fingerprint) => Expected::Pin(fingerprint),
            Basis::Authority => Expected::Authority(self.authorities(&mut cache)),
            Basis::Nothing => Expected::Anybody,
        };
        let tls = ClientTls::expecting(expected).map_err(TrustError::Tls)?;
        cache.last = Some((server.clone(), basis, tls.clone()));
        Ok((basis, tls))
    }

    /// The authorities that vouch for servers. Blocks.
    pub(crate) fn vouching(&self) -> Authorities {
        self.authorities(&mut self.cache.lock())
    }

    fn authorities(&self, cache: &mut Cache) -> Authorities {
        let system = || {
            Authorities::system().unwrap_or_else(|e| {
                tracing::debug!("{e}");
                Authorities::none()
            })
        };
        self.authorities.clone().unwrap_or_else(|| cache.system.get_or_insert_with(system).clone())
    }

    /// A server was taken on this basis: remember it, if it isn't. Blocks.
    pub(crate) fn taken(&self, server: &ServerAddr, basis: Basis) -> io::Result<()> {
        if self.known.find(server)?.is_some() {
            return Ok(());
        }
        match basis {
            Basis::Pin(fingerprint) => self.known.remember(server, Remembered::Key(fingerprint)),
            Basis::Authority | Basis::Nothing => self.known.remember(server, Remembered::Authority),
        }
    }
}

/// Why nothing can be decided.
#[derive(Debug)]
pub(crate) enum TrustError {
    File(io::Error),
    Tls(TlsError),
}
