//! One session: input to the server, events to the output, until one of them ends.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::time::Duration;

use chatnet::{Client, CloseReason, Code, Event, Events, Room, SendError};
use futures::{FutureExt, Stream, StreamExt, select_biased};
use serde_json::Value;

use crate::args::Args;
use crate::output::{Output, Own};
use crate::stdin::{Input, Typed};

mod account;
mod asking;
mod commands;
mod reading;
mod who;

use account::explain;
pub(crate) use who::{Who, who};

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

/// Connect and talk. The text is for stderr.
pub(crate) async fn run(args: &Args, who: Who, mut input: Input, output: &mut Output) -> (Exit, Option<String>) {
    output.own(&Own::State("connecting"));
    output.flush();
    let (client, events) = match who::connect(args, who::builder(args, &who), &mut input, output).await {
        Ok(connected) => connected,
        Err(e) => return who::could_not_connect(args, &who, output, &e),
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
    session.talk(events, &mut input, output).await
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
    /// The end came while something was waited for.
    ended: Option<(Exit, Option<String>)>,
}

/// What a turn of the loop leads to.
enum Next {
    On,
    Quit,
}

impl Session {
    async fn talk(&mut self, mut events: Events, input: &mut Input, output: &mut Output) -> (Exit, Option<String>) {
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
                    None => return (Exit::Lost, None),
                },
                typed = next(input, quitting).fuse() => match typed {
                    Some(typed) => self.act(typed, &mut events, input, output).await,
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
            if let Some(ended) = self.ended.take() {
                return ended;
            }
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
        match self.in_full(event) {
            Some(event) => output.event(&event, id),
            None => output.event(event, id),
        }
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

    /// A refusal with what is known of it here: until when one is muted.
    fn in_full(&self, event: &Event) -> Option<Event> {
        let Event::Refused { room, code: code @ Code::MUTED, reason, text } = event else { return None };
        let muted = self.rooms.iter().find(|known| known.name() == room)?.muted_until()?;
        let until = (muted.as_millis() < i64::MAX).then_some(muted)?;
        let (room, code, text, reason) = (room.clone(), *code, text.clone(), format!("{reason} until {until}"));
        Some(Event::Refused { room, code, reason, text })
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
                    None => {
                        self.ended = Some((Exit::Lost, None));
                        return None;
                    }
                },
                answer = asked => return Some(answer),
            }
        }
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
                        None => {
                            self.ended = Some((Exit::Lost, None));
                            return;
                        }
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

async fn next(input: &mut Input, quitting: bool) -> Option<Typed> {
    if quitting { std::future::pending().await } else { input.typed().await }
}
