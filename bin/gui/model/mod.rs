//! What the window shows, without a window: an event goes in, changes and things to do come out.
//!
//! No toolkit, no network, no clock: the time is an argument, and where the reader is, a function. What the adapters
//! show they read from [`State`]; what has to be read anew, a [`Turn`] says.

mod arrivals;
mod attention;
mod composer;
mod connect;
mod conversation;
mod effect;
mod event;
mod members;
mod room;
mod row;
mod search;
mod settings;
mod status;
mod switcher;
mod unsent;
mod window;
mod words;

#[cfg(test)]
mod tests;

use chatnet::PrincipalId;

pub(crate) use composer::{Cell, Suggestion};
pub(crate) use connect::{Attempt, Field, Who};
pub(crate) use effect::{Effect, RowChange, Turn, View, Views, Whom};
pub(crate) use event::{
    About, Deed, End, Event, Form, Here, Hit, Item, Listed, Net, Part, Person, Presence, Secret, Ui, What,
};
pub(crate) use members::{Member, Role};
pub(crate) use room::Room;
pub(crate) use row::{Kind, Row, Sending, is_emoji_only, is_rtl};
pub(crate) use search::Found;
pub(crate) use settings::{Choices, Server, Settings, Theme};
pub(crate) use status::Link;
pub(crate) use window::PAGE;
pub(crate) use words::{Local, day, day_words, kind, time, when};

/// Which page the window shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Page {
    #[default]
    Connect,
    Chat,
}

/// Who one is.
#[derive(Debug, Default)]
pub(crate) struct Me {
    pub(crate) id: Option<PrincipalId>,
    pub(crate) alias: String,
    pub(crate) away: Option<String>,
}

/// Everything that is shown.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) local: Local,
    pub(crate) page: Page,
    pub(crate) focused: bool,
    pub(crate) me: Me,
    pub(crate) connect: connect::Connect,
    pub(crate) trust: connect::Trust,
    pub(crate) rooms: room::Rooms,
    pub(crate) new_room: room::NewRoom,
    pub(crate) composer: composer::Composer,
    pub(crate) search: search::Search,
    pub(crate) switcher: switcher::Switcher,
    pub(crate) status: status::Status,
    pub(crate) ended: status::Ended,
    pub(crate) toast: status::Toast,
    pub(crate) settings: Settings,
    attention: attention::Attention,
    today: i64,
}

impl State {
    pub(crate) fn new(settings: Settings, local: Local, now: i64) -> Self {
        let mut connect = connect::Connect::default();
        let last = settings.servers.first();
        connect.form = match last {
            Some(last) => Form {
                host: last.host.clone(),
                port: last.port.to_string(),
                alias: last.alias.clone(),
                use_account: last.account,
                secure: last.secure,
                ..Form::default()
            },
            None => Form { host: "127.0.0.1".into(), port: "50000".into(), secure: true, ..Form::default() },
        };
        connect.form_changed = 1;
        Self {
            local,
            page: Page::Connect,
            focused: true,
            me: Me::default(),
            connect,
            trust: connect::Trust::default(),
            rooms: room::Rooms::default(),
            new_room: room::NewRoom::default(),
            composer: composer::Composer::new(),
            search: search::Search::default(),
            switcher: switcher::Switcher::default(),
            status: status::Status::default(),
            ended: status::Ended::default(),
            toast: status::Toast::default(),
            settings,
            attention: attention::Attention::default(),
            today: day(now, local),
        }
    }

    /// Begin with these words in the connect dialog.
    pub(crate) fn prefill(&mut self, change: impl FnOnce(&mut Form)) {
        change(&mut self.connect.form);
        self.connect.form_changed += 1;
    }

    /// Take an event at this moment.
    pub(crate) fn update(&mut self, event: Event, now: i64) -> Turn {
        let mut turn = Turn::default();
        match event {
            Event::Ui(ui) => self.ui(ui, now, &mut turn),
            Event::Net(net) => self.net(net, now, &mut turn),
            Event::Focus(focused) => self.focus(focused, &mut turn),
            Event::Tick => self.tick(now, &mut turn),
        }
        if let Some(room) = self.rooms.selected() {
            turn.rows.append(&mut room.rows.log);
        }
        turn
    }

    fn ui(&mut self, ui: Ui, now: i64, turn: &mut Turn) {
        match ui {
            Ui::Connect(form) => self.connect(form, turn),
            Ui::CancelConnect => self.cancel_connect(turn),
            Ui::ChooseServer(index) => self.choose_server(index, turn),
            Ui::ForgetServer(index) => self.forget_server(index, turn),
            Ui::FormEdited(field) => self.form_edited(&field, turn),
            Ui::TrustTyped(typed) => {
                self.trust.typed = typed;
                turn.show(View::Trust);
            }
            Ui::TrustAccept => self.accept_trust(turn),
            Ui::TrustRefuse => self.refuse_trust(turn),
            Ui::SelectRoom(key) => self.select(key, turn),
            Ui::LeaveRoom(key) => self.leave_room(key, turn),
            Ui::MuteRoom(key) => self.mute_room(key, turn),
            Ui::OpenNew => self.open_new(turn),
            Ui::CloseNew => self.close_new(turn),
            Ui::Browse => self.browse(turn),
            Ui::JoinRoom { name, password } => self.join_room(&name, password, turn),
            Ui::CreateRoom { name, kind, password } => self.create_room(&name, kind, password, turn),
            Ui::MessageTo(alias) => self.message_to(&alias, turn),
            Ui::Away(text) => turn.do_(Effect::Away(text)),
            Ui::NearTop => self.near_top(turn),
            Ui::Following(following) => self.following(following, turn),
            Ui::JumpToNewest => self.jump_to_newest(turn),
            Ui::Copy(key) => self.copy(key, now, turn),
            Ui::Retry(key) => self.retry(key, now, turn),
            Ui::Discard(key) => self.discard(key, turn),
            Ui::Delete(key) => self.delete(key, turn),
            Ui::MessageSender(key) => self.message_sender(key, turn),
            Ui::EditTopic(text) => self.edit_topic(text, turn),
            Ui::Typed(text, cursor) => self.typed(text, cursor, now, turn),
            Ui::Send(text) => self.send(&text, now, turn),
            Ui::MoveChoice(by) => self.move_choice(by, turn),
            Ui::AcceptChoice => self.accept_choice(turn),
            Ui::CloseSuggestions => self.close_suggestions(turn),
            Ui::SearchEmoji(query) => self.search_emoji(&query, turn),
            Ui::TypedEmoji(emoji, cursor) => self.typed_emoji(&emoji, cursor, now, turn),
            Ui::MessageMember(key) => self.message_member(key, turn),
            Ui::Moderate(key, deed) => self.moderate(key, deed, turn),
            Ui::MoreMembers => self.more_members(turn),
            Ui::Search(query) => self.search_for(query, turn),
            Ui::MoreHits => self.more_hits(turn),
            Ui::ShowHit(key) => self.show_hit(key, turn),
            Ui::CloseSearch => self.close_search(turn),
            Ui::Filter(text) => self.filter(text, turn),
            Ui::MoveSwitch(by) => self.move_switch(by, turn),
            Ui::ChooseSwitch => self.choose_switch(turn),
            Ui::PickSwitch(key) => self.pick_switch(key, turn),
            Ui::CloseSwitcher => self.close_switcher(turn),
            Ui::Now => turn.do_(Effect::NetworkChanged),
            Ui::Disconnect => self.disconnect(turn),
            Ui::ActEnded => self.act_ended(turn),
            Ui::CloseEnded => {
                self.ended = status::Ended::default();
                turn.show(View::Ended);
            }
            Ui::DismissToast => self.dismiss_toast(turn),
            Ui::Choose(choices) => {
                self.settings.choices = choices;
                turn.do_(Effect::Save);
                turn.show(View::Settings);
            }
            Ui::Quit => turn.do_(Effect::Quit),
        }
    }
}
