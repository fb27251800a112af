//! The network: sessions are begun and followed here, on the window's own thread; the library does the work on others.

mod calls;
mod events;
mod failure;

use std::collections::HashMap;
use std::future::Future;
use std::net::IpAddr;
use std::rc::Rc;

use chatnet::transport::tls::CertificateProblem;
use chatnet::trust::{KnownServers, ServerAddr, Trust};
use chatnet::{Client, ClientBuilder, ConnectError, Event as Told, Events, Reconnect, Room};
use futures::channel::mpsc::UnboundedSender;
use futures::future::{AbortHandle, abortable};
use futures::{FutureExt, StreamExt};

use crate::app::App;
use crate::model::{Attempt, Effect, Event, Field, Net as Told_, Secret, Who};
use crate::outbox;

pub(crate) use calls::perform;

/// Events that are taken before the window is drawn again.
const BATCH: usize = 128;
/// What was said last in a room, on coming into it.
const HISTORY: u32 = 100;

/// What is open.
#[derive(Debug, Default)]
pub(crate) struct Net {
    client: Option<Client>,
    /// Cuts the attempt, or stops following the session.
    running: Option<AbortHandle>,
    /// What is to be said, room by room: in this order.
    senders: HashMap<String, UnboundedSender<(i32, String)>>,
    /// The command that is being done: its room, and its line.
    command: Option<(i32, String)>,
}

impl Net {
    /// Nothing is followed any more; the client, to say goodbye with.
    pub(crate) fn close(&mut self) -> Option<Client> {
        if let Some(running) = self.running.take() {
            running.abort();
        }
        self.senders.clear();
        self.client.take()
    }

    /// The room of this name, if one is in it.
    fn room(&self, name: &str) -> Option<Room> {
        self.client.as_ref()?.rooms().into_iter().find(|room| room.name().as_str() == name)
    }
}

/// Begin a session, in place of any other attempt.
pub(crate) fn connect(app: &Rc<App>, attempt: Attempt) {
    follow(app, session(Rc::clone(app), attempt));
}

/// Remember a server's key, as the person has decided, and begin a session.
pub(crate) fn accept(app: &Rc<App>, server: String, fingerprint: String, replace: bool, attempt: Attempt) {
    let own = Rc::clone(app);
    let known = app.places.known.clone();
    follow(app, async move {
        let remembered = async_std::task::spawn_blocking(move || remember(known, &server, &fingerprint, replace)).await;
        match remembered {
            Ok(()) => session(own, attempt).await,
            Err(e) => fail(&own, Field::General, &format!("the server's key can't be remembered: {e}")),
        }
    });
}

fn remember(known: Option<KnownServers>, server: &str, fingerprint: &str, replace: bool) -> Result<(), String> {
    let known = known.ok_or("there is no home directory to keep it in")?;
    let addr: ServerAddr = server.parse().map_err(|e| format!("{e}"))?;
    let fingerprint = fingerprint.parse().map_err(|e| format!("{e}"))?;
    if replace {
        known.forget(addr.host(), Some(addr.port())).map_err(|e| e.to_string())?;
    }
    Trust::new(known).accept(&addr, fingerprint).map_err(|e| e.to_string())
}

/// Stop what runs, and run this.
fn follow(app: &Rc<App>, what: impl Future<Output = ()> + 'static) {
    stop(app);
    let (what, running) = abortable(what);
    app.net.borrow_mut().running = Some(running);
    app.spawn(what.map(drop).boxed_local());
}

/// Cut a running attempt, or stop following a session.
fn stop(app: &App) {
    if let Some(running) = app.net.borrow_mut().running.take() {
        running.abort();
    }
}

/// Say goodbye, behind what is still to be sent.
pub(crate) fn disconnect(app: &Rc<App>) {
    let client = app.net.borrow_mut().close();
    if let Some(client) = client {
        app.spawn(async move { client.close().await }.boxed_local());
    }
}

fn fail(app: &Rc<App>, field: Field, text: &str) {
    app.handle(Event::Net(Told_::Failed { field, text: text.to_owned(), suggestion: None }));
}

/// From the attempt to the end.
async fn session(app: Rc<App>, attempt: Attempt) {
    let (client, events) = match open(&app, &attempt).await {
        Ok(opened) => opened,
        Err(e) => return app.handle(Event::Net(failure::told(&e, &attempt))),
    };
    app.net.borrow_mut().client = Some(client.clone());
    let begun = Told_::Begun { server: attempt.server(), secure: attempt.secure, restored: client.restored() };
    app.take(Event::Net(begun));
    listen(&app, &client, events).await;
    let mut net = app.net.borrow_mut();
    (net.client, net.senders) = Default::default();
}

async fn listen(app: &Rc<App>, client: &Client, mut events: Events) {
    while let Some(event) = events.next().await {
        let mut next = Some(event);
        // What has come together is shown together.
        for _ in 0..BATCH {
            let Some(event) = next else { break };
            let closed = matches!(event, Told::Closed { .. });
            if closed {
                let mut net = app.net.borrow_mut();
                (net.client, net.senders) = Default::default();
            }
            take(app, event, client);
            next = events.next().now_or_never().flatten();
        }
        if let Some(event) = next {
            take(app, event, client);
        }
        app.flush();
        // Between two batches the window is drawn and the person is heard.
        app.breathe().await;
    }
}

/// Tell the model of an event, and of how the room is behind it.
fn take(app: &Rc<App>, event: Told, client: &Client) {
    let about = events::about(&event, client);
    for told in events::told(event, client).into_iter().chain(about) {
        app.take(Event::Net(told));
    }
}

fn builder(attempt: &Attempt) -> ClientBuilder {
    let text = |secret: &Secret| secret.0.clone();
    let mut builder = Client::builder()
        .agent(concat!("chatnet-gui/", env!("CARGO_PKG_VERSION")))
        .reconnect(Reconnect::default().max_elapsed(None))
        .history_on_join(HISTORY)
        // Read is what stood on the screen, not what came.
        .mark_read_by_hand(true);
    builder = match &attempt.who {
        Who::Guest { alias, password } => {
            let builder = if alias.is_empty() { builder } else { builder.alias(alias) };
            match password {
                Some(password) => builder.server_password(&text(password)),
                None => builder,
            }
        }
        Who::Account { alias, password } => builder.account(alias, &text(password)),
        Who::NewAccount { alias, password, code } => {
            builder.register(alias, &text(password), code.as_ref().map(text).as_deref())
        }
    };
    builder
}

/// Connect, with the outbox on disk if there is a place for it.
async fn open(app: &App, attempt: &Attempt) -> Result<(Client, Events), ConnectError> {
    let builder = builder(attempt);
    let name = match &attempt.who {
        Who::Guest { alias, .. } => alias.clone(),
        Who::Account { alias, .. } | Who::NewAccount { alias, .. } => format!("{alias} (account)"),
    };
    let file =
        if app.places.outbox && !name.is_empty() { outbox::file(&attempt.host, attempt.port, &name) } else { None };
    let Some(file) = file else { return reach(app, attempt, builder).await };
    match reach(app, attempt, builder.clone().outbox_file(file)).await {
        // Another program of this person's has it: talking is possible without it.
        Err(ConnectError::Outbox { path, source }) => {
            tracing::warn!("the outbox {} can't be used: {source}; unsent messages are kept in memory", path.display());
            reach(app, attempt, builder).await
        }
        reached => reached,
    }
}

/// Connect to the server that is meant, and to no other.
async fn reach(app: &App, attempt: &Attempt, builder: ClientBuilder) -> Result<(Client, Events), ConnectError> {
    let wrong = |text: String| ConnectError::Trust { source: std::io::Error::other(text) };
    let addr = ServerAddr::new(&attempt.host, attempt.port).map_err(|source| ConnectError::Trust { source })?;
    let known = app.places.known.clone();
    if !attempt.secure {
        if let Some(known) = known
            && let Some(remembered) = known.find(&addr).map_err(|source| ConnectError::Trust { source })?
        {
            return Err(wrong(format!(
                "{addr} is remembered as a server with encryption ({remembered}); without it anybody could pose as it. \
                 Switch encryption on"
            )));
        }
        return builder.connect(addr).await;
    }
    let known = known.ok_or_else(|| wrong("there is no home directory to remember servers in; set HOME".into()))?;
    let trust = Trust::new(known);
    let builder = builder.trust(trust.clone());
    match builder.clone().connect(&addr).await {
        // Nobody can stand between this machine and itself.
        Err(ConnectError::UnknownServer { server, fingerprint, .. }) if is_this_machine(server.host()) => {
            trust.accept(&server, fingerprint).map_err(|source| ConnectError::Trust { source })?;
            builder.connect(addr).await
        }
        connected => connected,
    }
}

fn is_this_machine(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}

/// Whether a certificate is another one than the one that is remembered.
fn other_key(problem: &CertificateProblem) -> Option<(String, String)> {
    match problem {
        CertificateProblem::OtherKey { expected, found } => Some((expected.to_string(), found.to_string())),
        _ => None,
    }
}

/// Things to do that are not the network's are done elsewhere.
pub(crate) fn is_local(effect: &Effect) -> bool {
    matches!(effect, Effect::Copy(_) | Effect::Notify { .. } | Effect::Sound | Effect::Save | Effect::Quit)
}
