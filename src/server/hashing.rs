//! Passwords are hashed off the async threads, at a lower priority than these, a few at a time; and those who wait for it
//! take turns by address: a flood from anywhere leaves the next turn but one to who comes from elsewhere.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::limit::Prefix;
use crate::rt::{self, Signal};

/// Passwords that may wait to be checked; beyond, clients are told to come back. At 20 a second and processor, the last
/// one waits about as long as a handshake may take.
const MAX_WAITING: usize = 256;

/// Of them, those of one address: a flood from there leaves room for others …
const MAX_WAITING_PER_ADDRESS: usize = 16;

/// … and of the places that are still free, one address gets one part in so many at most: a flood from many addresses
/// leaves the last ones to those that have none.
const PARTS: usize = 4;

/// How many passwords are checked at once: each takes a processor for 50 ms, and 19 MiB.
#[derive(Debug)]
pub(super) struct Pool {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    free: usize,
    entered: usize,
    addresses: HashMap<Option<Prefix>, Address>,
    /// Addresses that somebody waits from: whose turn it is.
    order: VecDeque<Option<Prefix>>,
}

#[derive(Debug, Default)]
struct Address {
    entered: usize,
    waiting: VecDeque<Arc<Signal>>,
}

/// A place in the pool; given back when dropped.
#[derive(Debug)]
struct Place {
    pool: Arc<Pool>,
    prefix: Option<Prefix>,
    called: Arc<Signal>,
}

/// Too many passwords wait to be checked.
#[derive(Debug)]
pub(super) struct TooMany;

impl Pool {
    pub(super) fn new() -> Arc<Self> {
        // One processor is left for everything else, where there is more than one.
        Self::of(rt::parallelism().saturating_sub(1).max(1))
    }

    fn of(free: usize) -> Arc<Self> {
        Arc::new(Self { state: Mutex::new(State { free, ..State::default() }) })
    }

    /// Do something slow with a password, in its turn.
    pub(super) async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        prefix: Option<Prefix>,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, TooMany> {
        let place = self.enter(prefix).ok_or(TooMany)?;
        place.called.wait().await;
        // The place goes along: whoever hangs up gives it back only when the work is done.
        Ok(rt::spawn_background(move || {
            let _place = place;
            work()
        })
        .await)
    }

    fn enter(self: &Arc<Self>, prefix: Option<Prefix>) -> Option<Place> {
        let mut state = self.state.lock();
        let mine = state.addresses.get(&prefix).map_or(0, |address| address.entered);
        // Streams of the application's have no address: they are not one stranger's.
        let left = MAX_WAITING - state.entered;
        let most = if prefix.is_some() { (left / PARTS).clamp(1, MAX_WAITING_PER_ADDRESS) } else { MAX_WAITING };
        if left == 0 || mine >= most {
            return None;
        }
        state.entered += 1;
        let called = Arc::<Signal>::default();
        let address = state.addresses.entry(prefix).or_default();
        address.entered += 1;
        address.waiting.push_back(Arc::clone(&called));
        if address.waiting.len() == 1 {
            state.order.push_back(prefix);
        }
        state.call();
        Some(Place { pool: Arc::clone(self), prefix, called })
    }
}

impl State {
    fn call(&mut self) {
        while self.free > 0
            && let Some(prefix) = self.order.pop_front()
        {
            let Some(address) = self.addresses.get_mut(&prefix) else { continue };
            if let Some(next) = address.waiting.pop_front() {
                self.free -= 1;
                next.notify();
            }
            if !address.waiting.is_empty() {
                self.order.push_back(prefix);
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.pool.state.lock();
        state.entered -= 1;
        let mut was_called = true;
        if let Some(address) = state.addresses.get_mut(&self.prefix) {
            address.entered -= 1;
            if let Some(i) = address.waiting.iter().position(|other| Arc::ptr_eq(other, &self.called)) {
                address.waiting.remove(i);
                was_called = false;
            }
            let (left, waits) = (address.entered, !address.waiting.is_empty());
            if !waits {
                state.order.retain(|other| *other != self.prefix);
            }
            if left == 0 {
                state.addresses.remove(&self.prefix);
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

    fn from(n: u8) -> Option<Prefix> {
        Some(Prefix::from(std::net::IpAddr::from([10, 0, 0, n])))
    }

    fn is_called(place: &Place) -> bool {
        place.called.wait().now_or_never().is_some()
    }

    #[test]
    fn who_comes_from_elsewhere_is_next_but_one_whatever_waits_before() {
        let pool = Pool::of(1);
        let mut flood: Vec<_> = (0..16).map(|_| pool.enter(from(1)).unwrap()).collect();
        assert!(pool.enter(from(1)).is_none(), "one address doesn't take all places");
        assert!(is_called(&flood[0]) && !is_called(&flood[1]));
        let honest = pool.enter(from(2)).unwrap();
        drop(flood.remove(0));
        assert!(is_called(&flood[0]) && !is_called(&honest));
        drop(flood.remove(0));
        assert!(is_called(&honest));
        drop(honest);
        assert!(is_called(&flood[0]));
    }

    #[test]
    fn a_flood_from_many_addresses_leaves_a_place_for_who_has_none() {
        let pool = Pool::of(1);
        let flood: Vec<_> = (0..50 * 64).filter_map(|n| pool.enter(from((n % 50) as u8))).collect();
        assert!(flood.len() < MAX_WAITING, "{}", flood.len());
        assert!(pool.enter(from(200)).is_some());
    }

    #[test]
    fn who_leaves_gives_back_what_it_had_and_nothing_else() {
        let pool = Pool::of(1);
        let [first, second, third] = [1, 1, 2].map(|n| pool.enter(from(n)).unwrap());
        drop(second);
        drop(first);
        assert!(is_called(&third));
        drop(third);
        let state = pool.state.lock();
        assert_eq!((state.free, state.entered, state.order.len(), state.addresses.len()), (1, 0, 0, 0));
    }
}
