//! TLS between this library's server and clients, over real sockets.
#![cfg(feature = "tls")]
#![allow(unreachable_pub)] // what tests share

#[path = "../support/mod.rs"]
mod support;

mod certificates;
mod clients;
mod flood;
#[path = "../support/flood.rs"]
mod flood_tools;
mod reload;
mod strangers;
mod traffic;
mod trust;
