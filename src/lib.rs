//! chatnet
#![allow(dead_code, unused_imports)] // while the pieces are put together
pub mod id;
pub mod protocol;
mod room;
mod rt;
pub mod text;
