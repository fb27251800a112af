//! The directs of two, and how many of them anybody may have.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::Arc;

use super::rooms::Room;
use crate::id::PrincipalId;
use crate::limit::Network;

/// Directs that one person has at most, not counted as rooms: an account comes into all of them whenever it logs in.
const MAX_DIRECTS: usize = 500;

/// Directs that guests from one address have opened at once with one and the same person, at most: fewer, so that they
/// can't take up all that somebody else may have …
const MAX_OPENED_WITH: usize = 200;

/// … and with all: what an office of people needs, and no room for millions.
const MAX_OPENED: usize = 5000;

/// The smaller id first.
type Pair = (PrincipalId, PrincipalId);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Pairs {
    rooms: HashMap<Pair, Arc<Room>>,
    /// How many somebody has.
    had: HashMap<PrincipalId, usize>,
    /// How many guests have opened from somewhere, and with whom: both of the two are counted, the other one is asked about.
    opened: HashMap<Network, usize>,
    opened_with: HashMap<(Network, PrincipalId), usize>,
}

/// Why there is no direct.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TooManyDirects {
    Yours,
    Theirs,
    OfAddress,
}

impl fmt::Display for TooManyDirects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Yours => "you have as many directs as you may: leave one first",
            Self::Theirs => "they have as many directs as they may: write to them in a room",
            Self::OfAddress => {
                "guests from your address have opened as many directs as they may; try again later, or write in a room"
            }
        })
    }
}

impl Pairs {
    pub(super) fn get(&self, pair: Pair) -> Option<&Arc<Room>> {
        self.rooms.get(&pair)
    }

    /// Whether two may have a direct, which they don't have yet; a guest from `from` asks, if that counts.
    pub(super) fn may_have(&self, pair: Pair, from: Option<Network>, asker: PrincipalId) -> Result<(), TooManyDirects> {
        let is_full = |who: &PrincipalId| self.had.get(who).is_some_and(|count| *count >= MAX_DIRECTS);
        if is_full(&asker) {
            return Err(TooManyDirects::Yours);
        }
        let other = if pair.0 == asker { pair.1 } else { pair.0 };
        let has_opened_many = |from: Network| {
            self.opened.get(&from).is_some_and(|count| *count >= MAX_OPENED)
                || self.opened_with.get(&(from, other)).is_some_and(|count| *count >= MAX_OPENED_WITH)
        };
        if from.is_some_and(has_opened_many) {
            return Err(TooManyDirects::OfAddress);
        }
        if is_full(&pair.0) || is_full(&pair.1) { Err(TooManyDirects::Theirs) } else { Ok(()) }
    }

    pub(super) fn insert(&mut self, pair: Pair, room: &Arc<Room>) {
        self.rooms.insert(pair, Arc::clone(room));
        [pair.0, pair.1].into_iter().for_each(|who| *self.had.entry(who).or_default() += 1);
        if let Some(from) = room.opened_from {
            *self.opened.entry(from).or_default() += 1;
            [pair.0, pair.1].into_iter().for_each(|who| *self.opened_with.entry((from, who)).or_default() += 1);
        }
    }

    pub(super) fn remove(&mut self, pair: Pair, room: &Room) {
        if self.rooms.remove(&pair).is_some() {
            [pair.0, pair.1].iter().for_each(|who| fewer(&mut self.had, who));
            if let Some(from) = room.opened_from {
                fewer(&mut self.opened, &from);
                [pair.0, pair.1].into_iter().for_each(|who| fewer(&mut self.opened_with, &(from, who)));
            }
        }
    }
}

/// Count one less of something.
fn fewer<K: Eq + Hash>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{RoomId, RoomName, Seq};

    fn office(n: u8) -> Option<Network> {
        Some(Network::around([10, 0, 0, n].into()))
    }

    fn pair(a: PrincipalId, b: PrincipalId) -> Pair {
        if a < b { (a, b) } else { (b, a) }
    }

    /// A guest opens a direct with somebody, if that may be.
    fn open(pairs: &mut Pairs, from: Option<Network>, with: PrincipalId) -> Result<(Pair, Arc<Room>), TooManyDirects> {
        let guest = PrincipalId::random();
        let pair = pair(guest, with);
        pairs.may_have(pair, from, guest)?;
        let mut room = Room::new(RoomId::random(), RoomName::parse("pair").unwrap(), false, Seq::ZERO);
        room.opened_from = from;
        let room = Arc::new(room);
        pairs.insert(pair, &room);
        Ok((pair, room))
    }

    #[test]
    fn guests_of_one_address_open_so_many_directs_in_all_and_others_are_not_in_it() {
        let mut pairs = Pairs::default();
        let one = PrincipalId::random();
        let mut opened: Vec<_> = (0..MAX_OPENED_WITH).map(|_| open(&mut pairs, office(1), one).unwrap()).collect();
        assert_eq!(open(&mut pairs, office(1), one).unwrap_err(), TooManyDirects::OfAddress);
        opened
            .extend((MAX_OPENED_WITH..MAX_OPENED).map(|_| open(&mut pairs, office(1), PrincipalId::random()).unwrap()));
        let another = PrincipalId::random();
        assert_eq!(open(&mut pairs, office(1), another).unwrap_err(), TooManyDirects::OfAddress);
        // Who comes from elsewhere, or has an account, may: also with who was asked so often.
        open(&mut pairs, office(2), one).unwrap();
        open(&mut pairs, None, another).unwrap();
        // What has ended makes room for another.
        let (pair, room) = opened.pop().unwrap();
        pairs.remove(pair, &room);
        open(&mut pairs, office(1), another).unwrap();
        assert_eq!(open(&mut pairs, office(1), another).unwrap_err(), TooManyDirects::OfAddress);
    }

    #[test]
    fn nothing_is_left_of_directs_that_have_ended() {
        let mut pairs = Pairs::default();
        let one = PrincipalId::random();
        let opened: Vec<_> = (0..3).map(|_| open(&mut pairs, office(1), one).unwrap()).collect();
        opened.iter().for_each(|(pair, room)| pairs.remove(*pair, room));
        assert!(pairs.rooms.is_empty() && pairs.had.is_empty());
        assert!(pairs.opened.is_empty() && pairs.opened_with.is_empty());
    }
}
