//! Who is in a room.

use std::collections::HashSet;

use chatnet::PrincipalId;
use chatnet::protocol::message::Rank;

use super::State;
use super::effect::{Effect, Turn, View, Whom};
use super::event::{Deed, Here, Person};

/// Names that are asked for without being looked at: for completing them.
const WANTED: usize = 500;
/// So long an answer about a small room holds, in milliseconds: what is told of it is a signal, and may be missing.
const HOLDS: i64 = 60_000;
/// And so long if somebody has come since, of whom only the name is known.
const HOLDS_BRIEFLY: i64 = 10_000;
/// Names that are kept of a room, whatever its size.
const MAX_KNOWN: usize = 2_000;

/// What is shown of somebody's power: at most one.
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
    pub(crate) here: Here,
}

impl Member {
    pub(crate) fn who(&self) -> &Person {
        &self.here.who
    }

    pub(crate) fn role(&self) -> Role {
        match self.here.rank {
            Rank::Owner => Role::Owner,
            Rank::Moderator => Role::Moderator,
            // Who keeps order may talk, whatever was said before.
            _ if self.here.muted => Role::Muted,
            _ => Role::Member,
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Members {
    /// By alias.
    pub(crate) list: Vec<Member>,
    pub(crate) count: u32,
    /// There are more than are known here.
    pub(crate) more: bool,
    /// The last one of the last page.
    last: Option<PrincipalId>,
    state: Known,
    /// When they were asked for last, from the first one on.
    since: i64,
    /// Somebody has come since.
    stale: bool,
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

    /// Whether it is time to ask again. What is larger than a page is asked for by the person.
    fn is_old(&self, now: i64) -> bool {
        let holds = if self.stale { HOLDS_BRIEFLY } else { HOLDS };
        self.state == Known::Yes && !self.more && now.saturating_sub(self.since) >= holds
    }

    pub(crate) fn forget(&mut self) {
        self.state = Known::No;
    }

    fn by_id(&mut self, id: PrincipalId) -> Option<&mut Here> {
        self.list.iter_mut().map(|member| &mut member.here).find(|here| here.who.id == id)
    }

    pub(crate) fn ranked(&mut self, id: PrincipalId, rank: Rank) {
        if rank == Rank::Owner {
            // A room has one owner: who was it is a moderator now.
            let owners = self.list.iter_mut().filter(|member| member.here.rank == Rank::Owner);
            owners.for_each(|member| member.here.rank = Rank::Moderator);
        }
        if let Some(here) = self.by_id(id) {
            here.rank = rank;
        }
    }

    pub(crate) fn muted(&mut self, id: PrincipalId, muted: bool) {
        if let Some(here) = self.by_id(id) {
            here.muted = muted;
        }
    }

    /// Their number, without names.
    pub(crate) fn counted(&mut self, count: u32) {
        self.count = count;
        self.more = (self.list.len() as u64) < u64::from(count);
    }

    fn came(&mut self, who: &Person) {
        self.count = self.count.saturating_add(1);
        self.stale = true;
        if self.state == Known::Yes && !self.more {
            self.put(Here { who: who.clone(), rank: Rank::Member, muted: false, away: None });
        }
    }

    fn went(&mut self, who: &Person) {
        self.count = self.count.saturating_sub(1);
        self.list.retain(|member| member.who().id != who.id);
    }

    pub(crate) fn renamed(&mut self, id: PrincipalId, alias: &str) {
        if let Some(here) = self.by_id(id).cloned() {
            self.put(Here { who: Person { alias: alias.to_owned(), ..here.who }, ..here });
        }
    }

    fn put(&mut self, here: Here) {
        let known = self.list.iter().position(|member| member.who().id == here.who.id);
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
        let wanted = place(&here.who);
        let at = self.list.partition_point(|member| place(member.who()) < wanted);
        self.list.insert(at, Member { key, here });
    }

    fn page(&mut self, people: Vec<Here>, first: bool, more: bool) {
        if first {
            let keep: HashSet<_> = people.iter().map(|here| here.who.id).collect();
            self.list.retain(|member| keep.contains(&member.who().id));
        }
        self.state = Known::Yes;
        self.last = people.last().map(|here| here.who.id).or(self.last);
        people.into_iter().for_each(|here| self.put(here));
        self.more = more;
        self.count = if more { self.count.max(self.list.len() as u32) } else { self.list.len() as u32 };
    }
}

impl State {
    pub(super) fn members_came(&mut self, room: &str, people: Vec<Here>, first: bool, more: bool, turn: &mut Turn) {
        let me = self.me.id;
        let Some(room) = self.rooms.by_name(room) else { return };
        let some = !people.is_empty();
        if let Some(peer) = people.iter().find(|here| room.direct && Some(here.who.id) != me) {
            room.presence = if peer.away.is_some() { super::Presence::Away } else { super::Presence::Here };
            turn.show(View::Rooms);
            turn.show(View::Conversation);
        }
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

    pub(super) fn away(&mut self, name: &str, who: &Person, text: Option<String>, turn: &mut Turn) {
        if self.me.id == Some(who.id) {
            self.me.away.clone_from(&text);
            turn.show(View::Rooms);
        }
        let Some(room) = self.rooms.by_name(name) else { return };
        if room.direct && self.me.id != Some(who.id) {
            room.presence = if text.is_some() { super::Presence::Away } else { super::Presence::Here };
            turn.show(View::Rooms);
            turn.show(View::Conversation);
        }
        if let Some(here) = room.members.by_id(who.id) {
            here.away = text;
            turn.show(View::Members);
        }
    }

    /// Who is looked at, and how they are, is asked anew now and then.
    pub(super) fn members_tick(&mut self, now: i64, turn: &mut Turn) {
        let online = self.status.link == super::Link::Online;
        if let Some(room) = self.rooms.selected()
            && online
            && !room.gone
            && room.members.is_old(now)
        {
            (room.members.since, room.members.stale) = (now, false);
            turn.do_(Effect::Members { room: room.name.clone(), after: None });
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
        let id = room.members.list.iter().find(|member| member.key == key)?.who().id;
        (Some(id) != me).then(|| (room.name.clone(), id))
    }

    pub(super) fn message_member(&mut self, key: i32, turn: &mut Turn) {
        if let Some((_, id)) = self.member(key) {
            turn.do_(Effect::Direct { whom: Whom::Id(id), text: None });
        }
    }

    pub(super) fn moderate(&mut self, key: i32, deed: Deed, turn: &mut Turn) {
        let Some((room, whom)) = self.member(key) else { return };
        let role = self.rooms.selected().and_then(|room| room.members.list.iter().find(|member| member.key == key));
        // The same button takes it back.
        let deed = match (deed, role.map(Member::role)) {
            (Deed::Rank(Rank::Moderator), Some(Role::Moderator)) => Deed::Rank(Rank::Member),
            (Deed::Mute, Some(Role::Muted)) => Deed::Unmute,
            (deed, _) => deed,
        };
        turn.do_(Effect::Moderate { room, whom, deed });
    }
}
