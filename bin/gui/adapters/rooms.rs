//! The global `Rooms`.

use std::rc::Rc;

use chatnet::protocol::message::RoomKind;
use chatnet::text::display_line;
use slint::{ComponentHandle, SharedString};

use super::{color, color_of_name, initial, presence, sync, tells, tells_of};
use crate::app::App;
use crate::model::{self, Event, Presence, Room, Secret, State, Ui};
use crate::ui;

pub(super) fn connect(app: &Rc<App>) {
    let global = app.window().global::<ui::Rooms>();
    global.on_select(tells(app, Ui::SelectRoom));
    let weak = Rc::downgrade(app);
    global.on_step(move |by| {
        if let Some(app) = weak.upgrade() {
            let next = app.state.borrow().room_beside(by);
            next.into_iter().for_each(|key| app.handle(Event::Ui(Ui::SelectRoom(key))));
        }
    });
    global.on_leave(tells(app, Ui::LeaveRoom));
    global.on_toggle_mute(tells(app, Ui::MuteRoom));
    global.on_open_new(tells_of(app, || Ui::OpenNew));
    global.on_close_dialog(tells_of(app, || Ui::CloseNew));
    global.on_browse(tells_of(app, || Ui::Browse));
    global.on_set_away(tells(app, |note: SharedString| Ui::Away(Some(note.into()))));
    global.on_set_back(tells_of(app, || Ui::Away(None)));
    let join = tells(app, |(name, password): (SharedString, SharedString)| Ui::JoinRoom {
        name: name.into(),
        password: Secret(password.into()),
    });
    global.on_join(move |name, password| join((name, password)));
    let create = tells(app, |(name, kind, password): (SharedString, i32, SharedString)| Ui::CreateRoom {
        name: name.into(),
        kind: match kind {
            1 => RoomKind::InviteOnly,
            2 => RoomKind::Password,
            3 => RoomKind::Hidden,
            _ => RoomKind::Public,
        },
        password: Secret(password.into()),
    });
    global.on_create(move |name, kind, password| create((name, kind, password)));
    global.on_message_to(tells(app, |alias: SharedString| Ui::MessageTo(alias.into())));
}

fn row(room: &Room) -> ui::RoomRow {
    let title = room.title();
    let count = |n: u32| i32::try_from(n).unwrap_or(i32::MAX);
    ui::RoomRow {
        key: room.key,
        initial: initial(&title),
        title: title.into(),
        direct: room.direct,
        unread: count(room.unread),
        mentions: count(room.mentions),
        presence: presence(room.presence),
        private: !room.direct && room.about.settings.kind != RoomKind::Public,
        archived: room.about.settings.archived || room.gone,
        muted: room.muted,
        typing: room.is_typing(),
        color: room.peer.as_ref().map_or_else(|| color_of_name(&room.name), |peer| color(peer.id)),
    }
}

pub(super) fn show(app: &App, state: &State) {
    let global = app.window().global::<ui::Rooms>();
    sync(&app.models.rooms, state.rooms.list.iter().map(row).collect());
    global.set_selected(state.rooms.selected);
    let alias = display_line(&state.me.alias);
    global.set_own_initial(initial(&alias));
    global.set_own_alias(alias.as_ref().into());
    global.set_own_color(state.me.id.map_or(0, color));
    let mine = if state.me.away.is_some() { Presence::Away } else { Presence::Here };
    global.set_own_presence(presence(mine));
    global.set_own_note(display_line(state.me.away.as_deref().unwrap_or_default()).as_ref().into());
    let new = &state.new_room;
    if app.models.new_room.replace(new.changed) != new.changed {
        global.set_name((&new.name).into());
        global.set_password(Default::default());
        global.set_kind(0);
    }
    let listed = |room: &model::Listed| ui::ListedRow {
        name: display_line(&room.name).as_ref().into(),
        topic: display_line(&room.topic).as_ref().into(),
        members: i32::try_from(room.members).unwrap_or(i32::MAX),
        // Most are public: only what is otherwise is said.
        kind: if room.kind == RoomKind::Public { "".into() } else { model::kind(room.kind).into() },
        joined: state.rooms.list.iter().any(|joined| joined.name == room.name && !joined.gone),
    };
    sync(&app.models.listed, new.listed.iter().map(listed).collect());
    global.set_list_busy(new.busy);
    global.set_list_error((&new.error).into());
    global.set_dialog(new.open);
}
