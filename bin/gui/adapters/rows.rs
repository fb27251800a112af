//! The conversation's rows: a model that takes many rows at once, so that a page of history is one change.

use std::any::Any;
use std::cell::RefCell;
use std::collections::VecDeque;

use slint::{Model, ModelNotify, ModelTracker};

use crate::ui::MessageRow;

#[derive(Default)]
pub(crate) struct Rows {
    rows: RefCell<VecDeque<MessageRow>>,
    notify: ModelNotify,
}

impl Rows {
    pub(super) fn reset(&self, rows: Vec<MessageRow>) {
        *self.rows.borrow_mut() = rows.into();
        self.notify.reset();
    }

    pub(super) fn insert(&self, at: usize, rows: Vec<MessageRow>) {
        let count = rows.len();
        {
            let mut all = self.rows.borrow_mut();
            let behind = if at == 0 { std::mem::take(&mut *all) } else { all.split_off(at) };
            all.extend(rows);
            all.extend(behind);
        }
        // One by one: rows that are told together with one that is seen would be put into what is seen.
        (0..count).for_each(|_| self.notify.row_added(at, 1));
    }

    pub(super) fn remove(&self, at: usize, count: usize) {
        self.rows.borrow_mut().drain(at..at + count);
        (0..count).for_each(|_| self.notify.row_removed(at, 1));
    }

    pub(super) fn set(&self, at: usize, row: MessageRow) {
        self.rows.borrow_mut()[at] = row;
        self.notify.row_changed(at);
    }

    pub(super) fn position(&self, key: i32) -> Option<usize> {
        self.rows.borrow().iter().rposition(|row| row.key == key)
    }
}

impl Model for Rows {
    type Data = MessageRow;

    fn row_count(&self) -> usize {
        self.rows.borrow().len()
    }

    fn row_data(&self, row: usize) -> Option<MessageRow> {
        self.rows.borrow().get(row).cloned()
    }

    fn model_tracker(&self) -> &dyn ModelTracker {
        &self.notify
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
