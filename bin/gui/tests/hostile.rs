//! What others send can't break the window.

use super::*;

#[test]
fn hostile_texts_long_ones_and_many_joins_leave_the_window_whole() {
    let house = House::start();
    let bob = Other::connect(house.addr, "bob");
    let desk = Desk::connected(house.addr, "ada");
    let hostile = [
        "**two\nlines**".to_owned(),
        "\u{202e}evil\u{202c} [link](javascript:alert(1)) <b>bold</b> # heading\n> quote\n```code".to_owned(),
        "Z\u{300}".repeat(500) + &"\u{301}".repeat(2_000),
        "x".repeat(65_000),
        "🎉".repeat(16_000),
        "\n".repeat(900),
        "שלום 李小龍 محمد हिन्दी 👩‍👩‍👧‍👦".to_owned(),
    ];
    for text in &hostile {
        bob.say(text);
    }
    for n in 0..20 {
        drop(Other::connect(house.addr, &format!("visitor{n}")));
    }
    bob.say("the end");
    desk.until("the end", |desk| desk.shows("the end"));
    for _ in 0..30 {
        desk.turn();
    }
    let rows = desk.messages();
    assert!(rows.iter().all(|row| row.text.len() < 5_000));
    assert!(rows.iter().filter(|row| row.kind == ui::RowKind::Membership).count() <= 2);
    assert!(rows.len() < 20, "{}", rows.len());
    assert!(rows.iter().all(|row| !row.text.contains('\u{202e}')));
    assert!(!desk.visible().is_empty());
    desk.say("still here");
    desk.until("an ack", |desk| desk.messages().iter().any(|row| row.own && row.state == ui::SendState::Sent));
}
