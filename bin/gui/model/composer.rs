//! What is typed: commands, completion, emoji, sending.

use std::sync::Arc;

use chatnet::text::display_line;

use super::connect::sentence;
use super::effect::{Effect, Turn, View, Whom};
use super::event::{Part, Person, Secret};
use super::row::Kind;
use super::switcher::moved;
use super::{State, View as Shown};
use crate::input::{self, Action, Rules};
use crate::people;

/// Proposals that are shown.
const MAX_SUGGESTIONS: usize = 8;
/// Emoji that are shown of those that fit.
const MAX_EMOJI: usize = 240;
/// Another sign of typing is given after this time at the earliest, in milliseconds.
const TYPING_EVERY: i64 = 4_000;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Suggestion {
    /// What stands up to the cursor then.
    pub(crate) insert: String,
    pub(crate) usage: String,
    pub(crate) help: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cell {
    pub(crate) emoji: &'static str,
    pub(crate) name: &'static str,
}

#[derive(Debug)]
pub(crate) struct Composer {
    pub(crate) text: String,
    /// The text was set here: the view takes it over.
    pub(crate) changed: u32,
    /// Where the cursor is, in bytes.
    pub(crate) cursor: usize,
    pub(crate) error: String,
    pub(crate) suggestions: Vec<Suggestion>,
    pub(crate) chosen: usize,
    pub(crate) emojis: Vec<Cell>,
    told_typing: i64,
}

impl Composer {
    pub(super) fn new() -> Self {
        let (text, error, suggestions) = Default::default();
        Self {
            text,
            changed: 0,
            cursor: 0,
            error,
            suggestions,
            chosen: 0,
            emojis: find_emoji(""),
            told_typing: i64::MIN,
        }
    }

    /// Nothing is typed.
    pub(super) fn clear(&mut self) {
        (self.text, self.cursor) = (String::new(), 0);
        self.changed += 1;
    }

    pub(super) fn close(&mut self) {
        self.suggestions.clear();
        self.chosen = 0;
        self.error.clear();
    }
}

/// The place in a text that is nearest before this one.
fn boundary(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0)
}

/// The commands, from the text that `/help` shows: usage and what it does.
pub(crate) fn commands() -> impl Iterator<Item = (&'static str, &'static str)> {
    let mut lines = input::HELP.lines().chain(people::HELP.lines()).peekable();
    std::iter::from_fn(move || {
        let line = lines.by_ref().find(|line| line.starts_with('/') && !line.starts_with("//"))?;
        match line.split_once("  ") {
            Some((usage, help)) => Some((usage, help.trim_start())),
            // What it does stands on the next line, or close behind.
            None => match lines.next_if(|next| next.starts_with(' ')) {
                Some(help) => Some((line, help.trim_start())),
                None => Some(line.find("] ").map_or((line, ""), |at| (&line[..=at], &line[at + 2..]))),
            },
        }
    })
}

/// Emoji whose names fit, the best first.
pub(crate) fn find_emoji(query: &str) -> Vec<Cell> {
    let query = query.trim().trim_matches(':').to_lowercase();
    let words: Vec<_> = query.split([' ', '_', '-']).filter(|word| !word.is_empty()).collect();
    let mut found: Vec<_> = emojis::iter()
        .enumerate()
        .filter_map(|(i, emoji)| {
            let code = emoji.shortcodes().find(|code| code.starts_with(&query));
            let fits = |word: &&str| {
                emoji.name().to_lowercase().contains(*word) || emoji.shortcodes().any(|c| c.contains(*word))
            };
            let rank = if code.is_some() {
                0
            } else if words.iter().all(fits) {
                1
            } else {
                return None;
            };
            Some((rank, i, Cell { emoji: emoji.as_str(), name: emoji.name() }))
        })
        .collect();
    found.sort_by_key(|(rank, i, _)| (*rank, *i));
    found.truncate(MAX_EMOJI);
    found.into_iter().map(|(_, _, cell)| cell).collect()
}

impl State {
    pub(super) fn typed(&mut self, text: String, cursor: usize, now: i64, turn: &mut Turn) {
        let Some(room) = self.rooms.selected() else { return };
        room.draft.clone_from(&text);
        let (name, gone) = (room.name.clone(), room.gone);
        let signs = !text.is_empty() && !text.starts_with('/') && !gone;
        if signs && now.saturating_sub(self.composer.told_typing) >= TYPING_EVERY {
            self.composer.told_typing = now;
            turn.do_(Effect::Typing { room: name });
        }
        self.composer.cursor = boundary(&text, cursor);
        self.composer.text = text;
        let had = !self.composer.suggestions.is_empty() || !self.composer.error.is_empty();
        self.composer.error.clear();
        self.composer.suggestions = self.suggest();
        self.composer.chosen = 0;
        if had || !self.composer.suggestions.is_empty() {
            turn.show(View::Suggestions);
            turn.show(View::Composer);
        }
    }

    /// How the last word may go on.
    fn suggest(&self) -> Vec<Suggestion> {
        let text = &self.composer.text[..self.composer.cursor];
        // A text this long is no search for a word.
        if text.len() > 64 << 10 {
            return Vec::new();
        }
        if let Some(begun) = text.strip_prefix('/')
            && !begun.contains(char::is_whitespace)
        {
            let fits = commands().filter(|(usage, _)| usage[1..].starts_with(begun));
            let suggestion = |(usage, help): (&str, &str)| {
                let name = usage.split_whitespace().next().unwrap_or(usage);
                let space = if usage.contains(' ') { " " } else { "" };
                Suggestion { insert: format!("{name}{space}"), usage: usage.into(), help: help.into() }
            };
            return fits.map(suggestion).take(MAX_SUGGESTIONS).collect();
        }
        let from =
            text.rfind(char::is_whitespace).map_or(0, |at| at + text[at..].chars().next().map_or(1, char::len_utf8));
        let (before, word) = text.split_at(from);
        if let Some(begun) = word.strip_prefix('@') {
            return self.suggest_people(before, &begun.to_lowercase());
        }
        match word.strip_prefix(':') {
            Some(begun) if begun.chars().count() >= 2 && !begun.ends_with(':') => {
                let suggestion = |cell: Cell| Suggestion {
                    insert: format!("{before}{} ", cell.emoji),
                    usage: cell.emoji.into(),
                    help: cell.name.into(),
                };
                find_emoji(begun).into_iter().take(MAX_SUGGESTIONS).map(suggestion).collect()
            }
            _ => Vec::new(),
        }
    }

    fn suggest_people(&self, before: &str, begun: &str) -> Vec<Suggestion> {
        let Some(room) = self.room() else { return Vec::new() };
        let others = room.members.list.iter().filter(|member| Some(member.who().id) != self.me.id);
        let fits = others.filter(|member| member.who().alias.to_lowercase().starts_with(begun));
        let suggestion = |member: &super::Member| {
            let alias = display_line(&member.who().alias);
            let help = if member.who().guest { "Guest" } else { "" };
            Suggestion { insert: format!("{before}@{alias} "), usage: format!("@{alias}"), help: help.into() }
        };
        fits.take(MAX_SUGGESTIONS).map(suggestion).collect()
    }

    pub(super) fn move_choice(&mut self, by: i32, turn: &mut Turn) {
        self.composer.chosen = moved(self.composer.chosen, by, self.composer.suggestions.len());
        turn.show(View::Suggestions);
    }

    pub(super) fn accept_choice(&mut self, turn: &mut Turn) {
        if let Some(chosen) = self.composer.suggestions.get(self.composer.chosen).cloned() {
            let behind = self.composer.text.split_off(self.composer.cursor);
            let cursor = chosen.insert.len();
            self.set_text(chosen.insert + &behind, cursor, turn);
        }
        self.close_suggestions(turn);
    }

    pub(super) fn close_suggestions(&mut self, turn: &mut Turn) {
        self.composer.suggestions.clear();
        turn.show(View::Suggestions);
    }

    fn set_text(&mut self, text: String, cursor: usize, turn: &mut Turn) {
        if let Some(room) = self.rooms.selected() {
            room.draft.clone_from(&text);
        }
        (self.composer.text, self.composer.cursor) = (text, cursor);
        self.composer.changed += 1;
        turn.show(View::Composer);
    }

    pub(super) fn search_emoji(&mut self, query: &str, turn: &mut Turn) {
        self.composer.emojis = find_emoji(query);
        turn.show(View::Emojis);
    }

    pub(super) fn typed_emoji(&mut self, emoji: &str, cursor: usize, now: i64, turn: &mut Turn) {
        let mut text = self.composer.text.clone();
        let cursor = boundary(&text, cursor);
        text.insert_str(cursor, emoji);
        let cursor = cursor + emoji.len();
        self.set_text(text.clone(), cursor, turn);
        self.typed(text, cursor, now, turn);
    }

    /// Enter was pressed.
    pub(super) fn send(&mut self, text: &str, now: i64, turn: &mut Turn) {
        turn.show(View::Composer);
        turn.show(View::Suggestions);
        self.composer.close();
        if text.trim().is_empty() {
            return;
        }
        match input::parse(text.as_bytes(), Rules { json: false, commands: true }) {
            Action::Nothing => {}
            Action::Send { text, .. } => {
                if !self.say(&text, now, turn) {
                    return;
                }
            }
            Action::Wrong(why) => {
                self.composer.error = sentence(&why);
                return;
            }
            action => return self.command(text, action, now, turn),
        }
        self.set_text(String::new(), 0, turn);
        // What is sent is read.
        if let Some(room) = self.rooms.selected() {
            room.rows.erase_line();
        }
    }

    /// Say it in the room that is shown. Returns whether it could be taken.
    pub(super) fn say(&mut self, text: &str, now: i64, turn: &mut Turn) -> bool {
        let Some(id) = self.me.id else { return false };
        let who = Arc::new(Person { id, alias: self.me.alias.clone(), guest: false });
        let Some(room) = self.rooms.selected().filter(|room| !room.gone) else {
            self.composer.error = "You are in no room here. Join one first.".into();
            return false;
        };
        let key = room.rows.add_waiting(who, now, text);
        if let Some(effect) = room.rows.want_newest(&room.name) {
            turn.do_(effect);
        }
        turn.do_(Effect::Send { room: room.name.clone(), key, text: text.to_owned() });
        turn.show(View::Conversation);
        turn.show(View::Status);
        true
    }

    /// A command. What can't be done stands in the composer again, to be mended.
    fn command(&mut self, line: &str, action: Action, now: i64, turn: &mut Turn) {
        let room = self.rooms.selected().map_or(0, |room| room.key);
        // Before it is done, for another room may be shown behind it.
        self.set_text(String::new(), 0, turn);
        let before = turn.effects.len();
        if !self.act(action, now, turn) {
            return self.give_back(room, line.to_owned(), turn);
        }
        for effect in &mut turn.effects[before..] {
            use Effect::{Ask, Away, Create, Direct, Join};
            if matches!(effect, Ask { .. } | Away(_) | Create { .. } | Direct { .. } | Join { .. }) {
                let what = Box::new(std::mem::replace(effect, Effect::Sound));
                *effect = Effect::Command { room, line: line.to_owned(), what };
            }
        }
    }

    /// A line that came to nothing, unless something else is typed there by now.
    pub(super) fn give_back(&mut self, room: i32, line: String, turn: &mut Turn) {
        if self.rooms.selected().is_some_and(|shown| shown.key == room) {
            if self.composer.text.is_empty() {
                let cursor = line.len();
                self.set_text(line, cursor, turn);
            }
        } else if let Some(room) = self.rooms.by_key(room).filter(|room| room.draft.is_empty()) {
            room.draft = line;
        }
    }

    /// Do it. Returns whether it could be begun.
    fn act(&mut self, action: Action, now: i64, turn: &mut Turn) -> bool {
        let mut fine = true;
        let mut no = |state: &mut Self, why: &str, turn: &mut Turn| {
            fine = false;
            state.toast(why, now, turn);
        };
        let room = self.room().filter(|room| !room.gone).map(|room| room.name.clone());
        match action {
            // The password is asked for when it is needed.
            Action::Join(name) | Action::JoinWithPassword(name) => {
                turn.do_(Effect::Join { name, password: Secret::default() });
            }
            Action::Switch(name) => match self.rooms.by_name(&name).map(|room| room.key) {
                Some(key) => self.select(key, turn),
                None => no(self, &format!("You are not in {name}; /join {name} first"), turn),
            },
            Action::Leave(name) => match name.or(room) {
                Some(name) => match self.rooms.by_name(&name).map(|room| room.key) {
                    Some(key) => self.leave_room(key, turn),
                    None => no(self, &format!("You are not in {name}"), turn),
                },
                None => no(self, "You are in no room", turn),
            },
            Action::Direct { whom, text } => {
                turn.do_(Effect::Direct { whom: Whom::Name(whom), text: (!text.is_empty()).then_some(text) });
            }
            Action::Search(query) => self.search_for(query, turn),
            Action::People(people::Ask::List) => self.open_new(turn),
            Action::People(people::Ask::Away(text)) => turn.do_(Effect::Away(text)),
            Action::People(people::Ask::Create(_, chatnet::protocol::message::RoomKind::Password)) => {
                self.open_new(turn)
            }
            Action::People(people::Ask::Create(name, kind)) => {
                turn.do_(Effect::Create { name, kind, password: Secret::default() });
            }
            Action::People(ask) => turn.do_(Effect::Ask { room, ask }),
            Action::Rooms => self.filter(String::new(), turn),
            Action::Who => self.told("Who is here is shown at the right.", now),
            Action::History(_) => {
                if let Some(room) = self.rooms.selected()
                    && let Some(Effect::History { room, ticket, part: Part::Older, seq }) =
                        room.rows.want_older(&room.name)
                {
                    turn.do_(Effect::History { room, ticket, part: Part::Older, seq });
                }
            }
            Action::Help => {
                let help = format!("{}\n{}", input::HELP, people::HELP);
                self.told(&help, now);
            }
            Action::Quit => turn.do_(Effect::Quit),
            Action::Typing => match room {
                Some(room) => turn.do_(Effect::Typing { room }),
                None => no(self, "You are in no room", turn),
            },
            Action::ShowTyping(_) => no(self, "Who is writing something is always shown here", turn),
            Action::Register { .. } | Action::Login(_) => {
                no(self, "Disconnect first; the connect dialog makes accounts and logs in", turn);
            }
            Action::Password => no(self, "The terminal client changes passwords: chatnet, then /password", turn),
            Action::DeleteAccount => {
                no(self, "The terminal client deletes accounts: chatnet, then /delete-account", turn);
            }
            Action::Send { .. } | Action::Nothing | Action::Wrong(_) => {}
        }
        turn.show(Shown::Rooms);
        fine
    }

    fn told(&mut self, text: &str, now: i64) {
        if let Some(room) = self.rooms.selected() {
            room.rows.note(Kind::Notice, text, now);
        }
    }

    pub(crate) fn placeholder(&self) -> String {
        match self.room() {
            None => "Join a room to talk".into(),
            Some(room) if room.gone => "You are no longer in this room".into(),
            Some(room) if room.about.settings.archived => "This room is archived; nobody talks here any more".into(),
            Some(room) if room.about.settings.announcement_only && !room.about.may_moderate => {
                "Only moderators talk in this room".into()
            }
            Some(_) if self.status.link != super::Link::Online => "Not connected; what you write is sent later".into(),
            Some(room) => format!("Message {}", room.title()),
        }
    }

    pub(crate) fn may_write(&self) -> bool {
        self.room().is_some_and(|room| !room.gone && !room.about.settings.archived)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_that_is_proposed_is_one() {
        let all: Vec<_> = commands().collect();
        assert!(all.len() > 25, "{all:?}");
        for (usage, help) in all {
            assert!(usage.starts_with('/') && !help.is_empty(), "{usage:?} {help:?}");
            let line = usage.split(" [").next().unwrap().replace("NUMBER", "3");
            let action = input::parse(line.as_bytes(), Rules { json: false, commands: true });
            assert!(!matches!(action, Action::Wrong(_) | Action::Send { .. }), "{usage}: {action:?}");
        }
    }

    #[test]
    fn emoji_are_found_by_name_and_by_code() {
        assert_eq!(find_emoji("thumbsup")[0].emoji, "👍");
        assert!(find_emoji("grinning face").iter().any(|cell| cell.emoji == "😀"));
        assert!(find_emoji("zzzzz").is_empty());
        assert!(find_emoji("").len() == MAX_EMOJI);
    }
}
