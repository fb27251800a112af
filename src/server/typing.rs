//! Who is writing something: a signal to those who are here, which is dropped wherever it can't go at once.

use std::sync::Arc;

use super::committer;
use super::rooms::{Member, person};
use super::shared::Shared;
use crate::protocol::message::{Types, Typing};
use crate::protocol::to_frame;
use crate::room::MAX_TYPING_MEMBERS;

/// Take a `Typing`.
pub(super) fn relay(shared: &Arc<Shared>, member: &Arc<Member>, signal: Typing) {
    let Typing { room, typing } = signal;
    let author = member.author();
    // The exact clock: the other one may be a second late, and a signal that is due would be dropped.
    let now = shared.clock.nanos() / 1_000_000;
    let others = {
        let mut state = member.room.lock();
        // Who may not talk has nothing to announce.
        if member.has_left()
            || state.members.count() > MAX_TYPING_MEMBERS
            || committer::may_speak(shared, member, &state).is_err()
            || !state.typists.tell(author.principal, typing, now)
        {
            return;
        }
        state.members.list(|member| !member.is_gone())
    };
    let frame = to_frame(&Types { room, person: person(&author, 0), typing });
    for other in others.iter().filter(|other| other.session.principal != author.principal) {
        if !shared.people.are_apart(author.principal, other.session.principal) && other.conn.queue_signal(&frame) {
            other.conn.kick(shared);
        }
    }
}
