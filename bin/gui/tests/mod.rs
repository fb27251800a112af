//! The whole window without a screen, against real servers over real sockets: elements are found by what assistive
//! technology is told, and what they show is waited for.

mod anchor;
mod foot;
mod hostile;
mod quiet;
mod story;
mod trouble;
mod trust;

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use chatnet::trust::KnownServers;
use chatnet::{Client, Event as Told, Server, ServerBuilder, ServerHandle};
use futures::StreamExt;
use futures::executor::LocalPool;
use futures::task::LocalSpawnExt;
use i_slint_backend_testing::{ElementHandle, ElementQuery, mock_elapsed_time};
use slint::{ComponentHandle, Model};

use crate::app::{App, Places};
use crate::model::{Event, Settings, State, Ui};
use crate::ui;

/// A test that waits longer than this has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// A window with its own loop.
pub(super) struct Desk {
    pub(super) app: Rc<App>,
    pool: RefCell<LocalPool>,
    pub(super) places: tempfile::TempDir,
}

impl Desk {
    pub(super) fn new() -> Self {
        i_slint_backend_testing::init_no_event_loop();
        let places = tempfile::tempdir().unwrap();
        let kept = Places {
            settings: Some(places.path().join("gui.json")),
            known: Some(KnownServers::new(places.path().join("known_servers"))),
            outbox: false,
        };
        let (pool, now) = (LocalPool::new(), crate::now());
        let spawner = pool.spawner();
        let spawn = Box::new(move |future| spawner.spawn_local(future).unwrap());
        let window = ui::App::new().unwrap();
        let app = App::new(window, State::new(Settings::default(), |_| 0, now), kept, spawn, crate::now);
        app.window().window().set_size(slint::LogicalSize::new(1180.0, 760.0));
        app.window().show().unwrap();
        Self { app, pool: RefCell::new(pool), places }
    }

    /// Connect as a guest, without TLS, and wait for the default room.
    pub(super) fn connected(addr: SocketAddr, alias: &str) -> Self {
        let desk = Self::new();
        desk.connect(addr, alias);
        desk.until("a room", |desk| !desk.rooms().is_empty());
        desk
    }

    pub(super) fn connect(&self, addr: SocketAddr, alias: &str) {
        self.fill("Server", &addr.ip().to_string());
        self.fill("Port", &addr.port().to_string());
        self.fill("Your name", alias);
        if self.element("Encrypted connection").accessible_checked() == Some(true) {
            self.press("Encrypted connection");
        }
        self.press_button("Connect");
    }

    /// Let the window and the network go on for a moment.
    pub(super) fn turn(&self) {
        self.pool.borrow_mut().run_until_stalled();
        mock_elapsed_time(Duration::from_millis(16));
    }

    pub(super) fn until(&self, what: &str, there: impl Fn(&Self) -> bool) {
        let begin = Instant::now();
        loop {
            self.turn();
            if there(self) {
                return;
            }
            assert!(begin.elapsed() < PATIENCE, "waited for {what} in vain; it shows {:#?}", self.texts());
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    pub(super) fn elements(&self, label: &str) -> Vec<ElementHandle> {
        ElementHandle::find_by_accessible_label(self.app.window(), label).collect()
    }

    pub(super) fn element(&self, label: &str) -> ElementHandle {
        self.elements(label).into_iter().next().unwrap_or_else(|| panic!("nothing is called {label:?}"))
    }

    pub(super) fn has(&self, label: &str) -> bool {
        !self.elements(label).is_empty()
    }

    pub(super) fn press(&self, label: &str) {
        self.element(label).invoke_accessible_default_action();
        self.turn();
    }

    /// Press what is a button, where a region is called so too.
    pub(super) fn press_button(&self, label: &str) {
        let button = self
            .elements(label)
            .into_iter()
            .find(|e| e.accessible_role() == Some(i_slint_backend_testing::AccessibleRole::Button));
        button.unwrap_or_else(|| panic!("no button is called {label:?}")).invoke_accessible_default_action();
        self.turn();
    }

    pub(super) fn fill(&self, label: &str, text: &str) {
        self.element(label).set_accessible_value(text);
        self.turn();
    }

    /// Type into the composer, and send.
    pub(super) fn say(&self, text: &str) {
        let composer = self.app.window().global::<ui::Composer>();
        composer.set_text(text.into());
        composer.invoke_edited(text.into());
        composer.invoke_send(text.into());
        self.turn();
    }

    pub(super) fn ui(&self, ui: Ui) {
        self.app.handle(Event::Ui(ui));
        self.turn();
    }

    pub(super) fn messages(&self) -> Vec<ui::MessageRow> {
        self.app.window().global::<ui::Conversation>().get_rows().iter().collect()
    }

    pub(super) fn texts(&self) -> Vec<String> {
        self.messages().into_iter().map(|row| row.text.to_string()).collect()
    }

    pub(super) fn shows(&self, text: &str) -> bool {
        self.messages().iter().any(|row| row.text == text)
    }

    pub(super) fn rooms(&self) -> Vec<ui::RoomRow> {
        self.app.window().global::<ui::Rooms>().get_rows().iter().collect()
    }

    pub(super) fn room(&self, title: &str) -> Option<ui::RoomRow> {
        self.rooms().into_iter().find(|row| row.title == title)
    }

    pub(super) fn title(&self) -> String {
        self.app.window().global::<ui::Conversation>().get_title().into()
    }

    /// All rows that are on the screen, as assistive technology sees them.
    pub(super) fn visible(&self) -> Vec<ElementHandle> {
        ElementQuery::from_root(self.app.window()).match_inherits("ConversationRow").find_all()
    }
}

/// A server on a free port; it is cut when this is dropped.
pub(super) struct House {
    pub(super) addr: SocketAddr,
    pub(super) handle: ServerHandle,
    serving: Option<async_std::task::JoinHandle<()>>,
}

impl House {
    pub(super) fn start() -> Self {
        Self::with(|builder| builder)
    }

    pub(super) fn with(configure: impl FnOnce(ServerBuilder) -> ServerBuilder) -> Self {
        let server = async_std::task::block_on(configure(Server::builder()).bind("127.0.0.1:0")).unwrap();
        let (addr, handle) = (server.local_addr().unwrap(), server.handle());
        Self { addr, handle, serving: Some(async_std::task::spawn(server.serve())) }
    }
}

impl Drop for House {
    fn drop(&mut self) {
        if let Some(serving) = self.serving.take() {
            async_std::task::block_on(serving.cancel());
        }
    }
}

/// Somebody else, in the default room.
pub(super) struct Other {
    pub(super) client: Client,
    events: chatnet::Events,
}

impl Other {
    pub(super) fn connect(addr: SocketAddr, alias: &str) -> Self {
        let connecting = Client::builder().alias(alias).connect(addr);
        let (client, events) = async_std::task::block_on(connecting).unwrap();
        Self { client, events }
    }

    pub(super) fn say(&self, text: &str) {
        async_std::task::block_on(async { self.client.room().unwrap().send(text).await.unwrap().await.unwrap() });
    }

    /// The next message that this one gets.
    pub(super) fn hears(&mut self) -> String {
        let heard = async {
            while let Some(event) = self.events.next().await {
                if let Told::Message(message) = event {
                    return message.text;
                }
            }
            panic!("the connection ended");
        };
        async_std::task::block_on(async_std::future::timeout(PATIENCE, heard)).expect("a message")
    }
}
