//! The way of a `Publish` from the read buffer to the committer: known id? size and text rules, handler, and on.

use std::sync::Arc;

use super::committer::{Publish, Submission, What, ack};
use super::conn::Conn;
use super::guard;
use super::rooms::Member;
use super::shared::Shared;
use crate::handler::{Message, Verdict};
use crate::id::{OutboxId, RoomId, Seq};
use crate::protocol::event::PublishRef;
use crate::protocol::message::{EventKind, Refused};
use crate::protocol::{Code, DecodeError};
use crate::room::{Epoch, Offer, Run};
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

/// Take a publish. Returns what the handler has to judge first.
///
/// # Errors
///
/// It can't be decoded.
pub(super) fn take(
    shared: &Shared,
    conn: &Conn,
    body: &[u8],
    collected: &mut Option<Collected>,
) -> Result<Option<Judging>, DecodeError> {
    let publish = PublishRef::decode(body)?;
    let known = collected.as_ref().filter(|c| c.member.room.id == publish.room).map(|c| Arc::clone(&c.member));
    let Some(member) = known.or_else(|| conn.member(publish.room)) else {
        let text = "you are not in this room: join it first";
        for i in 0..publish.count() {
            conn.queue(&refusal(publish.room, publish.outbox, publish.n.saturating_add(i), Code::NOT_A_MEMBER, text));
        }
        return Ok(None);
    };
    let (end, mut bodies, mut n) = (publish.n.saturating_add(publish.count()), publish.bodies(), publish.n);
    let epoch = loop {
        if n >= end {
            return Ok(None);
        }
        let offer = member.room.lock().publishers.offer(member.author.principal, publish.outbox, n, end - n);
        match offer {
            Offer::New(epoch) => break epoch,
            Offer::Duplicate(taken) => conn.queue(&ack(publish.room, publish.outbox, taken, None)),
            Offer::Refused => {
                let text = "this was refused before";
                conn.queue(&refusal(publish.room, publish.outbox, n, Code::MESSAGE_REFUSED, text));
            }
            Offer::InFlight => {}
            Offer::Ahead { expected, tell } => {
                if tell {
                    let text = "an earlier message is missing; send again from it on".to_owned();
                    let permanent = false;
                    let (room, outbox, code, retry_after_ms) = (publish.room, publish.outbox, Code::RESEND, None);
                    conn.queue(&Refused { room, outbox, n: expected, code, text, permanent, retry_after_ms });
                }
                return Ok(None);
            }
            Offer::TooMany => {
                let text = "too many outboxes publish here for one session: use one";
                conn.queue(&refusal(publish.room, publish.outbox, n, Code::BUSY, text));
                return Ok(None);
            }
        }
        n += 1;
        bodies.next();
    };
    if shared.interests.message || publish.expected.is_some() {
        flush(shared, collected);
        let mut run = Run::default();
        bodies.for_each(|(kind, body)| run.push(kind, body));
        let (outbox, expected) = (publish.outbox, publish.expected);
        return Ok(Some(Judging { member, outbox, n, epoch, expected, bodies: run }));
    }
    for (kind, body) in bodies {
        match check(kind, body, shared.config.max_event) {
            Ok(()) => collect(shared, collected, &member, publish.outbox, n, epoch, (kind, body)),
            Err((code, text)) => {
                flush(shared, collected);
                submit(shared, &member, publish.outbox, n, epoch, What::Refuse(code, text));
            }
        }
        n += 1;
    }
    Ok(None)
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
    shared.commits.submit(Submission::Publish(Publish { member, outbox, n, epoch, expected: None, what }));
}

/// Ask the handler about each body, and pass on what it says.
pub(super) async fn judge(shared: &Arc<Shared>, judging: Judging) {
    let Judging { member, outbox, n, epoch, expected, bodies } = judging;
    for (i, (kind, body)) in bodies.iter().enumerate() {
        let n = n + i as u64;
        let what = match check(kind, body, shared.config.max_event) {
            Err((code, text)) => What::Refuse(code, text),
            Ok(()) => match ask(shared, &member, body).await {
                Ok(Verdict::Deliver) => What::Append(one(kind, body)),
                Ok(Verdict::Replace(text)) => match check(kind, text.as_bytes(), shared.config.max_event) {
                    Ok(()) => What::Replace(one(kind, text.as_bytes())),
                    Err((code, why)) => {
                        tracing::error!(session = %member.conn.id, "the handler's replacement is not a valid text: {why}");
                        What::Refuse(code, "the application's replacement for the message was not valid".into())
                    }
                },
                Ok(Verdict::Refuse(reason)) => What::Refuse(Code::MESSAGE_REFUSED, reason),
                Err(guard::HandlerFailed) => return retry(shared, &member, outbox, n),
            },
        };
        let expected = if i == 0 { expected } else { None };
        let member = Arc::clone(&member);
        shared.commits.submit(Submission::Publish(Publish { member, outbox, n, epoch, expected, what }));
    }
}

async fn ask(shared: &Shared, member: &Member, body: &[u8]) -> Result<Verdict, guard::HandlerFailed> {
    let (Some(handler), true, Some(from)) = (&shared.handler, shared.interests.message, member.conn.peer()) else {
        return Ok(Verdict::Deliver);
    };
    // Checked before: it is UTF-8.
    let text = std::str::from_utf8(body).unwrap_or_default();
    let message = Message { from, room: &member.room.name, text };
    guard::call("message", member.conn.id, shared.config.handler_timeout, async { handler.message(message).await })
        .await
}

/// The handler gave no answer: this number and those behind it are to come again.
fn retry(shared: &Arc<Shared>, member: &Arc<Member>, outbox: OutboxId, n: u64) {
    member.room.lock().publishers.release(member.author.principal, outbox, n, true);
    let text = "the server's application failed on this message; it may be sent again".to_owned();
    let (room, code) = (member.room.id, Code::HANDLER_FAILED);
    member.conn.queue(&Refused { room, outbox, n, code, text, permanent: false, retry_after_ms: Some(RETRY_MS) });
    member.conn.kick(shared);
}

/// Milliseconds to wait after a handler failed.
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
