//! What comes from the network, and where it belongs.

use std::sync::Arc;

use chatnet::protocol::message::Rank;
use chatnet::{Code, EventKind, Source};

use super::connect::sentence;
use super::conversation::REMOVED;
use super::effect::{Effect, Turn, View};
use super::event::{Item, Net, Part, Person, What};
use super::row::{Kind, Row, Sending};
use super::{Page, State, words};

impl State {
    pub(super) fn net(&mut self, net: Net, now: i64, turn: &mut Turn) {
        match net {
            Net::Begun { server, secure, restored } => {
                self.begun(turn);
                (self.status.server, self.status.secure) = (server, secure);
                (self.page, self.ended) = (Page::Chat, Default::default());
                self.online(turn);
                match restored {
                    0 => {}
                    1 => self.toast("One unsent message of last time is being sent", now, turn),
                    n => self.toast(&format!("{n} unsent messages of last time are being sent"), now, turn),
                }
                turn.views = super::Views::ALL;
            }
            Net::Failed { field, text, suggestion } => self.failed(field, &text, suggestion, turn),
            net @ (Net::FirstContact { .. } | Net::OtherKey { .. }) => self.ask_trust(net, turn),
            Net::Session { alias, principal } => {
                (self.me.alias, self.me.id) = (alias, principal.or(self.me.id));
                self.online(turn);
                turn.show(View::Rooms);
            }
            Net::Reconnecting { attempt, delay_ms, reason } => self.reconnecting(attempt, delay_ms, &reason, now, turn),
            Net::Resumed => self.online(turn),
            Net::SessionLost(text) => {
                self.toast(&format!("You were away for too long, and are back anew: {text}"), now, turn)
            }
            Net::Closed(end) => self.closed(&end, turn),
            Net::Joined { room, id, head, members } => self.joined(&room, id, head, members, now, turn),
            Net::Opened(room) => self.opened(&room, turn),
            Net::Left { room, code, text } => self.left(&room, code, &text, now, turn),
            Net::Item { room, item, source } => self.item(&room, item, source, now, turn),
            Net::Acked { room, seq, at, text, replaced } => {
                self.acked(&room, seq, at, &text, replaced.as_deref(), turn)
            }
            Net::Refused { room, text, reason } => {
                if let Some(room) = self.rooms.by_name(&room) {
                    room.rows.refused(&text, &sentence(&reason));
                }
                turn.show(View::Status);
            }
            Net::NotTaken { room, key, text } => {
                if let Some(room) = self.rooms.by_name(&room) {
                    room.rows.not_taken(key, &sentence(&text));
                }
                turn.show(View::Status);
            }
            Net::Came { room, who } => self.came_or_went(&room, &who, true, now, turn),
            Net::Went { room, who } => self.came_or_went(&room, &who, false, now, turn),
            Net::Away { room, who, text } => self.away(&room, &who, text, turn),
            Net::Count { room, members } => {
                if let Some(room) = self.rooms.by_name(&room) {
                    room.members.counted(members);
                    turn.show(View::Members);
                }
            }
            Net::Gap { room, from, to, reset, hidden } => self.gap(&room, from, to, reset, hidden, now, turn),
            Net::Notice(text) => {
                let text = format!("Server: {}", super::row::shown(&text));
                self.toast(&text, now, turn);
                if let Some(room) = self.rooms.selected() {
                    room.rows.note(Kind::Notice, &text, now);
                }
            }
            Net::Trouble(text) => self.toast(&text, now, turn),
            Net::Page { room, ticket, part, items, before, after } => {
                self.page(&room, ticket, part, items, before, after, turn);
            }
            Net::PageFailed { room, ticket, text } => {
                if self.rooms.by_name(&room).is_some_and(|room| room.rows.page_failed(ticket)) {
                    self.toast(&format!("The past can't be read: {text}"), now, turn);
                    turn.show(View::Conversation);
                }
            }
            Net::Members { room, people, first, more } => self.members_came(&room, people, first, more, turn),
            Net::About { room, about } => {
                if let Some(room) = self.rooms.by_name(&room) {
                    room.about = about;
                    for view in [View::Conversation, View::Members, View::Rooms, View::Composer] {
                        turn.show(view);
                    }
                }
            }
            Net::Peer { room, who, presence } => {
                if let Some(room) = self.rooms.by_name(&room) {
                    (room.peer, room.presence) = (Some(who), presence);
                    turn.show(View::Rooms);
                    turn.show(View::Conversation);
                    turn.show(View::Status);
                }
            }
            Net::Listed { rooms, error } => self.listed(rooms, &error, turn),
            Net::Hits { room, query, hits, more } => self.hits(&room, &query, hits, more, turn),
            Net::SearchFailed { query, text } => self.search_failed(&query, &text, turn),
            Net::Answer { room, text } => {
                let name = room.or_else(|| self.room().map(|room| room.name.clone()));
                if let Some(room) = name.and_then(|name| self.rooms.by_name(&name)) {
                    let text = text.lines().map(|line| line.trim_start_matches("* ")).collect::<Vec<_>>().join("\n");
                    room.rows.note(Kind::Notice, &super::row::shown(&text), now);
                }
            }
            Net::Denied(text) => self.denied(&text, now, turn),
            Net::GivenBack { room, line } => self.give_back(room, line, turn),
            Net::NeedsPassword(name) => self.needs_password(name, turn),
            Net::BecameAway(text) => {
                self.me.away = text;
                turn.show(View::Rooms);
            }
            Net::Typing { room, who, typing } => self.typing(&room, who, typing, now, turn),
            Net::Read { room, unread } => {
                if let Some(room) = self.rooms.by_name(&room) {
                    (room.unread, room.mentions) = (unread, room.mentions.min(unread));
                    turn.show(View::Rooms);
                    turn.show(View::Status);
                }
            }
            Net::Renamed(alias) => {
                self.me.alias = alias;
                turn.show(View::Rooms);
            }
        }
    }

    /// An event of a room's log.
    fn item(&mut self, name: &str, item: Item, source: Source, now: i64, turn: &mut Turn) {
        let (me, focused) = (self.me.id, self.focused);
        let alias = self.me.alias.clone();
        let selected = self.rooms.selected;
        let Some(room) = self.rooms.by_name(name) else { return };
        let (from, seq) = (item.from.clone(), item.seq);
        let own = me == Some(from.id);
        if let What::Change(kind, change) = &item.what {
            apply(room, *kind, change, &from, turn);
        }
        let said = match &item.what {
            What::Text(text) => Some(text.clone()),
            _ => None,
        };
        let Some(row) = row(&mut room.rows.keys, item, me, &alias) else { return };
        room.rows.head = room.rows.head.max(seq);
        let mention = row.mention;
        if room.rows.detached {
            // It is fetched on the way back.
            if said.is_some() && !own && source != Source::History {
                room.rows.unseen = room.rows.unseen.saturating_add(1);
            }
        } else {
            let Some(key) = room.rows.add(row) else { return };
            if said.is_some() && !own && source != Source::History {
                if room.key != selected || !focused {
                    room.rows.draw_line(key);
                }
                if !room.rows.following {
                    room.rows.unseen = room.rows.unseen.saturating_add(1);
                }
            }
        }
        room.typing.retain(|(who, _)| *who != from.alias);
        turn.show(View::Conversation);
        let Some(text) = said.filter(|_| !own && source != Source::History) else { return };
        if room.key == selected && focused {
            turn.do_(Effect::Read { room: name.to_owned(), seq });
        } else {
            room.unread = room.unread.saturating_add(1);
            room.mentions = room.mentions.saturating_add(u32::from(mention || room.direct));
            turn.show(View::Rooms);
            turn.show(View::Status);
        }
        self.call(name, &from, &text, mention, now, turn);
    }

    fn acked(&mut self, name: &str, seq: u64, at: i64, text: &str, replaced: Option<&str>, turn: &mut Turn) {
        let Some(id) = self.me.id else { return };
        let alias = self.me.alias.clone();
        let Some(room) = self.rooms.by_name(name) else { return };
        turn.show(View::Status);
        if room.rows.sent(text, seq, at, replaced) || room.rows.detached || seq == 0 {
            return;
        }
        // One of last time's.
        let who = Arc::new(Person { id, alias, guest: false });
        let mut row = Row::message(room.rows.keys.next(), who, at, replaced.unwrap_or(text));
        (row.seq, row.own, row.state) = (seq, true, Sending::Sent);
        room.rows.add(row);
    }

    fn left(&mut self, name: &str, code: Code, text: &str, now: i64, turn: &mut Turn) {
        if code == Code::GOODBYE {
            return self.drop_room(name, turn);
        }
        let (why, known) = match code {
            Code::KICKED => ("You were put out of this room", "you were kicked"),
            Code::ROOM_BANNED => ("You are banned from this room", "you are banned from this room"),
            _ => ("You are no longer in this room", ""),
        };
        // The server says the same before the reason.
        let reason = text.strip_prefix(known).unwrap_or(text).trim_start_matches([':', ' ', '.']);
        let why = sentence(&if reason.is_empty() { why.to_owned() } else { format!("{why}: {reason}") });
        let Some(room) = self.rooms.by_name(name) else { return };
        room.gone = true;
        room.members = Default::default();
        room.rows.note(Kind::Notice, &why, now);
        let told = format!("{}: {why}", room.title());
        self.toast(&told, now, turn);
        for view in [View::Rooms, View::Conversation, View::Composer, View::Members] {
            turn.show(view);
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the event's own fields")]
    fn gap(&mut self, name: &str, from: u64, to: u64, reset: bool, hidden: bool, now: i64, turn: &mut Turn) {
        let Some(room) = self.rooms.by_name(name) else { return };
        let missed = to.saturating_sub(from).saturating_add(1);
        let messages = if missed == 1 { "1 message".to_owned() } else { format!("{missed} messages") };
        let text = match (reset, hidden) {
            (true, _) => "The server has begun anew; what was said before is not in its log.".to_owned(),
            (_, true) => format!("{messages} can't be read any more."),
            _ => format!("{messages} were said here while you were away. Search finds them."),
        };
        room.rows.head = room.rows.head.max(to);
        room.rows.note(Kind::Gap, &text, now);
        turn.show(View::Conversation);
    }

    #[expect(clippy::too_many_arguments, reason = "the event's own fields")]
    fn page(
        &mut self,
        name: &str,
        ticket: u32,
        part: Part,
        items: Vec<Item>,
        before: bool,
        after: bool,
        turn: &mut Turn,
    ) {
        let (me, alias) = (self.me.id, self.me.alias.clone());
        let Some(room) = self.rooms.by_name(name) else { return };
        let rows = items.into_iter().filter_map(|item| row(&mut room.rows.keys, item, me, &alias)).collect();
        room.rows.page(ticket, part, rows, before, after);
        turn.show(View::Conversation);
    }
}

/// A row for an event; none if nothing is to be shown.
fn row(keys: &mut super::conversation::Keys, item: Item, me: Option<chatnet::PrincipalId>, alias: &str) -> Option<Row> {
    let Item { seq, at, from, what } = item;
    let own = me == Some(from.id);
    let mut row = match what {
        What::Text(text) => {
            let mention = !own && super::attention::mentions(&text, alias);
            let mut row = Row::message(keys.next(), Arc::new(from), at, &text);
            (row.own, row.mention) = (own, mention);
            row.state = if own { Sending::Sent } else { Sending::None };
            row
        }
        What::Change(EventKind::MEMBERSHIP, change) => {
            let verb = if change.value == Some(1) { "is a member now" } else { "is no longer a member" };
            let text = format!("{} {verb}", chatnet::text::display_line(&from.alias));
            Row::new(keys.next(), Kind::Change, at, &text)
        }
        What::Change(kind, change) => Row::new(keys.next(), Kind::Change, at, &words::change(&from, kind, &change)),
        What::Removed => Row::new(keys.next(), Kind::Unsupported, at, REMOVED),
        What::Unsupported => {
            let who = chatnet::text::display_line(&from.alias);
            let text = format!("{who} sent something that this version can't show. Update chatnet to see it.");
            Row::new(keys.next(), Kind::Unsupported, at, &text)
        }
    };
    row.seq = seq;
    (seq > 0).then_some(row)
}

/// A change in a room, beyond its row. How the room is by now, and who one is there, is told by itself.
fn apply(
    room: &mut super::Room,
    kind: EventKind,
    change: &chatnet::protocol::message::RoomChange,
    from: &Person,
    turn: &mut Turn,
) {
    let whom = change.whom.as_ref().map(|whom| whom.principal);
    match kind {
        EventKind::DELETION => {
            if let Some(seq) = change.value {
                room.rows.removed(seq);
            }
        }
        EventKind::ROLE => {
            let rank = change.value.and_then(|value| u8::try_from(value).ok()).map_or(Rank::Member, Rank::from_u8);
            if let Some(whom) = whom {
                room.members.ranked(whom, rank);
            }
        }
        EventKind::ALIAS => {
            let Some(alias) = &change.text else { return };
            room.members.renamed(from.id, alias);
            if let Some(peer) = room.peer.as_mut().filter(|peer| peer.id == from.id) {
                peer.alias.clone_from(alias);
            }
        }
        EventKind::MUTE | EventKind::UNMUTE => {
            if let Some(whom) = whom {
                room.members.muted(whom, kind == EventKind::MUTE);
            }
        }
        _ => return,
    }
    for view in [View::Conversation, View::Members, View::Rooms] {
        turn.show(view);
    }
}
