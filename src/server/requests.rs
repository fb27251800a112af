//! What people ask for about themselves and each other: accounts, sessions, lists, directs, blocks.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::channel::oneshot;

use super::alias::Renaming;
use super::books;
use super::committer::{Submission, Together};
use super::conn::{Close, Conn};
use super::guess::{Guess, guesses};
use super::heir;
use super::house;
use super::login;
use super::membership::{self, Refusal, answer};
use super::moderation::{find, words};
use super::people;
use super::reader::Reader;
use super::rooms::{By, Room, person};
use super::shared::{Clock, Shared};
use super::toll;
use crate::auth::password;
use crate::id::{PrincipalId, RoomName};
use crate::limit::What;
use crate::protocol::message::{
    Away, Block, ChangeAlias, ChangePassword, DeleteAccount, Direct, Done, EndSession, ListAudit, ListBans,
    ListOwnEvents, ListRooms, ListSessions, Notice, Profile, Rank, RoomEntry, RoomsPage, SessionEntry, SessionsPage,
    Whois, Whom,
};
use crate::protocol::{Code, PrincipalKind};
use crate::room::Author;
use crate::store::{AccountRecord, Change};

/// Entries of a list on one page, at most: it has to fit into a frame that any client takes.
const MAX_PAGE: u32 = 50;

/// Bytes behind which a page of rooms, or of sessions, ends.
const PAGE_BYTES: usize = 12 * 1024;

/// The longest text of somebody who is away, in characters.
const MAX_AWAY: usize = 200;

/// A question about people that may wait.
#[derive(Debug)]
pub(super) enum Ask {
    ChangePassword(ChangePassword),
    DeleteAccount(DeleteAccount),
    ChangeAlias(ChangeAlias),
    EndSession(EndSession),
    Direct(Direct),
    Block(Block),
    Audit(ListAudit),
    Bans(ListBans),
    OwnEvents(ListOwnEvents),
}

/// Answer what may wait.
pub(super) async fn ask(reader: &mut Reader, ask: Ask) -> Result<(), Close> {
    let (shared, conn) = (Arc::clone(&reader.shared), Arc::clone(&reader.conn));
    let Some(identity) = conn.identity() else { return Ok(()) };
    let author = &identity.session.author();
    let (request, answered) = match ask {
        Ask::ChangePassword(ask) => (ask.request, change_password(&shared, &conn, author, ask).await),
        Ask::DeleteAccount(ask) => (ask.request, delete_account(&shared, &conn, author, ask).await),
        Ask::ChangeAlias(ask) => {
            // What was said before is said under the alias of before.
            reader.settle().await;
            if let Err(refusal) = super::alias::change(&shared, &conn, &ask).await {
                answer(&conn, ask.request, refusal);
            }
            return Ok(());
        }
        Ask::EndSession(ask) => (ask.request, end_session(&shared, author, ask).await),
        Ask::Block(ask) => (ask.request, block(&shared, &conn, author, ask).await),
        Ask::Direct(ask) => {
            let request = ask.request;
            if let Err(refusal) = direct(&shared, &conn, ask) {
                answer(&conn, request, refusal);
            }
            return Ok(());
        }
        Ask::OwnEvents(ask) => {
            match super::export::own_events(&shared, &conn, ask).await {
                Ok(page) => conn.queue(&page),
                Err(refusal) => answer(&conn, ask.request, refusal),
            }
            return Ok(());
        }
        Ask::Bans(ask) => {
            let request = ask.request;
            match books::bans(&shared, &conn, ask).await {
                Ok(page) => conn.queue(&page),
                Err(refusal) => answer(&conn, request, refusal),
            }
            return Ok(());
        }
        Ask::Audit(ask) => {
            let request = ask.request;
            match books::audit(&shared, author, ask).await {
                Ok(page) => conn.queue(&page),
                Err(refusal) => answer(&conn, request, refusal),
            }
            return Ok(());
        }
    };
    match answered {
        Ok(()) => conn.queue(&Done { request, seq: None }),
        Err(refusal) => answer(&conn, request, refusal),
    }
    Ok(())
}

pub(super) fn store_failed() -> Refusal {
    Refusal::later(Code::STORE_FAILED, "the server can't keep this at the moment; try again")
}

/// Whether this is an account's password. Wrong ones count like failed logins.
async fn prove(shared: &Shared, conn: &Conn, who: &Author, secret: String) -> Result<(), Refusal> {
    login::private(shared, conn)?;
    let Some(hash) = shared.people.account(who.principal).and_then(|account| account.password) else {
        return Err(Refusal::new(Code::BAD_REQUEST, "you have no password here"));
    };
    // By who it is: another alias buys no more guesses.
    let guess = Guess::new(shared, conn, Some(guesses(who.principal))).at_home();
    if let Some(wait) = guess.wait() {
        let refusal = Refusal::new(Code::TOO_MANY_LOGINS, "too many passwords were wrong; try again later");
        return Err(Refusal { retry_after_ms: Some(wait), ..refusal });
    }
    let right = guess.verify(secret, Some(hash)).await;
    let right = right.map_err(|_| Refusal::later(Code::BUSY, "too many people log in at the moment; try again"))?;
    if right { Ok(()) } else { Err(Refusal::new(Code::AUTH_FAILED, "that is not the account's password")) }
}

async fn change_password(shared: &Arc<Shared>, conn: &Conn, who: &Author, ask: ChangePassword) -> Result<(), Refusal> {
    if !password::fits(&ask.new.0) {
        return Err(Refusal::new(Code::PASSWORD_INVALID, login::weak()));
    }
    prove(shared, conn, who, ask.old.0).await?;
    let hash = shared.login.hash(conn.address.map(|a| a.ip()), ask.new.0).await;
    let hash = hash.map_err(|_| Refusal::later(Code::BUSY, "too many people log in at the moment; try again"))?;
    let mine = conn.identity().map(|identity| identity.session.id);
    login::new_password(shared, who.principal, hash, Vec::new(), mine).await.map(drop).ok_or_else(store_failed)
}

async fn delete_account(shared: &Arc<Shared>, conn: &Conn, who: &Author, ask: DeleteAccount) -> Result<(), Refusal> {
    prove(shared, conn, who, ask.password.0).await?;
    delete(shared, who.principal).await
}

/// Delete an account: it leaves its rooms, its sessions end, its alias stays reserved.
pub(super) async fn delete(shared: &Arc<Shared>, principal: PrincipalId) -> Result<(), Refusal> {
    let renaming = Renaming::begin(shared, principal)
        .ok_or_else(|| Refusal::later(Code::BUSY, "the account's alias is being changed; try again"))?;
    let account = shared.people.account(principal);
    let mut account = account.ok_or_else(|| Refusal::new(Code::NO_SUCH_PERSON, "there is no such account"))?;
    let strike = |account: &mut AccountRecord| {
        (account.deleted, account.password, account.admin) = (true, None, false);
    };
    let owner = people::author(&account);
    strike(&mut account);
    // Also where it is no member: a rank, a mute or an invitation outlives that, but not the account.
    // And every direct that they had, also one that they have left: nobody is to write to them there.
    let has = |(a, b): (PrincipalId, PrincipalId)| a == principal || b == principal;
    let stands = |room: &Arc<Room>| room.pair.is_some_and(has) || room.lock().house.standings.contains_key(&principal);
    let rooms: Vec<Arc<Room>> = shared.rooms.all().into_iter().filter(stands).collect();
    let mut changes = vec![Change::PutAccount(account)];
    changes.extend(rooms.iter().map(|room| Change::DropStanding { room: room.id, principal }));
    let blocked = shared.people.blocked_by(principal);
    changes.extend(blocked.iter().map(|blocked| Change::DropBlock { principal, blocked: *blocked }));
    let codes = shared.people.void_codes(principal);
    changes.extend(codes.iter().map(|code| Change::DropCode(code.hash)));
    // At once when it is kept: what is decided behind that, meets an account that is deleted.
    let then = Box::new(move |shared: &Arc<Shared>| {
        // As it is now: it was changed meanwhile, perhaps.
        shared.people.change(principal, strike).into_iter().for_each(|change| shared.keep(change));
    });
    let (done, kept) = oneshot::channel();
    shared.commits.submit(Submission::Together(Together { changes, acts: Vec::new(), then, done }));
    if !matches!(kept.await, Ok(Ok(()))) {
        codes.into_iter().for_each(|code| shared.people.give_back(code));
        return Err(store_failed());
    }
    drop(renaming);
    let later = |room: &Arc<Room>| stands(room) && !rooms.iter().any(|known| known.id == room.id);
    let later: Vec<Arc<Room>> = shared.rooms.all().into_iter().filter(later).collect();
    later.iter().for_each(|room| shared.keep(Change::DropStanding { room: room.id, principal }));
    blocked.into_iter().for_each(|blocked| drop(shared.people.block(principal, blocked, false)));
    for room in rooms.into_iter().chain(later) {
        let owned = {
            let mut state = room.lock();
            let standing = state.house.standings.remove(&principal);
            state.house.deserted |= room.pair.is_some();
            state.house.changed();
            standing.is_some_and(|standing| standing.rank == Rank::Owner && room.pair.is_none())
        };
        if owned {
            heir::pass_on(shared, &room, &owner);
        }
        shared.people.left(principal, room.id);
        membership::put_out(shared, &room, principal, Code::GOODBYE, "your account was deleted", None);
    }
    login::revoke_all(shared, principal, None, "the account was deleted").await;
    shared.rooms.end_empty(|change| shared.keep(change));
    Ok(())
}

async fn end_session(shared: &Arc<Shared>, who: &Author, ask: EndSession) -> Result<(), Refusal> {
    let session = shared.sessions.find(ask.session).filter(|session| session.principal == who.principal);
    let session = session.ok_or_else(|| Refusal::new(Code::BAD_REQUEST, "you have no such session"))?;
    login::revoke(shared, &session, Close::bye(Code::SESSION_REVOKED, "another session of yours ended this one")).await;
    Ok(())
}

/// Answer a `ListSessions`.
pub(super) fn sessions(shared: &Shared, conn: &Conn, ask: ListSessions) {
    let Some(identity) = conn.identity() else { return };
    let mine = shared.sessions.of(identity.session.principal);
    let entry = |session: &Arc<super::session::Session>| {
        let other = session.conn();
        SessionEntry {
            session: session.id,
            current: session.id == identity.session.id,
            connected: other.is_some(),
            address: other.as_ref().and_then(|other| other.address).map(|address| address.to_string()),
            agent: other.as_ref().and_then(|other| Some(other.identity()?.agent.clone())).unwrap_or_default(),
        }
    };
    // In the order of their ids, as they are listed.
    let mut rest = mine.iter().filter(|session| ask.after.is_none_or(|after| session.id > after)).peekable();
    let (mut sessions, mut bytes) = (Vec::new(), 0);
    while sessions.len() < MAX_PAGE as usize
        && bytes < PAGE_BYTES
        && let Some(session) = rest.next()
    {
        let entry = entry(session);
        bytes += 64 + entry.agent.len();
        sessions.push(entry);
    }
    let next = sessions.last().map(|last| last.session).filter(|_| rest.peek().is_some());
    conn.queue(&SessionsPage { request: ask.request, sessions, next });
}

/// Answer a `ListRooms`: public ones, those with a password, and one's own.
pub(super) fn rooms(shared: &Shared, conn: &Conn, ask: ListRooms) {
    let Some(identity) = conn.identity() else { return };
    if let Err(wait) = toll::request(shared, conn, What::Reads) {
        return answer(conn, ask.request, Refusal::limited(wait));
    }
    let principal = identity.session.principal;
    let (after, limit) = (ask.after.and_then(|name| RoomName::parse(&name).ok()), ask.limit.clamp(1, MAX_PAGE));
    // What only some may see isn't even looked at: there may be very many such rooms.
    let (page, mut more) = shared.rooms.page_listed(after.as_ref(), limit as usize);
    let mut rooms: BTreeMap<RoomName, Arc<Room>> = page.into_iter().map(|room| (room.name.clone(), room)).collect();
    for session in shared.sessions.of(principal) {
        let own = session.rooms.lock().iter().map(|member| Arc::clone(&member.room)).collect::<Vec<_>>();
        let own = own.into_iter().filter(|room| room.pair.is_none() && after.as_ref().is_none_or(|a| room.name > *a));
        rooms.extend(own.map(|room| (room.name.clone(), room)));
    }
    let (mut entries, mut bytes) = (Vec::new(), 0);
    for room in rooms.into_values() {
        if entries.len() == limit as usize || bytes > PAGE_BYTES {
            more = true;
            break;
        }
        let state = room.lock();
        if state.house.is_listed() || state.members.has(principal) {
            bytes += room.name.as_str().len() + state.house.settings.topic.len() + 32;
            let (name, members) = (room.name.to_string(), state.members.count() as u32);
            entries.push(RoomEntry { name, members, settings: state.house.settings.clone() });
        }
    }
    conn.queue(&RoomsPage { request: ask.request, rooms: entries, more });
}

async fn block(shared: &Arc<Shared>, conn: &Conn, who: &Author, ask: Block) -> Result<(), Refusal> {
    toll::request(shared, conn, What::Joins).map_err(Refusal::limited)?;
    let other = someone(shared, &ask.whom)?;
    if other.principal == who.principal {
        return Err(Refusal::new(Code::BAD_REQUEST, "that is you"));
    }
    let change = shared.people.block(who.principal, other.principal, ask.blocked);
    let many = "you have blocked as many people as one may: unblock somebody first";
    let change = change.ok_or_else(|| Refusal::new(Code::NOT_PERMITTED, many))?;
    if let Some(room) = shared.rooms.of_pair(who.principal, other.principal) {
        let mut state = room.lock();
        state.house.blocked = shared.people.are_apart(who.principal, other.principal);
        state.house.changed();
    }
    shared.keep_surely(vec![change]).await.map_err(|_| store_failed())
}

fn someone(shared: &Shared, whom: &Whom) -> Result<Arc<Author>, Refusal> {
    find(shared, whom).ok_or_else(|| {
        let name = match whom {
            Whom::Name(name) => name.chars().take(64).collect::<String>(),
            Whom::Id(id) => id.to_string(),
        };
        Refusal::new(Code::NO_SUCH_PERSON, format!("nobody is known as {}", crate::text::display_line(&name)))
    })
}

/// Open the direct of two.
fn direct(shared: &Arc<Shared>, conn: &Arc<Conn>, ask: Direct) -> Result<(), Refusal> {
    let Some(identity) = conn.identity() else { return Ok(()) };
    toll::request(shared, conn, What::Joins).map_err(Refusal::limited)?;
    let (session, other) = (&identity.session, someone(shared, &ask.whom)?);
    let who = &session.author();
    if other.principal == who.principal {
        return Err(Refusal::new(Code::BAD_REQUEST, "that is you"));
    }
    if who.kind == PrincipalKind::Account && shared.people.account(who.principal).is_none() {
        return Err(Refusal::new(Code::NO_SUCH_PERSON, "your account was deleted"));
    }
    if shared.people.are_apart(who.principal, other.principal) {
        return Err(Refusal::new(Code::BLOCKED, words(Code::BLOCKED)));
    }
    let known = shared.rooms.of_pair(who.principal, other.principal).is_some();
    if !known {
        toll::request(shared, conn, What::Rooms).map_err(Refusal::limited)?;
    }
    let from = conn.address.map(|a| a.ip()).filter(|_| who.kind == PrincipalKind::Guest);
    let from = from.filter(|ip| shared.tolls.as_ref().is_some_and(|tolls| tolls.hold_for(*ip)));
    let room = shared
        .rooms
        .direct(who, &other, from, Clock::timestamp(), |change| shared.keep(change))
        .map_err(|full| Refusal::new(Code::TOO_MANY_ROOMS, full.to_string()))?;
    {
        let mut state = room.lock();
        for author in [who, &other] {
            let mut standing = state.house.standing(room.id, author);
            if !standing.member || standing.alias != author.alias {
                (standing.member, standing.alias) = (true, author.alias.clone());
                shared.keep(house::record(&standing));
                state.house.put(standing);
            }
            shared.people.joined(author.principal, room.id);
        }
    }
    if let Some(member) = conn.member(room.id) {
        let state = room.lock();
        let place = (ask.request, member.cursor(), None);
        conn.queue(&room.joined(&state, &shared.people, who.principal, Clock::timestamp(), place));
    } else if membership::enter(shared, conn, session, &room, By::Standing, ask.request).is_err() {
        end_if_deserted(shared, &room, [who, &other]);
        return Err(Refusal::later(Code::NO_SUCH_ROOM, "the direct has just ended; try again"));
    }
    end_if_deserted(shared, &room, [who, &other]);
    membership::everywhere(shared, &room, who.principal);
    membership::everywhere(shared, &room, other.principal);
    Ok(())
}

/// A guest may be gone before their direct was noted as theirs, and have left it behind.
fn end_if_deserted(shared: &Arc<Shared>, room: &Arc<Room>, pair: [&Arc<Author>; 2]) {
    let is_gone = |who: &&Arc<Author>| {
        let sessions = shared.sessions.of(who.principal);
        who.kind == PrincipalKind::Guest && sessions.iter().all(|session| session.has_ended())
    };
    if pair.iter().any(is_gone) {
        membership::close(shared, room, "the guest whose direct this was is gone");
    }
}

/// Answer a `Whois`.
pub(super) fn whois(shared: &Shared, conn: &Conn, ask: &Whois) {
    if let Err(wait) = toll::request(shared, conn, What::Reads) {
        return answer(conn, ask.request, Refusal::limited(wait));
    }
    let who = match someone(shared, &ask.whom) {
        Ok(who) => who,
        Err(refusal) => return answer(conn, ask.request, refusal),
    };
    let asker = conn.identity().map(|identity| identity.session.principal);
    let online = shared.sessions.of(who.principal).iter().any(|session| session.conn().is_some());
    let account = shared.people.account(who.principal);
    conn.queue(&Profile {
        request: ask.request,
        person: person(&who, 0),
        online,
        away: shared.people.away(who.principal),
        seen: account.as_ref().filter(|_| !online).map(|account| account.seen.as_millis()),
        admin: account.as_ref().is_some_and(|account| account.admin),
        created: account.filter(|_| Some(who.principal) == asker).map(|account| account.created.as_millis()),
    });
}

/// Answer an `Away`.
pub(super) fn away(shared: &Arc<Shared>, conn: &Conn, ask: Away) {
    let Some(identity) = conn.identity() else { return };
    // In every room that they are in it is told like something said.
    if let Err(wait) = toll::request(shared, conn, What::Messages) {
        return answer(conn, ask.request, Refusal::limited(wait));
    }
    let text = ask.text.map(|text| text.chars().take(MAX_AWAY).collect::<String>());
    let text = text.map(|text| crate::text::display_line(&text).into_owned());
    let principal = identity.session.principal;
    if shared.people.set_away(principal, text.clone()) {
        let text: Option<Arc<str>> = text.map(Arc::from);
        let sessions = shared.sessions.of(principal);
        let rooms = sessions.iter().flat_map(|session| {
            let rooms = session.rooms.lock();
            rooms.iter().map(|member| (member.room.id, Arc::clone(&member.room))).collect::<Vec<_>>()
        });
        for room in rooms.collect::<BTreeMap<_, _>>().into_values() {
            room.note_away(&identity.session.author(), text.clone());
            shared.flush(&room);
        }
    }
    conn.queue(&Done { request: ask.request, seq: None });
}

/// Tell somebody something, on every connection that they have.
pub(super) fn tell(shared: &Arc<Shared>, principal: PrincipalId, text: &str) {
    let notice = Notice { text: text.to_owned(), at: Clock::timestamp().as_millis() };
    for session in shared.sessions.of(principal) {
        session.queue(&notice);
        if let Some(conn) = session.conn() {
            conn.kick(shared);
        }
    }
}
