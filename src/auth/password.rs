//! Passwords as argon2id hashes. Each call takes about 50 ms and 19 MiB: never on an async thread, never without a bound.

use std::cell::RefCell;
use std::sync::LazyLock;

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::password_hash::{self, CustomizedPasswordHasher, PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Block, Params, Version};

/// Shorter ones can be guessed, in bytes (NIST SP 800-63B).
pub(crate) const MIN_BYTES: usize = 8;

/// Longer ones would be work for a stranger, in bytes.
pub(crate) const MAX_BYTES: usize = 1024;

/// OWASP's parameters of 2025: 19 MiB, two passes, one lane.
fn params() -> Params {
    Params::new(19 * 1024, 2, 1, None).expect("these parameters are within argon2's bounds")
}

thread_local! {
    /// What a thread fills with a password, kept for the next one. Memory that is asked for anew each time, at argon2's
    /// alignment, is not found again by glibc's allocator: a few checks one after the other had come to 300 MiB.
    static MEMORY: RefCell<Vec<Block>> = const { RefCell::new(Vec::new()) };
}

/// Argon2, in memory that is kept.
#[derive(Debug)]
struct Hasher;

impl PasswordHasher<PasswordHash> for Hasher {
    fn hash_password_with_salt(&self, password: &[u8], salt: &[u8]) -> password_hash::Result<PasswordHash> {
        self.hash_password_customized(password, salt, None, None, params())
    }
}

impl CustomizedPasswordHasher<PasswordHash> for Hasher {
    type Params = Params;

    fn hash_password_customized(
        &self,
        password: &[u8],
        salt: &[u8],
        algorithm: Option<&str>,
        version: Option<password_hash::Version>,
        params: Params,
    ) -> password_hash::Result<PasswordHash> {
        let algorithm = algorithm.map(Algorithm::try_from).transpose()?.unwrap_or(Algorithm::Argon2id);
        let version = version.map(Version::try_from).transpose()?.unwrap_or(Version::V0x13);
        let mut out = [0; Output::MAX_LENGTH];
        let len = params.output_len().unwrap_or(Params::DEFAULT_OUTPUT_LEN);
        let out = out.get_mut(..len).ok_or(password_hash::Error::OutputSize)?;
        let (blocks, salt) = (params.block_count(), Salt::new(salt)?);
        MEMORY.with_borrow_mut(|memory| {
            if memory.len() < blocks {
                // Nothing of what is in it is of use: not to be copied.
                *memory = vec![Block::default(); blocks];
            }
            let argon2 = Argon2::new(algorithm, version, params.clone());
            argon2.hash_password_into_with_memory(password, &salt, out, &mut memory[..blocks])
        })?;
        Ok(PasswordHash {
            algorithm: algorithm.ident(),
            version: Some(version.into()),
            params: ParamsString::try_from(&params)?,
            salt: Some(salt),
            hash: Some(Output::new(out)?),
        })
    }
}

/// What an unknown account is compared with, so that it takes as long as a known one.
static DECOY: LazyLock<String> = LazyLock::new(|| hash("nobody has this password"));

/// Whether this may become a password.
pub(crate) fn fits(password: &str) -> bool {
    (MIN_BYTES..=MAX_BYTES).contains(&password.len())
}

/// Hash a password, under a salt of its own. Slow.
pub(crate) fn hash(password: &str) -> String {
    let hashed = Hasher.hash_password(password.as_bytes());
    // It fails for passwords beyond 4 GiB, and without the operating system's random source.
    hashed.expect("a password within the bounds can be hashed").to_string()
}

/// Whether this is the password of the hash. Slow, and as slow without one, when the answer is no.
pub(crate) fn verify(password: &str, hash: Option<&str>) -> bool {
    let known = hash.and_then(|hash| PasswordHash::new(hash).ok());
    let decoy = || PasswordHash::new(&DECOY).expect("our own hash can be read");
    let is_known = known.is_some();
    let same = Hasher.verify_password(password.as_bytes(), &known.unwrap_or_else(decoy)).is_ok();
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
    fn it_is_argon2_whatever_was_hashed_before() {
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params());
        for password in ["correct horse", "battery staple"] {
            let (ours, theirs) = (hash(password), argon2.hash_password(password.as_bytes()).unwrap().to_string());
            assert!(argon2.verify_password(password.as_bytes(), ours.as_str()).is_ok());
            assert!(verify(password, Some(&theirs)));
        }
        // Of other parameters, as an application may have kept them.
        let small = Argon2::new(Algorithm::Argon2i, Version::V0x10, Params::new(64, 3, 1, Some(16)).unwrap());
        let theirs = small.hash_password(b"correct horse").unwrap().to_string();
        assert!(verify("correct horse", Some(&theirs)) && !verify("battery staple", Some(&theirs)));
    }

    #[test]
    fn the_same_password_is_hashed_differently_each_time() {
        assert_ne!(hash("correct horse"), hash("correct horse"));
    }
}
