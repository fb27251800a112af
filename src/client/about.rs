//! How a room is, who this client is there, and who else.

use std::time::{SystemTime, UNIX_EPOCH};

use super::Room;
use super::error::RequestError;
use super::event::{Author, RoomChanged};
use super::requests::Waiting;
use crate::id::{PrincipalId, Seq, Timestamp};
use crate::protocol::EventKind;
use crate::protocol::message::{About, Joined, MemberEntry, Rank, RoomSettings};
use crate::room::permission::{Ticket, may};
use crate::room::{Action, Role};

/// Somebody who is in a room.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Member {
    /// Who.
    pub who: Author,
    /// Who they are in the room.
    pub rank: Rank,
    /// Until when they may not talk, by the server's clock; the latest time there is: until it is taken back.
    pub muted_until: Option<Timestamp>,
    /// Is away, with this text.
    pub away: Option<String>,
}

/// What is known of a room.
#[derive(Debug, Default)]
pub(super) struct Known {
    about: Option<About>,
    /// The event that it is as of.
    at: Seq,
    /// The event that the settings are as of, if that is a later one: one's own are known before the event comes.
    settled: Seq,
}

impl Known {
    /// What the server says.
    pub(super) fn of(joined: &Joined) -> Self {
        let at = joined.latest.unwrap_or(joined.head);
        Self { about: joined.about.clone(), at, settled: at }
    }

    /// Whether events that don't come could have changed it.
    pub(super) fn misses(&self, skipped: Seq) -> bool {
        self.about.is_some() && skipped > self.at
    }

    /// Something has changed in the room. `me` is who this client is.
    pub(super) fn changed(&mut self, changed: &RoomChanged, me: Option<PrincipalId>) {
        // What is replayed was known when the server spoke.
        if changed.seq <= self.at {
            return;
        }
        self.at = changed.seq;
        let (Some(about), change) = (&mut self.about, &changed.change) else { return };
        let mine = change.whom.as_ref().is_some_and(|whom| Some(whom.principal) == me);
        match changed.kind {
            EventKind::TOPIC | EventKind::SETTINGS if changed.seq <= self.settled => {}
            EventKind::TOPIC => about.settings.topic = change.text.clone().unwrap_or_default(),
            EventKind::SETTINGS => {
                if let Some(settings) = &change.settings {
                    about.settings.clone_from(settings);
                }
            }
            EventKind::ROLE => {
                let rank = change.value.and_then(|value| u8::try_from(value).ok()).map_or(Rank::Member, Rank::from_u8);
                if mine {
                    about.rank = rank;
                } else if rank == Rank::Owner && about.rank == Rank::Owner {
                    // A room has one owner: it is somebody else's now.
                    about.rank = Rank::Moderator;
                }
            }
            EventKind::MUTE if mine => about.muted_until = Some(change.until.unwrap_or(i64::MAX)),
            EventKind::UNMUTE if mine => about.muted_until = None,
            _ => {}
        }
    }
}

fn role(about: &About, now: i64) -> Role {
    match (about.admin, Role::from(about.rank)) {
        (true, _) => Role::Admin,
        (_, Role::Member) if about.muted_until.is_some_and(|until| until > now) => Role::Muted,
        (_, role) => role,
    }
}

/// What is known of the room. It is as the server said when this client came in, and then as the room's events say:
/// [`Event::RoomChanged`](crate::Event::RoomChanged) tells when to look again, and so does
/// [`Event::Resumed`](crate::Event::Resumed).
impl Room {
    fn about<T>(&self, f: impl FnOnce(&About) -> T) -> Option<T> {
        let state = self.link().lock();
        state.rooms.get(&self.id())?.known.about.as_ref().map(f)
    }

    /// The room is like this as of that event, which may still be on the way.
    pub(super) fn settled(&self, seq: Seq, settings: RoomSettings) {
        if let Some(room) = self.link().lock().rooms.get_mut(&self.id())
            && room.known.settled.max(room.known.at) < seq
            && let Some(about) = &mut room.known.about
        {
            (about.settings, room.known.settled) = (settings, seq);
        }
    }

    /// Who this client is here. None if it isn't in the room any more, or if the server is an early one and doesn't tell.
    pub fn rank(&self) -> Option<Rank> {
        self.about(|about| about.rank)
    }

    /// Until when this client may not talk here, by the server's clock; the latest time there is: until it is taken back.
    /// It may be over by now.
    pub fn muted_until(&self) -> Option<Timestamp> {
        self.about(|about| about.muted_until).flatten().map(Timestamp::from_millis)
    }

    /// How the room is. None as with [`rank`](Self::rank).
    pub fn settings(&self) -> Option<RoomSettings> {
        self.about(|about| about.settings.clone())
    }

    /// What the room is about; none if nobody has said so.
    pub fn topic(&self) -> Option<String> {
        self.about(|about| about.settings.topic.clone()).filter(|topic| !topic.is_empty())
    }

    /// Whether this client may do this here, by the table of [`Action`] and by what is known of the room: what to offer
    /// to a person. The server decides when it is asked, and an application there may decide otherwise.
    pub fn may(&self, action: Action) -> bool {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
        // Nobody keeps order in a direct, not even an admin.
        let direct = self.name().as_str().starts_with('@');
        let everybodys = matches!(action, Action::Join | Action::Speak | Action::ChangeAlias);
        let by_table = |about: &About| may(role(about, now), action, &about.settings, Ticket::default()).is_ok();
        self.about(by_table).unwrap_or(false) && (!direct || everybodys)
    }

    /// A page of those who are in the room, in the order of their ids: those behind `after`, at most `limit` (and at most
    /// 100; fewer if that would be too much at once); and whether there are more.
    ///
    /// Waits for a connection if there is none.
    ///
    /// ```
    /// # async_std::task::block_on(async {
    /// # let server = chatnet::Server::builder().bind("127.0.0.1:0").await?;
    /// # let addr = server.local_addr().unwrap();
    /// # let serving = async_std::task::spawn(server.serve());
    /// # let (ada, _events) = chatnet::Client::builder().alias("ada").connect(addr).await?;
    /// # let room = ada.room().unwrap();
    /// let mut after = None;
    /// loop {
    ///     let (page, more) = room.members(after, 100).await?;
    ///     for member in &page {
    ///         println!("{} is here, as {:?}", member.who.alias, member.rank);
    ///     }
    ///     after = page.last().map(|member| member.who.principal);
    ///     if !more {
    ///         break;
    ///     }
    /// }
    /// # assert!(after == Some(ada.principal()));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    ///
    /// This client isn't in the room any more, or it is closed.
    pub async fn members(&self, after: Option<PrincipalId>, limit: u32) -> Result<(Vec<Member>, bool), RequestError> {
        let limit = limit.clamp(1, 100);
        let page = self.ask(|room, answer| Waiting::Members { room, after, limit, answer })?;
        let page = page.await.unwrap_or(Err(RequestError::Closed))?;
        Ok((page.members.into_iter().map(Member::from).collect(), page.more))
    }
}

impl From<MemberEntry> for Member {
    fn from(entry: MemberEntry) -> Self {
        let MemberEntry { principal, kind, alias, rank, muted_until, away, .. } = entry;
        let (who, rank) = (Author { principal, kind, alias }, rank.unwrap_or(Rank::Member));
        Self { who, rank, muted_until: muted_until.map(Timestamp::from_millis), away }
    }
}
