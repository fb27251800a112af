//! The global `Conversation`.

use std::rc::Rc;

use chatnet::text::display_line;
use slint::ComponentHandle;

use super::{color, color_of_name, initial, presence, tells, tells_of};
use crate::app::App;
use crate::model::{self, Kind, Row, RowChange, Sending, State, Ui};
use crate::ui;

pub(super) fn connect(app: &Rc<App>) {
    let global = app.window().global::<ui::Conversation>();
    global.on_near_top(tells_of(app, || Ui::NearTop));
    global.on_following(tells(app, Ui::Following));
    global.on_jump_to_newest(tells_of(app, || Ui::JumpToNewest));
    global.on_copy(tells(app, Ui::Copy));
    global.on_retry(tells(app, Ui::Retry));
    global.on_discard(tells(app, Ui::Discard));
    global.on_delete(tells(app, Ui::Delete));
    global.on_message_sender(tells(app, Ui::MessageSender));
    global.on_edit_topic(tells(app, |topic: slint::SharedString| Ui::EditTopic(topic.into())));
}

/// Change the rows that are shown.
pub(crate) fn apply(app: &App, changes: Vec<RowChange>) {
    if changes.is_empty() {
        return;
    }
    let state = app.state.borrow();
    let (rows, global) = (&app.models.rows, app.window().global::<ui::Conversation>());
    let scroll = |index: i32| {
        global.set_scroll_to_row(index);
        global.set_scroll_request(global.get_scroll_request().wrapping_add(1));
    };
    for change in changes {
        match change {
            RowChange::Reset(all) => rows.reset(all.iter().map(|row| shown(row, &state)).collect()),
            RowChange::Insert { at, rows: new } => rows.insert(at, new.iter().map(|row| shown(row, &state)).collect()),
            RowChange::Remove { at, count } => rows.remove(at, count),
            RowChange::Set { at, row } => rows.set(at, shown(&row, &state)),
            RowChange::ScrollTo(key) => {
                global.set_highlight(key);
                rows.position(key).and_then(|index| i32::try_from(index).ok()).into_iter().for_each(scroll);
            }
            RowChange::ScrollToEnd => {
                global.set_highlight(0);
                scroll(-1);
            }
        }
    }
}

/// A row as the window takes it.
fn shown(row: &Row, state: &State) -> ui::MessageRow {
    let sender = row.who.as_ref().map(|who| display_line(&who.alias)).unwrap_or_default();
    let count = row.fold.as_ref().map_or(0, |fold| i32::try_from(fold.count()).unwrap_or(i32::MAX));
    let text = match row.kind {
        Kind::Day => model::day_words(model::day(row.at, state.local), state.today()).into(),
        _ => slint::SharedString::from(&*row.text),
    };
    ui::MessageRow {
        key: row.key,
        kind: match row.kind {
            Kind::Message => ui::RowKind::Message,
            Kind::Membership => ui::RowKind::Membership,
            Kind::Day => ui::RowKind::Day,
            Kind::NewLine => ui::RowKind::NewLine,
            Kind::Gap => ui::RowKind::Gap,
            Kind::Notice => ui::RowKind::Notice,
            Kind::Change => ui::RowKind::Change,
            Kind::Unsupported => ui::RowKind::Unsupported,
        },
        initial: initial(&sender),
        sender: sender.as_ref().into(),
        color: row.who.as_ref().map_or(0, |who| color(who.id)),
        own: row.own,
        first: row.first,
        time: model::time(row.at, state.local).into(),
        date: model::day_words(model::day(row.at, state.local), state.today()).into(),
        emoji_only: row.kind == Kind::Message && model::is_emoji_only(&row.text),
        rtl: model::is_rtl(&row.text),
        text,
        mention: row.mention,
        state: match row.state {
            Sending::None => ui::SendState::None,
            Sending::Waiting => ui::SendState::Waiting,
            Sending::Sent => ui::SendState::Sent,
            Sending::Refused => ui::SendState::Refused,
        },
        problem: (&*row.problem).into(),
        count,
        highlighted: row.highlighted,
    }
}

pub(super) fn show(app: &App, state: &State) {
    let global = app.window().global::<ui::Conversation>();
    let Some(room) = state.room() else {
        global.set_key(0);
        global.set_title(Default::default());
        global.set_topic(Default::default());
        global.set_typing(Default::default());
        global.set_unseen(0);
        return;
    };
    let title = room.title();
    global.set_key(room.key);
    global.set_initial(initial(&title));
    global.set_color(room.peer.as_ref().map_or_else(|| color_of_name(&room.name), |peer| color(peer.id)));
    global.set_title(title.into());
    global.set_topic(display_line(&room.about.settings.topic).as_ref().into());
    global.set_direct(room.direct);
    global.set_private(room.about.settings.kind != chatnet::protocol::message::RoomKind::Public);
    global.set_muted(room.muted);
    global.set_presence(presence(room.presence));
    global.set_may_delete(room.about.may_delete);
    global.set_may_topic(room.about.may_topic);
    global.set_unseen(i32::try_from(room.rows.unseen()).unwrap_or(i32::MAX));
    global.set_loading(room.rows.loading());
    global.set_at_start(room.rows.is_at_start());
    global.set_detached(room.rows.is_detached());
    global.set_typing(room.typing_words().into());
}
