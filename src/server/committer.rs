//! One task appends: everything that arrived while it was at it becomes the next batch, but for what has to meet what
//! that does (see [`Sharing`]). It is kept as a whole or not at all. Only then do acks go out, and only after them does
//! the tail show the events.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::channel::oneshot;
use parking_lot::Mutex;

use super::conn::Conn;
use super::house::Who;
use super::rooms::{Member, Room, State};
use super::shared::{Clock, Shared};
use super::sharing::Sharing;
use crate::id::{OutboxId, RoomId, Seq, Timestamp};
use crate::protocol::Code;
use crate::protocol::message::{Ack, Body, EventKind, Refused};
use crate::room::{Author, Batch, Epoch, NewBatch, PublishId, Run, Taken};
use crate::rt::{self, Gate, Signal};
use crate::store::{Change, Commit, StoreError, StoreErrorKind};

/// Bytes that may wait for the committer; beyond, readers wait.
const QUEUE_BYTES: usize = 8 * 1024 * 1024;

/// What one waiting publish weighs besides its bodies.
const ENTRY_BYTES: usize = 256;

/// Milliseconds after which a client may try again when the store has failed.
const RETRY_MS: u32 = 1000;

/// What waits to be stored.
#[derive(Debug, Default)]
pub(super) struct CommitQueue {
    waiting: Mutex<Vec<Submission>>,
    bytes: AtomicUsize,
    signal: Signal,
    gate: Gate,
    /// Submissions that are not decided.
    undecided: AtomicUsize,
    settled: Gate,
}

/// Something to append, or to refuse in its turn.
#[derive(Debug)]
pub(super) enum Submission {
    Publish(Publish),
    App {
        room: Arc<Room>,
        events: Run,
        done: oneshot::Sender<Result<Arc<Batch>, StoreError>>,
    },
    /// Something to keep besides events; who waits for that is told once it is kept, and never otherwise.
    Record(Change, Option<oneshot::Sender<()>>),
    /// Something to keep besides events, and somebody waits until it is.
    Sure {
        changes: Vec<Change>,
        done: oneshot::Sender<Result<(), StoreError>>,
    },
    Act(Act),
    Together(Together),
}

/// Changes and acts, one in a room at most, that are kept in one commit. An act that may not be done is left out.
pub(super) struct Together {
    pub(super) changes: Vec<Change>,
    pub(super) acts: Vec<Act>,
    /// What is done once it is kept, before any of the acts' events is shown.
    pub(super) then: Afterwards,
    pub(super) done: oneshot::Sender<Result<(), StoreError>>,
}

pub(super) type Afterwards = Box<dyn FnOnce(&Arc<Shared>) + Send>;

impl std::fmt::Debug for Together {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Together").field("changes", &self.changes).field("acts", &self.acts).finish_non_exhaustive()
    }
}

/// A change in a room, which becomes an event of it. It is decided when its turn comes, behind everything that was
/// submitted before, kept in one commit with its event, and only then done.
pub(super) struct Act {
    pub(super) room: Arc<Room>,
    pub(super) author: Arc<Author>,
    pub(super) decide: Decide,
    /// Where its event is then.
    pub(super) done: oneshot::Sender<Result<Seq, NotDone>>,
}

pub(super) type Apply = Box<dyn FnOnce(&Room, &mut State) + Send>;
pub(super) type Then = Box<dyn FnOnce(&Arc<Shared>, &Arc<Room>) + Send>;

pub(super) type Decide = Box<dyn FnOnce(&mut State) -> Result<Decided, NotDone> + Send>;

/// What an act comes to.
pub(super) struct Decided {
    pub(super) event: (EventKind, Vec<u8>),
    /// Kept together with the event.
    pub(super) changes: Vec<Change>,
    /// What becomes different in memory once it is kept, under the room's lock …
    pub(super) apply: Apply,
    /// … and what is done then.
    pub(super) then: Option<Then>,
}

/// Why an act wasn't done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NotDone {
    pub(super) code: Code,
    pub(super) text: String,
}

impl std::fmt::Debug for Act {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Act").field("room", &self.room.name).field("author", &self.author).finish_non_exhaustive()
    }
}

/// A session's publish, its number reserved.
#[derive(Debug)]
pub(super) struct Publish {
    pub(super) member: Arc<Member>,
    pub(super) outbox: OutboxId,
    pub(super) n: u64,
    pub(super) epoch: Epoch,
    pub(super) expected: Option<Seq>,
    /// The application lets them, whatever the room's table says.
    pub(super) allowed: bool,
    pub(super) what: What,
}

/// What is to become of it.
#[derive(Debug)]
pub(super) enum What {
    Append(Run),
    /// The application put this text in the place of what was sent.
    Replace(Run),
    /// It is not to be; told in the order of the numbers, like an ack.
    Refuse(Code, String),
}

impl CommitQueue {
    pub(super) fn submit(&self, submission: Submission) {
        let bytes = submission.weight();
        if let Submission::Publish(publish) = &submission {
            publish.member.conn.in_flight.fetch_add(1, Ordering::SeqCst);
        }
        self.undecided.fetch_add(1, Ordering::SeqCst);
        self.bytes.fetch_add(bytes, Ordering::SeqCst);
        self.waiting.lock().push(submission);
        self.signal.notify();
    }

    pub(super) fn has_room(&self) -> bool {
        self.bytes.load(Ordering::SeqCst) < QUEUE_BYTES
    }

    /// Wait until more may be submitted.
    pub(super) async fn room(&self) {
        self.gate.until(|| self.has_room()).await;
    }

    /// Wait until everything that was submitted is decided.
    pub(super) async fn settled(&self) {
        self.settled.until(|| self.undecided.load(Ordering::SeqCst) == 0).await;
    }

    fn release(&self, bytes: usize, count: usize) {
        if self.undecided.fetch_sub(count, Ordering::SeqCst) == count {
            self.settled.open();
        }
        let before = self.bytes.fetch_sub(bytes, Ordering::SeqCst);
        if before >= QUEUE_BYTES && before - bytes < QUEUE_BYTES {
            self.gate.open();
        }
    }
}

impl Submission {
    fn weight(&self) -> usize {
        ENTRY_BYTES
            + match self {
                Self::App { events, .. } => events.bytes(),
                Self::Publish(Publish { what: What::Append(run) | What::Replace(run), .. }) => {
                    run.bytes() + 8 * run.len()
                }
                Self::Together(together) => ENTRY_BYTES * together.acts.len(),
                Self::Publish(_) | Self::Record(..) | Self::Sure { .. } | Self::Act(_) => 0,
            }
    }
}

/// Commit, for as long as the server is there.
pub(super) async fn run(shared: Arc<Shared>) {
    let queue = &shared.commits;
    let (mut batch, mut waiting) = (Pending::default(), Vec::new());
    loop {
        if waiting.is_empty() {
            queue.signal.wait().await;
        }
        // Readers that are about to submit do so first: their events share this batch, its commit and its writes.
        rt::yield_now().await;
        waiting.append(&mut queue.waiting.lock());
        let (mut sharing, mut left) = (Sharing::default(), Vec::new());
        let (mut bytes, mut count) = (0, 0);
        for submission in waiting {
            if sharing.takes(&submission) {
                (bytes, count) = (bytes + submission.weight(), count + 1);
                batch.add(submission, &shared.app);
            } else {
                left.push(submission);
            }
        }
        batch.commit(&shared).await;
        queue.release(bytes, count);
        waiting = left;
    }
}

/// What is to be committed together.
#[derive(Default)]
struct Pending {
    /// In their order, and whether they have nobody who would ask for them again if they can't be kept.
    changes: Vec<(Change, bool)>,
    waiting: Vec<oneshot::Sender<()>>,
    batches: Vec<NewBatch>,
    entries: Vec<Entry>,
}

enum Entry {
    Publish { publish: Publish, count: u64, replaced: Option<Body> },
    Refuse { publish: Publish, code: Code, text: String },
    App { room: Arc<Room>, done: oneshot::Sender<Result<Arc<Batch>, StoreError>> },
    Sure { then: Option<Afterwards>, done: oneshot::Sender<Result<(), StoreError>> },
    Act { room: Arc<Room>, apply: Apply, then: Option<Then>, done: oneshot::Sender<Result<Seq, NotDone>> },
}

impl Pending {
    fn add(&mut self, submission: Submission, author: &Arc<Author>) {
        match submission {
            Submission::Record(change, done) => {
                let again = !matches!(change, Change::Used { .. });
                self.changes.push((change, again));
                self.waiting.extend(done);
            }
            Submission::Sure { changes, done } => {
                self.changes.extend(changes.into_iter().map(|change| (change, false)));
                self.entries.push(Entry::Sure { then: None, done });
            }
            Submission::Together(Together { changes, acts, then, done }) => {
                self.changes.extend(changes.into_iter().map(|change| (change, false)));
                self.entries.push(Entry::Sure { then: Some(then), done });
                acts.into_iter().for_each(|act| self.add(Submission::Act(act), author));
            }
            Submission::Act(Act { room, author, decide, done }) => {
                let mut state = room.lock();
                let decided = if state.has_ended() {
                    Err(NotDone { code: Code::NO_SUCH_ROOM, text: "the room has ended meanwhile".into() })
                } else {
                    decide(&mut state)
                };
                drop(state);
                match decided {
                    Ok(Decided { event: (kind, body), changes, apply, then }) => {
                        let mut events = Run::default();
                        events.push(kind, &body);
                        // Without an origin: whoever did it is shown it too, and has no hole where it is.
                        self.batches.push(NewBatch { room: room.id, author, origin: None, publish: None, events });
                        self.changes.extend(changes.into_iter().map(|change| (change, false)));
                        self.entries.push(Entry::Act { room, apply, then, done });
                    }
                    Err(e) => drop(done.send(Err(e))),
                }
            }
            Submission::App { room, events, done } => {
                self.entries.push(Entry::App { room: Arc::clone(&room), done });
                let author = Arc::clone(author);
                self.batches.push(NewBatch { room: room.id, author, origin: None, publish: None, events });
            }
            Submission::Publish(mut publish) => {
                let (events, replaced) = match std::mem::replace(&mut publish.what, What::Append(Run::default())) {
                    What::Append(events) => (events, None),
                    What::Replace(events) => {
                        let body = events.iter().next().map(|(kind, bytes)| Body { kind, bytes: bytes.to_vec() });
                        (events, body)
                    }
                    What::Refuse(code, text) => {
                        self.entries.push(Entry::Refuse { publish, code, text });
                        return;
                    }
                };
                let member = &publish.member;
                self.batches.push(NewBatch {
                    room: member.room.id,
                    author: member.session.author(),
                    origin: Some(member.session.id),
                    publish: Some(PublishId { outbox: publish.outbox, n: publish.n }),
                    events,
                });
                let count = self.batches.last().map_or(0, |batch| batch.events.len() as u64);
                self.entries.push(Entry::Publish { publish, count, replaced });
            }
        }
    }

    /// Append, then tell.
    async fn commit(&mut self, shared: &Arc<Shared>) {
        if self.entries.is_empty() && self.changes.is_empty() {
            return;
        }
        let Pending { changes, waiting, batches, entries } = std::mem::take(self);
        let (batches, entries) = admit(shared, batches, entries);
        let retry: Vec<_> = changes.iter().filter(|(_, again)| *again).cloned().collect();
        let mut changes: Vec<Change> = changes.into_iter().map(|(change, _)| change).collect();
        changes.extend(entries.iter().filter_map(used));
        note(shared, &changes);
        let appended = if batches.is_empty() && changes.is_empty() {
            Ok(Vec::new())
        } else {
            shared.store.append(Commit { changes, batches, now: Clock::timestamp() }).await
        };
        match appended {
            Ok(appended) => {
                for done in waiting {
                    // Whoever waited may be gone.
                    let _ = done.send(());
                }
                tell(shared, entries, appended);
            }
            Err(e) => {
                tracing::error!("{} publishes and {} changes were not stored: {e}", entries.len(), retry.len());
                refuse_all(shared, entries, &e);
                // Records have nobody who would send them again: they go with the next commit.
                self.changes = retry;
            }
        }
    }
}

/// Remember where somebody stands somehow without being a member.
fn note(shared: &Shared, changes: &[Change]) {
    for change in changes {
        if let Change::PutStanding(standing) = change
            && !standing.member
        {
            let who = standing.principal;
            // Rooms that have ended needn't be remembered.
            if shared.people.note(who, standing.room).is_multiple_of(NOTED) {
                let ended = shared.people.stands(who).into_iter().filter(|room| shared.rooms.by_id(*room).is_none());
                shared.people.forget_noted(who, &ended.collect::<Vec<_>>());
            }
        }
    }
}

/// After so many rooms more it is looked which there still are.
const NOTED: usize = 256;

/// A number that is refused for good is used up, and stays so: nobody is told before that is kept.
fn used(entry: &Entry) -> Option<Change> {
    let Entry::Refuse { publish, .. } = entry else { return None };
    let (room, outbox, n) = (publish.member.room.id, publish.outbox, publish.n);
    Some(Change::Used { room, outbox, n })
}

/// The right to speak is checked once more: what is stale, or of somebody who has left, is dropped; a precondition
/// that doesn't hold is refused.
fn admit(shared: &Shared, batches: Vec<NewBatch>, entries: Vec<Entry>) -> (Vec<NewBatch>, Vec<Entry>) {
    let mut kept = (Vec::with_capacity(batches.len()), Vec::with_capacity(entries.len()));
    let mut batches = batches.into_iter();
    // Only for a precondition does it matter what a room's head will be: what is before it is in this commit, perhaps.
    let asked = |entry: &Entry| matches!(entry, Entry::Publish { publish, .. } if publish.expected.is_some());
    let mut grown = entries.iter().any(asked).then(HashMap::<RoomId, u64>::new);
    for entry in entries {
        match entry {
            Entry::App { room, done } => {
                let batch = batches.next();
                if room.has_ended() {
                    let text = "the room has ended meanwhile; publish again";
                    let _ = done.send(Err(StoreError::new(StoreErrorKind::Other, text)));
                } else {
                    grow(&mut grown, &batch);
                    kept.0.extend(batch);
                    kept.1.push(Entry::App { room, done });
                }
            }
            Entry::Sure { .. } => kept.1.push(entry),
            Entry::Act { .. } => {
                kept.0.extend(batches.next());
                kept.1.push(entry);
            }
            Entry::Refuse { publish, code, text } => {
                let mut state = publish.member.room.lock();
                let holds = state.publishers.holds(publish.outbox, publish.epoch);
                let stays = holds && still_here(&publish, &mut state);
                drop(state);
                if !stays {
                    settle(&publish.member.conn);
                } else {
                    kept.1.push(Entry::Refuse { publish, code, text });
                }
            }
            Entry::Publish { publish, count, replaced } => {
                let batch = batches.next();
                let member = &publish.member;
                let mut state = member.room.lock();
                let holds = state.publishers.holds(publish.outbox, publish.epoch);
                let stays = holds && still_here(&publish, &mut state);
                let before = grown.as_ref().and_then(|grown| grown.get(&member.room.id)).copied().unwrap_or(0);
                let head = Seq::new(state.tail.head().get() + before);
                let speaks = if publish.allowed { Ok(()) } else { may_speak(shared, member, &state) };
                drop(state);
                if !stays {
                    settle(&member.conn);
                } else if let Err(code) = speaks {
                    let text = super::moderation::words(code).to_owned();
                    kept.1.push(Entry::Refuse { publish, code, text });
                } else if publish.expected.is_some_and(|expected| expected != head) {
                    let text = format!("the room's last event is {head} by now: read it and decide again");
                    kept.1.push(Entry::Refuse { publish, code: Code::PRECONDITION_FAILED, text });
                } else {
                    grow(&mut grown, &batch);
                    kept.0.extend(batch);
                    kept.1.push(Entry::Publish { publish, count, replaced });
                }
            }
        }
    }
    kept
}

/// A room's head will be further by these events.
fn grow(grown: &mut Option<HashMap<RoomId, u64>>, batch: &Option<NewBatch>) {
    if let (Some(grown), Some(batch)) = (grown, batch) {
        *grown.entry(batch.room).or_default() += batch.events.len() as u64;
    }
}

/// Whether whoever publishes is still a member. If not, the numbers are free again: they may come once more, from
/// whoever has the outbox then.
fn still_here(publish: &Publish, state: &mut State) -> bool {
    let left = publish.member.has_left();
    if left {
        state.publishers.release(publish.outbox, publish.n, false);
    }
    !left
}

pub(super) fn may_speak(shared: &Shared, member: &Member, state: &State) -> Result<(), Code> {
    if !state.house.is_restricted() {
        return Ok(());
    }
    let author = &member.session.author();
    let (address, admin) = (member.conn.address.map(|a| a.ip()), shared.people.is_admin(author.principal));
    state.house.may_speak(Who { author, address, admin, here: true }, Clock::timestamp())
}

fn tell(shared: &Arc<Shared>, entries: Vec<Entry>, appended: Vec<Arc<Batch>>) {
    let published: usize = appended.iter().map(|batch| batch.new.events.len()).sum();
    shared.counters.published.fetch_add(published as u64, Ordering::Relaxed);
    let mut appended = appended.into_iter();
    let mut last: Option<Arc<Room>> = None;
    for entry in entries {
        let room = match entry {
            Entry::Refuse { publish, code, text } => {
                refuse(shared, &publish, code, text);
                continue;
            }
            Entry::Publish { publish, count, replaced } => {
                let Some(batch) = appended.next() else { continue };
                let member = &publish.member;
                let room = Arc::clone(&member.room);
                let mut state = room.lock();
                let taken = Taken { n: publish.n, count, seq: batch.first, at: batch.at };
                state.publishers.commit(publish.outbox, taken);
                // The ack is in the queue before anybody can be shown what follows it.
                member.session.queue(&ack(room.id, publish.outbox, taken, replaced));
                state.tail.push(batch);
                drop(state);
                settle(&member.conn);
                if member.is_gone()
                    && let Some(conn) = member.session.conn()
                {
                    conn.kick(shared);
                }
                room
            }
            Entry::Sure { then, done, .. } => {
                then.into_iter().for_each(|then| then(shared));
                let _ = done.send(Ok(()));
                continue;
            }
            Entry::Act { room, apply, then, done, .. } => {
                let Some(batch) = appended.next() else { continue };
                let mut state = room.lock();
                apply(&room, &mut state);
                let seq = batch.first;
                state.tail.push(batch);
                drop(state);
                then.into_iter().for_each(|then| then(shared, &room));
                let _ = done.send(Ok(seq));
                room
            }
            Entry::App { room, done } => {
                let Some(batch) = appended.next() else { continue };
                room.lock().tail.push(Arc::clone(&batch));
                // Whoever asked may have stopped waiting; the event is in the log all the same.
                let _ = done.send(Ok(batch));
                room
            }
        };
        if last.as_ref().is_some_and(|last| !Arc::ptr_eq(last, &room)) {
            last.iter().for_each(|last| shared.flush(last));
        }
        last = Some(room);
    }
    last.iter().for_each(|last| shared.flush(last));
}

fn refuse_all(shared: &Arc<Shared>, entries: Vec<Entry>, e: &StoreError) {
    for entry in entries {
        match entry {
            Entry::App { done, .. } => drop(done.send(Err(e.clone()))),
            Entry::Sure { done, .. } => drop(done.send(Err(e.clone()))),
            Entry::Act { done, .. } => {
                let text = "the server can't keep this at the moment; try again".into();
                let _ = done.send(Err(NotDone { code: Code::STORE_FAILED, text }));
            }
            Entry::Refuse { publish, .. } | Entry::Publish { publish, .. } => {
                let member = &publish.member;
                let mut state = member.room.lock();
                let holds = state.publishers.holds(publish.outbox, publish.epoch);
                if holds {
                    state.publishers.release(publish.outbox, publish.n, false);
                }
                drop(state);
                settle(&member.conn);
                // One refusal names the first number; those behind it are stale with it.
                if holds {
                    let text = "the server can't keep messages at the moment; send it again".into();
                    answer(shared, member, &refused(&publish, Code::STORE_FAILED, text, Some(RETRY_MS)));
                }
            }
        }
    }
}

fn refuse(shared: &Arc<Shared>, publish: &Publish, code: Code, text: String) {
    let member = &publish.member;
    let mut state = member.room.lock();
    let holds = state.publishers.holds(publish.outbox, publish.epoch);
    if holds {
        state.publishers.refuse(publish.outbox, publish.n);
    }
    drop(state);
    settle(&member.conn);
    if holds {
        answer(shared, member, &refused(publish, code, text, None));
    }
}

fn answer(shared: &Arc<Shared>, member: &Member, refused: &Refused) {
    member.session.queue(refused);
    shared.counters.refused.fetch_add(1, Ordering::Relaxed);
    if let Some(conn) = member.session.conn() {
        conn.kick(shared);
    }
}

/// One publish less is under way.
fn settle(conn: &Conn) {
    // The reader is woken only if it waits for this: otherwise each publish would cost it one useless turn.
    if conn.in_flight.fetch_sub(1, Ordering::SeqCst) == 1 && conn.settling.load(Ordering::SeqCst) {
        conn.wake.notify();
    }
}

fn refused(publish: &Publish, code: Code, text: String, retry_after_ms: Option<u32>) -> Refused {
    let (room, outbox, n) = (publish.member.room.id, publish.outbox, publish.n);
    Refused { room, outbox, n, code, text, permanent: retry_after_ms.is_none(), retry_after_ms }
}

pub(super) fn ack(room: RoomId, outbox: OutboxId, taken: Taken, replaced: Option<Body>) -> Ack {
    let Taken { n, count, seq, at } = taken;
    Ack { room, outbox, n, count: count as u32, seq, at: Timestamp::as_millis(at), replaced }
}
