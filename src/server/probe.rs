//! Whether somebody is there: a ping that waits for its answer.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::channel::oneshot;
use parking_lot::Mutex;

use super::conn::Conn;
use super::shared::Shared;
use crate::id::random_bytes;
use crate::protocol::message::Ping;
use crate::rt;

/// Whoever is there answers in less, unless they are far away and busy.
const PATIENCE: Duration = Duration::from_secs(1);

/// Pings whose answers are waited for, by connection and nonce.
#[derive(Debug, Default)]
pub(super) struct Probes {
    waiting: Mutex<HashMap<(u64, u64), oneshot::Sender<()>>>,
}

impl Probes {
    /// A connection has answered a ping with this nonce.
    pub(super) fn answered(&self, conn: u64, nonce: u64) {
        if let Some(waiting) = self.waiting.lock().remove(&(conn, nonce)) {
            let _ = waiting.send(());
        }
    }
}

/// Whether a connection's peer answers.
pub(super) async fn is_there(shared: &Arc<Shared>, conn: &Arc<Conn>) -> bool {
    // Not to be guessed: an answer to another connection's ping is none.
    let [a, b, c, d, e, f, g, h, ..] = random_bytes();
    let key = (conn.id, u64::from_be_bytes([a, b, c, d, e, f, g, h]));
    let (answer, answered) = oneshot::channel();
    shared.probes.waiting.lock().insert(key, answer);
    conn.queue(&Ping { nonce: key.1 });
    conn.kick(shared);
    let there = rt::timeout(PATIENCE, answered).await;
    shared.probes.waiting.lock().remove(&key);
    matches!(there, Some(Ok(())))
}
