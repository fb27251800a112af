//! Going to another room by a few letters.

use super::State;
use super::effect::{Turn, View};

#[derive(Debug, Default)]
pub(crate) struct Switcher {
    pub(crate) open: bool,
    pub(crate) query: String,
    /// Keys of rooms that fit, best first.
    pub(crate) rows: Vec<i32>,
    pub(crate) chosen: usize,
}

/// How well a name fits to what was typed: less is better; none: not at all.
pub(crate) fn fit(name: &str, query: &str) -> Option<usize> {
    let (name, query) = (name.to_lowercase(), query.trim().trim_start_matches(['#', '@']).to_lowercase());
    if query.is_empty() {
        return Some(0);
    }
    if let Some(at) = name.find(&query) {
        return Some(at.min(100));
    }
    // The letters in this order, with others between them.
    let mut left = name.char_indices();
    let mut last = 0;
    for wanted in query.chars().filter(|c| !c.is_whitespace()) {
        last = left.find(|(_, c)| *c == wanted)?.0;
    }
    Some(200 + last)
}

impl State {
    /// What is typed; nothing yet, when it opens.
    pub(super) fn filter(&mut self, query: String, turn: &mut Turn) {
        let selected = self.rooms.selected;
        let mut fits: Vec<_> = self
            .rooms
            .list
            .iter()
            .filter_map(|room| {
                let fit = fit(&room.title(), &query)?;
                // Without a word: what calls, then what is new; where one is comes last.
                let quiet = (room.mentions == 0, room.unread == 0);
                Some(((fit, room.key == selected, quiet), room.key))
            })
            .collect();
        fits.sort();
        self.switcher.rows = fits.into_iter().map(|(_, key)| key).collect();
        (self.switcher.query, self.switcher.chosen) = (query, 0);
        self.switcher.open = !self.rooms.list.is_empty();
        turn.show(View::Switcher);
    }

    pub(super) fn move_switch(&mut self, by: i32, turn: &mut Turn) {
        self.switcher.chosen = moved(self.switcher.chosen, by, self.switcher.rows.len());
        turn.show(View::Switcher);
    }

    pub(super) fn choose_switch(&mut self, turn: &mut Turn) {
        match self.switcher.rows.get(self.switcher.chosen).copied() {
            Some(key) => self.pick_switch(key, turn),
            None => self.close_switcher(turn),
        }
    }

    pub(super) fn pick_switch(&mut self, key: i32, turn: &mut Turn) {
        self.close_switcher(turn);
        self.select(key, turn);
    }

    pub(super) fn close_switcher(&mut self, turn: &mut Turn) {
        self.switcher = Switcher::default();
        turn.show(View::Switcher);
    }
}

/// Another place in a list that goes round.
pub(super) fn moved(at: usize, by: i32, len: usize) -> usize {
    if len == 0 { 0 } else { (at as i64 + i64::from(by)).rem_euclid(len as i64) as usize }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_fits_best_and_letters_in_order_fit_too() {
        assert!(fit("lobby", "lo") < fit("hello", "lo"));
        assert!(fit("hello", "lo") < fit("lunch-room", "lo"));
        assert_eq!(fit("lobby", "x"), None);
        assert_eq!(fit("Ärger", "@är"), Some(0));
        assert_eq!((moved(0, -1, 3), moved(2, 1, 3), moved(0, 1, 0)), (2, 0, 0));
    }
}
