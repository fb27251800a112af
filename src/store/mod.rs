//! Where rooms' logs are kept: the port, and the store in memory.

mod memory;

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use futures::future::BoxFuture;

use crate::id::{Lineage, RoomId, Seq, Timestamp};
use crate::room::{Batch, NewBatch};

pub(crate) use memory::MemoryLog;

/// Rooms as append-only logs.
///
/// An implementation numbers a room's events from 1 without gaps, and never lets a room's times go backwards.
pub(crate) trait Log: fmt::Debug + Send + Sync + 'static {
    /// This life of the store: seqs of another one mean nothing here.
    fn lineage(&self) -> Lineage;

    /// Append all of `batches`, in this order, or none of them. Once it resolves they are kept.
    ///
    /// # Errors
    ///
    /// Nothing was appended.
    fn append(
        &self,
        batches: Vec<NewBatch>,
        now: Timestamp,
    ) -> impl Future<Output = Result<Vec<Arc<Batch>>, StoreError>> + Send;

    /// Read events behind `after`, in order: whole batches of about `max_bytes` together, at least one if there is
    /// one. The first may begin before `after`.
    fn read(
        &self,
        room: RoomId,
        after: Seq,
        max_bytes: usize,
    ) -> impl Future<Output = Result<ReadPage, StoreError>> + Send;

    /// Drop a room that has ended.
    fn forget(&self, room: RoomId) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// What a read found.
#[derive(Debug, Default)]
pub(crate) struct ReadPage {
    /// The last event that is no longer kept, if the reader wanted it.
    pub(crate) trimmed: Option<Seq>,
    pub(crate) batches: Vec<Arc<Batch>>,
}

/// A store that could not do what it was asked to; nothing was changed.
#[derive(Debug, Clone)]
pub(crate) struct StoreError(pub(crate) String);

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the store failed: {}", self.0)
    }
}

impl std::error::Error for StoreError {}

/// [`Log`] as a trait object.
pub(crate) trait DynLog: fmt::Debug + Send + Sync {
    fn lineage(&self) -> Lineage;
    fn append(&self, batches: Vec<NewBatch>, now: Timestamp) -> BoxFuture<'_, Result<Vec<Arc<Batch>>, StoreError>>;
    fn read(&self, room: RoomId, after: Seq, max_bytes: usize) -> BoxFuture<'_, Result<ReadPage, StoreError>>;
    fn forget(&self, room: RoomId) -> BoxFuture<'_, Result<(), StoreError>>;
}

impl<L: Log> DynLog for L {
    fn lineage(&self) -> Lineage {
        Log::lineage(self)
    }

    fn append(&self, batches: Vec<NewBatch>, now: Timestamp) -> BoxFuture<'_, Result<Vec<Arc<Batch>>, StoreError>> {
        Box::pin(Log::append(self, batches, now))
    }

    fn read(&self, room: RoomId, after: Seq, max_bytes: usize) -> BoxFuture<'_, Result<ReadPage, StoreError>> {
        Box::pin(Log::read(self, room, after, max_bytes))
    }

    fn forget(&self, room: RoomId) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(Log::forget(self, room))
    }
}
