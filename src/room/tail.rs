//! The newest part of a room's log, kept encoded so that every member is sent the same bytes.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use super::batch::Batch;
use crate::id::{Seq, SessionId};
use crate::protocol::{EventKind, Source};

/// Bytes of bodies after which a chunk is closed. A member is sent whole chunks in one write, so this is about the
/// largest write; 64 KiB is where a loopback write stops getting cheaper per byte.
const CHUNK_BYTES: usize = 64 * 1024;

/// The tail of a room's log: open batches that nobody was sent yet, and a bounded ring of chunks.
#[derive(Debug)]
pub(crate) struct Tail {
    head: Seq,
    sealed: Seq,
    open: Vec<Arc<Batch>>,
    chunks: VecDeque<Arc<Chunk>>,
    weight: usize,
}

/// Where a cursor stands in the tail.
#[derive(Debug)]
pub(crate) enum Lookup {
    /// Behind the last sealed event.
    CaughtUp,
    /// This chunk comes next; it may begin before the cursor.
    Next(Arc<Chunk>),
    /// What comes next is no longer in the tail.
    Lost,
}

impl Tail {
    /// A tail of a log whose last event is `head`.
    pub(crate) fn new(head: Seq) -> Self {
        Self { head, sealed: head, open: Vec::new(), chunks: VecDeque::new(), weight: 0 }
    }

    /// The last event that was appended.
    pub(crate) fn head(&self) -> Seq {
        self.head
    }

    /// The oldest event that is still in the ring; the next one to come if the ring is empty.
    pub(crate) fn oldest(&self) -> Seq {
        self.chunks.front().map_or(self.sealed.next(), |chunk| chunk.before.next())
    }

    /// Take a batch that the store has numbered: the next one of this room.
    pub(crate) fn push(&mut self, batch: Arc<Batch>) {
        debug_assert_eq!(batch.first, self.head.next(), "the store numbers without gaps");
        self.head = batch.last();
        self.open.push(batch);
    }

    /// Close what was pushed since the last time into chunks, append them to the ring, and hand them out.
    pub(crate) fn seal(&mut self) -> Vec<Arc<Chunk>> {
        let mut sealed = Vec::new();
        let mut open = std::mem::take(&mut self.open).into_iter().peekable();
        while open.peek().is_some() {
            let mut batches = Vec::new();
            let mut bytes = 0;
            while let Some(batch) = open.next_if(|_| bytes < CHUNK_BYTES) {
                bytes += batch.new.events.bytes();
                batches.push(batch);
            }
            let chunk = Arc::new(Chunk::new(self.sealed, batches));
            self.sealed = chunk.last;
            self.weight += chunk.weight();
            self.chunks.push_back(Arc::clone(&chunk));
            sealed.push(chunk);
        }
        sealed
    }

    /// Put another body in the place of an event's, if it is here.
    pub(crate) fn redact(&mut self, seq: Seq, kind: EventKind, body: &[u8]) {
        for batch in self.open.iter_mut().filter(|batch| batch.first <= seq && seq <= batch.last()) {
            *batch = Arc::new(batch.redacted(seq, kind, body));
        }
        let i = self.chunks.partition_point(|chunk| chunk.last < seq);
        let Some(chunk) = self.chunks.get_mut(i).filter(|chunk| chunk.before < seq) else { return };
        let has = |batch: &Batch| batch.first <= seq && seq <= batch.last();
        let batches = chunk
            .batches
            .iter()
            .map(|batch| if has(batch) { Arc::new(batch.redacted(seq, kind, body)) } else { Arc::clone(batch) });
        let new = Arc::new(Chunk::new(chunk.before, batches.collect()));
        self.weight = self.weight + new.weight() - chunk.weight();
        *chunk = new;
    }

    /// Drop the oldest chunks until the ring occupies at most `max` bytes; returns the bytes that were freed.
    pub(crate) fn trim(&mut self, max: usize) -> usize {
        let before = self.weight;
        while self.weight > max {
            let Some(chunk) = self.chunks.pop_front() else { break };
            self.weight -= chunk.weight();
        }
        before - self.weight
    }

    /// Drop the chunks that have nothing behind this event: the log doesn't keep it any more.
    pub(crate) fn forget(&mut self, last: Seq) {
        while self.chunks.front().is_some_and(|chunk| chunk.last <= last) {
            if let Some(chunk) = self.chunks.pop_front() {
                self.weight -= chunk.weight();
            }
        }
    }

    /// What comes after `cursor`.
    pub(crate) fn after(&self, cursor: Seq) -> Lookup {
        if cursor >= self.sealed {
            return Lookup::CaughtUp;
        }
        let oldest = self.oldest();
        if cursor.next() < oldest {
            return Lookup::Lost;
        }
        let i = self.chunks.partition_point(|chunk| chunk.last <= cursor);
        self.chunks.get(i).map_or(Lookup::CaughtUp, |chunk| Lookup::Next(Arc::clone(chunk)))
    }
}

/// Batches that are delivered together: the typed events, and their bytes as each kind of listener wants them,
/// encoded when the first of them asks.
#[derive(Debug)]
pub(crate) struct Chunk {
    /// The event before the first one.
    pub(crate) before: Seq,
    /// The last one.
    pub(crate) last: Seq,
    batches: Box<[Arc<Batch>]>,
    authors: Box<[SessionId]>,
    v1: OnceLock<Encoded>,
}

/// One `Deliver` frame a batch, one behind the other.
#[derive(Debug)]
struct Encoded {
    bytes: Box<[u8]>,
    ends: Box<[u32]>,
}

impl Chunk {
    fn new(before: Seq, batches: Vec<Arc<Batch>>) -> Self {
        let last = batches.last().map_or(before, |batch| batch.last());
        let mut authors: Vec<SessionId> = batches.iter().filter_map(|batch| batch.new.origin).collect();
        authors.sort_unstable();
        authors.dedup();
        Self { before, last, batches: batches.into(), authors: authors.into(), v1: OnceLock::new() }
    }

    /// The frames of all its batches.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.v1().bytes
    }

    fn v1(&self) -> &Encoded {
        self.v1.get_or_init(|| {
            // A frame's head is 8 + 66 bytes and the alias; an event's 6 at most.
            let size = |b: &Arc<Batch>| 112 + b.new.events.bytes() + 8 * b.new.events.len();
            let mut bytes = Vec::with_capacity(self.batches.iter().map(size).sum());
            let ends = self.batches.iter().map(|batch| {
                batch.encode(Source::Live, None, &mut bytes);
                bytes.len() as u32
            });
            let ends = ends.collect();
            Encoded { bytes: bytes.into(), ends }
        })
    }

    /// Twice the bodies: once typed and once encoded.
    fn weight(&self) -> usize {
        self.batches.iter().map(|batch| 2 * batch.weight()).sum()
    }

    /// Whether a reader at `cursor` is to be sent all of it in one piece.
    pub(crate) fn is_whole_for(&self, cursor: Seq, session: SessionId) -> bool {
        cursor <= self.before && self.authors.binary_search(&session).is_err()
    }

    /// The parts of [`bytes`](Self::bytes) that a reader at `cursor` is to be sent: whole frames of events behind
    /// the cursor that other sessions wrote (split horizon). They are appended to `spans`.
    pub(crate) fn spans(&self, cursor: Seq, session: SessionId, spans: &mut Vec<Range<usize>>) {
        let encoded = self.v1();
        let first = spans.len();
        let mut start = 0;
        for (batch, &end) in self.batches.iter().zip(&encoded.ends) {
            let end = end as usize;
            if batch.last() > cursor && batch.new.origin != Some(session) {
                match spans[first..].last_mut() {
                    Some(span) if span.end == start => span.end = end,
                    _ => spans.push(start..end),
                }
            }
            start = end;
        }
    }

    /// The frame that the byte at `offset` belongs to: where it ends, and its last event.
    pub(crate) fn frame_at(&self, offset: usize) -> (usize, Seq) {
        let ends = &self.v1().ends;
        let i = ends.partition_point(|&end| end as usize <= offset).min(ends.len().saturating_sub(1));
        (ends[i] as usize, self.batches[i].last())
    }

    /// Whether a frame begins or ends at `offset`.
    pub(crate) fn is_boundary(&self, offset: usize) -> bool {
        offset == 0 || self.v1().ends.binary_search(&(offset as u32)).is_ok()
    }

    /// The last event whose frame ends at or before `offset`; a frame that is begun there doesn't count.
    pub(crate) fn seq_before(&self, offset: usize) -> Seq {
        let i = self.v1().ends.partition_point(|&end| end as usize <= offset);
        if i == 0 { self.before } else { self.batches[i - 1].last() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{Alias, PrincipalId, RoomId, Timestamp};
    use crate::protocol::frame;
    use crate::protocol::message::{Deliver, PrincipalKind};
    use crate::room::{Author, NewBatch, Run};

    fn session(n: u8) -> SessionId {
        SessionId::from_bytes([n; 16])
    }

    fn batch(first: u64, count: u64, origin: u8) -> Arc<Batch> {
        let mut events = Run::default();
        (0..count).for_each(|i| events.push(EventKind::TEXT, format!("{}", first + i).as_bytes()));
        let author = Author {
            principal: PrincipalId::from_bytes([origin; 16]),
            kind: PrincipalKind::Guest,
            alias: Alias::parse("ada").unwrap(),
        };
        let new = NewBatch {
            room: RoomId::from_bytes([9; 16]),
            author: Arc::new(author),
            origin: Some(session(origin)),
            publish: None,
            events,
        };
        Arc::new(Batch { first: Seq::new(first), at: Timestamp::from_millis(5), new })
    }

    fn read(chunk: &Chunk, cursor: u64, who: u8) -> Vec<u64> {
        let mut spans = Vec::new();
        chunk.spans(Seq::new(cursor), session(who), &mut spans);
        let mut seqs = Vec::new();
        for span in spans {
            let mut bytes = &chunk.bytes()[span];
            while let Some((f, used)) = frame::split(bytes, u32::MAX).unwrap() {
                let deliver: Deliver = crate::protocol::decode(f.body).unwrap();
                seqs.extend((0..deliver.events.len() as u64).map(|i| deliver.seq.get() + i));
                bytes = &bytes[used..];
            }
        }
        seqs
    }

    #[test]
    fn a_session_is_never_sent_its_own_events() {
        let mut tail = Tail::new(Seq::ZERO);
        tail.push(batch(1, 2, 1));
        tail.push(batch(3, 1, 2));
        tail.push(batch(4, 1, 1));
        let chunk = tail.seal().remove(0);
        assert_eq!(read(&chunk, 0, 1), [3]);
        assert_eq!(read(&chunk, 0, 2), [1, 2, 4]);
        assert_eq!(read(&chunk, 0, 3), [1, 2, 3, 4]);
        assert!(chunk.is_whole_for(Seq::ZERO, session(3)));
        assert!(!chunk.is_whole_for(Seq::ZERO, session(1)));
    }

    #[test]
    fn a_cursor_that_fell_off_the_ring_is_lost_and_never_skips_silently() {
        let mut tail = Tail::new(Seq::ZERO);
        for i in 0..10 {
            tail.push(batch(i * 2 + 1, 2, 1));
            tail.seal();
        }
        assert!(matches!(tail.after(Seq::ZERO), Lookup::Next(c) if c.before == Seq::ZERO));
        let freed = tail.trim(tail.weight / 2);
        assert!(freed > 0);
        assert!(matches!(tail.after(Seq::ZERO), Lookup::Lost));
        let oldest = tail.oldest();
        assert!(matches!(tail.after(Seq::new(oldest.get() - 1)), Lookup::Next(_)));
        assert!(matches!(tail.after(Seq::new(20)), Lookup::CaughtUp));
        tail.trim(0);
        assert!(matches!(tail.after(Seq::new(19)), Lookup::Lost) && tail.oldest() == Seq::new(21));
    }

    #[test]
    fn an_offset_inside_a_frame_names_that_frames_last_event() {
        let mut tail = Tail::new(Seq::ZERO);
        tail.push(batch(1, 3, 1));
        tail.push(batch(4, 1, 2));
        let chunk = tail.seal().remove(0);
        let (end, last) = chunk.frame_at(0);
        assert_eq!(last, Seq::new(3));
        assert_eq!(chunk.frame_at(end), (chunk.bytes().len(), Seq::new(4)));
        assert_eq!(chunk.seq_before(end), Seq::new(3));
        assert_eq!(chunk.seq_before(end - 1), Seq::ZERO);
    }

    #[test]
    fn a_redacted_body_is_sent_to_nobody_any_more() {
        let mut tail = Tail::new(Seq::ZERO);
        tail.push(batch(1, 3, 1));
        tail.seal();
        tail.push(batch(4, 1, 2));
        tail.redact(Seq::new(2), EventKind::TEXT, b"gone");
        tail.redact(Seq::new(4), EventKind::TEXT, b"too");
        let Lookup::Next(chunk) = tail.after(Seq::ZERO) else { panic!("it is in the ring") };
        let bodies: Vec<_> = chunk.batches[0].new.events.iter().map(|(_, body)| body.to_vec()).collect();
        assert_eq!(bodies, [b"1".to_vec(), b"gone".to_vec(), b"3".to_vec()]);
        assert_eq!(tail.seal()[0].batches[0].new.events.iter().next().unwrap().1, b"too");
        assert_eq!(read(&chunk, 0, 3), [1, 2, 3]);
    }

    #[test]
    fn open_events_become_visible_only_when_sealed() {
        let mut tail = Tail::new(Seq::ZERO);
        tail.push(batch(1, 1, 1));
        assert_eq!((tail.head(), tail.sealed), (Seq::new(1), Seq::ZERO));
        assert!(matches!(tail.after(Seq::ZERO), Lookup::CaughtUp));
        tail.seal();
        assert!(matches!(tail.after(Seq::ZERO), Lookup::Next(_)));
    }
}
