//! Turns: a few at a time, in the order in which they came.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::Signal;

/// However busy the others are: what runs beyond is no longer a share.
const MOST: usize = 32;

/// Averages are of about so many.
const SMOOTH: u32 = 8;

/// Lets a few at a time do something; the others wait in the order in which they came. Who gets a turn is woken, and
/// runs when everything else that is ready has had its own: so those who wait can't make a queue that others stand in.
#[derive(Debug)]
pub(crate) struct Turns {
    share: Option<u32>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Turns that may be taken at a time …
    allowed: usize,
    /// … and those that are.
    taken: usize,
    waiting: VecDeque<Arc<Place>>,
    /// How long it takes from being woken to running, and how long a turn is. Averages.
    lag: Duration,
    cost: Duration,
}

/// A place in the queue.
#[derive(Debug, Default)]
struct Place {
    called: Signal,
    at: Mutex<Option<Instant>>,
}

/// Given back when dropped.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    turns: &'a Turns,
    begun: Instant,
}

/// Waits for a turn. Cancel safe.
#[derive(Debug)]
pub(crate) struct Wait<'a> {
    turns: &'a Turns,
    place: Option<Arc<Place>>,
}

impl Default for Turns {
    fn default() -> Self {
        Self::new(1)
    }
}

impl Turns {
    /// So many at a time.
    pub(crate) fn new(count: usize) -> Self {
        let (waiting, lag, cost) = (VecDeque::new(), Duration::ZERO, Duration::ZERO);
        Self { share: None, state: Mutex::new(State { allowed: count, taken: 0, waiting, lag, cost }) }
    }

    /// One at a time while little else is done; and when there is much else, as many as take about one part in `parts`
    /// of the time: they are slow then, but never stand still.
    pub(crate) fn share(parts: u32) -> Self {
        Self { share: Some(parts), ..Self::new(1) }
    }

    /// Whether whoever came now would have to wait.
    pub(crate) fn are_taken(&self) -> bool {
        let state = self.state.lock();
        state.taken >= state.allowed || !state.waiting.is_empty()
    }

    pub(crate) fn wait(&self) -> Wait<'_> {
        Wait { turns: self, place: None }
    }

    /// Take a turn whenever the work goes on.
    pub(crate) async fn pace<T>(&self, mut work: Pin<&mut impl Future<Output = T>>) -> T {
        let mut wait = self.wait();
        std::future::poll_fn(|cx| {
            let _turn = ready!(Pin::new(&mut wait).poll(cx));
            work.as_mut().poll(cx)
        })
        .await
    }

    fn begin(&self, called: Option<Instant>) -> Turn<'_> {
        let begun = Instant::now();
        if let (Some(_), Some(called)) = (self.share, called) {
            let mut state = self.state.lock();
            state.lag = (state.lag * (SMOOTH - 1) + begun.saturating_duration_since(called)) / SMOOTH;
        }
        Turn { turns: self, begun }
    }

    fn give_back(&self, took: Duration) {
        let mut state = self.state.lock();
        state.taken -= 1;
        if let Some(parts) = self.share {
            state.cost = (state.cost * (SMOOTH - 1) + took) / SMOOTH;
            let cost = (state.cost * parts).as_nanos().max(1);
            state.allowed = usize::try_from(state.lag.as_nanos() / cost).unwrap_or(MOST).clamp(1, MOST);
        }
        state.call();
    }
}

impl State {
    fn call(&mut self) {
        while self.taken < self.allowed
            && let Some(next) = self.waiting.pop_front()
        {
            self.taken += 1;
            *next.at.lock() = Some(Instant::now());
            next.called.notify();
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.turns.give_back(self.begun.elapsed());
    }
}

impl<'a> Future for Wait<'a> {
    type Output = Turn<'a>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Turn<'a>> {
        let this = self.get_mut();
        if this.place.is_none() {
            let mut state = this.turns.state.lock();
            if state.taken < state.allowed && state.waiting.is_empty() {
                state.taken += 1;
                drop(state);
                return Poll::Ready(this.turns.begin(None));
            }
            let place = Arc::<Place>::default();
            state.waiting.push_back(Arc::clone(&place));
            this.place = Some(place);
        }
        let Some(place) = &this.place else { return Poll::Pending };
        ready!(place.called.poll_wait(cx));
        let called = *place.at.lock();
        this.place = None;
        Poll::Ready(this.turns.begin(called))
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        let Some(place) = &self.place else { return };
        let mut state = self.turns.state.lock();
        let before = state.waiting.len();
        state.waiting.retain(|other| !Arc::ptr_eq(other, place));
        if state.waiting.len() == before {
            // It was called, and doesn't come.
            state.taken -= 1;
            state.call();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;
    use futures::executor::block_on;

    #[test]
    fn turns_are_given_in_the_order_in_which_they_were_asked_for() {
        let turns = Turns::new(1);
        let first = block_on(turns.wait());
        let (mut second, mut third) = (turns.wait(), turns.wait());
        assert!((&mut second).now_or_never().is_none() && (&mut third).now_or_never().is_none());
        drop(first);
        assert!(turns.wait().now_or_never().is_none(), "nobody overtakes");
        assert!((&mut third).now_or_never().is_none());
        drop((&mut second).now_or_never().expect("it is its turn"));
        assert!((&mut third).now_or_never().is_some());
    }

    #[test]
    fn who_is_called_and_does_not_come_leaves_the_turn_to_the_next() {
        let turns = Turns::new(1);
        let first = block_on(turns.wait());
        let (mut second, mut third) = (turns.wait(), turns.wait());
        assert!((&mut second).now_or_never().is_none() && (&mut third).now_or_never().is_none());
        drop(first);
        drop(second);
        drop((&mut third).now_or_never().expect("it is its turn"));
        assert!(turns.wait().now_or_never().is_some());
    }

    #[test]
    fn work_in_turns_gives_its_turn_back_while_it_waits() {
        let (turns, signal) = (Turns::new(1), Signal::default());
        let mut work = std::pin::pin!(signal.wait());
        let mut paced = std::pin::pin!(turns.pace(work.as_mut()));
        assert!((&mut paced).now_or_never().is_none());
        let other = turns.wait().now_or_never().expect("nobody has it");
        signal.notify();
        assert!((&mut paced).now_or_never().is_none(), "another has the turn");
        drop(other);
        assert!((&mut paced).now_or_never().is_some());
    }

    #[test]
    fn when_others_are_busy_more_come_in_at_a_time() {
        let turns = Turns::share(4);
        let one = || turns.begin(Some(Instant::now() - Duration::from_millis(500)));
        for _ in 0..3 * SMOOTH {
            turns.state.lock().taken += 1;
            drop(one());
        }
        let held: Vec<_> = (0..100).map_while(|_| turns.wait().now_or_never()).collect();
        assert_eq!(held.len(), MOST);
        drop(held);
        // Nobody waits any more.
        for _ in 0..20 * SMOOTH {
            turns.state.lock().taken += 1;
            drop(turns.begin(Some(Instant::now())));
        }
        let held: Vec<_> = (0..100).map_while(|_| turns.wait().now_or_never()).collect();
        assert!(held.len() < MOST, "{}", held.len());
    }
}
