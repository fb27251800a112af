//! Byte streams of the library's own. Any other that is `AsyncRead + AsyncWrite` will do as well.
//!
//! Nothing above this part knows whether a socket speaks TLS.

mod certificate;
pub mod memory;
mod socket;
pub(crate) mod stranger;
#[cfg(feature = "tls")]
pub mod tls;

pub use certificate::{Certificate, Fingerprint, FingerprintError};
pub(crate) use socket::{ClientStream, Socket};
