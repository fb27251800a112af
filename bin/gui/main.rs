//! `chatnet-gui`: the library's client as a desktop program.

mod adapters;
mod app;
mod args;
#[path = "../duration.rs"]
mod duration;
#[path = "../commands/export.rs"]
mod export;
mod fonts;
#[path = "../commands/input.rs"]
#[allow(dead_code, reason = "a window reads no lines")]
mod input;
mod model;
mod net;
mod notify;
#[path = "../options.rs"]
#[allow(dead_code, reason = "a window has fewer options")]
mod options;
#[path = "../commands/outbox.rs"]
mod outbox;
#[path = "../commands/people.rs"]
mod people;
mod renderer;
mod settings;
#[cfg(all(test, feature = "gui-testing"))]
mod tests;
mod watch;

/// What `ui/` becomes. Its names and visibilities are Slint's to choose.
#[allow(missing_docs, missing_debug_implementations, unreachable_pub, clippy::all, clippy::todo)]
mod ui {
    slint::include_modules!();
}

use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use app::{App, Places};
use args::Args;
use chatnet::trust::KnownServers;
use model::{Event, State, Ui};
use slint::ComponentHandle;
use watch::Watch;

/// How long what was typed may take to be acknowledged when the window closes; the outbox on disk keeps the rest.
const LAST_WORDS: Duration = Duration::from_secs(3);

fn main() {
    let args: Args = options::parse();
    options::log("chatnet-gui", &args.log);
    if let Err(e) = run(&args) {
        eprintln!(
            "chatnet-gui: no window can be opened: {e}. Is there a display? SLINT_BACKEND=winit-software needs no GL"
        );
        std::process::exit(1);
    }
}

fn run(args: &Args) -> Result<(), slint::PlatformError> {
    let begun = Instant::now();
    let places = Places { settings: settings::default_file(), known: KnownServers::default_path().ok(), outbox: true };
    let (kept, told) = places.settings.as_deref().map(settings::load).unwrap_or_default();
    let mut state = State::new(kept, local_offset, now());
    let at_once = prefill(&mut state, args);
    let renderer = renderer::choose()?;
    let window = ui::App::new()?;
    let families = fonts::set_up(renderer);
    window.global::<ui::Theme>().set_emoji_family(families.emoji.into());
    window.global::<ui::Theme>().set_mono_family(families.mono.into());
    let spawner = Box::new(|future| {
        if let Err(e) = slint::spawn_local(future) {
            tracing::error!("nothing can be done any more: {e}");
        }
    });
    let app = App::new(window, state, places, spawner, now);
    if let Some(told) = told {
        app.handle(Event::Net(model::Net::Trouble(told)));
    }
    if at_once {
        let form = app.state.borrow().connect.form.clone();
        app.handle(Event::Ui(Ui::Connect(form)));
    }
    follow(&app, Watch::new(begun));
    app.window().run()?;
    if let Some(client) = app.close() {
        async_std::task::block_on(async {
            if client.state() == chatnet::ClientState::Connected {
                let _ = async_std::future::timeout(LAST_WORDS, client.flush()).await;
            }
            let _ = async_std::future::timeout(LAST_WORDS, client.close()).await;
        });
    }
    Ok(())
}

/// What the command line says stands in the dialog. Whether that is enough to connect.
fn prefill(state: &mut State, args: &Args) -> bool {
    let Some(server) = &args.server else {
        if let Some(alias) = args.alias.clone() {
            state.prefill(|form| form.alias = alias);
        }
        return false;
    };
    state.prefill(|form| {
        (form.host, form.port) = (server.host().to_owned(), server.port().to_string());
        (form.use_account, form.secure) = (false, !args.plaintext);
        form.alias = args.alias.clone().unwrap_or_default();
    });
    args.alias.is_some()
}

/// Tell the model when the window gets or loses the keyboard, and the watch when it is drawn.
fn follow(app: &Rc<App>, watch: Watch) {
    use slint::winit_030::{EventResult, WinitWindowAccessor, winit::event::WindowEvent};
    let weak = Rc::downgrade(app);
    app.window().window().on_winit_window_event(move |_, event| {
        match (event, weak.upgrade()) {
            (WindowEvent::Focused(focused), Some(app)) => app.handle(Event::Focus(*focused)),
            (WindowEvent::RedrawRequested, _) => watch.drawing(),
            _ => {}
        }
        EventResult::Propagate
    });
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// How many seconds to add to universal time here, at that moment.
fn local_offset(at: i64) -> i32 {
    let at = jiff::Timestamp::from_millisecond(at).unwrap_or_default();
    jiff::tz::TimeZone::system().to_offset(at).seconds()
}
