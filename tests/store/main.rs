//! Stores from outside.
#![cfg(all(feature = "sqlite", feature = "testing"))]

mod contract;
