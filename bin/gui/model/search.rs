//! Finding what was said, and going there.

use chatnet::text::display_line;

use super::connect::sentence;
use super::effect::{Effect, Turn, View};
use super::event::Hit;
use super::{RowChange, State};

/// Characters of a hit's text on either side of what was found.
const AROUND: usize = 60;

#[derive(Debug, Default)]
pub(crate) struct Search {
    pub(crate) open: bool,
    pub(crate) query: String,
    pub(crate) rows: Vec<Found>,
    pub(crate) busy: bool,
    pub(crate) error: String,
    pub(crate) more: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Found {
    pub(crate) key: i32,
    pub(crate) hit: Hit,
    pub(crate) before: String,
    pub(crate) found: String,
    pub(crate) after: String,
}

/// Where the first of the words is in a text: what is before it, it, and what is behind it.
pub(crate) fn split(text: &str, query: &str) -> (String, String, String) {
    let text = display_line(&text.replace(['\n', '\t'], " ")).into_owned();
    let mut words = query.split_whitespace().map(|word| word.trim_end_matches('*').to_lowercase());
    let place = words.find_map(|word| find(&text, &word));
    let Some((from, to)) = place else {
        return (text.chars().take(2 * AROUND).collect(), String::new(), String::new());
    };
    let (before, found, after) = (&text[..from], &text[from..to], &text[to..]);
    let skip = before.chars().count().saturating_sub(AROUND);
    let mut start: String = before.chars().skip(skip).collect();
    if skip > 0 {
        start.insert(0, '…');
    }
    let mut end: String = after.chars().take(2 * AROUND).collect();
    if end.len() < after.len() {
        end.push('…');
    }
    (start, found.to_owned(), end)
}

/// A word in a text, whatever its letters' case.
fn find(text: &str, word: &str) -> Option<(usize, usize)> {
    if word.is_empty() {
        return None;
    }
    text.char_indices().find_map(|(from, _)| {
        let mut left = word.chars();
        let mut next = left.next();
        for (at, c) in text[from..].char_indices() {
            for lower in c.to_lowercase() {
                if next != Some(lower) {
                    return None;
                }
                next = left.next();
            }
            if next.is_none() {
                return Some((from, from + at + c.len_utf8()));
            }
        }
        None
    })
}

impl State {
    pub(super) fn close_search(&mut self, turn: &mut Turn) {
        self.search = Search::default();
        turn.show(View::Search);
    }

    pub(super) fn search_for(&mut self, query: String, turn: &mut Turn) {
        let query = query.trim().to_owned();
        let Some(room) = self.room().map(|room| room.name.clone()) else { return };
        turn.show(View::Search);
        self.search.open = true;
        if query.is_empty() {
            self.search = Search { open: true, ..Search::default() };
            return;
        }
        self.search = Search { open: true, query: query.clone(), busy: true, ..Search::default() };
        turn.do_(Effect::Search { room, query, before: None });
    }

    pub(super) fn more_hits(&mut self, turn: &mut Turn) {
        let Some(room) = self.room().map(|room| room.name.clone()) else { return };
        if self.search.busy || !self.search.more {
            return;
        }
        self.search.busy = true;
        let (query, before) = (self.search.query.clone(), self.search.rows.last().map(|found| found.hit.seq));
        turn.do_(Effect::Search { room, query, before });
        turn.show(View::Search);
    }

    pub(super) fn hits(&mut self, room: &str, query: &str, hits: Vec<Hit>, more: bool, turn: &mut Turn) {
        if query != self.search.query || self.room().is_none_or(|shown| shown.name != room) {
            return;
        }
        (self.search.busy, self.search.more) = (false, more);
        for hit in hits {
            let key = self.search.rows.len() as i32 + 1;
            let (before, found, after) = split(&hit.snippet, query);
            self.search.rows.push(Found { key, hit, before, found, after });
        }
        turn.show(View::Search);
    }

    pub(super) fn search_failed(&mut self, query: &str, text: &str, turn: &mut Turn) {
        if query == self.search.query {
            (self.search.busy, self.search.error) = (false, sentence(text));
            turn.show(View::Search);
        }
    }

    pub(super) fn show_hit(&mut self, key: i32, turn: &mut Turn) {
        let Some(seq) = self.search.rows.iter().find(|found| found.key == key).map(|found| found.hit.seq) else {
            return;
        };
        if let Some(room) = self.rooms.selected() {
            if let Some(effect) = room.rows.want(&room.name, seq) {
                turn.do_(effect);
            }
            turn.show(View::Conversation);
        }
    }

    pub(super) fn near_top(&mut self, turn: &mut Turn) {
        if let Some(room) = self.rooms.selected().filter(|room| !room.gone) {
            if let Some(effect) = room.rows.want_older(&room.name) {
                turn.do_(effect);
            }
            turn.show(View::Conversation);
        }
    }

    pub(super) fn following(&mut self, following: bool, turn: &mut Turn) {
        let Some(room) = self.rooms.selected() else { return };
        if following && room.rows.detached {
            // The end of a part of the past: go on reading.
            if let Some(effect) = room.rows.want_newer(&room.name) {
                turn.do_(effect);
            }
        } else {
            room.rows.following = following;
            if following {
                room.rows.unseen = 0;
            }
        }
        turn.show(View::Conversation);
    }

    pub(super) fn jump_to_newest(&mut self, turn: &mut Turn) {
        let Some(room) = self.rooms.selected() else { return };
        if let Some(effect) = room.rows.want_newest(&room.name) {
            turn.do_(effect);
        } else {
            turn.rows.push(RowChange::ScrollToEnd);
            room.rows.log.retain(|change| !matches!(change, RowChange::ScrollToEnd));
        }
        turn.show(View::Conversation);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hit_shows_what_was_found_and_what_is_around_it() {
        assert_eq!(split("the Quick fox", "quick"), ("the ".into(), "Quick".into(), " fox".into()));
        assert_eq!(split("prefixes", "pre*"), ("".into(), "pre".into(), "fixes".into()));
        assert_eq!(split("Größe", "größe").1, "Größe");
        assert_eq!(split("nothing", "absent").0, "nothing");
        assert_eq!(split("İstanbul", "i").1.chars().count(), 0);
        let long = format!("{}needle{}", "a ".repeat(300), " b".repeat(300));
        let (before, found, after) = split(&long, "needle");
        assert!(before.starts_with('…') && found == "needle" && after.ends_with('…'));
    }
}
