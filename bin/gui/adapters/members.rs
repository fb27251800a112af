//! The global `Members`.

use std::rc::Rc;

use chatnet::protocol::message::Rank;
use chatnet::text::display_line;
use slint::ComponentHandle;

use super::{color, initial, sync, tells, tells_of};
use crate::app::App;
use crate::model::{Deed, Member, Role, State, Ui};
use crate::ui;

pub(super) fn connect(app: &Rc<App>) {
    let global = app.window().global::<ui::Members>();
    global.on_message(tells(app, Ui::MessageMember));
    global.on_kick(tells(app, |key| Ui::Moderate(key, Deed::Kick)));
    global.on_ban(tells(app, |key| Ui::Moderate(key, Deed::Ban)));
    global.on_mute(tells(app, |key| Ui::Moderate(key, Deed::Mute)));
    global.on_op(tells(app, |key| Ui::Moderate(key, Deed::Rank(Rank::Moderator))));
    global.on_more(tells_of(app, || Ui::MoreMembers));
}

pub(super) fn show(app: &App, state: &State) {
    let global = app.window().global::<ui::Members>();
    let Some(room) = state.room() else {
        sync(&app.models.members, Vec::new());
        global.set_count(0);
        global.set_may_moderate(false);
        return;
    };
    let row = |member: &Member| {
        let alias = display_line(&member.who().alias);
        let own = state.me.id == Some(member.who().id);
        // What one has just said of oneself comes before what was asked a while ago.
        let away = if own { state.me.away.as_ref() } else { member.here.away.as_ref() };
        ui::MemberRow {
            key: member.key,
            initial: initial(&alias),
            alias: alias.as_ref().into(),
            color: color(member.who().id),
            presence: if away.is_some() { ui::Presence::Away } else { ui::Presence::Here },
            role: match member.role() {
                Role::Member => ui::Role::Member,
                Role::Moderator => ui::Role::Moderator,
                Role::Owner => ui::Role::Owner,
                Role::Muted => ui::Role::Muted,
            },
            note: away.map(|text| display_line(text).as_ref().into()).unwrap_or_default(),
            own,
            guest: member.who().guest,
        }
    };
    sync(&app.models.members, room.members.list.iter().map(row).collect());
    global.set_count(i32::try_from(room.members.count).unwrap_or(i32::MAX));
    global.set_complete(!room.members.more);
    global.set_may_moderate(room.about.may_moderate);
}
