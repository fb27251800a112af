//! Events as JSON objects.

use chatnet::{Event, SkipReason, Source, Timestamp};
use serde_json::{Value, json};

use crate::export::{rfc3339, word};
use crate::people::settings::words;

/// The stable interface for scripts: README.md and `--help` promise these fields; new ones may come.
pub(super) fn to_json(event: &Event, id: Option<Value>) -> Option<Value> {
    Some(match event {
        Event::Connected { alias, session, room } => json!({
            "event": "connected", "alias": alias.as_str(), "room": room.as_ref().map(|r| r.as_str()),
            "session": session.to_string(),
        }),
        Event::Message(m) => {
            let mut message = json!({
                "event": "message", "room": m.room.as_str(), "seq": m.seq.get(), "from": m.from.alias, "text": m.text,
                "at": rfc3339(m.at), "source": source(m.source),
            });
            if m.own {
                message["own"] = json!(true);
            }
            message
        }
        Event::Reconnecting { attempt, delay, reason } => json!({
            "event": "state", "state": "reconnecting", "attempt": attempt, "delay_ms": delay.as_millis() as u64,
            "reason": reason.to_string(),
        }),
        Event::Resumed { replayed } => json!({"event": "resumed", "replayed": replayed}),
        Event::SessionLost { code, text } => {
            json!({"event": "session_lost", "code": code.name(), "message": text})
        }
        Event::Unsupported { room, seq, from, kind, at } => json!({
            "event": "unsupported", "room": room.as_str(), "seq": seq.get(), "from": from.alias, "kind": kind.0,
            "at": rfc3339(*at),
        }),
        Event::RoomChanged(c) => {
            let mut change = json!({
                "event": "change", "room": c.room.as_str(), "seq": c.seq.get(), "from": c.by.alias, "kind": word(c.kind),
                "whom": c.change.whom.as_ref().map(|whom| &whom.alias).or(c.change.mask.as_ref()),
                "text": c.change.text, "value": c.change.value, "at": rfc3339(c.at), "source": source(c.source),
            });
            if let Some(until) = c.change.until {
                change["until"] = json!(rfc3339(Timestamp::from_millis(until)));
            }
            if let Some(settings) = &c.change.settings {
                let settings = words(settings).into_iter().map(|(what, how)| (what.to_owned(), json!(how)));
                change["settings"] = Value::Object(settings.collect());
            }
            change
        }
        Event::Acked(a) => {
            let mut ack = json!({
                "event": "ack", "room": a.room.as_str(), "seq": a.seq.get(), "text": a.text, "at": rfc3339(a.at),
            });
            if let Some(replaced) = &a.replaced {
                ack["replaced"] = json!(replaced);
            }
            with_id(ack, id)
        }
        Event::Refused { room, code, reason, text } => with_id(
            json!({
                "event": "error", "code": code.name(), "message": reason, "room": room.as_str(), "text": text,
            }),
            id,
        ),
        Event::MemberJoined { room, who } => json!({"event": "joined", "room": room.as_str(), "alias": who.alias}),
        Event::MemberLeft { room, who } => json!({"event": "left", "room": room.as_str(), "alias": who.alias}),
        Event::MemberAway { room, who, text } => {
            json!({"event": "away", "room": room.as_str(), "alias": who.alias, "away": text.is_some(), "text": text})
        }
        Event::MembersChanged { room, members } => {
            json!({"event": "members", "room": room.as_str(), "members": members})
        }
        Event::Joined { room, head, members, .. } => {
            json!({"event": "entered", "room": room.as_str(), "head": head.get(), "members": members})
        }
        Event::Left { room, code, text } => {
            json!({"event": "exited", "room": room.as_str(), "code": code.name(), "message": text})
        }
        Event::Gap { room, from, to, reason } => json!({
            "event": "gap", "room": room.as_str(), "from": from.get(), "to": to.get(), "reason": gap(*reason),
        }),
        Event::Overloaded { room } => json!({"event": "overloaded", "room": room.as_str()}),
        Event::Typing { room, who, typing } => {
            json!({"event": "typing", "room": room.as_str(), "alias": who.alias, "typing": typing})
        }
        Event::Read { room, seq, unread } => {
            json!({"event": "read", "room": room.as_str(), "seq": seq.get(), "unread": unread})
        }
        Event::Renamed { alias } => json!({"event": "alias", "alias": alias.as_str()}),
        Event::Notice { text, at } => json!({"event": "notice", "text": text, "at": rfc3339(*at)}),
        Event::OutboxUnkept { text } => json!({"event": "error", "code": "outbox_unkept", "message": text}),
        Event::ServerError { code, text } => json!({"event": "error", "code": code.name(), "message": text}),
        _ => return None,
    })
}

pub(super) fn with_id(mut object: Value, id: Option<Value>) -> Value {
    if let Some(id) = id {
        object["id"] = id;
    }
    object
}

fn source(source: Source) -> &'static str {
    match source {
        Source::Live => "live",
        Source::Replay => "replay",
        _ => "history",
    }
}

fn gap(reason: SkipReason) -> &'static str {
    match reason {
        SkipReason::Trimmed => "trimmed",
        SkipReason::NotPermitted => "not_permitted",
        SkipReason::Reset => "reset",
        SkipReason::Limit => "limit",
        _ => "unknown",
    }
}
