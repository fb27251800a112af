//! Certificates of one's own: made at the first start, renewed with the same key, so that pins hold.

use std::sync::Arc;
use std::time::Duration;

use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair};
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use time::OffsetDateTime;

use super::{TlsError, provider};

/// How long a certificate of one's own is valid. Who pins its key doesn't look; who uses it as an authority does.
const VALIDITY: Duration = Duration::from_secs(365 * 86_400);

/// It is valid from a day before it is made, so that a clock that is a little behind takes it.
const BACKDATED: Duration = Duration::from_secs(86_400);

/// A private key and a certificate that its owner has signed.
#[derive(Clone)]
pub struct SelfSigned {
    key_pem: String,
    certificate_pem: String,
}

impl std::fmt::Debug for SelfSigned {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SelfSigned").field("key", &"…").field("certificate", &self.certificate_pem).finish()
    }
}

impl SelfSigned {
    /// Make a key (ECDSA, P-256) and a certificate for these host names and addresses, valid for a year.
    ///
    /// # Errors
    ///
    /// A name can't stand in a certificate.
    pub fn generate(names: &[String]) -> Result<Self, TlsError> {
        Self::sign(&KeyPair::generate().map_err(made)?, names, OffsetDateTime::now_utc())
    }

    /// Make a new certificate for the key in `key_pem`: its fingerprint stays.
    ///
    /// # Errors
    ///
    /// The key can't be read, or a name can't stand in a certificate.
    pub fn renew(key_pem: &str, names: &[String]) -> Result<Self, TlsError> {
        let key =
            KeyPair::from_pem(key_pem).map_err(|e| TlsError::Key(format!("the private key can't be read: {e}")))?;
        Self::sign(&key, names, OffsetDateTime::now_utc())
    }

    fn sign(key: &KeyPair, names: &[String], now: OffsetDateTime) -> Result<Self, TlsError> {
        let mut params = CertificateParams::new(names.to_vec()).map_err(made)?;
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "chatnet server");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.not_before = now - BACKDATED;
        params.not_after = now + VALIDITY;
        let certificate = params.self_signed(key).map_err(made)?;
        Ok(Self { key_pem: key.serialize_pem(), certificate_pem: certificate.pem() })
    }

    /// The private key, in PEM. Keep it where nobody else reads it.
    pub fn key_pem(&self) -> &str {
        &self.key_pem
    }

    /// The certificate, in PEM.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// Whether a certificate of one's own is still good for all of these names, `ahead` of now.
    pub fn is_good(certificate_pem: &str, names: &[String], ahead: Duration) -> bool {
        check(certificate_pem, names, ahead).is_some()
    }
}

fn check(certificate_pem: &str, names: &[String], ahead: Duration) -> Option<()> {
    let certificate = CertificateDer::from_pem_slice(certificate_pem.as_bytes()).ok()?;
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).ok()?;
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider()).build().ok()?;
    let then = UnixTime::since_unix_epoch(Duration::from_secs(UnixTime::now().as_secs()) + ahead);
    for name in names {
        let name = ServerName::try_from(name.as_str()).ok()?;
        verifier.verify_server_cert(&certificate, &[], &name, &[], then).ok()?;
    }
    Some(())
}

fn made(e: rcgen::Error) -> TlsError {
    TlsError::Certificate(format!("a certificate can't be made: {e}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::tls::fingerprint;

    #[test]
    fn a_renewed_certificate_has_the_same_fingerprint_and_a_new_term() {
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
        let key = KeyPair::generate().unwrap();
        let nearly_a_year_ago = OffsetDateTime::now_utc() - Duration::from_secs(350 * 86_400);
        let old = SelfSigned::sign(&key, &names, nearly_a_year_ago).unwrap();
        let month = Duration::from_secs(30 * 86_400);
        assert!(SelfSigned::is_good(old.certificate_pem(), &names, Duration::ZERO));
        assert!(!SelfSigned::is_good(old.certificate_pem(), &names, month));
        let new = SelfSigned::renew(old.key_pem(), &names).unwrap();
        assert!(SelfSigned::is_good(new.certificate_pem(), &names, month));
        assert!(!SelfSigned::is_good(new.certificate_pem(), &["elsewhere".to_owned()], Duration::ZERO));
        let print = |pem: &str| fingerprint(&CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()).unwrap();
        assert_eq!(print(old.certificate_pem()), print(new.certificate_pem()));
        assert_ne!(old.certificate_pem(), new.certificate_pem());
    }
}
