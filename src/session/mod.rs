//! One connection's protocol life: handshake and heartbeats on the server's side; outbox, its journal, cursor, credit
//! and reconnecting on the client's.
//! Pure: no clock, no socket, no lock.

pub(crate) mod backoff;
pub(crate) mod credit;
pub(crate) mod cursor;
pub(crate) mod handshake;
pub(crate) mod heartbeat;
pub(crate) mod journal;
pub(crate) mod outbox;
pub(crate) mod unread;
