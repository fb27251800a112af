//! What a connection is sent from the store: what it missed, and what it asked for. Behind everything else, a piece at a
//! time, the rooms in turn; replay, history and search only as far as the client has granted bytes.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::rooms::Member;
use crate::id::Seq;
use crate::protocol::frame::{self, Class, HEADER_LEN};
use crate::protocol::message::Search;

/// Bytes of bulk frames that may be sent before the first `Credit` (PROTOCOL.md section 7).
const INITIAL_CREDIT: i64 = 262_144;

/// No client is owed more than this, whatever it grants.
const MAX_CREDIT: i64 = 1 << 40;

/// Requests for history and searches that may wait on one connection; beyond, they are refused.
const MAX_REQUESTS: usize = 64;

/// Something that is to be read from the store for a connection.
#[derive(Debug, Clone)]
pub(super) enum Job {
    /// What follows a member's cursor, until the tail has it.
    Follow(Arc<Member>),
    /// A part of a room's log, from one event to another.
    History(Request),
    Search(Arc<Member>, Search),
}

/// What is left of a request for history.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) member: Arc<Member>,
    pub(super) request: u32,
    /// The last event that was sent, or the one before the first.
    pub(super) after: Seq,
    /// The last one wanted.
    pub(super) last: Seq,
    pub(super) more_before: bool,
    pub(super) more_after: bool,
}

/// Frames that were read, on their way out.
#[derive(Debug, Default)]
pub(super) struct Bulk {
    frames: Vec<u8>,
    offset: usize,
    /// They count against the client's credit.
    on_credit: bool,
    /// Whom the frames are for, and where its cursor is once they are out.
    feeding: Option<(Arc<Member>, Seq)>,
    /// Someone whose frames are out: the tail may have what follows.
    fed: Option<Arc<Member>>,
    jobs: VecDeque<Job>,
    requests: usize,
    /// A job is being done: the writer has it.
    busy: bool,
    spent: i64,
}

/// What a job came to.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) frames: Vec<u8>,
    /// Whose cursor moves once the frames are out: from where to where.
    pub(super) reached: Option<(Arc<Member>, Seq, Seq)>,
    /// They count against the client's credit.
    pub(super) on_credit: bool,
    /// What is left to do.
    pub(super) next: Option<Job>,
}

impl Bulk {
    /// Add a job. False if it is one too many.
    pub(super) fn push(&mut self, job: Job) -> bool {
        if let Job::History(_) | Job::Search(..) = job {
            if self.requests >= MAX_REQUESTS {
                return false;
            }
            self.requests += 1;
        }
        self.jobs.push_back(job);
        true
    }

    /// The client grants so many bytes more.
    pub(super) fn grant(&mut self, bytes: u64) {
        let bytes = i64::try_from(bytes).unwrap_or(MAX_CREDIT).min(MAX_CREDIT);
        self.spent = (self.spent - bytes).max(-MAX_CREDIT);
    }

    pub(super) fn credit(&self) -> i64 {
        INITIAL_CREDIT - self.spent
    }

    fn may_run(&self, job: &Job) -> bool {
        match job {
            // A reader that is merely slow is held back by its socket; what it was away for waits for credit.
            Job::Follow(member) => !member.is_replaying() || self.credit() > 0,
            Job::History(_) | Job::Search(..) => self.credit() > 0,
        }
    }

    /// Whether the writer has something to do here.
    pub(super) fn has_work(&self) -> bool {
        !self.bytes().is_empty() || !self.busy && self.jobs.iter().any(|job| self.may_run(job))
    }

    /// The next job, if the last one's frames are out. It is over with [`done`](Self::done).
    pub(super) fn take(&mut self) -> Option<Job> {
        if self.busy || !self.bytes().is_empty() {
            return None;
        }
        self.jobs.retain(|job| match job {
            Job::Follow(member) if member.is_gone() || member.is_held() => {
                member.starved.store(false, Ordering::SeqCst);
                false
            }
            _ => true,
        });
        // Requests are answered in their order; rooms take turns with them.
        let i = self.jobs.iter().position(|job| self.may_run(job))?;
        let job = self.jobs.remove(i)?;
        self.busy = true;
        Some(job)
    }

    /// A job that was taken is done, or a part of it is.
    pub(super) fn done(&mut self, done: Done) {
        self.busy = false;
        (self.frames, self.offset, self.on_credit) = (done.frames, 0, done.on_credit);
        self.spent += self.charge();
        self.feeding = done.reached.as_ref().map(|(member, _, reached)| (Arc::clone(member), *reached));
        if let Some((member, from, _)) = done.reached
            && member.cursor() != from
        {
            // The client has put the cursor elsewhere meanwhile: what was read is not what it wants now.
            self.forget_frames();
            member.starved.store(false, Ordering::SeqCst);
            self.fed = Some(member);
        }
        match done.next {
            // The rest of an answer comes before the next answer; members take turns.
            Some(job @ (Job::History(_) | Job::Search(..))) => self.jobs.push_front(job),
            Some(job) => self.jobs.push_back(job),
            None => {}
        }
        if self.frames.is_empty() {
            self.finish();
        }
    }

    /// A request was answered.
    pub(super) fn answered(&mut self) {
        self.requests = self.requests.saturating_sub(1);
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.frames[self.offset..]
    }

    /// So many bytes were taken. The rest of a frame that is begun goes to `pending`, before anything else. True if
    /// everything is out.
    pub(super) fn wrote(&mut self, n: usize, pending: &mut Vec<u8>) -> bool {
        if self.frames.is_empty() {
            return true;
        }
        let stop = self.offset + n;
        let mut end = self.offset;
        while end < stop {
            end += frame_len(&self.frames[end..]);
        }
        let complete = stop == self.frames.len();
        pending.extend_from_slice(&self.frames[stop..end]);
        self.offset = end;
        if end == self.frames.len() {
            self.finish();
        }
        complete
    }

    fn finish(&mut self) {
        (self.frames, self.offset) = (Vec::new(), 0);
        let Some((member, reached)) = self.feeding.take() else { return };
        member.advance(reached);
        member.starved.store(false, Ordering::SeqCst);
        self.fed = Some(member);
    }

    /// Someone whose frames are out, and whom the tail may serve now.
    pub(super) fn take_fed(&mut self) -> Option<Arc<Member>> {
        self.fed.take()
    }

    /// What was read for somebody who has left the room meanwhile isn't sent.
    pub(super) fn drop_gone(&mut self) {
        if self.feeding.as_ref().is_some_and(|(member, _)| member.is_gone()) {
            self.forget_frames();
        }
    }

    /// Forget what was read for a member: its cursor is put elsewhere.
    pub(super) fn drop_of(&mut self, member: &Arc<Member>) {
        if self.feeding.as_ref().is_some_and(|(other, _)| Arc::ptr_eq(other, member)) {
            self.forget_frames();
        }
        self.jobs.retain(|job| !matches!(job, Job::Follow(other) if Arc::ptr_eq(other, member)));
        member.starved.store(false, Ordering::SeqCst);
    }

    /// What the client counts of what isn't out yet: a gap that is told among bulk frames is none of them.
    fn charge(&self) -> i64 {
        let (mut rest, mut bytes) = (self.bytes(), 0);
        while self.on_credit && !rest.is_empty() {
            let len = frame_len(rest);
            let is_bulk =
                frame::split(rest, u32::MAX).is_ok_and(|f| f.is_some_and(|f| f.0.header.class == Class::BULK));
            bytes += if is_bulk { len as i64 } else { 0 };
            rest = &rest[len..];
        }
        bytes
    }

    fn forget_frames(&mut self) {
        // It will not come, so it costs nothing.
        self.spent -= self.charge();
        (self.frames, self.offset, self.feeding) = (Vec::new(), 0, None);
    }

    pub(super) fn clear(&mut self) {
        self.forget_frames();
        self.jobs.clear();
    }
}

/// Bytes of the frame that begins here.
fn frame_len(bytes: &[u8]) -> usize {
    match frame::split(bytes, u32::MAX) {
        Ok(Some((_, used))) => used,
        // What is in here was encoded by this server: the frame is whole.
        _ => bytes.len().max(HEADER_LEN),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::RoomId;
    use crate::protocol::message::{HistoryEnd, Ping, Skipped};
    use crate::protocol::to_frame;

    fn done(frames: usize) -> Done {
        let frames = (0..frames).flat_map(|n| to_frame(&Ping { nonce: n as u64 })).collect();
        Done { frames, reached: None, on_credit: true, next: None }
    }

    #[test]
    fn a_cut_leaves_the_rest_of_one_frame_to_go_first_and_whole_frames_to_wait() {
        let whole = done(3).frames;
        for cut in 0..=whole.len() {
            let mut bulk = Bulk::default();
            bulk.done(done(3));
            let mut pending = Vec::new();
            let complete = bulk.wrote(cut, &mut pending);
            assert_eq!(complete, cut == whole.len());
            let sent = [&whole[..cut], &pending, bulk.bytes()].concat();
            assert_eq!(sent, whole, "cut at {cut}");
            assert!(pending.len() < to_frame(&Ping { nonce: 0 }).len());
        }
    }

    #[test]
    fn what_the_client_counts_is_charged_and_what_is_forgotten_is_given_back() {
        let (room, n) = (RoomId::from_bytes([1; 16]), Seq::new(1));
        let gap = to_frame(&Skipped { room, from: n, to: n, reason: 1 });
        let end = to_frame(&HistoryEnd { request: 1, room, more_before: false, more_after: false });
        let mut bulk = Bulk::default();
        bulk.done(Done { frames: [&gap[..], &end, &end].concat(), ..done(0) });
        assert_eq!(bulk.spent, 2 * end.len() as i64);
        bulk.wrote(gap.len() + 1, &mut Vec::new());
        bulk.forget_frames();
        assert_eq!(bulk.spent, end.len() as i64, "the frame that was begun is sent");
    }

    #[test]
    fn what_is_sent_on_credit_waits_when_the_credit_is_used_up() {
        let mut bulk = Bulk::default();
        assert_eq!(bulk.credit(), INITIAL_CREDIT);
        bulk.spent = INITIAL_CREDIT;
        assert!(bulk.credit() <= 0);
        bulk.grant(10);
        assert_eq!(bulk.credit(), 10);
        bulk.grant(u64::MAX);
        assert!(bulk.credit() <= INITIAL_CREDIT + MAX_CREDIT);
    }
}
