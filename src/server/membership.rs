//! Joining and leaving rooms.

use std::sync::Arc;

use super::conn::{Close, Conn};
use super::guard;
use super::reader::Reader;
use super::rooms::Member;
use super::shared::{Clock, Shared};
use super::toll;
use crate::handler::Admission;
use crate::id::RoomName;
use crate::limit::What;
use crate::protocol::Code;
use crate::protocol::message::{ErrorReply, Join, Joined, Leave, Left};
use crate::store::Change;

/// Why somebody doesn't get into a room.
struct Refusal {
    code: Code,
    text: String,
    retry_after_ms: Option<u32>,
}

impl Refusal {
    fn new(code: Code, text: impl Into<String>) -> Self {
        Self { code, text: text.into(), retry_after_ms: None }
    }

    fn limited(retry_after_ms: u32) -> Self {
        Self { retry_after_ms: Some(retry_after_ms), ..Self::new(Code::RATE_LIMITED, toll::TEXT) }
    }
}

/// Answer a `Join`.
pub(super) async fn join(reader: &mut Reader, join: Join) -> Result<(), Close> {
    let (shared, conn) = (Arc::clone(&reader.shared), Arc::clone(&reader.conn));
    if let Err(Refusal { code, text, retry_after_ms }) = try_join(&shared, &conn, &join).await {
        let (request, fatal, suggestion) = (Some(join.request), false, None);
        conn.queue(&ErrorReply { code, text, request, fatal, retry_after_ms, suggestion });
    }
    Ok(())
}

async fn try_join(shared: &Arc<Shared>, conn: &Arc<Conn>, join: &Join) -> Result<(), Refusal> {
    let Some(identity) = conn.identity() else { return Ok(()) };
    let name = match (&shared.config.default_room, join.name.as_str()) {
        (Some(default), "") => default.clone(),
        (None, "") => return Err(Refusal::new(Code::NO_SUCH_ROOM, "this server has no default room: name one")),
        (_, name) => RoomName::parse(name).map_err(|e| Refusal::new(Code::ROOM_NAME_INVALID, e.to_string()))?,
    };
    let session = &identity.session;
    let (known, rooms) = {
        let rooms = conn.members();
        (rooms.iter().find(|member| member.room.name == name).cloned(), rooms.len())
    };
    if let Some(member) = known {
        let state = member.room.lock();
        let (presence, count) = (state.presence.version(), state.members.count() as u32);
        let (room, head) = (member.room.id, member.cursor());
        conn.queue(&Joined {
            request: join.request,
            room,
            name: name.to_string(),
            head,
            presence,
            count,
            latest: None,
        });
        return Ok(());
    }
    if rooms >= shared.config.max_rooms_per_session {
        return Err(Refusal::new(Code::TOO_MANY_ROOMS, format!("you are in {rooms} rooms: leave one first")));
    }
    toll::request(shared, conn, What::Joins).map_err(Refusal::limited)?;
    if let (Some(handler), true, Some(peer)) = (&shared.handler, shared.interests.join, conn.peer()) {
        let limit = shared.config.handler_timeout;
        match guard::call("join", session.id, limit, async { handler.join(peer, &name).await }).await {
            Ok(Admission::Allow) => {}
            Ok(Admission::Refuse(reason)) => return Err(Refusal::new(Code::JOIN_REFUSED, reason)),
            Err(guard::HandlerFailed) => {
                let text = "the server's application failed; try again";
                return Err(Refusal { retry_after_ms: Some(1000), ..Refusal::new(Code::HANDLER_FAILED, text) });
            }
        }
    }
    if shared.rooms.find(&name).is_none() {
        toll::request(shared, conn, What::Rooms).map_err(Refusal::limited)?;
    }
    loop {
        let keep = |change| shared.keep(change);
        let room = shared
            .rooms
            .open(&name, false, Clock::timestamp(), keep)
            .map_err(|_| Refusal::new(Code::TOO_MANY_ROOMS, "the server has as many rooms as it takes"))?;
        // The room may have ended since it was found; then there is a new one under its name.
        let entered = room.enter(conn, session, |entered| {
            session.rooms.lock().push(Arc::clone(&entered.member));
            shared.keep(Change::PutMember(entered.member.record()));
            conn.queue(&Joined {
                request: join.request,
                room: room.id,
                name: name.to_string(),
                head: entered.head,
                presence: entered.presence,
                count: entered.count as u32,
                latest: None,
            });
        });
        if entered.is_none() {
            if session.is_on(conn) {
                continue;
            }
            // Another connection has the session: it joins there, or not at all.
            return Ok(());
        }
        shared.flush(&room);
        tracing::info!(session = %session.id, room = %name, alias = %session.author.alias, "joined");
        return Ok(());
    }
}

/// Answer a `Leave`.
pub(super) async fn leave(reader: &mut Reader, leave: Leave) -> Result<(), Close> {
    // What was said before leaving is said.
    reader.settle().await;
    let (shared, conn) = (Arc::clone(&reader.shared), Arc::clone(&reader.conn));
    let Leave { request, room } = leave;
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
    take_out(&shared, &member);
    // Behind `Left` nothing of the room is written: the member is marked as gone before.
    conn.queue(&Left { request, room, code: Code::GOODBYE, text: String::new() });
    tracing::info!(session = %member.session.id, room = %member.room.name, "left");
    if let (Some(handler), true, Some(peer)) = (&shared.handler, shared.interests.leave, conn.peer()) {
        let limit = shared.config.handler_timeout;
        let _ = guard::call("leave", member.session.id, limit, async { handler.leave(peer, &member.room.name).await })
            .await;
    }
    Ok(())
}

/// Take a member out of its room, and tell the others; the room ends with its last member, unless it stays.
pub(super) fn take_out(shared: &Arc<Shared>, member: &Arc<Member>) {
    if shared.rooms.leave(member, |change| shared.keep(change)) {
        shared.flush(&member.room);
    }
}
