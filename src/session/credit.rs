//! How many bytes of bulk the other side may send: never more than there is room for. Pure.

/// What may be sent before the first grant, in bytes (PROTOCOL.md section 7).
pub(crate) const INITIAL: u64 = 262_144;

/// Smaller grants than this part of what there is room for are saved up: each is a frame.
const SAVED_UP: u64 = 4;

/// The grants of one connection.
#[derive(Debug)]
pub(crate) struct Credit {
    /// What the other side may still send.
    outstanding: u64,
}

impl Default for Credit {
    fn default() -> Self {
        Self { outstanding: INITIAL }
    }
}

impl Credit {
    /// A bulk frame of this many bytes, header included, came.
    pub(crate) fn came(&mut self, bytes: u64) {
        // A server may go beyond by a frame.
        self.outstanding = self.outstanding.saturating_sub(bytes);
    }

    /// What to grant now, so that no more is outstanding than `room`; none if it isn't worth a frame.
    pub(crate) fn grant(&mut self, room: u64) -> Option<u64> {
        let bytes = self.worth(room)?;
        self.outstanding += bytes;
        Some(bytes)
    }

    /// What [`grant`](Self::grant) would grant.
    pub(crate) fn worth(&self, room: u64) -> Option<u64> {
        let bytes = room.saturating_sub(self.outstanding);
        (bytes > 0 && bytes >= (room / SAVED_UP).min(INITIAL / SAVED_UP)).then_some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_was_taken_is_granted_again_and_little_is_saved_up() {
        let mut credit = Credit::default();
        assert_eq!(credit.grant(INITIAL), None);
        credit.came(1000);
        assert_eq!(credit.grant(INITIAL), None);
        credit.came(100_000);
        assert_eq!(credit.grant(INITIAL), Some(101_000));
        assert_eq!(credit.grant(1 << 20), Some((1 << 20) - INITIAL));
        assert_eq!(credit.grant(0), None);
    }

    proptest! {
        #[test]
        fn no_more_is_outstanding_than_there_is_room_for_and_an_empty_queue_is_never_starved(
            steps in proptest::collection::vec((0u64..80_000, any::<bool>()), 0..200), capacity in 1u64..1 << 22,
        ) {
            let (mut credit, mut sender, mut queued) = (Credit::default(), INITIAL, 0u64);
            for (frame, taken) in steps {
                if sender > 0 {
                    sender = sender.saturating_sub(frame);
                    credit.came(frame);
                    queued += frame;
                }
                if taken {
                    queued = 0;
                }
                let before = credit.outstanding;
                if let Some(bytes) = credit.grant(capacity.saturating_sub(queued)) {
                    sender += bytes;
                    prop_assert!(before + bytes <= capacity.saturating_sub(queued));
                }
                prop_assert_eq!(credit.outstanding, sender);
                prop_assert!(queued > 0 || sender > 0);
            }
        }
    }
}
