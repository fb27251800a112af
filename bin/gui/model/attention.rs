//! Whether the person is to be called, and what else comes and goes with time.

use chatnet::text::display_line;

use super::State;
use super::effect::{Effect, Turn, View};
use super::event::Person;
use super::words::day;

/// Between two calls, in milliseconds: a flood of mentions is no flood of windows.
const CALM: i64 = 2_000;
/// How long somebody's sign of typing holds, in milliseconds.
const TYPING: i64 = 6_000;
/// Who is told to be typing at once.
const MAX_TYPING: usize = 50;
/// Characters of a text in a notification.
const BODY: usize = 200;

#[derive(Debug)]
pub(crate) struct Attention {
    last: i64,
}

impl Default for Attention {
    fn default() -> Self {
        Self { last: i64::MIN }
    }
}

/// Whether a text names somebody, as a word of its own.
pub(crate) fn mentions(text: &str, alias: &str) -> bool {
    if alias.is_empty() || text.len() < alias.len() / 2 {
        return false;
    }
    let (text, alias) = (text.to_lowercase(), alias.to_lowercase());
    let part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(&alias).any(|(at, found)| {
        let before = text[..at].chars().next_back();
        let after = text[at + found.len()..].chars().next();
        !before.is_some_and(part) && !after.is_some_and(part)
    })
}

impl State {
    /// Somebody said something that may be for this person.
    pub(super) fn call(&mut self, name: &str, from: &Person, text: &str, mention: bool, now: i64, turn: &mut Turn) {
        if self.focused || now.saturating_sub(self.attention.last) < CALM {
            return;
        }
        let Some(room) = self.rooms.by_name(name).filter(|room| !room.muted) else { return };
        if !mention && !room.direct {
            return;
        }
        let (direct, title) = (room.direct, room.title());
        self.attention.last = now;
        let who = display_line(&from.alias);
        if self.settings.choices.notifications {
            let short: String = text.chars().take(BODY).collect();
            let body = display_line(&short.replace(['\n', '\t'], " ")).into_owned();
            let title = if direct { who.into_owned() } else { format!("{who} in {title}") };
            turn.do_(Effect::Notify { title, body });
        }
        if self.settings.choices.sound {
            turn.do_(Effect::Sound);
        }
    }

    pub(super) fn focus(&mut self, focused: bool, turn: &mut Turn) {
        self.focused = focused;
        self.read(turn);
    }

    pub(super) fn typing(&mut self, name: &str, who: String, typing: bool, now: i64, turn: &mut Turn) {
        let Some(room) = self.rooms.by_name(name) else { return };
        room.typing.retain(|(other, _)| *other != who);
        if typing && room.typing.len() < MAX_TYPING {
            room.typing.push((who, now + TYPING));
        }
        turn.show(View::Conversation);
        turn.show(View::Rooms);
    }

    pub(super) fn typing_tick(&mut self, now: i64, turn: &mut Turn) {
        for room in &mut self.rooms.list {
            let before = room.typing.len();
            room.typing.retain(|(_, until)| *until > now);
            if room.typing.len() != before {
                turn.show(View::Conversation);
                turn.show(View::Rooms);
            }
        }
    }

    pub(super) fn is_anybody_typing(&self) -> bool {
        self.rooms.list.iter().any(|room| !room.typing.is_empty())
    }

    pub(super) fn day_tick(&mut self, now: i64, _: &mut Turn) {
        let today = day(now, self.local);
        if today != self.today {
            self.today = today;
            if let Some(room) = self.rooms.selected() {
                room.rows.new_day();
            }
        }
    }

    pub(crate) fn today(&self) -> i64 {
        self.today
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_counts_as_a_word_only() {
        assert!(mentions("hey @ada!", "Ada"));
        assert!(mentions("ADA: look", "ada"));
        assert!(mentions("ask Ada Lovelace.", "Ada Lovelace"));
        assert!(!mentions("adapt", "ada"));
        assert!(!mentions("canada", "ada"));
        assert!(!mentions("anything", ""));
        assert!(mentions("İ ärger", "Ärger"));
    }
}
