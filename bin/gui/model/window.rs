//! A conversation's past: pages in front, and parts far back.

use super::conversation::Conversation;
use super::effect::{Effect, RowChange};
use super::event::Part;
use super::row::{Kind, Row};
use super::words;

/// Events that are asked for at once.
pub(crate) const PAGE: u32 = 100;

impl Conversation {
    /// Messages that came below what is seen.
    pub(crate) fn unseen(&self) -> u32 {
        self.unseen
    }

    /// A page is on its way.
    pub(crate) fn loading(&self) -> bool {
        self.loading
    }

    /// There is nothing before what is shown.
    pub(crate) fn is_at_start(&self) -> bool {
        self.at_start
    }

    /// What is shown is a part of the past: there is more behind it.
    pub(crate) fn is_detached(&self) -> bool {
        self.detached
    }

    /// The top comes near: ask for what is before it.
    pub(crate) fn want_older(&mut self, room: &str) -> Option<Effect> {
        if self.loading || self.at_start {
            return None;
        }
        let seq = self.first_seq().unwrap_or(self.head + 1);
        if seq <= 1 {
            self.at_start = true;
            return None;
        }
        Some(self.ask(room, Part::Older, seq))
    }

    /// The end of a part of the past comes near: ask for what is behind it.
    pub(crate) fn want_newer(&mut self, room: &str) -> Option<Effect> {
        if self.loading || !self.detached {
            return None;
        }
        let seq = self.last_seq()?;
        Some(self.ask(room, Part::Newer, seq))
    }

    /// Go to the newest.
    pub(crate) fn want_newest(&mut self, room: &str) -> Option<Effect> {
        (self.following, self.unseen) = (true, 0);
        if self.detached {
            let head = self.head;
            return Some(self.ask(room, Part::Newest, head + 1));
        }
        if self.shown {
            self.log.push(RowChange::ScrollToEnd);
        }
        None
    }

    /// Show this event, wherever it is.
    pub(crate) fn want(&mut self, room: &str, seq: u64) -> Option<Effect> {
        match self.highlight(seq) {
            Some(key) => {
                self.following = false;
                if self.shown {
                    self.log.push(RowChange::ScrollTo(key));
                }
                None
            }
            None => Some(self.ask(room, Part::Around(seq), seq)),
        }
    }

    fn ask(&mut self, room: &str, part: Part, seq: u64) -> Effect {
        self.loading = true;
        self.ticket += 1;
        Effect::History { room: room.to_owned(), ticket: self.ticket, part, seq }
    }

    /// Nothing came.
    pub(crate) fn page_failed(&mut self, ticket: u32) -> bool {
        let wanted = self.loading && self.ticket == ticket;
        if wanted {
            self.loading = false;
        }
        wanted
    }

    /// A page came, oldest first. Returns false if nobody waits for it any more.
    pub(crate) fn page(&mut self, ticket: u32, part: Part, rows: Vec<Row>, before: bool, after: bool) -> bool {
        if !self.loading || self.ticket != ticket {
            return false;
        }
        self.loading = false;
        match part {
            Part::Older => self.prepend(rows, before),
            Part::Newer => self.append(rows, after),
            Part::Newest => self.show_part(rows, before, false),
            Part::Around(seq) => {
                self.show_part(rows, before, after);
                self.following = false;
                if let Some(key) = self.highlight(seq)
                    && self.shown
                {
                    self.log.push(RowChange::ScrollTo(key));
                }
            }
        }
        true
    }

    fn prepend(&mut self, rows: Vec<Row>, before: bool) {
        let first = self.first_seq().unwrap_or(u64::MAX);
        let rows: Vec<_> = rows.into_iter().filter(|row| row.seq < first).collect();
        self.at_start = !before || rows.is_empty();
        let rows = self.arranged(rows);
        let Some(last) = rows.last() else { return };
        let local = self.local();
        let seam = self.rows().front().filter(|row| row.kind == Kind::Day).map(|row| words::day(row.at, local));
        let seam = seam == Some(words::day(last.at, local));
        let at = rows.len();
        // First in, then out: while rows come in, the one at the top stays out of sight.
        self.insert_front(rows);
        if seam {
            self.remove(at, 1);
        }
        self.regroup(at);
        while self.is_full() {
            // What is far below what is looked at goes; it is fetched again on the way back.
            let end = self.first_waiting_index();
            let count = (self.rows().len() / 10).min(end.saturating_sub(at + 1));
            if count == 0 {
                break;
            }
            if !self.detached {
                self.detached = true;
                let kept: Vec<_> = self.rows().range(end..).cloned().collect();
                self.drop_waiting(end, kept);
            }
            let end = self.rows().len();
            self.remove(end - count, count);
        }
    }

    fn drop_waiting(&mut self, end: usize, kept: Vec<Row>) {
        let count = self.rows().len() - end;
        self.remove(end, count);
        self.forget_waiting();
        self.parked.extend(kept);
    }

    fn append(&mut self, rows: Vec<Row>, after: bool) {
        for row in rows {
            self.add(row);
        }
        if !after && self.last_seq().unwrap_or(0) >= self.head {
            self.detached = false;
            self.unpark();
        }
    }

    fn show_part(&mut self, rows: Vec<Row>, before: bool, after: bool) {
        let shown = std::mem::replace(&mut self.shown, false);
        self.replace();
        let last = rows.last().map_or(0, |row| row.seq);
        let rows = self.arranged(rows);
        self.insert_front(rows);
        self.at_start = !before;
        self.detached = after || last < self.head;
        if !self.detached {
            self.unpark();
        }
        self.shown = shown;
        self.reset();
        if shown && self.following {
            self.log.push(RowChange::ScrollToEnd);
        }
    }

    /// Tell all rows anew.
    pub(crate) fn reset(&mut self) {
        if self.shown {
            self.log.clear();
            self.log.push(RowChange::Reset(self.rows().iter().cloned().collect()));
        }
    }

    /// The room has begun anew, or is another one: nothing of before is in it.
    pub(crate) fn begin_anew(&mut self, head: u64) {
        let shown = std::mem::replace(&mut self.shown, false);
        self.replace();
        (self.head, self.detached, self.at_start, self.loading) = (head, false, head == 0, false);
        self.ticket += 1;
        self.unpark();
        self.shown = shown;
        self.reset();
    }

    /// Rows of the log with days between them, grouped.
    fn arranged(&mut self, rows: Vec<Row>) -> Vec<Row> {
        let local = self.local();
        let mut alone = Conversation::new(local);
        alone.keys = self.keys;
        for row in rows {
            let end = alone.rows().len();
            alone.insert_dated(end, row);
        }
        self.keys = alone.keys;
        alone.rows().iter().cloned().collect()
    }
}
