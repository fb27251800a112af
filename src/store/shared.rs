//! A store that several own: a server, and whoever wants to read beside it.

use std::sync::Arc;

use super::{AuditRecord, Commit, Extent, Log, OutboxRecord, ReadPage, Retention, SearchPage, Snapshot, StoreError};
use crate::id::{Lineage, OutboxId, RoomId, Seq, Timestamp};
use crate::protocol::EventKind;
use crate::room::{Batch, Taken};

impl<L: Log> Log for Arc<L> {
    fn lineage(&self) -> Lineage {
        (**self).lineage()
    }

    async fn load(&self) -> Result<Snapshot, StoreError> {
        (**self).load().await
    }

    async fn append(&self, commit: Commit) -> Result<Vec<Arc<Batch>>, StoreError> {
        (**self).append(commit).await
    }

    async fn read(&self, room: RoomId, after: Seq, max_bytes: usize) -> Result<ReadPage, StoreError> {
        (**self).read(room, after, max_bytes).await
    }

    async fn read_back(
        &self,
        room: RoomId,
        before: Seq,
        limit: usize,
        max_bytes: usize,
    ) -> Result<ReadPage, StoreError> {
        (**self).read_back(room, before, limit, max_bytes).await
    }

    async fn extent(&self, room: RoomId) -> Result<Extent, StoreError> {
        (**self).extent(room).await
    }

    async fn seq_at(&self, room: RoomId, at: Timestamp) -> Result<Seq, StoreError> {
        (**self).seq_at(room, at).await
    }

    async fn search(&self, room: RoomId, query: &str, before: Seq, limit: usize) -> Result<SearchPage, StoreError> {
        (**self).search(room, query, before, limit).await
    }

    async fn outbox(&self, room: RoomId, outbox: OutboxId) -> Result<Option<OutboxRecord>, StoreError> {
        (**self).outbox(room, outbox).await
    }

    async fn taken(&self, room: RoomId, outbox: OutboxId, n: u64) -> Result<Option<Taken>, StoreError> {
        (**self).taken(room, outbox, n).await
    }

    async fn trim(&self, room: RoomId, keep: Retention, now: Timestamp) -> Result<Seq, StoreError> {
        (**self).trim(room, keep, now).await
    }

    async fn redact(&self, room: RoomId, seq: Seq, kind: EventKind, body: &[u8]) -> Result<bool, StoreError> {
        (**self).redact(room, seq, kind, body).await
    }

    async fn audit(&self, before: u64, limit: usize) -> Result<Vec<(u64, AuditRecord)>, StoreError> {
        (**self).audit(before, limit).await
    }

    async fn close(&self) {
        (**self).close().await;
    }
}
