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
        global.set_text(breakable(&ended.text).into());
        global.set_action((&ended.action).into());
    }
    global.set_open(ended.open);
}

/// Long words, such as fingerprints, may go on in the next line: what doesn't fit would be cut off, and it matters.
fn breakable(text: &str) -> String {
    /// No line holds as much without a place to break.
    const WORD: usize = 16;
    let mut broken = String::with_capacity(text.len() + text.len() / WORD * 3);
    let mut length = 0;
    for c in text.chars() {
        length = if c.is_whitespace() { 0 } else { length + 1 };
        if length > WORD {
            broken.push('\u{200b}');
            length = 1;
        }
        broken.push(c);
    }
    broken
}

pub(super) fn show_toast(app: &App, state: &State) {
    let (global, text) = (app.window().global::<ui::Toast>(), &state.toast.text);
    // It keeps its words while it fades.
    if !text.is_empty() {
        global.set_text(text.into());
    }
    global.set_visible(!text.is_empty());
}

#[cfg(test)]
mod tests {
    use super::breakable;

    #[test]
    fn long_words_may_be_broken_and_others_are_as_they_were() {
        assert_eq!(breakable("a few words, none of them long"), "a few words, none of them long");
        let word = "f".repeat(40);
        let broken = breakable(&format!("key {word} end"));
        assert_eq!(broken.replace('\u{200b}', ""), format!("key {word} end"));
        assert!(broken.split(['\u{200b}', ' ']).all(|part| part.chars().count() <= 16), "{broken:?}");
    }
}
