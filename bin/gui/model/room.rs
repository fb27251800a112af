//! The rooms that one is in.

use chatnet::RoomId;
use chatnet::protocol::message::RoomKind;
use chatnet::text::display_line;

use super::connect::check_room;
use super::conversation::Conversation;
use super::effect::{Effect, Turn, View, Whom};
use super::event::{About, Listed, Person, Presence, Secret};
use super::members::Members;
use super::row::{Kind, Sending};
use super::{Page, State};

#[derive(Debug)]
pub(crate) struct Room {
    pub(crate) key: i32,
    pub(crate) name: String,
    pub(crate) id: RoomId,
    pub(crate) direct: bool,
    /// Not a member any more; what was said stays until it is closed.
    pub(crate) gone: bool,
    pub(crate) about: About,
    pub(crate) unread: u32,
    pub(crate) mentions: u32,
    pub(crate) muted: bool,
    /// The other one of a direct.
    pub(crate) peer: Option<Person>,
    pub(crate) presence: Presence,
    pub(crate) members: Members,
    pub(crate) rows: Conversation,
    pub(crate) draft: String,
    /// Who is writing, and until when that holds.
    pub(super) typing: Vec<(String, i64)>,
}

impl Room {
    /// As it is shown.
    pub(crate) fn title(&self) -> String {
        match (&self.peer, self.direct) {
            (Some(peer), true) => display_line(&peer.alias).into_owned(),
            (None, true) => display_line(self.name.trim_start_matches('@')).into_owned(),
            _ => display_line(&self.name).into_owned(),
        }
    }

    pub(crate) fn is_typing(&self) -> bool {
        !self.typing.is_empty()
    }

    pub(crate) fn typing_words(&self) -> String {
        let names: Vec<String> = self.typing.iter().take(2).map(|(who, _)| display_line(who).into_owned()).collect();
        match (names.len(), self.typing.len()) {
            (0, _) => String::new(),
            (1, 1) => format!("{} is typing…", names[0]),
            (_, n) => format!("{} are typing…", super::words::and(&names, n)),
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Rooms {
    /// Rooms by name, then directs.
    pub(crate) list: Vec<Room>,
    pub(crate) selected: i32,
    last_key: i32,
    /// A room that was asked for and isn't there yet: it is looked at when it comes.
    wanted: Option<String>,
}

impl Rooms {
    pub(crate) fn selected(&mut self) -> Option<&mut Room> {
        let key = self.selected;
        self.by_key(key)
    }

    pub(crate) fn by_key(&mut self, key: i32) -> Option<&mut Room> {
        self.list.iter_mut().find(|room| room.key == key)
    }

    pub(crate) fn by_name(&mut self, name: &str) -> Option<&mut Room> {
        self.list.iter_mut().find(|room| room.name == name)
    }
}

/// The dialog for another room.
#[derive(Debug, Default)]
pub(crate) struct NewRoom {
    pub(crate) open: bool,
    pub(crate) listed: Vec<Listed>,
    pub(crate) busy: bool,
    pub(crate) error: String,
    /// This room asks for a password.
    pub(crate) name: String,
    pub(crate) changed: u32,
}

impl State {
    pub(crate) fn room(&self) -> Option<&Room> {
        self.rooms.list.iter().find(|room| room.key == self.rooms.selected)
    }

    /// The key of the next room (1), or of the one before (-1).
    pub(crate) fn room_beside(&self, by: i32) -> Option<i32> {
        let at = self.rooms.list.iter().position(|room| room.key == self.rooms.selected)?;
        self.rooms.list.get(super::switcher::moved(at, by, self.rooms.list.len())).map(|room| room.key)
    }

    /// One is in a room, or in again.
    pub(super) fn joined(&mut self, name: &str, id: RoomId, head: u64, count: u32, now: i64, turn: &mut Turn) {
        let muted = self.settings.is_muted(&self.status.server, name);
        match self.rooms.by_name(name) {
            Some(room) => {
                if room.id != id {
                    room.id = id;
                    room.rows.begin_anew(head);
                    room.rows.note(Kind::Notice, "This room has begun anew; what was said before is gone.", now);
                }
                (room.gone, room.members.count) = (false, count);
                room.rows.head = room.rows.head.max(head);
                room.members.forget();
            }
            None => {
                self.rooms.last_key += 1;
                let mut rows = Conversation::new(self.local);
                (rows.head, rows.at_start) = (head, head == 0);
                let members = Members::of(count);
                let room = Room {
                    key: self.rooms.last_key,
                    name: name.to_owned(),
                    id,
                    direct: name.starts_with('@'),
                    gone: false,
                    about: About::default(),
                    unread: 0,
                    mentions: 0,
                    muted,
                    peer: None,
                    presence: Presence::Offline,
                    members,
                    rows,
                    draft: String::new(),
                    typing: Vec::new(),
                };
                let place = |room: &Room| (room.direct, room.name.to_lowercase());
                let at = self.rooms.list.partition_point(|other| place(other) < place(&room));
                self.rooms.list.insert(at, room);
            }
        }
        turn.show(View::Rooms);
        let key = self.rooms.by_name(name).map_or(0, |room| room.key);
        if self.room().is_none() || self.rooms.wanted.as_deref() == Some(name) {
            self.select(key, turn);
        } else if self.rooms.selected == key {
            self.look(key, turn);
            turn.show(View::Conversation);
        } else if name.starts_with('@') {
            self.look(key, turn);
        }
    }

    /// A room that was asked for is there: look at it, now or as soon as it is told.
    pub(super) fn opened(&mut self, name: &str, turn: &mut Turn) {
        self.close_new(turn);
        match self.rooms.by_name(name).map(|room| room.key) {
            Some(key) => self.select(key, turn),
            None => self.rooms.wanted = Some(name.to_owned()),
        }
    }

    pub(crate) fn select(&mut self, key: i32, turn: &mut Turn) {
        if self.rooms.by_key(key).is_none() {
            return;
        }
        self.rooms.wanted = None;
        if self.rooms.selected != key {
            if let Some(before) = self.rooms.selected() {
                before.rows.erase_line();
                before.rows.shown = false;
                before.rows.log.clear();
                before.rows.shrink();
            }
            self.rooms.selected = key;
            self.composer.close();
            self.search = Default::default();
            let Some(room) = self.rooms.selected() else { return };
            room.rows.shown = true;
            (room.rows.following, room.rows.unseen) = (true, 0);
            self.composer.text.clone_from(&room.draft);
            self.composer.cursor = room.draft.len();
            self.composer.changed += 1;
            if let Some(again) = room.rows.want_newest(&room.name) {
                turn.do_(again);
            }
            room.rows.reset();
            room.rows.log.push(super::RowChange::ScrollToEnd);
            self.look(key, turn);
        }
        self.read(turn);
        for view in [
            View::Rooms,
            View::Conversation,
            View::Composer,
            View::Suggestions,
            View::Members,
            View::Search,
            View::Status,
        ] {
            turn.show(view);
        }
    }

    /// Ask what is not known yet of a room.
    fn look(&mut self, key: i32, turn: &mut Turn) {
        let Some(room) = self.rooms.by_key(key).filter(|room| !room.gone) else { return };
        if room.direct {
            turn.do_(Effect::Peer { room: room.name.clone() });
        }
        if !room.members.is_known()
            && self.rooms.selected == key
            && let Some(room) = self.rooms.by_key(key)
        {
            room.members.asked();
            turn.do_(Effect::Members { room: room.name.clone(), after: None });
        }
    }

    /// What is on the screen has been read.
    pub(super) fn read(&mut self, turn: &mut Turn) {
        if !self.focused {
            return;
        }
        let Some(room) = self.rooms.selected() else { return };
        room.rows.see_line();
        if room.unread > 0 || room.mentions > 0 {
            (room.unread, room.mentions) = (0, 0);
            turn.do_(Effect::Read { room: room.name.clone(), seq: room.rows.head });
            turn.show(View::Rooms);
            turn.show(View::Status);
        }
    }

    pub(super) fn leave_room(&mut self, key: i32, turn: &mut Turn) {
        let Some(room) = self.rooms.by_key(key) else { return };
        let (name, gone) = (room.name.clone(), room.gone);
        if gone { self.drop_room(&name, turn) } else { turn.do_(Effect::Leave { room: name }) }
    }

    pub(super) fn drop_room(&mut self, name: &str, turn: &mut Turn) {
        let Some(index) = self.rooms.list.iter().position(|room| room.name == name) else { return };
        let gone = self.rooms.list.remove(index);
        turn.show(View::Rooms);
        turn.show(View::Status);
        if gone.key == self.rooms.selected {
            self.rooms.selected = 0;
            turn.rows.push(super::RowChange::Reset(Vec::new()));
            let next = index.min(self.rooms.list.len().saturating_sub(1));
            match self.rooms.list.get(next).map(|room| room.key) {
                Some(key) => self.select(key, turn),
                None => {
                    self.composer.clear();
                    for view in [View::Conversation, View::Composer, View::Members, View::Search] {
                        turn.show(view);
                    }
                }
            }
        }
    }

    /// The session is over.
    pub(super) fn leave_all(&mut self, turn: &mut Turn) {
        self.rooms.list.clear();
        (self.rooms.selected, self.rooms.wanted) = (0, None);
        self.new_room = NewRoom::default();
        self.search = Default::default();
        self.switcher = Default::default();
        self.composer.close();
        self.composer.clear();
        self.me = Default::default();
        self.page = Page::Connect;
        self.connect.busy = false;
        turn.rows.push(super::RowChange::Reset(Vec::new()));
        turn.views = super::Views::ALL;
    }

    pub(super) fn mute_room(&mut self, key: i32, turn: &mut Turn) {
        let server = self.status.server.clone();
        let Some(room) = self.rooms.by_key(key) else { return };
        let name = room.name.clone();
        let muted = self.settings.toggle_muted(&server, &name);
        if let Some(room) = self.rooms.by_key(key) {
            room.muted = muted;
        }
        turn.do_(Effect::Save);
        turn.show(View::Rooms);
        turn.show(View::Status);
    }

    pub(super) fn open_new(&mut self, turn: &mut Turn) {
        self.new_room = NewRoom { open: true, changed: self.new_room.changed + 1, ..NewRoom::default() };
        self.browse(turn);
    }

    pub(super) fn close_new(&mut self, turn: &mut Turn) {
        self.new_room = NewRoom { changed: self.new_room.changed + 1, ..NewRoom::default() };
        turn.show(View::Rooms);
    }

    pub(super) fn browse(&mut self, turn: &mut Turn) {
        (self.new_room.busy, self.new_room.error) = (true, String::new());
        turn.do_(Effect::List);
        turn.show(View::Rooms);
    }

    pub(super) fn listed(&mut self, rooms: Vec<Listed>, error: &str, turn: &mut Turn) {
        (self.new_room.busy, self.new_room.listed) = (false, rooms);
        self.new_room.error = if error.is_empty() { String::new() } else { super::connect::sentence(error) };
        turn.show(View::Rooms);
    }

    /// A dialog's name for a room, or its error.
    fn named(&mut self, name: &str, turn: &mut Turn) -> Option<String> {
        let name = name.trim().trim_start_matches('#');
        turn.show(View::Rooms);
        match check_room(name) {
            Ok(()) => {
                (self.new_room.error, self.new_room.busy) = (String::new(), true);
                Some(name.to_owned())
            }
            Err(why) => {
                self.new_room.error = why;
                None
            }
        }
    }

    pub(super) fn join_room(&mut self, name: &str, password: Secret, turn: &mut Turn) {
        if let Some(name) = self.named(name, turn) {
            turn.do_(Effect::Join { name, password });
        }
    }

    pub(super) fn create_room(&mut self, name: &str, kind: RoomKind, password: Secret, turn: &mut Turn) {
        let Some(name) = self.named(name, turn) else { return };
        if kind == RoomKind::Password && password.0.is_empty() {
            (self.new_room.busy, self.new_room.error) = (false, "Choose a password for the room.".into());
            return;
        }
        turn.do_(Effect::Create { name, kind, password });
    }

    pub(super) fn message_to(&mut self, alias: &str, turn: &mut Turn) {
        let alias = alias.trim().trim_start_matches('@');
        if alias.is_empty() {
            self.new_room.error = "Type somebody's alias.".into();
        } else {
            (self.new_room.error, self.new_room.busy) = (String::new(), true);
            turn.do_(Effect::Direct { whom: Whom::Name(alias.to_owned()), text: None });
        }
        turn.show(View::Rooms);
    }

    pub(super) fn denied(&mut self, text: &str, now: i64, turn: &mut Turn) {
        if self.new_room.open {
            (self.new_room.busy, self.new_room.error) = (false, super::connect::sentence(text));
            turn.show(View::Rooms);
        } else {
            self.toast(text, now, turn);
        }
    }

    pub(super) fn needs_password(&mut self, name: String, turn: &mut Turn) {
        self.new_room.open = true;
        (self.new_room.busy, self.new_room.name) = (false, name);
        self.new_room.error = "This room asks for a password.".into();
        self.new_room.changed += 1;
        turn.show(View::Rooms);
    }

    pub(super) fn copy(&mut self, key: i32, now: i64, turn: &mut Turn) {
        let Some(text) = self.rooms.selected().and_then(|room| room.rows.find(key).map(|row| row.whole().to_owned()))
        else {
            return;
        };
        turn.do_(Effect::Copy(text));
        self.toast("Copied", now, turn);
    }

    pub(super) fn delete(&mut self, key: i32, turn: &mut Turn) {
        let Some(room) = self.rooms.selected() else { return };
        let seq = room.rows.find(key).filter(|row| row.kind == Kind::Message).map_or(0, |row| row.seq);
        if seq > 0 {
            turn.do_(Effect::DeleteMessage { room: room.name.clone(), seq });
        }
    }

    pub(super) fn discard(&mut self, key: i32, turn: &mut Turn) {
        if let Some(room) = self.rooms.selected() {
            room.rows.take_refused(key);
            turn.show(View::Status);
        }
    }

    pub(super) fn retry(&mut self, key: i32, now: i64, turn: &mut Turn) {
        let text = self.rooms.selected().and_then(|room| {
            let row = room.rows.find(key).filter(|row| row.state == Sending::Refused)?;
            let text = row.whole().to_owned();
            room.rows.take_refused(key);
            Some(text)
        });
        if let Some(text) = text {
            self.say(&text, now, turn);
        }
    }

    pub(super) fn message_sender(&mut self, key: i32, turn: &mut Turn) {
        let me = self.me.id;
        let Some(room) = self.rooms.selected() else { return };
        let who = room.rows.find(key).and_then(|row| row.who.as_ref()).map(|who| who.id);
        if let Some(id) = who.filter(|id| Some(*id) != me) {
            turn.do_(Effect::Direct { whom: Whom::Id(id), text: None });
        }
    }

    pub(super) fn edit_topic(&mut self, text: String, turn: &mut Turn) {
        if let Some(room) = self.rooms.selected() {
            turn.do_(Effect::Topic { room: room.name.clone(), text });
        }
    }
}
