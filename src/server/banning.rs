//! Bans from a room: whom they are for, what they come to for members, and how they are taken back.

use std::sync::Arc;

use super::ban_list::{MAX_BANS, holds, lifted};
use super::committer::{Decided, NotDone};
use super::deed::{Deed, not, out};
use super::house::{self, Who};
use super::membership;
use super::moderation::{Target, body};
use super::names;
use super::rooms::{Member, Room, State};
use super::shared::{Clock, Shared};
use crate::id::{PrincipalId, RoomId, Timestamp};
use crate::limit::Network;
use crate::protocol::message::{EventKind, Moderate, Rank, RoomChange, Whom};
use crate::protocol::{Code, PrincipalKind};
use crate::room::{Author, BanTarget, Role};
use crate::store::{BanRecord, Change, StandingRecord};

impl Deed {
    pub(super) fn ban(
        &self,
        room: RoomId,
        state: &State,
        moderate: &Moderate,
        until: Option<Timestamp>,
        change: RoomChange,
    ) -> Result<Decided, NotDone> {
        let target = match &self.target {
            Some(Target::Somebody(author)) => BanTarget::of(author, self.from(author, moderate.value)?),
            Some(Target::Pattern(pattern)) => pattern.clone(),
            None => return Err(not(Code::BAD_REQUEST, "say whom")),
        };
        let reason = change.text.clone().unwrap_or_default();
        let by = self.actor.alias.clone();
        let ban = BanRecord { room: Some(room), target: target.clone(), by, reason: reason.clone(), until };
        // With those that are over, which nobody has taken out.
        let now = Clock::timestamp();
        let goes = move |other: &BanRecord, ban: &BanRecord| ban.target.replaces(&other.target) || !holds(other, now);
        let mut changes: Vec<_> = state.house.bans.iter().filter(|other| goes(other, &ban)).map(lifted).collect();
        if state.house.bans.len() - changes.len() >= MAX_BANS {
            let text = format!("a room has {MAX_BANS} bans at most: take some back, or ban by a mask or a network");
            return Err(not(Code::BAD_REQUEST, &text));
        }
        changes.push(Change::PutBan(ban.clone()));
        // Members whom it is for are none any more, whether they are here or not; those who keep order stay.
        let mut out_of_it = Vec::new();
        if let Some(Target::Somebody(author)) = &self.target {
            let mut standing = state.house.standing(room, author);
            (standing.member, standing.invited, standing.rank) = (false, false, Rank::Member);
            changes.push(house::record(&standing));
            out_of_it.push(standing);
        } else {
            let fits =
                |standing: &&StandingRecord| standing.rank == Rank::Member && target.fits(&standing.author(), None);
            for standing in state.house.standings.values().filter(fits) {
                let mut standing = standing.clone();
                (standing.member, standing.invited) = (false, false);
                changes.push(house::record(&standing));
                out_of_it.push(standing);
            }
        }
        let mask = match &target {
            BanTarget::Mask(mask) => Some(mask.clone()),
            // Where somebody comes from is nobody's business in the room.
            _ => None,
        };
        let members = out_of_it.clone();
        let hint = self.hint("banned", matches!(&target, BanTarget::Guest { from: None, .. }));
        Ok(Decided {
            event: (EventKind::BAN, body(&RoomChange { until: until.map(Timestamp::as_millis), mask, ..change })),
            changes,
            apply: Box::new(move |_, state| {
                state.house.bans.lift(|other| goes(other, &ban));
                state.house.bans.push(ban);
                out_of_it.into_iter().for_each(|standing| state.house.put(standing));
            }),
            then: Some(Box::new(move |shared, room| {
                members.iter().for_each(|standing| shared.people.left(standing.principal, room.id));
                let how = until.map_or_else(|| "banned".to_owned(), |until| format!("banned until {until}"));
                put_out_banned(shared, room, &out(&how, &reason), Some(&target));
                hint(shared);
            })),
        })
    }

    /// Where a guest comes from, if that is to be banned too.
    fn from(&self, target: &Author, value: Option<u64>) -> Result<Option<Network>, NotDone> {
        if value.is_none_or(|value| value == 0) {
            return Ok(None);
        }
        if target.kind != PrincipalKind::Guest {
            return Err(not(Code::BAD_REQUEST, "an account is banned wherever it comes from; leave the address out"));
        }
        let mut sessions = self.shared.sessions.of(target.principal).into_iter();
        let address = sessions.find_map(|session| session.conn()?.address);
        let gone = || not(Code::BAD_REQUEST, "where they come from isn't known: they are not connected");
        address.map(|address| Some(Network::around(address.ip()))).ok_or_else(gone)
    }

    pub(super) fn unban(
        &self,
        room: RoomId,
        state: &State,
        moderate: &Moderate,
        change: RoomChange,
    ) -> Result<Decided, NotDone> {
        let name = match &moderate.whom {
            Some(Whom::Name(name)) => name.as_str(),
            _ => "",
        };
        let is = |ban: &BanRecord| match &self.target {
            Some(Target::Somebody(author)) => names::is_called_so(&ban.target, name, Some(author)),
            // An alias from before there were rules may look like a pattern.
            Some(Target::Pattern(pattern)) => ban.target == *pattern || names::is_called_so(&ban.target, name, None),
            None => false,
        };
        let bans: Vec<BanRecord> = state.house.bans.iter().filter(|ban| is(ban)).cloned().collect();
        let mask = match bans.first().map(|ban| &ban.target) {
            None => return Err(not(Code::BAD_REQUEST, "there is no such ban; /bans shows them")),
            Some(BanTarget::Mask(mask)) => Some(mask.clone()),
            Some(_) => None,
        };
        debug_assert!(bans.iter().all(|ban| ban.room == Some(room)), "a room has its own bans");
        Ok(Decided {
            event: (EventKind::UNBAN, body(&RoomChange { mask, ..change })),
            changes: bans.iter().map(lifted).collect(),
            apply: Box::new(move |_, state| drop(state.house.bans.lift(|other| bans.contains(other)))),
            then: None,
        })
    }
}

/// Put out whoever is in a room and is banned by now. Whom the application let in all the same is met by a new ban only.
pub(super) fn put_out_banned(shared: &Arc<Shared>, room: &Arc<Room>, text: &str, ban: Option<&BanTarget>) {
    let now = Clock::timestamp();
    let banned: Vec<PrincipalId> = {
        let state = room.lock();
        let is_out = |member: &Member| {
            let author = member.author();
            let (address, admin) = (member.conn.address.map(|a| a.ip()), shared.people.is_admin(author.principal));
            let is_met = || ban.is_some_and(|ban| ban.fits(&author, address));
            let role = state.house.role(Who { author: &author, address, admin, here: true }, now);
            role == Role::Banned && (!member.let_in || is_met())
        };
        let all = state.members.all().filter(|member| is_out(member));
        all.map(|member| member.session.principal).collect()
    };
    for principal in banned {
        let change = {
            let mut state = room.lock();
            let account = state.house.standings.get(&principal).filter(|s| s.kind == PrincipalKind::Account).cloned();
            account.map(|mut standing| {
                standing.member = false;
                let change = house::record(&standing);
                state.house.put(standing);
                change
            })
        };
        change.into_iter().for_each(|change| shared.keep(change));
        shared.people.left(principal, room.id);
        membership::put_out(shared, room, principal, Code::ROOM_BANNED, text, None);
    }
}
