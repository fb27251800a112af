//! chatnet
pub mod id;
pub mod protocol;
mod text;
