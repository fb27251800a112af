//! [`Log`] as a trait object.

use std::fmt;
use std::sync::Arc;

use futures::future::BoxFuture;

use super::{AuditRecord, Commit, Extent, Log, OutboxRecord, ReadPage, Retention, SearchPage, Snapshot, StoreError};
use crate::id::{Lineage, OutboxId, RoomId, Seq, Timestamp};
use crate::protocol::EventKind;
use crate::room::{Batch, Taken};

type Answer<'a, T> = BoxFuture<'a, Result<T, StoreError>>;

/// The object-safe twin of [`Log`], as far as a server needs it; every `Log` is one.
pub(crate) trait DynLog: fmt::Debug + Send + Sync {
    fn lineage(&self) -> Lineage;
    fn load(&self) -> Answer<'_, Snapshot>;
    fn append(&self, commit: Commit) -> Answer<'_, Vec<Arc<Batch>>>;
    fn read(&self, room: RoomId, after: Seq, max_bytes: usize) -> Answer<'_, ReadPage>;
    fn extent(&self, room: RoomId) -> Answer<'_, Extent>;
    fn seq_at(&self, room: RoomId, at: Timestamp) -> Answer<'_, Seq>;
    fn search<'a>(&'a self, room: RoomId, query: &'a str, before: Seq, limit: usize) -> Answer<'a, SearchPage>;
    fn outbox(&self, room: RoomId, outbox: OutboxId) -> Answer<'_, Option<OutboxRecord>>;
    fn taken(&self, room: RoomId, outbox: OutboxId, n: u64) -> Answer<'_, Option<Taken>>;
    fn trim(&self, room: RoomId, keep: Retention, now: Timestamp) -> Answer<'_, Seq>;
    fn redact<'a>(&'a self, room: RoomId, seq: Seq, kind: EventKind, body: &'a [u8]) -> Answer<'a, bool>;
    fn audit(&self, before: u64, limit: usize) -> Answer<'_, Vec<(u64, AuditRecord)>>;
    fn close(&self) -> BoxFuture<'_, ()>;
}

impl<L: Log> DynLog for L {
    fn lineage(&self) -> Lineage {
        Log::lineage(self)
    }

    fn load(&self) -> Answer<'_, Snapshot> {
        Box::pin(Log::load(self))
    }

    fn append(&self, commit: Commit) -> Answer<'_, Vec<Arc<Batch>>> {
        Box::pin(Log::append(self, commit))
    }

    fn read(&self, room: RoomId, after: Seq, max_bytes: usize) -> Answer<'_, ReadPage> {
        Box::pin(Log::read(self, room, after, max_bytes))
    }

    fn extent(&self, room: RoomId) -> Answer<'_, Extent> {
        Box::pin(Log::extent(self, room))
    }

    fn seq_at(&self, room: RoomId, at: Timestamp) -> Answer<'_, Seq> {
        Box::pin(Log::seq_at(self, room, at))
    }

    fn search<'a>(&'a self, room: RoomId, query: &'a str, before: Seq, limit: usize) -> Answer<'a, SearchPage> {
        Box::pin(Log::search(self, room, query, before, limit))
    }

    fn outbox(&self, room: RoomId, outbox: OutboxId) -> Answer<'_, Option<OutboxRecord>> {
        Box::pin(Log::outbox(self, room, outbox))
    }

    fn taken(&self, room: RoomId, outbox: OutboxId, n: u64) -> Answer<'_, Option<Taken>> {
        Box::pin(Log::taken(self, room, outbox, n))
    }

    fn trim(&self, room: RoomId, keep: Retention, now: Timestamp) -> Answer<'_, Seq> {
        Box::pin(Log::trim(self, room, keep, now))
    }

    fn redact<'a>(&'a self, room: RoomId, seq: Seq, kind: EventKind, body: &'a [u8]) -> Answer<'a, bool> {
        Box::pin(Log::redact(self, room, seq, kind, body))
    }

    fn audit(&self, before: u64, limit: usize) -> Answer<'_, Vec<(u64, AuditRecord)>> {
        Box::pin(Log::audit(self, before, limit))
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(Log::close(self))
    }
}
