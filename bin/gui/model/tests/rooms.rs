use chatnet::EventKind;
use chatnet::protocol::message::{RoomChange, RoomSettings};

use super::*;

#[test]
fn rooms_stand_by_name_and_directs_behind_them() {
    let mut window = Window::in_lobby();
    window.joined("@bob", 3);
    window.joined("Den", 4);
    window.joined("zoo", 5);
    let titles: Vec<_> = window.state.rooms.list.iter().map(Room::title).collect();
    assert_eq!(titles, ["Den", "lobby", "zoo", "bob"]);
    let shown = window.state.room().unwrap().name.clone();
    assert_eq!(shown, "lobby", "what comes by itself takes nobody away");
    window.ui(Ui::SelectRoom(999));
    assert_eq!(window.state.room().unwrap().name, "lobby");
}

#[test]
fn a_room_that_was_asked_for_is_shown_when_it_comes() {
    let mut window = Window::in_lobby();
    window.net(Net::Opened("den".into()));
    window.joined("den", 2);
    assert_eq!(window.state.room().unwrap().name, "den");
    window.net(Net::Opened("lobby".into()));
    assert_eq!(window.state.room().unwrap().name, "lobby");
}

#[test]
fn unread_counts_stand_for_what_was_not_seen() {
    let mut window = Window::in_lobby();
    let bob = person(2, "bob");
    window.joined("den", 2);
    window.said("den", 1, &bob, "one");
    window.said("den", 2, &bob, "two, ada");
    assert_eq!((window.room("den").unread, window.room("den").mentions), (2, 1));
    assert_eq!(window.state.window_title(), "(2) lobby – chatnet");
    window.said("lobby", 1, &bob, "seen");
    assert_eq!(window.room("lobby").unread, 0);
    let den = window.key("den");
    window.ui(Ui::SelectRoom(den));
    assert_eq!(window.room("den").unread, 0);
    assert_eq!(window.state.window_title(), "den – chatnet");
    assert_eq!(window.kinds(), [Kind::NewLine, Kind::Day, Kind::Message, Kind::Message]);
    assert!(window.effects.iter().any(|effect| matches!(effect, Effect::Read { seq: 2, .. })));
    let lobby = window.key("lobby");
    window.ui(Ui::SelectRoom(lobby));
    window.ui(Ui::SelectRoom(den));
    assert_eq!(window.kinds(), [Kind::Day, Kind::Message, Kind::Message], "what was new isn't any more");
}

#[test]
fn a_muted_room_neither_counts_nor_calls() {
    let mut window = Window::in_lobby();
    window.joined("den", 2);
    let den = window.key("den");
    window.ui(Ui::MuteRoom(den));
    window.take(Event::Focus(false));
    window.effects.clear();
    window.said("den", 1, &person(2, "bob"), "ada!");
    assert_eq!(window.state.window_title(), "lobby – chatnet");
    assert!(window.effects.is_empty());
    assert_eq!(window.state.settings.muted, [("example.org:50000".to_owned(), "den".to_owned())]);
}

#[test]
fn each_room_keeps_its_draft() {
    let mut window = Window::in_lobby();
    window.joined("den", 2);
    let (lobby, den) = (window.key("lobby"), window.key("den"));
    window.ui(typed("half a thou"));
    window.ui(Ui::SelectRoom(den));
    assert_eq!(window.state.composer.text, "");
    window.ui(Ui::SelectRoom(lobby));
    assert_eq!(window.state.composer.text, "half a thou");
}

#[test]
fn a_command_that_cannot_be_done_stands_in_the_composer_again() {
    let mut window = Window::in_lobby();
    window.joined("den", 2);
    let (lobby, den) = (window.key("lobby"), window.key("den"));
    window.say("/room nowhere");
    assert_eq!(window.state.composer.text, "/room nowhere");
    assert!(window.state.toast.text.contains("You are not in nowhere"), "{}", window.state.toast.text);
    window.say("/msg bob a long story");
    assert_eq!(window.state.composer.text, "");
    let Some(Effect::Command { room, line, what }) = window.effects.pop() else { panic!("{:?}", window.effects) };
    assert!(matches!(*what, Effect::Direct { .. }));
    let back = Net::GivenBack { room, line };
    window.net(back.clone());
    assert_eq!((window.state.composer.text.as_str(), room), ("/msg bob a long story", lobby));
    // What is typed by now is not overwritten, and who is elsewhere finds it on coming back.
    window.ui(typed("something else"));
    window.net(back.clone());
    assert_eq!(window.state.composer.text, "something else");
    window.ui(typed(""));
    window.say("/room den");
    window.net(back);
    assert_eq!((window.state.composer.text.as_str(), window.state.room().unwrap().key), ("", den));
    window.ui(Ui::SelectRoom(lobby));
    assert_eq!(window.state.composer.text, "/msg bob a long story");
}

#[test]
fn who_is_put_out_sees_why_and_can_close_the_room() {
    let mut window = Window::in_lobby();
    window.joined("den", 2);
    window.left("lobby", Code::KICKED, "too loud");
    assert_eq!(&*window.shown.last().unwrap().text, "You were put out of this room: too loud.");
    assert!(window.state.toast.text.contains("put out"));
    assert!(!window.state.may_write());
    let lobby = window.key("lobby");
    window.ui(Ui::LeaveRoom(lobby));
    assert_eq!(window.state.room().unwrap().name, "den");
    window.left("den", Code::GOODBYE, "");
    assert!(window.state.room().is_none() && window.shown.is_empty());
}

#[test]
fn a_room_that_began_anew_holds_nothing_of_before() {
    let mut window = Window::in_lobby();
    window.said("lobby", 1, &person(2, "bob"), "old");
    window.joined("lobby", 9);
    assert!(window.texts().is_empty());
    window.said("lobby", 1, &person(2, "bob"), "new");
    assert_eq!(window.texts(), ["new"]);
}

#[test]
fn members_stand_by_alias_and_come_and_go() {
    let mut window = Window::in_lobby();
    let people = vec![here(3, "zoe"), here(1, "ada"), here(2, "Bob")];
    window.net(Net::Members { room: "lobby".into(), people, first: true, more: false });
    let names = |window: &mut Window| {
        window.room("lobby").members.list.iter().map(|m| m.who().alias.clone()).collect::<Vec<_>>()
    };
    assert_eq!(names(&mut window), ["ada", "Bob", "zoe"]);
    window.net(Net::Came { room: "lobby".into(), who: person(4, "carl") });
    window.net(Net::Went { room: "lobby".into(), who: person(3, "zoe") });
    assert_eq!(names(&mut window), ["ada", "Bob", "carl"]);
    assert_eq!(window.room("lobby").members.count, 3);
    let keys: Vec<_> = window.room("lobby").members.list.iter().map(|m| m.key).collect();
    window.effects.clear();
    window.ui(Ui::MessageMember(keys[0]));
    assert!(window.effects.is_empty(), "not to oneself");
    window.ui(Ui::Moderate(keys[1], Deed::Kick));
    assert!(matches!(&window.effects[..], [Effect::Moderate { whom, .. }] if *whom == id(2)));
}

#[test]
fn the_switcher_shows_what_calls_first() {
    let mut window = Window::in_lobby();
    for (n, room) in ["@bob", "den", "docs"].into_iter().enumerate() {
        window.joined(room, n as u8 + 2);
    }
    window.said("@bob", 1, &person(2, "bob"), "hi");
    window.ui(Ui::Filter(String::new()));
    let first = window.state.switcher.rows[0];
    assert_eq!(window.key("@bob"), first);
    assert_eq!(window.key("lobby"), *window.state.switcher.rows.last().unwrap());
    window.ui(Ui::Filter("dc".into()));
    assert_eq!(window.state.switcher.rows.len(), 1);
    window.ui(Ui::ChooseSwitch);
    assert_eq!(window.state.room().unwrap().name, "docs");
    assert!(!window.state.switcher.open);
}

#[test]
fn the_dialog_for_rooms_tells_what_is_wrong() {
    let mut window = Window::in_lobby();
    window.ui(Ui::OpenNew);
    assert!(window.state.new_room.open && window.state.new_room.busy);
    window.net(Net::Listed { rooms: vec![], error: String::new() });
    window.ui(Ui::JoinRoom { name: "two words".into(), password: Secret::default() });
    assert!(!window.state.new_room.error.is_empty());
    window.ui(Ui::CreateRoom {
        name: "den".into(),
        kind: chatnet::protocol::message::RoomKind::Password,
        password: Secret::default(),
    });
    assert!(window.state.new_room.error.contains("password"));
    window.ui(Ui::MessageTo(" ".into()));
    assert!(window.state.new_room.error.contains("alias"));
    window.ui(Ui::JoinRoom { name: "#den".into(), password: Secret::default() });
    assert!(matches!(window.effects.last(), Some(Effect::Join { name, .. }) if name == "den"));
    window.net(Net::NeedsPassword("den".into()));
    assert!(window.state.new_room.error.contains("password"));
    window.net(Net::Denied("the password is wrong".into()));
    assert_eq!(window.state.new_room.error, "The password is wrong.");
    window.net(Net::Opened("den".into()));
    assert!(!window.state.new_room.open);
}

#[test]
fn members_show_who_they_are_and_whether_they_are_away() {
    let mut window = Window::in_lobby();
    let people = |away: Option<&str>| {
        vec![
            Here { rank: Rank::Owner, ..here(2, "bob") },
            Here { muted: true, ..here(3, "carl") },
            Here { away: away.map(str::to_owned), ..here(4, "dana") },
        ]
    };
    window.net(Net::Members { room: "lobby".into(), people: people(Some("at tea")), first: true, more: false });
    let roles = |window: &mut Window| window.room("lobby").members.list.iter().map(|m| m.role()).collect::<Vec<_>>();
    assert_eq!(roles(&mut window), [Role::Owner, Role::Muted, Role::Member]);
    assert_eq!(window.room("lobby").members.list[2].here.away.as_deref(), Some("at tea"));

    // What takes a mute back is the same button, and the event shows it.
    let carl = window.room("lobby").members.list[1].key;
    window.ui(Ui::Moderate(carl, Deed::Mute));
    assert!(matches!(window.effects.last(), Some(Effect::Moderate { deed: Deed::Unmute, .. })));
    let about = |n: u8, alias: &str| {
        let Person { id: principal, alias, .. } = person(n, alias);
        let kind = chatnet::PrincipalKind::Guest;
        Some(chatnet::protocol::message::Person { principal, kind, alias, version: 0 })
    };
    let changes = [(EventKind::UNMUTE, about(3, "carl"), None), (EventKind::ROLE, about(4, "dana"), Some(3))];
    for (seq, (kind, whom, value)) in (1..).zip(changes) {
        let change = RoomChange { whom, value, ..RoomChange::default() };
        let item = Item { seq, at: NOON, from: person(2, "bob"), what: What::Change(kind, change) };
        window.net(Net::Item { room: "lobby".into(), item, source: Source::Live });
    }
    assert_eq!(roles(&mut window), [Role::Moderator, Role::Member, Role::Owner], "a room has one owner");

    let away =
        |text: Option<&str>| Net::Away { room: "lobby".into(), who: person(3, "carl"), text: text.map(str::to_owned) };
    window.net(away(Some("lunch")));
    assert_eq!(window.room("lobby").members.list[1].here.away.as_deref(), Some("lunch"));
    window.net(away(None));
    assert_eq!(window.room("lobby").members.list[1].here.away, None);

    // That may be missing: it is asked for while the room is looked at.
    window.effects.clear();
    window.take(Event::Tick);
    assert!(matches!(&window.effects[..], [Effect::Members { after: None, .. }]));
    window.effects.clear();
    window.take(Event::Tick);
    assert!(window.effects.is_empty(), "not that often");
    window.net(Net::Members { room: "lobby".into(), people: people(None), first: true, more: false });
    assert_eq!(window.room("lobby").members.list[2].here.away, None);
}

#[test]
fn what_one_may_do_is_what_the_library_says() {
    let mut window = Window::in_lobby();
    assert!(!window.room("lobby").about.may_moderate);
    let settings = RoomSettings { announcement_only: true, topic: "tea".into(), ..RoomSettings::default() };
    let about = About { settings, ..About::default() };
    window.net(Net::About { room: "lobby".into(), about: about.clone() });
    assert_eq!(window.room("lobby").about.settings.topic, "tea");
    assert_eq!(window.state.placeholder(), "Only moderators talk in this room");
    window.net(Net::About { room: "lobby".into(), about: About { may_moderate: true, ..about } });
    assert_eq!(window.state.placeholder(), "Message lobby");
}
