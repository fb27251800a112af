//! How a room is, and who stands how in it: what its permissions are decided by. Locked with the room.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::ban_list::BanList;
use crate::id::{PrincipalId, RoomId, Seq, Timestamp};
use crate::protocol::Code;
use crate::protocol::PrincipalKind;
use crate::protocol::message::{Rank, RoomKind, RoomSettings};
use crate::room::permission::{Ticket, may};
use crate::room::{Action, Author, Role};
use crate::store::{BanRecord, Change, SettingsRecord, StandingRecord};

/// Guests whom a room keeps muted at most, here or gone: whoever comes is compared with all of them.
pub(super) const MAX_MUTED_GUESTS: usize = 500;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct House {
    pub(super) settings: RoomSettings,
    /// The password's hash.
    pub(super) password: Option<String>,
    pub(super) standings: BTreeMap<PrincipalId, StandingRecord>,
    pub(super) bans: BanList,
    /// One of the two of a direct has blocked the other.
    pub(super) blocked: bool,
    /// The account of one of the two of a direct was deleted.
    pub(super) deserted: bool,
    /// Not everybody who is here may talk: publishes have to be looked at.
    restricted: bool,
}

/// Somebody, as far as a room has to know them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Who<'a> {
    pub(super) author: &'a Author,
    pub(super) address: Option<IpAddr>,
    pub(super) admin: bool,
    /// Is a member at this moment.
    pub(super) here: bool,
}

/// Why a membership ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// Its session ends: an account stays a member.
    Ended,
    /// They want to, or have to.
    Out,
}

impl House {
    /// Something has changed.
    pub(super) fn changed(&mut self) {
        self.restricted = self.settings.announcement_only
            || self.settings.archived
            || self.blocked
            || self.deserted
            || self.standings.values().any(|standing| standing.muted_until.is_some());
    }

    /// Whether anybody may see the room in a list.
    pub(super) fn is_listed(&self) -> bool {
        matches!(self.settings.kind, RoomKind::Public | RoomKind::Password)
    }

    /// Whether there is anybody here who may not talk.
    pub(super) fn is_restricted(&self) -> bool {
        self.restricted
    }

    pub(super) fn role(&self, who: Who<'_>, now: Timestamp) -> Role {
        let standing = self.standings.get(&who.author.principal);
        let rank = standing.map_or(Rank::Member, |standing| standing.rank);
        if who.admin {
            return Role::Admin;
        }
        if rank == Rank::Owner || rank == Rank::Moderator {
            return rank.into();
        }
        if self.ban_of(who, now).is_some() {
            return Role::Banned;
        }
        let member = who.here || standing.is_some_and(|standing| standing.member);
        match standing.and_then(|standing| standing.muted_until) {
            _ if !member => Role::Stranger,
            Some(until) if until > now => Role::Muted,
            _ => Role::Member,
        }
    }

    /// The ban that keeps somebody out who doesn't keep order here: of several, the one that lasts longest.
    pub(super) fn ban_of(&self, who: Who<'_>, now: Timestamp) -> Option<&BanRecord> {
        let bans = self.bans.fitting(who.author, who.address, now);
        bans.max_by_key(|ban| ban.until.map_or(i64::MAX, Timestamp::as_millis))
    }

    /// Whether somebody may come in. `password` is the hash that they knew the password of.
    pub(super) fn may_enter(
        &self,
        who: Who<'_>,
        password: Option<&str>,
        full: bool,
        now: Timestamp,
    ) -> Result<(), Code> {
        let standing = self.standings.get(&who.author.principal);
        // Who is a member has their place, whether they are here or not.
        let member = who.here || standing.is_some_and(|standing| standing.member);
        let ticket = Ticket {
            invited: standing.is_some_and(|standing| standing.invited),
            password: password.is_some() && password == self.password.as_deref(),
            full: full && !member,
        };
        may(self.role(who, now), Action::Join, &self.settings, ticket)
    }

    /// Whether a member may talk.
    pub(super) fn may_speak(&self, who: Who<'_>, now: Timestamp) -> Result<(), Code> {
        if self.blocked {
            return Err(Code::BLOCKED);
        }
        if self.deserted {
            return Err(Code::NO_SUCH_PERSON);
        }
        may(self.role(who, now), Action::Speak, &self.settings, Ticket::default())
    }

    /// Somebody's standing, made if they have none.
    pub(super) fn standing(&self, room: RoomId, who: &Author) -> StandingRecord {
        self.standings.get(&who.principal).cloned().unwrap_or_else(|| StandingRecord {
            room,
            principal: who.principal,
            kind: who.kind,
            alias: who.alias.clone(),
            member: false,
            invited: false,
            rank: Rank::Member,
            muted_until: None,
            since: Seq::ZERO,
            read: Seq::ZERO,
        })
    }

    /// Take a standing as it is now. One that says nothing is none.
    pub(super) fn put(&mut self, standing: StandingRecord) {
        if says_nothing(&standing) {
            self.standings.remove(&standing.principal);
        } else {
            self.standings.insert(standing.principal, standing);
        }
        self.changed();
    }

    /// A guest comes in, or is to be called otherwise: the mute that waits for whoever shows this alias, if there is one.
    pub(super) fn muted_namesake(&self, who: &Author, now: Timestamp) -> Option<&StandingRecord> {
        // Looking alike costs something: only of guests, and where anybody is muted at all.
        if who.kind != PrincipalKind::Guest || !self.restricted {
            return None;
        }
        let mut others = self.muted_guests(now).filter(|other| other.principal != who.principal).peekable();
        others.peek()?;
        let looks = who.alias.looks();
        others.find(|other| other.alias.looks().iter().any(|look| looks.contains(look)))
    }

    /// Guests who may not talk, here or gone.
    pub(super) fn muted_guests(&self, now: Timestamp) -> impl Iterator<Item = &StandingRecord> {
        let is_muted = move |standing: &&StandingRecord| standing.muted_until.is_some_and(|until| until > now);
        self.standings.values().filter(|standing| standing.kind == PrincipalKind::Guest).filter(is_muted)
    }

    /// A guest has come in: the mute that waited for them is theirs. What of that has to be kept.
    pub(super) fn inherit(&mut self, room: RoomId, who: &Author, now: Timestamp) -> Vec<Change> {
        let Some(before) = self.muted_namesake(who, now).cloned() else { return Vec::new() };
        let mut standing = self.standing(room, who);
        standing.muted_until = standing.muted_until.max(before.muted_until);
        let changes = vec![record(&standing), Change::DropStanding { room, principal: before.principal }];
        self.standings.remove(&before.principal);
        self.put(standing);
        changes
    }

    /// Somebody is gone, with their last session here; what of it has to be kept.
    pub(super) fn departed(&mut self, who: &Author, why: Why, read: Seq) -> Option<Change> {
        let mut standing = self.standings.get(&who.principal)?.clone();
        match (why, who.kind) {
            (Why::Ended, PrincipalKind::Account) => standing.read = standing.read.max(read),
            // Whoever leaves is no member; a mute and a rank outlive that, or leaving would undo them.
            (Why::Out, PrincipalKind::Account) => standing.member = false,
            // A guest's mute waits for them, or for who comes under the same alias.
            _ if standing.muted_until.is_some() => {
                (standing.member, standing.invited, standing.rank) = (false, false, Rank::Member);
            }
            _ => {
                self.standings.remove(&who.principal);
                self.changed();
                return Some(Change::DropStanding { room: standing.room, principal: standing.principal });
            }
        }
        let change = record(&standing);
        self.put(standing);
        Some(change)
    }

    /// Whether somebody is a member who isn't here now.
    pub(super) fn has_members(&self) -> bool {
        self.standings.values().any(|standing| standing.member)
    }

    /// How the store keeps the settings.
    pub(super) fn record(&self, room: RoomId, pair: Option<(PrincipalId, PrincipalId)>) -> SettingsRecord {
        SettingsRecord { room, settings: self.settings.clone(), password: self.password.clone(), pair }
    }
}

fn says_nothing(standing: &StandingRecord) -> bool {
    !standing.member && !standing.invited && standing.rank == Rank::Member && standing.muted_until.is_none()
}

/// How the store keeps a standing.
pub(super) fn record(standing: &StandingRecord) -> Change {
    let (room, principal) = (standing.room, standing.principal);
    if says_nothing(standing) {
        Change::DropStanding { room, principal }
    } else {
        Change::PutStanding(standing.clone())
    }
}
