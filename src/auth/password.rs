//! Passwords as argon2id hashes. Each call takes about 50 ms and 19 MiB: never on an async thread, never without a bound.

use std::sync::LazyLock;

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};

/// Shorter ones can be guessed, in bytes (NIST SP 800-63B).
pub(crate) const MIN_BYTES: usize = 8;

/// Longer ones would be work for a stranger, in bytes.
pub(crate) const MAX_BYTES: usize = 1024;

/// OWASP's parameters of 2025: 19 MiB, two passes, one lane.
fn argon2() -> Argon2<'static> {
    let params = Params::new(19 * 1024, 2, 1, None).expect("these parameters are within argon2's bounds");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

/// What an unknown account is compared with, so that it takes as long as a known one.
static DECOY: LazyLock<String> = LazyLock::new(|| hash("nobody has this password"));

/// Whether this may become a password.
pub(crate) fn fits(password: &str) -> bool {
    (MIN_BYTES..=MAX_BYTES).contains(&password.len())
}

/// Hash a password, under a salt of its own. Slow.
pub(crate) fn hash(password: &str) -> String {
    let hashed = argon2().hash_password(password.as_bytes());
    // It fails for passwords beyond 4 GiB, and without the operating system's random source.
    hashed.expect("a password within the bounds can be hashed").to_string()
}

/// Whether this is the password of the hash. Slow, and as slow without one, when the answer is no.
pub(crate) fn verify(password: &str, hash: Option<&str>) -> bool {
    let known = hash.and_then(|hash| PasswordHash::new(hash).ok());
    let decoy = || PasswordHash::new(&DECOY).expect("our own hash can be read");
    let is_known = known.is_some();
    let same = argon2().verify_password(password.as_bytes(), &known.unwrap_or_else(decoy)).is_ok();
    same && is_known && password.len() <= MAX_BYTES
}

/// Make the decoy now, not at the first login.
pub(crate) fn prepare() {
    LazyLock::force(&DECOY);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_password_itself_fits_its_hash() {
        let hash = hash("correct horse");
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert!(verify("correct horse", Some(&hash)));
        assert!(!verify("Correct horse", Some(&hash)));
        assert!(!verify("nobody has this password", None));
    }

    #[test]
    fn the_same_password_is_hashed_differently_each_time() {
        assert_ne!(hash("correct horse"), hash("correct horse"));
    }
}
