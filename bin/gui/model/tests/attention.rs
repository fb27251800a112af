use super::*;

fn calls(window: &Window) -> Vec<String> {
    let call = |effect: &Effect| match effect {
        Effect::Notify { title, body } => Some(format!("{title}: {body}")),
        Effect::Sound => Some("ding".into()),
        _ => None,
    };
    window.effects.iter().filter_map(call).collect()
}

#[test]
fn a_direct_or_a_mention_calls_who_looks_elsewhere() {
    let mut window = Window::in_lobby();
    let bob = person(2, "bob");
    window.joined("@bob", 2);
    window.said("lobby", 1, &bob, "ada, look");
    assert!(calls(&window).is_empty(), "the window is looked at");
    window.take(Event::Focus(false));
    window.said("lobby", 2, &bob, "nothing for you");
    assert!(calls(&window).is_empty());
    window.said("lobby", 3, &bob, "but @Ada:\nhi");
    assert_eq!(calls(&window), ["bob in lobby: but @Ada: hi", "ding"]);
    window.said("@bob", 1, &bob, "psst");
    assert_eq!(calls(&window).len(), 2, "not twice within two seconds");
    window.now += 3_000;
    window.said("@bob", 2, &bob, "psst");
    assert_eq!(calls(&window)[2..], ["bob: psst", "ding"]);
    assert_eq!(window.kinds().iter().filter(|kind| **kind == Kind::NewLine).count(), 1);
    window.take(Event::Focus(true));
    assert_eq!(window.room("lobby").unread, 0);
}

#[test]
fn each_way_of_calling_can_be_switched_off() {
    for (notifications, sound) in [(true, false), (false, true), (false, false)] {
        let mut window = Window::in_lobby();
        window.ui(Ui::Choose(Choices { theme: Theme::Dark, notifications, sound, zoom: 100 }));
        assert!(matches!(window.effects.last(), Some(Effect::Save)));
        window.take(Event::Focus(false));
        window.said("lobby", 1, &person(2, "bob"), "ada");
        assert_eq!(calls(&window).len(), usize::from(notifications) + usize::from(sound));
    }
}

#[test]
fn the_past_and_ones_own_call_nobody() {
    let mut window = Window::in_lobby();
    window.take(Event::Focus(false));
    let item = Item { seq: 1, at: NOON, from: person(2, "bob"), what: What::Text("ada".into()) };
    window.net(Net::Item { room: "lobby".into(), item, source: Source::History });
    window.said("lobby", 2, &person(1, "ada"), "ada from another device");
    assert!(calls(&window).is_empty());
    assert!(window.shown.last().unwrap().own);
    assert_eq!(window.room("lobby").unread, 0);
}

#[test]
fn typing_is_told_for_a_while_and_signed_now_and_then() {
    let mut window = Window::in_lobby();
    window.net(Net::Typing { room: "lobby".into(), who: "bob".into(), typing: true });
    assert_eq!(window.room("lobby").typing_words(), "bob is typing…");
    window.net(Net::Typing { room: "lobby".into(), who: "carl".into(), typing: true });
    assert_eq!(window.room("lobby").typing_words(), "bob and carl are typing…");
    window.said("lobby", 1, &person(2, "bob"), "done");
    assert_eq!(window.room("lobby").typing_words(), "carl is typing…");
    window.now += 10_000;
    window.take(Event::Tick);
    assert_eq!(window.room("lobby").typing_words(), "");
    for text in ["h", "he", "hel"] {
        window.ui(typed(text));
    }
    assert_eq!(window.effects.iter().filter(|e| matches!(e, Effect::Typing { .. })).count(), 1);
}

#[test]
fn a_passing_word_passes() {
    let mut window = Window::in_lobby();
    window.net(Net::Trouble("it failed".into()));
    assert_eq!(window.state.toast.text, "It failed.");
    assert!(window.state.next_tick() < 1_000);
    window.now += 7_000;
    window.take(Event::Tick);
    assert!(window.state.toast.text.is_empty());
    assert!(window.state.next_tick() >= 10_000, "an idle window sleeps");
}
