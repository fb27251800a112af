//! For tests, an embedder's own among them: networks that fail, and what every store has to keep to.
//!
//! The contract of any [`Log`](crate::store::Log): [`store_contract!`](crate::store_contract) makes a test of each of
//! its rules.

mod auth;
mod crossroads;
mod faults;
mod proxy;
pub mod store;

pub use auth::authenticator_contract;
pub use crossroads::{Crossroads, Road};
pub use faults::{Fault, Faulty, Plan};
pub use proxy::Proxy;

/// Numbers that look random and are the same for the same seed (SplitMix64, Steele, Lea, Flood 2014). Not for secrets.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// Begin with a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// True once in `n` times.
    pub(crate) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    pub(crate) fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len() as u64) as usize]
    }

    /// A number below `end`; 0 if that is 0.
    pub fn below(&mut self, end: u64) -> u64 {
        ((u128::from(self.next_u64()) * u128::from(end)) >> 64) as u64
    }
}
