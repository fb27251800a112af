//! The globals `Settings` and `About`.

use std::rc::Rc;

use slint::ComponentHandle;

use crate::app::App;
use crate::model::{Choices, Event, State, Theme, Ui};
use crate::ui;

pub(super) fn connect(app: &Rc<App>) {
    let global = app.window().global::<ui::Settings>();
    let weak = Rc::downgrade(app);
    global.on_changed(move || {
        let Some(app) = weak.upgrade() else { return };
        let global = app.window().global::<ui::Settings>();
        let theme = match global.get_theme() {
            1 => Theme::Light,
            2 => Theme::Dark,
            _ => Theme::System,
        };
        let zoom = (global.get_zoom() * 100.0).round().clamp(80.0, 160.0) as u16;
        let (notifications, sound) = (global.get_notifications(), global.get_sound());
        let choices = Choices { theme, notifications, sound, zoom };
        app.handle(Event::Ui(Ui::Choose(choices)));
    });
    app.window().global::<ui::About>().set_version(env!("CARGO_PKG_VERSION").into());
}

pub(super) fn show(app: &App, state: &State) {
    let (global, choices) = (app.window().global::<ui::Settings>(), state.settings.choices);
    global.set_theme(match choices.theme {
        Theme::System => 0,
        Theme::Light => 1,
        Theme::Dark => 2,
    });
    global.set_notifications(choices.notifications);
    global.set_sound(choices.sound);
    global.set_zoom(f32::from(choices.zoom) / 100.0);
}
