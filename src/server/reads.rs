//! How far people have read: kept a moment later, and told to their other devices. What is read on one of an account's
//! devices is read.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::rooms::Member;
use super::shared::Shared;
use crate::id::{RoomId, SessionId};
use crate::protocol::message::Read;
use crate::rt::{self, Signal};
use crate::store::Change;

/// The least time between two looks: however fast somebody reads, it is kept, and told, so often.
const INTERVAL: Duration = Duration::from_millis(500);

/// Members who have read something that isn't kept.
#[derive(Debug, Default)]
pub(super) struct Reads {
    waiting: Mutex<HashMap<(RoomId, SessionId), Arc<Member>>>,
    signal: Signal,
}

impl Reads {
    /// Somebody has read further.
    pub(super) fn note(&self, member: &Arc<Member>) {
        self.waiting.lock().insert((member.room.id, member.session.id), Arc::clone(member));
        self.signal.notify();
    }
}

/// Keep and tell what was read, for as long as the server is there.
pub(super) async fn run(shared: Arc<Shared>) {
    loop {
        shared.reads.signal.wait().await;
        let waiting = std::mem::take(&mut *shared.reads.waiting.lock());
        for (i, member) in waiting.into_values().enumerate() {
            settle(&shared, &member);
            if i % 64 == 63 {
                rt::yield_now().await;
            }
        }
        rt::sleep(INTERVAL).await;
    }
}

fn settle(shared: &Arc<Shared>, member: &Arc<Member>) {
    let (room, session) = (&member.room, &member.session);
    let told = {
        let state = room.lock();
        // The session may have another connection by now, and with it another member here; or be out of the room, which
        // was kept under this lock.
        let mut mine = state.members.of(session.principal).filter(|other| other.session.id == session.id);
        let Some(current) = mine.next().filter(|current| !current.has_left()) else { return };
        shared.keep(Change::PutMember(current.record()));
        let others = state.members.of(session.principal).filter(|other| other.session.id != session.id);
        let seq = current.read();
        others.filter(|other| other.read_up_to(seq) && !other.is_gone()).cloned().collect::<Vec<_>>()
    };
    room.note_read(member).into_iter().for_each(|change| shared.keep(change));
    let read = Read { room: room.id, seq: member.read() };
    for other in told {
        other.session.queue(&read);
        other.conn.kick(shared);
    }
}
