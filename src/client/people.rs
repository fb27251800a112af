//! What a client asks for about rooms and other people: lists, directs, order.

use std::time::Duration;

use futures::channel::oneshot;

use super::error::RequestError;
use super::requests::{Waiting, Way, decode};
use super::{Client, Room};
use crate::id::{PrincipalId, RoomName, Seq, Timestamp};
use crate::protocol::message::{
    AuditEntry, AuditPage, Away, BanEntry, BansPage, Block, Done, EventKind, ListAudit, ListBans, ListRooms, Moderate,
    Profile, Rank, RoomEntry, RoomSettings, RoomsPage, Secret, Whois, Whom,
};
use crate::protocol::{PrincipalKind, to_frame};

/// A room in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListedRoom {
    /// Its name.
    pub name: String,
    /// How many are in it.
    pub members: u32,
    /// How it is.
    pub settings: RoomSettings,
}

/// What is known of somebody.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PersonInfo {
    /// Who.
    pub principal: PrincipalId,
    /// What sort of principal.
    pub kind: PrincipalKind,
    /// The alias.
    pub alias: String,
    /// Has a connection now.
    pub online: bool,
    /// Is away, with this text.
    pub away: Option<String>,
    /// When an account that isn't here was seen last.
    pub seen: Option<Timestamp>,
    /// Keeps order on the whole server.
    pub admin: bool,
    /// When the account was made; told of one's own only.
    pub created: Option<Timestamp>,
}

/// A ban from a room.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ban {
    /// Who: an alias, a mask or an address prefix.
    pub whom: String,
    /// Who did it.
    pub by: String,
    /// Why.
    pub reason: String,
    /// Until when; none: until it is taken back.
    pub until: Option<Timestamp>,
}

/// Somebody, by id or alias. For a ban also a mask (`spam*`) or an address prefix (`203.0.113.0/24`).
impl From<&str> for Whom {
    fn from(name: &str) -> Self {
        Self::Name(name.to_owned())
    }
}

impl From<PrincipalId> for Whom {
    fn from(id: PrincipalId) -> Self {
        Self::Id(id)
    }
}

/// Rooms and other people.
impl Client {
    /// The rooms that this client is in.
    pub fn rooms(&self) -> Vec<Room> {
        let state = self.inner.link.lock();
        let mut rooms: Vec<_> = state.rooms.values().map(|room| std::sync::Arc::clone(&room.slot)).collect();
        drop(state);
        rooms.sort_by(|a, b| a.name.cmp(&b.name));
        rooms.into_iter().map(|slot| Room::new(std::sync::Arc::clone(&self.inner), slot)).collect()
    }

    /// A page of the rooms that there are, in the order of their names: those behind `after`, at most `limit` (and at
    /// most 50); and whether there are more. Invite-only and hidden rooms are listed for their members.
    ///
    /// # Errors
    ///
    /// The connection has ended.
    pub async fn list_rooms(&self, after: Option<&str>, limit: u32) -> Result<(Vec<ListedRoom>, bool), RequestError> {
        let after = after.map(str::to_owned);
        let make = move |request, _| to_frame(&ListRooms { request, after: after.clone(), limit });
        let page: RoomsPage = decode(self.again(None, make).await?)?;
        let room = |RoomEntry { name, members, settings }| ListedRoom { name, members, settings };
        Ok((page.rooms.into_iter().map(room).collect(), page.more))
    }

    /// Make a room, and own it. `password` is for rooms of that kind.
    ///
    /// # Errors
    ///
    /// There is such a room already, the server refuses, others could read the password on the way, or the connection
    /// has ended.
    pub async fn create_room(
        &self,
        name: &str,
        settings: RoomSettings,
        password: Option<&str>,
    ) -> Result<Room, RequestError> {
        RoomName::parse(name).map_err(RequestError::Room)?;
        let password = password.map(Secret::from);
        self.enter(name, Way::Create { settings, password }).await
    }

    /// Join a room that has a password.
    ///
    /// # Errors
    ///
    /// The password is wrong, others could read it on the way, the server refuses otherwise, or the connection has ended.
    pub async fn join_with(&self, name: &str, password: &str) -> Result<Room, RequestError> {
        RoomName::parse(name).map_err(RequestError::Room)?;
        self.enter(name, Way::Password(password.into())).await
    }

    /// The room of this client's principal and somebody else. Who isn't here gets what is said there when they come, if
    /// they have an account.
    ///
    /// # Errors
    ///
    /// Nobody is known by this name, one has blocked the other, or the connection has ended.
    pub async fn direct(&self, whom: impl Into<Whom>) -> Result<Room, RequestError> {
        self.enter("", Way::Direct(whom.into())).await
    }

    /// Take nothing from somebody any more (`blocked`), or again.
    ///
    /// # Errors
    ///
    /// Nobody is known by this name, or the connection has ended.
    pub async fn block(&self, whom: impl Into<Whom>, blocked: bool) -> Result<(), RequestError> {
        let whom = whom.into();
        let make = move |request, _| to_frame(&Block { request, whom: whom.clone(), blocked });
        decode::<Done>(self.again(None, make).await?).map(drop)
    }

    /// What is known of somebody.
    ///
    /// # Errors
    ///
    /// Nobody is known by this name, or the connection has ended.
    pub async fn whois(&self, whom: impl Into<Whom>) -> Result<PersonInfo, RequestError> {
        let whom = whom.into();
        let make = move |request, _| to_frame(&Whois { request, whom: whom.clone() });
        let Profile { person, online, away, seen, admin, created, .. } = decode(self.again(None, make).await?)?;
        let (principal, kind, alias) = (person.principal, person.kind, person.alias);
        let (seen, created) = (seen.map(Timestamp::from_millis), created.map(Timestamp::from_millis));
        Ok(PersonInfo { principal, kind, alias, online, away, seen, admin, created })
    }

    /// Be away, with a text for who asks; or, with none, back.
    ///
    /// # Errors
    ///
    /// The connection has ended.
    pub async fn away(&self, text: Option<&str>) -> Result<(), RequestError> {
        let text = text.map(str::to_owned);
        let make = move |request, _| to_frame(&Away { request, text: text.clone() });
        decode::<Done>(self.again(None, make).await?).map(drop)
    }

    /// What was done to keep order, newest first: at most `limit` entries (and as many as fit into a frame, 50 at most)
    /// before number `before`; and whether there are older ones. For admins of the server.
    ///
    /// # Errors
    ///
    /// This isn't an admin, or the connection has ended.
    pub async fn audit(&self, before: Option<u64>, limit: u32) -> Result<(Vec<AuditEntry>, bool), RequestError> {
        let make = move |request, _| to_frame(&ListAudit { request, before, limit });
        let page: AuditPage = decode(self.again(None, make).await?)?;
        Ok((page.entries, page.more))
    }

    async fn enter(&self, name: &str, way: Way) -> Result<Room, RequestError> {
        let (answer, joined) = oneshot::channel();
        {
            let mut state = self.inner.link.lock();
            if state.closed.is_some() {
                return Err(RequestError::Closed);
            }
            state.ask(Waiting::Join { name: name.to_owned(), way, answer });
        }
        self.inner.link.output.notify();
        let slot = joined.await.unwrap_or(Err(RequestError::Closed))?;
        Ok(Room::new(std::sync::Arc::clone(&self.inner), slot))
    }
}

/// Keeping order. Who may is decided by the server; what is done is told to all by
/// [`Event::RoomChanged`](crate::Event::RoomChanged). A call resolves once that is kept. It is not made again when the
/// connection is lost meanwhile, see [`RequestError::Unknown`].
///
/// # Errors
///
/// Of all of these: one's role doesn't permit it, nobody is known by this name, or the connection has ended.
impl Room {
    async fn moderate(&self, moderate: Moderate) -> Result<(), RequestError> {
        self.act_on(moderate).await.map(drop)
    }

    /// Have it done; the event that tells of it, if the server says.
    async fn act_on(&self, moderate: Moderate) -> Result<Option<Seq>, RequestError> {
        let secret = moderate.password.is_some();
        let make = move |request, room| to_frame(&Moderate { request, room, ..moderate.clone() });
        decode::<Done>(self.client().secretly(Some(self.id()), secret, make).await?).map(|done| done.seq)
    }

    fn act(&self, act: EventKind) -> Moderate {
        Moderate::new(0, self.id(), act)
    }

    fn on(&self, act: EventKind, whom: Whom, reason: &str, duration: Option<Duration>) -> Moderate {
        let text = (!reason.is_empty()).then(|| reason.to_owned());
        let for_ms = duration.map(|duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX));
        Moderate { whom: Some(whom), text, for_ms, ..self.act(act) }
    }

    /// Say what the room is about.
    ///
    /// # Errors
    ///
    /// See above.
    pub async fn set_topic(&self, topic: &str) -> Result<(), RequestError> {
        self.moderate(Moderate { text: Some(topic.to_owned()), ..self.act(EventKind::TOPIC) }).await
    }

    /// Change how the room is; `password` is for rooms of that kind, and kept if there is none.
    ///
    /// # Errors
    ///
    /// See above.
    pub async fn set_settings(&self, settings: RoomSettings, password: Option<&str>) -> Result<(), RequestError> {
        let (password, given) = (password.map(Secret::from), settings.clone());
        let act = Moderate { settings: Some(settings), password, ..self.act(EventKind::SETTINGS) };
        // Whoever changes one thing after the other means the room as it is then, though the event may still be on the way.
        if let Some(seq) = self.act_on(act).await? {
            self.settled(seq, given);
        }
        Ok(())
    }

    /// Let somebody in, whatever the room's kind.
    ///
    /// # Errors
    ///
    /// See above.
    pub async fn invite(&self, whom: impl Into<Whom>) -> Result<(), RequestError> {
        self.moderate(self.on(EventKind::INVITE, whom.into(), "", None)).await
    }

    /// Put somebody out.
    ///
    /// # Errors
    ///
    /// See above.
    pub async fn kick(&self, whom: impl Into<Whom>, reason: &str) -> Result<(), RequestError> {
        self.moderate(self.on(EventKind::KICK, whom.into(), reason, None)).await
    }

    /// Keep somebody out: an alias or id, a mask (`spam*`), an address prefix (`203.0.113.0/24`). A guest is kept out by the
    /// alias, and may come by another one: see [`ban_with_address`](Self::ban_with_address).
    ///
    /// # Errors
    ///
    /// See above.
    pub async fn ban(
        &self,
        whom: impl Into<Whom>,
        reason: &str,
        duration: Option<Duration>,
    ) -> Result<(), RequestError> {
        self.moderate(self.on(EventKind::BAN, whom.into(), reason, duration)).await
    }

    /// Keep a guest out, and all guests who come from where this one comes from. Nobody is shown where that is.
    ///
    /// # Errors
    ///
    /// See above; it is an account, or a guest who isn't connected.
    pub async fn ban_with_address(
        &self,
        whom: impl Into<Whom>,
        reason: &str,
        duration: Option<Duration>,
    ) -> Result<(), RequestError> {
        self.moderate(Moderate { value: Some(1), ..self.on(EventKind::BAN, whom.into(), reason, duration) }).await
    }

    /// Take a ban back.
    ///
    /// # Errors
    ///
    /// See above.
    pub async fn unban(&self, whom: impl Into<Whom>) -> Result<(), RequestError> {
        self.moderate(self.on(EventKind::UNBAN, whom.into(), "", None)).await
    }

    /// Keep somebody from talking.
    ///
    /// # Errors
    ///
    /// See above.
    pub async fn mute(
        &self,
        whom: impl Into<Whom>,
        reason: &str,
        duration: Option<Duration>,
    ) -> Result<(), RequestError> {
        self.moderate(self.on(EventKind::MUTE, whom.into(), reason, duration)).await
    }

    /// Let somebody talk again.
    ///
    /// # Errors
    ///
    /// See above.
    pub async fn unmute(&self, whom: impl Into<Whom>) -> Result<(), RequestError> {
        self.moderate(self.on(EventKind::UNMUTE, whom.into(), "", None)).await
    }

    /// Give somebody a rank. Giving the owner's gives the room away.
    ///
    /// # Errors
    ///
    /// See above.
    pub async fn set_rank(&self, whom: impl Into<Whom>, rank: Rank) -> Result<(), RequestError> {
        let value = Some(u64::from(rank.to_u8()));
        self.moderate(Moderate { value, ..self.on(EventKind::ROLE, whom.into(), "", None) }).await
    }

    /// Remove a message, whoever said it, and say why. Whoever has it already may keep it.
    ///
    /// # Errors
    ///
    /// See above.
    pub async fn delete_message_for(&self, seq: Seq, reason: &str) -> Result<(), RequestError> {
        let text = (!reason.is_empty()).then(|| reason.to_owned());
        self.moderate(Moderate { value: Some(seq.get()), text, ..self.act(EventKind::DELETION) }).await
    }

    /// Remove a message, whoever said it. Whoever has it already may keep it.
    ///
    /// # Errors
    ///
    /// See above.
    pub async fn delete_message(&self, seq: Seq) -> Result<(), RequestError> {
        self.moderate(Moderate { value: Some(seq.get()), ..self.act(EventKind::DELETION) }).await
    }

    /// Who is banned here: everybody, in as many pages as it takes.
    ///
    /// # Errors
    ///
    /// See above.
    pub async fn bans(&self) -> Result<Vec<Ban>, RequestError> {
        let mut bans: Vec<BanEntry> = Vec::new();
        loop {
            let skip = u32::try_from(bans.len()).ok().filter(|skip| *skip > 0);
            let make = move |request, room| to_frame(&ListBans { request, room, skip });
            let page: BansPage = decode(self.client().again(Some(self.id()), make).await?)?;
            let more = page.more == Some(true) && !page.bans.is_empty();
            bans.extend(page.bans);
            if !more {
                break;
            }
        }
        let ban =
            |BanEntry { whom, by, reason, until }| Ban { whom, by, reason, until: until.map(Timestamp::from_millis) };
        Ok(bans.into_iter().map(ban).collect())
    }
}
