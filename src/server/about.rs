//! What a member is told of a room: how it is, who they are there, and who else is in it.

use super::people::People;
use super::rooms::{Room, State};
use crate::id::{PrincipalId, Seq, Timestamp};
use crate::protocol::message::{About, Joined, MemberEntry, Rank};

/// A page of members ends behind this many bytes, so that it fits into a frame for any client.
const PAGE_BYTES: usize = 16 * 1024;

/// What an entry of a page takes besides its texts, in bytes, at most.
const ENTRY_BYTES: usize = 48;

impl State {
    /// Who somebody is here, and until when they may not talk.
    fn standing(&self, principal: PrincipalId, now: Timestamp) -> (Rank, Option<i64>) {
        let Some(standing) = self.house.standings.get(&principal) else { return (Rank::Member, None) };
        let muted = standing.muted_until.filter(|until| *until > now);
        (standing.rank, muted.map(Timestamp::as_millis))
    }
}

impl Room {
    /// What a session is told that is in. Under the room's lock.
    pub(super) fn joined(
        &self,
        state: &State,
        people: &People,
        principal: PrincipalId,
        now: Timestamp,
        (request, head, latest): (u32, Seq, Option<Seq>),
    ) -> Joined {
        let (rank, muted_until) = state.standing(principal, now);
        let (settings, admin) = (state.house.settings.clone(), people.is_admin(principal));
        Joined {
            request,
            room: self.id,
            name: self.label_in(state, principal),
            head,
            presence: state.presence.version(),
            count: state.members.count() as u32,
            latest,
            read: Some(state.read_by(principal)),
            about: Some(About { settings, rank, admin, muted_until }),
        }
    }

    /// A page of members, in the order of their ids; the version of the presence that it belongs to, and whether there
    /// are more.
    pub(super) fn page(
        &self,
        people: &People,
        now: Timestamp,
        after: Option<PrincipalId>,
        limit: usize,
    ) -> (u64, Vec<MemberEntry>, bool) {
        let state = self.lock();
        let (members, mut more) = state.members.page(after, limit);
        let (mut page, mut bytes) = (Vec::with_capacity(members.len()), 0);
        for member in members {
            let (who, (rank, muted_until)) = (member.author(), state.standing(member.session.principal, now));
            let away = people.away(who.principal);
            bytes += ENTRY_BYTES + who.alias.as_str().len() + away.as_ref().map_or(0, String::len);
            if bytes > PAGE_BYTES && !page.is_empty() {
                more = true;
                break;
            }
            let (principal, kind, alias) = (who.principal, who.kind, who.alias.to_string());
            page.push(MemberEntry { principal, kind, alias, version: 0, rank: Some(rank), muted_until, away });
        }
        (state.presence.version(), page, more)
    }
}
