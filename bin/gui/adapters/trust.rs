//! The global `Trust`.

use std::rc::Rc;

use chatnet::text::display_line;
use slint::ComponentHandle;

use super::{tells, tells_of};
use crate::app::App;
use crate::model::{Event, State, Ui};
use crate::ui;

pub(super) fn connect(app: &Rc<App>) {
    let global = app.window().global::<ui::Trust>();
    global.on_edited(tells(app, |typed: slint::SharedString| Ui::TrustTyped(typed.into())));
    let weak = Rc::downgrade(app);
    global.on_accept(move || {
        if let Some(app) = weak.upgrade() {
            // What was typed counts, not what was told of it.
            let typed = app.window().global::<ui::Trust>().get_typed();
            app.handle(Event::Ui(Ui::TrustTyped(typed.into())));
            app.handle(Event::Ui(Ui::TrustAccept));
        }
    });
    global.on_refuse(tells_of(app, || Ui::TrustRefuse));
}

pub(super) fn show(app: &App, state: &State) {
    let (global, trust) = (app.window().global::<ui::Trust>(), &state.trust);
    let line = |text: &str| slint::SharedString::from(display_line(text).as_ref());
    if trust.open && !global.get_open() {
        global.set_typed(Default::default());
    }
    global.set_changed(trust.changed);
    global.set_server(line(&trust.server));
    global.set_fingerprint(line(&trust.fingerprint));
    global.set_known_fingerprint(line(&trust.known));
    global.set_explanation(line(&trust.explanation));
    global.set_can_accept(trust.can_accept());
    global.set_open(trust.open);
}
