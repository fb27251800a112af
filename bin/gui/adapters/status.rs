//! The global `Status`.

use std::rc::Rc;

use chatnet::text::display_line;
use slint::ComponentHandle;

use super::tells_of;
use crate::app::App;
use crate::model::{Link, State, Ui};
use crate::ui;

pub(super) fn connect(app: &Rc<App>) {
    let global = app.window().global::<ui::Status>();
    global.on_now(tells_of(app, || Ui::Now));
    global.on_disconnect(tells_of(app, || Ui::Disconnect));
}

pub(super) fn show(app: &App, state: &State) {
    let (global, status) = (app.window().global::<ui::Status>(), &state.status);
    global.set_link(match status.link {
        Link::Offline => ui::LinkState::Offline,
        Link::Connecting => ui::LinkState::Connecting,
        Link::Online => ui::LinkState::Online,
        Link::Reconnecting => ui::LinkState::Reconnecting,
    });
    global.set_server(display_line(&status.server).as_ref().into());
    global.set_secure(status.secure);
    global.set_banner((&status.banner).into());
    global.set_countdown(status.countdown(app.now()));
    global.set_unsent(i32::try_from(state.unsent()).unwrap_or(i32::MAX));
    global.set_window_title(state.window_title().into());
}
