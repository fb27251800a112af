//! The globals `Ended` and `Toast`.

use std::rc::Rc;

use slint::ComponentHandle;

use super::tells_of;
use crate::app::App;
use crate::model::{State, Ui};
use crate::ui;

pub(super) fn connect(app: &Rc<App>) {
    let global = app.window().global::<ui::Ended>();
    global.on_act(tells_of(app, || Ui::ActEnded));
    global.on_close(tells_of(app, || Ui::CloseEnded));
    app.window().global::<ui::Toast>().on_dismiss(tells_of(app, || Ui::DismissToast));
}

pub(super) fn show(app: &App, state: &State) {
    let (global, ended) = (app.window().global::<ui::Ended>(), &state.ended);
    if ended.open {
        global.set_title((&ended.title).into());
        global.set_text((&ended.text).into());
        global.set_action((&ended.action).into());
    }
    global.set_open(ended.open);
}

pub(super) fn show_toast(app: &App, state: &State) {
    let (global, text) = (app.window().global::<ui::Toast>(), &state.toast.text);
    // It keeps its words while it fades.
    if !text.is_empty() {
        global.set_text(text.into());
    }
    global.set_visible(!text.is_empty());
}
