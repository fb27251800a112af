//! An act in a room, in its turn: whether it may be done, and what it comes to.

use std::net::IpAddr;
use std::sync::Arc;

use super::books;
use super::committer::{Decided, NotDone};
use super::house::{self, MAX_MUTED_GUESTS, Who};
use super::membership;
use super::moderation::{Target, body, words};
use super::requests;
use super::rooms::{State, person};
use super::shared::{Clock, Shared};
use crate::handler::Ruling;
use crate::id::{RoomId, Timestamp};
use crate::protocol::message::{EventKind, Moderate, Rank, RoomChange, RoomSettings};
use crate::protocol::{Code, PrincipalKind};
use crate::room::permission::{Ticket, may};
use crate::room::{Action, Author, Role};
use crate::store::{AuditRecord, Change, StandingRecord};

/// An act on its way to the committer.
pub(super) struct Deed {
    pub(super) shared: Arc<Shared>,
    pub(super) actor: Arc<Author>,
    pub(super) address: Option<IpAddr>,
    pub(super) admin: bool,
    pub(super) ruling: Ruling,
    pub(super) action: Action,
    pub(super) target: Option<Target>,
    pub(super) password: Option<String>,
    /// Who said what is to be removed.
    pub(super) said_by: Option<String>,
}

pub(super) fn not(code: Code, text: &str) -> NotDone {
    NotDone { code, text: text.to_owned() }
}

impl Deed {
    /// Whether it may be done, and what it comes to. Under the room's lock, in its turn.
    pub(super) fn decide(self, room: RoomId, state: &mut State, moderate: Moderate) -> Result<Decided, NotDone> {
        let now = Clock::timestamp();
        let here = state.members.has(self.actor.principal);
        let who = Who { author: &self.actor, address: self.address, admin: self.admin, here };
        let role = state.house.role(who, now);
        if self.ruling != Ruling::Allow {
            may(role, self.action, &state.house.settings, Ticket::default()).map_err(|code| not(code, words(code)))?;
            if let Some(Target::Somebody(target)) = &self.target {
                self.check_rank(state, role, target, now)?;
            }
        }
        let until = moderate
            .for_ms
            .map(|ms| Timestamp::from_millis(now.as_millis().saturating_add(i64::try_from(ms).unwrap_or(i64::MAX))));
        let whom = match &self.target {
            Some(Target::Somebody(author)) => Some(person(author, 0)),
            _ => None,
        };
        let text = moderate.text.clone().filter(|text| !text.is_empty());
        let change = RoomChange { whom, text, ..RoomChange::default() };
        let before = state.house.settings.clone();
        let mut decided = match moderate.act {
            EventKind::TOPIC => topic(room, state, change),
            EventKind::SETTINGS => self.settings(room, state, moderate.clone(), change),
            EventKind::KICK => self.kick(room, state, change),
            EventKind::BAN => self.ban(room, state, &moderate, until, change),
            EventKind::UNBAN => self.unban(room, state, &moderate, change),
            EventKind::MUTE => {
                // For ever is a time too.
                let forever = Timestamp::from_millis(i64::MAX);
                self.mute(
                    room,
                    state,
                    Some(until.unwrap_or(forever)),
                    RoomChange { until: until.map(Timestamp::as_millis), ..change },
                )
            }
            EventKind::UNMUTE => self.mute(room, state, None, change),
            EventKind::INVITE => self.invite(room, state, change),
            EventKind::ROLE => self.role(room, state, moderate.value, change),
            _ => deletion(state, moderate.value, change),
        }?;
        decided.event.0 = moderate.act;
        decided.changes.push(Change::Audit(self.audit(&moderate, until, before)));
        Ok(decided)
    }

    /// Nobody acts on somebody above them.
    fn check_rank(&self, state: &State, role: Role, target: &Author, now: Timestamp) -> Result<(), NotDone> {
        if matches!(self.action, Action::Invite) {
            return Ok(());
        }
        if target.principal == self.actor.principal {
            return Err(not(Code::BAD_REQUEST, "that is you"));
        }
        let admin = self.shared.people.is_admin(target.principal);
        let here = state.members.has(target.principal);
        let theirs = state.house.role(Who { author: target, address: None, admin, here }, now);
        if role.outranks(theirs) { Ok(()) } else { Err(not(Code::NOT_PERMITTED, "you don't rank above them here")) }
    }

    fn somebody(&self) -> Result<Arc<Author>, NotDone> {
        match &self.target {
            Some(Target::Somebody(author)) => Ok(Arc::clone(author)),
            _ => Err(not(Code::BAD_REQUEST, "say to whom, by alias or id")),
        }
    }

    fn settings(
        &self,
        room: RoomId,
        state: &State,
        moderate: Moderate,
        change: RoomChange,
    ) -> Result<Decided, NotDone> {
        let Some(settings) = moderate.settings else {
            return Err(not(Code::BAD_REQUEST, "new settings were not sent"));
        };
        let mut record = state.house.record(room, None);
        (record.settings, record.password) = (settings.clone(), self.password.clone());
        let (given, password) = (settings.clone(), self.password.clone());
        Ok(Decided {
            event: (EventKind::SETTINGS, body(&RoomChange { settings: Some(settings), ..change })),
            changes: vec![Change::PutSettings(record)],
            apply: Box::new(move |room, state| room.settle(state, given, password)),
            then: Some(Box::new(|shared, room| shared.rooms.relist(room))),
        })
    }

    fn kick(&self, room: RoomId, state: &State, change: RoomChange) -> Result<Decided, NotDone> {
        let target = self.somebody()?;
        let mut standing = state.house.standing(room, &target);
        if !standing.member && !state.members.has(target.principal) {
            return Err(not(Code::NO_SUCH_PERSON, "they are not in this room"));
        }
        (standing.member, standing.invited, standing.rank) = (false, false, Rank::Member);
        let reason = change.text.clone().unwrap_or_default();
        Ok(Decided {
            event: (EventKind::KICK, body(&change)),
            changes: vec![house::record(&standing)],
            apply: Box::new(|_, state| state.house.put(standing)),
            then: Some(Box::new(move |shared, room| {
                shared.people.left(target.principal, room.id);
                membership::put_out(shared, room, target.principal, Code::KICKED, &out("kicked", &reason), None);
            })),
        })
    }

    /// What whoever acts on a guest is told, for a guest has no more than a name.
    pub(super) fn hint(&self, how: &str, by_alias: bool) -> impl FnOnce(&Arc<Shared>) + Send + use<> {
        let guest = match &self.target {
            Some(Target::Somebody(author)) if author.kind == PrincipalKind::Guest && by_alias => Some(&author.alias),
            _ => None,
        };
        let text = guest.map(|alias| {
            format!("{alias} is a guest: whoever comes as {alias} is {how} here, but a guest may come by another name")
        });
        let actor = self.actor.principal;
        move |shared| text.into_iter().for_each(|text| requests::tell(shared, actor, &text))
    }

    fn mute(
        &self,
        room: RoomId,
        state: &State,
        until: Option<Timestamp>,
        change: RoomChange,
    ) -> Result<Decided, NotDone> {
        let target = self.somebody()?;
        let mut standing = state.house.standing(room, &target);
        standing.muted_until = until;
        let mut decided = standing_only(standing, &change);
        // Of those who were muted under this alias only this one is left, and nobody whose time is over.
        let now = Clock::timestamp();
        let is_over = |standing: &&StandingRecord| {
            let (guest, muted) = (standing.kind == PrincipalKind::Guest, standing.muted_until);
            let over = muted.is_some_and(|until| until <= now) && !state.members.has(standing.principal);
            let same = muted.is_some() && target.kind == PrincipalKind::Guest && standing.alias.is_like(&target.alias);
            guest && standing.principal != target.principal && (over || same)
        };
        let over: Vec<StandingRecord> = state.house.standings.values().filter(is_over).cloned().collect();
        let goes = |other: &StandingRecord| over.iter().any(|gone| gone.principal == other.principal);
        let others = |other: &&StandingRecord| other.principal != target.principal && !goes(other);
        let muted = state.house.muted_guests(now).filter(others).count();
        if until.is_some() && target.kind == PrincipalKind::Guest && muted >= MAX_MUTED_GUESTS {
            let text =
                format!("{MAX_MUTED_GUESTS} guests are muted here, which is as many as may be: unmute some, or ban");
            return Err(not(Code::BAD_REQUEST, &text));
        }
        let over: Vec<_> = over.into_iter().map(|other| StandingRecord { muted_until: None, ..other }).collect();
        decided.changes.extend(over.iter().map(house::record));
        let apply = decided.apply;
        decided.apply = Box::new(move |room, state| {
            over.into_iter().for_each(|standing| state.house.put(standing));
            apply(room, state);
        });
        let hint = self.hint("muted", until.is_some());
        decided.then = Some(Box::new(move |shared, _| hint(shared)));
        Ok(decided)
    }

    fn invite(&self, room: RoomId, state: &State, change: RoomChange) -> Result<Decided, NotDone> {
        let target = self.somebody()?;
        let mut standing = state.house.standing(room, &target);
        if standing.member || state.members.has(target.principal) {
            return Err(not(Code::BAD_REQUEST, "they are in this room already"));
        }
        let was_invited = std::mem::replace(&mut standing.invited, true);
        let by = Arc::clone(&self.actor);
        let mut decided = standing_only(standing, &change);
        decided.then = Some(Box::new(move |shared, room| {
            // Once, and not by somebody whom they have blocked: an invitation is no way to write to them.
            if !was_invited && !shared.people.are_apart(by.principal, target.principal) {
                requests::tell(shared, target.principal, &format!("{} invites you to {}", by.alias, room.name));
            }
        }));
        Ok(decided)
    }

    fn role(&self, room: RoomId, state: &State, value: Option<u64>, change: RoomChange) -> Result<Decided, NotDone> {
        let target = self.somebody()?;
        let rank = match value {
            Some(1) => Rank::Member,
            Some(2) => Rank::Moderator,
            Some(3) => Rank::Owner,
            _ => return Err(not(Code::BAD_REQUEST, "a rank is 1 member, 2 moderator or 3 owner")),
        };
        if !state.members.has(target.principal) && !state.house.standing(room, &target).member {
            return Err(not(Code::NO_SUCH_PERSON, "they are not in this room"));
        }
        let mut standing = state.house.standing(room, &target);
        standing.rank = rank;
        let mut decided = standing_only(standing, &RoomChange { value, ..change });
        if rank == Rank::Owner {
            // A room has one owner: it is handed over.
            let mut before: Vec<_> = state.house.standings.values().cloned().collect();
            before.retain(|other| other.rank == Rank::Owner && other.principal != target.principal);
            for standing in &mut before {
                standing.rank = Rank::Moderator;
                decided.changes.push(house::record(standing));
            }
            let apply = decided.apply;
            decided.apply = Box::new(move |room, state| {
                before.into_iter().for_each(|standing| state.house.put(standing));
                apply(room, state);
            });
        }
        Ok(decided)
    }

    fn audit(&self, moderate: &Moderate, end: Option<Timestamp>, before: RoomSettings) -> AuditRecord {
        let whom = match &self.target {
            Some(Target::Somebody(author)) => author.alias.to_string(),
            Some(Target::Pattern(pattern)) => pattern.to_string(),
            None => self.said_by.clone().unwrap_or_default(),
        };
        let room = self.shared.rooms.by_id(moderate.room).map(|room| room.name.clone());
        let why = moderate.text.as_deref().unwrap_or_default();
        let text = match (moderate.act, moderate.value, &moderate.settings) {
            (EventKind::SETTINGS, _, Some(after)) => books::differences(&before, after, moderate.password.is_some()),
            (EventKind::ROLE, Some(value), _) => rank_word(value).to_owned(),
            (EventKind::DELETION, Some(seq), _) if why.is_empty() => format!("#{seq}"),
            (EventKind::DELETION, Some(seq), _) => format!("#{seq}: {why}"),
            (EventKind::BAN, Some(1..), _) => books::until(end, format!("and guests from there {why}").trim_end()),
            _ => books::until(end, why),
        };
        books::entry(&self.actor, word(moderate.act), room.as_ref(), &whom, &text)
    }
}

fn rank_word(value: u64) -> &'static str {
    match value {
        2 => "moderator",
        3 => "owner",
        _ => "member",
    }
}

fn topic(room: RoomId, state: &State, change: RoomChange) -> Result<Decided, NotDone> {
    let mut record = state.house.record(room, None);
    record.settings.topic = change.text.clone().unwrap_or_default();
    let given = record.settings.topic.clone();
    Ok(Decided {
        event: (EventKind::TOPIC, body(&change)),
        changes: vec![Change::PutSettings(record)],
        apply: Box::new(move |_, state| state.house.settings.topic = given),
        then: None,
    })
}

fn deletion(state: &State, value: Option<u64>, change: RoomChange) -> Result<Decided, NotDone> {
    if !value.is_some_and(|seq| seq > 0 && seq <= state.tail.head().get()) {
        return Err(not(Code::BAD_REQUEST, "there is no such message"));
    }
    let event = (EventKind::DELETION, body(&RoomChange { value, ..change }));
    Ok(Decided { event, changes: Vec::new(), apply: Box::new(|_, _| {}), then: None })
}

/// An act that changes a standing, and nothing else.
fn standing_only(standing: StandingRecord, change: &RoomChange) -> Decided {
    Decided {
        event: (EventKind::ROLE, body(change)),
        changes: vec![house::record(&standing)],
        apply: Box::new(|_, state| state.house.put(standing)),
        then: None,
    }
}

pub(super) fn out(how: &str, reason: &str) -> String {
    if reason.is_empty() { format!("you were {how}") } else { format!("you were {how}: {reason}") }
}

/// The one word for it in the audit log.
fn word(act: EventKind) -> &'static str {
    match act {
        EventKind::TOPIC => "topic",
        EventKind::KICK => "kick",
        EventKind::BAN => "ban",
        EventKind::UNBAN => "unban",
        EventKind::MUTE => "mute",
        EventKind::UNMUTE => "unmute",
        EventKind::INVITE => "invite",
        EventKind::ROLE => "role",
        EventKind::SETTINGS => "settings",
        _ => "delete",
    }
}
