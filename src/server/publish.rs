//! The way of a `Publish` from the read buffer to the committer: known id? size and text rules, handler, and on.

use std::sync::Arc;

use super::committer::{self, Publish, Submission, What, ack};
use super::conn::Conn;
use super::dispatch::Work;
use super::guard;
use super::membership::Refusal;
use super::permission;
use super::rooms::Member;
use super::shared::Shared;
use super::toll;
use crate::handler::{Message, Ruling, Verdict};
use crate::id::{OutboxId, RoomId, Seq, Timestamp};
use crate::protocol::event::PublishRef;
use crate::protocol::message::{EventKind, Refused};
use crate::protocol::{Code, DecodeError};
use crate::room::{Action, Epoch, Offer, Run, Taken};
use crate::store::StoreError;
use crate::text;

/// What one session sends in a row becomes one frame for everybody else, up to so many bytes: a client must take
/// 20,480, of which the frame's head needs 120 at most.
const RUN_BYTES: usize = 16 * 1024;

/// What an event takes in a frame besides its body, in bytes.
const EVENT_BYTES: usize = 12;

/// Consecutive publishes of one session, collected from one read.
#[derive(Debug)]
pub(super) struct Collected {
    member: Arc<Member>,
    outbox: OutboxId,
    n: u64,
    epoch: Epoch,
    run: Run,
}

/// Bodies that the handler is to judge, one after the other.
#[derive(Debug)]
pub(super) struct Judging {
    member: Arc<Member>,
    outbox: OutboxId,
    n: u64,
    epoch: Epoch,
    expected: Option<Seq>,
    bodies: Run,
}

/// A publish whose numbers the store has to be asked about: from an outbox that isn't known here, or sent again after
/// long.
#[derive(Debug)]
pub(super) struct Slow {
    member: Arc<Member>,
    outbox: OutboxId,
    n: u64,
    expected: Option<Seq>,
    bodies: Run,
}

/// Take a publish. Returns what has to wait: for the application's handler, or for the store.
///
/// # Errors
///
/// It can't be decoded.
pub(super) fn take(
    shared: &Shared,
    conn: &Conn,
    body: &[u8],
    collected: &mut Option<Collected>,
) -> Result<Option<Work>, DecodeError> {
    let publish = PublishRef::decode(body)?;
    let (outbox, expected) = (publish.outbox, publish.expected);
    let known = collected.as_ref().filter(|c| c.member.room.id == publish.room).map(|c| Arc::clone(&c.member));
    let Some(member) = known.or_else(|| conn.member(publish.room)) else {
        not_here(shared, conn, &publish);
        return Ok(None);
    };
    let (end, mut bodies, mut n) = (publish.n.saturating_add(publish.count()), publish.bodies(), publish.n);
    let epoch = loop {
        if n >= end {
            return Ok(None);
        }
        match offer(&member, outbox, n, end - n) {
            Offered::New(epoch) => break epoch,
            // It is answered like a frame of its own, and counts as one.
            Offered::Done => toll::frames(shared, conn, 1),
            Offered::Stop => {
                toll::spilled(shared, conn, body.len());
                return Ok(None);
            }
            Offered::AskStore => {
                flush(shared, collected);
                let bodies = run(bodies);
                return Ok(Some(Work::Slow(Slow { member, outbox, n, expected, bodies })));
            }
        }
        n += 1;
        bodies.next();
    };
    let granted = grant(shared, &member, outbox, n, end, bodies.clone());
    let bodies = bodies.take(granted);
    if granted == 0 {
        return Ok(None);
    }
    if shared.interests.message || shared.interests.permission || expected.is_some() {
        flush(shared, collected);
        let bodies = run(bodies);
        return Ok(Some(Work::Judge(Judging { member, outbox, n, epoch, expected, bodies })));
    }
    accept(shared, collected, &member, outbox, n, epoch, bodies);
    Ok(None)
}

/// Refuse what is for a room that the session isn't in. It counts as if it were published, for it is answered as much.
fn not_here(shared: &Shared, conn: &Conn, publish: &PublishRef<'_>) {
    let &PublishRef { room, outbox, n, .. } = publish;
    let bodies = || publish.bodies().map(|(_, body)| body);
    let granted = toll::publish(shared, conn, bodies()).min(publish.count());
    for i in 0..granted {
        let text = "you are not in this room: join it first";
        conn.queue(&refusal(room, outbox, n.saturating_add(i), Code::NOT_A_MEMBER, text));
    }
    if granted < publish.count() {
        over(shared, conn, (room, outbox, n.saturating_add(granted)), bodies().skip(granted as usize));
    }
}

/// These, from a number on, are more than may be published now: they are to come again.
fn over<'b>(
    shared: &Shared,
    conn: &Conn,
    (room, outbox, n): (RoomId, OutboxId, u64),
    rest: impl Iterator<Item = &'b [u8]>,
) {
    let (count, bytes) = rest.fold((0, 0), |(count, bytes), body| (count + 1, bytes + body.len()));
    let retry_after_ms = Some(toll::refuse(shared, conn, count));
    let (code, text, permanent) = (Code::RATE_LIMITED, toll::TEXT.to_owned(), false);
    conn.queue(&Refused { room, outbox, n, code, text, permanent, retry_after_ms });
    toll::spilled(shared, conn, bytes);
}

/// Take bodies that nobody has to judge.
fn accept<'a>(
    shared: &Shared,
    collected: &mut Option<Collected>,
    member: &Arc<Member>,
    outbox: OutboxId,
    mut n: u64,
    epoch: Epoch,
    bodies: impl Iterator<Item = (EventKind, &'a [u8])>,
) {
    for (kind, body) in bodies {
        match check(kind, body, shared.config.max_event) {
            Ok(()) => collect(shared, collected, member, outbox, n, epoch, (kind, body)),
            Err((code, text)) => {
                flush(shared, collected);
                submit(shared, member, outbox, n, epoch, What::Refuse(code, text));
            }
        }
        n += 1;
    }
}

/// How many of the reserved numbers from `n` on may be published now, as the limits are; the others are to come again.
fn grant<'b>(
    shared: &Shared,
    member: &Member,
    outbox: OutboxId,
    n: u64,
    end: u64,
    bodies: impl Iterator<Item = (EventKind, &'b [u8])> + Clone,
) -> usize {
    let granted = toll::publish(shared, &member.conn, bodies.clone().map(|(_, body)| body));
    if granted < end - n {
        let (room, n) = (member.room.id, n + granted);
        member.room.lock().publishers.release(outbox, n, true);
        over(shared, &member.conn, (room, outbox, n), bodies.skip(granted as usize).map(|(_, body)| body));
    }
    usize::try_from(granted).unwrap_or(usize::MAX)
}

/// What an offered number led to.
enum Offered {
    /// It is reserved, with those behind it.
    New(Epoch),
    /// It was answered: on to the next.
    Done,
    /// Nothing behind it can be taken either.
    Stop,
    AskStore,
}

/// Offer a number, and answer what is decided already.
fn offer(member: &Member, outbox: OutboxId, n: u64, count: u64) -> Offered {
    let room = member.room.id;
    let offer = member.room.lock().publishers.offer(outbox, n, count);
    match offer {
        Offer::New(epoch) => return Offered::New(epoch),
        Offer::Unknown => return Offered::AskStore,
        Offer::Duplicate(taken) if taken.seq == Seq::ZERO => return Offered::AskStore,
        Offer::Duplicate(taken) => member.conn.queue(&ack(room, outbox, taken, None)),
        Offer::Refused => {
            member.conn.queue(&refusal(room, outbox, n, Code::MESSAGE_REFUSED, "this was refused before"));
        }
        Offer::InFlight => {}
        Offer::Ahead { expected, tell } => {
            if tell {
                let text = "an earlier message is missing; send again from it on".to_owned();
                let (code, permanent, retry_after_ms) = (Code::RESEND, false, None);
                member.conn.queue(&Refused { room, outbox, n: expected, code, text, permanent, retry_after_ms });
            }
            return Offered::Stop;
        }
    }
    Offered::Done
}

/// Take a publish that the store has to be asked about.
pub(super) async fn slow(shared: &Arc<Shared>, slow: Slow) {
    let Slow { member, outbox, mut n, mut expected, bodies } = slow;
    let end = n + bodies.len() as u64;
    let mut skipped = 0;
    let epoch = loop {
        if n >= end {
            return member.conn.kick(shared);
        }
        match offer(&member, outbox, n, end - n) {
            Offered::New(epoch) => break epoch,
            Offered::Stop => return member.conn.kick(shared),
            Offered::Done => toll::frames(shared, &member.conn, 1),
            Offered::AskStore => match look_up(shared, &member, outbox, n).await {
                Ok(true) => toll::frames(shared, &member.conn, 1),
                // It is known now: offer it again.
                Ok(false) => continue,
                Err(LookUp::TooMany) => {
                    let text = "too many outboxes publish here for one session: use one";
                    member.conn.queue(&refusal(member.room.id, outbox, n, Code::BUSY, text));
                    return member.conn.kick(shared);
                }
                Err(LookUp::Store(e)) => {
                    tracing::error!(room = %member.room.name, "an outbox can't be looked up: {e}");
                    // Nothing is reserved, so nothing is released: what is decided stays so.
                    let text = "the server can't look up what it has kept at the moment; send it again";
                    return later(shared, &member, outbox, n, Code::STORE_FAILED, text);
                }
            },
        }
        n += 1;
        skipped += 1;
        // A condition was for the first one.
        expected = None;
    };
    let rest = bodies.iter().skip(skipped);
    let granted = grant(shared, &member, outbox, n, end, rest.clone());
    let rest = rest.take(granted);
    if granted < (end - n) as usize {
        member.conn.kick(shared);
    }
    if shared.interests.message || shared.interests.permission || expected.is_some() {
        let bodies = run(rest);
        return judge(shared, Judging { member, outbox, n, epoch, expected, bodies }).await;
    }
    let mut collected = None;
    accept(shared, &mut collected, &member, outbox, n, epoch, rest);
    flush(shared, &mut collected);
}

enum LookUp {
    TooMany,
    Store(StoreError),
}

/// Ask the store about a number. True if it was answered; false if the outbox was not known here, and is now.
async fn look_up(shared: &Shared, member: &Member, outbox: OutboxId, n: u64) -> Result<bool, LookUp> {
    let room = member.room.id;
    let known = !matches!(member.room.lock().publishers.offer(outbox, n, 0), Offer::Unknown);
    if !known {
        let record = shared.store.outbox(room, outbox).await.map_err(LookUp::Store)?;
        let (decided, last) = record.map_or((0, None), |record| (record.decided, record.last));
        let who = member.session.principal;
        let taken = member.room.lock().publishers.recall(who, outbox, decided, last);
        return if taken { Ok(false) } else { Err(LookUp::TooMany) };
    }
    let taken = shared.store.taken(room, outbox, n).await.map_err(LookUp::Store)?;
    let trimmed = || async { shared.store.extent(room).await.map(|extent| extent.trimmed > Seq::ZERO) };
    match taken {
        Some(taken) => member.conn.queue(&ack(room, outbox, taken, None)),
        // It was stored so long ago that its place is not kept.
        None if trimmed().await.map_err(LookUp::Store)? => {
            let taken = Taken { n, count: 1, seq: Seq::ZERO, at: Timestamp::default() };
            member.conn.queue(&ack(room, outbox, taken, None));
        }
        None => {
            member.conn.queue(&refusal(room, outbox, n, Code::MESSAGE_REFUSED, "this was refused before"));
        }
    }
    Ok(true)
}

fn run<'a>(bodies: impl Iterator<Item = (EventKind, &'a [u8])>) -> Run {
    let mut run = Run::default();
    bodies.for_each(|(kind, body)| run.push(kind, body));
    run
}

fn collect(
    shared: &Shared,
    collected: &mut Option<Collected>,
    member: &Arc<Member>,
    outbox: OutboxId,
    n: u64,
    epoch: Epoch,
    (kind, body): (EventKind, &[u8]),
) {
    let fits = |c: &Collected| {
        Arc::ptr_eq(&c.member, member)
            && c.outbox == outbox
            && c.epoch == epoch
            && c.n + c.run.len() as u64 == n
            && c.run.bytes() + body.len() + EVENT_BYTES * (c.run.len() + 1) <= RUN_BYTES
    };
    if !collected.as_ref().is_some_and(fits) {
        flush(shared, collected);
    }
    let start = || Collected { member: Arc::clone(member), outbox, n, epoch, run: Run::default() };
    collected.get_or_insert_with(start).run.push(kind, body);
}

/// Pass on what was collected.
pub(super) fn flush(shared: &Shared, collected: &mut Option<Collected>) {
    if let Some(Collected { member, outbox, n, epoch, run }) = collected.take() {
        submit(shared, &member, outbox, n, epoch, What::Append(run));
    }
}

fn submit(shared: &Shared, member: &Arc<Member>, outbox: OutboxId, n: u64, epoch: Epoch, what: What) {
    let member = Arc::clone(member);
    shared.commits.submit(Submission::Publish(Publish {
        member,
        outbox,
        n,
        epoch,
        expected: None,
        allowed: false,
        what,
    }));
}

/// Ask the handler whether they may talk, and about each body, and pass on what it says.
pub(super) async fn judge(shared: &Arc<Shared>, judging: Judging) {
    let Judging { member, outbox, n, epoch, expected, bodies } = judging;
    let allowed = match may_speak(shared, &member).await {
        Ok(ruling) => ruling == Ruling::Allow,
        Err(refusal) if refusal.retry_after_ms.is_some() => {
            return retry(shared, &member, outbox, n, refusal.code, &refusal.text);
        }
        Err(Refusal { code, text, .. }) => {
            let numbers = n..n + bodies.len() as u64;
            return numbers.for_each(|n| submit(shared, &member, outbox, n, epoch, What::Refuse(code, text.clone())));
        }
    };
    for (i, (kind, body)) in bodies.iter().enumerate() {
        let n = n + i as u64;
        let what = match check(kind, body, shared.config.max_event) {
            Err((code, text)) => What::Refuse(code, text),
            Ok(()) => match ask(shared, &member, body).await {
                Ok(Verdict::Deliver) => What::Append(one(kind, body)),
                Ok(Verdict::Replace(text)) => match check(kind, text.as_bytes(), shared.config.max_event) {
                    Ok(()) => What::Replace(one(kind, text.as_bytes())),
                    Err((code, why)) => {
                        tracing::error!(session = %member.session.id, "the handler's replacement is not a valid text: {why}");
                        What::Refuse(code, "the application's replacement for the message was not valid".into())
                    }
                },
                Ok(Verdict::Refuse(reason)) => What::Refuse(Code::MESSAGE_REFUSED, reason),
                Err(guard::HandlerFailed) => {
                    let text = "the server's application failed on this message; it may be sent again";
                    return retry(shared, &member, outbox, n, Code::HANDLER_FAILED, text);
                }
            },
        };
        let expected = if i == 0 { expected } else { None };
        let member = Arc::clone(&member);
        shared.commits.submit(Submission::Publish(Publish { member, outbox, n, epoch, expected, allowed, what }));
    }
}

/// What the application says to whether somebody may talk. The table is asked once more when it is stored.
async fn may_speak(shared: &Shared, member: &Member) -> Result<Ruling, Refusal> {
    let permitted = committer::may_speak(shared, member, &member.room.lock()).is_ok();
    let (author, room) = (member.author(), &member.room);
    permission::ask(shared, &member.conn, &author, room, Action::Speak, None, permitted).await
}

async fn ask(shared: &Shared, member: &Member, body: &[u8]) -> Result<Verdict, guard::HandlerFailed> {
    let author = member.author();
    let peer = member.conn.peer(&author);
    let (Some(handler), true, Some(from)) = (&shared.handler, shared.interests.message, peer) else {
        return Ok(Verdict::Deliver);
    };
    // Checked before: it is UTF-8.
    let text = std::str::from_utf8(body).unwrap_or_default();
    let message = Message { from, room: &member.room.name, text };
    guard::call("message", member.session.id, shared.config.handler_timeout, async { handler.message(message).await })
        .await
}

/// There is no answer to be had: this number and those behind it are to come again.
fn retry(shared: &Arc<Shared>, member: &Arc<Member>, outbox: OutboxId, n: u64, code: Code, text: &str) {
    member.room.lock().publishers.release(outbox, n, true);
    later(shared, member, outbox, n, code, text);
}

/// Tell that a number, and those behind it, are to come again.
fn later(shared: &Arc<Shared>, member: &Arc<Member>, outbox: OutboxId, n: u64, code: Code, text: &str) {
    let (room, text) = (member.room.id, text.to_owned());
    member.conn.queue(&Refused { room, outbox, n, code, text, permanent: false, retry_after_ms: Some(RETRY_MS) });
    member.conn.kick(shared);
}

/// Milliseconds to wait after a handler, or the store, failed.
const RETRY_MS: u32 = 1000;

fn one(kind: EventKind, body: &[u8]) -> Run {
    let mut run = Run::default();
    run.push(kind, body);
    run
}

/// The rules for what may be published.
pub(super) fn check(kind: EventKind, body: &[u8], max_event: u32) -> Result<(), (Code, String)> {
    if body.len() > max_event as usize {
        let text = format!("the message has {} bytes; at most {max_event} are allowed: split it", body.len());
        return Err((Code::EVENT_TOO_LARGE, text));
    }
    if kind != EventKind::TEXT {
        return Err((Code::EVENT_KIND_REFUSED, format!("events of kind {} can't be published here", kind.0)));
    }
    text::check_text(body).map(drop).map_err(|e| (Code::TEXT_INVALID, e.to_string()))
}

fn refusal(room: RoomId, outbox: OutboxId, n: u64, code: Code, text: &str) -> Refused {
    Refused { room, outbox, n, code, text: text.into(), permanent: true, retry_after_ms: None }
}
