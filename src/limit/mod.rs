//! How much anybody may have: pure counters, which the server asks before it gives.
//!
//! Three questions, each with its own means: how many connections there may be at once ([`Connections`]), how fast one
//! may do things ([`Limits`]: token buckets, in a [`Meter`] for each session, account and address), and what becomes of
//! those who go on when they were told to wait ([`Conduct`]).

mod bucket;
mod conduct;
mod connections;
mod limits;
mod meter;
mod prefix;

pub(crate) use bucket::Bucket;
pub use bucket::Rate;
pub(crate) use conduct::{Conduct, Sentence};
pub(crate) use connections::{Connections, Full};
pub use limits::{Limits, Rates};
pub(crate) use meter::{Meter, Meters, What};
pub(crate) use prefix::Prefix;
pub use prefix::{Network, NetworkError};
