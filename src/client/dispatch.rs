//! Which message of the server's does what: one row a kind.

use std::time::{Duration, Instant};

use super::error::{ConnectError, RequestError};
use super::event::{CloseReason, Event};
use super::history::{self, Reader};
use super::requests::Waiting;
use super::state::State;
use super::{opening, publishing, reading, reads, requests, rooms};
use crate::id::Timestamp;
use crate::protocol::frame::{Class, FLAG_REQUIRED, Frame, HEADER_LEN};
use crate::protocol::message::{Bye, Challenge, Credit, ErrorReply, Kind, MembersPage, Notice, Ping, Pong};
use crate::protocol::{self, Code, DecodeError};

type Run = fn(&mut State, &[u8], Instant) -> Result<(), DecodeError>;

const TABLE: &[(Kind, Run)] = &[
    (Kind::Deliver, reading::deliver),
    (Kind::Ack, publishing::ack),
    (Kind::Presence, rooms::presence),
    (Kind::Ping, ping),
    (Kind::Pong, |_, body, _| protocol::decode::<Pong>(body).map(drop)),
    (Kind::Refused, publishing::refused),
    (Kind::Skipped, reading::skipped),
    (Kind::Joined, rooms::joined),
    (Kind::Left, rooms::left),
    (Kind::MembersPage, members),
    (Kind::HistoryEnd, history::history_end),
    (Kind::SearchPage, history::search_page),
    (Kind::Notice, notice),
    (Kind::Done, |state, body, _| requests::answered(state, Kind::Done, body)),
    (Kind::SessionsPage, |state, body, _| requests::answered(state, Kind::SessionsPage, body)),
    (Kind::RoomsPage, |state, body, _| requests::answered(state, Kind::RoomsPage, body)),
    (Kind::BansPage, |state, body, _| requests::answered(state, Kind::BansPage, body)),
    (Kind::Profile, |state, body, _| requests::answered(state, Kind::Profile, body)),
    (Kind::AuditPage, |state, body, _| requests::answered(state, Kind::AuditPage, body)),
    (Kind::MembershipsPage, |state, body, _| requests::answered(state, Kind::MembershipsPage, body)),
    (Kind::BlocksPage, |state, body, _| requests::answered(state, Kind::BlocksPage, body)),
    (Kind::OwnEventsPage, |state, body, _| requests::answered(state, Kind::OwnEventsPage, body)),
    (Kind::Types, reads::types),
    (Kind::Read, reads::read),
    (Kind::Renamed, opening::renamed),
    (Kind::ErrorReply, error),
    (Kind::Bye, bye),
    (Kind::Welcome, opening::welcome),
    (Kind::Authenticated, opening::authenticated),
    (Kind::Attached, opening::attached),
    // This client sends no bulk yet.
    (Kind::Credit, |_, body, _| protocol::decode::<Credit>(body).map(drop)),
    (Kind::Challenge, |state, body, _| {
        protocol::decode::<Challenge>(body)?;
        state.conn.end(CloseReason::Protocol("it asks back, which this client has no answer to".into()));
        Ok(())
    }),
];

/// Take a frame of the server's.
pub(super) fn frame(state: &mut State, frame: &Frame<'_>, now: Instant) {
    let kind = Kind(frame.header.kind);
    if frame.header.class == Class::BULK {
        state.conn.credit.came(HEADER_LEN as u64 + u64::from(frame.header.length));
    }
    let Some((_, run)) = TABLE.iter().find(|(known, _)| *known == kind) else {
        if frame.header.flags & FLAG_REQUIRED != 0 {
            let text = format!("it requires frames of kind {:#06x}, which this client doesn't know: update it", kind.0);
            state.conn.end(CloseReason::Protocol(text));
        }
        return;
    };
    if let Err(e) = run(state, frame.body, now) {
        let text = format!("its {} can't be read: {e}", kind.name().unwrap_or("frame"));
        state.conn.end(CloseReason::Protocol(text));
    }
}

fn members(state: &mut State, body: &[u8], _: Instant) -> Result<(), DecodeError> {
    let page: MembersPage = protocol::decode(body)?;
    match state.waiting.remove(&page.request) {
        Some(Waiting::Members { answer, .. }) => drop(answer.send(Ok(page))),
        Some(other) => drop(state.waiting.insert(page.request, other)),
        None => {}
    }
    Ok(())
}

fn error(state: &mut State, body: &[u8], now: Instant) -> Result<(), DecodeError> {
    let error: ErrorReply = protocol::decode(body)?;
    if state.conn.attached && !error.fatal {
        refused(state, error, now);
    } else if error.fatal || !state.try_another_way(&error) {
        let ErrorReply { code, text, suggestion, retry_after_ms, .. } = error;
        if code == Code::SESSION_EXPIRED {
            state.token = None;
        }
        let reason = CloseReason::Bye { code, text: text.clone(), retry_after_ms };
        state.ready(Err(ConnectError::Refused { code, text, suggestion, retry_after_ms }));
        state.conn.end(reason);
    }
    Ok(())
}

/// A question was refused, or something that was none.
fn refused(state: &mut State, error: ErrorReply, now: Instant) {
    let ErrorReply { code, text, request, retry_after_ms, suggestion, .. } = error;
    let Some(request) = request else { return state.events.push_lossy(Event::ServerError { code, text }) };
    state.bulk_answered(request);
    // What would have worked is worth knowing, whoever asked.
    let text = suggestion.as_ref().map_or(text.clone(), |free| format!("{text} ({free} is free)"));
    match (state.waiting.remove(&request), retry_after_ms) {
        (Some(waiting), Some(ms)) if code == Code::RATE_LIMITED && waiting.keeps_pace() => {
            return state.too_fast(request, waiting, ms, now);
        }
        (Some(waiting), _) => drop(state.waiting.insert(request, waiting)),
        (None, _) => {}
    }
    match state.waiting.remove(&request) {
        Some(Waiting::First { .. }) => {
            let refused = CloseReason::Bye { code, text: text.clone(), retry_after_ms };
            if state.ready.is_some() {
                state.ready(Err(ConnectError::Refused { code, text, suggestion, retry_after_ms }));
                state.conn.end(refused);
            }
        }
        Some(Waiting::Rejoin { room }) => match (retry_after_ms, state.rooms.get_mut(&room)) {
            (Some(ms), Some(room)) => room.retry = Some(now + Duration::from_millis(u64::from(ms))),
            _ => state.exited(room, code, text),
        },
        Some(Waiting::History { room, reader: Reader::Joining, .. }) => state.opened(room, Vec::new()),
        Some(waiting) => waiting.fail(RequestError::Refused { code, text, retry_after_ms }),
        // Whoever asked has left the room meanwhile.
        None => {}
    }
}

fn bye(state: &mut State, body: &[u8], _: Instant) -> Result<(), DecodeError> {
    let Bye { code, text, retry_after_ms } = protocol::decode(body)?;
    if state.ready.is_some() {
        let (text, suggestion) = (text.clone(), None);
        state.ready(Err(ConnectError::Refused { code, text, suggestion, retry_after_ms }));
    }
    state.conn.end(CloseReason::Bye { code, text, retry_after_ms });
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
