//! One connection's protocol life: handshake and heartbeats on the server's side, outbox and cursor on the client's.
//! Pure: no clock, no socket, no lock.

pub(crate) mod cursor;
pub(crate) mod handshake;
pub(crate) mod heartbeat;
pub(crate) mod outbox;
