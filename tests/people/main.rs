//! People and rooms from outside: accounts, roles, moderation, directs; real sockets, frames as in PROTOCOL.md.

#[path = "../support/mod.rs"]
mod support;

#[cfg(feature = "testing")]
mod about;
mod accounts;
#[cfg(feature = "testing")]
mod alias;
mod bounds;
#[cfg(feature = "testing")]
mod clients;
mod directs;
#[cfg(feature = "testing")]
mod export;
mod guesses;
mod moderation;
mod names;
mod order;
mod permissions;
#[cfg(feature = "sqlite")]
mod restart;
mod rooms;
#[cfg(feature = "testing")]
mod signals;
mod steps;
