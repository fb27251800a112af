use super::*;

#[test]
fn who_says_more_within_five_minutes_is_named_once() {
    let mut window = Window::in_lobby();
    let (bob, carl) = (person(2, "bob"), person(3, "carl"));
    window.said("lobby", 1, &bob, "a");
    window.now += MINUTE;
    window.said("lobby", 2, &bob, "b");
    window.said("lobby", 3, &carl, "c");
    window.said("lobby", 4, &bob, "d");
    window.now += 5 * MINUTE;
    window.said("lobby", 5, &bob, "e");
    let firsts: Vec<_> = window.shown[1..].iter().map(|row| row.first).collect();
    assert_eq!(firsts, [true, false, true, true, true]);
    assert_eq!(window.shown[0].kind, Kind::Day);
}

#[test]
fn days_stand_between_messages_of_different_days() {
    let mut window = Window::in_lobby();
    let bob = person(2, "bob");
    window.said("lobby", 1, &bob, "a");
    window.now += 24 * 60 * MINUTE;
    window.said("lobby", 2, &bob, "b");
    window.said("lobby", 3, &bob, "c");
    assert_eq!(window.kinds(), [Kind::Day, Kind::Message, Kind::Day, Kind::Message, Kind::Message]);
    window.changes = 0;
    window.take(Event::Tick);
    assert_eq!(window.changes, 2, "the days are called otherwise now");
}

#[test]
fn what_i_type_waits_at_the_end_and_takes_its_place_when_stored() {
    let mut window = Window::in_lobby();
    let bob = person(2, "bob");
    window.net(Net::Reconnecting { attempt: 1, delay_ms: 100, reason: "cut".into() });
    window.say("mine");
    window.say("mine too");
    assert_eq!(window.state.unsent(), 2);
    assert!(matches!(&window.effects[..], [Effect::Send { text, .. }, Effect::Send { .. }] if text == "mine"));
    window.said("lobby", 1, &bob, "before");
    assert_eq!(window.texts(), ["before", "mine", "mine too"]);
    window.acked("lobby", 3, "mine");
    assert_eq!(window.state.unsent(), 1);
    window.said("lobby", 2, &bob, "late");
    assert_eq!(window.texts(), ["before", "late", "mine", "mine too"]);
    let row = window.shown.iter().find(|row| &*row.text == "mine").unwrap();
    assert_eq!((row.state, row.seq, row.own), (Sending::Sent, 3, true));
    window.acked("lobby", 4, "mine too");
    assert_eq!(window.state.unsent(), 0);
}

#[test]
fn what_the_server_changed_is_shown_as_it_is_stored() {
    let mut window = Window::in_lobby();
    window.say("darn");
    window.net(Net::Acked {
        room: "lobby".into(),
        seq: 1,
        at: NOON,
        text: "darn".into(),
        replaced: Some("****".into()),
    });
    assert_eq!(window.texts(), ["****"]);
}

#[test]
fn what_is_refused_says_why_and_can_be_sent_again_or_discarded() {
    let mut window = Window::in_lobby();
    window.say("bad");
    window.say("good");
    window.net(Net::Refused { room: "lobby".into(), text: "bad".into(), reason: "you are muted".into() });
    let bad = window.shown.iter().find(|row| &*row.text == "bad").unwrap().clone();
    assert_eq!((bad.state, &*bad.problem), (Sending::Refused, "You are muted."));
    window.acked("lobby", 1, "good");
    window.ui(Ui::Retry(bad.key));
    assert_eq!(window.texts(), ["good", "bad"]);
    assert!(window.shown.last().unwrap().is_waiting());
    window.net(Net::Refused { room: "lobby".into(), text: "bad".into(), reason: "no".into() });
    let key = window.shown.last().unwrap().key;
    window.ui(Ui::Discard(key));
    assert_eq!(window.texts(), ["good"]);
    window.ui(Ui::Discard(key));
    window.ui(Ui::Retry(key));
}

#[test]
fn what_is_not_even_taken_is_marked_and_confuses_no_other() {
    let mut window = Window::in_lobby();
    window.say("first");
    window.say("\u{1}");
    window.say("third");
    let Effect::Send { key, .. } = window.effects[1] else { panic!() };
    window.net(Net::NotTaken { room: "lobby".into(), key, text: "it holds a control character".into() });
    window.acked("lobby", 1, "first");
    window.acked("lobby", 2, "third");
    assert_eq!(window.state.unsent(), 0);
    assert_eq!(window.shown.iter().filter(|row| row.state == Sending::Refused).count(), 1);
}

#[test]
fn unsent_texts_of_last_time_appear_when_they_are_stored() {
    let mut window = Window::in_lobby();
    window.acked("lobby", 1, "of yesterday");
    assert_eq!(window.texts(), ["of yesterday"]);
    assert!(window.shown[1].own);
}

#[test]
fn comings_and_goings_are_folded() {
    let mut window = Window::in_lobby();
    for n in 0..10_u8 {
        window.net(Net::Came { room: "lobby".into(), who: person(n + 10, &format!("p{n}")) });
    }
    window.net(Net::Went { room: "lobby".into(), who: person(10, "p0") });
    assert_eq!(window.kinds(), [Kind::Day, Kind::Membership]);
    assert_eq!(&*window.shown[1].text, "p0, p1, p2, p3 and 6 others joined · p0 left");
    window.said("lobby", 1, &person(2, "bob"), "hi");
    window.net(Net::Came { room: "lobby".into(), who: person(30, "late") });
    assert_eq!(window.kinds().len(), 4);
    assert_eq!(window.room("lobby").members.count, 2 + 10 - 1 + 1);
}

#[test]
fn a_change_is_told_and_a_removed_message_is_gone() {
    use chatnet::EventKind;
    use chatnet::protocol::message::RoomChange;
    let mut window = Window::in_lobby();
    let bob = person(2, "bob");
    window.said("lobby", 1, &bob, "secret");
    let change = RoomChange { value: Some(1), ..RoomChange::default() };
    let item = Item { seq: 2, at: NOON, from: person(3, "mod"), what: What::Change(EventKind::DELETION, change) };
    window.net(Net::Item { room: "lobby".into(), item, source: Source::Live });
    assert!(window.texts().is_empty());
    assert!(!format!("{:?}", window.shown).contains("secret"));
    let change = RoomChange { text: Some("all about tea".into()), ..RoomChange::default() };
    let item = Item { seq: 3, at: NOON, from: bob, what: What::Change(EventKind::TOPIC, change) };
    window.net(Net::Item { room: "lobby".into(), item, source: Source::Live });
    assert_eq!(&*window.shown.last().unwrap().text, "bob set the topic: all about tea");
}

#[test]
fn the_same_event_twice_is_shown_once() {
    let mut window = Window::in_lobby();
    let bob = person(2, "bob");
    window.said("lobby", 1, &bob, "a");
    window.said("lobby", 2, &bob, "b");
    window.said("lobby", 1, &bob, "a");
    window.said("lobby", 2, &bob, "b");
    assert_eq!(window.texts(), ["a", "b"]);
    window.say("c");
    window.acked("lobby", 3, "c");
    window.said("lobby", 3, &person(1, "ada"), "c");
    assert_eq!(window.texts(), ["a", "b", "c"]);
}

#[test]
fn commands_complete_and_unknown_ones_are_told() {
    let mut window = Window::in_lobby();
    window.ui(typed("/jo"));
    assert_eq!(window.state.composer.suggestions[0].insert, "/join ");
    window.ui(Ui::AcceptChoice);
    assert_eq!(window.state.composer.text, "/join ");
    window.say("/nope");
    assert!(window.state.composer.error.contains("/nope is not a command"));
    window.say("/join den");
    let Some(Effect::Command { what, .. }) = window.effects.last() else { panic!("{:?}", window.effects) };
    assert!(matches!(&**what, Effect::Join { name, .. } if name == "den"));
    window.say("//shrug");
    assert_eq!(window.texts(), ["/shrug"]);
    window.say("   \n ");
    assert_eq!(window.texts().len(), 1);
}

#[test]
fn names_and_emoji_complete() {
    let mut window = Window::in_lobby();
    let people = vec![here(1, "ada"), here(2, "Bob B"), here(3, "bert")];
    window.net(Net::Members { room: "lobby".into(), people, first: true, more: false });
    window.ui(typed("hello @b"));
    let inserts: Vec<_> = window.state.composer.suggestions.iter().map(|s| s.insert.as_str()).collect();
    assert_eq!(inserts, ["hello @bert ", "hello @Bob B "]);
    window.ui(Ui::MoveChoice(-1));
    window.ui(Ui::AcceptChoice);
    assert_eq!(window.state.composer.text, "hello @Bob B ");
    assert!(window.state.composer.suggestions.is_empty());
    window.ui(typed("so :thumbsu"));
    assert_eq!(window.state.composer.suggestions[0].insert, "so 👍 ");
    window.ui(Ui::TypedEmoji("🎉".into(), 999));
    assert_eq!(window.state.composer.text, "so :thumbsu🎉");
    window.ui(Ui::Typed("hi @ber, there".into(), 7));
    window.ui(Ui::AcceptChoice);
    assert_eq!((window.state.composer.text.as_str(), window.state.composer.cursor), ("hi @bert , there", 9));
}

#[test]
fn what_was_said_before_ones_own_first_words_is_shown_though_it_comes_behind_their_ack() {
    let mut window = Window::in_lobby();
    window.say("mine");
    window.acked("lobby", 2, "mine");
    window.said("lobby", 1, &person(2, "bob"), "before");
    assert_eq!(window.texts(), ["before", "mine"]);
}
