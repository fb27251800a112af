//! One session: input to the server, events to the output, until one of them ends.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::time::Duration;

use chatnet::protocol::message::{RoomKind, RoomSettings};
use chatnet::{
    Client, ClientBuilder, CloseReason, Code, ConnectError, Event, Events, Reconnect, RequestError, Room, SendError,
};
use futures::channel::mpsc;
use futures::{FutureExt, Stream, StreamExt, select_biased};
use serde_json::Value;

use crate::args::Args;
use crate::input::{Action, HELP};
use crate::outbox;
use crate::output::{Output, Own};
use crate::people::{self, Ask};
use crate::{secret, trust};

mod account;
mod reading;

use account::explain;

/// How long what was typed may take to be acknowledged when nobody reads what comes back.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// Why the program ends, as its exit code; `docs` in args.rs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    Fine = 0,
    Connect = 3,
    Refused = 4,
    Lost = 5,
}

/// Who this is to be.
#[derive(Clone, Default)]
pub(crate) enum Who {
    #[default]
    Guest,
    GuestWithPassword(String),
    Account(String, String),
    NewAccount {
        alias: String,
        password: String,
        code: Option<String>,
    },
    LostPassword {
        alias: String,
        password: String,
        code: String,
    },
}

impl Who {
    fn is_guest(&self) -> bool {
        matches!(self, Self::Guest | Self::GuestWithPassword(_))
    }

    /// The same once it is in: an account is made, and a code is used, only once.
    fn again(self) -> Self {
        match self {
            Self::NewAccount { alias, password, .. } | Self::LostPassword { alias, password, .. } => {
                Self::Account(alias, password)
            }
            who => who,
        }
    }
}

/// Who the arguments say, with passwords from a prompt or from stdin.
pub(crate) fn who(args: &Args) -> std::io::Result<Who> {
    let Some(alias) = args.account.clone() else {
        return if args.server_password {
            secret::read("the server's password").map(Who::GuestWithPassword)
        } else {
            Ok(Who::Guest)
        };
    };
    let new = if args.reset { "new " } else { "" };
    let password = secret::read(&format!("{new}password of {alias}"))?;
    if args.reset {
        return Ok(Who::LostPassword { alias, password, code: secret::read("code")? });
    }
    if !args.register {
        return Ok(Who::Account(alias, password));
    }
    let code = if args.code { Some(secret::read("code")?) } else { None };
    Ok(Who::NewAccount { alias, password, code })
}

fn builder(args: &Args, who: &Who) -> ClientBuilder {
    let rules = if args.no_reconnect {
        Reconnect::never()
    } else {
        Reconnect::default().max_elapsed(Some(Duration::from_secs(args.give_up)))
    };
    let mut builder = Client::builder().reconnect(rules).history_on_join(args.history);
    if let Some(name) = &args.name {
        builder = builder.alias(name);
    }
    builder = match who {
        Who::Guest => builder,
        Who::GuestWithPassword(password) => builder.server_password(password),
        Who::Account(alias, password) => builder.account(alias, password),
        Who::NewAccount { alias, password, code } => builder.register(alias, password, code.as_deref()),
        Who::LostPassword { alias, password, code } => builder.reset_password(alias, password, code),
    };
    match &args.room {
        Some(room) => builder.room(room),
        None => builder,
    }
}

/// Connect and talk. The text is for stderr.
pub(crate) async fn run(
    args: &Args,
    who: Who,
    mut actions: mpsc::Receiver<Action>,
    output: &mut Output,
) -> (Exit, Option<String>) {
    output.own(&Own::State("connecting"));
    output.flush();
    let (client, events) = match connect(args, builder(args, &who), &mut actions, output).await {
        Ok(connected) => connected,
        Err(e) => return could_not_connect(args, &who, output, &e),
    };
    match client.restored() {
        0 => {}
        1 => eprintln!("chatnet: 1 unsent message of last time is being sent"),
        n => eprintln!("chatnet: {n} unsent messages of last time are being sent"),
    }
    let (rooms, ids) = (Vec::new(), HashMap::new());
    let (args, who, current) = (args.clone(), who.again(), client.room());
    let mut session = Session { args, who, current, client, rooms, ids, unsaid: false, ended: None };
    session.rooms.extend(session.current.clone());
    session.talk(events, &mut actions, output).await
}

/// Connect, with the outbox on disk if there is a place for it.
async fn connect(
    args: &Args,
    builder: ClientBuilder,
    actions: &mut mpsc::Receiver<Action>,
    output: &mut Output,
) -> Result<(Client, Events), ConnectError> {
    if let Some(file) = &args.outbox {
        return trust::connect(args, builder.outbox_file(file), actions, output).await;
    }
    let named = args.name.as_deref().filter(|_| !args.no_outbox);
    let Some(file) = named.and_then(|name| outbox::file(&args.host, args.port, name)) else {
        return trust::connect(args, builder, actions, output).await;
    };
    match trust::connect(args, builder.clone().outbox_file(file), actions, output).await {
        // Nobody asked for this file: talking is possible without it.
        Err(e @ ConnectError::Outbox { .. }) => {
            eprintln!("chatnet: {e}; unsent messages are kept in memory only");
            trust::connect(args, builder, actions, output).await
        }
        connected => connected,
    }
}

fn could_not_connect(args: &Args, who: &Who, output: &mut Output, e: &ConnectError) -> (Exit, Option<String>) {
    let (code, exit) = match e {
        ConnectError::Refused { code, .. } => (code.name(), Exit::Refused),
        ConnectError::Alias(_) => ("alias_invalid", Exit::Refused),
        ConnectError::Room(_) => ("room_name_invalid", Exit::Refused),
        ConnectError::Outbox { .. } => ("outbox_failed", Exit::Connect),
        e => (trust::code(e).unwrap_or("connect_failed"), Exit::Connect),
    };
    let message = explain(args, e, who);
    output.own(&Own::Fatal { code, message: &message });
    output.own(&Own::State("closed"));
    output.flush();
    (exit, Some(message))
}

struct Session {
    args: Args,
    /// Who this is, to be it again when nobody else could be become.
    who: Who,
    client: Client,
    /// Where plain lines go. Whoever is put out of it talks nowhere, until they have chosen: what was meant for a few
    /// must not be read by others.
    current: Option<Room>,
    rooms: Vec<Room>,
    /// Ids that a script gave to its texts, with them: answers come in the order of sending, room by room, behind those
    /// to texts of last time.
    ids: HashMap<String, VecDeque<(String, Option<Value>)>>,
    /// Something that was to be said was not.
    unsaid: bool,
    /// The end came while a text waited to be sent.
    ended: Option<(Exit, Option<String>)>,
}

/// What a turn of the loop leads to.
enum Next {
    On,
    Quit,
}

impl Session {
    async fn talk(
        &mut self,
        mut events: Events,
        actions: &mut mpsc::Receiver<Action>,
        output: &mut Output,
    ) -> (Exit, Option<String>) {
        let mut quitting = false;
        loop {
            let client = self.client.clone();
            let wait = quitting;
            let flushed = async move { if wait { client.flush().await } else { std::future::pending().await } }.fuse();
            futures::pin_mut!(flushed);
            // Events first: what came before the end of the input is shown before the program ends.
            let next = select_biased! {
                event = events.next() => match event {
                    Some(Event::Closed { reason }) => return self.closed(&reason, output),
                    Some(event) => { self.event(&event, output); Next::On }
                    None => return self.ended.take().unwrap_or((Exit::Lost, None)),
                },
                action = next_action(actions, quitting).fuse() => match action {
                    Some(action) => self.act(action, &mut events, actions, output).await,
                    None => Next::Quit,
                },
                _ = flushed => {
                    // The acks' events are there by now.
                    while let Some(Some(event)) = events.next().now_or_never() {
                        if let Event::Closed { reason } = &event {
                            return self.closed(reason, output);
                        }
                        self.event(&event, output);
                    }
                    self.client.close().await;
                    output.own(&Own::State("closed"));
                    output.flush();
                    return (self.exit(output), None);
                }
            };
            quitting |= matches!(next, Next::Quit);
            // One write for all that is there.
            if events.size_hint().0 == 0 {
                output.flush();
            }
            if !output.is_open() {
                // Whoever read this is gone: there is nothing to tell and nobody to tell it to.
                let _ = async_std::future::timeout(LAST_WORDS, self.client.flush()).await;
                self.client.close().await;
                return (Exit::Fine, None);
            }
        }
    }

    fn event(&mut self, event: &Event, output: &mut Output) {
        let answered = match event {
            Event::Acked(acked) => Some((acked.room.as_str(), &acked.text)),
            Event::Refused { room, text, .. } => Some((room.as_str(), text)),
            _ => None,
        };
        self.unsaid |= matches!(event, Event::Refused { .. });
        let id = answered.and_then(|(room, text)| {
            let ids = self.ids.get_mut(room)?;
            ids.front().is_some_and(|(sent, _)| sent == text).then(|| ids.pop_front()?.1)?
        });
        output.event(event, id);
        if let Event::Connected { .. } | Event::Resumed { .. } = event {
            output.own(&Own::State("connected"));
        }
        if let Event::Joined { .. } = event {
            self.client.rooms().into_iter().for_each(|room| self.know(room));
        }
        if let Event::Left { room, .. } = event {
            self.rooms.retain(|known| known.name() != room);
            if self.current.as_ref().is_some_and(|current| current.name() == room) {
                self.current = None;
                output.own(&Own::Info(&format!("* {}", self.nowhere())));
            }
        }
    }

    /// How a program ends that has nothing left to do. A person has seen what was not said; a script may look here.
    fn exit(&self, output: &Output) -> Exit {
        if self.unsaid && !output.is_terminal() { Exit::Refused } else { Exit::Fine }
    }

    /// What there is to do for whoever talks nowhere.
    fn nowhere(&self) -> String {
        match self.rooms.last() {
            Some(room) => {
                format!("you talk in no room now; /room {} to talk there, /rooms shows all yours", room.name())
            }
            None => "you are in no room now; /join ROOM to talk, /list shows the rooms".to_owned(),
        }
    }

    fn closed(&self, reason: &CloseReason, output: &mut Output) -> (Exit, Option<String>) {
        let unsent = self.client.unsent();
        let (code, exit) = match reason {
            CloseReason::Bye { code, .. } => (code.name(), Exit::Lost),
            CloseReason::IdleTimeout => ("idle_timeout", Exit::Lost),
            CloseReason::Unreachable(_) => ("gave_up", Exit::Lost),
            _ => ("connection_lost", Exit::Lost),
        };
        let why = match reason {
            CloseReason::Unreachable(e) => explain(&self.args, e, &self.who),
            reason => reason.to_string(),
        };
        let message = match unsent {
            0 => why,
            1 => format!("{why}; 1 message was not acknowledged and may be missing"),
            n => format!("{why}; {n} messages were not acknowledged and may be missing"),
        };
        output.own(&Own::Fatal { code, message: &message });
        output.own(&Own::State("closed"));
        output.flush();
        (exit, Some(message))
    }

    async fn act(
        &mut self,
        action: Action,
        events: &mut Events,
        actions: &mut mpsc::Receiver<Action>,
        output: &mut Output,
    ) -> Next {
        match action {
            Action::People(ask) => self.people(ask, events, actions, output).await,
            Action::Direct { whom, text } => match self.direct(&whom, events, output).await {
                None => {}
                Some(Ok(room)) => {
                    let name = room.name().to_string();
                    self.know(room);
                    self.send(text, Some(name), None, events, output).await;
                }
                Some(Err(e)) => {
                    self.unsaid = true;
                    let hint = if matches!(e, RequestError::Refused { code: Code::NO_SUCH_PERSON, .. }) {
                        format!("; {}", people::QUOTES)
                    } else {
                        String::new()
                    };
                    output.own(&Own::Error { code: "msg_failed", message: &format!("{e}{hint}") });
                }
            },
            Action::Register(alias) => {
                let alias = alias.unwrap_or_else(|| self.client.alias().to_string());
                self.register(alias, events, actions, output).await;
            }
            Action::Login(alias) => {
                if let Some(password) = ask_secret("its password", actions, output).await {
                    self.become_(Who::Account(alias, password), events, actions, output).await;
                }
            }
            Action::Password => self.password(actions, output).await,
            Action::Nothing => {}
            Action::Quit => return Next::Quit,
            Action::Help => output.own(&Own::Info(&format!("{HELP}\n{}", people::HELP))),
            Action::Wrong(message) => output.own(&Own::Error { code: "usage", message: &message }),
            Action::Send { text, room, id } => self.send(text, room, id, events, output).await,
            Action::Join(name) => match self.join(&name, None, events, output).await {
                None => {}
                Some(Ok(room)) => self.talk_in(room, output),
                Some(Err(RequestError::Refused { code: Code::ROOM_PASSWORD, .. })) => {
                    if let Some(password) = ask_secret("the room's password", actions, output).await {
                        match self.join(&name, Some(password), events, output).await {
                            Some(Ok(room)) => self.talk_in(room, output),
                            Some(Err(e)) => {
                                let message = format!("{name}: {e}");
                                output.own(&Own::Error { code: "join_failed", message: &message });
                            }
                            None => {}
                        }
                    }
                }
                Some(Err(e)) => output.own(&Own::Error { code: "join_failed", message: &format!("{name}: {e}") }),
            },
            Action::Switch(name) => match self.find(Some(&name)) {
                Ok(room) => {
                    // Told also if it is the one already.
                    self.current = None;
                    self.talk_in(room, output);
                }
                Err(message) => output.own(&Own::Error { code: "not_a_member", message: &message }),
            },
            Action::Leave(name) => match self.find(name.as_deref()) {
                Ok(room) => {
                    if let Some(Err(e)) = self.meanwhile(async move { room.leave().await }, events, output).await {
                        output.own(&Own::Error { code: "leave_failed", message: &e.to_string() });
                    }
                }
                Err(message) => output.own(&Own::Error { code: "not_a_member", message: &message }),
            },
            Action::Rooms => {
                let names: Vec<_> = self.rooms.iter().map(|room| room.name().to_string()).collect();
                output.own(&Own::Info(&format!("* you are in: {}", names.join(", "))));
            }
            Action::Who => self.who(events, output).await,
            Action::History(n) => self.history(n, events, output).await,
            Action::Search(query) => self.search(&query, events, output).await,
        }
        Next::On
    }

    /// Wait for an answer, and show what happens meanwhile. None if it all ended.
    async fn meanwhile<T>(
        &mut self,
        asked: impl Future<Output = T>,
        events: &mut Events,
        output: &mut Output,
    ) -> Option<T> {
        let asked = asked.fuse();
        futures::pin_mut!(asked);
        loop {
            select_biased! {
                event = events.next() => match event {
                    Some(Event::Closed { reason }) => {
                        self.ended = Some(self.closed(&reason, output));
                        return None;
                    }
                    Some(event) => {
                        self.event(&event, output);
                        if events.size_hint().0 == 0 {
                            output.flush();
                        }
                    }
                    None => return None,
                },
                answer = asked => return Some(answer),
            }
        }
    }

    async fn join(
        &mut self,
        name: &str,
        password: Option<String>,
        events: &mut Events,
        output: &mut Output,
    ) -> Option<Result<Room, RequestError>> {
        let client = self.client.clone();
        let joined = async move {
            match password {
                Some(password) => client.join_with(name, &password).await,
                None => client.join(name).await,
            }
        };
        self.meanwhile(joined, events, output).await
    }

    /// Plain lines go there from here on.
    fn talk_in(&mut self, room: Room, output: &mut Output) {
        self.know(room.clone());
        if self.current.as_ref().is_none_or(|current| current.id() != room.id()) {
            output.own(&Own::Info(&format!("* talking in {}", room.name())));
        }
        self.current = Some(room);
    }

    fn know(&mut self, room: Room) {
        if !self.rooms.iter().any(|known| known.id() == room.id()) {
            self.rooms.push(room);
        }
    }

    async fn direct(
        &mut self,
        whom: &str,
        events: &mut Events,
        output: &mut Output,
    ) -> Option<Result<Room, RequestError>> {
        let client = self.client.clone();
        self.meanwhile(async move { client.direct(whom).await }, events, output).await
    }

    async fn people(
        &mut self,
        ask: Ask,
        events: &mut Events,
        actions: &mut mpsc::Receiver<Action>,
        output: &mut Output,
    ) {
        let (client, room) = (self.client.clone(), self.current.clone());
        let done = match ask {
            Ask::Create(name, kind) => {
                let password = match kind {
                    RoomKind::Password => match ask_secret("a password for it", actions, output).await {
                        None => return,
                        password => password,
                    },
                    _ => None,
                };
                let made = async move { client.create_room(&name, RoomSettings::new(kind), password.as_deref()).await };
                match self.meanwhile(made, events, output).await {
                    // Whoever makes a room means to talk in it.
                    Some(Ok(room)) => {
                        self.talk_in(room, output);
                        Some(Ok(String::new()))
                    }
                    made => made.map(|made| made.map(|_| String::new()).map_err(|e| e.to_string())),
                }
            }
            ask => self.meanwhile(async move { people::run(&client, room.as_ref(), ask).await }, events, output).await,
        };
        let Some(done) = done else { return };
        match done {
            Ok(text) if text.is_empty() => {}
            Ok(text) => output.own(&Own::Info(&text)),
            Err(message) => output.own(&Own::Error { code: "failed", message: &message }),
        }
    }

    fn find(&self, name: Option<&str>) -> Result<Room, String> {
        match name {
            None => self.current.clone().ok_or_else(|| self.nowhere()),
            Some(name) => {
                let found = self.rooms.iter().find(|room| room.name().as_str() == name).cloned();
                found.ok_or_else(|| format!("you are not in {name}; /join {name} first"))
            }
        }
    }

    async fn send(
        &mut self,
        mut text: String,
        room: Option<String>,
        id: Option<Value>,
        events: &mut Events,
        output: &mut Output,
    ) {
        let room = match self.find(room.as_deref()) {
            Ok(room) => room,
            Err(message) => {
                self.unsaid = true;
                let (code, room, message) = ("not_a_member", room.as_deref(), format!("not sent: {message}"));
                return output.own(&Own::Unsaid { code, message: &message, room, text: &text, id });
            }
        };
        let sent = text.clone();
        loop {
            match room.try_send(text) {
                Ok(receipt) => {
                    drop(receipt);
                    return self.ids.entry(room.name().to_string()).or_default().push_back((sent, id));
                }
                Err(SendError::Full(back)) => {
                    // Acks are events too: they are shown while this waits for room.
                    text = back;
                    match events.next().await {
                        Some(Event::Closed { reason }) => {
                            self.ended = Some(self.closed(&reason, output));
                            return;
                        }
                        Some(event) => self.event(&event, output),
                        None => return,
                    }
                }
                Err(e) => {
                    let code = match e {
                        SendError::TooLarge { .. } => "event_too_large",
                        SendError::Invalid { .. } => "text_invalid",
                        _ => "closed",
                    };
                    self.unsaid = true;
                    let message = format!("not sent: {e}");
                    let room = Some(room.name().as_str());
                    return output.own(&Own::Unsaid { code, message: &message, room, text: &e.into_text(), id });
                }
            }
        }
    }
}

/// Ask for a secret: the next line is it.
async fn ask_secret(what: &str, actions: &mut mpsc::Receiver<Action>, output: &mut Output) -> Option<String> {
    output.own(&Own::Info(&format!("* type {what}; it isn't shown, and goes to nobody but the server")));
    output.flush();
    let _quiet = output.is_terminal().then(secret::Quiet::new);
    match actions.next().await {
        Some(Action::Send { text, .. }) => Some(text),
        _ => {
            output.own(&Own::Info("* nothing was done"));
            None
        }
    }
}

async fn next_action(actions: &mut mpsc::Receiver<Action>, quitting: bool) -> Option<Action> {
    if quitting { std::future::pending().await } else { actions.next().await }
}
