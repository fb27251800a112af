//! History: pages in front, parts far back, and the way to the newest.

use super::*;
use crate::model::conversation::MAX_ROWS;

/// In a room with a long past, of which the last hundred events are shown.
fn long() -> Window {
    let mut window = Window::in_lobby_from(1000);
    let bob = person(2, "bob");
    for seq in 901..=1000 {
        let item = Item {
            seq,
            at: NOON - (10_000 - seq as i64) * MINUTE,
            from: bob.clone(),
            what: What::Text(format!("m{seq}")),
        };
        window.net(Net::Item { room: "lobby".into(), item, source: Source::History });
    }
    window
}

fn consecutive(window: &Window, from: u64, to: u64) {
    assert_eq!(window.seqs(), (from..=to).collect::<Vec<_>>());
}

#[test]
fn the_past_is_no_news() {
    let mut window = long();
    consecutive(&window, 901, 1000);
    assert_eq!(window.room("lobby").unread, 0);
    assert!(!window.kinds().contains(&Kind::NewLine));
}

#[test]
fn older_pages_come_in_front_and_disturb_no_row() {
    let mut window = long();
    let before = window.shown.clone();
    window.ui(Ui::NearTop);
    window.ui(Ui::NearTop);
    assert_eq!(window.effects.iter().filter(|e| matches!(e, Effect::History { .. })).count(), 1, "one at a time");
    assert_eq!(window.asked().1, Part::Older);
    assert_eq!(window.asked().2, 901);
    window.said("lobby", 1001, &person(3, "carl"), "meanwhile");
    window.page(801, 900, true, true);
    consecutive(&window, 801, 1001);
    let keys: Vec<_> = window.shown.iter().map(|row| row.key).collect();
    let kept = before.iter().filter(|row| row.kind == Kind::Message).all(|row| keys.contains(&row.key));
    assert!(kept);
    let mut days: Vec<_> =
        window.shown.iter().filter(|row| row.kind == Kind::Day).map(|row| day(row.at, |_| 0)).collect();
    let told = days.len();
    days.dedup();
    assert_eq!(days.len(), told, "no day twice");
    window.ui(Ui::NearTop);
    window.page(1, 800, false, true);
    assert!(window.state.room().unwrap().rows.at_start);
    window.effects.clear();
    window.ui(Ui::NearTop);
    assert!(window.effects.is_empty());
    consecutive(&window, 1, 1001);
}

#[test]
fn a_page_that_failed_may_be_asked_for_again_and_an_old_answer_is_not_taken() {
    let mut window = long();
    window.ui(Ui::NearTop);
    let (ticket, part, _) = window.asked();
    window.net(Net::PageFailed { room: "lobby".into(), ticket, text: "the connection has ended".into() });
    window.ui(Ui::NearTop);
    assert_ne!(window.asked().0, ticket);
    window.net(Net::Page { room: "lobby".into(), ticket, part, items: vec![], before: false, after: false });
    consecutive(&window, 901, 1000);
    window.page(801, 900, true, true);
    consecutive(&window, 801, 1000);
}

#[test]
fn a_hit_far_back_is_shown_with_what_is_around_it_and_leads_back() {
    let mut window = long();
    let hit = Hit { seq: 50, from: person(2, "bob"), at: NOON, snippet: "m50".into() };
    window.ui(Ui::Search("m50".into()));
    window.net(Net::Hits { room: "lobby".into(), query: "m50".into(), hits: vec![hit], more: false });
    let key = window.state.search.rows[0].key;
    window.ui(Ui::ShowHit(key));
    assert_eq!(window.asked().1, Part::Around(50));
    window.page(1, 100, false, true);
    consecutive(&window, 1, 100);
    let row = window.shown.iter().find(|row| row.highlighted).unwrap().clone();
    assert_eq!(row.seq, 50);
    assert!(matches!(window.scrolled.last(), Some(RowChange::ScrollTo(key)) if *key == row.key));
    // What comes meanwhile is counted, not put behind the past.
    window.said("lobby", 1001, &person(3, "carl"), "news");
    consecutive(&window, 1, 100);
    assert_eq!(window.state.room().unwrap().rows.unseen, 1);
    // Reading on.
    window.ui(Ui::Following(true));
    assert_eq!((window.asked().1, window.asked().2), (Part::Newer, 100));
    window.page(101, 200, true, true);
    consecutive(&window, 1, 200);
    // And to the end at once.
    window.ui(Ui::JumpToNewest);
    assert_eq!(window.asked().1, Part::Newest);
    window.page(902, 1001, true, false);
    consecutive(&window, 902, 1001);
    assert!(matches!(window.scrolled.last(), Some(RowChange::ScrollToEnd)));
    window.said("lobby", 1002, &person(3, "carl"), "live again");
    consecutive(&window, 902, 1002);
}

#[test]
fn what_is_unsent_stays_so_while_the_past_is_read() {
    let mut window = long();
    window.say("mine");
    window.ui(Ui::Search("m50".into()));
    let hit = Hit { seq: 50, from: person(2, "bob"), at: NOON, snippet: "m50".into() };
    window.net(Net::Hits { room: "lobby".into(), query: "m50".into(), hits: vec![hit], more: false });
    window.ui(Ui::ShowHit(1));
    window.page(1, 100, false, true);
    assert_eq!(window.state.unsent(), 1);
    window.acked("lobby", 1001, "mine");
    assert_eq!(window.state.unsent(), 0);
    window.say("mine too");
    window.page(902, 1001, true, false);
    assert_eq!(window.texts().last().unwrap(), "mine too");
    assert_eq!(window.state.unsent(), 1);
    window.acked("lobby", 1002, "mine too");
    assert_eq!(window.state.unsent(), 0);
}

#[test]
fn while_scrolled_up_what_comes_is_counted() {
    let mut window = long();
    window.ui(Ui::Following(false));
    for seq in 1001..=1003 {
        window.said("lobby", seq, &person(3, "carl"), "x");
    }
    assert_eq!(window.state.room().unwrap().rows.unseen, 3);
    window.ui(Ui::JumpToNewest);
    assert_eq!(window.state.room().unwrap().rows.unseen, 0);
    assert!(matches!(window.scrolled.last(), Some(RowChange::ScrollToEnd)));
}

#[test]
fn a_conversation_has_a_bound_and_what_fell_off_can_be_read_again() {
    let mut window = Window::in_lobby();
    let bob = person(2, "bob");
    let mut last = window.changes;
    for seq in 1..=MAX_ROWS as u64 + 5_000 {
        window.said("lobby", seq, &bob, "x");
        assert!(window.changes - last <= 6, "one message, few changes");
        last = window.changes;
    }
    assert!(window.shown.len() <= MAX_ROWS + 1);
    assert!(!window.state.room().unwrap().rows.at_start);
    window.ui(Ui::NearTop);
    let first = window.asked().2;
    assert_eq!(first, window.seqs()[0]);
    window.page(first - 100, first - 1, true, true);
    assert_eq!(window.seqs()[0], first - 100);
}

#[test]
fn a_gap_is_told() {
    let mut window = long();
    window.net(Net::Gap { room: "lobby".into(), from: 1001, to: 1050, reset: false, hidden: true });
    assert_eq!(&*window.shown.last().unwrap().text, "50 messages can't be read any more.");
    window.said("lobby", 1051, &person(2, "bob"), "after");
    assert_eq!(window.kinds().last(), Some(&Kind::Message));
}
