//! The server from outside: real sockets, frames as they stand in PROTOCOL.md.

#[path = "../support/mod.rs"]
mod support;

mod crossing;
mod handlers;
mod hostile;
mod limits;
mod publishing;
mod resume;
mod retention;
mod rooms;
mod session;
mod store;
