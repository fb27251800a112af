//! What follows from an event: what is shown anew, and what is done.

use chatnet::PrincipalId;
use chatnet::protocol::message::RoomKind;

use super::connect::Attempt;
use super::event::{Deed, Part, Secret};
use super::row::Row;
use crate::people::Ask;

/// What an event leads to.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    /// What has to be shown anew.
    pub(crate) views: Views,
    /// Changes of the rows that are shown, in this order.
    pub(crate) rows: Vec<RowChange>,
    pub(crate) effects: Vec<Effect>,
}

impl Turn {
    pub(crate) fn show(&mut self, view: View) {
        self.views.add(view);
    }

    pub(crate) fn do_(&mut self, effect: Effect) {
        self.effects.push(effect);
    }
}

/// A part of the window that is shown anew as a whole. It is small, or its adapter tells what has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum View {
    Connect,
    Trust,
    Rooms,
    Conversation,
    Composer,
    Suggestions,
    Emojis,
    Members,
    Search,
    Switcher,
    Status,
    Ended,
    Toast,
    Settings,
}

/// Some of the views.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Views(u16);

impl Views {
    pub(crate) const ALL: Self = Self(u16::MAX);

    pub(crate) fn add(&mut self, view: View) {
        self.0 |= 1 << view as u16;
    }

    pub(crate) fn join(&mut self, other: Self) {
        self.0 |= other.0;
    }

    pub(crate) fn has(self, view: View) -> bool {
        self.0 & (1 << view as u16) != 0
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// A change of the rows that are shown.
#[derive(Debug, Clone)]
pub(crate) enum RowChange {
    /// All are others now.
    Reset(Vec<Row>),
    Insert {
        at: usize,
        rows: Vec<Row>,
    },
    Remove {
        at: usize,
        count: usize,
    },
    Set {
        at: usize,
        row: Row,
    },
    /// Bring this row into view.
    ScrollTo(i32),
    /// Show the newest.
    ScrollToEnd,
}

/// Something to do outside.
#[derive(Debug, Clone)]
pub(crate) enum Effect {
    Connect(Attempt),
    CancelConnect,
    /// Remember this key for the server, in place of another one if `replace`, and connect.
    Accept {
        server: String,
        fingerprint: String,
        replace: bool,
        attempt: Attempt,
    },
    Disconnect,
    NetworkChanged,
    Send {
        room: String,
        key: i32,
        text: String,
    },
    /// Somebody is writing.
    Typing {
        room: String,
    },
    Read {
        room: String,
        seq: u64,
    },
    Join {
        name: String,
        password: Secret,
    },
    Create {
        name: String,
        kind: RoomKind,
        password: Secret,
    },
    Direct {
        whom: Whom,
        text: Option<String>,
    },
    Leave {
        room: String,
    },
    History {
        room: String,
        ticket: u32,
        part: Part,
        seq: u64,
    },
    Members {
        room: String,
        after: Option<PrincipalId>,
    },
    /// Learn who the other one of a direct is.
    Peer {
        room: String,
    },
    List,
    Search {
        room: String,
        query: String,
        before: Option<u64>,
    },
    Topic {
        room: String,
        text: String,
    },
    Moderate {
        room: String,
        whom: PrincipalId,
        deed: Deed,
    },
    DeleteMessage {
        room: String,
        seq: u64,
    },
    Away(Option<String>),
    Ask {
        room: Option<String>,
        ask: Ask,
    },
    /// What was typed in that room; the line is given back if it can't be done.
    Command {
        room: i32,
        line: String,
        what: Box<Effect>,
    },
    Copy(String),
    Notify {
        title: String,
        body: String,
    },
    Sound,
    /// The remembered choices have changed.
    Save,
    Quit,
}

/// Somebody to talk to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Whom {
    Name(String),
    Id(PrincipalId),
}
