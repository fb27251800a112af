//! TLS, by rustls and ring. Every configuration names its provider: nothing is installed for the whole process.
//!
//! What it costs a server, measured by `benches/tls.rs` on a machine of two processors that others used too (busy rooms,
//! where it is 0.02 µs a delivery, are in `benches/README.md`):
//!
//! | | plaintext | TLS 1.3 | what dominates |
//! |---|---|---|---|
//! | an idle connection | 3.6 KB | 7.2 KB | rustls' keys and state, 3.5 KB; no buffer is kept |
//! | an unfinished handshake | | 20 KB | the handshake's state and transcript |
//! | CPU a delivery, one message at a time | 7.0 µs | 8.0 µs | the system call |
//! | CPU a connection, opened and closed | 0.19 ms | 0.54 ms | two more round trips' calls and wake-ups, 0.2 ms; computing, 0.14 ms |
//! | the same, resumed | | 0.44 ms | the same, without a signature |
//! | p99 of 50 who chat | 2.3 ms | 2.0 ms; in a flood of 2,000 handshakes a second 2.3 ms | |

mod client;
mod engine;
mod failure;
mod handshake;
mod own;
mod server;
mod socket;
mod stream;

use std::fmt;
use std::sync::{Arc, LazyLock};

use ring::digest::{SHA256, digest};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::server::ParsedCertificate;

use super::Fingerprint;

pub use client::{ClientTls, VerifyServer};
pub use failure::CertificateProblem;
pub use own::SelfSigned;
pub use server::ServerTls;

pub(crate) use client::{Authorities, Expected, authorities_file};
pub(crate) use failure::{Failure, refused};
pub(crate) use handshake::{Handshakes, Refusal};
pub(crate) use server::Identity;
pub(crate) use socket::TlsSocket;
pub(crate) use stream::TlsStream;

/// What both sides call the protocol inside.
pub(crate) const ALPN: &[u8] = b"chatnet/1";

fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> =
        LazyLock::new(|| Arc::new(rustls::crypto::ring::default_provider()));
    Arc::clone(&PROVIDER)
}

fn fingerprint(certificate: &CertificateDer<'_>) -> Result<Fingerprint, rustls::Error> {
    let key = ParsedCertificate::try_from(certificate)?.subject_public_key_info();
    let hash = digest(&SHA256, &key);
    let mut bytes = [0; 32];
    bytes.copy_from_slice(hash.as_ref());
    Ok(Fingerprint::from_bytes(bytes))
}

/// Why TLS can't be set up: a certificate, a key or a list of authorities that won't do.
#[derive(Debug)]
#[non_exhaustive]
pub enum TlsError {
    /// A file can't be read.
    File {
        /// Which.
        path: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A certificate won't do.
    Certificate(String),
    /// A private key won't do.
    Key(String),
    /// There are no authorities to trust.
    Authorities(String),
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, source } => write!(f, "{} can't be read: {source}", path.display()),
            Self::Certificate(why) | Self::Key(why) | Self::Authorities(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for TlsError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::File { source, .. } => Some(source),
            _ => None,
        }
    }
}
