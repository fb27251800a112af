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
