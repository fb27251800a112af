//! What is typed, done.

use chatnet::protocol::message::{RoomKind, RoomSettings};
use chatnet::{Code, Events, RequestError, Room};

use super::asking::secret;
use super::{Next, Session, Who};
use crate::input::{Action, HELP};
use crate::output::{Output, Own};
use crate::people::settings::{Setting, change};
use crate::people::{self, Ask};
use crate::stdin::{Input, Typed};

impl Session {
    pub(super) async fn act(
        &mut self,
        typed: Typed,
        events: &mut Events,
        input: &mut Input,
        output: &mut Output,
    ) -> Next {
        match typed.action {
            Action::People(ask) => self.people(ask, events, input, output).await,
            Action::Direct { whom, text } => match self.direct(&whom, events, output).await {
                None => {}
                Some(Ok(room)) => {
                    let name = room.name().to_string();
                    self.know(room);
                    self.send(text, Some(name), None, events, output).await;
                }
                Some(Err(e)) => {
                    self.unsaid = true;
                    let here = self.current.clone();
                    let hint = async { people::hint(here.as_ref(), &whom, &e).await };
                    let hint = self.meanwhile(hint, events, output).await.unwrap_or_default();
                    output.own(&Own::Error { code: "msg_failed", message: &format!("{e}{hint}") });
                }
            },
            Action::Register { alias, code } => {
                let alias = alias.unwrap_or_else(|| self.client.alias().to_string());
                self.register(alias, code, events, input, output).await;
            }
            Action::Login(alias) => {
                if let Some([password]) = self.ask([secret("its password")], events, input, output).await {
                    self.become_(Who::Account(alias, password), events, input, output).await;
                }
            }
            Action::Password => self.password(events, input, output).await,
            Action::DeleteAccount => self.delete_account(events, input, output).await,
            Action::Typing => match self.find(None) {
                Ok(room) => room.typing(),
                Err(message) => output.own(&Own::Error { code: "not_a_member", message: &message }),
            },
            Action::ShowTyping(shown) => output.show_typing(shown),
            Action::Nothing => {}
            Action::Quit => return Next::Quit,
            Action::Help => output.own(&Own::Info(&format!("{HELP}\n{}", people::HELP))),
            Action::Wrong(message) => {
                output.own(&Own::Error { code: "usage", message: &message });
                if typed.leads {
                    self.lead_nowhere(output);
                }
            }
            Action::Send { text, room, id } => self.send(text, room, id, events, output).await,
            Action::Join(name) => match self.enter(name.clone(), None, events, output).await {
                Some(Err(RequestError::Refused { code: Code::ROOM_PASSWORD, .. })) if output.is_terminal() => {
                    self.join_with_password(name, events, input, output).await;
                }
                Some(Err(e @ RequestError::Refused { code: Code::ROOM_PASSWORD, .. })) => {
                    let how = format!("{e}; /join {name} password, with that word, takes the next line for it");
                    self.not_joined(&name, &how, output);
                }
                Some(Err(e)) => self.not_joined(&name, &e.to_string(), output),
                Some(Ok(())) | None => {}
            },
            Action::JoinWithPassword(name) => self.join_with_password(name, events, input, output).await,
            Action::Switch(name) => match self.find(Some(&name)) {
                Ok(room) => {
                    // Told also if it is the one already.
                    self.current = None;
                    self.talk_in(room, output);
                }
                Err(message) => {
                    output.own(&Own::Error { code: "not_a_member", message: &message });
                    self.lead_nowhere(output);
                }
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

    async fn join_with_password(&mut self, name: String, events: &mut Events, input: &mut Input, output: &mut Output) {
        // Also of who is in there already: what is read depends on nothing but what is written.
        let Some([password]) = self.ask([secret("the room's password")], events, input, output).await else { return };
        if let Some(Err(e)) = self.enter(name.clone(), Some(password), events, output).await {
            self.not_joined(&name, &e.to_string(), output);
        }
    }

    fn not_joined(&mut self, name: &str, why: &str, output: &mut Output) {
        output.own(&Own::Error { code: "join_failed", message: &format!("{name}: {why}") });
        self.lead_nowhere(output);
    }

    /// Come into a room and talk there. None if it all ended.
    async fn enter(
        &mut self,
        name: String,
        password: Option<String>,
        events: &mut Events,
        output: &mut Output,
    ) -> Option<Result<(), RequestError>> {
        let client = self.client.clone();
        let joined = async move {
            match password {
                Some(password) => client.join_with(&name, &password).await,
                None => client.join(&name).await,
            }
        };
        let joined = self.meanwhile(joined, events, output).await?;
        Some(joined.map(|room| self.talk_in(room, output)))
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

    async fn people(&mut self, ask: Ask, events: &mut Events, input: &mut Input, output: &mut Output) {
        let (client, room) = (self.client.clone(), self.current.clone());
        let done = match ask {
            Ask::Create(name, kind) => {
                let password = match kind {
                    RoomKind::Password => match self.ask([secret("a password for it")], events, input, output).await {
                        None => return,
                        Some([password]) => Some(password),
                    },
                    _ => None,
                };
                let made = async move { client.create_room(&name, RoomSettings::new(kind), password.as_deref()).await };
                let made = self.meanwhile(made, events, output).await;
                if let Some(Err(_)) = made {
                    self.lead_nowhere(output);
                }
                // Whoever makes a room means to talk in it.
                made.map(|made| match made {
                    Ok(room) => {
                        self.talk_in(room, output);
                        Ok(String::new())
                    }
                    Err(e) => Err(e.to_string()),
                })
            }
            Ask::Settings(Some(setting @ Setting::Kind(RoomKind::Password))) => {
                let what = [secret("the room's password from here on")];
                let Some([password]) = self.ask(what, events, input, output).await else { return };
                let changed = async move {
                    let room = room.ok_or_else(|| "you are in no room; /join one".to_owned())?;
                    change(&room, setting, Some(&password)).await.map(|()| String::new())
                };
                self.meanwhile(changed, events, output).await
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
}
