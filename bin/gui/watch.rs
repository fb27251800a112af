//! How long the window took to come up, and how long it doesn't answer then: with `--log chatnet_gui=debug`, for whoever
//! looks for what makes it jerk. Without it nothing is measured, and an idle window sleeps.

use std::cell::Cell;
use std::time::{Duration, Instant};

use slint::{Timer, TimerMode};
use tracing::Level;

/// What is looked for is longer.
const TICK: Duration = Duration::from_millis(5);

/// Shorter ones are nobody's business: a frame at 60 Hz is 16 ms.
const NOTABLE: Duration = Duration::from_millis(20);

/// A watch over the event loop, as long as it is kept.
pub(crate) struct Watch {
    begun: Instant,
    shown: Cell<bool>,
    _timer: Option<Timer>,
}

impl Watch {
    /// From the program's beginning on.
    pub(crate) fn new(begun: Instant) -> Self {
        let timer = tracing::enabled!(Level::DEBUG).then(|| {
            let (timer, last) = (Timer::default(), Cell::new(Instant::now()));
            timer.start(TimerMode::Repeated, TICK, move || {
                let still = last.replace(Instant::now()).elapsed();
                if still >= NOTABLE {
                    tracing::debug!("the window stood still for {} ms", still.as_millis());
                }
            });
            timer
        });
        Self { begun, shown: Cell::new(false), _timer: timer }
    }

    /// A frame is about to be drawn.
    pub(crate) fn drawing(&self) {
        if !self.shown.replace(true) {
            let begun = self.begun;
            // Comes when it has been.
            Timer::single_shot(Duration::ZERO, move || {
                tracing::debug!("the first frame was there after {} ms", begun.elapsed().as_millis());
            });
        }
    }
}
