//! Joining and leaving rooms.

use std::sync::Arc;

use futures::channel::oneshot;

use super::committer::{Act, Decided, Submission};
use super::conn::{Close, Conn};
use super::guard;
use super::guess::Guess;
use super::house::{self, Who, Why};
use super::login;
use super::moderation::{body, terms, words};
use super::permission;
use super::reader::Reader;
use super::rooms::{By, Entered, Member, NotEntered, Room, State};
use super::session::Session;
use super::shared::{Clock, Shared};
use super::toll;
use crate::handler::{Admission, Peer, Ruling};
use crate::id::{PrincipalId, RoomId, RoomName, Seq};
use crate::limit::What;
use crate::protocol::message::{
    CreateRoom, ErrorReply, EventKind, Join, Leave, Left, Rank, RoomChange, RoomKind, RoomSettings, SkipReason, Skipped,
};
use crate::protocol::{Code, PrincipalKind};
use crate::room::{Action, Author};
use crate::store::Change;

/// Why somebody doesn't get what they ask for.
pub(super) struct Refusal {
    pub(super) code: Code,
    pub(super) text: String,
    pub(super) retry_after_ms: Option<u32>,
    /// What would have worked.
    pub(super) suggestion: Option<String>,
}

impl Refusal {
    pub(super) fn new(code: Code, text: impl Into<String>) -> Self {
        Self { code, text: text.into(), retry_after_ms: None, suggestion: None }
    }

    pub(super) fn limited(retry_after_ms: u32) -> Self {
        Self { retry_after_ms: Some(retry_after_ms), ..Self::new(Code::RATE_LIMITED, toll::TEXT) }
    }

    pub(super) fn later(code: Code, text: impl Into<String>) -> Self {
        Self { retry_after_ms: Some(1000), ..Self::new(code, text) }
    }
}

/// Answer a request that was refused.
pub(super) fn answer(conn: &Conn, request: u32, refusal: Refusal) {
    let Refusal { code, text, retry_after_ms, suggestion } = refusal;
    let (request, fatal) = (Some(request), false);
    conn.queue(&ErrorReply { code, text, request, fatal, retry_after_ms, suggestion });
}

/// How a room is that is to be made.
struct Plan {
    settings: RoomSettings,
    /// As it was sent; the hash once it [is hashed](Self::hashed).
    password: Option<String>,
}

/// Answer a `Join`, or a `JoinWith`.
pub(super) async fn join(reader: &mut Reader, join: Join, password: Option<String>) -> Result<(), Close> {
    let (shared, conn) = (Arc::clone(&reader.shared), Arc::clone(&reader.conn));
    if let Err(refusal) = try_join(&shared, &conn, &join, password, None).await {
        answer(&conn, join.request, refusal);
    }
    Ok(())
}

/// Answer a `CreateRoom`.
pub(super) async fn create(reader: &mut Reader, create: CreateRoom) -> Result<(), Close> {
    let (shared, conn) = (Arc::clone(&reader.shared), Arc::clone(&reader.conn));
    let CreateRoom { request, name, settings, password } = create;
    let join = Join { request, name };
    let plan = Plan { settings, password: password.map(|password| password.0) };
    if let Err(refusal) = try_join(&shared, &conn, &join, None, Some(plan)).await {
        answer(&conn, request, refusal);
    }
    Ok(())
}

impl Plan {
    fn check(&self, shared: &Shared) -> Result<(), Refusal> {
        check(&self.settings, shared.config.max_event)?;
        if self.settings.kind == RoomKind::Password && self.password.is_none() {
            return Err(Refusal::new(Code::BAD_REQUEST, "a room with a password needs one: send it too"));
        }
        Ok(())
    }

    /// It takes long: to be asked for once it is known that the room may be made.
    async fn hashed(self, shared: &Shared, conn: &Conn) -> Result<Self, Refusal> {
        let password = match self.password {
            Some(password) if self.settings.kind == RoomKind::Password => Some(hash(shared, conn, password).await?),
            _ => None,
        };
        Ok(Self { password, ..self })
    }
}

/// Hash a room's password.
pub(super) async fn hash(shared: &Shared, conn: &Conn, password: String) -> Result<String, Refusal> {
    if password.is_empty() || password.len() > crate::auth::password::MAX_BYTES {
        return Err(Refusal::new(Code::PASSWORD_INVALID, "a room's password has 1 to 1024 bytes"));
    }
    let hash = shared.login.hash(conn.address.map(|a| a.ip()), password).await;
    hash.map_err(|_| Refusal::later(Code::BUSY, "too many passwords are being checked; try again"))
}

/// Whether a room may be like this.
pub(super) fn check(settings: &RoomSettings, max_event: u32) -> Result<(), Refusal> {
    if matches!(settings.kind, RoomKind::Other(_)) {
        return Err(Refusal::new(Code::BAD_REQUEST, "this server doesn't know this kind of room"));
    }
    topic(&settings.topic, max_event)
}

/// The longest topic, in bytes.
const MAX_TOPIC: usize = 1024;

/// Whether this may be a topic, or a reason.
pub(super) fn topic(text: &str, max_event: u32) -> Result<(), Refusal> {
    if text.len() > MAX_TOPIC.min(max_event as usize) {
        return Err(Refusal::new(Code::EVENT_TOO_LARGE, format!("a topic or a reason has at most {MAX_TOPIC} bytes")));
    }
    if text.contains('\n') {
        return Err(Refusal::new(Code::TEXT_INVALID, "a topic or a reason is one line"));
    }
    crate::text::check_text(text.as_bytes()).map(drop).map_err(|e| Refusal::new(Code::TEXT_INVALID, e.to_string()))
}

async fn try_join(
    shared: &Arc<Shared>,
    conn: &Arc<Conn>,
    join: &Join,
    password: Option<String>,
    plan: Option<Plan>,
) -> Result<(), Refusal> {
    let Some(identity) = conn.identity() else { return Ok(()) };
    let secret = password.is_some() || plan.as_ref().is_some_and(|plan| plan.password.is_some());
    if secret {
        login::private(shared, conn)?;
    }
    plan.as_ref().map_or(Ok(()), |plan| plan.check(shared))?;
    let name = match (&shared.config.default_room, join.name.as_str()) {
        (Some(default), "") => default.clone(),
        (None, "") => return Err(Refusal::new(Code::NO_SUCH_ROOM, "this server has no default room: name one")),
        (_, name) => RoomName::parse(name).map_err(|e| Refusal::new(Code::ROOM_NAME_INVALID, e.to_string()))?,
    };
    let session = &identity.session;
    let (known, rooms) = {
        let rooms = conn.members();
        let is = |member: &&Arc<Member>| match member.room.pair {
            None => member.room.name == name,
            Some(_) => member.room.label_in(&member.room.lock(), session.principal) == name.as_str(),
        };
        // Directs don't count: anybody may open one.
        (rooms.iter().find(is).cloned(), rooms.iter().filter(|member| member.room.pair.is_none()).count())
    };
    if let Some(member) = known {
        if plan.is_some() {
            return Err(exists(&name));
        }
        again(shared, conn, &member, join.request);
        return Ok(());
    }
    if name.as_str().starts_with('@') {
        return Err(Refusal::new(Code::ROOM_NAME_INVALID, "names with @ are those of directs: ask for a direct"));
    }
    if rooms >= shared.config.max_rooms_per_session {
        return Err(Refusal::new(Code::TOO_MANY_ROOMS, format!("you are in {rooms} rooms: leave one first")));
    }
    toll::request(shared, conn, What::Joins).map_err(Refusal::limited)?;
    let author = session.author();
    if let (Some(handler), true, Some(peer)) = (&shared.handler, shared.interests.join, conn.peer(&author)) {
        let limit = shared.config.handler_timeout;
        match guard::call("join", session.id, limit, async { handler.join(peer, &name).await }).await {
            Ok(Admission::Allow) => {}
            Ok(Admission::Refuse(reason)) => return Err(Refusal::new(Code::JOIN_REFUSED, reason)),
            Err(guard::HandlerFailed) => {
                return Err(Refusal::later(Code::HANDLER_FAILED, "the server's application failed; try again"));
            }
        }
    }
    if shared.rooms.find(&name).is_none() {
        let name = name.clone().addressable();
        name.map_err(|e| Refusal::new(Code::ROOM_NAME_INVALID, e.to_string()))?;
        toll::request(shared, conn, What::Rooms).map_err(Refusal::limited)?;
    } else if plan.is_some() {
        return Err(exists(&name));
    }
    let plan = match plan {
        Some(plan) => Some(plan.hashed(shared, conn).await?),
        None => None,
    };
    let known_hash = match password {
        Some(password) => right_password(shared, conn, &name, password).await?,
        None => None,
    };
    let admin = shared.people.is_admin(session.principal);
    let by = || By::Asking { admin, password: known_hash.as_deref(), now: Clock::timestamp() };
    let ruling = match shared.rooms.find(&name) {
        Some(room) => {
            let permitted = room.lock().may_enter(conn, session, by()).is_ok();
            permission::ask(shared, conn, &author, &room, Action::Join, None, permitted).await?
        }
        // Whoever makes a room comes into it: nothing is to be decided.
        None => Ruling::AsUsual,
    };
    loop {
        let found = |room: &Arc<Room>, state: &mut State| found(room, state, session, plan.as_ref());
        let (room, made) = shared
            .rooms
            .open(&name, false, Clock::timestamp(), |change| shared.keep(change), found)
            .map_err(|_| Refusal::new(Code::TOO_MANY_ROOMS, "the server has as many rooms as it takes"))?;
        if plan.is_some() && !made {
            return Err(exists(&name));
        }
        let by = match ruling {
            _ if made => By::Founding,
            Ruling::Allow => By::Ruling { admin, now: Clock::timestamp() },
            _ => by(),
        };
        // The room may have ended since it was found; then there is a new one under its name.
        match enter(shared, conn, session, &room, by, join.request) {
            Ok(_) => {
                become_member(shared, &room, session);
                tracing::info!(session = %session.id, room = %name, alias = %session.author().alias, "joined");
                return Ok(());
            }
            Err(NotEntered::Ended) => {}
            // Another connection has the session: it joins there, or not at all.
            Err(NotEntered::Moved) => return Ok(()),
            Err(NotEntered::Denied(code @ Code::ROOM_BANNED)) => {
                let address = conn.address.map(|a| a.ip());
                let who = Who { author: &session.author(), address, admin: false, here: false };
                let terms = room.lock().house.ban_of(who, Clock::timestamp()).map(terms).unwrap_or_default();
                return Err(Refusal::new(code, format!("{}{terms}", words(code))));
            }
            Err(NotEntered::Denied(code)) => return Err(Refusal::new(code, words(code))),
        }
    }
}

fn exists(name: &RoomName) -> Refusal {
    Refusal::new(Code::ROOM_EXISTS, format!("there is a room {name} already; choose another name, or join it"))
}

/// Answer a `Join` of a room that the session is in.
fn again(shared: &Shared, conn: &Conn, member: &Member, request: u32) {
    let state = member.room.lock();
    let (principal, place) = (member.session.principal, (request, member.cursor(), None));
    conn.queue(&member.room.joined(&state, &shared.people, principal, Clock::timestamp(), place));
}

/// The hash of a room's password, if this is it.
async fn right_password(
    shared: &Shared,
    conn: &Conn,
    name: &RoomName,
    password: String,
) -> Result<Option<String>, Refusal> {
    let hash = shared.rooms.find(name).and_then(|room| room.lock().house.password.clone());
    let Some(hash) = hash else { return Ok(None) };
    // Guesses at a room's password wait like guesses at an account's. No alias has a control character.
    let guess = Guess::new(shared, conn, Some(format!("\u{1}{name}")));
    if let Some(wait) = guess.wait() {
        let refusal = Refusal::new(Code::TOO_MANY_LOGINS, "too many passwords were wrong; try again later");
        return Err(Refusal { retry_after_ms: Some(wait), ..refusal });
    }
    let right = guess.verify(password, Some(hash.clone())).await;
    let right = right.map_err(|_| Refusal::later(Code::BUSY, "too many passwords are being checked; try again"))?;
    Ok(right.then_some(hash))
}

/// A room is made: its maker owns it.
fn found(room: &Arc<Room>, state: &mut State, session: &Session, plan: Option<&Plan>) -> Vec<Change> {
    let mut changes = Vec::new();
    if let Some(Plan { settings, password }) = plan {
        room.settle(state, settings.clone(), password.clone());
        changes.push(Change::PutSettings(state.house.record(room.id, None)));
    }
    let mut standing = state.house.standing(room.id, &session.author());
    standing.rank = Rank::Owner;
    changes.push(house::record(&standing));
    state.house.put(standing);
    changes
}

/// Make a session a member, and tell it.
pub(super) fn enter(
    shared: &Arc<Shared>,
    conn: &Arc<Conn>,
    session: &Arc<Session>,
    room: &Arc<Room>,
    by: By<'_>,
    request: u32,
) -> Result<Entered, NotEntered> {
    let entered = room.enter(conn, session, by, |entered, state| {
        session.rooms.lock().push(Arc::clone(&entered.member));
        shared.keep(Change::PutMember(entered.member.record()));
        entered.changes.iter().for_each(|change| shared.keep(change.clone()));
        let (id, latest, cursor) = (room.id, entered.head, entered.member.cursor());
        let place = (request, cursor, (latest > cursor).then_some(latest));
        conn.queue(&room.joined(state, &shared.people, session.principal, Clock::timestamp(), place));
        // More than is sent by itself: the older part is left out, and can be read as history.
        let start = Seq::new(latest.get().saturating_sub(shared.config.max_replay));
        if start > cursor {
            let (from, reason) = (cursor.next(), SkipReason::Limit.to_u8());
            conn.queue(&Skipped { room: id, from, to: start, reason });
            entered.member.advance(start);
        }
    })?;
    if let Some(text) = shared.people.away(session.principal) {
        room.note_away(&session.author(), Some(text.into()));
    }
    shared.flush(room);
    conn.deliver_marked(shared, &entered.member);
    Ok(entered)
}

/// An account that is in a room for the first time is a member from here on, whether it has a session or not.
fn become_member(shared: &Arc<Shared>, room: &Arc<Room>, session: &Arc<Session>) {
    let who = session.author();
    if who.kind != PrincipalKind::Account || is_member(&room.lock(), who.principal) {
        return;
    }
    let (id, author, shared_) = (room.id, Arc::clone(&who), Arc::clone(shared));
    let decide = move |state: &mut State| {
        // A deleted account gets no standing any more: nobody would take it away again.
        let exists = shared_.people.account(who.principal).is_some();
        if !exists || is_member(state, who.principal) || !state.members.has(who.principal) {
            let text = "there is nothing to do".into();
            return Err(super::committer::NotDone { code: Code::BAD_REQUEST, text });
        }
        let mut standing = state.house.standing(id, &who);
        let head = state.tail.head();
        (standing.member, standing.invited, standing.alias) = (true, false, who.alias.clone());
        (standing.since, standing.read) = (head, head);
        Ok(Decided {
            event: (EventKind::MEMBERSHIP, body(&RoomChange { value: Some(1), ..RoomChange::default() })),
            changes: vec![house::record(&standing)],
            apply: Box::new(|_, state| state.house.put(standing)),
            then: Some(Box::new(move |shared, room| {
                shared.people.joined(who.principal, room.id);
                everywhere(shared, room, who.principal);
            })),
        })
    };
    let (done, _) = oneshot::channel();
    let (room, decide) = (Arc::clone(room), Box::new(decide));
    shared.commits.submit(Submission::Act(Act { room, author, decide, done }));
}

fn is_member(state: &State, principal: PrincipalId) -> bool {
    state.house.standings.get(&principal).is_some_and(|standing| standing.member)
}

/// A principal is a member: its other sessions that are here come in too.
pub(super) fn everywhere(shared: &Arc<Shared>, room: &Arc<Room>, principal: PrincipalId) {
    for session in shared.sessions.of(principal) {
        let Some(conn) = session.conn() else { continue };
        let inside = session.rooms.lock().iter().any(|member| member.room.id == room.id);
        // Asked like any other: where this device is, may be banned.
        let (admin, now) = (shared.people.is_admin(principal), Clock::timestamp());
        if !inside && enter(shared, &conn, &session, room, By::Asking { admin, password: None, now }, 0).is_ok() {
            conn.kick(shared);
        }
    }
}

/// An account's session begins, or goes on: it comes into the rooms where the account is a member.
pub(super) fn come_back(shared: &Arc<Shared>, conn: &Arc<Conn>, session: &Arc<Session>) {
    for id in shared.people.rooms(session.principal) {
        let inside = session.rooms.lock().iter().any(|member| member.room.id == id);
        let Some(room) = shared.rooms.by_id(id).filter(|_| !inside) else { continue };
        let (admin, now) = (shared.people.is_admin(session.principal), Clock::timestamp());
        match enter(shared, conn, session, &room, By::Asking { admin, password: None, now }, 0) {
            Ok(_) | Err(NotEntered::Moved | NotEntered::Ended) => {}
            Err(NotEntered::Denied(code)) => {
                tracing::info!(session = %session.id, room = %room.name, %code, "a member may not come in");
            }
        }
    }
}

/// Answer a `Leave`.
pub(super) async fn leave(reader: &mut Reader, leave: Leave) -> Result<(), Close> {
    // What was said before leaving is said.
    reader.settle().await;
    let (shared, conn) = (Arc::clone(&reader.shared), Arc::clone(&reader.conn));
    let Leave { request, room } = leave;
    let durable = conn.member(room).filter(|member| is_member(&member.room.lock(), member.session.principal));
    if let Some(member) = durable {
        return match stop_being(&shared, &member, request).await {
            Ok(()) => Ok(()),
            Err(refusal) => {
                answer(&conn, request, refusal);
                Ok(())
            }
        };
    }
    let member = {
        let member = conn.member(room);
        if let Some(member) = &member {
            member.session.rooms.lock().retain(|other| other.room.id != room);
        }
        member
    };
    let Some(member) = member else {
        let (code, text) = (Code::NOT_A_MEMBER, "you are not in this room".to_owned());
        let (fatal, retry_after_ms, suggestion) = (false, None, None);
        conn.queue(&ErrorReply { code, text, request: Some(request), fatal, retry_after_ms, suggestion });
        return Ok(());
    };
    take_out(&shared, &member, Why::Out);
    // Behind `Left` nothing of the room is written: the member is marked as gone before.
    conn.queue(&Left { request, room, code: Code::GOODBYE, text: String::new() });
    tracing::info!(session = %member.session.id, room = %member.room.name, "left");
    let author = member.author();
    if let (Some(handler), true, Some(peer)) = (&shared.handler, shared.interests.leave, conn.peer(&author)) {
        let limit = shared.config.handler_timeout;
        let _ = guard::call("leave", member.session.id, limit, async { handler.leave(peer, &member.room.name).await })
            .await;
    }
    Ok(())
}

/// An account leaves a room: on all its devices, and for good.
async fn stop_being(shared: &Arc<Shared>, member: &Arc<Member>, request: u32) -> Result<(), Refusal> {
    let (room, author) = (Arc::clone(&member.room), member.author());
    let (id, who, session) = (room.id, Arc::clone(&author), member.session.id);
    let decide = move |state: &mut State| {
        let mut standing = state.house.standing(id, &who);
        standing.member = false;
        let silent = state.tail.head() == Seq::ZERO;
        Ok(Decided {
            event: (EventKind::MEMBERSHIP, body(&RoomChange { value: Some(0), ..RoomChange::default() })),
            changes: vec![house::record(&standing)],
            apply: Box::new(|_, state| state.house.put(standing)),
            then: Some(Box::new(move |shared, room| {
                shared.people.left(who.principal, room.id);
                let members = take_all_out(shared, room, who.principal);
                if room.pair.is_some() && (silent || who.kind == PrincipalKind::Guest) {
                    // Nothing was said in it, or nobody will come back as this guest: the other one needn't keep it.
                    // Who left is told afterwards, and may count on there being room for another one.
                    close(shared, room, "the direct is over: the other one has left it");
                }
                tell_out(shared, &members, Code::GOODBYE, "", Some((session, request)));
            })),
        })
    };
    let (done, answer) = oneshot::channel();
    let decide = Box::new(decide);
    shared.commits.submit(Submission::Act(Act { room, author, decide, done }));
    match answer.await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(e)) => Err(Refusal::new(e.code, e.text)),
        Err(_) => Err(Refusal::new(Code::SHUTTING_DOWN, "the server is stopping")),
    }
}

/// Take a member out of its room, and tell the others; the room ends with its last member, unless it stays.
pub(super) fn take_out(shared: &Arc<Shared>, member: &Arc<Member>, why: Why) {
    if shared.rooms.leave(member, why, |change| shared.keep(change)) {
        shared.flush(&member.room);
    }
}

/// Take every session of a principal out of a room. Nothing of the room is written for them behind their `Left`.
pub(super) fn put_out(
    shared: &Arc<Shared>,
    room: &Arc<Room>,
    principal: PrincipalId,
    code: Code,
    text: &str,
    asked: Option<(crate::id::SessionId, u32)>,
) {
    tell_out(shared, &take_all_out(shared, room, principal), code, text, asked);
}

fn take_all_out(shared: &Arc<Shared>, room: &Arc<Room>, principal: PrincipalId) -> Vec<Arc<Member>> {
    let members: Vec<Arc<Member>> = room.lock().members.of(principal).cloned().collect();
    for member in &members {
        // In this order: a session that goes on right now looks who has left, once it has its list of rooms.
        take_out(shared, member, Why::Out);
        member.session.rooms.lock().retain(|other| other.room.id != room.id);
    }
    members
}

fn tell_out(
    shared: &Arc<Shared>,
    members: &[Arc<Member>],
    code: Code,
    text: &str,
    asked: Option<(crate::id::SessionId, u32)>,
) {
    for member in members {
        let request = asked.filter(|(session, _)| *session == member.session.id).map_or(0, |(_, request)| request);
        member.session.queue(&Left { request, room: member.room.id, code, text: text.to_owned() });
        tell_left(shared, member);
        if let Some(conn) = member.session.conn() {
            conn.kick(shared);
        }
    }
}

/// Tell the application that a session was put out of a room. On a task of its own: whoever puts out doesn't wait for it.
pub(super) fn tell_left(shared: &Arc<Shared>, member: &Arc<Member>) {
    if shared.handler.is_none() || !shared.interests.leave {
        return;
    }
    let (shared_, member) = (Arc::clone(shared), Arc::clone(member));
    shared.engine.spawn(async move {
        let Some(handler) = &shared_.handler else { return };
        let (session, room, author) = (&member.session, &member.room.name, member.author());
        let Author { principal, kind, alias } = &*author;
        let away = Peer {
            session: session.id,
            principal: *principal,
            kind: *kind,
            alias,
            address: None,
            agent: "",
            certificate: None,
        };
        let conn = session.conn();
        let peer = conn.as_ref().and_then(|conn| conn.peer(&author)).unwrap_or(away);
        let limit = shared_.config.handler_timeout;
        let _ = guard::call("leave", session.id, limit, async { handler.leave(peer, room).await }).await;
    });
}

/// End a room, whoever is in it.
pub(super) fn close(shared: &Arc<Shared>, room: &Arc<Room>, why: &str) {
    let here: Vec<PrincipalId> = room.lock().members.all().map(|member| member.session.principal).collect();
    here.into_iter().for_each(|principal| put_out(shared, room, principal, Code::NO_SUCH_ROOM, why, None));
    let standing: Vec<PrincipalId> = room.lock().house.standings.keys().copied().collect();
    let pair = room.pair.into_iter().flat_map(|(a, b)| [a, b]);
    standing.into_iter().chain(pair).for_each(|principal| shared.people.left(principal, room.id));
    shared.rooms.close(room, |change| shared.keep(change));
}

/// The room of a connection, by its id.
pub(super) fn room_of(conn: &Conn, room: RoomId) -> Option<Arc<Room>> {
    conn.member(room).map(|member| Arc::clone(&member.room))
}
