//! A room is a log, a reader is a cursor: the log's tail, who is in the room, who came and went, and which publish
//! ids were taken. Pure: no clock, no socket, no lock.

mod ban;
mod batch;
mod members;
pub(crate) mod permission;
mod presence;
mod publishers;
mod tail;
mod typing;

pub use ban::BanTarget;
pub(crate) use ban::{Looks, Seen};
pub use batch::{Author, Batch, NewBatch, PublishId, Run};
pub(crate) use members::Members;
pub use permission::{Action, Role};
pub(crate) use presence::{Change, ChangeKind, Diff, Due, PresenceLog};
pub use publishers::Taken;
pub(crate) use publishers::{Epoch, Offer, Publishers};
pub(crate) use tail::{Chunk, Lookup, Tail};
pub(crate) use typing::{MAX_TYPING_MEMBERS, Typists};
