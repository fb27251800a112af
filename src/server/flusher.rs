//! Rooms are flushed by a few tasks: each closes what a room's log has got since the last time, and gives it to
//! every member in one write.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::rooms::{Flush, Member, Room, person};
use super::shared::Shared;
use crate::protocol::{self, message::AwayChange, message::Presence};
use crate::room::{Author, Change, ChangeKind, Diff};
use crate::rt::{self, Signal};

/// A flusher lets others run after so many members …
const MEMBERS_PER_TURN: usize = 64;

/// … or after this time.
const TURN: Duration = Duration::from_micros(200);

/// Names in one presence frame, at most …
const PEOPLE_PER_FRAME: usize = 100;

/// … and bytes, without what each entry takes besides its alias and text: it stays below 16 KiB.
const BYTES_PER_FRAME: usize = 12 * 1024;

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
        let (mut joined, mut left, mut away) = (Vec::new(), Vec::new(), Vec::new());
        for Change { version, who, what } in changes {
            match what {
                ChangeKind::Came => joined.push(person(who, *version)),
                ChangeKind::Went => left.push(person(who, *version)),
                ChangeKind::Away(text) => away.push(away_change(who, *version, Some(text.to_string()))),
                ChangeKind::Back => away.push(away_change(who, *version, None)),
            }
        }
        let (count, away) = (count as u32, (!away.is_empty()).then_some(away));
        protocol::encode(&Presence { room: room.id, version, from, count, joined, left, partial, away }, &mut frames);
    };
    let Some(changes) = &diff.changes else {
        frame(diff.from, diff.version, &[], true);
        return frames;
    };
    let mut from = diff.from;
    let mut rest = &changes[..];
    loop {
        let (page, others) = rest.split_at(page(rest));
        let last = page.last().filter(|_| !others.is_empty());
        let version = last.map_or(diff.version, |change| change.version);
        frame(from, version, page, false);
        (from, rest) = (version, others);
        if rest.is_empty() {
            return frames;
        }
    }
}

/// How many changes go into the next frame.
fn page(changes: &[Change]) -> usize {
    let mut bytes = 0;
    let fits = |change: &&Change| {
        let text = if let ChangeKind::Away(text) = &change.what { text.len() } else { 0 };
        bytes += change.who.alias.as_str().len() + text;
        bytes <= BYTES_PER_FRAME
    };
    changes.iter().take(PEOPLE_PER_FRAME).take_while(fits).count()
}

fn away_change(who: &Author, version: u64, text: Option<String>) -> AwayChange {
    let Author { principal, kind, alias } = who;
    AwayChange { principal: *principal, kind: *kind, alias: alias.to_string(), version, text }
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
            away: None,
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
