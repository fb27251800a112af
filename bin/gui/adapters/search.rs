//! The global `Search`.

use std::rc::Rc;

use chatnet::text::display_line;
use slint::ComponentHandle;

use super::{color, initial, sync, tells, tells_of};
use crate::app::App;
use crate::model::{self, State, Ui};
use crate::ui;

pub(super) fn connect(app: &Rc<App>) {
    let global = app.window().global::<ui::Search>();
    global.on_search(tells(app, |query: slint::SharedString| Ui::Search(query.into())));
    global.on_load_more(tells_of(app, || Ui::MoreHits));
    global.on_show(tells(app, Ui::ShowHit));
    global.on_close(tells_of(app, || Ui::CloseSearch));
}

pub(super) fn show(app: &App, state: &State) {
    let (global, search, now) = (app.window().global::<ui::Search>(), &state.search, app.now());
    let row = |found: &model::Found| {
        let sender = display_line(&found.hit.from.alias);
        ui::HitRow {
            key: found.key,
            initial: initial(&sender),
            sender: sender.as_ref().into(),
            color: color(found.hit.from.id),
            time: model::when(found.hit.at, now, state.local).into(),
            before: (&found.before).into(),
            hit: (&found.found).into(),
            after: (&found.after).into(),
        }
    };
    sync(&app.models.hits, search.rows.iter().map(row).collect());
    global.set_busy(search.busy);
    global.set_error((&search.error).into());
    global.set_more(search.more);
    if !search.open {
        global.set_query(Default::default());
    }
    global.set_open(search.open);
}
