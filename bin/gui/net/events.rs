//! What the library tells, for the model.

use chatnet::{
    Action, Author, Client, CloseReason, ConnectError, Event, EventKind, HistoryItem, Member, PrincipalKind, Room, Seq,
    SkipReason, Source,
};

use crate::model::{About, End, Here, Item, Net, Person, What};

pub(super) fn person(author: Author) -> Person {
    Person { id: author.principal, alias: author.alias, guest: author.kind == PrincipalKind::Guest }
}

pub(super) fn here(member: Member) -> Here {
    let Member { who, rank, muted_until, away, .. } = member;
    Here { who: person(who), rank, muted: muted_until.is_some(), away }
}

pub(super) fn item(item: HistoryItem) -> Option<Item> {
    Some(match item {
        HistoryItem::Message(m) => {
            Item { seq: m.seq.get(), at: m.at.as_millis(), from: person(m.from), what: What::Text(m.text) }
        }
        HistoryItem::Changed(c) => {
            Item { seq: c.seq.get(), at: c.at.as_millis(), from: person(c.by), what: What::Change(c.kind, c.change) }
        }
        HistoryItem::Unsupported { seq, from, kind, at, .. } => {
            Item { seq: seq.get(), at: at.as_millis(), from: person(from), what: unsupported(kind) }
        }
        _ => return None,
    })
}

fn unsupported(kind: EventKind) -> What {
    if kind == EventKind::REMOVED { What::Removed } else { What::Unsupported }
}

/// How the rooms are by now that this event may have changed something in.
pub(super) fn about(event: &Event, client: &Client) -> Vec<Net> {
    let changed = match event {
        Event::Joined { room, .. } => Some(room),
        Event::RoomChanged(changed) => Some(&changed.room),
        // What changed meanwhile may come as no event.
        Event::Gap { room, .. } => Some(room),
        Event::Resumed { .. } => None,
        _ => return Vec::new(),
    };
    let rooms = client.rooms().into_iter().filter(|room| changed.is_none_or(|changed| room.name() == changed));
    let about = |room: Room| {
        let about = About {
            settings: room.settings()?,
            may_moderate: room.may(Action::Kick),
            may_topic: room.may(Action::SetTopic),
            may_delete: room.may(Action::DeleteOthers),
        };
        Some(Net::About { room: room.name().to_string(), about })
    };
    rooms.filter_map(about).collect()
}

/// An event of the library's; none if nothing follows from it.
pub(super) fn told(event: Event, client: &Client) -> Option<Net> {
    let in_log = |room: String, seq: Seq, at: chatnet::Timestamp, from: Author, what: What, source: Source| {
        let item = Item { seq: seq.get(), at: at.as_millis(), from: person(from), what };
        Net::Item { room, item, source }
    };
    Some(match event {
        Event::Connected { alias, .. } => {
            Net::Session { alias: alias.to_string(), principal: Some(client.principal()) }
        }
        Event::Reconnecting { attempt, delay, reason } => Net::Reconnecting {
            attempt,
            delay_ms: u64::try_from(delay.as_millis()).unwrap_or(u64::MAX),
            reason: reason.to_string(),
        },
        Event::Resumed { .. } => Net::Resumed,
        Event::SessionLost { text, .. } => Net::SessionLost(text),
        Event::Joined { room, id, head, members } => {
            Net::Joined { room: room.to_string(), id, head: head.get(), members }
        }
        Event::Message(m) => in_log(m.room.to_string(), m.seq, m.at, m.from, What::Text(m.text), m.source),
        Event::RoomChanged(c) => {
            in_log(c.room.to_string(), c.seq, c.at, c.by, What::Change(c.kind, c.change), c.source)
        }
        Event::Unsupported { room, seq, from, kind, at } => {
            in_log(room.to_string(), seq, at, from, unsupported(kind), Source::Live)
        }
        Event::Acked(a) => Net::Acked {
            room: a.room.to_string(),
            seq: a.seq.get(),
            at: a.at.as_millis(),
            text: a.text,
            replaced: a.replaced,
        },
        Event::Refused { room, reason, text, .. } => Net::Refused { room: room.to_string(), text, reason },
        Event::MemberJoined { room, who } => Net::Came { room: room.to_string(), who: person(who) },
        Event::MemberLeft { room, who } => Net::Went { room: room.to_string(), who: person(who) },
        Event::MemberAway { room, who, text } => Net::Away { room: room.to_string(), who: person(who), text },
        Event::MembersChanged { room, members } => Net::Count { room: room.to_string(), members },
        Event::Gap { room, from, to, reason } => Net::Gap {
            room: room.to_string(),
            from: from.get(),
            to: to.get(),
            reset: reason == SkipReason::Reset,
            hidden: reason != SkipReason::Limit,
        },
        Event::Left { room, code, text } => Net::Left { room: room.to_string(), code, text },
        Event::Notice { text, .. } => Net::Notice(text),
        Event::ServerError { text, .. } => Net::Trouble(text),
        Event::Closed { reason } => Net::Closed(end(&reason, client.unsent())),
        Event::Typing { room, who, typing } => Net::Typing { room: room.to_string(), who: who.alias, typing },
        Event::Read { room, unread, .. } => {
            Net::Read { room: room.to_string(), unread: u32::try_from(unread).unwrap_or(u32::MAX) }
        }
        Event::Renamed { alias } => Net::Renamed(alias.to_string()),
        _ => return None,
    })
}

fn end(reason: &CloseReason, unsent: usize) -> End {
    let requested = matches!(reason, CloseReason::Requested);
    let (code, text) = match reason {
        CloseReason::Bye { code, text, .. } => (Some(*code), text.clone()),
        CloseReason::Unreachable(e) => match e.as_ref() {
            ConnectError::Refused { code, text, .. } => (Some(*code), text.clone()),
            e => (None, e.to_string()),
        },
        reason => (None, reason.to_string()),
    };
    End { code, text, requested, unsent }
}
