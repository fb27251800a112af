//! People and rooms from outside: accounts, roles, moderation, directs; real sockets, frames as in PROTOCOL.md.

#[path = "../support/mod.rs"]
mod support;

mod accounts;
#[cfg(feature = "testing")]
mod clients;
mod directs;
mod moderation;
#[cfg(feature = "sqlite")]
mod restart;
mod steps;
