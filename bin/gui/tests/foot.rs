//! Who stands at the end sees the end, however quickly it moves.

use slint::{ModelRc, VecModel};

use super::*;

/// A window, and messages for it, of which nobody knows beforehand how high they are.
struct Flood {
    app: ui::App,
    rows: Rc<VecModel<ui::MessageRow>>,
    dice: u64,
    key: i32,
}

impl Flood {
    fn new(seed: u64) -> Self {
        let app = ui::App::new().unwrap();
        app.window().set_size(slint::LogicalSize::new(1180.0, 760.0));
        app.set_page(ui::Page::Chat);
        let rows = Rc::new(VecModel::default());
        app.global::<ui::Conversation>().set_rows(ModelRc::from(Rc::clone(&rows)));
        app.show().unwrap();
        Self { app, rows, dice: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1, key: 0 }
    }

    fn dice(&mut self, sides: u64) -> usize {
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        usize::try_from(self.dice % sides).unwrap()
    }

    fn comes(&mut self, lines: usize) {
        self.key += 1;
        let first = self.dice(2) == 0;
        let line = "a line that is long enough for a screen's width, or for two of them if it's narrow\n";
        let text = format!("message {}: {}", self.key, line.repeat(lines));
        let (sender, initial) = ("bob".into(), "B".into());
        let kind = ui::RowKind::Message;
        self.rows.push(ui::MessageRow {
            key: self.key,
            kind,
            first,
            sender,
            initial,
            text: text.into(),
            ..Default::default()
        });
    }

    fn turns(&self, n: usize) {
        (0..n).for_each(|_| mock_elapsed_time(Duration::from_millis(16)));
    }

    fn list(&self) -> ElementHandle {
        ElementHandle::find_by_accessible_label(&self.app, "Messages").next().unwrap()
    }

    fn shown(&self) -> Vec<ElementHandle> {
        ElementQuery::from_root(&self.app).match_inherits("ConversationRow").find_all()
    }

    /// A message, if it's on the screen.
    fn message(&self, key: i32) -> Option<ElementHandle> {
        let begun = format!("message {key}: ");
        self.shown().into_iter().find(|row| row.accessible_label().is_some_and(|label| label.contains(&begun)))
    }

    /// By how much the last one's foot is below the list's.
    fn below(&self) -> f32 {
        let bottom = |e: &ElementHandle| e.absolute_position().y + e.size().height;
        self.message(self.key).map_or(f32::INFINITY, |last| bottom(&last) - bottom(&self.list()))
    }
}

#[test]
fn the_last_message_stands_at_the_foot_after_many_of_all_heights_have_come_quickly() {
    i_slint_backend_testing::init_no_event_loop();
    let mut worst: f32 = 0.0;
    for seed in 2..=3 {
        let mut flood = Flood::new(seed);
        for burst in 0..4 {
            for _ in 0..=flood.dice(40) {
                let lines = [1, 1, 1, 2, 3, 7, 15][flood.dice(7)];
                flood.comes(lines);
                let turns = flood.dice(3);
                flood.turns(turns);
            }
            let last = [1, 2, 30, 60][flood.dice(4)];
            flood.comes(last);
            flood.turns(30);
            let below = flood.below();
            if below.abs() > 1.0 {
                println!("seed {seed}, burst {burst}, the last of {last} lines: {below} px");
            }
            worst = worst.max(below.abs());
        }
    }
    assert!(worst <= 1.0, "{worst}");
}

#[test]
fn who_scrolls_up_and_down_again_follows_again() {
    i_slint_backend_testing::init_no_event_loop();
    let mut flood = Flood::new(7);
    for _ in 0..60 {
        let lines = 1 + flood.dice(6);
        flood.comes(lines);
    }
    flood.turns(40);
    let told = Rc::new(RefCell::new(Vec::new()));
    let heard = Rc::clone(&told);
    flood.app.global::<ui::Conversation>().on_following(move |following| heard.borrow_mut().push(following));
    for _ in 0..5 {
        flood.list().scroll(0.0, 120.0);
        flood.turns(20);
    }
    flood.turns(30);
    assert_eq!(*told.borrow(), [false]);
    let read = flood.shown().iter().filter_map(|row| row.accessible_label()).nth(1).expect("a row");
    let place = |flood: &Flood| {
        let row = flood.shown().into_iter().find(|row| row.accessible_label().as_ref() == Some(&read));
        row.map(|row| row.absolute_position().y)
    };
    let before = place(&flood);
    flood.comes(3);
    flood.turns(40);
    assert_eq!((place(&flood), flood.below()), (before, f32::INFINITY), "what is read stays");
    for _ in 0..6 {
        flood.list().scroll(0.0, -120.0);
        flood.turns(20);
    }
    flood.turns(60);
    assert_eq!(*told.borrow(), [false, true]);
    flood.comes(9);
    flood.turns(40);
    assert!(flood.below().abs() <= 1.0, "{}", flood.below());
}

#[test]
fn the_row_that_the_keys_choose_is_on_the_screen() {
    i_slint_backend_testing::init_no_event_loop();
    let mut flood = Flood::new(9);
    for _ in 0..60 {
        let lines = 1 + flood.dice(6);
        flood.comes(lines);
    }
    flood.turns(40);
    let list = flood.list();
    let (top, height) = (list.absolute_position().y, list.size().height);
    for n in 0..30 {
        let text = slint::SharedString::from(slint::platform::Key::UpArrow);
        flood.app.window().dispatch_event(slint::platform::WindowEvent::KeyPressed { text: text.clone() });
        flood.app.window().dispatch_event(slint::platform::WindowEvent::KeyReleased { text });
        flood.turns(12);
        let rows = flood.shown();
        let chosen: Vec<_> = rows.iter().filter(|row| row.accessible_item_selected() == Some(true)).collect();
        assert_eq!(chosen.len(), 1, "key {n}");
        let (y, foot) = (chosen[0].absolute_position().y, chosen[0].absolute_position().y + chosen[0].size().height);
        assert!(y >= top - 1.0 && foot <= top + height + 1.0, "key {n}: {y}..{foot} of {top}..{}", top + height);
    }
    assert!(flood.below() > 100.0);
}
