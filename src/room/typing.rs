//! Who is writing something, as far as others have been told.

use std::collections::HashMap;

use crate::id::PrincipalId;

/// Rooms with more members than this aren't told who is writing: somebody always is.
pub(crate) const MAX_TYPING_MEMBERS: usize = 100;

/// The least time between two signals of one person, in milliseconds. Clients send one every three seconds; a little
/// less, so that none is lost to a clock.
const INTERVAL: u64 = 2_500;

/// A signal holds for so long, in milliseconds.
const HOLDS: u64 = 6_000;

/// Who was told to be writing, and when; at most [`MAX_TYPING_MEMBERS`] of them matter.
#[derive(Debug, Default)]
pub(crate) struct Typists {
    told: HashMap<PrincipalId, Told>,
}

#[derive(Debug)]
struct Told {
    at: u64,
    typing: bool,
}

impl Typists {
    /// Somebody says that they are writing, or no longer. Whether the others are to be told, at `now` in milliseconds.
    pub(crate) fn tell(&mut self, who: PrincipalId, typing: bool, now: u64) -> bool {
        if self.told.len() > MAX_TYPING_MEMBERS {
            self.told.retain(|_, told| now < told.at + HOLDS);
        }
        match self.told.get_mut(&who) {
            // The end is told once for each beginning: nobody makes a flood of it by taking it back.
            Some(told) if !typing => now < told.at + HOLDS && std::mem::replace(&mut told.typing, false),
            None if !typing => false,
            Some(told) if now < told.at + INTERVAL => false,
            _ => {
                self.told.insert(who, Told { at: now, typing });
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADA: PrincipalId = PrincipalId::from_bytes([1; 16]);
    const BOB: PrincipalId = PrincipalId::from_bytes([2; 16]);

    #[test]
    fn whoever_writes_on_is_told_of_every_few_seconds() {
        let mut typists = Typists::default();
        let told: Vec<u64> = (0..100).map(|n| n * 100).filter(|now| typists.tell(ADA, true, 10_000 + now)).collect();
        assert_eq!(told, [0, 2_500, 5_000, 7_500]);
        assert!(typists.tell(BOB, true, 20_000), "others are others");
    }

    #[test]
    fn an_end_is_told_once_and_only_behind_a_beginning() {
        let mut typists = Typists::default();
        assert!(!typists.tell(ADA, false, 1_000));
        assert!(typists.tell(ADA, true, 1_000));
        assert!(typists.tell(ADA, false, 1_100));
        assert!(!typists.tell(ADA, false, 1_200));
        // Beginning and ending by turns makes no flood.
        let told = (0..1_000).filter(|n| typists.tell(ADA, n % 2 == 0, 1_300 + n)).count();
        assert_eq!(told, 0);
        assert!(typists.tell(ADA, true, 4_000));
        assert!(!typists.tell(ADA, false, 10_000), "it has ended by itself");
    }

    #[test]
    fn what_is_remembered_of_a_crowd_is_bounded() {
        let mut typists = Typists::default();
        for n in 0..100_000u32 {
            let mut id = [0; 16];
            id[..4].copy_from_slice(&n.to_be_bytes());
            typists.tell(PrincipalId::from_bytes(id), true, u64::from(n) * 50);
        }
        assert!(typists.told.len() < 500);
    }
}
