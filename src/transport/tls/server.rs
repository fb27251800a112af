//! A server's side: its certificate, whom it asks for one, and how both are replaced while it runs.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::{Mutex, RwLock};
use rustls::crypto::ring::Ticketer;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, UnbufferedServerConnection, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};

use super::engine::Engine;
use super::own::SelfSigned;
use super::{ALPN, TlsError, fingerprint, provider};
use crate::transport::Fingerprint;

/// How a server identifies itself, for [`ServerBuilder::tls`](crate::ServerBuilder::tls).
///
/// TLS 1.3 and 1.2. Sessions are resumed by tickets, whose keys are in memory only and change every six hours and with
/// every replaced certificate; there is no early data.
///
/// ```
/// use chatnet::transport::tls::{SelfSigned, ServerTls};
///
/// let own = SelfSigned::generate(&["localhost".into()])?;
/// let tls = ServerTls::pem(own.certificate_pem(), own.key_pem())?;
/// println!("fingerprint {}", tls.fingerprint());
/// # Ok::<(), chatnet::transport::tls::TlsError>(())
/// ```
#[derive(Clone)]
pub struct ServerTls {
    source: Source,
    clients: Clients,
    config: Arc<ServerConfig>,
    fingerprint: Fingerprint,
}

impl std::fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Nothing of the keys.
        f.debug_struct("ServerTls").field("fingerprint", &self.fingerprint).finish_non_exhaustive()
    }
}

#[derive(Clone)]
enum Source {
    Bytes(Arc<Pair>),
    Files { certificate: PathBuf, key: PathBuf },
}

struct Pair {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

/// Whom clients' certificates must be from.
#[derive(Clone, Default)]
struct Clients {
    authorities: Option<Arc<RootCertStore>>,
    required: bool,
}

impl ServerTls {
    /// A certificate chain and its private key, in PEM: the server's own certificate first.
    ///
    /// # Errors
    ///
    /// They can't be read, or don't belong together.
    pub fn pem(chain: impl AsRef<[u8]>, key: impl AsRef<[u8]>) -> Result<Self, TlsError> {
        let pair = parse(chain.as_ref(), key.as_ref(), "the certificate", "the private key")?;
        Self::new(Source::Bytes(Arc::new(pair)), Clients::default())
    }

    /// The same from two files. When they change, the running server takes the new ones for new connections; one that
    /// can't be used is logged, and the old one stays. See [`ServerHandle::reload_tls`](crate::ServerHandle::reload_tls).
    ///
    /// # Errors
    ///
    /// They can't be read, or don't belong together.
    pub fn pem_files(chain: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Result<Self, TlsError> {
        Self::new(Source::Files { certificate: chain.into(), key: key.into() }, Clients::default())
    }

    /// A certificate made for this run only, for these host names and addresses. Its fingerprint is another one each
    /// time: keep a [`SelfSigned`] where clients are to remember it.
    ///
    /// # Errors
    ///
    /// A name can't stand in a certificate.
    pub fn self_signed(names: &[String]) -> Result<Self, TlsError> {
        let own = SelfSigned::generate(names)?;
        Self::pem(own.certificate_pem(), own.key_pem())
    }

    /// Ask clients for a certificate of one of these authorities (PEM). A client that has none is let in, unless one is
    /// [required](Self::require_client_certificate); a wrong one is refused. Handlers find it in
    /// [`Peer::certificate`](crate::Peer).
    ///
    /// # Errors
    ///
    /// The authorities can't be read.
    pub fn client_authorities(mut self, pem: impl AsRef<[u8]>) -> Result<Self, TlsError> {
        self.clients.authorities = Some(Arc::new(authorities(pem.as_ref())?));
        Self::new(self.source, self.clients)
    }

    /// Refuse clients without a certificate. Default: they are let in. Has no effect without
    /// [`client_authorities`](Self::client_authorities).
    ///
    /// # Errors
    ///
    /// The files of [`pem_files`](Self::pem_files) can't be read any more.
    pub fn require_client_certificate(mut self, required: bool) -> Result<Self, TlsError> {
        self.clients.required = required;
        Self::new(self.source, self.clients)
    }

    /// SHA-256 of the public key, which clients remember.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    fn new(source: Source, clients: Clients) -> Result<Self, TlsError> {
        let loaded;
        let pair = match &source {
            Source::Bytes(pair) => pair.as_ref(),
            Source::Files { certificate, key } => {
                loaded = load(certificate, key)?;
                &loaded
            }
        };
        let fingerprint = fingerprint(&pair.chain[0]).map_err(|e| {
            let file = match &source {
                Source::Bytes(_) => "the certificate".to_owned(),
                Source::Files { certificate, .. } => certificate.display().to_string(),
            };
            TlsError::Certificate(format!("{file} can't be used: {e}"))
        })?;
        let config = Arc::new(config(pair, &clients)?);
        Ok(Self { source, clients, config, fingerprint })
    }

    /// Read the files again, if it is from files.
    fn again(&self) -> Result<Self, TlsError> {
        Self::new(self.source.clone(), self.clients.clone())
    }
}

fn load(certificate: &Path, key: &Path) -> Result<Pair, TlsError> {
    let read = |path: &Path| std::fs::read(path).map_err(|source| TlsError::File { path: path.to_owned(), source });
    let (chain, secret) = (read(certificate)?, read(key)?);
    parse(&chain, &secret, &certificate.display().to_string(), &key.display().to_string())
}

fn parse(chain: &[u8], key: &[u8], chain_name: &str, key_name: &str) -> Result<Pair, TlsError> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(chain)
        .collect::<Result<_, _>>()
        .map_err(|e| TlsError::Certificate(format!("{chain_name} can't be read as PEM: {e}")))?;
    if chain.is_empty() {
        return Err(TlsError::Certificate(format!("{chain_name} holds no certificate in PEM")));
    }
    let key = PrivateKeyDer::from_pem_slice(key)
        .map_err(|e| TlsError::Key(format!("{key_name} holds no private key in PEM: {e}")))?;
    Ok(Pair { chain, key })
}

/// Authorities in PEM.
pub(super) fn authorities(pem: &[u8]) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate =
            certificate.map_err(|e| TlsError::Authorities(format!("the authorities can't be read: {e}")))?;
        roots
            .add(certificate)
            .map_err(|e| TlsError::Authorities(format!("an authority's certificate won't do: {e}")))?;
    }
    if roots.is_empty() {
        return Err(TlsError::Authorities("there is no authority's certificate in PEM".into()));
    }
    Ok(roots)
}

fn config(pair: &Pair, clients: &Clients) -> Result<ServerConfig, TlsError> {
    let unusable = |e: rustls::Error| match e {
        rustls::Error::InconsistentKeys(_) => TlsError::Key("the private key is not the certificate's".into()),
        e => TlsError::Certificate(format!("certificate and key can't be used: {e}")),
    };
    let builder = ServerConfig::builder_with_provider(provider());
    let builder = builder.with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12]);
    let builder = builder.map_err(unusable)?;
    let builder = match &clients.authorities {
        None => builder.with_no_client_auth(),
        Some(authorities) => {
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::clone(authorities), provider());
            let verifier = if clients.required { verifier } else { verifier.allow_unauthenticated() };
            let verifier = verifier.build().map_err(|e| TlsError::Authorities(e.to_string()))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder.with_single_cert(pair.chain.clone(), pair.key.clone_key()).map_err(unusable)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    // Tickets instead of a cache: a storm of reconnecting clients needs no memory here.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.ticketer = Ticketer::new().map_err(unusable)?;
    Ok(config)
}

/// What a running server shows, and may replace.
#[derive(Debug)]
pub(crate) struct Identity {
    current: RwLock<ServerTls>,
    seen: Mutex<Option<Stamp>>,
}

/// What tells that files have changed.
type Stamp = [(SystemTime, u64); 2];

impl Identity {
    pub(crate) fn new(tls: ServerTls) -> Self {
        let seen = Mutex::new(stamp(&tls.source));
        Self { current: RwLock::new(tls), seen }
    }

    pub(super) fn engine(&self) -> Result<Engine, rustls::Error> {
        let config = Arc::clone(&self.current.read().config);
        UnbufferedServerConnection::new(config).map(Engine::server)
    }

    pub(crate) fn fingerprint(&self) -> Fingerprint {
        self.current.read().fingerprint
    }

    /// Take another for the connections from now on.
    pub(crate) fn replace(&self, tls: ServerTls) {
        *self.seen.lock() = stamp(&tls.source);
        *self.current.write() = tls;
    }

    /// Read the files again. On an error the old ones stay. Blocks.
    pub(crate) fn reload(&self) -> Result<Fingerprint, TlsError> {
        let current = self.current.read().clone();
        *self.seen.lock() = stamp(&current.source);
        let new = current.again()?;
        let fingerprint = new.fingerprint;
        *self.current.write() = new;
        Ok(fingerprint)
    }

    /// Whether the files are others than when they were read last, or tried to be. Blocks.
    pub(crate) fn has_changed(&self) -> bool {
        let now = stamp(&self.current.read().source);
        now.is_some() && now != *self.seen.lock()
    }

    /// Whether there are files to watch.
    pub(crate) fn is_from_files(&self) -> bool {
        matches!(self.current.read().source, Source::Files { .. })
    }
}

fn stamp(source: &Source) -> Option<Stamp> {
    let Source::Files { certificate, key } = source else { return None };
    let of = |path: &Path| {
        let meta = std::fs::metadata(path).ok()?;
        Some((meta.modified().ok()?, meta.len()))
    };
    Some([of(certificate)?, of(key)?])
}
