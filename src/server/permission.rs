//! The application's say in what the one table decides.

use super::conn::Conn;
use super::guard;
use super::membership::Refusal;
use super::rooms::Room;
use super::shared::Shared;
use crate::handler::{Question, Ruling};
use crate::id::PrincipalId;
use crate::protocol::Code;
use crate::room::{Action, Author};

/// What the table says, unless the application decides otherwise. In directs it isn't asked: nobody keeps order there.
///
/// # Errors
///
/// The application refuses, or has failed.
pub(super) async fn ask(
    shared: &Shared,
    conn: &Conn,
    actor: &Author,
    room: &Room,
    action: Action,
    whom: Option<PrincipalId>,
    permitted: bool,
) -> Result<Ruling, Refusal> {
    let (Some(handler), true, Some(who)) = (&shared.handler, shared.interests.permission, conn.peer(actor)) else {
        return Ok(Ruling::AsUsual);
    };
    if room.pair.is_some() {
        return Ok(Ruling::AsUsual);
    }
    let question = Question { who, room: &room.name, action, whom, permitted };
    let limit = shared.config.handler_timeout;
    let asked = guard::call("permission", who.session, limit, async { handler.permission(question).await }).await;
    match asked {
        Ok(Ruling::Refuse(reason)) => Err(Refusal::new(Code::NOT_PERMITTED, reason)),
        Ok(ruling) => Ok(ruling),
        Err(guard::HandlerFailed) => {
            Err(Refusal::later(Code::HANDLER_FAILED, "the server's application failed; try again"))
        }
    }
}
