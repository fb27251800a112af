//! The client library from outside: against the real server, and against scripted ones that misbehave.

#[path = "../support/mod.rs"]
mod support;

mod against_script;
mod against_server;
mod expired;
mod outbox_file;
mod resuming;
mod script;
mod under_fire;
