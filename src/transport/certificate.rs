//! Who a peer is, as its certificate says.

use std::fmt;
use std::str::FromStr;

/// SHA-256 of a certificate's public key (its SPKI): it stays when the certificate is renewed with the same key.
///
/// ```
/// # use chatnet::transport::Fingerprint;
/// let text = format!("sha256:{}", "ab".repeat(32));
/// let fingerprint: Fingerprint = text.parse()?;
/// assert_eq!(fingerprint.to_string(), text);
/// # Ok::<(), chatnet::transport::FingerprintError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// The hash as it is.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Fingerprint {
    type Err = FingerprintError;

    /// Read what `Display` writes. Capital letters and colons between the digits, as other tools write them, will do.
    fn from_str(text: &str) -> Result<Self, FingerprintError> {
        let text = text.trim();
        let digits = text.get(..7).filter(|head| head.eq_ignore_ascii_case("sha256:")).ok_or(FingerprintError)?;
        let digits: Vec<u32> = text[digits.len()..]
            .chars()
            .filter(|c| *c != ':')
            .map(|c| c.to_digit(16).ok_or(FingerprintError))
            .collect::<Result<_, _>>()?;
        let mut bytes = [0; 32];
        if digits.len() != 2 * bytes.len() {
            return Err(FingerprintError);
        }
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
            *byte = (pair[0] * 16 + pair[1]) as u8;
        }
        Ok(Self(bytes))
    }
}

/// A text is no fingerprint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FingerprintError;

impl fmt::Display for FingerprintError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a fingerprint is sha256: and 64 hexadecimal digits, as the server prints it when it starts")
    }
}

impl std::error::Error for FingerprintError {}

/// What a peer has proved to be: its certificates, and its key's fingerprint.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Certificate {
    /// SHA-256 of the public key.
    pub fingerprint: Fingerprint,
    /// The certificates, in DER: the peer's own first, then those that vouch for it.
    pub chain: Vec<Vec<u8>>,
}

#[cfg(feature = "tls")]
impl Certificate {
    pub(crate) fn new(fingerprint: Fingerprint, chain: Vec<Vec<u8>>) -> Self {
        Self { fingerprint, chain }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_read_as_it_is_written_and_as_other_tools_write_it() {
        let fingerprint = Fingerprint::from_bytes(std::array::from_fn(|i| i as u8 * 7));
        let text = fingerprint.to_string();
        assert_eq!(text.parse(), Ok(fingerprint));
        assert_eq!(text.to_uppercase().parse(), Ok(fingerprint));
        let pairs: Vec<_> = text.as_bytes()[7..].chunks(2).map(|b| String::from_utf8_lossy(b).into_owned()).collect();
        assert_eq!(format!("SHA256:{}", pairs.join(":")).parse(), Ok(fingerprint));
        for wrong in ["", "sha256:", &text[..70], "md5:00", &format!("{text}0"), "sha256:zz", "sha25é:0"] {
            assert_eq!(wrong.parse::<Fingerprint>(), Err(FingerprintError), "{wrong}");
        }
    }
}
