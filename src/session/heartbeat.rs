//! When a connection is asked whether it is alive, and when it is given up. Pure: the time is an argument.

use crate::protocol::Code;

/// Heartbeats without a sign of life after which a peer counts as gone.
pub(crate) const MISSED: u64 = 3;

/// What is known of a connection; times in milliseconds on one clock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Vitals {
    /// The handshake is done.
    pub(crate) attached: bool,
    /// When the connection began.
    pub(crate) began: u64,
    /// When the last byte came.
    pub(crate) heard: u64,
    /// When the last byte was sent.
    pub(crate) sent: u64,
    /// Since when a frame is begun and not complete.
    pub(crate) frame_since: Option<u64>,
    /// Since when the peer has taken nothing of what waits for it.
    pub(crate) stalled_since: Option<u64>,
    /// The server itself has stopped reading: silence is not the peer's.
    pub(crate) reading: bool,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Judgement {
    Nothing,
    Ping,
    Close(Code),
}

/// Judge a connection at `now`, in milliseconds, with this heartbeat and limit for the handshake.
pub(crate) fn judge(v: &Vitals, now: u64, heartbeat: u64, handshake: u64) -> Judgement {
    let since = |then: u64| now.saturating_sub(then);
    let too_long = |then: Option<u64>| then.is_some_and(|then| since(then) >= MISSED * heartbeat);
    if !v.attached {
        return if since(v.began) >= handshake {
            Judgement::Close(Code::HANDSHAKE_TIMEOUT)
        } else {
            Judgement::Nothing
        };
    }
    if v.reading && too_long(v.frame_since) {
        return Judgement::Close(Code::FRAME_TIMEOUT);
    }
    if v.reading && too_long(Some(v.heard)) || too_long(v.stalled_since) {
        return Judgement::Close(Code::IDLE_TIMEOUT);
    }
    // Nothing is gained by more bytes for a peer that doesn't take those that wait.
    if since(v.sent) >= heartbeat && v.stalled_since.is_none() {
        return Judgement::Ping;
    }
    Judgement::Nothing
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALIVE: Vitals =
        Vitals { attached: true, began: 0, heard: 0, sent: 0, frame_since: None, stalled_since: None, reading: true };

    fn at(v: Vitals, now: u64) -> Judgement {
        judge(&v, now, 100, 500)
    }

    #[test]
    fn a_silent_peer_is_asked_after_one_heartbeat_and_given_up_after_three() {
        assert_eq!(at(ALIVE, 99), Judgement::Nothing);
        assert_eq!(at(ALIVE, 100), Judgement::Ping);
        assert_eq!(at(Vitals { sent: 100, ..ALIVE }, 199), Judgement::Nothing);
        assert_eq!(at(Vitals { sent: 299, ..ALIVE }, 300), Judgement::Close(Code::IDLE_TIMEOUT));
        assert_eq!(at(Vitals { sent: 299, heard: 1, ..ALIVE }, 300), Judgement::Nothing);
    }

    #[test]
    fn a_handshake_has_one_limit_however_busy_it_is() {
        let v = Vitals { attached: false, heard: 499, ..ALIVE };
        assert_eq!(at(v, 499), Judgement::Nothing);
        assert_eq!(at(v, 500), Judgement::Close(Code::HANDSHAKE_TIMEOUT));
    }

    #[test]
    fn one_byte_now_and_then_does_not_keep_a_frame_open() {
        let v = Vitals { heard: 299, sent: 299, frame_since: Some(0), ..ALIVE };
        assert_eq!(at(v, 299), Judgement::Nothing);
        assert_eq!(at(v, 300), Judgement::Close(Code::FRAME_TIMEOUT));
    }

    #[test]
    fn silence_while_the_server_does_not_read_is_not_the_peers() {
        let v = Vitals { reading: false, sent: 250, ..ALIVE };
        assert_eq!(at(v, 300), Judgement::Nothing);
    }

    #[test]
    fn a_peer_that_takes_nothing_is_given_up_even_if_it_talks() {
        let v = Vitals { heard: 299, sent: 0, stalled_since: Some(0), ..ALIVE };
        assert_eq!(at(v, 299), Judgement::Nothing);
        assert_eq!(at(v, 300), Judgement::Close(Code::IDLE_TIMEOUT));
    }
}
