//! A room's rows: in the log's order, grouped, with days between them, and what isn't sent yet at the end.

use std::collections::VecDeque;
use std::sync::Arc;

use super::effect::RowChange;
use super::row::{Kind, Row};
use super::words::{self, Local};

/// Rows that are kept; older ones are fetched again when they are looked at.
pub(crate) const MAX_ROWS: usize = 50_000;
/// Bytes of rows that are kept, about.
const MAX_BYTES: usize = 48 << 20;
/// Rows that stay when another room is looked at.
const KEPT: usize = 1_000;
/// As many go at once, so that a full conversation isn't shifted for each message.
const TRIMMED: usize = 2_000;
/// Who says something again within this time is not named again. In milliseconds.
const GROUP: i64 = 5 * 60_000;

#[derive(Debug)]
pub(crate) struct Conversation {
    pub(super) rows: VecDeque<Row>,
    bytes: usize,
    /// How many at the end are waiting to be sent.
    pub(super) waiting: usize,
    /// Waiting too, while the rows show a part of the past.
    pub(super) parked: Vec<Row>,
    /// The rows don't reach up to the newest.
    pub(super) detached: bool,
    pub(super) at_start: bool,
    pub(super) loading: bool,
    /// Pages that were asked for with another number are no longer wanted.
    pub(super) ticket: u32,
    /// The last event that is known to be in the log.
    pub(super) head: u64,
    /// The view stands at the end.
    pub(super) following: bool,
    /// Messages that came below what is seen.
    pub(super) unseen: u32,
    new_line: Option<i32>,
    /// The person has been here since the line was drawn.
    line_seen: bool,
    /// The rows are on the screen: changes are told.
    pub(super) shown: bool,
    pub(super) log: Vec<RowChange>,
    pub(super) keys: Keys,
    local: Local,
}

/// Hands out the rows' keys; each conversation has its own range.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Keys(i32);

impl Keys {
    pub(super) fn next(&mut self) -> i32 {
        self.0 = self.0.wrapping_add(1).max(1);
        self.0
    }
}

impl Conversation {
    pub(crate) fn new(local: Local) -> Self {
        Self {
            rows: VecDeque::new(),
            bytes: 0,
            waiting: 0,
            parked: Vec::new(),
            detached: false,
            at_start: false,
            loading: false,
            ticket: 0,
            head: 0,
            following: true,
            unseen: 0,
            new_line: None,
            line_seen: false,
            shown: false,
            log: Vec::new(),
            keys: Keys(0),
            local,
        }
    }

    pub(crate) fn rows(&self) -> &VecDeque<Row> {
        &self.rows
    }

    pub(crate) fn find(&self, key: i32) -> Option<&Row> {
        self.rows.iter().rev().chain(&self.parked).find(|row| row.key == key)
    }

    /// The first of the log's events that is shown.
    pub(crate) fn first_seq(&self) -> Option<u64> {
        self.rows.iter().map(|row| row.seq).find(|&seq| seq > 0)
    }

    /// The last one.
    pub(crate) fn last_seq(&self) -> Option<u64> {
        self.rows.iter().rev().map(|row| row.seq).find(|&seq| seq > 0)
    }

    pub(crate) fn has_seq(&self, seq: u64) -> bool {
        self.position_of(seq).is_some()
    }

    /// An event of the log. None if it is there already.
    pub(crate) fn add(&mut self, row: Row) -> Option<i32> {
        let (key, seq) = (row.key, row.seq);
        self.head = self.head.max(seq);
        let end = self.rows.len() - self.waiting;
        let mut at = end;
        if seq > 0 {
            while at > 0 {
                let before = self.rows[at - 1].seq;
                if before == seq {
                    return None;
                }
                if before > 0 && before < seq {
                    break;
                }
                at -= 1;
            }
            // What stands in no log, behind the last one that does, keeps its place.
            if self.rows.range(at..end).all(|row| row.seq == 0) {
                at = end;
            }
        }
        self.insert_dated(at, row);
        self.trim_front();
        Some(key)
    }

    /// Somebody came or went: told with others, in one row.
    pub(crate) fn came_or_went(&mut self, name: &str, came: bool, at: i64) {
        if self.detached {
            return;
        }
        let end = self.rows.len() - self.waiting;
        let today = words::day(at, self.local);
        let last = end
            .checked_sub(1)
            .filter(|&i| self.rows[i].kind == Kind::Membership && words::day(self.rows[i].at, self.local) == today);
        let mut row = match last {
            Some(i) => self.rows[i].clone(),
            None => {
                let key = self.keys.next();
                Row { fold: Some(Arc::default()), ..Row::new(key, Kind::Membership, at, "") }
            }
        };
        let fold = Arc::make_mut(row.fold.get_or_insert_default());
        if came {
            if fold.tells_coming(name) && fold.count() < 100 {
                return;
            }
            fold.came(name);
        } else {
            fold.went(name);
        }
        row.text = fold.words().into();
        match last {
            Some(i) => self.set(i, row),
            None => {
                self.insert_dated(end, row);
                self.trim_front();
            }
        }
    }

    /// A sentence of the program's own.
    pub(crate) fn note(&mut self, kind: Kind, text: &str, at: i64) {
        if self.detached {
            return;
        }
        let key = self.keys.next();
        let end = self.rows.len() - self.waiting;
        self.insert_dated(end, Row::new(key, kind, at, text));
        self.trim_front();
    }

    /// Draw the "new" line before this row, unless there is one that the person hasn't seen.
    pub(crate) fn draw_line(&mut self, before: i32) {
        if self.new_line.is_some() && !self.line_seen {
            return;
        }
        self.erase_line();
        let Some(mut at) = self.rows.iter().rposition_key(before) else { return };
        if at > 0 && self.rows[at - 1].kind == Kind::Day {
            at -= 1;
        }
        let key = self.keys.next();
        let row = Row::new(key, Kind::NewLine, self.rows[at].at, "New");
        self.insert(at, row);
        self.regroup(at + 1);
        (self.new_line, self.line_seen) = (Some(key), false);
    }

    /// The person looks at it now.
    pub(crate) fn see_line(&mut self) {
        self.line_seen = true;
    }

    pub(crate) fn erase_line(&mut self) {
        let Some(index) = self.new_line.take().and_then(|key| self.rows.iter().rposition_key(key)) else { return };
        self.remove(index, 1);
        self.regroup(index);
    }

    /// What was said there was removed.
    pub(crate) fn removed(&mut self, seq: u64) {
        let Some(index) = self.position_of(seq) else { return };
        let mut row = Row::new(self.rows[index].key, Kind::Unsupported, self.rows[index].at, REMOVED);
        row.seq = seq;
        row.who = self.rows[index].who.clone();
        self.set(index, row);
        self.regroup(index);
        self.regroup(index + 1);
    }

    /// Mark the row of a search's hit, and no other.
    pub(crate) fn highlight(&mut self, seq: u64) -> Option<i32> {
        for index in 0..self.rows.len() {
            if self.rows[index].highlighted {
                let row = Row { highlighted: false, ..self.rows[index].clone() };
                self.set(index, row);
            }
        }
        let index = self.position_of(seq)?;
        let row = Row { highlighted: true, ..self.rows[index].clone() };
        let key = row.key;
        self.set(index, row);
        Some(key)
    }

    /// The day has changed: yesterday is another one.
    pub(crate) fn new_day(&mut self) {
        for index in 0..self.rows.len() {
            if self.rows[index].kind == Kind::Day {
                let row = self.rows[index].clone();
                self.set(index, row);
            }
        }
    }

    pub(super) fn position_of(&self, seq: u64) -> Option<usize> {
        if seq == 0 || self.last_seq().is_none_or(|last| last < seq) {
            return None;
        }
        self.rows.iter().rposition(|row| row.seq == seq)
    }

    /// Insert a row, with its day before it if need be.
    pub(super) fn insert_dated(&mut self, at: usize, row: Row) {
        self.insert(at, row);
        let at = self.date(at);
        self.regroup(at);
        self.regroup(at + 1);
    }

    /// A row's day stands before it, if it is another one than that of the row before. Returns the row's place.
    pub(super) fn date(&mut self, at: usize) -> usize {
        let then = self.rows[at].at;
        let before = at.checked_sub(1).map(|i| words::day(self.rows[i].at, self.local));
        if before == Some(words::day(then, self.local)) {
            return at;
        }
        let key = self.keys.next();
        self.insert(at, Row::new(key, Kind::Day, then, ""));
        at + 1
    }

    /// Whether this row shows who says it: set it, if it has changed.
    pub(super) fn regroup(&mut self, at: usize) {
        let Some(row) = self.rows.get(at).filter(|row| row.kind == Kind::Message) else { return };
        let first = at.checked_sub(1).is_none_or(|i| {
            let before = &self.rows[i];
            before.kind != Kind::Message || !before.is_by(row) || (row.at.saturating_sub(before.at)).abs() >= GROUP
        });
        if row.first != first {
            let row = Row { first, ..row.clone() };
            self.set(at, row);
        }
    }

    pub(super) fn insert(&mut self, at: usize, row: Row) {
        self.bytes += row.weight();
        if self.shown {
            self.log.push(RowChange::Insert { at, rows: vec![row.clone()] });
        }
        self.rows.insert(at, row);
    }

    pub(super) fn set(&mut self, at: usize, row: Row) {
        self.bytes = (self.bytes + row.weight()).saturating_sub(self.rows[at].weight());
        if self.shown {
            self.log.push(RowChange::Set { at, row: row.clone() });
        }
        self.rows[at] = row;
    }

    pub(super) fn remove(&mut self, at: usize, count: usize) {
        if count == 0 {
            return;
        }
        for row in self.rows.drain(at..at + count) {
            self.bytes = self.bytes.saturating_sub(row.weight());
            if self.new_line == Some(row.key) {
                self.new_line = None;
            }
        }
        if self.shown {
            self.log.push(RowChange::Remove { at, count });
        }
    }

    /// Many rows at the front.
    pub(super) fn insert_front(&mut self, rows: Vec<Row>) {
        self.bytes += rows.iter().map(Row::weight).sum::<usize>();
        rows.iter().rev().for_each(|row| self.rows.push_front(row.clone()));
        if self.shown && !rows.is_empty() {
            self.log.push(RowChange::Insert { at: 0, rows });
        }
    }

    /// Others in place of all that is in the log.
    pub(super) fn replace(&mut self) {
        let kept: Vec<_> = self.rows.drain(..).skip_while(|row| !row.is_waiting()).collect();
        self.parked.splice(0..0, kept);
        (self.bytes, self.waiting, self.new_line) = (0, 0, None);
    }

    pub(super) fn is_full(&self) -> bool {
        self.rows.len() > MAX_ROWS || self.bytes > MAX_BYTES
    }

    /// The oldest go when there are too many.
    fn trim_front(&mut self) {
        while self.is_full() && self.rows.len() - self.waiting > 1 {
            let count = TRIMMED.min(self.rows.len() / 2).min(self.rows.len() - self.waiting - 1).max(1);
            self.remove(0, count);
            self.at_start = false;
            self.date_front();
        }
    }

    /// Nobody looks any more: a few are enough to begin with when somebody comes back.
    pub(super) fn shrink(&mut self) {
        let least = KEPT + self.waiting;
        if !self.detached && self.rows.len() > least {
            self.remove(0, self.rows.len() - least);
            self.at_start = false;
            self.date_front();
        }
    }

    /// The first row is a day.
    pub(super) fn date_front(&mut self) {
        if let Some(at) = self.rows.front().filter(|row| row.kind != Kind::Day).map(|row| row.at) {
            let key = self.keys.next();
            self.insert(0, Row::new(key, Kind::Day, at, ""));
            self.regroup(1);
        }
    }

    pub(super) fn local(&self) -> Local {
        self.local
    }
}

/// What stands where a message was.
pub(crate) const REMOVED: &str = "This message was removed";

/// Where the row of a key is, looked for from the end: it is mostly there.
pub(super) trait ByKey {
    fn rposition_key(self, key: i32) -> Option<usize>;
}

impl<'a, I: Iterator<Item = &'a Row> + DoubleEndedIterator + ExactSizeIterator> ByKey for I {
    fn rposition_key(mut self, key: i32) -> Option<usize> {
        self.rposition(|row| row.key == key)
    }
}
