//! What holds the program together: the model, the window, the network. All of it lives on one thread.

use std::cell::{Cell, RefCell};
use std::path::PathBuf;
use std::rc::Rc;

use chatnet::trust::KnownServers;
use futures::future::LocalBoxFuture;

use crate::adapters::{self, Models};
use crate::model::{Effect, Event, Room, State, Turn, View, Views};
use crate::net::{self, Net};
use crate::{notify, settings, ui};

/// Where things are kept; none: nowhere.
#[derive(Debug, Clone, Default)]
pub(crate) struct Places {
    pub(crate) settings: Option<PathBuf>,
    pub(crate) known: Option<KnownServers>,
    /// Unsent texts, on disk.
    pub(crate) outbox: bool,
}

/// Runs futures on the window's thread.
pub(crate) type Spawner = Box<dyn Fn(LocalBoxFuture<'static, ()>)>;

pub(crate) struct App {
    pub(crate) state: RefCell<State>,
    pub(crate) net: RefCell<Net>,
    pub(crate) places: Places,
    pub(crate) models: Models,
    window: ui::App,
    dirty: Cell<Views>,
    spawner: Spawner,
    clock: fn() -> i64,
    ticker: slint::Timer,
}

impl App {
    /// Put everything together; the window is not shown yet.
    pub(crate) fn new(window: ui::App, state: State, places: Places, spawner: Spawner, clock: fn() -> i64) -> Rc<Self> {
        let app = Rc::new(Self {
            state: RefCell::new(state),
            net: RefCell::default(),
            places,
            models: Models::new(&window),
            window,
            dirty: Cell::new(Views::ALL),
            spawner,
            clock,
            ticker: slint::Timer::default(),
        });
        adapters::connect(&app);
        app.flush();
        app
    }

    pub(crate) fn window(&self) -> &ui::App {
        &self.window
    }

    pub(crate) fn now(&self) -> i64 {
        (self.clock)()
    }

    pub(crate) fn spawn(&self, future: LocalBoxFuture<'static, ()>) {
        (self.spawner)(future);
    }

    /// Take an event, and show what it changes.
    pub(crate) fn handle(self: &Rc<Self>, event: Event) {
        self.take(event);
        self.flush();
    }

    /// Take an event; [`flush`](Self::flush) shows what it changes, but for the conversation's rows, which change at once.
    pub(crate) fn take(self: &Rc<Self>, event: Event) {
        let turn = self.state.borrow_mut().update(event, self.now());
        let Turn { views, rows, effects } = turn;
        let mut dirty = self.dirty.get();
        dirty.join(views);
        self.dirty.set(dirty);
        adapters::conversation::apply(self, rows);
        for effect in effects {
            self.perform(effect);
        }
    }

    /// Show what has changed.
    pub(crate) fn flush(self: &Rc<Self>) {
        let dirty = self.dirty.replace(Views::default());
        if !dirty.is_empty() {
            adapters::show(self, dirty);
            let state = self.state.borrow();
            let newest = |room: &Room| room.rows.rows().iter().rev().find(|row| row.seq > 0).map(|row| row.seq);
            if let Some(newest) = state.room().and_then(newest) {
                tracing::debug!("the conversation is shown up to number {newest}");
            }
        }
        self.tick_again();
    }

    /// Let the window's loop have a turn.
    pub(crate) async fn breathe(&self) {
        async_std::task::yield_now().await;
    }

    /// Wake up when the clock matters again.
    fn tick_again(self: &Rc<Self>) {
        let wait = std::time::Duration::from_millis(self.state.borrow().next_tick());
        if self.ticker.running() && self.ticker.interval() == wait {
            return;
        }
        let app = Rc::downgrade(self);
        self.ticker.start(slint::TimerMode::Repeated, wait, move || {
            if let Some(app) = app.upgrade() {
                app.handle(Event::Tick);
            }
        });
    }

    fn perform(self: &Rc<Self>, effect: Effect) {
        match effect {
            Effect::Copy(text) => self.window.invoke_copy_text(text.into()),
            Effect::Notify { title, body } => notify::show(title, body, self.state.borrow().settings.choices.sound),
            Effect::Sound => notify::sound(),
            Effect::Save => self.save(),
            // The goodbye is said behind the loop; without a loop there is nothing to end.
            Effect::Quit => drop(slint::quit_event_loop()),
            effect => net::perform(self, effect),
        }
    }

    fn save(self: &Rc<Self>) {
        let Some(file) = self.places.settings.clone() else { return };
        let kept = self.state.borrow().settings.clone();
        if let Err(e) = settings::save(&file, &kept) {
            let told = format!("the settings can't be kept in {}: {e}", file.display());
            tracing::warn!("{told}");
            let mut turn = Turn::default();
            let now = self.now();
            self.state.borrow_mut().toast(&told, now, &mut turn);
            let mut dirty = self.dirty.get();
            dirty.add(View::Toast);
            self.dirty.set(dirty);
        }
    }

    /// The end of the program: the client, to say goodbye with.
    pub(crate) fn close(self: &Rc<Self>) -> Option<chatnet::Client> {
        self.net.borrow_mut().close()
    }
}
