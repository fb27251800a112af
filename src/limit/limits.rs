//! What may be set.

use std::net::IpAddr;
use std::time::Duration;

use super::{Network, Rate};

/// How fast sessions, accounts and addresses may do things, for [`ServerBuilder::limits`](crate::ServerBuilder::limits).
///
/// The defaults are met neither by a fast person with several devices nor by an office of five hundred behind one
/// address (steady rate, and burst):
///
/// | | a session | an account | an address |
/// |---|---|---|---|
/// | messages | 50/s, 500 | 100/s, 1,000 | 1,000/s, 5,000 |
/// | bytes of messages | 512 KiB/s, 4 MiB | 1 MiB/s, 8 MiB | 16 MiB/s, 64 MiB |
/// | joins | 10/s, 200 | 30/s, 600 | 500/s, 10,000 |
/// | new rooms | 30/min, 150 | 60/min, 300 | 600/min, 5,000 |
/// | reads: history, search, lists of members | 20/s, 200 | 40/s, 400 | 1,000/s, 5,000 |
/// | frames of any kind | 200/s, 2,000 | 400/s, 4,000 | 2,500/s, 5,000 |
/// | new connections | | | 100/s, 1,000 |
/// | passwords and codes that were wrong | | | 1/s, 1,000 |
/// | other aliases | | 2/min, 5 (guests too) | |
///
/// An address with more than 32 connections is read a little of each in turn: however many they are, they are in the
/// others' way like a few. [Exempt](Self::exempt) a proxy.
///
/// An address is an IPv4 address, or an IPv6 network of 64 bits. What the application itself publishes is not limited.
///
/// Whoever guesses at one account from one address waits besides: after five wrong passwords 1 s, and each time twice as
/// long, up to 300 s, until one is right or an hour has passed. That holds for exempt addresses too, and doesn't hold
/// without limits ([`NONE`](Self::NONE)). Others aren't held up by it, nor by the address's limit if they have come in
/// from that address before: nobody locks another out.
///
/// Who is over a limit is told so with the code `rate_limited` and a time to wait; a message is not lost by it, for
/// clients send it again after that time, and nothing overtakes it. Who goes on nevertheless isn't read from for
/// [`cool_off`](Self::cool_off); for the third time within a minute or so it is disconnected. Frames are different:
/// nobody is refused for them, the server just reads no faster.
///
/// ```
/// use chatnet::{Limits, Rate, Server};
///
/// let mut limits = Limits::default();
/// limits.session.messages = Rate::per_second(2, 10);
/// limits.exempt.push("10.0.0.0/8".parse()?);
/// let builder = Server::builder().limits(limits);
/// # Ok::<(), chatnet::NetworkError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Limits {
    /// What one session may do. It outlives a broken connection, and so does what it has used.
    pub session: Rates,
    /// What one account may do, by all of its sessions together.
    pub account: Rates,
    /// What all sessions from one address may do together.
    pub address: Rates,
    /// New connections from one address. One too many is told `too_many_connections`, and closed.
    pub connections: Rate,
    /// Passwords and codes from one address that were wrong. Right ones cost nothing. One too many is told
    /// `too_many_logins`, and nothing is checked; but an account that has come in from the address before is let try, and
    /// so is a session that proves its password anew. The default is an office of five hundred that mistypes twice in the
    /// morning.
    pub logins: Rate,
    /// Passwords from one address that may wait to be checked at a time; one more is told `busy`. Those of accounts that
    /// have come in from the address before are counted apart, so that a flood of guesses is not in their way. At least
    /// 1; all addresses together have 256. Default: 16.
    pub passwords_waiting: usize,
    /// How often one person may change their alias: it is told in every room that they are in.
    pub renames: Rate,
    /// Addresses that only [`ServerBuilder::max_connections`](crate::ServerBuilder::max_connections) holds for: a
    /// proxy, a bridge, a machine that measures. Default: none.
    pub exempt: Vec<Network>,
    /// How long nothing is read from a session that goes on though it was told to wait. Default: 5 s.
    pub cool_off: Duration,
    /// So many addresses are told apart, at about 250 bytes each; those beyond count as one. Who is quiet is
    /// forgotten. Default: 131,072.
    pub max_addresses: usize,
}

/// How fast some things may be done.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Rates {
    /// Messages.
    pub messages: Rate,
    /// Bytes of messages. One is taken whole if there is anything left, however large it is.
    pub bytes: Rate,
    /// Joins of rooms.
    pub joins: Rate,
    /// Rooms that are made by joining them.
    pub rooms: Rate,
    /// Requests for history, searches, and lists of members.
    pub reads: Rate,
    /// Frames of any kind.
    pub frames: Rate,
}

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

impl Default for Limits {
    fn default() -> Self {
        Self {
            session: Rates {
                messages: Rate::per_second(50, 500),
                bytes: Rate::per_second(512 * KIB, 4 * MIB),
                joins: Rate::per_second(10, 200),
                rooms: Rate::per_minute(30, 150),
                reads: Rate::per_second(20, 200),
                frames: Rate::per_second(200, 2000),
            },
            account: Rates {
                messages: Rate::per_second(100, 1000),
                bytes: Rate::per_second(MIB, 8 * MIB),
                joins: Rate::per_second(30, 600),
                rooms: Rate::per_minute(60, 300),
                reads: Rate::per_second(40, 400),
                frames: Rate::per_second(400, 4000),
            },
            address: Rates {
                messages: Rate::per_second(1000, 5000),
                bytes: Rate::per_second(16 * MIB, 64 * MIB),
                joins: Rate::per_second(500, 10_000),
                rooms: Rate::per_minute(600, 5000),
                reads: Rate::per_second(1000, 5000),
                frames: Rate::per_second(2500, 5000),
            },
            connections: Rate::per_second(100, 1000),
            logins: Rate::per_second(1, 1000),
            passwords_waiting: 16,
            renames: Rate::per_minute(2, 5),
            exempt: Vec::new(),
            cool_off: Duration::from_secs(5),
            max_addresses: 131_072,
        }
    }
}

impl Rates {
    /// No limits.
    pub const NONE: Rates = Rates {
        messages: Rate::NONE,
        bytes: Rate::NONE,
        joins: Rate::NONE,
        rooms: Rate::NONE,
        reads: Rate::NONE,
        frames: Rate::NONE,
    };

    fn are_valid(&self) -> bool {
        [self.messages, self.bytes, self.joins, self.rooms, self.reads, self.frames].iter().all(Rate::is_valid)
    }
}

impl Limits {
    /// No limits: for trusted networks, and to measure.
    pub const NONE: Limits = Limits {
        session: Rates::NONE,
        account: Rates::NONE,
        address: Rates::NONE,
        connections: Rate::NONE,
        logins: Rate::NONE,
        passwords_waiting: usize::MAX,
        renames: Rate::NONE,
        exempt: Vec::new(),
        cool_off: Duration::ZERO,
        max_addresses: 0,
    };

    pub(crate) fn are_valid(&self) -> bool {
        [&self.session, &self.account, &self.address].iter().all(|rates| rates.are_valid())
            && [self.connections, self.logins, self.renames].iter().all(Rate::is_valid)
            && self.passwords_waiting > 0
            && self.cool_off <= Duration::from_secs(3600)
    }

    pub(crate) fn is_exempt(&self, address: IpAddr) -> bool {
        self.exempt.iter().any(|network| network.contains(address))
    }
}
