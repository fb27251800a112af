//! What becomes of the texts that this client has sent.

use std::time::{Duration, Instant};

use super::error::ReceiptError;
use super::event::{Acked, Event};
use super::state::{State, Token};
use crate::id::{RoomId, RoomName, Seq, Timestamp};
use crate::protocol::message::{Ack, Deliver, EventKind, Refused};
use crate::protocol::{self, Code, DecodeError};
use crate::session::outbox::Decided;

pub(super) fn ack(state: &mut State, body: &[u8], _: Instant) -> Result<(), DecodeError> {
    let ack: Ack = protocol::decode(body)?;
    let Some(room) = state.rooms.get_mut(&ack.room).filter(|_| ack.outbox == state.outbox.id()) else { return Ok(()) };
    room.cursor.acked(ack.seq, u64::from(ack.count));
    if ack.seq > Seq::ZERO {
        (ack.seq.get()..).take(ack.count as usize).for_each(|seq| room.unread.hush(Seq::new(seq)));
    }
    let mut decided = Vec::new();
    state.outbox.decide(ack.room, ack.n, u64::from(ack.count), &mut decided);
    let replaced = ack.replaced.and_then(|body| String::from_utf8(body.bytes).ok());
    for decided in decided {
        let seq = if ack.seq == Seq::ZERO { 0 } else { ack.seq.get() + (decided.n - ack.n) };
        state.stored(ack.room, decided, Seq::new(seq), Timestamp::from_millis(ack.at), replaced.clone());
    }
    state.journal_decided(ack.room);
    Ok(())
}

pub(super) fn refused(state: &mut State, body: &[u8], now: Instant) -> Result<(), DecodeError> {
    let refused: Refused = protocol::decode(body)?;
    if refused.outbox != state.outbox.id() {
        return Ok(());
    }
    if !refused.permanent {
        let wait = Duration::from_millis(u64::from(refused.retry_after_ms.unwrap_or(0)));
        // Only a server that waits for a number has forgotten it; any other refusal of one that is decided was on its
        // way when it was decided. To number anew then would have one text acked in another's place.
        if refused.code != Code::RESEND && state.outbox.is_decided(refused.room, refused.n) {
            return Ok(());
        }
        let paced = refused.code == Code::RATE_LIMITED;
        if state.outbox.again(refused.room, refused.n, wait, paced, now) {
            tracing::warn!(n = refused.n, "the server has forgotten what it had stored; the rest is sent again");
            state.rewrite_journal();
        }
        return Ok(());
    }
    let mut decided = Vec::new();
    state.outbox.decide(refused.room, refused.n, 1, &mut decided);
    state.conn.brought |= !decided.is_empty();
    let name = state.rooms.get(&refused.room).map(|room| room.slot.name.clone());
    match name {
        Some(name) => state.refuse(&name, decided, refused.code, &refused.text),
        // Dropping the token tells the receipt.
        None => drop(decided),
    }
    state.journal_decided(refused.room);
    Ok(())
}

impl State {
    /// Events of this client's own come again, from number `n` on: as good as acks.
    pub(super) fn own_came(&mut self, deliver: &Deliver, n: u64) {
        for ((i, event), n) in deliver.events.iter().enumerate().zip(n..) {
            let mut decided = Vec::new();
            self.outbox.decide(deliver.room, n, 1, &mut decided);
            let at = Timestamp::from_millis(deliver.at.saturating_add(i64::from(event.at_delta)));
            let seq = Seq::new(deliver.seq.get() + i as u64);
            for decided in decided {
                let text = || String::from_utf8(event.bytes.clone()).ok();
                let kept = if event.kind == EventKind::TEXT { text() } else { None };
                let replaced = kept.filter(|kept| *kept != decided.text);
                self.stored(deliver.room, decided, seq, at, replaced);
            }
        }
        self.journal_decided(deliver.room);
    }

    /// A text is stored: tell whoever waits, and the application.
    fn stored(&mut self, room: RoomId, decided: Decided<Token>, seq: Seq, at: Timestamp, replaced: Option<String>) {
        self.conn.brought = true;
        let Some(room) = self.rooms.get(&room) else { return };
        let acked = Acked { room: room.slot.name.clone(), seq, at, text: decided.text, replaced };
        let _ = decided.token.send(Ok(acked.clone()));
        self.events.push_lossy(Event::Acked(acked));
    }

    /// Report the fate of texts that the server refused, or will never answer for.
    pub(super) fn refuse(&mut self, room: &RoomName, decided: Vec<Decided<Token>>, code: Code, reason: &str) {
        for Decided { text, token, .. } in decided {
            let _ = token.send(Err(ReceiptError::Refused { code, text: reason.to_owned() }));
            let (room, reason) = (room.clone(), reason.to_owned());
            self.events.push_lossy(Event::Refused { room, code, reason, text });
        }
    }
}
