//! Reading from the store for one connection: what a member follows, parts of a log, searches.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::bulk::{Done, Job, Request};
use super::conn::{Close, Conn};
use super::history;
use super::rooms::Member;
use super::shared::Shared;
use crate::id::Seq;
use crate::protocol::message::{EventKind, OwnPublish, SkipReason, Skipped, Source};
use crate::protocol::{self, Code};
use crate::room::Batch;
use crate::store::StoreError;

/// What is read at once, in bytes: about one write.
const PAGE_BYTES: usize = 64 * 1024;

/// A bulk frame's bodies, in bytes, unless one event alone is larger: with its head it stays below what any client
/// takes.
const FRAME_BYTES: usize = 15 * 1024;

/// Do a part of what is to be read for a connection, if there is something.
pub(super) async fn step(shared: &Arc<Shared>, conn: &Arc<Conn>) {
    let Some(job) = conn.with_output(|output| output.bulk.take()) else { return };
    let answer = matches!(job, Job::History(_) | Job::Search(..));
    let done = match job {
        Job::Follow(member) => follow(shared, member).await,
        Job::History(request) => part(shared, request).await,
        Job::Search(member, search) => history::find(shared, &member, search).await,
    };
    match done {
        Ok(done) => conn.with_output(|output| {
            if answer && done.next.is_none() {
                output.bulk.answered();
            }
            output.bulk.done(done);
        }),
        Err(e) => {
            tracing::error!(connection = conn.id, "reading events failed: {e}");
            conn.request_close(Close {
                retry_after_ms: Some(1000),
                ..Close::bye(Code::STORE_FAILED, "the events you asked for, or missed, can't be read; come back later")
            });
            conn.with_output(|output| output.bulk.clear());
        }
    }
}

/// Read on for a member whose cursor the tail doesn't have, or who comes back.
async fn follow(shared: &Shared, member: Arc<Member>) -> Result<Done, StoreError> {
    let (cursor, replaying, room) = (member.cursor(), member.is_replaying(), member.room.id);
    let page = shared.store.read(room, cursor, PAGE_BYTES).await?;
    let (mut frames, mut reached) = (Vec::new(), cursor);
    let skip = |to: Seq, frames: &mut Vec<u8>| {
        let (from, reason) = (cursor.next(), SkipReason::Trimmed.to_u8());
        protocol::encode(&Skipped { room, from, to, reason }, frames);
        shared.counters.skipped.fetch_add(to.get() - cursor.get(), Ordering::Relaxed);
    };
    if let Some(trimmed) = page.trimmed {
        skip(trimmed, &mut frames);
        reached = trimmed;
    }
    for batch in &page.batches {
        if replaying {
            replay(&member, &batch.part(reached.next(), batch.last()), Source::Replay, &mut frames);
        } else if batch.new.origin != Some(member.session.id) {
            batch.encode(Source::Live, None, &mut frames);
        }
        reached = batch.last();
    }
    if reached == cursor {
        // Nothing is kept there, nor behind it: what the tail has dropped and the store doesn't know is gone.
        let oldest = member.room.lock().tail.oldest();
        if oldest > cursor.next() {
            let to = Seq::new(oldest.get() - 1);
            skip(to, &mut frames);
            reached = to;
        }
    }
    Ok(Done { frames, reached: Some((member, cursor, reached)), on_credit: replaying, next: None })
}

/// Send a piece of a part of a log that was asked for.
async fn part(shared: &Shared, mut request: Request) -> Result<Done, StoreError> {
    let mut frames = Vec::new();
    let (room, last) = (request.member.room.id, request.last);
    if request.after < last && !request.member.has_left() {
        let page = shared.store.read(room, request.after, PAGE_BYTES).await?;
        // What was trimmed since the bounds were looked up isn't there any more.
        let mut reached = page.trimmed.unwrap_or(request.after).max(request.after);
        request.more_before &= page.trimmed.is_none();
        for batch in page.batches.iter().filter(|batch| batch.first <= last) {
            let end = batch.last().min(last);
            if end > reached {
                replay(&request.member, &batch.part(reached.next(), end), Source::History, &mut frames);
                reached = end;
            }
        }
        let stuck = reached == request.after;
        request.after = reached;
        if reached < last && !stuck {
            return Ok(Done { frames, reached: None, on_credit: true, next: Some(Job::History(request)) });
        }
    }
    history::end(&request, &mut frames);
    Ok(Done { frames, reached: None, on_credit: true, next: None })
}

/// Encode events that are not new to the room: own ones with their publish ids, in frames of the bulk size.
fn replay(member: &Member, batch: &Arc<Batch>, source: Source, frames: &mut Vec<u8>) {
    let mine = batch.new.author.principal == member.session.principal;
    let own = |batch: &Batch| {
        let publish = batch.new.publish.filter(|_| mine)?;
        Some(OwnPublish { outbox: publish.outbox, n: publish.n })
    };
    let max = member.session.piece(FRAME_BYTES);
    if batch.new.events.bytes() <= max {
        return batch.encode(source, own(batch), frames);
    }
    let mut first = batch.first;
    let mut bytes = 0;
    let sizes: Vec<usize> = batch.new.events.iter().map(|(_, body): (EventKind, &[u8])| body.len()).collect();
    for (i, size) in sizes.iter().enumerate() {
        let seq = Seq::new(batch.first.get() + i as u64);
        if bytes > 0 && bytes + size > max {
            let part = batch.part(first, Seq::new(seq.get() - 1));
            part.encode(source, own(&part), frames);
            (first, bytes) = (seq, 0);
        }
        bytes += size;
    }
    let part = batch.part(first, batch.last());
    part.encode(source, own(&part), frames);
}
