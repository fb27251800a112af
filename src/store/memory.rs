//! Logs in memory, bounded in bytes: the newest events of every room are kept, the oldest make room for them.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;

use super::words::{self, Word, words};
use super::{
    AuditRecord, Change, Commit, Extent, Log, OutboxRecord, ReadPage, Retention, SearchPage, Snapshot, StoreError,
    StoreErrorKind,
};
use crate::id::{Lineage, OutboxId, RoomId, Seq, Timestamp};
use crate::protocol::EventKind;
use crate::room::{Batch, Taken};
use crate::rt;

/// Bytes that are searched in one step: some hundred microseconds …
const STEP_BYTES: usize = 64 * 1024;

/// … where an event counts as so many more.
const EVENT_COST: usize = 64;

/// However many rooms share the budget, each keeps about so many bytes.
const MIN_ROOM_BYTES: usize = 16 * 1024;

/// Outboxes that a room remembers; the ones that published longest ago go first.
const MAX_OUTBOXES: usize = 65_536;

/// A store that lives as long as the process.
#[derive(Debug)]
pub struct MemoryStore {
    lineage: Lineage,
    total_bytes: usize,
    room_bytes: usize,
    rooms: Mutex<HashMap<RoomId, Room>>,
    audit: Mutex<Audit>,
}

/// Entries of the audit log that are kept.
const MAX_AUDIT: usize = 10_000;

#[derive(Debug, Default)]
struct Audit {
    entries: VecDeque<AuditRecord>,
    dropped: u64,
}

#[derive(Debug, Default)]
struct Room {
    head: Seq,
    at: Timestamp,
    batches: VecDeque<Arc<Batch>>,
    bytes: usize,
    outboxes: HashMap<OutboxId, Outbox>,
}

#[derive(Debug, Default)]
struct Outbox {
    decided: u64,
    taken: VecDeque<Taken>,
    /// The room's head when it published last.
    used: Seq,
}

impl MemoryStore {
    /// Keep about `room_bytes` of each room, and about `total_bytes` of all rooms together (but 16 KiB of each, however
    /// many there are).
    pub fn new(room_bytes: usize, total_bytes: usize) -> Self {
        Self { lineage: Lineage::random(), total_bytes, room_bytes, rooms: Mutex::default(), audit: Mutex::default() }
    }

    fn with<T>(&self, room: RoomId, f: impl FnOnce(&Room) -> T) -> Option<T> {
        self.rooms.lock().get(&room).map(f)
    }
}

impl Room {
    fn trimmed(&self) -> Seq {
        self.batches.front().map_or(self.head, |oldest| Seq::new(oldest.first.get() - 1))
    }

    /// Look through some events before one; before which to go on, if there is more to do.
    fn search(&self, words: &[Word], before: Seq, limit: usize, page: &mut SearchPage) -> Option<Seq> {
        let mut bytes = 0;
        let behind = self.batches.partition_point(|batch| batch.first < before);
        for batch in self.batches.range(..behind).rev() {
            for (i, (kind, body)) in batch.new.events.iter().enumerate().rev() {
                let seq = Seq::new(batch.first.get() + i as u64);
                let text = String::from_utf8_lossy(body);
                if seq >= before || kind != EventKind::TEXT || !words::matches(&text, words) {
                    continue;
                }
                if page.hits.len() == limit {
                    page.more = true;
                    return None;
                }
                page.hits.push(batch.part(seq, seq));
            }
            bytes += batch.new.events.bytes() + EVENT_COST * batch.new.events.len();
            if bytes >= STEP_BYTES {
                return Some(batch.first);
            }
        }
        None
    }

    fn take(&mut self, batch: &Arc<Batch>) {
        let Some(publish) = batch.new.publish else { return };
        let count = batch.new.events.len() as u64;
        let outbox = self.outbox(publish.outbox);
        outbox.decided = outbox.decided.max(publish.n + count - 1);
        outbox.used = batch.first;
        outbox.taken.push_back(Taken { n: publish.n, count, seq: batch.first, at: batch.at });
    }

    fn outbox(&mut self, id: OutboxId) -> &mut Outbox {
        if self.outboxes.len() >= MAX_OUTBOXES && !self.outboxes.contains_key(&id) {
            // Seldom enough to be paid by those who make so many.
            let mut used: Vec<Seq> = self.outboxes.values().map(|outbox| outbox.used).collect();
            let (_, &mut median, _) = used.select_nth_unstable(MAX_OUTBOXES / 2);
            self.outboxes.retain(|_, outbox| outbox.used > median);
        }
        self.outboxes.entry(id).or_default()
    }

    /// Drop all events up to `last`.
    fn cut(&mut self, last: Seq) {
        while let Some(oldest) = self.batches.pop_front() {
            self.bytes -= oldest.weight();
            if oldest.last() > last {
                let rest = oldest.part(last.next(), oldest.last());
                self.bytes += rest.weight();
                self.batches.push_front(rest);
                break;
            }
        }
    }

    fn drop_oldest(&mut self) -> bool {
        if self.batches.len() <= 1 {
            return false;
        }
        let Some(old) = self.batches.pop_front() else { return false };
        self.bytes -= old.weight();
        // The place of what is gone is gone too.
        if let Some(outbox) = old.new.publish.and_then(|publish| self.outboxes.get_mut(&publish.outbox)) {
            outbox.taken.pop_front();
        }
        true
    }
}

impl Log for MemoryStore {
    fn lineage(&self) -> Lineage {
        self.lineage
    }

    async fn load(&self) -> Result<Snapshot, StoreError> {
        Ok(Snapshot::default())
    }

    async fn append(&self, commit: Commit) -> Result<Vec<Arc<Batch>>, StoreError> {
        if commit.batches.iter().any(|batch| batch.events.is_empty()) {
            return Err(StoreError::new(StoreErrorKind::Other, "a batch has no events"));
        }
        let mut rooms = self.rooms.lock();
        for change in commit.changes {
            match change {
                Change::DropRoom(room) => drop(rooms.remove(&room)),
                Change::Used { room, outbox, n } => {
                    let room = rooms.entry(room).or_default();
                    let head = room.head;
                    let outbox = room.outbox(outbox);
                    (outbox.decided, outbox.used) = (outbox.decided.max(n), head);
                }
                Change::Audit(record) => {
                    let mut audit = self.audit.lock();
                    if audit.entries.len() >= MAX_AUDIT {
                        audit.entries.pop_front();
                        audit.dropped += 1;
                    }
                    audit.entries.push_back(record);
                }
                _ => {}
            }
        }
        let mut appended = Vec::with_capacity(commit.batches.len());
        for new in commit.batches {
            let count = rooms.len().max(1);
            let room = rooms.entry(new.room).or_default();
            let first = room.head.next();
            room.head = Seq::new(room.head.get() + new.events.len() as u64);
            // The clock of the machine may be set back; a room's times never are.
            room.at = room.at.max(commit.now);
            let batch = Arc::new(Batch { first, at: room.at, new });
            room.take(&batch);
            room.bytes += batch.weight();
            room.batches.push_back(Arc::clone(&batch));
            let cap = self.room_bytes.min((self.total_bytes / count).max(MIN_ROOM_BYTES));
            while room.bytes > cap && room.drop_oldest() {}
            appended.push(batch);
        }
        Ok(appended)
    }

    async fn read(&self, room: RoomId, after: Seq, max_bytes: usize) -> Result<ReadPage, StoreError> {
        let page = self.with(room, |room| {
            let start = room.batches.partition_point(|batch| batch.last() <= after);
            let mut page = ReadPage::default();
            let mut bytes = 0;
            for batch in room.batches.iter().skip(start) {
                if bytes > 0 && bytes + batch.new.events.bytes() > max_bytes {
                    break;
                }
                bytes += batch.new.events.bytes().max(1);
                page.batches.push(Arc::clone(batch));
            }
            let first = page.batches.first().map_or(room.head.next(), |batch| batch.first);
            page.trimmed = (first > after.next() && room.trimmed() > after).then(|| Seq::new(first.get() - 1));
            page
        });
        Ok(page.unwrap_or_default())
    }

    async fn read_back(
        &self,
        room: RoomId,
        before: Seq,
        limit: usize,
        max_bytes: usize,
    ) -> Result<ReadPage, StoreError> {
        let page = self.with(room, |room| {
            let trimmed = room.trimmed();
            let mut page = ReadPage { trimmed: (trimmed > Seq::ZERO).then_some(trimmed), batches: Vec::new() };
            let end = room.batches.partition_point(|batch| batch.first < before);
            let (mut left, mut bytes) = (limit as u64, 0);
            for batch in room.batches.range(..end).rev() {
                let last = Seq::new(batch.last().get().min(before.get() - 1));
                let first = Seq::new(batch.first.get().max((last.get() + 1).saturating_sub(left)));
                let part = batch.part(first, last);
                if left == 0 || bytes > 0 && bytes + part.new.events.bytes() > max_bytes {
                    break;
                }
                left -= part.new.events.len() as u64;
                bytes += part.new.events.bytes().max(1);
                page.batches.push(part);
            }
            page.batches.reverse();
            page
        });
        Ok(page.unwrap_or_default())
    }

    async fn extent(&self, room: RoomId) -> Result<Extent, StoreError> {
        let extent = self.with(room, |room| Extent { trimmed: room.trimmed(), head: room.head, at: room.at });
        Ok(extent.unwrap_or_default())
    }

    async fn seq_at(&self, room: RoomId, at: Timestamp) -> Result<Seq, StoreError> {
        let seq = self.with(room, |room| {
            let i = room.batches.partition_point(|batch| batch.at < at);
            room.batches.get(i).map_or(room.head.next(), |batch| batch.first)
        });
        Ok(seq.unwrap_or(Seq::ZERO.next()))
    }

    async fn search(&self, room: RoomId, query: &str, before: Seq, limit: usize) -> Result<SearchPage, StoreError> {
        let (words, mut page, mut before) = (words(query), SearchPage::default(), before);
        if words.is_empty() || limit == 0 {
            return Ok(page);
        }
        // In steps: nobody else comes to the rooms meanwhile, and no other task to this thread.
        while let Some(rest) = self.with(room, |room| room.search(&words, before, limit, &mut page)).flatten() {
            before = rest;
            rt::yield_now().await;
        }
        Ok(page)
    }

    async fn outbox(&self, room: RoomId, outbox: OutboxId) -> Result<Option<OutboxRecord>, StoreError> {
        let record = self.with(room, |room| {
            let outbox = room.outboxes.get(&outbox)?;
            Some(OutboxRecord { decided: outbox.decided, last: outbox.taken.back().copied() })
        });
        Ok(record.flatten())
    }

    async fn taken(&self, room: RoomId, outbox: OutboxId, n: u64) -> Result<Option<Taken>, StoreError> {
        let taken = self.with(room, |room| {
            let runs = room.outboxes.get(&outbox)?.taken.iter().rev().copied();
            // What is too long ago to be remembered may still be in the log.
            let logged = room.batches.iter().rev().filter_map(|batch| {
                let publish = batch.new.publish.filter(|publish| publish.outbox == outbox)?;
                let count = batch.new.events.len() as u64;
                Some(Taken { n: publish.n, count, seq: batch.first, at: batch.at })
            });
            let run = runs.chain(logged).find(|run| (run.n..run.n + run.count).contains(&n))?;
            Some(Taken { n, count: 1, seq: Seq::new(run.seq.get() + (n - run.n)), at: run.at })
        });
        Ok(taken.flatten())
    }

    async fn trim(&self, room: RoomId, keep: Retention, now: Timestamp) -> Result<Seq, StoreError> {
        let mut rooms = self.rooms.lock();
        let Some(room) = rooms.get_mut(&room) else { return Ok(Seq::ZERO) };
        let newest = room.head.get().saturating_sub(1);
        let mut target = room.trimmed().get();
        if let Some(max) = keep.max_events {
            target = target.max(room.head.get().saturating_sub(max));
        }
        if let Some(age) = keep.max_age {
            let oldest = now.as_millis().saturating_sub(i64::try_from(age.as_millis()).unwrap_or(i64::MAX));
            let old = room.batches.partition_point(|batch| batch.at.as_millis() < oldest);
            target = target.max(old.checked_sub(1).map_or(0, |i| room.batches[i].last().get()));
        }
        if let Some(max) = keep.max_bytes {
            let mut bytes: u64 = room.batches.iter().map(|batch| batch.new.events.bytes() as u64).sum();
            let mut seq = room.trimmed().get();
            for (_, body) in room.batches.iter().flat_map(|batch| batch.new.events.iter()) {
                if bytes <= max {
                    break;
                }
                bytes -= body.len() as u64;
                seq += 1;
            }
            target = target.max(seq);
        }
        room.cut(Seq::new(target.min(newest)));
        Ok(room.trimmed())
    }

    async fn audit(&self, before: u64, limit: usize) -> Result<Vec<(u64, AuditRecord)>, StoreError> {
        let audit = self.audit.lock();
        let numbered = audit.entries.iter().enumerate().map(|(i, entry)| (audit.dropped + i as u64 + 1, entry));
        Ok(numbered.rev().filter(|(n, _)| *n < before).take(limit).map(|(n, entry)| (n, entry.clone())).collect())
    }

    async fn redact(&self, room: RoomId, seq: Seq, kind: EventKind, body: &[u8]) -> Result<bool, StoreError> {
        let mut rooms = self.rooms.lock();
        let Some(room) = rooms.get_mut(&room) else { return Ok(false) };
        let i = room.batches.partition_point(|batch| batch.last() < seq);
        let Some(batch) = room.batches.get_mut(i).filter(|batch| batch.first <= seq) else { return Ok(false) };
        let (before, after) = (batch.weight(), Arc::new(batch.redacted(seq, kind, body)));
        room.bytes = room.bytes + after.weight() - before;
        *batch = after;
        Ok(true)
    }
}
