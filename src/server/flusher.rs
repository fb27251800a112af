//! Rooms are flushed by a few tasks: each closes what a room's log has got since the last time, and gives it to
//! every member in one write.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::rooms::{Flush, Member, Room, person};
use super::shared::Shared;
use crate::protocol::{self, message::Presence};
use crate::room::{Change, Diff};
use crate::rt::{self, Signal};

/// A flusher lets others run after so many members …
const MEMBERS_PER_TURN: usize = 64;

/// … or after this time.
const TURN: Duration = Duration::from_micros(200);

/// Names in one presence frame: with the longest aliases it stays below 16 KiB.
const PEOPLE_PER_FRAME: usize = 100;

/// Rooms that wait to be flushed.
#[derive(Debug, Default)]
pub(super) struct FlushQueue {
    rooms: Mutex<Vec<Arc<Room>>>,
    signal: Signal,
}

impl FlushQueue {
    pub(super) fn push(&self, room: Arc<Room>) {
        self.rooms.lock().push(room);
        self.signal.notify();
    }
}

/// Flush one shard's rooms, for as long as the server is there.
pub(super) async fn run(shared: Arc<Shared>, shard: usize) {
    let queue = &shared.flushes[shard];
    let mut turn = Turn::new();
    // Rooms that will have presence to tell.
    let mut due: Vec<(Instant, Arc<Room>)> = Vec::new();
    loop {
        match due.iter().map(|(at, _)| *at).min() {
            Some(at) => rt::race(queue.signal.wait(), rt::sleep_until(at)).await,
            None => queue.signal.wait().await,
        }
        let now = Instant::now();
        let mut rooms = std::mem::take(&mut *queue.rooms.lock());
        due.retain(|(at, room)| {
            if *at <= now && !room.dirty.swap(true, Ordering::SeqCst) {
                rooms.push(Arc::clone(room));
            }
            *at > now
        });
        let tail_bytes = shared.rooms.tail_bytes();
        for room in rooms {
            // Cleared before looking: what is appended from here on marks it again.
            room.dirty.store(false, Ordering::SeqCst);
            let flush = room.flush(Instant::now(), tail_bytes);
            if let Some(at) = flush.due
                && !due.iter().any(|(_, other)| Arc::ptr_eq(other, &room))
            {
                due.push((at, Arc::clone(&room)));
            }
            deliver(&shared, &room, &flush, &mut turn).await;
        }
    }
}

/// Give every member what is new.
async fn deliver(shared: &Arc<Shared>, room: &Room, flush: &Flush, turn: &mut Turn) {
    // Who came or went is told when it is due, with others: until then nobody has anything to be sent.
    if flush.chunks.is_empty() && flush.diff.is_none() {
        return;
    }
    let presence = flush.diff.as_ref().map(|diff| encode(room, diff, flush.count)).unwrap_or_default();
    for member in flush.members.iter() {
        if !presence.is_empty() {
            member.conn.queue_presence(member, &presence);
        }
        if flush.chunks.is_empty() {
            member.conn.kick(shared);
        } else {
            member.conn.deliver(shared, member, &flush.chunks);
        }
        turn.step().await;
    }
}

/// Presence frames for a diff.
fn encode(room: &Room, diff: &Diff, count: usize) -> Vec<u8> {
    let mut frames = Vec::new();
    let mut frame = |from: u64, version: u64, changes: &[Change], partial: bool| {
        let people =
            |joined: bool| changes.iter().filter(|c| c.joined == joined).map(|c| person(&c.who, c.version)).collect();
        let (joined, left) = (people(true), people(false));
        protocol::encode(
            &Presence { room: room.id, version, from, count: count as u32, joined, left, partial },
            &mut frames,
        );
    };
    let Some(changes) = &diff.changes else {
        frame(diff.from, diff.version, &[], true);
        return frames;
    };
    let mut from = diff.from;
    let mut pages = changes.chunks(PEOPLE_PER_FRAME).peekable();
    if pages.peek().is_none() {
        frame(from, diff.version, &[], false);
    }
    while let Some(page) = pages.next() {
        let last = page.last().map_or(diff.version, |change| change.version);
        let version = if pages.peek().is_some() { last } else { diff.version };
        frame(from, version, page, false);
        from = version;
    }
    frames
}

/// Tell a member that presence was left out, now that there is room to.
pub(super) fn resync(shared: &Arc<Shared>, member: &Arc<Member>) {
    if member.presence_missed.swap(false, Ordering::Relaxed) {
        let (version, count) = {
            let state = member.room.lock();
            (state.presence.version(), state.members.count())
        };
        let (joined, left) = (Vec::new(), Vec::new());
        let count = count as u32;
        member.conn.queue(&Presence {
            room: member.room.id,
            version,
            from: version,
            count,
            joined,
            left,
            partial: true,
        });
        member.conn.kick(shared);
    }
}

/// Yields now and then.
#[derive(Debug)]
pub(super) struct Turn {
    members: usize,
    begun: Instant,
}

impl Turn {
    pub(super) fn new() -> Self {
        Self { members: 0, begun: Instant::now() }
    }

    pub(super) async fn step(&mut self) {
        self.members += 1;
        let over = self.members >= MEMBERS_PER_TURN || self.members.is_multiple_of(16) && self.begun.elapsed() >= TURN;
        if over {
            rt::yield_now().await;
            *self = Self::new();
        }
    }
}
