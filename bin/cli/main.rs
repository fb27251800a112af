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
mod secret;
mod session;
mod trust;

use std::io::IsTerminal;

use args::{Args, Command};
use input::Rules;
use output::{Format, Output};
use structopt::StructOpt;

fn main() {
    let args = Args::from_args_safe().unwrap_or_else(|e| {
        let code = if e.use_stderr() { 2 } else { 0 };
        if code == 2 {
            eprintln!("{}", e.message)
        } else {
            println!("{}", e.message)
        }
        std::process::exit(code)
    });
    match options::filter(&args.log) {
        Ok(filter) => {
            tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false).init();
        }
        Err(e) => {
            eprintln!("chatnet: --log {}: {e}", args.log);
            std::process::exit(2);
        }
    }
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
    let actions = input::lines(Rules { json: args.json, commands: !args.no_commands });
    let mut output = Output::new(format);
    let (exit, message) = async_std::task::block_on(session::run(&args, who, actions, &mut output));
    if let Some(message) = message {
        eprintln!("chatnet: {}", chatnet::text::display_line(&message));
    }
    // The thread that reads stdin can't be asked to stop; the process ends without it.
    std::process::exit(exit as i32);
}
