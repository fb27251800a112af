//! The global `Switcher`.

use std::rc::Rc;

use chatnet::text::display_line;
use slint::ComponentHandle;

use super::{color, color_of_name, initial, sync, tells, tells_of};
use crate::app::App;
use crate::model::{Presence, Room, State, Ui};
use crate::ui;

pub(super) fn connect(app: &Rc<App>) {
    let global = app.window().global::<ui::Switcher>();
    global.on_filter(tells(app, |query: slint::SharedString| Ui::Filter(query.into())));
    global.on_move(tells(app, Ui::MoveSwitch));
    global.on_choose(tells_of(app, || Ui::ChooseSwitch));
    global.on_pick(tells(app, Ui::PickSwitch));
    global.on_close(tells_of(app, || Ui::CloseSwitcher));
}

pub(super) fn show(app: &App, state: &State) {
    let (global, switcher) = (app.window().global::<ui::Switcher>(), &state.switcher);
    let row = |room: &Room| {
        let title = room.title();
        let detail = match (room.direct, room.presence) {
            (true, Presence::Here) => "here".into(),
            (true, Presence::Away) => "away".into(),
            (true, Presence::Offline) => "not here".into(),
            (false, _) => display_line(&room.about.settings.topic).into_owned(),
        };
        ui::SwitchRow {
            key: room.key,
            initial: initial(&title),
            title: title.into(),
            color: room.peer.as_ref().map_or_else(|| color_of_name(&room.name), |peer| color(peer.id)),
            direct: room.direct,
            unread: i32::try_from(room.unread).unwrap_or(i32::MAX),
            detail: detail.into(),
        }
    };
    let find = |key: &i32| state.rooms.list.iter().find(|room| room.key == *key).map(row);
    sync(&app.models.switcher, switcher.rows.iter().filter_map(find).collect());
    global.set_chosen(i32::try_from(switcher.chosen).unwrap_or(0));
    if !switcher.open || switcher.query.is_empty() {
        global.set_query(Default::default());
    }
    global.set_open(switcher.open);
}
