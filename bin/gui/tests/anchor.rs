//! History is put before what is seen, and what is seen stays where it is.

use super::*;

#[test]
fn the_row_that_is_looked_at_moves_by_no_more_than_a_pixel_when_older_ones_come() {
    let house = House::start();
    let bob = Other::connect(house.addr, "bob");
    async_std::task::block_on(async {
        let room = bob.client.room().unwrap();
        for n in 1..=600 {
            let text = format!("message {n} {}", "words and more words ".repeat(n % 17));
            drop(room.send(text).await.unwrap());
        }
        assert!(bob.client.flush().await);
    });
    let desk = Desk::connected(house.addr, "ada");
    desk.until("the newest", |desk| desk.texts().iter().any(|text| text.starts_with("message 600 ")));
    for _ in 0..60 {
        desk.turn();
    }
    let mut worst: f32 = 0.0;
    let mut pages = 0;
    let list = desk.element("Messages");
    let loading = |desk: &Desk| desk.app.window().global::<ui::Conversation>().get_loading();
    let middle = |desk: &Desk| {
        let visible = desk.visible();
        let row = visible.get(visible.len() / 2)?;
        Some((row.accessible_label()?, row.absolute_position().y))
    };
    for _ in 0..400 {
        list.scroll(0.0, 120.0);
        // The wheel's own movement comes to its end, and nothing from the network meanwhile.
        (0..40).for_each(|_| mock_elapsed_time(Duration::from_millis(16)));
        let (rows, before) = (desk.messages().len(), middle(&desk));
        desk.turn();
        desk.until("a page", |desk| !loading(desk));
        let Some((label, before)) = before.filter(|_| desk.messages().len() > rows) else { continue };
        mock_elapsed_time(Duration::from_millis(16));
        let after = desk.visible().into_iter().find(|row| row.accessible_label().as_ref() == Some(&label));
        let after = after.map_or(f32::INFINITY, |row| row.absolute_position().y);
        worst = worst.max((after - before).abs());
        pages += 1;
        if desk.app.window().global::<ui::Conversation>().get_at_start() {
            break;
        }
    }
    println!("{pages} pages came; the row in the middle moved by {worst} px at most");
    assert!(pages >= 2, "{pages} pages, {} rows", desk.messages().len());
    assert!(worst <= 1.0, "{worst}");
}
