//! `chatnet`: the library's client as a terminal program.

#![forbid(unsafe_code)]

mod args;
#[path = "../duration.rs"]
mod duration;
#[path = "../commands/export.rs"]
mod export;
#[path = "../commands/input.rs"]
mod input;
#[path = "../options.rs"]
mod options;
#[path = "../commands/outbox.rs"]
mod outbox;
mod output;
#[path = "../commands/people.rs"]
mod people;
#[path = "../secret.rs"]
mod secret;
mod session;
mod stdin;
mod trust;

use std::io::IsTerminal;

use args::{Args, Command};
use input::Rules;
use output::{Format, Output};

fn main() {
    let args: Args = options::parse();
    options::log("chatnet", &args.log);
    if let Some(Command::Forget { server }) = &args.command {
        std::process::exit(trust::forget(server));
    }
    let terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    let format = match (args.json, args.plain || !terminal) {
        (true, _) => Format::Json,
        (false, true) => Format::Plain,
        (false, false) => Format::Terminal,
    };
    // Before stdin is read for anything else.
    let who = match session::who(&args) {
        Ok(who) => who,
        Err(e) => {
            eprintln!("chatnet: {e}");
            std::process::exit(2);
        }
    };
    let input = stdin::Input::new(Rules { json: args.json, commands: !args.no_commands });
    let mut output = Output::new(format);
    let (exit, message) = async_std::task::block_on(session::run(&args, who, input, &mut output));
    if let Some(message) = message {
        eprintln!("chatnet: {}", chatnet::text::display_line(&message));
    }
    // The thread that reads stdin can't be asked to stop; the process ends without it.
    std::process::exit(exit as i32);
}
