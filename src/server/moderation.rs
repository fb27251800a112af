//! Keeping order: what is asked for by `Moderate`. Each act is decided by the one table, becomes an event of the room and an
//! entry of the audit log, and is kept with both in one commit.

use std::sync::Arc;

use futures::channel::oneshot;

use super::committer::{Act, NotDone, Submission};
use super::conn::{Close, Conn};
use super::deed::Deed;
use super::house::Who;
use super::login;
use super::membership::{self, Refusal, answer};
use super::names;
use super::people;
use super::permission;
use super::reader::Reader;
use super::rooms::{Room, State};
use super::shared::{Clock, Shared};
use super::toll;
use crate::handler::Ruling;
use crate::id::{RoomId, Seq};
use crate::limit::What;
use crate::protocol::Code;
use crate::protocol::message::{Done, EventKind, Moderate, RoomChange, RoomKind, Whom};
use crate::room::permission::{Ticket, may};
use crate::room::{Action, Author, BanTarget};
use crate::store::BanRecord;

/// What a refusal by the table is called.
pub(super) fn words(code: Code) -> &'static str {
    match code {
        Code::ROOM_BANNED => "you are banned from this room",
        Code::NOT_A_MEMBER => "you are not in this room: join it first",
        Code::MUTED => "you are muted in this room",
        Code::ANNOUNCEMENT_ONLY => "only moderators and owners talk in this room",
        Code::ARCHIVED => "this room is archived: nobody talks here any more",
        Code::INVITE_ONLY => "only who is invited may come into this room: ask a moderator for an invitation",
        Code::ROOM_PASSWORD => "this room has a password, and this isn't it: join with the password",
        Code::ROOM_FULL => "this room has as many members as it may",
        Code::NO_SUCH_PERSON => "the account of the other one was deleted: nobody will read this",
        Code::BLOCKED => "one of you has blocked the other",
        _ => "your role in this room doesn't permit this",
    }
}

/// Until when somebody is banned, and why.
pub(super) fn terms(ban: &BanRecord) -> String {
    let until = ban.until.map_or_else(String::new, |until| format!(" until {until}"));
    let reason = if ban.reason.is_empty() { "no reason given" } else { &ban.reason };
    format!("{until}: {}", crate::text::display_line(reason))
}

/// The body of an event.
pub(super) fn body(change: &RoomChange) -> Vec<u8> {
    minicbor::to_vec(change).unwrap_or_default()
}

/// Answer a `Moderate`.
pub(super) async fn moderate(reader: &mut Reader, moderate: Moderate) -> Result<(), Close> {
    // What was said before it is in the log before it.
    reader.settle().await;
    let (shared, conn) = (Arc::clone(&reader.shared), Arc::clone(&reader.conn));
    let request = moderate.request;
    match act(&shared, &conn, moderate).await {
        Ok(seq) => conn.queue(&Done { request, seq: Some(seq) }),
        Err(refusal) => answer(&conn, request, refusal),
    }
    Ok(())
}

/// What an act needs the table's permission for.
fn action(act: EventKind) -> Option<Action> {
    Some(match act {
        EventKind::TOPIC => Action::SetTopic,
        EventKind::KICK => Action::Kick,
        EventKind::BAN | EventKind::UNBAN => Action::Ban,
        EventKind::MUTE | EventKind::UNMUTE => Action::Mute,
        EventKind::INVITE => Action::Invite,
        EventKind::ROLE => Action::GiveRank,
        EventKind::SETTINGS => Action::ChangeSettings,
        EventKind::DELETION => Action::DeleteOthers,
        _ => return None,
    })
}

/// Somebody who is to be acted on.
#[derive(Debug, Clone)]
pub(super) enum Target {
    Somebody(Arc<Author>),
    Pattern(BanTarget),
}

/// Whoever a client names.
pub(super) fn find(shared: &Shared, whom: &Whom) -> Option<Arc<Author>> {
    match whom {
        Whom::Id(principal) => {
            let account = shared.people.account(*principal).map(|account| people::author(&account));
            account.or_else(|| Some(shared.sessions.of(*principal).first()?.author()))
        }
        Whom::Name(name) => {
            let account = shared.people.named(name).map(|account| people::author(&account));
            account.or_else(|| Some(shared.sessions.by_alias(name)?.author()))
        }
    }
}

fn unknown(whom: &Whom) -> Refusal {
    let name = match whom {
        Whom::Name(name) => name.chars().take(64).collect(),
        Whom::Id(id) => id.to_string(),
    };
    Refusal::new(Code::NO_SUCH_PERSON, format!("nobody is known as {}", crate::text::display_line(&name)))
}

async fn act(shared: &Arc<Shared>, conn: &Arc<Conn>, moderate: Moderate) -> Result<Seq, Refusal> {
    let not_here = || Refusal::new(Code::NOT_A_MEMBER, words(Code::NOT_A_MEMBER));
    let identity = conn.identity().ok_or_else(not_here)?;
    // It is told to everybody in the room, as a message is.
    toll::request(shared, conn, What::Messages).map_err(Refusal::limited)?;
    let (actor, kind) = (identity.session.author(), moderate.act);
    let Some(action) = action(kind) else {
        return Err(Refusal::new(Code::BAD_REQUEST, format!("there is no act {} to ask for", kind.0)));
    };
    let admin = shared.people.is_admin(actor.principal);
    let room = place(shared, conn, moderate.room, admin);
    let room = room.ok_or_else(not_here)?;
    if room.pair.is_some() {
        return Err(Refusal::new(Code::NOT_PERMITTED, "nobody keeps order in a direct: block whom you don't want"));
    }
    if moderate.password.is_some() {
        login::private(shared, conn)?;
    }
    if let Some(text) = &moderate.text {
        membership::topic(text, shared.config.max_event)?;
    }
    let target = target(shared, &room, &moderate)?;
    let address = conn.address.map(|a| a.ip());
    let here = |state: &State| state.members.has(actor.principal);
    let told = {
        let state = room.lock();
        let who = Who { author: &actor, address, admin, here: here(&state) };
        may(state.house.role(who, Clock::timestamp()), action, &state.house.settings, Ticket::default())
    };
    let deletion = (kind == EventKind::DELETION).then(|| Seq::new(moderate.value.unwrap_or(0)));
    let whom = match &target {
        Some(Target::Somebody(author)) => Some(author.principal),
        _ => None,
    };
    let ruling = permission::ask(shared, conn, &actor, &room, action, whom, told.is_ok()).await?;
    if let (Err(code), true) = (told, ruling != Ruling::Allow) {
        return Err(Refusal::new(code, words(code)));
    }
    let said_by = match deletion {
        Some(seq) => Some(is_removable(shared, &room, seq).await?),
        None => None,
    };
    // Only who may have it so has a password hashed, which takes long.
    let password = match (&moderate.settings, moderate.password.clone()) {
        (Some(settings), password) => {
            membership::check(settings, shared.config.max_event)?;
            match (settings.kind, password) {
                (RoomKind::Password, Some(password)) => Some(membership::hash(shared, conn, password.0).await?),
                (RoomKind::Password, None) => {
                    let kept = room.lock().house.password.clone();
                    let needs = || Refusal::new(Code::BAD_REQUEST, "a room with a password needs one: send it too");
                    Some(kept.ok_or_else(needs)?)
                }
                _ => None,
            }
        }
        (None, _) if kind == EventKind::SETTINGS => {
            return Err(Refusal::new(Code::BAD_REQUEST, "new settings were not sent"));
        }
        _ => None,
    };
    let deed = Deed {
        shared: Arc::clone(shared),
        actor: Arc::clone(&actor),
        address,
        admin,
        ruling,
        action,
        target,
        password,
        said_by,
    };
    let (done, answer) = oneshot::channel();
    let id = room.id;
    let decide = Box::new(move |state: &mut State| deed.decide(id, state, moderate));
    let submitted = Arc::clone(&room);
    shared.commits.submit(Submission::Act(Act { room: submitted, author: actor, decide, done }));
    let told = match answer.await {
        Ok(Ok(seq)) => seq,
        Ok(Err(NotDone { code, text })) => return Err(Refusal::new(code, text)),
        Err(_) => return Err(Refusal::new(Code::SHUTTING_DOWN, "the server is stopping")),
    };
    if let Some(seq) = deletion {
        redact(shared, &room, seq).await?;
    }
    Ok(told)
}

/// The room that somebody acts on. Admins keep order in rooms that they are not in, too, and so does whom the application
/// lets.
pub(super) fn place(shared: &Shared, conn: &Conn, room: RoomId, admin: bool) -> Option<Arc<Room>> {
    let elsewhere = |room: &Arc<Room>| admin || (shared.interests.permission && room.pair.is_none());
    membership::room_of(conn, room).or_else(|| shared.rooms.by_id(room).filter(elsewhere))
}

/// Who has said this; refused if it is no message: who was banned, and by whom, stays in the log.
async fn is_removable(shared: &Shared, room: &Room, seq: Seq) -> Result<String, Refusal> {
    let before = Seq::new(seq.get().saturating_sub(1));
    let page = shared.store.read(room.id, before, 1).await.map_err(|e| {
        tracing::error!(room = %room.name, "a message could not be looked up: {e}");
        Refusal::later(Code::STORE_FAILED, "the message could not be looked up; try again")
    })?;
    let batch = page.batches.iter().find(|batch| batch.first <= seq && seq <= batch.last());
    let kind = batch.and_then(|batch| {
        let nth = usize::try_from(seq.get() - batch.first.get()).ok()?;
        batch.new.events.iter().nth(nth).map(|(kind, _)| kind)
    });
    match kind {
        None => Err(Refusal::new(Code::BAD_REQUEST, "there is no such message")),
        Some(EventKind::REMOVED) => Err(Refusal::new(Code::BAD_REQUEST, "this message was removed already")),
        Some(kind) if (EventKind::TOPIC.0..=EventKind::ALIAS.0).contains(&kind.0) => {
            Err(Refusal::new(Code::BAD_REQUEST, format!("{} is no message, and stays", seq)))
        }
        Some(_) => Ok(batch.map(|batch| batch.new.author.alias.to_string()).unwrap_or_default()),
    }
}

/// Remove an event's body, really.
async fn redact(shared: &Shared, room: &Room, seq: Seq) -> Result<(), Refusal> {
    let redacted = shared.store.redact(room.id, seq, EventKind::REMOVED, b"").await;
    room.lock().tail.redact(seq, EventKind::REMOVED, b"");
    match redacted {
        Ok(true) => Ok(()),
        Ok(false) => Err(Refusal::new(Code::BAD_REQUEST, "there is no such message any more")),
        Err(e) => {
            tracing::error!(room = %room.name, "a message could not be removed: {e}");
            Err(Refusal::later(Code::STORE_FAILED, "the message may still be there; try again"))
        }
    }
}

fn target(shared: &Shared, room: &Room, moderate: &Moderate) -> Result<Option<Target>, Refusal> {
    let needs = !matches!(moderate.act, EventKind::TOPIC | EventKind::SETTINGS | EventKind::DELETION);
    let Some(whom) = moderate.whom.as_ref().filter(|_| needs) else {
        return if needs { Err(Refusal::new(Code::BAD_REQUEST, "say to whom")) } else { Ok(None) };
    };
    let bans = moderate.act == EventKind::BAN || moderate.act == EventKind::UNBAN;
    if let (Whom::Name(name), true) = (whom, bans)
        && let Some(pattern) = BanTarget::pattern(name)
    {
        // One that was taken before there were rules can still be taken back.
        if moderate.act == EventKind::BAN {
            pattern.check().map_err(|e| Refusal::new(Code::BAD_REQUEST, e.to_string()))?;
        }
        return Ok(Some(Target::Pattern(pattern)));
    }
    if let Some(somebody) = find(shared, whom) {
        return Ok(Some(Target::Somebody(somebody)));
    }
    // A guest who is gone: what was done to them can still be undone.
    let state = room.lock();
    let standing = state.house.standings.values().find(|standing| match whom {
        Whom::Id(id) => standing.principal == *id,
        Whom::Name(name) => names::is_called(&standing.alias, name),
    });
    if let Some(standing) = standing {
        let (principal, kind, alias) = (standing.principal, standing.kind, standing.alias.clone());
        return Ok(Some(Target::Somebody(Arc::new(Author { principal, kind, alias }))));
    }
    let named = |ban: &&BanRecord| matches!(whom, Whom::Name(name) if ban.target.to_string().to_lowercase() == name.to_lowercase());
    match state.house.bans.iter().find(named) {
        Some(ban) if bans => Ok(Some(Target::Pattern(ban.target.clone()))),
        _ => Err(unknown(whom)),
    }
}
