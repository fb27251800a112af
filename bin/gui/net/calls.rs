//! Things to do, as calls of the library's; their answers go to the model.

use std::future::Future;
use std::rc::Rc;

use chatnet::protocol::message::RoomSettings;
use chatnet::{Client, Code, Place, PrincipalId, RequestError, Room, Seq};
use futures::channel::mpsc::unbounded;
use futures::{FutureExt, StreamExt};

use super::events::{here, item, person};
use crate::app::App;
use crate::model::{Deed, Effect, Event, Hit, Listed, Net, PAGE, Part, Presence, Secret, Whom};
use crate::people::{self, Ask};

/// Rooms that are listed, at most.
const MAX_LISTED: usize = 1_000;
/// Members that are asked for at once.
const MEMBERS: u32 = 100;
/// Hits that are asked for at once.
const HITS: u32 = 30;

/// Do it.
pub(crate) fn perform(app: &Rc<App>, effect: Effect) {
    match effect {
        Effect::Connect(attempt) => super::connect(app, attempt),
        Effect::CancelConnect => super::stop(app),
        Effect::Accept { server, fingerprint, replace, attempt } => {
            super::accept(app, server, fingerprint, replace, attempt);
        }
        Effect::Disconnect => super::disconnect(app),
        Effect::NetworkChanged => with(app, |client| client.network_changed()),
        Effect::Send { room, key, text } => send(app, room, key, text),
        Effect::Join { name, password } => ask(app, |client| join(client, name, password)),
        Effect::Create { name, kind, password } => ask(app, move |client| async move {
            let password = (!password.0.is_empty()).then_some(password.0);
            opened(client.create_room(&name, RoomSettings::new(kind), password.as_deref()).await)
        }),
        Effect::Direct { whom, text } => direct(app, whom, text),
        Effect::Leave { room } => in_room(app, &room, |room| async move { nothing(room.leave().await) }),
        Effect::History { room, ticket, part, seq } => history(app, room, ticket, part, seq),
        Effect::Members { room, after } => members(app, room, after),
        Effect::Peer { room } => peer(app, room),
        Effect::List => ask(app, list),
        Effect::Search { room, query, before } => search(app, &room, query, before),
        Effect::Topic { room, text } => {
            in_room(app, &room, move |room| async move { nothing(room.set_topic(&text).await) })
        }
        Effect::Moderate { room, whom, deed } => in_room(app, &room, move |room| async move {
            nothing(match deed {
                Deed::Kick => room.kick(whom, "").await,
                Deed::Ban => room.ban(whom, "", None).await,
                Deed::Mute => room.mute(whom, "", None).await,
                Deed::Unmute => room.unmute(whom).await,
                Deed::Rank(rank) => room.set_rank(whom, rank).await,
            })
        }),
        Effect::DeleteMessage { room, seq } => {
            in_room(app, &room, move |room| async move { nothing(room.delete_message(Seq::new(seq)).await) });
        }
        Effect::Away(text) => ask(app, move |client| async move {
            match client.away(text.as_deref()).await {
                Ok(()) => Some(Net::BecameAway(text)),
                Err(e) => Some(Net::Denied(e.to_string())),
            }
        }),
        Effect::Ask { room, ask } => command(app, room, ask),
        Effect::Command { room, line, what } => {
            app.net.borrow_mut().command = Some((room, line));
            perform(app, *what);
            app.net.borrow_mut().command = None;
        }
        Effect::Typing { room } => app.net.borrow().room(&room).into_iter().for_each(|room| room.typing()),
        Effect::Read { room, seq } => {
            app.net.borrow().room(&room).into_iter().for_each(|room| room.mark_read(Seq::new(seq)));
        }
        local => debug_assert!(super::is_local(&local), "{local:?}"),
    }
}

fn with(app: &App, call: impl FnOnce(&Client)) {
    if let Some(client) = &app.net.borrow().client {
        call(client);
    }
}

/// Call, and tell the model what came of it.
fn ask<F: Future<Output = Option<Net>> + 'static>(app: &Rc<App>, call: impl FnOnce(Client) -> F) {
    let Some(client) = app.net.borrow().client.clone() else { return };
    answer(app, call(client));
}

/// The same for a room that one is in.
fn in_room<F: Future<Output = Option<Net>> + 'static>(app: &Rc<App>, room: &str, call: impl FnOnce(Room) -> F) {
    let room = app.net.borrow().room(room);
    if let Some(room) = room {
        answer(app, call(room));
    }
}

fn answer(app: &Rc<App>, call: impl Future<Output = Option<Net>> + 'static) {
    let app_ = Rc::clone(app);
    let command = app.net.borrow_mut().command.take();
    let answered = async move {
        let Some(net) = call.await else { return };
        let given_back = command.filter(|_| matches!(net, Net::Denied(_)));
        app_.handle(Event::Net(net));
        if let Some((room, line)) = given_back {
            app_.handle(Event::Net(Net::GivenBack { room, line }));
        }
    };
    app.spawn(answered.boxed_local());
}

fn nothing(done: Result<(), RequestError>) -> Option<Net> {
    done.err().map(|e| Net::Denied(words(&e)))
}

fn opened(room: Result<Room, RequestError>) -> Option<Net> {
    Some(match room {
        Ok(room) => Net::Opened(room.name().to_string()),
        Err(e) => Net::Denied(words(&e)),
    })
}

fn words(e: &RequestError) -> String {
    match e {
        RequestError::Refused { text, .. } => text.clone(),
        e => e.to_string(),
    }
}

/// Say it, behind what was said before in that room.
fn send(app: &Rc<App>, room: String, key: i32, text: String) {
    let sender = app.net.borrow().senders.get(&room).cloned();
    let sender = sender.unwrap_or_else(|| {
        let (sender, mut texts) = unbounded::<(i32, String)>();
        app.net.borrow_mut().senders.insert(room.clone(), sender.clone());
        let (own, name) = (Rc::clone(app), room.clone());
        let sending = async move {
            while let Some((key, text)) = texts.next().await {
                let room = own.net.borrow().room(&name);
                let taken = match room {
                    Some(room) => room.send(text).await.map(drop).map_err(|e| e.to_string()),
                    None => Err("you are no longer in this room".to_owned()),
                };
                // Whether it is stored is told as an event.
                if let Err(text) = taken {
                    own.handle(Event::Net(Net::NotTaken { room: name.clone(), key, text }));
                }
            }
        };
        app.spawn(sending.boxed_local());
        sender
    });
    // The other end lives as long as the session.
    let _ = sender.unbounded_send((key, text));
}

async fn join(client: Client, name: String, password: Secret) -> Option<Net> {
    let joined = match password.0.as_str() {
        "" => client.join(&name).await,
        password => client.join_with(&name, password).await,
    };
    match joined {
        Err(RequestError::Refused { code: Code::ROOM_PASSWORD, .. }) if password.0.is_empty() => {
            Some(Net::NeedsPassword(name))
        }
        joined => opened(joined),
    }
}

fn direct(app: &Rc<App>, whom: Whom, text: Option<String>) {
    let own = Rc::clone(app);
    ask(app, move |client| async move {
        let room = match whom {
            Whom::Name(name) => client.direct(name.as_str()).await,
            Whom::Id(id) => client.direct(id).await,
        };
        if let (Ok(room), Some(text)) = (&room, text) {
            own.handle(Event::Net(Net::Opened(room.name().to_string())));
            return match room.send(text).await {
                Ok(receipt) => {
                    drop(receipt);
                    None
                }
                Err(e) => Some(Net::Denied(e.to_string())),
            };
        }
        opened(room)
    });
}

fn history(app: &Rc<App>, name: String, ticket: u32, part: Part, seq: u64) {
    let seq = Seq::new(seq);
    let place = match part {
        Part::Older | Part::Newest => Place::Before(seq),
        Part::Newer => Place::After(seq),
        Part::Around(_) => Place::Around(seq),
    };
    let Some(room) = app.net.borrow().room(&name) else { return };
    answer(app, async move {
        Some(match room.history(place, PAGE).await {
            Ok(page) => {
                let (before, after) = (page.more_before, page.more_after);
                let items = page.messages.into_iter().filter_map(item).collect();
                Net::Page { room: name, ticket, part, items, before, after }
            }
            Err(e) => Net::PageFailed { room: name, ticket, text: words(&e) },
        })
    });
}

fn members(app: &Rc<App>, name: String, after: Option<PrincipalId>) {
    let Some(room) = app.net.borrow().room(&name) else { return };
    answer(app, async move {
        // Who isn't told is no trouble for anybody.
        let (people, more) = room.members(after, MEMBERS).await.ok()?;
        let people = people.into_iter().map(here).collect();
        Some(Net::Members { room: name, people, first: after.is_none(), more })
    });
}

/// Learn who the other one of a direct is.
fn peer(app: &Rc<App>, name: String) {
    let Some(room) = app.net.borrow().room(&name) else { return };
    let Some(client) = app.net.borrow().client.clone() else { return };
    answer(app, async move {
        let (people, _) = room.members(None, 10).await.ok()?;
        let me = client.principal();
        if let Some(member) = people.into_iter().find(|member| member.who.principal != me) {
            let presence = if member.away.is_some() { Presence::Away } else { Presence::Here };
            return Some(Net::Peer { room: name, who: person(member.who), presence });
        }
        // Who has an account and isn't here is known to the server all the same.
        let info = client.whois(name.trim_start_matches('@')).await.ok()?;
        let presence = if info.online { Presence::Here } else { Presence::Offline };
        let guest = info.kind == chatnet::PrincipalKind::Guest;
        let who = crate::model::Person { id: info.principal, alias: info.alias, guest };
        Some(Net::Peer { room: name, who, presence })
    });
}

async fn list(client: Client) -> Option<Net> {
    let (mut rooms, mut after) = (Vec::new(), None::<String>);
    let mut error = String::new();
    while rooms.len() < MAX_LISTED {
        match client.list_rooms(after.as_deref(), 50).await {
            Ok((page, more)) => {
                after = page.last().map(|room| room.name.clone());
                rooms.extend(page.into_iter().map(|room| Listed {
                    name: room.name,
                    topic: room.settings.topic,
                    members: room.members,
                    kind: room.settings.kind,
                }));
                if !more || after.is_none() {
                    break;
                }
            }
            Err(e) => {
                error = words(&e);
                break;
            }
        }
    }
    Some(Net::Listed { rooms, error })
}

fn search(app: &Rc<App>, name: &str, query: String, before: Option<u64>) {
    let room_name = name.to_owned();
    in_room(app, name, move |room| async move {
        Some(match room.search(query.clone(), before.map(Seq::new), HITS).await {
            Ok(page) => {
                let hits = page.hits.into_iter().map(|hit| Hit {
                    seq: hit.seq.get(),
                    from: person(hit.from),
                    at: hit.at.as_millis(),
                    snippet: hit.snippet,
                });
                Net::Hits { room: room_name, query, hits: hits.collect(), more: page.more }
            }
            Err(e) => Net::SearchFailed { query, text: words(&e) },
        })
    });
}

fn command(app: &Rc<App>, name: Option<String>, what: Ask) {
    let room = name.as_ref().and_then(|name| app.net.borrow().room(name));
    ask(app, move |client| async move {
        match people::run(&client, room.as_ref(), what).await {
            Ok(text) if text.is_empty() => None,
            Ok(text) => Some(Net::Answer { room: name, text }),
            Err(text) => Some(Net::Denied(text)),
        }
    });
}
