//! A session's beginning and end on the server: who is let in, under which alias, and that nothing of it stays.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::conn::{Close, Conn};
use super::guard;
use super::reader::Reader;
use super::shared::Shared;
use crate::handler::{Admission, Peer};
use crate::id::{Alias, PrincipalId};
use crate::protocol::Code;
use crate::protocol::message::{Authenticated, ErrorReply, PrincipalKind};
use crate::room::Author;

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
        withdraw(&self.shared, &self.conn);
        self.conn.with_output(|output| output.fail());
    }
}

/// Let a guest in, or tell it why not.
pub(super) async fn admit(reader: &mut Reader, wish: Option<Alias>) -> Result<(), Close> {
    let (shared, conn) = (Arc::clone(&reader.shared), Arc::clone(&reader.conn));
    let Some(handshake) = &mut reader.handshake else { return Ok(()) };
    let alias = match shared.sessions.claim(wish.as_ref(), conn.id) {
        Ok(alias) => alias,
        Err(free) => {
            let text = format!(
                "the alias {} is in use; {free} is free",
                wish.as_ref().map_or("asked for", |wish| wish.as_str())
            );
            let fatal = !handshake.refused();
            conn.queue(&ErrorReply {
                code: Code::ALIAS_IN_USE,
                text: text.clone(),
                request: None,
                fatal,
                retry_after_ms: None,
                suggestion: Some(free.to_string()),
            });
            return if fatal { Err(Close::gone(Code::ALIAS_IN_USE, text)) } else { Ok(()) };
        }
    };
    let author = Author { principal: PrincipalId::random(), kind: PrincipalKind::Guest, alias };
    if let (Some(handler), true) = (&shared.handler, shared.interests.connect) {
        let who = Peer {
            session: conn.id,
            principal: author.principal,
            kind: author.kind,
            alias: &author.alias,
            address: conn.address,
            agent: &reader.agent,
        };
        let limit = shared.config.handler_timeout;
        let refused = match guard::call("connect", conn.id, limit, async { handler.connect(who).await }).await {
            Ok(Admission::Allow) => None,
            Ok(Admission::Refuse(reason)) => Some(Close::error(Code::CONNECT_REFUSED, reason)),
            Err(guard::HandlerFailed) => Some(Close {
                retry_after_ms: Some(1000),
                ..Close::error(Code::HANDLER_FAILED, "the server's application failed; try again")
            }),
        };
        if let Some(close) = refused {
            shared.sessions.release(&author.alias, conn.id);
            return Err(close);
        }
    }
    handshake.admitted();
    let alias = author.alias.to_string();
    conn.queue(&Authenticated { principal: author.principal, kind: author.kind, alias });
    conn.identify(Arc::new(author), std::mem::take(&mut reader.agent));
    Ok(())
}

/// The session ends: it leaves its rooms, its alias is free, the application hears of it.
pub(super) async fn end(shared: &Arc<Shared>, conn: &Arc<Conn>, close: &Close) {
    let rooms: Vec<_> = conn.rooms.lock().iter().map(|member| Arc::clone(&member.room)).collect();
    let attached = conn.pulse.attached.load(Ordering::Relaxed);
    withdraw(shared, conn);
    let address = conn.address.map_or_else(|| "a stream of the application's".to_owned(), |a| a.to_string());
    let alias = conn.identity().map(|identity| identity.author.alias.as_str());
    if attached {
        tracing::info!(session = %conn.id, alias, %address, code = %close.code, "session ended: {}", close.text);
    } else {
        tracing::info!(session = %conn.id, %address, code = %close.code, "connection ended: {}", close.text);
    }
    let (Some(handler), Some(peer)) = (&shared.handler, conn.peer()) else { return };
    let limit = shared.config.handler_timeout;
    if shared.interests.leave {
        for room in rooms {
            let _ = guard::call("leave", conn.id, limit, async { handler.leave(peer, &room.name).await }).await;
        }
    }
    if shared.interests.disconnect {
        let _ = guard::call("disconnect", conn.id, limit, async { handler.disconnect(peer, close.code).await }).await;
    }
}

/// Take a session out of everything that others see. Does nothing the second time.
fn withdraw(shared: &Arc<Shared>, conn: &Arc<Conn>) {
    shared.sessions.remove(conn.id);
    let members = std::mem::take(&mut *conn.rooms.lock());
    for member in members {
        super::membership::take_out(shared, &member);
    }
    if let Some(identity) = conn.identity() {
        shared.sessions.release(&identity.author.alias, conn.id);
    }
}
