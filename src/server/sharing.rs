//! What may share a commit. A commit waits for the disk, and whatever stands behind it waits too: so everything shares
//! one, except what has to meet what stands before it in the same room. That comes in the next one, with what is behind
//! it in this room. Who does much in one room holds up that room and no other.

use std::collections::HashMap;

use super::committer::Submission;
use crate::id::RoomId;
use crate::store::Change;

/// Which submissions one commit takes, asked about each in turn.
#[derive(Debug, Default)]
pub(super) struct Sharing {
    rooms: HashMap<RoomId, Stage>,
    /// A room's end comes behind what was said in it, and whatever is behind that end behind it: a new room of the same
    /// name, for example.
    over: bool,
}

/// How far a room is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Something is said in it.
    Said,
    /// Something is done in it, which what is behind that has to meet.
    Done,
    /// Something of it is left for the next commit, and so is what comes behind that.
    Left,
}

impl Sharing {
    /// Whether this commit takes it; otherwise it is for the next one, as the order was.
    pub(super) fn takes(&mut self, submission: &Submission) -> bool {
        if self.over {
            return false;
        }
        match submission {
            Submission::Publish(publish) => self.says(publish.member.room.id),
            Submission::App { room, .. } => self.says(room.id),
            Submission::Act(act) => self.does(&[act.room.id]),
            Submission::Together(together) => {
                self.does(&together.acts.iter().map(|act| act.room.id).collect::<Vec<_>>())
            }
            Submission::Record(Change::DropRoom(room), _) => {
                self.over = self.rooms.contains_key(room);
                !self.over
            }
            Submission::Record(..) | Submission::Sure { .. } => true,
        }
    }

    fn says(&mut self, room: RoomId) -> bool {
        let stage = self.rooms.entry(room).or_insert(Stage::Said);
        if *stage != Stage::Said {
            *stage = Stage::Left;
        }
        *stage == Stage::Said
    }

    fn does(&mut self, rooms: &[RoomId]) -> bool {
        let first = rooms.iter().all(|room| !self.rooms.contains_key(room));
        let stage = if first { Stage::Done } else { Stage::Left };
        self.rooms.extend(rooms.iter().map(|room| (*room, stage)));
        first
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures::channel::oneshot;

    use super::super::committer::{Act, Together};
    use super::super::rooms::Room;
    use super::*;
    use crate::id::{Alias, PrincipalId, RoomName, Seq};
    use crate::protocol::PrincipalKind;
    use crate::room::{Author, Run};

    fn room() -> Arc<Room> {
        Arc::new(Room::new(RoomId::random(), RoomName::parse("den").unwrap(), false, Seq::ZERO))
    }

    fn said(room: &Arc<Room>) -> Submission {
        Submission::App { room: Arc::clone(room), events: Run::default(), done: oneshot::channel().0 }
    }

    fn act(room: &Arc<Room>) -> Act {
        let alias = Alias::parse("ada").unwrap();
        let author = Arc::new(Author { principal: PrincipalId::random(), kind: PrincipalKind::Guest, alias });
        let decide = Box::new(|_: &mut _| unreachable!("nobody commits here"));
        Act { room: Arc::clone(room), author, decide, done: oneshot::channel().0 }
    }

    fn done(room: &Arc<Room>) -> Submission {
        Submission::Act(act(room))
    }

    fn together(rooms: &[&Arc<Room>]) -> Submission {
        let acts = rooms.iter().map(|room| act(room)).collect();
        Submission::Together(Together { changes: vec![], acts, then: Box::new(|_| ()), done: oneshot::channel().0 })
    }

    fn ended(room: &Room) -> Submission {
        Submission::Record(Change::DropRoom(room.id), None)
    }

    /// What of these a commit takes.
    fn taken(submissions: impl IntoIterator<Item = Submission>) -> Vec<bool> {
        let mut sharing = Sharing::default();
        submissions.into_iter().map(|submission| sharing.takes(&submission)).collect()
    }

    #[test]
    fn rooms_do_not_wait_for_each_other() {
        let [a, b, c] = [room(), room(), room()];
        assert_eq!(taken([done(&a), said(&b), together(&[&c]), said(&b)]), [true; 4]);
        assert_eq!(taken([said(&a), done(&a), said(&b), done(&c)]), [true, false, true, true]);
    }

    #[test]
    fn in_a_room_nothing_overtakes_what_is_done_there_nor_the_other_way_round() {
        let [a, b] = [room(), room()];
        assert_eq!(taken([said(&a), said(&a), done(&a), said(&a)]), [true, true, false, false]);
        assert_eq!(taken([done(&a), said(&a), said(&a), done(&a)]), [true, false, false, false]);
        assert_eq!(taken([said(&a), together(&[&a, &b]), said(&b), done(&b)]), [true, false, false, false]);
    }

    #[test]
    fn a_room_s_end_comes_behind_what_was_said_in_it_and_nothing_overtakes_that_end() {
        let [a, b] = [room(), room()];
        assert_eq!(taken([said(&b), ended(&a), done(&a)]), [true; 3]);
        assert_eq!(taken([said(&a), ended(&a), said(&b), ended(&b)]), [true, false, false, false]);
    }
}
