//! Who is in a room.

use std::collections::{HashMap, HashSet};

use chatnet::PrincipalId;
use chatnet::protocol::message::Rank;

use super::State;
use super::effect::{Effect, Turn, View, Whom};
use super::event::{Deed, Person};

/// Names that are asked for without being looked at: for completing them.
const WANTED: usize = 500;
/// Names that are kept of a room, whatever its size.
const MAX_KNOWN: usize = 2_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Role {
    #[default]
    Member,
    Moderator,
    Owner,
    Muted,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Member {
    pub(crate) key: i32,
    pub(crate) who: Person,
}

#[derive(Debug, Default)]
pub(crate) struct Members {
    /// By alias.
    pub(crate) list: Vec<Member>,
    pub(crate) count: u32,
    /// There are more than are known here.
    pub(crate) more: bool,
    ranks: HashMap<PrincipalId, u64>,
    silent: HashSet<PrincipalId>,
    /// The last one of the last page.
    last: Option<PrincipalId>,
    state: Known,
    last_key: i32,
}

#[derive(Debug, Default, PartialEq, Eq, Clone, Copy)]
enum Known {
    #[default]
    No,
    Asked,
    Yes,
}

impl Members {
    /// So many, of whom nobody is known yet.
    pub(crate) fn of(count: u32) -> Self {
        Self { count, ..Self::default() }
    }

    pub(crate) fn is_known(&self) -> bool {
        self.state != Known::No
    }

    pub(crate) fn asked(&mut self) {
        self.state = Known::Asked;
    }

    pub(crate) fn forget(&mut self) {
        self.state = Known::No;
    }

    pub(crate) fn role(&self, id: PrincipalId) -> Role {
        match self.ranks.get(&id) {
            Some(3) => Role::Owner,
            Some(2) => Role::Moderator,
            _ if self.silent.contains(&id) => Role::Muted,
            _ => Role::Member,
        }
    }

    pub(crate) fn ranked(&mut self, id: PrincipalId, rank: u64) {
        if rank >= 2 {
            self.ranks.insert(id, rank)
        } else {
            self.ranks.remove(&id)
        };
    }

    pub(crate) fn muted(&mut self, id: PrincipalId, muted: bool) {
        if muted {
            self.silent.insert(id)
        } else {
            self.silent.remove(&id)
        };
    }

    /// Their number, without names.
    pub(crate) fn counted(&mut self, count: u32) {
        self.count = count;
        self.more = (self.list.len() as u64) < u64::from(count);
    }

    fn came(&mut self, who: &Person) {
        self.count = self.count.saturating_add(1);
        if self.state == Known::Yes && !self.more {
            self.put(who.clone());
        }
    }

    fn went(&mut self, who: &Person) {
        self.count = self.count.saturating_sub(1);
        self.list.retain(|member| member.who.id != who.id);
    }

    pub(crate) fn renamed(&mut self, id: PrincipalId, alias: &str) {
        if let Some(member) = self.list.iter().find(|member| member.who.id == id).cloned() {
            self.put(Person { alias: alias.to_owned(), ..member.who });
        }
    }

    fn put(&mut self, who: Person) {
        let known = self.list.iter().position(|member| member.who.id == who.id);
        let key = match known {
            Some(index) => self.list.remove(index).key,
            None if self.list.len() >= MAX_KNOWN => {
                self.more = true;
                return;
            }
            None => {
                self.last_key += 1;
                self.last_key
            }
        };
        let place = |who: &Person| (who.alias.to_lowercase(), who.id);
        let wanted = place(&who);
        let at = self.list.partition_point(|member| place(&member.who) < wanted);
        self.list.insert(at, Member { key, who });
    }

    fn page(&mut self, people: Vec<Person>, first: bool, more: bool) {
        if first {
            let keep: HashSet<_> = people.iter().map(|who| who.id).collect();
            self.list.retain(|member| keep.contains(&member.who.id));
        }
        self.state = Known::Yes;
        self.last = people.last().map(|who| who.id).or(self.last);
        people.into_iter().for_each(|who| self.put(who));
        self.more = more;
        self.count = if more { self.count.max(self.list.len() as u32) } else { self.list.len() as u32 };
    }
}

impl State {
    pub(super) fn members_came(&mut self, room: &str, people: Vec<Person>, first: bool, more: bool, turn: &mut Turn) {
        let Some(room) = self.rooms.by_name(room) else { return };
        let some = !people.is_empty();
        room.members.page(people, first, more);
        if more && some && room.members.list.len() < WANTED {
            room.members.asked();
            turn.do_(Effect::Members { room: room.name.clone(), after: room.members.last });
        }
        turn.show(View::Members);
    }

    pub(super) fn came_or_went(&mut self, name: &str, who: &Person, came: bool, now: i64, turn: &mut Turn) {
        let Some(room) = self.rooms.by_name(name) else { return };
        if room.direct {
            let at = if came { super::Presence::Here } else { super::Presence::Offline };
            room.presence = at;
            turn.show(View::Rooms);
        } else {
            room.rows.came_or_went(&who.alias, came, now);
        }
        if came {
            room.members.came(who)
        } else {
            room.members.went(who)
        }
        room.typing.retain(|(typing, _)| *typing != who.alias);
        if room.key == self.rooms.selected {
            turn.show(View::Members);
        }
    }

    pub(super) fn more_members(&mut self, turn: &mut Turn) {
        if let Some(room) = self.rooms.selected()
            && room.members.state == Known::Yes
            && room.members.more
        {
            room.members.asked();
            turn.do_(Effect::Members { room: room.name.clone(), after: room.members.last });
        }
    }

    fn member(&mut self, key: i32) -> Option<(String, PrincipalId)> {
        let me = self.me.id;
        let room = self.rooms.selected()?;
        let id = room.members.list.iter().find(|member| member.key == key)?.who.id;
        (Some(id) != me).then(|| (room.name.clone(), id))
    }

    pub(super) fn message_member(&mut self, key: i32, turn: &mut Turn) {
        if let Some((_, id)) = self.member(key) {
            turn.do_(Effect::Direct { whom: Whom::Id(id), text: None });
        }
    }

    pub(super) fn moderate(&mut self, key: i32, deed: Deed, turn: &mut Turn) {
        let Some((room, whom)) = self.member(key) else { return };
        let moderates = self.rooms.selected().map(|room| room.members.role(whom));
        // The same button takes it back.
        let deed = match (deed, moderates) {
            (Deed::Rank(Rank::Moderator), Some(Role::Moderator)) => Deed::Rank(Rank::Member),
            (deed, _) => deed,
        };
        turn.do_(Effect::Moderate { room, whom, deed });
    }
}
