//! One connection's protocol life: handshake, heartbeats. Pure: no clock, no socket, no lock.

pub(crate) mod handshake;
pub(crate) mod heartbeat;
