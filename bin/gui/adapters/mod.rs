//! Between the model and the window: one file a global. Slint's types are named here and nowhere else.

pub(crate) mod conversation;

mod composer;
mod connect;
mod ended;
mod members;
mod rooms;
mod rows;
mod search;
mod settings;
mod status;
mod switcher;
mod trust;

use std::cell::Cell;
use std::rc::Rc;

use chatnet::PrincipalId;
use slint::{Model, ModelRc, SharedString, VecModel};

use crate::app::App;
use crate::model::{Event, Presence, State, Ui, View, Views};
use crate::ui;

/// What the window's lists show.
pub(crate) struct Models {
    pub(crate) rows: Rc<rows::Rows>,
    servers: Rc<VecModel<ui::ServerRow>>,
    rooms: Rc<VecModel<ui::RoomRow>>,
    listed: Rc<VecModel<ui::ListedRow>>,
    members: Rc<VecModel<ui::MemberRow>>,
    hits: Rc<VecModel<ui::HitRow>>,
    switcher: Rc<VecModel<ui::SwitchRow>>,
    suggestions: Rc<VecModel<ui::Suggestion>>,
    emojis: Rc<VecModel<ui::EmojiCell>>,
    /// Counters of what the view has taken over already.
    form: Cell<u32>,
    text: Cell<u32>,
    new_room: Cell<u32>,
}

impl Models {
    pub(crate) fn new(window: &ui::App) -> Self {
        use slint::ComponentHandle;
        let models = Self {
            rows: Rc::default(),
            servers: Rc::default(),
            rooms: Rc::default(),
            listed: Rc::default(),
            members: Rc::default(),
            hits: Rc::default(),
            switcher: Rc::default(),
            suggestions: Rc::default(),
            emojis: Rc::default(),
            form: Cell::default(),
            text: Cell::default(),
            new_room: Cell::default(),
        };
        window.global::<ui::Conversation>().set_rows(ModelRc::from(Rc::clone(&models.rows)));
        window.global::<ui::Connect>().set_servers(ModelRc::from(Rc::clone(&models.servers)));
        window.global::<ui::Rooms>().set_rows(ModelRc::from(Rc::clone(&models.rooms)));
        window.global::<ui::Rooms>().set_listed(ModelRc::from(Rc::clone(&models.listed)));
        window.global::<ui::Members>().set_rows(ModelRc::from(Rc::clone(&models.members)));
        window.global::<ui::Search>().set_rows(ModelRc::from(Rc::clone(&models.hits)));
        window.global::<ui::Switcher>().set_rows(ModelRc::from(Rc::clone(&models.switcher)));
        window.global::<ui::Composer>().set_suggestions(ModelRc::from(Rc::clone(&models.suggestions)));
        window.global::<ui::Composer>().set_emojis(ModelRc::from(Rc::clone(&models.emojis)));
        models
    }
}

/// What the person does goes to the model.
pub(crate) fn connect(app: &Rc<App>) {
    connect::connect(app);
    trust::connect(app);
    rooms::connect(app);
    conversation::connect(app);
    composer::connect(app);
    members::connect(app);
    search::connect(app);
    switcher::connect(app);
    status::connect(app);
    ended::connect(app);
    settings::connect(app);
}

/// What has changed goes to the window.
pub(crate) fn show(app: &App, views: Views) {
    let state = app.state.borrow();
    type Show = fn(&App, &State);
    let shows: [(View, Show); 14] = [
        (View::Connect, connect::show),
        (View::Trust, trust::show),
        (View::Rooms, rooms::show),
        (View::Conversation, conversation::show),
        (View::Composer, composer::show),
        (View::Suggestions, composer::show_suggestions),
        (View::Emojis, composer::show_emojis),
        (View::Members, members::show),
        (View::Search, search::show),
        (View::Switcher, switcher::show),
        (View::Status, status::show),
        (View::Ended, ended::show),
        (View::Toast, ended::show_toast),
        (View::Settings, settings::show),
    ];
    for (view, show) in shows {
        if views.has(view) {
            show(app, &state);
        }
    }
}

/// A callback that tells the model.
fn tells<T>(app: &Rc<App>, ui: impl Fn(T) -> Ui + 'static) -> impl Fn(T) + 'static {
    let app = Rc::downgrade(app);
    move |given| {
        if let Some(app) = app.upgrade() {
            app.handle(Event::Ui(ui(given)));
        }
    }
}

/// The same for one that is given nothing.
fn tells_of(app: &Rc<App>, ui: impl Fn() -> Ui + 'static) -> impl Fn() + 'static {
    let app = Rc::downgrade(app);
    move || {
        if let Some(app) = app.upgrade() {
            app.handle(Event::Ui(ui()));
        }
    }
}

/// Make a list show these rows, and touch none that is there already.
fn sync<T: Clone + PartialEq + 'static>(model: &VecModel<T>, rows: Vec<T>) {
    let same = |(old, new): &(T, T)| old == new;
    let old = model.row_count();
    let begin = model.iter().zip(rows.iter().cloned()).take_while(same).count();
    let room = old.min(rows.len()) - begin;
    let back = |n: usize| model.row_data(old - 1 - n);
    let end = (0..room).take_while(|&n| back(n).as_ref() == rows.get(rows.len() - 1 - n)).count();
    let (old_end, new_end) = (old - end, rows.len() - end);
    let both = old_end.min(new_end);
    for (at, row) in rows.into_iter().enumerate().take(new_end).skip(begin) {
        if at >= both {
            model.insert(at, row);
        } else if model.row_data(at).as_ref() != Some(&row) {
            model.set_row_data(at, row);
        }
    }
    for _ in new_end..old_end {
        model.remove(both);
    }
}

/// The letter that stands for a name.
fn initial(name: &str) -> SharedString {
    let letter = name.chars().find(|c| c.is_alphanumeric()).or_else(|| name.chars().next());
    letter.map(|c| c.to_uppercase().collect::<String>()).unwrap_or_default().into()
}

/// Somebody's colour: the same wherever and whenever they are seen.
fn color(id: PrincipalId) -> i32 {
    hash(id.as_bytes())
}

/// A room's colour.
fn color_of_name(name: &str) -> i32 {
    hash(name.as_bytes())
}

fn hash(bytes: &[u8]) -> i32 {
    let mixed = bytes.iter().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193));
    ((mixed ^ (mixed >> 15)) % 12) as i32
}

fn presence(presence: Presence) -> ui::Presence {
    match presence {
        Presence::Here => ui::Presence::Here,
        Presence::Away => ui::Presence::Away,
        Presence::Offline => ui::Presence::Offline,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_becomes_any_other_and_what_is_the_same_is_not_touched() {
        let lists: [&[i32]; 7] = [&[], &[1], &[1, 2, 3], &[1, 9, 3], &[1, 3], &[3, 2, 1], &[0, 1, 2, 3, 4]];
        for from in lists {
            for to in lists {
                let model = VecModel::from(from.to_vec());
                sync(&model, to.to_vec());
                assert_eq!(model.iter().collect::<Vec<_>>(), to, "from {from:?}");
            }
        }
    }

    #[test]
    fn colours_are_stable_and_in_the_palette() {
        assert_eq!(color(PrincipalId::from_bytes([7; 16])), color(PrincipalId::from_bytes([7; 16])));
        let all: std::collections::BTreeSet<_> = (0..200_u8).map(|n| color(PrincipalId::from_bytes([n; 16]))).collect();
        assert!(all.iter().all(|n| (0..12).contains(n)) && all.len() > 8, "{all:?}");
    }
}
