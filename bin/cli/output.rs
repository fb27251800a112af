//! What is shown: events as lines for people, or as JSON for programs.

use std::collections::HashMap;
use std::io::{self, Write};

use chatnet::protocol::message::Rank;
use chatnet::text::{display_line, display_text};
use chatnet::{
    ChatMessage, Code, Event, EventKind, HistoryItem, HistoryPage, Member, PrincipalId, RoomChanged, SearchPage,
    SkipReason, Source, Timestamp,
};
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use crate::export::rfc3339;
use crate::options::counted;
use crate::people::settings::words;

mod json;

use json::{to_json, with_id};

/// How events are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Plain,
    Json,
    Terminal,
}

/// Something to show that is no event of the library's.
#[derive(Debug, Clone)]
pub(crate) enum Own<'a> {
    State(&'a str),
    Error {
        code: &'a str,
        message: &'a str,
    },
    /// Why the program ends; people read it on stderr.
    Fatal {
        code: &'a str,
        message: &'a str,
    },
    /// A text that was to be said was not.
    Unsaid {
        code: &'a str,
        message: &'a str,
        room: Option<&'a str>,
        text: &'a str,
        /// What the script gave it.
        id: Option<Value>,
    },
    /// A line of the program's own: an answer to a command.
    Info(&'a str),
    /// A server that isn't known yet, and whether it is remembered from now on.
    FirstContact {
        server: &'a str,
        fingerprint: &'a str,
        accepted: bool,
    },
    /// A part of a room's past was shown.
    History {
        room: &'a str,
        page: &'a HistoryPage,
    },
    /// What a search found.
    Search {
        room: &'a str,
        query: &'a str,
        page: &'a SearchPage,
    },
    /// Who is in a room.
    Who {
        room: &'a str,
        members: &'a [Member],
    },
}

/// So many people are known at a time to be away, or back.
const MAX_AWAY: usize = 1000;

/// Writes to stdout.
#[derive(Debug)]
pub(crate) struct Output {
    format: Format,
    out: io::BufWriter<io::Stdout>,
    /// Nobody reads any more.
    broken: bool,
    /// What one is called.
    me: String,
    /// What was shown last of who is away.
    away: HashMap<PrincipalId, Option<String>>,
    /// Who writes something is shown to people, too.
    typing: bool,
}

impl Output {
    pub(crate) fn new(format: Format) -> Self {
        let (out, broken) = (io::BufWriter::new(io::stdout()), false);
        Self { format, out, broken, me: String::new(), away: HashMap::new(), typing: false }
    }

    /// False once nobody reads any more.
    pub(crate) fn is_open(&self) -> bool {
        !self.broken
    }

    /// Whether a person reads this and can be asked.
    pub(crate) fn is_terminal(&self) -> bool {
        self.format == Format::Terminal
    }

    /// Show who writes something, or don't; programs are told in any case.
    pub(crate) fn show_typing(&mut self, shown: bool) {
        self.typing = shown;
    }

    pub(crate) fn flush(&mut self) {
        self.broken |= self.out.flush().is_err();
    }

    fn line(&mut self, line: &str) {
        self.broken |= writeln!(self.out, "{line}").is_err();
    }

    /// Show an event; `id` is what the script gave the text that it answers.
    pub(crate) fn event(&mut self, event: &Event, id: Option<Value>) {
        let is_news = self.is_news(event);
        let line = match self.format {
            Format::Json => to_json(event, id).map(|value| value.to_string()),
            _ if !is_news => None,
            Format::Plain => to_plain(event),
            Format::Terminal => to_terminal(event),
        };
        if let Some(line) = line {
            self.line(&line);
        }
    }

    /// Who is away is told in each room that one shares with them, and of oneself, too: a person reads it once. Who writes
    /// something is for those who ask for it.
    fn is_news(&mut self, event: &Event) -> bool {
        match event {
            Event::Connected { alias, .. } | Event::Renamed { alias } => self.me = alias.to_string(),
            Event::MemberAway { who, text, .. } => {
                if self.away.len() >= MAX_AWAY {
                    self.away.clear();
                }
                let before = self.away.insert(who.principal, text.clone());
                return who.alias != self.me && before.as_ref() != Some(text);
            }
            Event::Typing { .. } => return self.typing,
            _ => {}
        }
        true
    }

    /// Show a part of a room's past.
    pub(crate) fn history(&mut self, room: &str, page: HistoryPage) {
        let shown = Own::History { room, page: &page };
        self.own(&shown);
        for item in page.messages {
            let event = match item {
                HistoryItem::Message(message) => Event::Message(message),
                HistoryItem::Unsupported { room, seq, from, kind, at } => {
                    Event::Unsupported { room, seq, from, kind, at }
                }
                _ => continue,
            };
            self.event(&event, None);
        }
    }

    /// Show what a search found, newest first.
    pub(crate) fn search(&mut self, room: &str, query: &str, page: &SearchPage) {
        self.own(&Own::Search { room, query, page });
        for hit in &page.hits {
            let line = match self.format {
                Format::Json => json!({
                    "event": "hit", "room": room, "seq": hit.seq.get(), "from": hit.from.alias, "text": hit.snippet,
                    "at": rfc3339(hit.at),
                })
                .to_string(),
                _ => {
                    let (alias, text) = (display_line(&hit.from.alias), display_text(&hit.snippet));
                    format!("~ #{} {} [{}] {alias}: {}", hit.seq, clock(hit.at), display_line(room), marked(&text))
                }
            };
            self.line(&line);
        }
    }

    pub(crate) fn own(&mut self, own: &Own<'_>) {
        let line = match (self.format, own) {
            (Format::Json, Own::State(state)) => json!({"event": "state", "state": state}).to_string(),
            (Format::Json, Own::Error { code, message } | Own::Fatal { code, message }) => {
                json!({"event": "error", "code": code, "message": message}).to_string()
            }
            (Format::Json, Own::Unsaid { code, message, room, text, id }) => with_id(
                json!({"event": "error", "code": code, "message": message, "room": room, "text": text}),
                id.clone(),
            )
            .to_string(),
            (Format::Json, Own::Info(text)) => json!({"event": "info", "text": text}).to_string(),
            (Format::Json, Own::History { room, page }) => json!({
                "event": "history", "room": room, "count": page.messages.len(), "more_before": page.more_before,
                "more_after": page.more_after,
            })
            .to_string(),
            (Format::Json, Own::Search { room, query, page }) => json!({
                "event": "search", "room": room, "query": query, "count": page.hits.len(), "more": page.more,
            })
            .to_string(),
            (_, Own::History { room, page }) => {
                let more = if page.more_before { ", and there are older ones" } else { "" };
                format!(
                    "* the last {} in {}{more}:",
                    counted(page.messages.len() as u64, "message"),
                    display_line(room)
                )
            }
            (_, Own::Search { room, query, page }) => {
                let more = if page.more { " or more" } else { "" };
                let (query, room) = (display_line(query), display_line(room));
                let have = if page.hits.len() == 1 { "has" } else { "have" };
                format!("* {}{more} in {room} {have}: {query}", counted(page.hits.len() as u64, "message"))
            }
            (Format::Json, Own::Who { room, members }) => {
                let aliases: Vec<_> = members.iter().map(|member| &member.who.alias).collect();
                let member = |member: &Member| {
                    let (muted, rank) = (member.muted_until.is_some(), rank(member.rank).unwrap_or("member"));
                    json!({"alias": member.who.alias, "rank": rank, "muted": muted, "away": member.away})
                };
                let members: Vec<_> = members.iter().map(member).collect();
                json!({"event": "who", "room": room, "aliases": aliases, "members": members}).to_string()
            }
            (Format::Json, Own::FirstContact { server, fingerprint, accepted }) => json!({
                "event": "first_contact", "server": server, "fingerprint": fingerprint, "accepted": accepted,
            })
            .to_string(),
            (_, Own::State(_) | Own::Fatal { .. } | Own::FirstContact { accepted: false, .. }) => return,
            (Format::Plain, Own::FirstContact { server, fingerprint, .. }) => {
                // Not among the messages, which a script reads.
                return eprintln!("chatnet: first contact with {server}; remembered its fingerprint {fingerprint}");
            }
            (_, Own::FirstContact { server, fingerprint, .. }) => {
                format!("* first contact with {server}; remembered its fingerprint\n  {fingerprint}")
            }
            (_, Own::Error { message, .. } | Own::Unsaid { message, .. }) => format!("! {}", display_line(message)),
            (_, Own::Info(text)) => marked(&display_text(text)),
            (_, Own::Who { room, members }) => {
                let names: Vec<_> = members.iter().map(named).collect();
                format!("* in {}: {}", display_line(room), names.join(", "))
            }
        };
        self.line(&line);
    }
}

/// A member with what there is to say of them: `ada (owner, away: at tea)`.
fn named(member: &Member) -> String {
    let muted = member.muted_until.map(|_| "muted".to_owned());
    let away = member.away.as_ref().map(|text| if text.is_empty() { "away".into() } else { format!("away: {text}") });
    let more: Vec<_> = rank(member.rank).map(str::to_owned).into_iter().chain(muted).chain(away).collect();
    let more = if more.is_empty() { String::new() } else { format!(" ({})", more.join(", ")) };
    display_line(&format!("{}{more}", member.who.alias)).into_owned()
}

/// A rank, if there is anything to it.
fn rank(rank: Rank) -> Option<&'static str> {
    match rank {
        Rank::Owner => Some("owner"),
        Rank::Moderator => Some("moderator"),
        _ => None,
    }
}

/// Hours and minutes where the reader is.
fn clock(at: Timestamp) -> String {
    let at = jiff::Timestamp::from_millisecond(at.as_millis()).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    TimeZone::system().to_datetime(at).strftime("%H:%M").to_string()
}

/// What marks a line of the past; its number is what /delete takes.
fn mark(message: &ChatMessage) -> String {
    if message.source == Source::History { format!("~ #{} ", message.seq) } else { String::new() }
}

/// One event as a line; a text's further lines are marked, so that none of them can pass for another event's.
fn to_plain(event: &Event) -> Option<String> {
    Some(match event {
        Event::Message(m) => {
            let alias = display_line(&m.from.alias);
            format!("{}[{}] {alias}: {}", mark(m), display_line(m.room.as_str()), marked(&display_text(&m.text)))
        }
        other => note(other)?,
    })
}

fn to_terminal(event: &Event) -> Option<String> {
    Some(match event {
        Event::Message(m) => {
            let alias = display_line(&m.from.alias);
            let room = display_line(m.room.as_str());
            format!("{}{} [{room}] {alias}: {}", mark(m), clock(m.at), marked(&display_text(&m.text)))
        }
        Event::Acked(a) if a.replaced.is_none() => return None,
        other => note(other)?,
    })
}

/// Everything but messages, the same for both.
fn note(event: &Event) -> Option<String> {
    let line = display_line;
    Some(match event {
        Event::Connected { alias, room, .. } => {
            let room = room.as_ref().map(|room| format!(", in {}", line(room.as_str()))).unwrap_or_default();
            format!("* connected as {}{room}", line(alias.as_str()))
        }
        Event::Joined { room, members, .. } => format!("* you are in {} ({members} here)", line(room.as_str())),
        Event::MemberJoined { room, who } => format!("* {} joined {}", line(&who.alias), line(room.as_str())),
        Event::MemberLeft { room, who } => format!("* {} left {}", line(&who.alias), line(room.as_str())),
        Event::MemberAway { who, text: None, .. } => format!("* {} is back", line(&who.alias)),
        Event::MemberAway { who, text: Some(text), .. } if text.is_empty() => format!("* {} is away", line(&who.alias)),
        Event::MemberAway { who, text: Some(text), .. } => format!("* {} is away: {}", line(&who.alias), line(text)),
        Event::MembersChanged { room, members } => format!("* {members} are in {}", line(room.as_str())),
        Event::Unsupported { room, seq, from, kind: EventKind::REMOVED, .. } => {
            format!("* #{seq} [{}] {}: this message was removed", line(room.as_str()), line(&from.alias))
        }
        Event::Unsupported { room, from, kind, .. } => format!(
            "* [{}] {} sent something this version can't show (kind {}); update chatnet",
            line(room.as_str()),
            line(&from.alias),
            kind.0
        ),
        Event::RoomChanged(c) => changed(c),
        Event::Acked(a) => {
            let replaced = a.replaced.as_ref().map(|text| format!("* changed to: {}", marked(&display_text(text))));
            return replaced;
        }
        Event::Refused { reason, .. } => format!("! not sent: {}", line(reason)),
        Event::Left { room, code, text } if *code == Code::GOODBYE && text.is_empty() => {
            format!("* you left {}", line(room.as_str()))
        }
        Event::Left { room, text, .. } => format!("* you are out of {}: {}", line(room.as_str()), line(text)),
        Event::Gap { room, from, to, reason } => {
            let missed = to.get().saturating_sub(from.get()) + 1;
            let how = if *reason == SkipReason::Limit { "; /history shows the last of them" } else { "" };
            let were = if missed == 1 { "was" } else { "were" };
            format!("! {} in {} {were} missed{how}", counted(missed, "message"), line(room.as_str()))
        }
        Event::Reconnecting { attempt: 1, reason, .. } => {
            format!("! {}; trying to come back", line(&reason.to_string()))
        }
        Event::Resumed { replayed: 0 } => "* connected again".to_owned(),
        Event::Resumed { replayed: 1 } => "* connected again; 1 message was said meanwhile".to_owned(),
        Event::Resumed { replayed } => format!("* connected again; {replayed} messages were said meanwhile"),
        Event::SessionLost { text, .. } => format!("* back too late, as somebody new: {}", line(text)),
        Event::Overloaded { room } => format!("! messages in {} come faster than they are shown", line(room.as_str())),
        Event::Typing { room, who, typing: true } => {
            format!("* {} is writing in {}", line(&who.alias), line(room.as_str()))
        }
        Event::Renamed { alias } => format!("* you are called {} now", line(alias.as_str())),
        Event::Notice { text, .. } => format!("* server: {}", marked(&display_text(text))),
        Event::OutboxUnkept { text } => format!("! what you say is not kept on disk any more: {}", line(text)),
        Event::ServerError { text, .. } => format!("! {}", line(text)),
        _ => return None,
    })
}

/// A change in a room, in words.
fn changed(c: &RoomChanged) -> String {
    let (by, room) = (display_line(&c.by.alias), display_line(c.room.as_str()));
    let whom = c.change.whom.as_ref().map(|whom| &whom.alias).or(c.change.mask.as_ref());
    let whom = display_line(whom.map_or("somebody", String::as_str));
    let why = c.change.text.as_deref().map(|why| format!(": {}", display_line(why))).unwrap_or_default();
    let until = c.change.until.map(|until| format!(" until {}", Timestamp::from_millis(until)));
    let until = until.unwrap_or_default();
    match c.kind {
        EventKind::TOPIC => format!("* {by} says what {room} is about{why}"),
        EventKind::KICK => format!("* {by} put {whom} out of {room}{why}"),
        EventKind::BAN => format!("* {by} banned {whom} from {room}{until}{why}"),
        EventKind::UNBAN => format!("* {by} lets {whom} into {room} again"),
        EventKind::MUTE => format!("* {by} muted {whom} in {room}{until}{why}"),
        EventKind::UNMUTE => format!("* {by} lets {whom} talk in {room} again"),
        EventKind::INVITE => format!("* {by} invites {whom} to {room}"),
        EventKind::ROLE => match c.change.value {
            Some(3) => format!("* {by} gives {room} to {whom}"),
            Some(2) => format!("* {by} makes {whom} a moderator of {room}"),
            _ => format!("* {by} makes {whom} a plain member of {room}"),
        },
        EventKind::ALIAS => {
            let alias = c.change.text.as_deref().unwrap_or("otherwise");
            format!("* {by} is called {} now in {room}", display_line(alias))
        }
        EventKind::SETTINGS => {
            let how = c.change.settings.as_ref().map(words).into_iter().flatten();
            let how: Vec<_> = how.map(|(what, how)| format!("{what} {how}")).collect();
            format!("* {by} changed how {room} is: {}", how.join(", "))
        }
        EventKind::MEMBERSHIP if c.change.value == Some(1) => format!("* {by} is a member of {room} now"),
        EventKind::MEMBERSHIP => format!("* {by} is no member of {room} any more"),
        EventKind::DELETION => format!("* {by} removed message {} in {room}", c.change.value.unwrap_or(0)),
        _ => format!("* {by} changed something in {room}"),
    }
}

/// A text whose second line and those behind it begin with a mark.
fn marked(text: &str) -> String {
    text.replace('\n', "\n    | ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_can_forge_a_line_of_somebody_elses() {
        assert_eq!(marked("a\n[lobby] bob: b"), "a\n    | [lobby] bob: b");
    }

    #[test]
    fn times_are_rfc_3339_in_utc() {
        assert_eq!(rfc3339(Timestamp::from_millis(1_700_000_000_123)), "2023-11-14T22:13:20.123Z");
        assert_eq!(rfc3339(Timestamp::from_millis(0)), "1970-01-01T00:00:00.000Z");
    }
}
