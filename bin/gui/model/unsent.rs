//! What one has typed and the server has not answered yet.

use std::sync::Arc;

use super::conversation::{ByKey, Conversation};
use super::event::Person;
use super::row::{Row, Sending};

impl Conversation {
    /// How many texts are not sent.
    pub(crate) fn unsent(&self) -> usize {
        self.waiting + self.parked.len()
    }

    /// What one has typed: at the end, until the server has answered.
    pub(crate) fn add_waiting(&mut self, who: Arc<Person>, at: i64, text: &str) -> i32 {
        let key = self.keys.next();
        let mut row = Row::message(key, who, at, text);
        (row.own, row.state) = (true, Sending::Waiting);
        if self.detached {
            self.parked.push(row);
        } else {
            self.put_waiting(row);
        }
        key
    }

    fn put_waiting(&mut self, row: Row) {
        let end = self.rows.len();
        if self.waiting == 0 {
            self.insert_dated(end, row);
        } else {
            // Its day is told when it is known.
            self.insert(end, row);
            self.regroup(end);
        }
        self.waiting += 1;
    }

    /// The first waiting text is stored, if it is this one. Returns whether it was.
    pub(crate) fn sent(&mut self, text: &str, seq: u64, at: i64, replaced: Option<&str>) -> bool {
        self.head = self.head.max(seq);
        if self.detached {
            // It comes with the newest page.
            let fits = self.parked.first().is_some_and(|row| row.whole() == text);
            if fits {
                self.parked.remove(0);
            }
            return fits;
        }
        let Some(index) = self.first_waiting(text) else { return false };
        self.waiting -= 1;
        let mut row = self.rows[index].clone();
        row.state = Sending::Sent;
        (row.seq, row.at) = (seq, if at > 0 { at } else { row.at });
        if let Some(text) = replaced {
            row.say(text);
        }
        let before = self.rows.iter().take(index).rev().map(|row| row.seq).find(|&seq| seq > 0).unwrap_or(0);
        if seq > 0 && (before >= seq || self.has_seq(seq)) {
            self.remove(index, 1);
            self.regroup(index);
            self.add(row);
        } else {
            self.set(index, row);
            let index = self.date(index);
            self.regroup(index);
            self.regroup(index + 1);
        }
        true
    }

    /// The first waiting text was refused, if it is this one.
    pub(crate) fn refused(&mut self, text: &str, why: &str) -> bool {
        if self.detached {
            let Some(index) = self.parked.iter().position(|row| row.is_waiting()) else { return false };
            if self.parked[index].whole() != text {
                return false;
            }
            (self.parked[index].state, self.parked[index].problem) = (Sending::Refused, why.into());
            return true;
        }
        let Some(index) = self.first_waiting(text) else { return false };
        self.refuse_at(index, why);
        true
    }

    /// A text was not even taken.
    pub(crate) fn not_taken(&mut self, key: i32, why: &str) {
        if let Some(index) = self.rows.iter().rposition_key(key)
            && self.rows[index].is_waiting()
        {
            // Those in front of it may still be on their way: it stands before them, and nothing is reordered by that.
            let first = self.rows.len() - self.waiting;
            if index != first {
                let row = self.rows[index].clone();
                self.remove(index, 1);
                self.insert(first, row);
                self.regroup(first + 1);
            }
            self.refuse_at(first, why);
        }
        if let Some(row) = self.parked.iter_mut().find(|row| row.key == key) {
            (row.state, row.problem) = (Sending::Refused, why.into());
        }
    }

    /// Take a refused text away, to be sent again or forgotten.
    pub(crate) fn take_refused(&mut self, key: i32) -> Option<Row> {
        let index = self.rows.iter().rposition_key(key)?;
        let row = self.rows[index].clone();
        if row.state != Sending::Refused {
            return None;
        }
        self.remove(index, 1);
        self.regroup(index);
        Some(row)
    }

    pub(super) fn forget_waiting(&mut self) {
        self.waiting = 0;
    }

    pub(super) fn first_waiting_index(&self) -> usize {
        self.rows.len() - self.waiting
    }

    fn first_waiting(&self, text: &str) -> Option<usize> {
        let index = self.rows.len() - self.waiting;
        self.rows.get(index).filter(|row| row.whole() == text).map(|_| index)
    }

    fn refuse_at(&mut self, index: usize, why: &str) {
        self.waiting -= 1;
        let mut row = self.rows[index].clone();
        (row.state, row.problem) = (Sending::Refused, why.into());
        self.set(index, row);
    }

    /// What is waiting is at the end again.
    pub(super) fn unpark(&mut self) {
        for row in std::mem::take(&mut self.parked) {
            if row.is_waiting() {
                self.put_waiting(row);
            } else {
                let end = self.rows.len() - self.waiting;
                self.insert_dated(end, row);
            }
        }
    }
}
