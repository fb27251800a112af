//! What the window shows, told as a story of events.

mod attention;
mod connect;
mod conversation;
mod hostile;
mod rooms;
mod windows;

use chatnet::protocol::message::Rank;
use chatnet::{Code, PrincipalId, RoomId, Source};

use super::*;

/// 2023-11-14 22:00:00 UTC.
pub(super) const NOON: i64 = 1_699_999_200_000;
pub(super) const MINUTE: i64 = 60_000;

pub(super) fn id(n: u8) -> PrincipalId {
    PrincipalId::from_bytes([n; 16])
}

pub(super) fn person(n: u8, alias: &str) -> Person {
    Person { id: id(n), alias: alias.into(), guest: true }
}

pub(super) fn here(n: u8, alias: &str) -> Here {
    Here { who: person(n, alias), rank: Rank::Member, muted: false, away: None }
}

/// A text was typed, up to its end.
pub(super) fn typed(text: &str) -> Ui {
    Ui::Typed(text.into(), text.len())
}

/// A state, and what an adapter would show of it.
pub(super) struct Window {
    pub(super) state: State,
    pub(super) now: i64,
    pub(super) shown: Vec<Row>,
    pub(super) effects: Vec<Effect>,
    pub(super) changes: usize,
    pub(super) scrolled: Vec<RowChange>,
}

impl Window {
    pub(super) fn new() -> Self {
        let state = State::new(Settings::default(), |_| 0, NOON);
        let (shown, effects, scrolled) = Default::default();
        Self { state, now: NOON, shown, effects, changes: 0, scrolled }
    }

    /// In a room called lobby, as ada (1).
    pub(super) fn in_lobby() -> Self {
        Self::in_lobby_from(0)
    }

    /// The room's log has so many events already.
    pub(super) fn in_lobby_from(head: u64) -> Self {
        let mut window = Self::new();
        window.net(Net::Begun { server: "example.org:50000".into(), secure: true, restored: 0 });
        window.net(Net::Session { alias: "ada".into(), principal: Some(id(1)) });
        window.net(Net::Joined { room: "lobby".into(), id: RoomId::from_bytes([1; 16]), head, members: 2 });
        window.effects.clear();
        window
    }

    pub(super) fn net(&mut self, net: Net) {
        self.take(Event::Net(net));
    }

    pub(super) fn ui(&mut self, ui: Ui) {
        self.take(Event::Ui(ui));
    }

    pub(super) fn take(&mut self, event: Event) {
        let turn = self.state.update(event, self.now);
        for change in turn.rows {
            self.changes += 1;
            match change {
                RowChange::Reset(rows) => self.shown = rows,
                RowChange::Insert { at, rows } => drop(self.shown.splice(at..at, rows)),
                RowChange::Remove { at, count } => drop(self.shown.drain(at..at + count)),
                RowChange::Set { at, row } => self.shown[at] = row,
                scroll => self.scrolled.push(scroll),
            }
        }
        self.effects.extend(turn.effects);
        // What is shown is what there is.
        let rows = self.state.room().map(|room| room.rows.rows());
        assert_eq!(self.shown.len(), rows.map_or(0, |rows| rows.len()));
        if let Some(rows) = rows.filter(|rows| rows.len() < 1_000) {
            assert!(self.shown.iter().eq(rows), "{:#?}\n{rows:#?}", self.shown);
        }
    }

    pub(super) fn joined(&mut self, room: &str, n: u8) {
        self.net(Net::Joined { room: room.into(), id: RoomId::from_bytes([n; 16]), head: 0, members: 2 });
    }

    pub(super) fn said(&mut self, room: &str, seq: u64, who: &Person, text: &str) {
        let item = Item { seq, at: self.now, from: who.clone(), what: What::Text(text.into()) };
        self.net(Net::Item { room: room.into(), item, source: Source::Live });
    }

    pub(super) fn acked(&mut self, room: &str, seq: u64, text: &str) {
        self.net(Net::Acked { room: room.into(), seq, at: self.now, text: text.into(), replaced: None });
    }

    pub(super) fn say(&mut self, text: &str) {
        self.ui(Ui::Send(text.into()));
    }

    pub(super) fn texts(&self) -> Vec<String> {
        self.shown.iter().filter(|row| row.kind == Kind::Message).map(|row| row.text.to_string()).collect()
    }

    pub(super) fn kinds(&self) -> Vec<Kind> {
        self.shown.iter().map(|row| row.kind).collect()
    }

    pub(super) fn room(&mut self, name: &str) -> &mut Room {
        self.state.rooms.by_name(name).unwrap()
    }

    pub(super) fn key(&mut self, name: &str) -> i32 {
        self.room(name).key
    }

    pub(super) fn left(&mut self, room: &str, code: Code, text: &str) {
        self.net(Net::Left { room: room.into(), code, text: text.into() });
    }

    /// The last page that was asked for.
    pub(super) fn asked(&self) -> (u32, Part, u64) {
        let page = |effect: &Effect| match effect {
            Effect::History { ticket, part, seq, .. } => Some((*ticket, *part, *seq)),
            _ => None,
        };
        self.effects.iter().rev().find_map(page).expect("a page was asked for")
    }

    /// Answer with the events `from..=to`, said by bob.
    pub(super) fn page(&mut self, from: u64, to: u64, before: bool, after: bool) {
        let (ticket, part, _) = self.asked();
        let bob = person(2, "bob");
        let item = |seq| Item {
            seq,
            at: NOON - (10_000 - seq as i64) * MINUTE,
            from: bob.clone(),
            what: What::Text(format!("m{seq}")),
        };
        let items = (from..=to).map(item).collect();
        self.net(Net::Page { room: "lobby".into(), ticket, part, items, before, after });
    }

    pub(super) fn seqs(&self) -> Vec<u64> {
        self.shown.iter().map(|row| row.seq).filter(|&seq| seq > 0).collect()
    }
}
