//! The global `Composer`.

use std::rc::Rc;

use slint::{ComponentHandle, SharedString};

use super::{sync, tells, tells_of};
use crate::app::App;
use crate::model::{Cell, Event, State, Suggestion, Ui};
use crate::ui;

pub(super) fn connect(app: &Rc<App>) {
    let global = app.window().global::<ui::Composer>();
    let cursor = |app: &App| usize::try_from(app.window().global::<ui::Composer>().get_cursor()).unwrap_or(0);
    let weak = Rc::downgrade(app);
    global.on_edited(move |text| {
        if let Some(app) = weak.upgrade() {
            app.handle(Event::Ui(Ui::Typed(text.into(), cursor(&app))));
        }
    });
    global.on_send(tells(app, |text: SharedString| Ui::Send(text.into())));
    global.on_move_choice(tells(app, Ui::MoveChoice));
    let weak = Rc::downgrade(app);
    global.on_accept_choice(move || {
        let Some(app) = weak.upgrade() else { return SharedString::default() };
        app.handle(Event::Ui(Ui::AcceptChoice));
        let text = app.state.borrow().composer.text.clone();
        text.into()
    });
    global.on_close_suggestions(tells_of(app, || Ui::CloseSuggestions));
    global.on_search_emoji(tells(app, |query: SharedString| Ui::SearchEmoji(query.into())));
    let weak = Rc::downgrade(app);
    global.on_typed_emoji(move |emoji| {
        if let Some(app) = weak.upgrade() {
            app.handle(Event::Ui(Ui::TypedEmoji(emoji.into(), cursor(&app))));
        }
    });
}

pub(super) fn show(app: &App, state: &State) {
    let (global, composer) = (app.window().global::<ui::Composer>(), &state.composer);
    if app.models.text.replace(composer.changed) != composer.changed {
        global.set_text((&composer.text).into());
        global.set_cursor(i32::try_from(composer.cursor).unwrap_or(i32::MAX));
    }
    global.set_enabled(state.may_write());
    global.set_placeholder(state.placeholder().into());
    global.set_error((&composer.error).into());
}

pub(super) fn show_suggestions(app: &App, state: &State) {
    let (global, composer) = (app.window().global::<ui::Composer>(), &state.composer);
    let row = |suggestion: &Suggestion| ui::Suggestion {
        insert: (&suggestion.insert).into(),
        usage: (&suggestion.usage).into(),
        help: (&suggestion.help).into(),
    };
    sync(&app.models.suggestions, composer.suggestions.iter().map(row).collect());
    global.set_chosen(i32::try_from(composer.chosen).unwrap_or(0));
    global.set_error((&composer.error).into());
}

pub(super) fn show_emojis(app: &App, state: &State) {
    let row = |cell: &Cell| ui::EmojiCell { emoji: cell.emoji.into(), name: cell.name.into() };
    app.models.emojis.set_vec(state.composer.emojis.iter().map(row).collect::<Vec<_>>());
}
