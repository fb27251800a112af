//! Which message of the server's does what: one row a kind.

use std::time::{Duration, Instant};

use super::error::{ConnectError, RequestError};
use super::event::{Acked, Author, ChatMessage, CloseReason, Cursor, Event};
use super::state::{Flow, ServerInfo, State, Waiting};
use crate::id::{Alias, RoomName, Seq, Timestamp};
use crate::protocol::frame::{FLAG_REQUIRED, Frame};
use crate::protocol::message::{
    Ack, Attached, Authenticated, Bye, Challenge, Credit, Deliver, ErrorReply, EventKind, Joined, Kind, Left,
    MembersPage, Notice, Person, Ping, Pong, Presence, Refused, SkipReason, Skipped, Source, Welcome,
};
use crate::protocol::{self, Code, DecodeError, VERSION};
use crate::session::cursor::Delivery;

type Run = fn(&mut State, &[u8], Instant) -> Result<(), DecodeError>;

const TABLE: &[(Kind, Run)] = &[
    (Kind::Deliver, deliver),
    (Kind::Ack, ack),
    (Kind::Presence, presence),
    (Kind::Ping, ping),
    (Kind::Pong, |_, body, _| protocol::decode::<Pong>(body).map(drop)),
    (Kind::Refused, refused),
    (Kind::Skipped, skipped),
    (Kind::Joined, joined),
    (Kind::Left, left),
    (Kind::MembersPage, members),
    (Kind::Notice, notice),
    (Kind::ErrorReply, error),
    (Kind::Bye, bye),
    (Kind::Welcome, welcome),
    (Kind::Authenticated, authenticated),
    (Kind::Attached, attached),
    (Kind::Credit, |_, body, _| protocol::decode::<Credit>(body).map(drop)),
    (Kind::Challenge, |state, body, _| {
        protocol::decode::<Challenge>(body)?;
        state.close(CloseReason::Protocol("it challenges a guest".into()));
        Ok(())
    }),
];

/// Take a frame of the server's.
pub(super) fn frame(state: &mut State, frame: &Frame<'_>, now: Instant) {
    let kind = Kind(frame.header.kind);
    let Some((_, run)) = TABLE.iter().find(|(known, _)| *known == kind) else {
        if frame.header.flags & FLAG_REQUIRED != 0 {
            let text = format!("it requires frames of kind {:#06x}, which this client doesn't know: update it", kind.0);
            state.close(CloseReason::Protocol(text));
        }
        return;
    };
    if let Err(e) = run(state, frame.body, now) {
        state.close(CloseReason::Protocol(format!("its {} can't be read: {e}", kind.name().unwrap_or("frame"))));
    }
}

fn welcome(state: &mut State, body: &[u8], _: Instant) -> Result<(), DecodeError> {
    let welcome: Welcome = protocol::decode(body)?;
    if welcome.version != VERSION {
        state.close(CloseReason::Protocol(format!("it chose version {}, which was not offered", welcome.version)));
        return Ok(());
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

fn authenticated(state: &mut State, body: &[u8], _: Instant) -> Result<(), DecodeError> {
    let authenticated: Authenticated = protocol::decode(body)?;
    match Alias::parse(&authenticated.alias) {
        Ok(alias) => state.alias = Some(alias),
        Err(e) => state.close(CloseReason::Protocol(format!("it gave an alias that isn't one: {e}"))),
    }
    Ok(())
}

fn attached(state: &mut State, body: &[u8], now: Instant) -> Result<(), DecodeError> {
    let attached: Attached = protocol::decode(body)?;
    if state.server.is_none() || state.alias.is_none() || state.session.is_some() {
        state.close(CloseReason::Protocol("its handshake is out of order".into()));
        return Ok(());
    }
    state.session = Some(attached.session);
    state.heard(now);
    if !state.wants_room {
        begun(state, None);
    }
    Ok(())
}

/// The session has begun, and its first room, if one was wanted, is joined.
fn begun(state: &mut State, room: Option<RoomName>) {
    let (Some(alias), Some(session)) = (state.alias.clone(), state.session) else { return };
    if let Some(ready) = state.ready.take() {
        state.events.push(Event::Connected { alias, session, room });
        let _ = ready.send(Ok(()));
    }
}

fn joined(state: &mut State, body: &[u8], _: Instant) -> Result<(), DecodeError> {
    let joined: Joined = protocol::decode(body)?;
    let Ok(name) = RoomName::parse(&joined.name) else {
        state.close(CloseReason::Protocol("it named a room with a name that isn't one".into()));
        return Ok(());
    };
    match state.waiting.remove(&joined.request) {
        Some(Waiting::First) => {
            state.first_room = Some(joined.room);
            begun(state, Some(name.clone()));
            state.entered(&joined, name);
        }
        Some(Waiting::Join(answer)) => {
            state.entered(&joined, name.clone());
            let _ = answer.send(Ok((joined.room, name)));
        }
        Some(other) => drop(state.waiting.insert(joined.request, other)),
        None if joined.request == 0 => state.entered(&joined, name),
        None => {}
    }
    Ok(())
}

fn left(state: &mut State, body: &[u8], _: Instant) -> Result<(), DecodeError> {
    let left: Left = protocol::decode(body)?;
    if let Some(room) = state.rooms.remove(&left.room) {
        let lost = state.outbox.drop_room(left.room);
        state.refuse(&room.name, lost, Code::NOT_A_MEMBER, "you left the room before this was stored");
        state.events.push(Event::Left { room: room.name, code: left.code, text: left.text });
    }
    if let Some(Waiting::Leave(answer)) = state.waiting.remove(&left.request) {
        let _ = answer.send(Ok(()));
    }
    Ok(())
}

fn members(state: &mut State, body: &[u8], _: Instant) -> Result<(), DecodeError> {
    let page: MembersPage = protocol::decode(body)?;
    if let Some(Waiting::Members(answer)) = state.waiting.remove(&page.request) {
        let _ = answer.send(Ok(page));
    }
    Ok(())
}

fn error(state: &mut State, body: &[u8], _: Instant) -> Result<(), DecodeError> {
    let ErrorReply { code, text, request, fatal, retry_after_ms, suggestion } = protocol::decode(body)?;
    if state.session.is_none() || fatal {
        // During the handshake every refusal ends it: there is nobody to ask for another alias.
        if let Some(ready) = state.ready.take() {
            let text = text.clone();
            let _ = ready.send(Err(ConnectError::Refused { code, text, suggestion, retry_after_ms }));
        }
        state.close(CloseReason::Bye { code, text, retry_after_ms });
        return Ok(());
    }
    let refused = RequestError::Refused { code, text: text.clone(), retry_after_ms };
    match request.and_then(|request| state.waiting.remove(&request)) {
        Some(Waiting::Join(answer)) => drop(answer.send(Err(refused))),
        Some(Waiting::Leave(answer)) => drop(answer.send(Err(refused))),
        Some(Waiting::Members(answer)) => drop(answer.send(Err(refused))),
        Some(Waiting::First) => {
            if let Some(ready) = state.ready.take() {
                let text = text.clone();
                let _ = ready.send(Err(ConnectError::Refused { code, text, suggestion, retry_after_ms }));
            }
            state.close(CloseReason::Bye { code, text, retry_after_ms });
        }
        None => state.events.push_lossy(Event::ServerError { code, text }),
    }
    Ok(())
}

fn bye(state: &mut State, body: &[u8], _: Instant) -> Result<(), DecodeError> {
    let Bye { code, text, retry_after_ms } = protocol::decode(body)?;
    if let Some(ready) = state.ready.take() {
        let (text, suggestion) = (text.clone(), None);
        let _ = ready.send(Err(ConnectError::Refused { code, text, suggestion, retry_after_ms }));
    }
    state.close(CloseReason::Bye { code, text, retry_after_ms });
    Ok(())
}

fn ping(state: &mut State, body: &[u8], _: Instant) -> Result<(), DecodeError> {
    let Ping { nonce } = protocol::decode(body)?;
    state.send(&Pong { nonce });
    Ok(())
}

fn notice(state: &mut State, body: &[u8], _: Instant) -> Result<(), DecodeError> {
    let Notice { text, at } = protocol::decode(body)?;
    state.events.push_lossy(Event::Notice { text, at: Timestamp::from_millis(at) });
    Ok(())
}

fn ack(state: &mut State, body: &[u8], _: Instant) -> Result<(), DecodeError> {
    let ack: Ack = protocol::decode(body)?;
    let Some(room) = state.rooms.get_mut(&ack.room).filter(|_| ack.outbox == state.outbox.id()) else { return Ok(()) };
    room.cursor.acked(ack.seq, u64::from(ack.count));
    let name = room.name.clone();
    let mut decided = Vec::new();
    state.outbox.decide(ack.room, ack.n, u64::from(ack.count), &mut decided);
    let replaced = ack.replaced.and_then(|body| String::from_utf8(body.bytes).ok());
    for decided in decided {
        let seq = if ack.seq == Seq::ZERO { 0 } else { ack.seq.get() + (decided.n - ack.n) };
        let acked = Acked {
            room: name.clone(),
            seq: Seq::new(seq),
            at: Timestamp::from_millis(ack.at),
            text: decided.text,
            replaced: replaced.clone(),
        };
        let _ = decided.token.send(Ok(acked.clone()));
        state.events.push_lossy(Event::Acked(acked));
    }
    Ok(())
}

fn refused(state: &mut State, body: &[u8], now: Instant) -> Result<(), DecodeError> {
    let refused: Refused = protocol::decode(body)?;
    if refused.outbox != state.outbox.id() {
        return Ok(());
    }
    if !refused.permanent {
        let wait = Duration::from_millis(u64::from(refused.retry_after_ms.unwrap_or(0)));
        state.outbox.again(refused.room, refused.n, wait, now);
        return Ok(());
    }
    let mut decided = Vec::new();
    state.outbox.decide(refused.room, refused.n, 1, &mut decided);
    let name = state.rooms.get(&refused.room).map(|room| room.name.clone());
    match name {
        Some(name) => state.refuse(&name, decided, refused.code, &refused.text),
        // Dropping the token tells the receipt.
        None => drop(decided),
    }
    Ok(())
}

fn deliver(state: &mut State, body: &[u8], _: Instant) -> Result<(), DecodeError> {
    let deliver: Deliver = protocol::decode(body)?;
    let Some(lineage) = state.server.as_ref().map(|server| server.lineage) else { return Ok(()) };
    let full = state.events.is_full();
    let Some(room) = state.rooms.get_mut(&deliver.room) else { return Ok(()) };
    if full || room.flow == Flow::Held {
        state.hold(deliver.room);
        return Ok(());
    }
    let count = deliver.events.len() as u64;
    let mut delivery = room.cursor.deliver(deliver.seq, count);
    if let Delivery::Hole { from, to } = delivery {
        if room.flow == Flow::Seeking {
            // Sent before the server knew where to go on: it comes again.
            return Ok(());
        }
        let name = room.name.clone();
        room.cursor.skip(to);
        state.events.push(Event::Gap { room: name, from, to, reason: SkipReason::Other(0) });
        let Some(room) = state.rooms.get_mut(&deliver.room) else { return Ok(()) };
        delivery = room.cursor.deliver(deliver.seq, count);
    }
    let Some(room) = state.rooms.get_mut(&deliver.room) else { return Ok(()) };
    let Delivery::New { from } = delivery else { return Ok(()) };
    room.flow = Flow::Live;
    let name = room.name.clone();
    let author = Author { principal: deliver.principal, kind: deliver.kind, alias: deliver.alias };
    let source = Source::from_u8(deliver.source.unwrap_or(0));
    for (i, event) in deliver.events.into_iter().enumerate() {
        let seq = Seq::new(deliver.seq.get() + i as u64);
        if seq < from {
            continue;
        }
        let at = Timestamp::from_millis(deliver.at.saturating_add(i64::from(event.at_delta)));
        let (room, from) = (name.clone(), author.clone());
        let text = if event.kind == EventKind::TEXT { String::from_utf8(event.bytes).ok() } else { None };
        let cursor = Cursor { lineage, room: deliver.room, seq };
        state.events.push(match text {
            Some(text) => Event::Message(ChatMessage { room, seq, from, text, at, source, cursor }),
            None => Event::Unsupported { room, seq, from, kind: event.kind, at },
        });
    }
    Ok(())
}

fn skipped(state: &mut State, body: &[u8], _: Instant) -> Result<(), DecodeError> {
    let skipped: Skipped = protocol::decode(body)?;
    let Some(room) = state.rooms.get_mut(&skipped.room) else { return Ok(()) };
    if room.flow == Flow::Held || skipped.to <= room.cursor.seen() {
        return Ok(());
    }
    let from = skipped.from.max(room.cursor.seen().next());
    room.cursor.skip(skipped.to);
    room.flow = Flow::Live;
    let (room, reason) = (room.name.clone(), SkipReason::from_u8(skipped.reason));
    state.events.push(Event::Gap { room, from, to: skipped.to, reason });
    Ok(())
}

fn presence(state: &mut State, body: &[u8], _: Instant) -> Result<(), DecodeError> {
    let presence: Presence = protocol::decode(body)?;
    let full = state.events.is_full();
    let Some(room) = state.rooms.get_mut(&presence.room) else { return Ok(()) };
    let known = room.presence;
    if presence.version <= known && !presence.partial {
        return Ok(());
    }
    room.presence = room.presence.max(presence.version);
    let name = room.name.clone();
    if presence.partial || presence.from > known || full {
        state.events.push_lossy(Event::MembersChanged { room: name, members: presence.count });
        return Ok(());
    }
    let author = |person: Person| Author { principal: person.principal, kind: person.kind, alias: person.alias };
    let mut changes: Vec<(u64, bool, Author)> = Vec::new();
    changes.extend(presence.joined.into_iter().map(|person| (person.version, true, author(person))));
    changes.extend(presence.left.into_iter().map(|person| (person.version, false, author(person))));
    changes.retain(|(version, ..)| *version > known);
    changes.sort_by_key(|(version, ..)| *version);
    for (_, joined, who) in changes {
        let room = name.clone();
        state.events.push(if joined { Event::MemberJoined { room, who } } else { Event::MemberLeft { room, who } });
    }
    Ok(())
}
