//! How a session begins, and how it goes on over another connection.

use std::time::{Duration, Instant};

use super::connection::Connection;
use super::error::ConnectError;
use super::event::{CloseReason, Event};
use super::requests;
use super::rooms::{Flow, Standing};
use super::state::{MAX_BODY, ServerInfo, State};
use crate::id::{Alias, OutboxId, RoomName};
use crate::protocol::message::{
    Attach, Attached, Auth, Authenticated, Cursor, ErrorReply, Hello, Kind, MAGIC, Renamed, Welcome,
};
use crate::protocol::{self, Code, DecodeError, MAX_CURSORS, VERSION};

/// Cursors in one `Attach`: with the token it stays within the 4,096 bytes that hold before `Attached`.
const PAGE: usize = 64;

/// What continues a session: whoever has it is this client.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Token(pub(super) Vec<u8>);

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(…)")
    }
}

impl State {
    /// A connection is there: say everything that can be said without waiting.
    pub(super) fn open(&mut self, private: bool, now: Instant) {
        self.conn = Connection::new(now);
        self.conn.private = private;
        self.tries = 0;
        // What was not written was for the connection before.
        self.out.clear();
        self.outbox.rewind();
        let (magic, agent) = (MAGIC.to_vec().into(), self.settings.agent.clone());
        let (capabilities, max_body) = (Vec::new(), MAX_BODY);
        self.send(&Hello { magic, min_version: VERSION, max_version: VERSION, capabilities, max_body, agent });
        match self.token.clone() {
            Some(token) => self.go_on(&token),
            None => {
                self.lost(Code::SESSION_EXPIRED, "the server keeps no sessions".into());
                self.begin_anew(self.wish());
            }
        }
    }

    /// Go on with the session that a token names. It goes over whatever carried it here: who can read this connection
    /// has read it there.
    fn go_on(&mut self, token: &Token) {
        self.conn.resuming = true;
        let mut cursors = Vec::new();
        for (&id, room) in &mut self.rooms {
            if room.standing == Standing::In {
                room.standing = Standing::Unnamed;
            }
            let place = room.lineage.filter(|_| room.standing == Standing::Unnamed);
            cursors.extend(place.map(|lineage| Cursor { lineage, room: id, seq: room.cursor.seen() }));
        }
        if !self.begun {
            let stored = self.settings.cursors.iter();
            cursors.extend(stored.map(|place| Cursor { lineage: place.lineage, room: place.room, seq: place.seq }));
        }
        cursors.truncate(MAX_CURSORS);
        self.send(&Auth { mechanism: "session".into(), data: token.0.clone().into() });
        let mut pages = cursors.chunks(PAGE).peekable();
        while let Some(page) = pages.next_if(|_| cursors.len() > PAGE) {
            if pages.peek().is_none() {
                self.send(&Attach { token: Some(token.0.clone().into()), cursors: page.to_vec(), more: false });
                return;
            }
            self.send(&Attach { token: None, cursors: page.to_vec(), more: true });
        }
        self.send(&Attach { token: Some(token.0.clone().into()), cursors, more: false });
    }

    /// Begin a session. Everything may go at once, and one round trip is enough: whether a secret may go over this
    /// connection was looked at before a word was said.
    fn begin_anew(&mut self, alias: String) {
        self.conn.resuming = false;
        for room in self.rooms.values_mut() {
            room.standing = Standing::Away;
            if room.flow != Flow::Opening {
                room.flow = Flow::Live;
            }
        }
        let auth = self.settings.login.auth(&alias);
        self.send(&auth);
        self.send(&Attach { token: None, cursors: Vec::new(), more: false });
        self.ask_again();
    }

    /// The alias to ask for: the one that this client has, or wants.
    fn wish(&self) -> String {
        self.alias.as_ref().map_or_else(|| self.settings.alias.clone(), Alias::to_string)
    }

    /// The server refused an `Auth`, and takes another one. True if there is one.
    pub(super) fn try_another_way(&mut self, refusal: &ErrorReply) -> bool {
        if self.conn.resuming {
            self.token = None;
            self.journal_session();
            self.lost(refusal.code, refusal.text.clone());
            self.begin_anew(self.wish());
            return true;
        }
        self.tries += 1;
        let named = !self.settings.alias.is_empty();
        if self.settings.login.is_account() {
            return false;
        }
        if refusal.code != Code::ALIAS_IN_USE || self.tries > 3 || named && !self.settings.alias_fallback {
            return false;
        }
        let Some(free) = refusal.suggestion.as_deref().filter(|free| Alias::parse(free).is_ok()) else { return false };
        // Who never asked for a name takes any.
        self.begin_anew(if named { free.to_owned() } else { String::new() });
        true
    }

    fn lost(&mut self, code: Code, text: String) {
        if self.session.take().is_some() && self.begun {
            self.events.push(Event::SessionLost { code, text });
        }
    }

    /// The session has begun: the first thing that the application hears.
    pub(super) fn begin(&mut self, room: Option<RoomName>) {
        if let (Some(alias), Some(session)) = (self.alias.clone(), self.session) {
            self.begun = true;
            self.events.push(Event::Connected { alias, session, room });
        }
    }

    /// The session has begun, and there is something to tell before the first room is joined.
    pub(super) fn begin_early(&mut self) {
        let wanted = self.settings.room.clone();
        let name = wanted.clone().filter(|name| !name.is_empty()).and_then(|name| RoomName::parse(&name).ok());
        let default = self.server.as_ref().and_then(|server| server.default_room.clone());
        self.begin(name.or(default).filter(|_| wanted.is_some()));
    }

    /// Resolve `connect`.
    pub(super) fn ready(&mut self, result: Result<(), ConnectError>) {
        if let Some(ready) = self.ready.take() {
            self.connected |= result.is_ok();
            let _ = ready.send(result);
        }
    }
}

impl State {
    /// This client's person is called so from here on.
    fn renamed(&mut self, alias: Alias) {
        if self.alias.as_ref() != Some(&alias) {
            self.alias = Some(alias.clone());
            self.journal_session();
            self.events.push(Event::Renamed { alias });
        }
    }
}

pub(super) fn renamed(state: &mut State, body: &[u8], _: Instant) -> Result<(), DecodeError> {
    let renamed: Renamed = protocol::decode(body)?;
    match Alias::parse(&renamed.alias) {
        Ok(alias) => state.renamed(alias),
        Err(e) => state.conn.end(CloseReason::Protocol(format!("it gave an alias that isn't one: {e}"))),
    }
    requests::answered(state, Kind::Renamed, body)
}

pub(super) fn welcome(state: &mut State, body: &[u8], _: Instant) -> Result<(), DecodeError> {
    let welcome: Welcome = protocol::decode(body)?;
    if welcome.version != VERSION {
        let text = format!("it chose version {}, which was not offered", welcome.version);
        state.conn.end(CloseReason::Protocol(text));
        return Ok(());
    }
    state.conn.welcomed = true;
    if state.lineage.replace(welcome.lineage).is_some_and(|before| before != welcome.lineage) {
        // Another life of the store: it knows none of the numbers, or other texts under them.
        state.outbox.renumber(OutboxId::random());
        state.rewrite_journal();
    }
    state.server = Some(ServerInfo {
        name: welcome.server,
        version: welcome.version,
        max_event: welcome.max_event,
        // A heartbeat of nothing would have both sides ping without end.
        heartbeat: Duration::from_millis(u64::from(welcome.heartbeat_ms.max(20))),
        default_room: RoomName::parse(&welcome.default_room).ok(),
        lineage: welcome.lineage,
    });
    Ok(())
}

pub(super) fn authenticated(state: &mut State, body: &[u8], _: Instant) -> Result<(), DecodeError> {
    let authenticated: Authenticated = protocol::decode(body)?;
    match Alias::parse(&authenticated.alias) {
        // Of a session that goes on: it was changed on another device meanwhile.
        Ok(alias) if state.begun && state.conn.resuming => state.renamed(alias),
        Ok(alias) => state.alias = Some(alias),
        Err(e) => state.conn.end(CloseReason::Protocol(format!("it gave an alias that isn't one: {e}"))),
    }
    state.settings.login.worked();
    // Whoever that is, the outbox is the same, and with it the numbers: what the server had stored of it before is
    // recognised, and not stored again.
    state.principal = Some(authenticated.principal);
    Ok(())
}

pub(super) fn attached(state: &mut State, body: &[u8], now: Instant) -> Result<(), DecodeError> {
    let attached: Attached = protocol::decode(body)?;
    if !state.conn.welcomed || state.alias.is_none() || state.conn.attached {
        state.conn.end(CloseReason::Protocol("its handshake is out of order".into()));
        return Ok(());
    }
    let resuming = state.conn.resuming;
    if resuming && !attached.resumed {
        // It took the token for who this is, and began another session all the same.
        state.lost(attached.reason.unwrap_or(Code::SESSION_EXPIRED), "the server began another session".into());
        state.rooms.values_mut().for_each(|room| room.standing = Standing::Away);
    }
    state.session = Some(attached.session);
    state.token = attached.token.map(|token| Token(token.into()));
    state.journal_session();
    state.conn.attached = true;
    state.heard(now);
    let first = state.settings.room.clone();
    if state.begun {
        if resuming && attached.resumed {
            state.conn.untold = true;
        } else {
            let room = state.first_room.as_ref().map(|slot| slot.name.clone());
            state.begin(room);
        }
    } else if resuming || first.is_none() {
        state.begin_early();
    }
    if state.settings.room.is_none() {
        state.ready(Ok(()));
    }
    if resuming {
        state.ask_again();
    }
    state.tell_resumed();
    Ok(())
}
