//! Somebody is called otherwise: on all their devices and in all their rooms, in one commit.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::channel::oneshot;

use super::attach;
use super::banning;
use super::committer::{Act, Decided, NotDone, Submission, Together};
use super::conn::{Close, Conn};
use super::guard;
use super::house::Who;
use super::login;
use super::membership::Refusal;
use super::moderation::{body, find, words};
use super::people;
use super::permission;
use super::rooms::{Room, State};
use super::shared::{Clock, Shared};
use super::toll;
use crate::handler::{Admission, Ruling};
use crate::id::{Alias, PrincipalId, RoomId};
use crate::protocol::message::{ChangeAlias, EventKind, Renamed, RoomChange, Whom};
use crate::protocol::{Code, PrincipalKind};
use crate::room::permission::{Ticket, may};
use crate::room::{Action, Author, Role};
use crate::store::{AccountRecord, Change, StandingRecord, StoreError};

/// Why somebody is called as before.
#[derive(Debug)]
pub(super) enum NotRenamed {
    /// Somebody else has the alias, or one that looks like it; this one is free.
    Taken(Option<Alias>),
    /// They are being renamed already.
    Busy,
    /// They are not there any more.
    Gone,
    Store(StoreError),
}

/// While it is there, nobody else renames or deletes this person.
pub(super) struct Renaming {
    shared: Arc<Shared>,
    principal: PrincipalId,
}

impl Renaming {
    pub(super) fn begin(shared: &Arc<Shared>, principal: PrincipalId) -> Option<Self> {
        let begun = shared.people.begin_renaming(principal);
        begun.then(|| Self { shared: Arc::clone(shared), principal })
    }
}

impl Drop for Renaming {
    fn drop(&mut self) {
        self.shared.people.end_renaming(self.principal);
    }
}

/// Answer a `ChangeAlias`.
pub(super) async fn change(shared: &Arc<Shared>, conn: &Conn, ask: &ChangeAlias) -> Result<(), Refusal> {
    let Some(identity) = conn.identity() else { return Ok(()) };
    let session = &identity.session;
    let who = session.author();
    let alias = Alias::parse(&ask.alias).and_then(Alias::unreserved);
    let alias = alias.map_err(|e| Refusal::new(Code::ALIAS_INVALID, e.to_string()))?;
    if alias == who.alias {
        conn.queue(&Renamed { request: ask.request, alias: alias.to_string() });
        return Ok(());
    }
    let without_password = shared.people.account(who.principal).is_some_and(|account| account.password.is_none());
    if without_password && shared.authenticator.is_some() {
        let text = "your alias comes from the application that knows you; change it there";
        return Err(Refusal::new(Code::NOT_PERMITTED, text));
    }
    toll::rename(shared, conn).map_err(Refusal::limited)?;
    let allowed = check(shared, conn, &who, &alias).await?;
    if let (Some(handler), true, Some(peer)) = (&shared.handler, shared.interests.rename, conn.peer(&who)) {
        let limit = shared.config.handler_timeout;
        match guard::call("rename", session.id, limit, async { handler.rename(peer, &alias).await }).await {
            Ok(Admission::Allow) => {}
            Ok(Admission::Refuse(reason)) => return Err(Refusal::new(Code::ALIAS_REFUSED, reason)),
            Err(guard::HandlerFailed) => {
                return Err(Refusal::later(Code::HANDLER_FAILED, "the server's application failed; try again"));
            }
        }
    }
    let asked = Asked { session: session.id, request: ask.request, allowed };
    match rename(shared, &who, &alias, Some(asked)).await {
        Ok(()) => Ok(()),
        Err(NotRenamed::Taken(free)) => {
            let refusal = Refusal::new(Code::ALIAS_IN_USE, format!("the alias {alias} is in use; choose another one"));
            Err(Refusal { suggestion: free.map(|free| free.to_string()), ..refusal })
        }
        Err(NotRenamed::Busy) => Err(Refusal::later(Code::BUSY, "your alias is being changed already; try again")),
        Err(NotRenamed::Gone) => Err(Refusal::new(Code::NO_SUCH_PERSON, "you are not here any more")),
        Err(NotRenamed::Store(e)) => {
            tracing::error!("an alias could not be kept: {e}");
            Err(Refusal::later(Code::STORE_FAILED, "the server can't keep this at the moment; try again"))
        }
    }
}

/// By whom it is asked that somebody is called otherwise.
pub(super) struct Asked {
    session: crate::id::SessionId,
    request: u32,
    /// Rooms in which they are muted, and the application lets them all the same.
    allowed: BTreeSet<RoomId>,
}

/// Whether somebody may be called so, where they are. Returns the rooms where only the application lets them.
async fn check(shared: &Shared, conn: &Conn, who: &Arc<Author>, alias: &Alias) -> Result<BTreeSet<RoomId>, Refusal> {
    let (now, address) = (Clock::timestamp(), conn.address.map(|a| a.ip()));
    let named = Author { alias: alias.clone(), ..Author::clone(who) };
    if shared.people.ban_of(&named, address, now).is_some() {
        return Err(Refusal::new(Code::BANNED, "who is called so is banned from this server; choose another alias"));
    }
    let admin = shared.people.is_admin(who.principal);
    let mut allowed = BTreeSet::new();
    for (id, room) in rooms(shared, who.principal).iter().filter(|(_, room)| room.pair.is_none()) {
        let told = {
            let state = room.lock();
            let here = state.members.has(who.principal);
            let role = |author| state.house.role(Who { author, address, admin, here }, now);
            if role(&named) == Role::Banned && role(who) != Role::Banned {
                let text = format!("who is called so is banned from {}; choose another alias, or leave it", room.name);
                return Err(Refusal::new(Code::ROOM_BANNED, text));
            }
            if state.house.muted_namesake(&named, now).is_some() {
                let text = format!("who is called so may not talk in {}; choose another alias, or leave it", room.name);
                return Err(Refusal::new(Code::MUTED, text));
            }
            may(role(who), Action::ChangeAlias, &state.house.settings, Ticket::default())
        };
        // Of a room that somebody is about to leave, or to come into, nothing follows.
        let told = told.err().filter(|code| *code == Code::MUTED);
        let ruling = permission::ask(shared, conn, who, room, Action::ChangeAlias, None, told.is_none()).await?;
        match told {
            Some(_) if ruling == Ruling::Allow => drop(allowed.insert(*id)),
            Some(code) => {
                let text = format!("{} ({}): who may not talk may not change their alias", words(code), room.name);
                return Err(Refusal::new(code, text));
            }
            None => {}
        }
    }
    Ok(allowed)
}

/// The rooms that somebody is in, or is a member of.
fn rooms(shared: &Shared, principal: PrincipalId) -> BTreeMap<RoomId, Arc<Room>> {
    let ids = shared.people.rooms(principal);
    let mut rooms: BTreeMap<_, _> = ids.into_iter().filter_map(|id| Some((id, shared.rooms.by_id(id)?))).collect();
    for session in shared.sessions.of(principal) {
        rooms.extend(session.rooms.lock().iter().map(|member| (member.room.id, Arc::clone(&member.room))));
    }
    rooms
}

/// Call somebody otherwise. Resolves once that is kept, and told.
pub(super) async fn rename(
    shared: &Arc<Shared>,
    who: &Arc<Author>,
    alias: &Alias,
    asked: Option<Asked>,
) -> Result<(), NotRenamed> {
    let (done, renamed) = oneshot::channel();
    let (shared_, principal, alias) = (Arc::clone(shared), who.principal, alias.clone());
    // On a task of its own: an asker who hangs up leaves nothing half done.
    shared.engine.spawn(async move {
        let _ = done.send(carry_out(&shared_, principal, alias, asked).await);
    });
    renamed.await.unwrap_or(Err(NotRenamed::Gone))
}

async fn carry_out(
    shared: &Arc<Shared>,
    principal: PrincipalId,
    alias: Alias,
    asked: Option<Asked>,
) -> Result<(), NotRenamed> {
    let renaming = Renaming::begin(shared, principal).ok_or(NotRenamed::Busy)?;
    // As they are called now: another device may have changed it since this one asked.
    let who = find(shared, &Whom::Id(principal)).ok_or(NotRenamed::Gone)?;
    let claimed = claim(shared, &who, &alias);
    let result = match claimed {
        Ok(account) => {
            let kept = submit(shared, &who, &alias, account, asked.as_ref().map(|asked| &asked.allowed)).await;
            if kept.is_err() {
                give_back(shared, &who, &alias);
            }
            kept.map_err(NotRenamed::Store)
        }
        Err(e) => Err(e),
    };
    drop(renaming);
    result?;
    tracing::info!(%principal, from = %who.alias, to = %alias, "called otherwise");
    for session in shared.sessions.of(principal) {
        let request = asked.as_ref().filter(|asked| asked.session == session.id).map_or(0, |asked| asked.request);
        session.queue(&Renamed { request, alias: alias.to_string() });
        if let Some(conn) = session.conn() {
            conn.kick(shared);
        }
        // What continues a guest's session says under which alias. (An account's is its account's.)
        let record = session.record(Clock::timestamp()).filter(|_| session.kind == PrincipalKind::Guest);
        record.into_iter().for_each(|record| shared.keep(Change::PutSession(record)));
    }
    // A password that was changed meanwhile was kept with the old alias, or this alias with the old password.
    shared.people.change(principal, |_| ()).into_iter().for_each(|change| shared.keep(change));
    hold_bans(shared, principal).await;
    Ok(())
}

/// A ban that came between the question whether they may be called so and this, has not met them: it does now.
async fn hold_bans(shared: &Arc<Shared>, principal: PrincipalId) {
    for session in shared.sessions.of(principal) {
        let address = session.conn().and_then(|conn| conn.address).map(|address| address.ip());
        if let Some(ban) = shared.people.ban_of(&session.author(), address, Clock::timestamp()) {
            login::revoke(shared, &session, Close::bye(Code::BANNED, attach::banned(&ban))).await;
        }
    }
    for room in rooms(shared, principal).values().filter(|room| room.pair.is_none()) {
        banning::put_out_banned(shared, room, "who is called so is banned from this room", None);
    }
}

/// Take the new alias, so that nobody else can; the old one is still theirs, too.
fn claim(shared: &Shared, who: &Author, alias: &Alias) -> Result<Option<AccountRecord>, NotRenamed> {
    if who.kind == PrincipalKind::Account {
        let mut account = shared.people.account(who.principal).ok_or(NotRenamed::Gone)?;
        let free = shared.sessions.unless_claimed(alias, || shared.people.reserve(who.principal, alias));
        account.alias = alias.clone();
        return if free == Some(true) { Ok(Some(account)) } else { Err(NotRenamed::Taken(None)) };
    }
    let session = shared.sessions.of(who.principal).first().cloned().ok_or(NotRenamed::Gone)?;
    let reserved = |skeleton: &str| shared.people.is_reserved(skeleton);
    shared
        .sessions
        .claim_another(&session, alias, reserved)
        .map(|()| None)
        .map_err(|free| NotRenamed::Taken(Some(free)))
}

fn give_back(shared: &Shared, who: &Author, alias: &Alias) {
    if who.kind == PrincipalKind::Account {
        shared.people.unreserve(who.principal, alias);
    } else if let Some(session) = shared.sessions.of(who.principal).first() {
        shared.sessions.give_back(session);
    }
}

/// One commit: the account, and an event in every room.
async fn submit(
    shared: &Arc<Shared>,
    who: &Arc<Author>,
    alias: &Alias,
    account: Option<AccountRecord>,
    allowed: Option<&BTreeSet<RoomId>>,
) -> Result<(), StoreError> {
    let mut changes: Vec<Change> = account.clone().map(Change::PutAccount).into_iter().collect();
    let (mut acts, mut quiet) = (Vec::new(), Vec::new());
    for room in rooms(shared, who.principal).into_values() {
        // An alias is something said, too: who is blocked doesn't get to say it.
        let state = room.lock();
        if state.house.blocked {
            let standing = state.house.standings.get(&who.principal).cloned();
            quiet.extend(
                standing.map(|standing| (Arc::clone(&room), StandingRecord { alias: alias.clone(), ..standing })),
            );
        } else {
            drop(state);
            let allowed = allowed.is_some_and(|allowed| allowed.contains(&room.id));
            acts.push(act(room, who, alias, allowed));
        }
    }
    changes.extend(quiet.iter().map(|(_, standing)| Change::PutStanding(standing.clone())));
    let (done, kept) = oneshot::channel();
    let (who, alias) = (Arc::clone(who), alias.clone());
    let then = Box::new(move |shared: &Arc<Shared>| {
        for (room, standing) in quiet {
            room.lock().house.put(standing);
        }
        settle(shared, &who, &alias);
    });
    shared.commits.submit(Submission::Together(Together { changes, acts, then, done }));
    kept.await.unwrap_or_else(|_| Err(StoreError::new(crate::store::StoreErrorKind::Closed, "the server is stopping")))
}

/// It is kept: from here on they are called so. Before anybody is shown the events that tell it.
fn settle(shared: &Shared, who: &Author, alias: &Alias) {
    let author = Arc::new(Author { alias: alias.clone(), ..who.clone() });
    if who.kind == PrincipalKind::Account {
        shared.people.renamed(who.principal, alias);
    }
    for session in shared.sessions.of(who.principal) {
        shared.sessions.renamed(&session, &author);
    }
}

/// A session of an account begins: the account may have been renamed since it logged in.
pub(super) fn catch_up(shared: &Shared, conn: &Conn, session: &super::session::Session) {
    let account = shared.people.account(session.principal);
    if let Some(account) = account.filter(|account| account.alias != session.author().alias) {
        session.rename(&people::author(&account));
        conn.queue(&Renamed { request: 0, alias: account.alias.to_string() });
    }
}

/// The event that tells a room.
fn act(room: Arc<Room>, who: &Arc<Author>, alias: &Alias, allowed: bool) -> Act {
    let (id, principal, alias) = (room.id, who.principal, alias.clone());
    let decide = move |state: &mut State| {
        let standing = state.house.standings.get(&principal).cloned();
        let member = standing.as_ref().is_some_and(|standing| standing.member) || state.members.has(principal);
        let muted = standing.as_ref().and_then(|standing| standing.muted_until);
        if !member || (!allowed && muted.is_some_and(|until| until > Clock::timestamp())) {
            return Err(NotDone { code: Code::NOT_PERMITTED, text: format!("not told in {id}") });
        }
        let change = RoomChange { text: Some(alias.to_string()), ..RoomChange::default() };
        let standing = standing.map(|standing| StandingRecord { alias, ..standing });
        Ok(Decided {
            event: (EventKind::ALIAS, body(&change)),
            changes: standing.iter().cloned().map(Change::PutStanding).collect(),
            apply: Box::new(|_, state| standing.into_iter().for_each(|standing| state.house.put(standing))),
            then: None,
        })
    };
    let (done, _) = oneshot::channel();
    Act { room, author: Arc::clone(who), decide: Box::new(decide), done }
}
