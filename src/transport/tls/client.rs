//! A client's side: which servers it takes for the right ones.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, UnbufferedClientConnection, WebPkiServerVerifier};
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::engine::Engine;
use super::failure::{CertificateProblem, Failure, certificate_problem};
use super::server::authorities;
use super::{ALPN, TlsError, fingerprint, provider};
use crate::transport::{Certificate, Fingerprint};

/// How a client knows its server, for [`ClientBuilder::tls`](crate::ClientBuilder::tls).
///
/// It keeps the tickets of its sessions: a client that reconnects resumes them, which saves both sides most of the
/// handshake. A resumed session is with a server that passed the same check before, for each `ClientTls` has tickets of
/// its own; a clone shares them.
///
/// ```
/// use chatnet::transport::tls::ClientTls;
///
/// let fingerprint = format!("sha256:{}", "0f".repeat(32)).parse()?;
/// let builder = chatnet::Client::builder().tls(ClientTls::pinned(fingerprint)?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct ClientTls {
    rule: Rule,
    name: Option<ServerName<'static>>,
    config: Arc<ClientConfig>,
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Nothing of the keys and tickets.
        f.debug_struct("ClientTls").field("rule", &self.rule).finish_non_exhaustive()
    }
}

/// Decides about a server's certificate instead of the library.
pub trait VerifyServer: fmt::Debug + Send + Sync + 'static {
    /// Whether this is the server at `host`. It has proved to have the certificate's key; everything else, its names and
    /// its time among them, is this function's to check. Must not block for long.
    ///
    /// # Errors
    ///
    /// It isn't; the text says why, and becomes part of the [`ConnectError`](crate::ConnectError).
    fn verify(&self, host: &str, certificate: &Certificate) -> Result<(), String>;
}

/// What a server is expected to be.
#[derive(Debug, Clone)]
pub(crate) enum Expected {
    /// The one with this key.
    Pin(Fingerprint),
    /// One that an authority vouches for.
    Authority(Authorities),
    /// Anybody: who it is will be looked at before anything is said.
    Anybody,
}

/// Authorities that vouch for servers; none if there are none.
#[derive(Clone)]
pub(crate) struct Authorities(Option<Arc<WebPkiServerVerifier>>);

impl fmt::Debug for Authorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A system's list has a hundred and fifty of them.
        f.write_str(if self.0.is_some() { "Authorities(…)" } else { "Authorities()" })
    }
}

#[derive(Debug, Clone)]
enum Rule {
    Expected(Expected),
    App(Arc<dyn VerifyServer>),
}

struct ClientIdentity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl ClientTls {
    /// Take servers that one of this system's certificate authorities vouches for, by name. Reads files, and blocks
    /// meanwhile.
    ///
    /// # Errors
    ///
    /// The system has none.
    pub fn system() -> Result<Self, TlsError> {
        Self::with_authorities(Authorities::system()?)
    }

    /// Take servers that one of Mozilla's certificate authorities vouches for, by name: for machines that have no list
    /// of their own. As old as this library's dependency `webpki-roots`.
    ///
    /// # Errors
    ///
    /// None known.
    pub fn mozilla() -> Result<Self, TlsError> {
        let mut roots = RootCertStore::empty();
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        Self::with_authorities(Authorities::new(roots)?)
    }

    /// Take servers that one of these authorities (PEM) vouches for, by name.
    ///
    /// # Errors
    ///
    /// They can't be read.
    pub fn authorities(pem: impl AsRef<[u8]>) -> Result<Self, TlsError> {
        Self::with_authorities(Authorities::pem(pem.as_ref())?)
    }

    /// Take the server with this public key and no other, whatever its names and however old its certificate.
    ///
    /// # Errors
    ///
    /// None known.
    pub fn pinned(fingerprint: Fingerprint) -> Result<Self, TlsError> {
        Self::expecting(Expected::Pin(fingerprint))
    }

    /// Have the application decide.
    ///
    /// # Errors
    ///
    /// None known.
    pub fn verifier(verifier: impl VerifyServer) -> Result<Self, TlsError> {
        Self::new(Rule::App(Arc::new(verifier)), None, None)
    }

    /// Show this certificate (a chain in PEM) to servers that ask for one.
    ///
    /// # Errors
    ///
    /// They can't be read, or don't belong together.
    pub fn client_certificate(self, chain: impl AsRef<[u8]>, key: impl AsRef<[u8]>) -> Result<Self, TlsError> {
        let bad = |e: rustls::pki_types::pem::Error| TlsError::Certificate(format!("the client's certificate: {e}"));
        let chain = CertificateDer::pem_slice_iter(chain.as_ref()).collect::<Result<_, _>>().map_err(bad)?;
        let key = PrivateKeyDer::from_pem_slice(key.as_ref())
            .map_err(|e| TlsError::Key(format!("the client's private key: {e}")))?;
        Self::new(self.rule, Some(&ClientIdentity { chain, key }), self.name)
    }

    /// Check the certificate for this name. Default: the host that is connected to.
    ///
    /// # Errors
    ///
    /// It is no host's name or address.
    pub fn server_name(mut self, name: &str) -> Result<Self, TlsError> {
        let name = ServerName::try_from(name.to_owned());
        self.name = Some(name.map_err(|_| TlsError::Certificate("that is no host's name or address".into()))?);
        Ok(self)
    }

    fn with_authorities(authorities: Authorities) -> Result<Self, TlsError> {
        Self::expecting(Expected::Authority(authorities))
    }

    pub(crate) fn expecting(expected: Expected) -> Result<Self, TlsError> {
        Self::new(Rule::Expected(expected), None, None)
    }

    fn new(rule: Rule, identity: Option<&ClientIdentity>, name: Option<ServerName<'static>>) -> Result<Self, TlsError> {
        let wrong = |e: rustls::Error| TlsError::Certificate(format!("certificate and key can't be used: {e}"));
        let resumes = !matches!(rule, Rule::Expected(Expected::Anybody));
        let builder = ClientConfig::builder_with_provider(provider());
        let builder = builder.with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12]);
        let verifier = Arc::new(Verifier { rule: rule.clone() });
        let builder = builder.map_err(wrong)?.dangerous().with_custom_certificate_verifier(verifier);
        let mut config = match identity {
            None => builder.with_no_client_auth(),
            Some(own) => builder.with_client_auth_cert(own.chain.clone(), own.key.clone_key()).map_err(wrong)?,
        };
        config.alpn_protocols = vec![ALPN.to_vec()];
        if !resumes {
            // Whoever was taken without a check must not be taken by a ticket later.
            config.resumption = Resumption::disabled();
        }
        Ok(Self { rule, name, config: Arc::new(config) })
    }

    /// Begin a handshake with the server at `host`.
    pub(super) fn engine(&self, host: &str) -> Result<Engine, Failure> {
        let name = match &self.name {
            Some(name) => name.clone(),
            None => ServerName::try_from(host.to_owned())
                .map_err(|_| Failure::Other(format!("{host} is no name that a certificate could be for")))?,
        };
        let connection = UnbufferedClientConnection::new(Arc::clone(&self.config), name);
        connection.map(Engine::client).map_err(|e| Failure::Other(e.to_string()))
    }
}

impl Authorities {
    pub(crate) fn new(roots: RootCertStore) -> Result<Self, TlsError> {
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider()).build();
        verifier.map(|v| Self(Some(v))).map_err(|e| TlsError::Authorities(e.to_string()))
    }

    pub(crate) fn pem(pem: &[u8]) -> Result<Self, TlsError> {
        Self::new(authorities(pem)?)
    }

    /// The system's. Blocks.
    pub(crate) fn system() -> Result<Self, TlsError> {
        let loaded = rustls_native_certs::load_native_certs();
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(loaded.certs);
        if roots.is_empty() {
            let why = loaded.errors.first().map_or_else(|| "none was found".to_owned(), ToString::to_string);
            return Err(TlsError::Authorities(format!("this system has no certificate authorities: {why}")));
        }
        Self::new(roots)
    }

    /// Nobody vouches for anybody.
    pub(crate) const fn none() -> Self {
        Self(None)
    }

    pub(crate) fn check(&self, host: &str, chain: &[CertificateDer<'_>]) -> Result<(), CertificateProblem> {
        let Ok(name) = ServerName::try_from(host) else {
            return Err(CertificateProblem::WrongName { names: Vec::new() });
        };
        match chain.split_first() {
            Some((own, others)) => self.verify(own, others, &name, UnixTime::now()),
            None => Err(CertificateProblem::Invalid("it has no certificate".into())),
        }
    }

    fn verify(
        &self,
        own: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), CertificateProblem> {
        let verifier = self.0.as_ref().ok_or(CertificateProblem::UnknownAuthority)?;
        match verifier.verify_server_cert(own, others, name, &[], now) {
            Ok(_) => Ok(()),
            Err(rustls::Error::InvalidCertificate(e)) => Err(certificate_problem(e)),
            Err(e) => Err(CertificateProblem::Invalid(e.to_string())),
        }
    }
}

/// A PEM file's authorities.
pub(crate) fn authorities_file(path: PathBuf) -> Result<Authorities, TlsError> {
    let pem = std::fs::read(&path).map_err(|source| TlsError::File { path, source })?;
    Authorities::pem(&pem)
}

#[derive(Debug)]
struct Verifier {
    rule: Rule,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        own: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let problem = match &self.rule {
            Rule::Expected(Expected::Anybody) => Ok(()),
            Rule::Expected(Expected::Authority(authorities)) => authorities.verify(own, others, name, now),
            Rule::Expected(Expected::Pin(expected)) => match fingerprint(own)? {
                found if found == *expected => Ok(()),
                found => Err(CertificateProblem::OtherKey { expected: *expected, found }),
            },
            Rule::App(app) => {
                let chain = std::iter::once(own).chain(others).map(|der| der.to_vec()).collect();
                let certificate = Certificate::new(fingerprint(own)?, chain);
                app.verify(&name.to_str(), &certificate).map_err(CertificateProblem::Rejected)
            }
        };
        problem.map(|()| ServerCertVerified::assertion()).map_err(CertificateProblem::into_error)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &provider().signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &provider().signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}
