//! A window that is left alone has nothing to draw.

use std::cell::Cell;

use slint::platform::software_renderer::{MinimalSoftwareWindow, RepaintBufferType};
use slint::platform::{Key, Platform, PlatformError, WindowAdapter, WindowEvent};
use slint::{PhysicalSize, Rgb8Pixel, SharedString};

use super::*;

const WIDTH: u32 = 1180;
const HEIGHT: u32 = 760;

/// A window that is really drawn, into memory.
struct Canvas {
    window: Rc<MinimalSoftwareWindow>,
    now: Rc<Cell<Duration>>,
    pixels: RefCell<Vec<Rgb8Pixel>>,
}

struct Clockwork(Rc<MinimalSoftwareWindow>, Rc<Cell<Duration>>);

impl Platform for Clockwork {
    fn create_window_adapter(&self) -> Result<Rc<dyn WindowAdapter>, PlatformError> {
        Ok(self.0.clone())
    }

    fn duration_since_start(&self) -> Duration {
        self.1.get()
    }
}

impl Canvas {
    fn new() -> Self {
        let window = MinimalSoftwareWindow::new(RepaintBufferType::ReusedBuffer);
        let now = Rc::new(Cell::new(Duration::ZERO));
        slint::platform::set_platform(Box::new(Clockwork(Rc::clone(&window), Rc::clone(&now)))).unwrap();
        window.set_size(PhysicalSize::new(WIDTH, HEIGHT));
        let pixels = RefCell::new(vec![Rgb8Pixel::default(); (WIDTH * HEIGHT) as usize]);
        Self { window, now, pixels }
    }

    /// Let time pass. How often the window was drawn meanwhile.
    fn pass(&self, time: Duration) -> u32 {
        let end = self.now.get() + time;
        let mut drawn = 0;
        while self.now.get() < end {
            self.now.set(self.now.get() + Duration::from_millis(20));
            slint::platform::update_timers_and_animations();
            let draw = |renderer: &slint::platform::software_renderer::SoftwareRenderer| {
                renderer.render(&mut self.pixels.borrow_mut(), WIDTH as usize);
            };
            drawn += u32::from(self.window.draw_if_needed(draw));
        }
        drawn
    }

    fn key(&self, key: impl Into<SharedString>) {
        let text = key.into();
        self.window.dispatch_event(WindowEvent::KeyPressed { text: text.clone() });
        self.window.dispatch_event(WindowEvent::KeyReleased { text });
    }

    fn control(&self, key: char) {
        self.window.dispatch_event(WindowEvent::KeyPressed { text: Key::Control.into() });
        self.key(key);
        self.window.dispatch_event(WindowEvent::KeyReleased { text: Key::Control.into() });
    }

    fn picture(&self) -> Vec<Rgb8Pixel> {
        self.pixels.borrow().clone()
    }
}

/// How many points of two pictures differ.
fn differ(a: &[Rgb8Pixel], b: &[Rgb8Pixel]) -> usize {
    a.iter().zip(b).filter(|(a, b)| a != b).count()
}

#[test]
fn the_cursor_stands_still_after_a_while_and_nothing_is_drawn_until_a_key_comes() {
    let canvas = Canvas::new();
    let app = ui::App::new().unwrap();
    app.set_page(ui::Page::Chat);
    app.show().unwrap();
    canvas.window.dispatch_event(WindowEvent::WindowActiveChanged(true));
    let composer = app.global::<ui::Composer>();
    canvas.pass(Duration::from_secs(1));
    for (what, keys) in [("nothing", ""), ("a line", "some words"), ("lines that break", &"and more words ".repeat(30))]
    {
        keys.chars().for_each(|key| canvas.key(key));
        let text = composer.get_text();
        assert!(text.ends_with(keys), "{text}");
        // The third time that it is there: the rest of the window has settled by then.
        canvas.pass(Duration::from_millis(2_100));
        let on = canvas.picture();
        canvas.pass(Duration::from_millis(500));
        let off = canvas.picture();
        let caret = differ(&on, &off);
        assert!((10..100).contains(&caret), "{what}: a cursor of {caret} points");
        assert!(canvas.pass(Duration::from_secs(4)) >= 7, "{what}: it blinks");
        canvas.pass(Duration::from_secs(5));
        let (still, drawn) = (canvas.picture(), canvas.pass(Duration::from_secs(60)));
        println!("{what}: the cursor has {caret} points, {} are elsewhere at rest", differ(&on, &still));
        assert_eq!(drawn, 0, "{what}");
        assert!(differ(&on, &still) * 4 <= caret, "{what}: {} of {caret} points", differ(&on, &still));
        assert_eq!(composer.get_text(), text);
    }
    // What is chosen stays chosen.
    canvas.control('a');
    canvas.pass(Duration::from_millis(100));
    let chosen = canvas.picture();
    canvas.pass(Duration::from_secs(11));
    assert_eq!((differ(&chosen, &canvas.picture()), canvas.pass(Duration::from_secs(60))), (0, 0));
    canvas.key('!');
    assert_eq!(composer.get_text(), "!", "a key is not lost");
    canvas.pass(Duration::from_millis(100));
    assert!(canvas.pass(Duration::from_secs(4)) >= 7, "it blinks again");
}
