//! Logs in memory, bounded in bytes: the newest events of every room are kept, the oldest make room for them.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;

use super::{Log, ReadPage, StoreError};
use crate::id::{Lineage, RoomId, Seq, Timestamp};
use crate::room::{Batch, NewBatch};

/// However many rooms share the budget, each keeps about so many bytes.
const MIN_ROOM_BYTES: usize = 16 * 1024;

/// A store that lives as long as the process.
#[derive(Debug)]
pub(crate) struct MemoryLog {
    lineage: Lineage,
    total_bytes: usize,
    room_bytes: usize,
    rooms: Mutex<HashMap<RoomId, Room>>,
}

#[derive(Debug, Default)]
struct Room {
    head: Seq,
    at: Timestamp,
    batches: VecDeque<Arc<Batch>>,
    bytes: usize,
}

impl MemoryLog {
    /// Keep about `room_bytes` of each room, and about `total_bytes` of all rooms together.
    pub(crate) fn new(room_bytes: usize, total_bytes: usize) -> Self {
        Self { lineage: Lineage::random(), total_bytes, room_bytes, rooms: Mutex::default() }
    }
}

impl Log for MemoryLog {
    fn lineage(&self) -> Lineage {
        self.lineage
    }

    async fn append(&self, batches: Vec<NewBatch>, now: Timestamp) -> Result<Vec<Arc<Batch>>, StoreError> {
        let mut rooms = self.rooms.lock();
        let mut appended = Vec::with_capacity(batches.len());
        for new in batches {
            let count = rooms.len().max(1);
            let room = rooms.entry(new.room).or_default();
            let first = room.head.next();
            room.head = Seq::new(room.head.get() + new.events.len() as u64);
            // The clock of the machine may be set back; a room's times never are.
            room.at = room.at.max(now);
            let batch = Arc::new(Batch { first, at: room.at, new });
            room.bytes += batch.weight();
            room.batches.push_back(Arc::clone(&batch));
            let cap = self.room_bytes.min((self.total_bytes / count).max(MIN_ROOM_BYTES));
            while room.bytes > cap && room.batches.len() > 1 {
                room.bytes -= room.batches.pop_front().map_or(0, |old| old.weight());
            }
            appended.push(batch);
        }
        Ok(appended)
    }

    async fn read(&self, room: RoomId, after: Seq, max_bytes: usize) -> Result<ReadPage, StoreError> {
        let rooms = self.rooms.lock();
        let Some(room) = rooms.get(&room) else { return Ok(ReadPage::default()) };
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
        page.trimmed = page.batches.first().filter(|b| b.first > after.next()).map(|b| Seq::new(b.first.get() - 1));
        Ok(page)
    }

    async fn forget(&self, room: RoomId) -> Result<(), StoreError> {
        self.rooms.lock().remove(&room);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{Alias, PrincipalId};
    use crate::protocol::{EventKind, PrincipalKind};
    use crate::room::{Author, Run};
    use futures::executor::block_on;

    fn new(room: RoomId, text: &str) -> NewBatch {
        let mut events = Run::default();
        events.push(EventKind::TEXT, text.as_bytes());
        let author = Author {
            principal: PrincipalId::from_bytes([1; 16]),
            kind: PrincipalKind::App,
            alias: Alias::parse("app").unwrap(),
        };
        NewBatch { room, author: Arc::new(author), origin: None, publish: None, events }
    }

    #[test]
    fn a_clock_set_back_never_sets_a_room_back() {
        let (log, room) = (MemoryLog::new(1 << 20, 1 << 20), RoomId::random());
        let at = |ms| block_on(log.append(vec![new(room, "x")], Timestamp::from_millis(ms))).unwrap()[0].at.as_millis();
        assert_eq!([at(100), at(50), at(120)], [100, 100, 120]);
    }

    #[test]
    fn the_oldest_events_make_room_and_a_reader_is_told_what_is_gone() {
        let (log, room) = (MemoryLog::new(4096, 1 << 20), RoomId::random());
        for _ in 0..100 {
            block_on(log.append(vec![new(room, &"x".repeat(100))], Timestamp::default())).unwrap();
        }
        let page = block_on(log.read(room, Seq::new(3), 1 << 20)).unwrap();
        let trimmed = page.trimmed.expect("100 events of 100 bytes don't fit into 4 KiB");
        assert_eq!(page.batches[0].first, trimmed.next());
        assert_eq!(page.batches.last().unwrap().last(), Seq::new(100));
        assert!(block_on(log.read(room, trimmed, 1)).unwrap().trimmed.is_none());
        assert_eq!(block_on(log.read(room, trimmed, 1)).unwrap().batches.len(), 1, "one at least");
    }

    #[test]
    fn seqs_have_no_gaps_and_a_forgotten_room_begins_again() {
        let (log, room) = (MemoryLog::new(1 << 20, 1 << 20), RoomId::random());
        let two = block_on(log.append(vec![new(room, "a"), new(room, "b")], Timestamp::default())).unwrap();
        assert_eq!([two[0].first.get(), two[1].first.get()], [1, 2]);
        block_on(log.forget(room)).unwrap();
        let one = block_on(log.append(vec![new(room, "c")], Timestamp::default())).unwrap();
        assert_eq!(one[0].first.get(), 1);
    }
}
