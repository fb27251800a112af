//! How much of each room is kept: what goes beyond is dropped by one task, and becomes a gap that readers are told.

use std::sync::Arc;
use std::time::Duration;

use super::handle::{HandleError, ServerHandle, note};
use super::rooms::Room;
use super::shared::{Clock, Shared};
use crate::id::RoomName;
use crate::rt;
use crate::store::{Change, Retention};

/// Logs grow slowly beside what they hold: nobody notices a minute.
const INTERVAL: Duration = Duration::from_secs(60);

/// How much is kept of rooms.
impl ServerHandle {
    /// How much of a room is kept.
    ///
    /// # Errors
    ///
    /// There is no such room; the server has stopped.
    pub async fn retention(&self, room: &RoomName) -> Result<Retention, HandleError> {
        let shared = self.running()?;
        let room = shared.rooms.find(room).ok_or(HandleError::NoSuchRoom)?;
        Ok(of(shared, &room))
    }

    /// Keep so much of a room, whatever [`ServerBuilder::retention`](super::ServerBuilder::retention) says; `None`: as
    /// much as that says again. It outlives the server, if the store does, and ends with the room. What goes beyond it is
    /// dropped soon after this resolves, and from then on once a minute.
    ///
    /// # Errors
    ///
    /// There is no such room; the store failed; the server has stopped.
    pub async fn set_retention(&self, room: &RoomName, keep: Option<Retention>) -> Result<(), HandleError> {
        let shared = self.running()?;
        let room = shared.rooms.find(room).ok_or(HandleError::NoSuchRoom)?;
        let change = Change::Retain { room: room.id, keep };
        note(shared, "retain", Some(&room.name), "", &said(keep), vec![change]).await?;
        room.lock().retention = keep;
        shared.trims.notify();
        Ok(())
    }
}

/// How much is kept, in words.
fn said(keep: Option<Retention>) -> String {
    let Some(keep) = keep else { return "as much as of any room".to_owned() };
    let age = keep.max_age.map(|age| format!("no older than {} s", age.as_secs()));
    let events = keep.max_events.map(|events| format!("at most {events} events"));
    let bytes = keep.max_bytes.map(|bytes| format!("about {bytes} bytes"));
    let bounds: Vec<String> = [age, events, bytes].into_iter().flatten().collect();
    if bounds.is_empty() { "everything".to_owned() } else { bounds.join(", ") }
}

fn of(shared: &Shared, room: &Room) -> Retention {
    room.lock().retention.unwrap_or(shared.config.retention)
}

/// Drop what is not to be kept, for as long as the server is there.
pub(super) async fn run(shared: Arc<Shared>) {
    loop {
        for room in shared.rooms.all() {
            let keep = of(&shared, &room);
            if keep == Retention::ALL {
                continue;
            }
            match shared.store.trim(room.id, keep, Clock::timestamp()).await {
                // Whoever is further behind than that is told so by the store.
                Ok(trimmed) => room.lock().tail.forget(trimmed),
                Err(e) => tracing::error!(room = %room.name, "old events can't be dropped: {e}"),
            }
        }
        rt::race(rt::sleep(INTERVAL), shared.trims.wait()).await;
    }
}
