//! Who has a room after its owner's account was deleted.

use std::sync::Arc;

use futures::channel::oneshot;

use super::books;
use super::committer::{Act, Decided, NotDone, Submission};
use super::house;
use super::moderation::body;
use super::rooms::{Room, State, person};
use super::shared::Shared;
use crate::protocol::message::{EventKind, Rank, RoomChange};
use crate::protocol::{Code, PrincipalKind};
use crate::room::Author;
use crate::store::{Change, StandingRecord};

/// The room of a deleted account is another one's from here on: of the moderator, or else the member, who has been one for
/// the longest time. With nobody to have it, it stays without an owner. It is an event of the room, the last one of its
/// owner, and an entry of the audit log.
pub(super) fn pass_on(shared: &Arc<Shared>, room: &Arc<Room>, owner: &Arc<Author>) {
    let (id, name, before) = (room.id, room.name.clone(), Arc::clone(owner));
    let decide = move |state: &mut State| {
        let Some(heir) = heir(state) else {
            return Err(NotDone { code: Code::NO_SUCH_PERSON, text: format!("nobody is left to have {id}") });
        };
        let standing = StandingRecord { rank: Rank::Owner, ..heir };
        let (author, value) = (standing.author(), Some(u64::from(Rank::Owner.to_u8())));
        let change = RoomChange { whom: Some(person(&author, 0)), value, ..RoomChange::default() };
        let text = "owner, for the owner's account was deleted";
        let entry = books::entry(&before, "role", Some(&name), author.alias.as_str(), text);
        Ok(Decided {
            event: (EventKind::ROLE, body(&change)),
            changes: vec![house::record(&standing), Change::Audit(entry)],
            apply: Box::new(|_, state| state.house.put(standing)),
            then: None,
        })
    };
    let (done, _) = oneshot::channel();
    let (room, author) = (Arc::clone(room), Arc::clone(owner));
    shared.commits.submit(Submission::Act(Act { room, author, decide: Box::new(decide), done }));
}

fn heir(state: &State) -> Option<StandingRecord> {
    let standings = state.house.standings.values();
    if state.house.standings.values().any(|standing| standing.rank == Rank::Owner) {
        return None;
    }
    let members = standings.filter(|standing| standing.member && standing.kind == PrincipalKind::Account);
    let first = members.min_by_key(|standing| (standing.rank != Rank::Moderator, standing.since, standing.principal));
    first.cloned()
}
