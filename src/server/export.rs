//! What the server keeps of somebody, for themselves: what they are in which rooms, whom they have blocked, and what they
//! have said; in pages, none of which costs much.

use std::ops::Bound;
use std::sync::Arc;

use super::conn::Conn;
use super::membership::{Refusal, answer};
use super::moderation::find;
use super::rooms::{Room, State, person};
use super::shared::Shared;
use super::toll;
use crate::id::{PrincipalId, Seq, Timestamp};
use crate::limit::What;
use crate::protocol::message::{
    BlocksPage, EventKind, ListBlocks, ListMemberships, ListOwnEvents, Membership, MembershipsPage, OwnEvent,
    OwnEventsPage, OwnPlace, Person, Whom,
};
use crate::protocol::{Code, PrincipalKind};
use crate::store::StoreError;

/// What a page holds at most, in bytes, unless it is a single larger event: it has to fit into a frame of any client.
const PAGE_BYTES: usize = 12 * 1024;

/// Bytes of others' events that are read for one page, at most …
const SCAN_BYTES: usize = 256 * 1024;

/// … in steps of so many …
const STEP_BYTES: usize = 64 * 1024;

/// … and rooms that are looked into for it.
const SCAN_ROOMS: usize = 64;

/// Entries on a page: with the longest names it fits into a frame.
const MAX_ENTRIES: usize = 20;

/// Answer a `ListMemberships`.
pub(super) fn memberships(shared: &Shared, conn: &Conn, ask: ListMemberships) {
    let Some(identity) = conn.identity() else { return };
    if let Err(wait) = toll::request(shared, conn, What::Reads) {
        return answer(conn, ask.request, Refusal::limited(wait));
    }
    let principal = identity.session.principal;
    let (mut memberships, mut more) = (Vec::new(), false);
    // Only their own: others' rooms may be many.
    let mut own = shared.people.stands(principal);
    for session in shared.sessions.of(principal) {
        own.extend(session.rooms.lock().iter().map(|member| member.room.id));
    }
    let low = ask.after.map_or(Bound::Unbounded, Bound::Excluded);
    for room in own.range((low, Bound::Unbounded)).filter_map(|id| shared.rooms.by_id(*id)) {
        let state = room.lock();
        let Some(membership) = membership(&room, &state, principal) else { continue };
        if memberships.len() == MAX_ENTRIES {
            more = true;
            break;
        }
        memberships.push(membership);
    }
    conn.queue(&MembershipsPage { request: ask.request, memberships, more });
}

fn membership(room: &Arc<Room>, state: &State, principal: PrincipalId) -> Option<Membership> {
    let standing = state.house.standings.get(&principal);
    if standing.is_none() && !state.members.has(principal) {
        return None;
    }
    Some(Membership {
        room: room.id,
        name: room.label_in(state, principal),
        member: standing.is_some_and(|standing| standing.member) || state.members.has(principal),
        invited: standing.is_some_and(|standing| standing.invited),
        rank: standing.map_or(crate::protocol::message::Rank::Member, |standing| standing.rank),
        muted_until: standing.and_then(|standing| standing.muted_until).map(Timestamp::as_millis),
        since: standing.map_or(Seq::ZERO, |standing| standing.since),
        read: state.read_by(principal),
    })
}

/// Answer a `ListBlocks`.
pub(super) fn blocks(shared: &Shared, conn: &Conn, ask: ListBlocks) {
    let Some(identity) = conn.identity() else { return };
    if let Err(wait) = toll::request(shared, conn, What::Reads) {
        return answer(conn, ask.request, Refusal::limited(wait));
    }
    let blocked = shared.people.blocked_by(identity.session.principal);
    let mut rest = blocked.into_iter().filter(|id| ask.after.is_none_or(|after| *id > after));
    let someone = |principal: PrincipalId| match find(shared, &Whom::Id(principal)) {
        Some(author) => person(&author, 0),
        None => Person { principal, kind: PrincipalKind::Guest, alias: String::new(), version: 0 },
    };
    let blocked = rest.by_ref().take(MAX_ENTRIES).map(someone).collect();
    conn.queue(&BlocksPage { request: ask.request, blocked, more: rest.next().is_some() });
}

/// What somebody has said, behind `after`.
pub(super) async fn own_events(shared: &Shared, conn: &Conn, ask: ListOwnEvents) -> Result<OwnEventsPage, Refusal> {
    let request = ask.request;
    let Some(identity) = conn.identity() else { return Ok(OwnEventsPage { request, events: Vec::new(), next: None }) };
    toll::request(shared, conn, What::Reads).map_err(Refusal::limited)?;
    let mut search = Search::new(identity.session.principal, ask.after);
    let found = search.run(shared).await.map_err(|e| {
        tracing::error!("what somebody has said can't be read: {e}");
        Refusal::later(Code::STORE_FAILED, "the server can't read this at the moment; try again")
    })?;
    Ok(OwnEventsPage { request, events: search.events, next: found })
}

/// One page's search.
struct Search {
    principal: PrincipalId,
    after: Option<OwnPlace>,
    events: Vec<OwnEvent>,
    bytes: usize,
    scanned: usize,
}

impl Search {
    fn new(principal: PrincipalId, after: Option<OwnPlace>) -> Self {
        Self { principal, after, events: Vec::new(), bytes: 0, scanned: 0 }
    }

    /// Look, until there is enough; where to go on then.
    async fn run(&mut self, shared: &Shared) -> Result<Option<OwnPlace>, StoreError> {
        let rooms = shared.rooms.since(self.after.map(|after| after.room), SCAN_ROOMS + 1);
        for (i, room) in rooms.iter().enumerate() {
            let mut seq = self.after.filter(|after| after.room == room.id).map_or(Seq::ZERO, |after| after.seq);
            if i == SCAN_ROOMS {
                return Ok(Some(OwnPlace { room: room.id, seq }));
            }
            loop {
                let page = shared.store.read(room.id, seq, STEP_BYTES).await?;
                let Some(last) = page.batches.last() else { break };
                let head = last.last();
                for batch in &page.batches {
                    self.scanned += batch.new.events.bytes() + 64 * batch.new.events.len();
                    if batch.new.author.principal != self.principal {
                        continue;
                    }
                    for (n, (kind, bytes)) in (batch.first.get()..).zip(batch.new.events.iter()) {
                        let n = Seq::new(n);
                        // Of what was removed nothing is kept.
                        if n > seq && kind != EventKind::REMOVED && !self.take(room, n, batch.at, kind, bytes) {
                            return Ok(Some(OwnPlace { room: room.id, seq: Seq::new(n.get() - 1) }));
                        }
                    }
                }
                seq = head.max(seq);
                if self.scanned >= SCAN_BYTES {
                    return Ok(Some(OwnPlace { room: room.id, seq }));
                }
            }
        }
        Ok(None)
    }

    /// Put an event on the page; false if it doesn't fit any more.
    fn take(&mut self, room: &Arc<Room>, seq: Seq, at: Timestamp, kind: EventKind, bytes: &[u8]) -> bool {
        let name = room.label_in(&room.lock(), self.principal);
        let weight = name.len() + bytes.len() + 64;
        if !self.events.is_empty() && self.bytes + weight > PAGE_BYTES {
            return false;
        }
        self.bytes += weight;
        let (at, bytes) = (at.as_millis(), bytes.to_vec().into());
        self.events.push(OwnEvent { room: room.id, name, seq, at, kind, bytes });
        true
    }
}
