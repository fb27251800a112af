//! How a session gets a connection, loses it, goes on with another one, and ends.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::conn::{Close, Conn};
use super::guard;
use super::guess;
use super::house::{Who, Why};
use super::membership;
use super::moderation;
use super::probe;
use super::reader::Reader;
use super::rooms::{Member, State};
use super::session::{self, Newest, Session, Token};
use super::shared::{Clock, Shared};
use super::toll;
use crate::handler::{Admission, Peer};
use crate::id::{Alias, PrincipalId, RoomId, Seq};
use crate::protocol::Code;
use crate::protocol::message::{Attached, Authenticated, Cursor, ErrorReply, Left, PrincipalKind, SkipReason, Skipped};
use crate::room::{Author, Role};
use crate::store::{BanRecord, Change, Snapshot};

/// Keeps a connection in the server's list; takes everything of it away when dropped, even if its task was cut.
#[derive(Debug)]
pub(super) struct Registered {
    shared: Arc<Shared>,
    conn: Arc<Conn>,
}

impl Registered {
    pub(super) fn new(shared: &Arc<Shared>, conn: &Arc<Conn>) -> Self {
        shared.sessions.add(conn);
        Self { shared: Arc::clone(shared), conn: Arc::clone(conn) }
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.shared.sessions.remove(self.conn.id);
        if let Some(identity) = self.conn.identity() {
            if self.conn.pulse.attached.load(Ordering::Relaxed) {
                lose(&self.shared, &identity.session, &self.conn);
            } else {
                give_up(&self.shared, &identity.session, identity.resuming);
            }
        }
        self.conn.with_output(|output| output.fail());
    }
}

/// A handshake ended before its session had the connection.
fn give_up(shared: &Shared, session: &Arc<Session>, resuming: bool) {
    let _moving = session.moving.lock();
    if resuming {
        if session.conn().is_none() && !session.has_ended() {
            shared.sessions.lose(session, shared.clock.tick() + shared.config.grace.as_millis() as u64);
        }
    } else if session.end() {
        if session.tokens().next().is_some() {
            shared.keep(Change::DropSession(session.id));
        }
        shared.sessions.release(session);
    }
}

/// Let a guest in, or tell it why not.
pub(super) async fn guest(reader: &mut Reader, wish: Option<Alias>) -> Result<(), Close> {
    let config = &reader.shared.config;
    if !config.guests || config.join_password.is_some() {
        let text = if config.guests {
            "this server has a password: send it too"
        } else {
            "this server takes no guests: log in"
        };
        return refuse(reader, Code::MECHANISM_UNSUPPORTED, text.to_owned(), None);
    }
    guest_in(reader, wish).await
}

/// Let a guest in who may come in.
pub(super) async fn guest_in(reader: &mut Reader, wish: Option<Alias>) -> Result<(), Close> {
    let shared = Arc::clone(&reader.shared);
    let author = |alias| Author { principal: PrincipalId::random(), kind: PrincipalKind::Guest, alias };
    let reserved = |skeleton: &str| shared.people.is_reserved(skeleton);
    let claimed = shared.sessions.claim(wish.as_ref(), reserved, |alias| Session::new(Arc::new(author(alias)), 0));
    match claimed {
        Ok(session) => checked(reader, session).await,
        Err(free) => {
            let wish = wish.as_ref().map_or("asked for", |wish| wish.as_str());
            let text = format!("the alias {wish} is in use; {free} is free");
            refuse(reader, Code::ALIAS_IN_USE, text, Some(free.to_string()))
        }
    }
}

/// Begin a new session, unless somebody is against it.
pub(super) async fn checked(reader: &mut Reader, session: Arc<Session>) -> Result<(), Close> {
    let (shared, conn) = (Arc::clone(&reader.shared), Arc::clone(&reader.conn));
    let allowed = match off_the_server(&shared, &conn, &session) {
        Ok(()) => ask(&shared, &conn, &session, &reader.agent).await,
        Err(close) => Err(close),
    };
    if let Err(close) = allowed {
        shared.sessions.release(&session);
        return Err(close);
    }
    admit(reader, session, false);
    Ok(())
}

/// Whether somebody is banned from the server.
fn off_the_server(shared: &Shared, conn: &Conn, session: &Session) -> Result<(), Close> {
    match shared.people.ban_of(&session.author(), conn.address.map(|a| a.ip()), Clock::timestamp()) {
        Some(ban) => Err(Close::error(Code::BANNED, banned(&ban))),
        None => Ok(()),
    }
}

/// Whether somebody who was let in may still come in: between that and their session's beginning is as much time as they
/// like, and meanwhile nobody finds it to end it.
fn still_welcome(shared: &Shared, conn: &Conn, session: &Session, resuming: bool) -> Result<(), Close> {
    off_the_server(shared, conn, session)?;
    // A session that goes on has been in the list all the time.
    if session.kind == PrincipalKind::Account
        && !resuming
        && !shared.people.is_proven(session.principal, session.proven)
    {
        return Err(Close::error(Code::SESSION_REVOKED, "the account was changed since you logged in; log in again"));
    }
    Ok(())
}

/// What somebody is told who is banned.
pub(super) fn banned(ban: &BanRecord) -> String {
    format!("you are banned from this server{}", moderation::terms(ban))
}

/// Let somebody in who comes back with a token, or tell them to begin anew.
pub(super) async fn token(reader: &mut Reader, token: Vec<u8>) -> Result<(), Close> {
    let (shared, conn) = (Arc::clone(&reader.shared), Arc::clone(&reader.conn));
    let Some(session) = shared.sessions.by_token(&session::hash(&token)) else {
        let text = "the session has ended, or never was; begin a new one".to_owned();
        return refuse(reader, Code::SESSION_EXPIRED, text, None);
    };
    // Whoever comes back is asked about like whoever comes.
    let allowed = match off_the_server(&shared, &conn, &session) {
        Ok(()) => ask(&shared, &conn, &session, &reader.agent).await,
        Err(close) => Err(close),
    };
    if let Err(close) = allowed {
        if close.retry_after_ms.is_none() {
            end(&shared, &session, &close).await;
        }
        return Err(close);
    }
    if session.kind == PrincipalKind::Account {
        guess::came(&shared, &conn, session.principal);
    }
    admit(reader, session, true);
    Ok(())
}

fn admit(reader: &mut Reader, session: Arc<Session>, resuming: bool) {
    let Some(handshake) = &mut reader.handshake else { return };
    handshake.admitted();
    reader.exchange = Vec::new();
    let Author { principal, kind, alias } = &*session.author();
    reader.conn.queue(&Authenticated { principal: *principal, kind: *kind, alias: alias.to_string() });
    reader.conn.identify(session, std::mem::take(&mut reader.agent), resuming);
}

/// Tell a client that it isn't in, and that it may try another way, unless it has tried too often.
pub(super) fn refuse(reader: &mut Reader, code: Code, text: String, suggestion: Option<String>) -> Result<(), Close> {
    refuse_for(reader, code, text, suggestion, None)
}

/// The same, with a time after which trying again may help.
pub(super) fn refuse_for(
    reader: &mut Reader,
    code: Code,
    text: String,
    suggestion: Option<String>,
    retry_after_ms: Option<u32>,
) -> Result<(), Close> {
    let Some(handshake) = &mut reader.handshake else { return Ok(()) };
    let fatal = !handshake.refused();
    reader.exchange = Vec::new();
    reader.conn.queue(&ErrorReply { code, text: text.clone(), request: None, fatal, retry_after_ms, suggestion });
    if fatal { Err(Close::gone(code, text)) } else { Ok(()) }
}

/// Ask the application whether it lets somebody in.
async fn ask(shared: &Arc<Shared>, conn: &Conn, session: &Session, agent: &str) -> Result<(), Close> {
    let (Some(handler), true) = (&shared.handler, shared.interests.connect) else { return Ok(()) };
    let Author { principal, kind, alias } = &*session.author();
    let who = Peer {
        session: session.id,
        principal: *principal,
        kind: *kind,
        alias,
        address: conn.address,
        agent,
        certificate: conn.certificate(),
    };
    let limit = shared.config.handler_timeout;
    match guard::call("connect", session.id, limit, async { handler.connect(who).await }).await {
        Ok(Admission::Allow) => Ok(()),
        Ok(Admission::Refuse(reason)) => Err(Close::error(Code::CONNECT_REFUSED, reason)),
        Err(guard::HandlerFailed) => Err(Close {
            retry_after_ms: Some(1000),
            ..Close::error(Code::HANDLER_FAILED, "the server's application failed; try again")
        }),
    }
}

/// The last step of a handshake: the session has this connection from here on.
pub(super) async fn attach(reader: &mut Reader, token: Option<Vec<u8>>, cursors: Vec<Cursor>) -> Result<(), Close> {
    let (shared, conn) = (Arc::clone(&reader.shared), Arc::clone(&reader.conn));
    let Some(identity) = conn.identity() else { return Ok(()) };
    let session = &identity.session;
    if identity.resuming && token.is_none() {
        return Err(Close::error(Code::OUT_OF_ORDER, "an Attach that goes on with a session names its token too"));
    }
    let new = shared.keeps_sessions().then(Token::random);
    // Without the mechanism `session` before it, a token is of another kind, or of another server's life.
    let reason = token.as_ref().filter(|_| !identity.resuming).map(|_| Code::SESSION_EXPIRED);
    let ended =
        || Close { retry_after_ms: Some(0), ..Close::error(Code::SESSION_EXPIRED, "the session has just ended") };
    let used = token.as_deref().filter(|_| identity.resuming).map(session::hash);
    if let Some(used) = &used
        && session.knows(used) == Some(Newest::No)
        && let Some(other) = session.conn()
        && probe::is_there(&shared, &other).await
    {
        // This one was opened before that one, or is a copy of it, and only came later.
        let text = "another connection goes on with this session, and is there";
        return Err(Close { retry_after_ms: Some(1000), ..Close::error(Code::SESSION_REPLACED, text) });
    }
    let welcome = {
        let _moving = session.moving.lock();
        if session.has_ended() || used.is_some_and(|used| session.knows(&used).is_none()) {
            return Err(ended());
        }
        if identity.resuming {
            shared.sessions.come_back(session, used, new.as_ref());
        } else {
            shared.sessions.begin(session, new.as_ref());
        }
        // Not before it is in the list: who revokes or bans behind this finds it there.
        still_welcome(&shared, &conn, session, identity.resuming)
    };
    if let Err(close) = welcome {
        end(&shared, session, &close).await;
        return Err(close);
    }
    // A token is told once it is kept: otherwise a server that is killed right now would not know it afterwards.
    if let Some(record) = session.record(Clock::timestamp())
        && !shared.kept(Change::PutSession(record)).await
    {
        let text = "the server can't keep sessions at the moment; come back later";
        return Err(Close { retry_after_ms: Some(1000), ..Close::error(Code::STORE_FAILED, text) });
    }
    let moving = session.moving.lock();
    if session.has_ended() {
        return Err(ended());
    }
    reader.handshake = None;
    conn.pulse.attached.store(true, Ordering::Relaxed);
    toll::attach(&shared, &conn, session);
    let grace_ms = if new.is_some() { shared.config.grace.as_millis() as u32 } else { 0 };
    let (id, token) = (session.id, new.map(|token| token.0.into()));
    conn.queue(&Attached { session: id, resumed: identity.resuming, token, reason, grace_ms });
    super::alias::catch_up(&shared, &conn, session);
    let author = session.author();
    let (alias, address) = (author.alias.as_str(), conn.address.map(|address| address.to_string()));
    if identity.resuming {
        if let Some(old) = session.sit(None) {
            old.request_close(Close::bye(Code::SESSION_REPLACED, "another connection goes on with this session"));
        }
        let members = resume(&shared, &conn, session, &cursors);
        session.sit(Some(&conn));
        drop(moving);
        tracing::info!(session = %session.id, connection = conn.id, address, alias, "session goes on");
        // Its account may have become a member elsewhere meanwhile.
        membership::come_back(&shared, &conn, session);
        members.iter().for_each(|member| conn.deliver_marked(&shared, member));
    } else {
        session.sit(Some(&conn));
        drop(moving);
        tracing::info!(session = %session.id, connection = conn.id, address, alias, "session began");
        membership::come_back(&shared, &conn, session);
    }
    Ok(())
}

/// Give a session's places to its new connection. Each room's `Joined` is queued under that room's lock: nothing of the
/// room goes before it.
fn resume(shared: &Arc<Shared>, conn: &Arc<Conn>, session: &Arc<Session>, cursors: &[Cursor]) -> Vec<Arc<Member>> {
    let lineage = shared.store.lineage();
    session.came_from(cursors.iter().fold(0, |sum: u64, cursor| sum.wrapping_add(cursor.seq.get())));
    let before = session.rooms.lock().clone();
    let mut members = Vec::with_capacity(before.len());
    for old in &before {
        // An address may be banned that it did not come from before.
        let may = |state: &State| {
            let (author, address) = (&session.author(), conn.address.map(|a| a.ip()));
            let who = Who { author, address, admin: shared.people.is_admin(session.principal), here: true };
            let banned = !old.let_in && state.house.role(who, Clock::timestamp()) == Role::Banned;
            if banned { Err(Code::ROOM_BANNED) } else { Ok(()) }
        };
        let told = cursors.iter().find(|cursor| cursor.room == old.room.id);
        let place = |head: Seq| match told {
            Some(cursor) if cursor.lineage == lineage && cursor.seq <= head => {
                cursor.seq.clamp(old.readable_after().min(head), head)
            }
            // It doesn't say where it is: it goes on where the application had read up to.
            None => old.read().min(head),
            Some(_) => head,
        };
        let fits = |head: Seq| told.is_none_or(|cursor| cursor.lineage == lineage && cursor.seq <= head);
        let seated = old.room.reseat(old, conn, may, place, |entered, state| {
            let latest = entered.head;
            let cursor = entered.member.cursor();
            // More than is sent by itself: the older part is left out, and can be read as history.
            let start = Seq::new(cursor.get().max(latest.get().saturating_sub(shared.config.max_replay)));
            let (room, place) = (old.room.id, (0, cursor, Some(latest)));
            conn.queue(&old.room.joined(state, &shared.people, session.principal, Clock::timestamp(), place));
            if !fits(latest) {
                let (from, reason) = (Seq::new(1), SkipReason::Reset.to_u8());
                conn.queue(&Skipped { room, from, to: latest, reason });
            } else if start > cursor {
                conn.queue(&Skipped { room, from: cursor.next(), to: start, reason: SkipReason::Limit.to_u8() });
                entered.member.advance(start);
            }
        });
        match seated {
            Ok(seated) => members.extend(seated),
            Err(code) => {
                membership::take_out(shared, old, Why::Out);
                let (room, text) = (old.room.id, "you are banned from this room".to_owned());
                conn.queue(&Left { request: 0, room, code, text });
                membership::tell_left(shared, old);
            }
        }
    }
    {
        let mut rooms = session.rooms.lock();
        // Whom somebody has put out meanwhile is out.
        members.retain(|member| !member.has_left());
        rooms.clone_from(&members);
    }
    let gone = cursors.iter().filter(|cursor| !before.iter().any(|member| member.room.id == cursor.room));
    for room in gone.map(|cursor| cursor.room).collect::<BTreeSet<RoomId>>() {
        let text = "you are not in this room any more; join it again".to_owned();
        conn.queue(&Left { request: 0, room, code: Code::NOT_A_MEMBER, text });
    }
    members
}

/// A connection is lost. Its session waits for another one, if it may; `true` if it does.
pub(super) fn lose(shared: &Arc<Shared>, session: &Arc<Session>, conn: &Arc<Conn>) -> bool {
    let _moving = session.moving.lock();
    if !session.is_on(conn) || session.has_ended() {
        // Another connection has it: this one's end is of no account.
        return true;
    }
    session.sit(None);
    let members = session.rooms.lock().clone();
    let away: Vec<_> = members.iter().map(|member| member.room.unseat(member, &shared.nobody)).collect();
    away.iter().for_each(|member| {
        shared.keep(Change::PutMember(member.record()));
        member.room.note_read(member).into_iter().for_each(|change| shared.keep(change));
    });
    *session.rooms.lock() = away;
    shared.sessions.lose(session, shared.clock.tick() + shared.config.grace.as_millis() as u64)
}

/// A connection ends: with its session, or without.
pub(super) async fn leave(shared: &Arc<Shared>, conn: &Arc<Conn>, close: &Close) {
    shared.sessions.remove(conn.id);
    let address = conn.address.map_or_else(|| "a stream of the application's".to_owned(), |a| a.to_string());
    let identity = conn.identity().filter(|_| conn.pulse.attached.load(Ordering::Relaxed));
    let Some(identity) = identity else {
        tracing::info!(connection = conn.id, %address, code = %close.code, "connection ended: {}", close.text);
        return;
    };
    let session = &identity.session;
    let author = session.author();
    let alias = author.alias.as_str();
    if !session.is_on(conn) {
        tracing::info!(connection = conn.id, session = %session.id, %address, "connection ended: {}", close.text);
    } else if shared.keeps_sessions() && !close.ends_session() && lose(shared, session, conn) {
        tracing::info!(connection = conn.id, session = %session.id, alias, %address, code = %close.code, "connection lost: {}", close.text);
    } else {
        end(shared, session, close).await;
    }
}

/// A session ends: it leaves its rooms, its alias is free, the application hears of it.
pub(super) async fn end(shared: &Arc<Shared>, session: &Arc<Session>, close: &Close) {
    let (conn, rooms) = {
        let _moving = session.moving.lock();
        if !session.end() {
            return;
        }
        let conn = session.conn();
        session.sit(None);
        (conn, std::mem::take(&mut *session.rooms.lock()))
    };
    for member in &rooms {
        membership::take_out(shared, member, Why::Ended);
    }
    if session.kind == PrincipalKind::Guest {
        forget(shared, session, &rooms);
    }
    if session.kind == PrincipalKind::Account {
        let seen = Clock::timestamp();
        shared
            .people
            .change(session.principal, |account| account.seen = seen)
            .into_iter()
            .for_each(|change| shared.keep(change));
    }
    if session.tokens().next().is_some() {
        shared.keep(Change::DropSession(session.id));
    }
    shared.sessions.release(session);
    if shared.sessions.of(session.principal).is_empty() {
        shared.people.set_away(session.principal, None);
    }
    let author = session.author();
    let alias = author.alias.as_str();
    let address = conn.as_ref().and_then(|conn| conn.address);
    let from = address.map(|address| address.to_string());
    tracing::info!(session = %session.id, alias, address = from, code = %close.code, "session ended: {}", close.text);
    let Some(handler) = &shared.handler else { return };
    let Author { principal, kind, alias } = &*author;
    let agent = conn.as_ref().and_then(|conn| conn.identity()).map_or("", |identity| identity.agent.as_str());
    let certificate = conn.as_ref().and_then(|conn| conn.certificate());
    let peer = Peer { session: session.id, principal: *principal, kind: *kind, alias, address, agent, certificate };
    let limit = shared.config.handler_timeout;
    if shared.interests.leave {
        for member in rooms {
            let name = &member.room.name;
            let _ = guard::call("leave", session.id, limit, async { handler.leave(peer, name).await }).await;
        }
    }
    if shared.interests.disconnect {
        let _ =
            guard::call("disconnect", session.id, limit, async { handler.disconnect(peer, close.code).await }).await;
    }
}

/// Nobody can come back as this guest: its directs are over.
fn forget(shared: &Arc<Shared>, session: &Session, rooms: &[Arc<Member>]) {
    // Also those that the session is not in.
    let noted = shared.people.rooms(session.principal);
    let noted = noted.into_iter().filter_map(|id| shared.rooms.by_id(id));
    for room in rooms.iter().map(|member| Arc::clone(&member.room)).chain(noted) {
        if room.pair.is_some() {
            membership::close(shared, &room, "the guest whose direct this was is gone");
        }
        shared.people.left(session.principal, room.id);
    }
    shared.people.forget_rooms(session.principal);
    shared.people.forget_blocks(session.principal).into_iter().for_each(|change| shared.keep(change));
}

/// End the sessions whose time without a connection is over.
pub(super) fn expire(shared: &Arc<Shared>, now: u64) {
    for session in shared.sessions.expired(now) {
        let shared_ = Arc::clone(shared);
        shared.engine.spawn(async move {
            let close = Close::gone(Code::SESSION_EXPIRED, "it did not come back in time");
            // It may have come back at the last moment.
            if session.conn().is_none() {
                end(&shared_, &session, &close).await;
            }
        });
    }
}

/// Put back what the store has kept: people, rooms, sessions that wait for a connection, and who is where.
pub(super) fn restore(shared: &Arc<Shared>, snapshot: Snapshot) {
    let Snapshot { accounts, standings, bans, blocks, codes, .. } = snapshot;
    shared.people.restore(accounts, &standings, &bans, blocks, codes);
    let settings: HashMap<_, _> = snapshot.settings.iter().map(|settings| (settings.room, settings)).collect();
    let rooms: HashMap<_, _> = snapshot
        .rooms
        .iter()
        .map(|(record, extent)| {
            (record.id, shared.rooms.restore(record, extent.head, settings.get(&record.id).copied()))
        })
        .collect();
    for mut standing in standings {
        if let Some(account) = shared.people.account(standing.principal) {
            standing.alias = account.alias;
        }
        if let Some(room) = rooms.get(&standing.room) {
            room.lock().house.put(standing);
        }
    }
    for (room, keep) in snapshot.retention {
        if let Some(room) = rooms.get(&room) {
            room.lock().retention = Some(keep);
        }
    }
    for ban in bans {
        if let Some(room) = ban.room.and_then(|room| rooms.get(&room)) {
            room.lock().house.bans.push(ban);
        }
    }
    for room in rooms.values() {
        if let Some((a, b)) = room.pair {
            let mut state = room.lock();
            state.house.blocked = shared.people.are_apart(a, b);
            let deleted = |who| shared.people.knows(who) && shared.people.account(who).is_none();
            state.house.deserted = deleted(a) || deleted(b);
            state.house.changed();
        }
    }
    let until = shared.clock.tick() + shared.config.grace.as_millis() as u64;
    let mut sessions = HashMap::new();
    for record in snapshot.sessions {
        // An account's alias is the account's, whatever its session says.
        let alias = shared.people.account(record.principal).map_or(record.alias, |account| account.alias);
        let author = Author { principal: record.principal, kind: record.kind, alias };
        let tokens = record.previous.into_iter().chain([record.token]).collect();
        let session = Session::restored(record.id, Arc::new(author), tokens);
        let session = Arc::new(session);
        // A deleted account's sessions have ended with it.
        let known = record.kind != PrincipalKind::Account || shared.people.account(record.principal).is_some();
        if known && shared.keeps_sessions() && shared.sessions.restore(&session) {
            shared.sessions.lose(&session, until);
            sessions.insert(record.id, session);
        } else {
            shared.keep(Change::DropSession(record.id));
        }
    }
    for record in snapshot.members {
        let (Some(session), Some(room)) = (sessions.get(&record.session), rooms.get(&record.room)) else { continue };
        let member = Arc::new(Member::away(&shared.nobody, room, session, record.since, record.read));
        room.restore(&member);
        session.rooms.lock().push(member);
    }
    // Others are guests whose session has not been kept.
    let is_here = |who| shared.people.knows(who) || !shared.sessions.of(who).is_empty();
    for room in rooms.values() {
        if room.pair.is_some_and(|(a, b)| !is_here(a) || !is_here(b)) {
            membership::close(shared, room, "the guest whose direct this was is gone");
        }
    }
    for guest in shared.people.with_blocks().into_iter().filter(|who| !is_here(*who)) {
        shared.people.forget_blocks(guest).into_iter().for_each(|change| shared.keep(change));
    }
    shared.rooms.end_empty(|change| shared.keep(change));
}
