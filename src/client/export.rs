//! Everything that a server keeps of one's account, for oneself.

use std::collections::VecDeque;

use futures::Stream;

use super::error::RequestError;
use super::event::Author;
use super::people::PersonInfo;
use super::requests::decode;
use super::{Client, OwnSession};
use crate::id::{PrincipalId, RoomId, Seq, Timestamp};
use crate::protocol::message::{
    BlocksPage, EventKind, ListBlocks, ListMemberships, ListOwnEvents, Membership, MembershipsPage, OwnEvent,
    OwnEventsPage, OwnPlace, Person, Rank,
};
use crate::protocol::to_frame;

/// Something that the server keeps of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Exported {
    /// The account itself.
    Account(PersonInfo),
    /// A session of it.
    Session(OwnSession),
    /// What it is in a room.
    Membership(RoomMembership),
    /// Somebody whom it has blocked.
    Blocked(Author),
    /// Something that it has said, or done, in a room.
    Event(OwnSaid),
}

/// What somebody is in a room.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RoomMembership {
    /// The room.
    pub id: RoomId,
    /// Its name.
    pub room: String,
    /// They are a member.
    pub member: bool,
    /// They may come in, whatever the room's kind.
    pub invited: bool,
    /// Who they are there.
    pub rank: Rank,
    /// They may not talk until then.
    pub muted_until: Option<Timestamp>,
    /// The room's last event when they became a member.
    pub since: Seq,
    /// How far they have read, on any device.
    pub read: Seq,
}

/// Something that one has said, or done, in a room.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct OwnSaid {
    /// The room.
    pub id: RoomId,
    /// Its name.
    pub room: String,
    /// The event's number there.
    pub seq: Seq,
    /// The server's time.
    pub at: Timestamp,
    /// What sort of event.
    pub kind: EventKind,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl OwnSaid {
    /// The text, if it is one.
    pub fn text(&self) -> Option<&str> {
        std::str::from_utf8(&self.bytes).ok().filter(|_| self.kind == EventKind::TEXT)
    }
}

/// What is asked for next.
#[derive(Debug, Clone, Copy)]
enum Part {
    Account,
    Sessions,
    Memberships(Option<RoomId>),
    Blocks(Option<PrincipalId>),
    Events(Option<OwnPlace>),
    End,
}

/// What the server keeps of oneself.
impl Client {
    /// Everything that the server keeps of this account: itself, its sessions, what it is in which rooms, whom it has
    /// blocked, and what it has said, in directs too. In pages: it never takes much memory, however much it is; while it
    /// is read, more may be said. What others have said isn't among it.
    ///
    /// # Errors
    ///
    /// Ends with an error if the server can't read it, or the client is closed.
    pub fn export(&self) -> impl Stream<Item = Result<Exported, RequestError>> + Send + use<> {
        let begin = (self.clone(), Part::Account, VecDeque::new());
        futures::stream::unfold(begin, |(client, mut part, mut page)| async move {
            loop {
                if let Some(item) = page.pop_front() {
                    return Some((Ok(item), (client, part, page)));
                }
                if matches!(part, Part::End) {
                    return None;
                }
                match client.next_part(part, &mut page).await {
                    Ok(next) => part = next,
                    Err(e) => return Some((Err(e), (client, Part::End, page))),
                }
            }
        })
    }

    async fn next_part(&self, part: Part, page: &mut VecDeque<Exported>) -> Result<Part, RequestError> {
        Ok(match part {
            Part::Account => {
                let me = self.inner.link.lock().principal.ok_or(RequestError::Closed)?;
                page.push_back(Exported::Account(self.whois(me).await?));
                Part::Sessions
            }
            Part::Sessions => {
                page.extend(self.sessions().await?.into_iter().map(Exported::Session));
                Part::Memberships(None)
            }
            Part::Memberships(after) => {
                let make = move |request, _| to_frame(&ListMemberships { request, after });
                let found: MembershipsPage = decode(self.again(None, make).await?)?;
                let last = found.memberships.last().map(|membership| membership.room);
                page.extend(found.memberships.into_iter().map(|found| Exported::Membership(found.into())));
                if found.more && last.is_some() { Part::Memberships(last) } else { Part::Blocks(None) }
            }
            Part::Blocks(after) => {
                let (blocked, more) = self.blocked(after).await?;
                let last = blocked.last().map(|author| author.principal);
                page.extend(blocked.into_iter().map(Exported::Blocked));
                if more && last.is_some() { Part::Blocks(last) } else { Part::Events(None) }
            }
            Part::Events(after) => {
                let make = move |request, _| to_frame(&ListOwnEvents { request, after });
                let found: OwnEventsPage = decode(self.again(None, make).await?)?;
                page.extend(found.events.into_iter().map(|event| Exported::Event(event.into())));
                // A server that stays where it is would be asked for ever.
                found.next.filter(|next| Some(*next) != after).map_or(Part::End, |next| Part::Events(Some(next)))
            }
            Part::End => Part::End,
        })
    }

    /// A page of those whom this account has blocked, in the order of their ids: those behind `after`; and whether there
    /// are more. The alias is empty of somebody who isn't known any more.
    ///
    /// # Errors
    ///
    /// The connection has ended.
    pub async fn blocked(&self, after: Option<PrincipalId>) -> Result<(Vec<Author>, bool), RequestError> {
        let make = move |request, _| to_frame(&ListBlocks { request, after });
        let page: BlocksPage = decode(self.again(None, make).await?)?;
        let author = |Person { principal, kind, alias, .. }: Person| Author { principal, kind, alias };
        Ok((page.blocked.into_iter().map(author).collect(), page.more))
    }
}

impl From<Membership> for RoomMembership {
    fn from(membership: Membership) -> Self {
        let Membership { room, name, member, invited, rank, muted_until, since, read } = membership;
        let muted_until = muted_until.map(Timestamp::from_millis);
        Self { id: room, room: name, member, invited, rank, muted_until, since, read }
    }
}

impl From<OwnEvent> for OwnSaid {
    fn from(event: OwnEvent) -> Self {
        let OwnEvent { room, name, seq, at, kind, bytes } = event;
        Self { id: room, room: name, seq, at: Timestamp::from_millis(at), kind, bytes: bytes.into() }
    }
}
