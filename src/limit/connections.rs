//! How many connections there are.

use std::collections::HashMap;
use std::net::IpAddr;

use super::Prefix;

/// How many connections there are, altogether and by address.
#[derive(Debug)]
pub(crate) struct Connections {
    max: usize,
    max_per_address: usize,
    open: usize,
    by_address: HashMap<Prefix, usize>,
}

/// Why no further connection is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    /// The server has as many as it takes.
    Server,
    /// The address has as many as it may have.
    Address,
    /// Too many came from the address in a short time.
    Fast,
}

impl Connections {
    pub(crate) fn new(max: usize, max_per_address: usize) -> Self {
        Self { max, max_per_address, open: 0, by_address: HashMap::new() }
    }

    /// Count one more; what is entered must [`leave`](Self::leave).
    pub(crate) fn enter(&mut self, address: Option<IpAddr>) -> Result<(), Full> {
        if self.open >= self.max {
            return Err(Full::Server);
        }
        if let Some(address) = address {
            let n = self.by_address.entry(address.into()).or_default();
            if *n >= self.max_per_address {
                return Err(Full::Address);
            }
            *n += 1;
        }
        self.open += 1;
        Ok(())
    }

    /// One is gone.
    pub(crate) fn leave(&mut self, address: Option<IpAddr>) {
        self.open = self.open.saturating_sub(1);
        let Some(prefix) = address.map(Prefix::from) else { return };
        if let Some(n) = self.by_address.get_mut(&prefix) {
            *n -= 1;
            if *n == 0 {
                self.by_address.remove(&prefix);
            }
        }
    }

    pub(crate) fn open(&self) -> usize {
        self.open
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_can_not_take_all_places() {
        let mut connections = Connections::new(3, 2);
        let (a, b): (IpAddr, IpAddr) = ("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap());
        assert_eq!([connections.enter(Some(a)), connections.enter(Some(a))], [Ok(()), Ok(())]);
        assert_eq!(connections.enter(Some(a)), Err(Full::Address));
        assert_eq!(connections.enter(Some(b)), Ok(()));
        assert_eq!(connections.enter(None), Err(Full::Server));
        connections.leave(Some(a));
        assert_eq!(connections.enter(Some(a)), Ok(()));
    }
}
