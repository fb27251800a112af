//! Addresses, and networks of them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// Who counts as one address: an IPv4 address, or an IPv6 network of 64 bits (what one household or machine has).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Prefix {
    V4(Ipv4Addr),
    V6([u8; 8]),
}

impl From<IpAddr> for Prefix {
    fn from(address: IpAddr) -> Self {
        let v6 = |a: Ipv6Addr| {
            let mut prefix = [0; 8];
            prefix.copy_from_slice(&a.octets()[..8]);
            Prefix::V6(prefix)
        };
        match address {
            IpAddr::V4(a) => Prefix::V4(a),
            IpAddr::V6(a) => a.to_ipv4_mapped().map_or_else(|| v6(a), Prefix::V4),
        }
    }
}

/// A network of addresses, such as `10.0.0.0/8` or `2001:db8::/32`; a lone address is a network of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Network {
    /// Its first address; an IPv4 network as the IPv6 one that maps it.
    first: u128,
    len: u8,
}

/// An IPv4 network's prefix is so much longer in the IPv6 one that maps it.
const MAPPED: u8 = 96;

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(a) => a.to_ipv6_mapped().to_bits(),
        IpAddr::V6(a) => a.to_bits(),
    }
}

impl Network {
    fn new(address: u128, len: u8) -> Self {
        Self { first: first(address, len), len }
    }

    /// What counts as one address: an IPv4 address alone, an IPv6 address with its network of 64 bits, for that is what
    /// one household or machine has.
    pub fn around(address: IpAddr) -> Self {
        let canonical = address.to_canonical();
        Self::new(bits(canonical), if canonical.is_ipv4() { 128 } else { 64 })
    }

    /// Whether an address is in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        first(bits(address), self.len) == self.first
    }
}

/// The first address of a network.
fn first(address: u128, len: u8) -> u128 {
    address & u128::MAX.checked_shl(128 - u32::from(len)).unwrap_or(0)
}

impl From<IpAddr> for Network {
    fn from(address: IpAddr) -> Self {
        Self::new(bits(address), 128)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = Ipv6Addr::from_bits(self.first);
        match first.to_ipv4_mapped().filter(|_| self.len >= MAPPED) {
            Some(first) => write!(f, "{first}/{}", self.len - MAPPED),
            None => write!(f, "{first}/{}", self.len),
        }
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(raw: &str) -> Result<Self, NetworkError> {
        let (address, len) = raw.split_once('/').map_or((raw, None), |(address, len)| (address, Some(len)));
        let wrong = || NetworkError(raw.to_owned());
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let max = if address.is_ipv4() { 32 } else { 128 };
        let len = len.map_or(Ok(max), |len| len.parse::<u8>().ok().filter(|len| *len <= max).ok_or_else(wrong))?;
        Ok(Self::new(bits(address), 128 - max + len))
    }
}

/// A text that is no network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkError(String);

impl fmt::Display for NetworkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is not a network; expected one like 10.0.0.0/8, 2001:db8::/32 or a lone address", self.0)
    }
}

impl std::error::Error for NetworkError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_ipv6_network_counts_as_one_address() {
        let [a, b, c]: [IpAddr; 3] = ["2001:db8::1", "2001:db8::2:3", "2001:db8:1::1"].map(|s| s.parse().unwrap());
        assert_eq!(Prefix::from(a), Prefix::from(b));
        assert_ne!(Prefix::from(a), Prefix::from(c));
        let mapped: IpAddr = "::ffff:10.0.0.1".parse().unwrap();
        assert_eq!(Prefix::from(mapped), Prefix::V4(Ipv4Addr::new(10, 0, 0, 1)));
    }

    #[test]
    fn a_network_has_its_addresses_and_no_others() {
        let has = |network: &str, address: &str| network.parse::<Network>().unwrap().contains(address.parse().unwrap());
        assert!(has("10.0.0.0/8", "10.200.3.4") && has("10.0.0.0/8", "::ffff:10.1.1.1"));
        assert!(!has("10.0.0.0/8", "11.0.0.1") && !has("10.0.0.1", "10.0.0.2") && has("10.0.0.1", "10.0.0.1"));
        assert!(has("2001:db8::/32", "2001:db8:ffff::1") && !has("2001:db8::/32", "2001:db9::1"));
        assert!(has("0.0.0.0/0", "1.2.3.4") && !has("0.0.0.0/0", "2001:db8::1") && has("::/0", "1.2.3.4"));
        assert!(has("::ffff:10.0.0.0/104", "10.200.3.4"));
        for wrong in ["", "10.0.0.0/33", "10.0.0/8", "::/129", "x", "10.0.0.0/"] {
            assert!(wrong.parse::<Network>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_network_is_written_as_it_is_read_whatever_address_of_it_was_named() {
        let written = |network: &str| network.parse::<Network>().unwrap().to_string();
        assert_eq!(written("10.1.2.3/8"), "10.0.0.0/8");
        assert_eq!(["10.0.0.1", "0.0.0.0/0", "::/0"].map(written), ["10.0.0.1/32", "0.0.0.0/0", "::/0"]);
        assert_eq!(["2001:db8::1/32", "::1"].map(written), ["2001:db8::/32", "::1/128"]);
        let around = |address: &str| Network::around(address.parse().unwrap()).to_string();
        assert_eq!(
            ["10.0.0.1", "::ffff:10.0.0.1", "2001:db8::1:2"].map(around),
            ["10.0.0.1/32", "10.0.0.1/32", "2001:db8::/64"]
        );
    }
}
