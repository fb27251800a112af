//! What guesses at secrets cost, and where they wait: by account and address, and by address; see [`Limits`].

use std::net::IpAddr;

use parking_lot::Mutex;

use super::conn::Conn;
use super::hashing::Pool;
use super::places::{Origin, TooMany};
use super::shared::Shared;
use super::toll;
use crate::auth::{Throttle, password};
use crate::id::PrincipalId;
use crate::limit::{Limits, Prefix};

/// What logins share.
#[derive(Debug)]
pub(super) struct Login {
    throttle: Mutex<Throttle>,
    pool: Pool,
}

impl Login {
    pub(super) fn new(limits: &Limits) -> Self {
        Self { throttle: Mutex::default(), pool: Pool::new(limits.passwords_waiting) }
    }

    /// Hash a password, in its turn.
    pub(super) async fn hash(&self, address: Option<IpAddr>, password: String) -> Result<String, TooMany> {
        let origin = Origin { prefix: address.map(Prefix::from), known: false };
        self.pool.run(origin, move || password::hash(&password)).await
    }
}

/// What a secret is shown for, as guesses are counted.
#[derive(Debug)]
pub(super) struct Guess<'a> {
    shared: &'a Shared,
    address: Option<IpAddr>,
    /// Whose it is: by account and address, guesses wait longer each time. None if nobody would guess it, for it is as
    /// long as a key.
    whose: Option<String>,
    /// Somebody who has come in already: what others guess from the same address is not in their way.
    known: bool,
}

impl<'a> Guess<'a> {
    pub(super) fn new(shared: &'a Shared, conn: &Conn, whose: Option<String>) -> Self {
        let address = conn.address.map(|a| a.ip());
        let comes = |whose: &String| shared.login.throttle.lock().knows(whose, address.map(Prefix::from));
        let known = whose.as_ref().is_some_and(comes);
        Self { shared, address, whose, known }
    }

    /// It is shown by the account itself, which is here.
    pub(super) fn at_home(self) -> Self {
        Self { known: true, ..self }
    }

    /// Milliseconds that it has to wait; none if it may be looked at.
    pub(super) fn wait(&self) -> Option<u32> {
        let Self { shared, address, whose, .. } = self;
        // Without limits there is none for this either.
        shared.tolls.as_ref()?;
        let (throttle, now) = (shared.login.throttle.lock(), shared.clock.now());
        let own = whose.as_ref().and_then(|whose| throttle.wait(whose, address.map(Prefix::from), now));
        drop(throttle);
        let own = own.map(|ms| u32::try_from(ms).unwrap_or(u32::MAX));
        let all = if self.known { None } else { toll::login(shared, *address) };
        own.max(all)
    }

    /// Compare a password with a hash, in its turn, and note whether it is the one.
    pub(super) async fn verify(&self, password: String, hash: Option<String>) -> Result<bool, TooMany> {
        let origin = Origin { prefix: self.address.map(Prefix::from), known: self.known };
        let right = self.shared.login.pool.run(origin, move || password::verify(&password, hash.as_deref())).await?;
        self.note(right);
        Ok(right)
    }

    pub(super) fn note(&self, right: bool) {
        let (shared, prefix, now) = (self.shared, self.address.map(Prefix::from), self.shared.clock.now());
        if let Some(whose) = &self.whose {
            let mut throttle = shared.login.throttle.lock();
            if right { throttle.worked(whose, prefix, now) } else { throttle.failed(whose, prefix, now) }
        }
        if !right {
            toll::login_failed(shared, self.address);
        }
    }
}

/// An account has come in from where this connection comes from.
pub(super) fn came(shared: &Shared, conn: &Conn, principal: PrincipalId) {
    let prefix = conn.address.map(|a| Prefix::from(a.ip()));
    shared.login.throttle.lock().came(&guesses(principal), prefix, shared.clock.now());
}

/// The name of nobody whom the server knows, as guesses are counted by it. Not longer than that, whatever it is.
pub(super) fn short(name: &str) -> String {
    name.chars().take(64).collect::<String>().to_lowercase()
}

/// Under what name a throttle counts the guesses of this account's password, whatever it is called meanwhile. No alias has
/// a control character.
pub(super) fn guesses(principal: PrincipalId) -> String {
    format!("\u{2}{principal}")
}
