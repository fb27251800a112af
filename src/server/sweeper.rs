//! One task looks after all connections: heartbeats, time limits, presence that was left out.

use std::sync::Arc;
use std::time::Duration;

use super::attach;
use super::conn::{Close, Conn};
use super::flusher;
use super::shared::Shared;
use crate::protocol::Code;
use crate::protocol::message::Ping;
use crate::rt;
use crate::session::heartbeat::{Judgement, judge};

/// The sweeper looks so many times a heartbeat: a peer is given up at most an eighth of one late.
const LOOKS: u32 = 8;

/// It looks at most so often, and at least so often: the server's clock for log lines and limits is as exact.
const TICK: std::ops::RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(1);

/// Look after connections, for as long as the server is there.
pub(super) async fn run(shared: Arc<Shared>) {
    let shortest = shared.config.heartbeat.min(shared.config.handshake_timeout);
    let shortest = if shared.keeps_sessions() { shortest.min(shared.config.grace) } else { shortest };
    let tick = (shortest / LOOKS).clamp(*TICK.start(), *TICK.end());
    let heartbeat = shared.config.heartbeat.as_millis() as u64;
    let handshake = shared.config.handshake_timeout.as_millis() as u64;
    loop {
        rt::sleep(tick).await;
        let now = shared.clock.tick();
        attach::expire(&shared, now);
        for (i, conn) in shared.sessions.all().into_iter().enumerate() {
            match judge(&conn.pulse.vitals(), now, heartbeat, handshake) {
                Judgement::Nothing => {}
                Judgement::Ping => {
                    conn.queue(&Ping { nonce: now });
                    conn.kick(&shared);
                }
                Judgement::Close(code) => conn.request_close(goodbye(code)),
            }
            resync(&shared, &conn);
            if i % 256 == 255 {
                rt::yield_now().await;
            }
        }
    }
}

fn resync(shared: &Arc<Shared>, conn: &Arc<Conn>) {
    if conn.take_presence_missed() {
        conn.members().iter().for_each(|member| flusher::resync(shared, member));
    }
}

fn goodbye(code: Code) -> Close {
    match code {
        Code::HANDSHAKE_TIMEOUT => Close::error(code, "the handshake took too long; connect again"),
        Code::FRAME_TIMEOUT => Close {
            retry_after_ms: Some(0),
            ..Close::error(code, "a frame was begun and not completed in time; connect again")
        },
        _ => Close {
            retry_after_ms: Some(0),
            ..Close::bye(code, "nothing was heard, or taken, for three heartbeats; connect again")
        },
    }
}
