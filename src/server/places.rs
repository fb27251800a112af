//! Places that are few, for what takes long: those who wait for one take turns by address, so that a flood from anywhere
//! leaves the next turn but one to who comes from elsewhere.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::limit::Prefix;
use crate::rt::Signal;

/// Those who may wait; beyond, clients are told to come back. Of passwords, at 20 a second and processor, the last one
/// waits about as long as a handshake may take.
const MAX_WAITING: usize = 256;

/// Of the places that are still free, one address gets one part in so many at most, besides what the limits say: a flood
/// from many addresses leaves the last ones to those that have none.
const PARTS: usize = 4;

/// See the module.
#[derive(Debug)]
pub(super) struct Places {
    /// Those of one address that may wait: a flood from there leaves room for others.
    most: usize,
    state: Mutex<State>,
}

/// Where somebody comes from. Accounts that have come in from an address before wait apart from the others of that
/// address: whoever guesses passwords there is not in their way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Origin {
    pub(super) prefix: Option<Prefix>,
    pub(super) known: bool,
}

#[derive(Debug, Default)]
struct State {
    free: usize,
    entered: usize,
    addresses: HashMap<Origin, Address>,
    /// Addresses that somebody waits from: whose turn it is.
    order: VecDeque<Origin>,
}

#[derive(Debug, Default)]
struct Address {
    entered: usize,
    waiting: VecDeque<Arc<Signal>>,
}

/// A place, or a turn for one; given back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    origin: Origin,
    called: Arc<Signal>,
}

/// Too many wait already.
#[derive(Debug)]
pub(super) struct TooMany;

impl Place {
    /// Wait until it is one's turn. Cancel safe.
    pub(super) async fn turn(&self) {
        self.called.wait().await;
    }
}

impl Places {
    pub(super) fn new(free: usize, most: usize) -> Arc<Self> {
        Arc::new(Self { most: most.clamp(1, MAX_WAITING), state: Mutex::new(State { free, ..State::default() }) })
    }

    /// Ask for a place. It may be used once it is one's [`turn`](Place::turn).
    pub(super) fn enter(self: &Arc<Self>, origin: Origin) -> Result<Place, TooMany> {
        let mut state = self.state.lock();
        let mine = state.addresses.get(&origin).map_or(0, |address| address.entered);
        // Streams of the application's have no address: they are not one stranger's.
        let left = MAX_WAITING - state.entered;
        let most = if origin.prefix.is_some() { (left / PARTS).clamp(1, self.most) } else { MAX_WAITING };
        if left == 0 || mine >= most {
            return Err(TooMany);
        }
        state.entered += 1;
        let called = Arc::<Signal>::default();
        let address = state.addresses.entry(origin).or_default();
        address.entered += 1;
        address.waiting.push_back(Arc::clone(&called));
        if address.waiting.len() == 1 {
            state.order.push_back(origin);
        }
        state.call();
        Ok(Place { places: Arc::clone(self), origin, called })
    }
}

impl State {
    fn call(&mut self) {
        while self.free > 0
            && let Some(origin) = self.order.pop_front()
        {
            let Some(address) = self.addresses.get_mut(&origin) else { continue };
            if let Some(next) = address.waiting.pop_front() {
                self.free -= 1;
                next.notify();
            }
            if !address.waiting.is_empty() {
                self.order.push_back(origin);
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.places.state.lock();
        state.entered -= 1;
        let mut was_called = true;
        if let Some(address) = state.addresses.get_mut(&self.origin) {
            address.entered -= 1;
            if let Some(i) = address.waiting.iter().position(|other| Arc::ptr_eq(other, &self.called)) {
                address.waiting.remove(i);
                was_called = false;
            }
            let (left, waits) = (address.entered, !address.waiting.is_empty());
            if !waits {
                state.order.retain(|other| *other != self.origin);
            }
            if left == 0 {
                state.addresses.remove(&self.origin);
            }
        }
        state.free += usize::from(was_called);
        state.call();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    fn from(n: u8) -> Origin {
        Origin { prefix: Some(Prefix::from(std::net::IpAddr::from([10, 0, 0, n]))), known: false }
    }

    fn is_called(place: &Place) -> bool {
        place.called.wait().now_or_never().is_some()
    }

    #[test]
    fn who_comes_from_elsewhere_is_next_but_one_whatever_waits_before() {
        let places = Places::new(1, 16);
        let mut flood: Vec<_> = (0..16).map(|_| places.enter(from(1)).unwrap()).collect();
        assert!(places.enter(from(1)).is_err(), "one address doesn't take all places");
        assert!(is_called(&flood[0]) && !is_called(&flood[1]));
        let honest = places.enter(from(2)).unwrap();
        let known = places.enter(Origin { known: true, ..from(1) }).expect("nor those of who is known there");
        drop(flood.remove(0));
        assert!(is_called(&flood[0]) && !is_called(&honest));
        drop(flood.remove(0));
        assert!(is_called(&honest) && !is_called(&known));
        drop(honest);
        assert!(is_called(&known));
        drop(known);
        assert!(is_called(&flood[0]));
    }

    #[test]
    fn a_flood_from_many_addresses_leaves_a_place_for_who_has_none() {
        let places = Places::new(1, 16);
        let flood: Vec<_> = (0..50 * 64).filter_map(|n| places.enter(from((n % 50) as u8)).ok()).collect();
        assert!(flood.len() < MAX_WAITING, "{}", flood.len());
        assert!(places.enter(from(200)).is_ok());
    }

    #[test]
    fn who_leaves_gives_back_what_it_had_and_nothing_else() {
        let places = Places::new(1, 16);
        let [first, second, third] = [1, 1, 2].map(|n| places.enter(from(n)).unwrap());
        drop(second);
        drop(first);
        assert!(is_called(&third));
        drop(third);
        let state = places.state.lock();
        assert_eq!((state.free, state.entered, state.order.len(), state.addresses.len()), (1, 0, 0, 0));
    }
}
