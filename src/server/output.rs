//! What waits for one connection, and the one write that sends it: control first, then its rooms in turn, then bulk.
//!
//! One output state per connection, behind a lock that is only ever tried by those who serve many connections. Who
//! finds it locked leaves a mark in the queue; the holder looks at the queue again after it has let go.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::Mutex;

use super::bulk::{Bulk, Job};
use super::rooms::Member;
use crate::id::SessionId;
use crate::room::{Chunk, Lookup};

/// The most that one round gathers for one write, in bytes: several rings' chunks, and about as much as a kernel
/// buffer takes.
const ROUND_BYTES: usize = 256 * 1024;

/// Control frames may wait up to so many bytes; beyond, the server stops reading the connection that causes them.
pub(super) const CONTROL_CAP: usize = 64 * 1024;

/// Buffers larger than this are given back once they are empty: an ack's or a ping's is kept, what a handshake took
/// is not, for most connections are idle.
const KEEP_BYTES: usize = 128;

/// What others leave for a connection. A leaf lock: nothing else is locked while it is held.
#[derive(Debug, Default)]
pub(super) struct Queue {
    pub(super) control: Vec<u8>,
    pub(super) dirty: Vec<Arc<Member>>,
    /// The goodbye is among them: nothing comes behind it.
    pub(super) parted: bool,
}

/// What is being written to a connection.
#[derive(Debug, Default)]
pub(super) struct Output {
    /// Goes before anything else: the rest of a partly written frame, then control frames.
    pending: Vec<u8>,
    offset: usize,
    /// Rooms that have something for this connection, in turn.
    dirty: VecDeque<Arc<Member>>,
    /// The transport takes nothing; only the writer, who waits for it, may try again.
    blocked: bool,
    /// What comes from the store: goes behind everything else.
    pub(super) bulk: Bulk,
    /// The session has ended: what is pending still goes out, rooms don't.
    muted: bool,
    failed: bool,
}

/// How a round ended.
#[derive(Debug)]
pub(super) enum Pumped {
    /// Nothing is left.
    Idle,
    /// There is more.
    More,
    /// The transport takes no more at the moment.
    Blocked,
    /// Nothing is left but what is to be read from the store.
    Reading,
    Failed(io::Error),
}

/// What was written in a round.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Written {
    pub(super) bytes: usize,
}

/// Chunks that a flusher has just closed, for a member who has everything before them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fresh<'a> {
    pub(super) member: &'a Arc<Member>,
    pub(super) chunks: &'a [Arc<Chunk>],
}

/// A chunk on its way to a member.
struct Item {
    member: usize,
    chunk: Arc<Chunk>,
    spans: Range<usize>,
}

enum Gathered {
    CaughtUp,
    More,
    /// What follows is in the store only, or to be replayed from there.
    Lost,
}

impl Output {
    /// Gather what there is, write it in one go, and account for what was taken.
    pub(super) fn round(
        &mut self,
        session: SessionId,
        queue: &Mutex<Queue>,
        fresh: Option<Fresh<'_>>,
        sink: &mut dyn FnMut(&[IoSlice<'_>]) -> io::Result<usize>,
        written: &mut Written,
    ) -> Pumped {
        let left = std::mem::take(&mut queue.lock().dirty);
        self.dirty.extend(left);
        if self.failed {
            self.drop_all(queue);
            return Pumped::Idle;
        }
        if self.muted {
            self.dirty.clear();
        }
        if self.blocked {
            fresh.inspect(|fresh| self.mark(fresh.member));
            return Pumped::Blocked;
        }

        // Rooms before control: an ack is queued before the tail shows what follows it, so whatever was gathered
        // here, the acks that must go before it are in the queue by now.
        let (mut members, mut items, mut spans) = (Vec::new(), Vec::new(), Vec::new());
        if self.muted {
            fresh.inspect(|fresh| self.mark(fresh.member));
        } else {
            self.gather(session, fresh, &mut members, &mut items, &mut spans);
        }
        self.take_control(queue);
        // Who is out of a room by now has its `Left` among the control frames: nothing of the room may follow it.
        items.retain(|item: &Item| !members[item.member].member.is_gone());
        self.bulk.drop_gone();

        let n = match self.write(&items, &spans, sink) {
            Ok(n) => n,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => 0,
            Err(e) => {
                self.failed = true;
                self.drop_all(queue);
                return Pumped::Failed(e);
            }
        };
        written.bytes += n;
        self.blocked = !self.account(n, &items, &spans, &mut members);
        for gathered in &members {
            if gathered.more || gathered.incomplete {
                self.mark(&gathered.member);
            }
        }
        if let Some(member) = self.bulk.take_fed() {
            self.mark(&member);
        }
        if self.blocked {
            return Pumped::Blocked;
        }
        match (self.muted, self.dirty.is_empty()) {
            (false, false) => Pumped::More,
            (false, true) if self.bulk.has_work() => Pumped::Reading,
            _ => Pumped::Idle,
        }
    }

    fn gather(
        &mut self,
        session: SessionId,
        fresh: Option<Fresh<'_>>,
        members: &mut Vec<Round>,
        items: &mut Vec<Item>,
        spans: &mut Vec<Range<usize>>,
    ) {
        let mut budget = ROUND_BYTES;
        let rooms = std::mem::take(&mut self.dirty);
        for member in rooms {
            if budget == 0 {
                self.dirty.push_back(member);
                continue;
            }
            // Cleared before looking: whoever closes a chunk after the look finds the member unmarked and marks it.
            member.dirty.store(false, Ordering::SeqCst);
            let gathered = gather_one(&member, session, &[], members.len(), items, spans, &mut budget);
            self.gathered(member, gathered, members);
        }
        let Some(fresh) = fresh else { return };
        if members.iter().any(|round| Arc::ptr_eq(&round.member, fresh.member))
            || fresh.member.dirty.load(Ordering::SeqCst)
        {
            return;
        }
        if budget == 0 {
            self.mark(fresh.member);
            return;
        }
        let gathered = gather_one(fresh.member, session, fresh.chunks, members.len(), items, spans, &mut budget);
        self.gathered(Arc::clone(fresh.member), gathered, members);
    }

    fn gathered(&mut self, member: Arc<Member>, gathered: Gathered, members: &mut Vec<Round>) {
        if let Gathered::Lost = gathered {
            member.starved.store(true, Ordering::SeqCst);
            self.bulk.push(Job::Follow(Arc::clone(&member)));
        }
        members.push(Round { member, more: matches!(gathered, Gathered::More), incomplete: false });
    }

    fn take_control(&mut self, queue: &Mutex<Queue>) {
        let mut queue = queue.lock();
        if self.offset == self.pending.len() {
            self.offset = 0;
            self.pending.clear();
            std::mem::swap(&mut self.pending, &mut queue.control);
        } else if !queue.control.is_empty() {
            self.pending.extend_from_slice(&queue.control);
            queue.control.clear();
        }
        if queue.control.capacity() > KEEP_BYTES {
            queue.control = Vec::new();
        }
    }

    fn write(
        &self,
        items: &[Item],
        spans: &[Range<usize>],
        sink: &mut dyn FnMut(&[IoSlice<'_>]) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let pending = &self.pending[self.offset..];
        let mut bufs: Vec<IoSlice<'_>> = Vec::with_capacity(2 + spans.len());
        if !pending.is_empty() {
            bufs.push(IoSlice::new(pending));
        }
        for item in items {
            let bytes = item.chunk.bytes();
            bufs.extend(spans[item.spans.clone()].iter().map(|span| IoSlice::new(&bytes[span.clone()])));
        }
        if !self.bulk.bytes().is_empty() {
            bufs.push(IoSlice::new(self.bulk.bytes()));
        }
        if bufs.is_empty() {
            return Ok(0);
        }
        loop {
            // The kernel takes at most 1024 pieces; what is left goes in the next round.
            match sink(&bufs[..bufs.len().min(1024)]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => return Ok(n),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }

    /// Move offset and cursors by the `n` bytes that were taken. True if that was everything.
    fn account(&mut self, mut n: usize, items: &[Item], spans: &[Range<usize>], members: &mut [Round]) -> bool {
        let pending = self.pending.len() - self.offset;
        if n < pending {
            self.offset += n;
            if self.offset > self.pending.len() / 2 && self.offset > KEEP_BYTES {
                self.pending.drain(..self.offset);
                self.offset = 0;
            }
            items.iter().for_each(|item| members[item.member].incomplete = true);
            return false;
        }
        n -= pending;
        self.offset = 0;
        self.pending.clear();
        if self.pending.capacity() > KEEP_BYTES {
            self.pending = Vec::new();
        }
        let mut complete = true;
        for item in items {
            let member = &mut members[item.member];
            if !complete || member.incomplete {
                member.incomplete = true;
                continue;
            }
            for span in &spans[item.spans.clone()] {
                if n >= span.len() {
                    n -= span.len();
                    continue;
                }
                complete = false;
                member.incomplete = true;
                let stop = span.start + n;
                let mut reached = item.chunk.seq_before(stop);
                let (end, seq) = item.chunk.frame_at(stop);
                if !item.chunk.is_boundary(stop) {
                    self.pending.extend_from_slice(&item.chunk.bytes()[stop..end]);
                    reached = seq;
                }
                member.member.advance(reached);
                break;
            }
            if complete {
                member.member.advance(item.chunk.last);
            }
        }
        complete && self.bulk.wrote(n, &mut self.pending)
    }

    /// Note that a room has something.
    pub(super) fn mark(&mut self, member: &Arc<Member>) {
        if !self.muted && !member.dirty.swap(true, Ordering::SeqCst) {
            self.dirty.push_back(Arc::clone(member));
        }
    }

    /// The transport has something left to do before it takes more. False if it is broken.
    pub(super) fn block(&mut self) -> bool {
        self.blocked |= !self.failed;
        self.blocked
    }

    /// The transport may take something again.
    pub(super) fn unblock(&mut self) {
        self.blocked = false;
    }

    /// The session has ended: nothing of its rooms goes out any more.
    pub(super) fn mute(&mut self) {
        self.muted = true;
        self.bulk.clear();
        self.dirty.clear();
    }

    /// The transport is broken: nothing more can be written.
    pub(super) fn fail(&mut self) {
        self.failed = true;
        self.mute();
        self.pending = Vec::new();
        self.offset = 0;
    }

    fn drop_all(&mut self, queue: &Mutex<Queue>) {
        self.fail();
        *queue.lock() = Queue::default();
    }

    /// Whether somebody has to go on writing.
    pub(super) fn has_work(&self) -> bool {
        !self.failed && (self.blocked || self.pending() > 0 || !self.dirty.is_empty() || self.bulk.has_work())
    }

    pub(super) fn pending(&self) -> usize {
        self.pending.len() - self.offset
    }
}

/// A member's part in a round.
struct Round {
    member: Arc<Member>,
    more: bool,
    incomplete: bool,
}

fn gather_one(
    member: &Arc<Member>,
    session: SessionId,
    fresh: &[Arc<Chunk>],
    index: usize,
    items: &mut Vec<Item>,
    spans: &mut Vec<Range<usize>>,
    budget: &mut usize,
) -> Gathered {
    if member.is_gone() || member.is_held() || member.starved.load(Ordering::SeqCst) {
        return Gathered::CaughtUp;
    }
    if member.is_replaying() {
        return Gathered::Lost;
    }
    let mut cursor = member.cursor();
    // Behind the chunks that a room's flusher has just closed there is nothing: only it closes chunks.
    let start = cursor;
    let mut fresh = fresh.iter().skip_while(|chunk| chunk.last <= start).peekable();
    let trust_fresh = fresh.peek().is_some_and(|chunk| chunk.before <= cursor);
    loop {
        if *budget == 0 {
            return Gathered::More;
        }
        let chunk = if trust_fresh {
            match fresh.next() {
                Some(chunk) => Arc::clone(chunk),
                None => return Gathered::CaughtUp,
            }
        } else {
            match member.room.after(cursor) {
                Lookup::CaughtUp => return Gathered::CaughtUp,
                Lookup::Lost => return Gathered::Lost,
                Lookup::Next(chunk) => chunk,
            }
        };
        let start = spans.len();
        if chunk.is_whole_for(cursor, session) {
            spans.push(0..chunk.bytes().len());
        } else {
            chunk.spans(cursor, session, spans);
        }
        *budget = budget.saturating_sub(spans[start..].iter().map(Range::len).sum());
        cursor = chunk.last;
        items.push(Item { member: index, chunk, spans: start..spans.len() });
    }
}

#[cfg(test)]
mod tests {
    use super::super::conn::{Conn, Link};
    use super::super::rooms::{By, Room, Rooms};
    use super::super::session::Session;
    use super::*;
    use crate::id::{Alias, PrincipalId, RoomName, Seq, Timestamp};
    use crate::protocol::message::{Deliver, EventKind, Kind, Notice, PrincipalKind};
    use crate::protocol::{decode, encode, frame};
    use crate::room::{Author, Batch, NewBatch, Run};
    use crate::rt::Signal;
    use std::time::Instant;

    const OWN: u64 = 3;
    const ME: SessionId = SessionId::from_bytes([1; 16]);

    /// Two rooms with this connection in them, whose tails hold events of others and, as every third, its own.
    struct Scene {
        rooms: Vec<Arc<Room>>,
        members: Vec<Arc<Member>>,
        queue: Mutex<Queue>,
        output: Output,
        sent: Vec<u8>,
    }

    impl Scene {
        fn new() -> Self {
            let registry = Rooms::new(10, 1 << 20);
            let conn = Arc::new(Conn::new(None, Link::Stream(Signal::default()), 1));
            let rooms: Vec<_> = ["a", "b"].iter().map(|name| open(&registry, name)).collect();
            let session = Arc::new(Session::restored(ME, Arc::new(author(1)), Vec::new()));
            session.sit(Some(&conn));
            let members =
                rooms.iter().map(|room| room.enter(&conn, &session, By::Founding, |_, _| ()).unwrap().member).collect();
            let (queue, output) = (Mutex::default(), Output::default());
            Self { rooms, members, queue, output, sent: Vec::new() }
        }

        fn append(&self, room: usize, count: u64) -> Vec<Arc<Chunk>> {
            let room = &self.rooms[room];
            for _ in 0..count {
                let mut state = room.lock();
                let first = state.tail.head().next();
                let own = first.get().is_multiple_of(OWN);
                let mut events = Run::default();
                events.push(EventKind::TEXT, format!("event {first}").as_bytes());
                let origin = Some(if own { ME } else { SessionId::from_bytes([9; 16]) });
                let new = NewBatch { room: room.id, author: Arc::new(author(2)), origin, publish: None, events };
                state.tail.push(Arc::new(Batch { first, at: Timestamp::default(), new }));
            }
            room.flush(Instant::now(), 1 << 20).chunks
        }

        fn control(&self, text: &str) {
            encode(&Notice { text: text.into(), at: 0 }, &mut self.queue.lock().control);
        }

        /// One round through a transport that takes `cut` bytes and then no more.
        fn round(&mut self, fresh: Option<(usize, &[Arc<Chunk>])>, cut: usize) -> Pumped {
            let (sent, mut left) = (&mut self.sent, cut);
            let mut sink = |bufs: &[IoSlice<'_>]| {
                let before = sent.len();
                for buf in bufs {
                    let n = buf.len().min(left);
                    sent.extend_from_slice(&buf[..n]);
                    left -= n;
                }
                if sent.len() == before { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(sent.len() - before) }
            };
            let fresh = fresh.map(|(i, chunks)| Fresh { member: &self.members[i], chunks });
            self.output.round(ME, &self.queue, fresh, &mut sink, &mut Written::default())
        }

        /// What was sent: seqs by room, and how many control frames.
        fn received(&self) -> (Vec<Vec<u64>>, usize) {
            let (mut seqs, mut notices, mut rest) = (vec![Vec::new(), Vec::new()], 0, &self.sent[..]);
            while let Some((frame, used)) = frame::split(rest, 1 << 20).unwrap() {
                if frame.header.kind == Kind::Deliver.0 {
                    let deliver: Deliver = decode(frame.body).unwrap();
                    let room = self.rooms.iter().position(|room| room.id == deliver.room).unwrap();
                    seqs[room].push(deliver.seq.get());
                } else {
                    decode::<Notice>(frame.body).unwrap();
                    notices += 1;
                }
                rest = &rest[used..];
            }
            assert!(rest.is_empty(), "a frame was left unfinished");
            (seqs, notices)
        }
    }

    fn open(registry: &Rooms, name: &str) -> Arc<Room> {
        let name = RoomName::parse(name).unwrap();
        registry.open(&name, true, Timestamp::default(), |_| (), |_, _| Vec::new()).unwrap().0
    }

    fn author(n: u8) -> Author {
        let principal = PrincipalId::from_bytes([n; 16]);
        Author { principal, kind: PrincipalKind::Guest, alias: Alias::parse("ada").unwrap() }
    }

    fn others(count: u64) -> Vec<u64> {
        (1..=count).filter(|n| n % OWN != 0).collect()
    }

    #[test]
    fn a_write_cut_at_any_byte_loses_doubles_and_mixes_nothing() {
        let whole = {
            let mut scene = Scene::new();
            let chunks = scene.append(0, 7);
            scene.control("first");
            assert!(matches!(scene.round(Some((0, &chunks)), usize::MAX), Pumped::Idle));
            scene.sent.len()
        };
        for first in 0..=whole {
            for then in [1, 2, 7, 50, 113, usize::MAX] {
                let mut scene = Scene::new();
                let chunks = scene.append(0, 7);
                scene.control("first");
                scene.round(Some((0, &chunks)), first);
                // While it is blocked, more comes: control, another room, the same room.
                scene.control("second");
                let other = scene.append(1, 4);
                scene.round(Some((1, &other)), 0);
                let more = scene.append(0, 5);
                scene.round(Some((0, &more)), 0);
                let mut rounds = 0;
                loop {
                    scene.output.unblock();
                    if matches!(scene.round(None, then), Pumped::Idle) {
                        break;
                    }
                    rounds += 1;
                    assert!(rounds < 10_000, "it never ends (cut {first}, then {then})");
                }
                assert_eq!(scene.received(), (vec![others(12), others(4)], 2), "cut {first}, then {then}");
                assert_eq!(scene.members[0].cursor(), Seq::new(12));
            }
        }
    }

    #[test]
    fn a_session_that_has_ended_finishes_its_frame_and_sends_control_but_nothing_of_a_room() {
        let mut scene = Scene::new();
        let chunks = scene.append(0, 7);
        scene.round(Some((0, &chunks)), 10);
        scene.output.mute();
        scene.control("bye");
        scene.output.unblock();
        assert!(matches!(scene.round(None, usize::MAX), Pumped::Idle));
        assert_eq!(scene.received(), (vec![vec![1], vec![]], 1));
    }

    #[test]
    fn behind_left_nothing_of_the_room_is_written() {
        let mut scene = Scene::new();
        let chunks = scene.append(0, 2);
        scene.members[0].unseat();
        scene.control("left");
        scene.round(Some((0, &chunks)), usize::MAX);
        assert_eq!(scene.received(), (vec![vec![], vec![]], 1));
    }
}
