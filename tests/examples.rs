//! The examples run, and do what they say.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};

use async_std::task::block_on;
use chatnet::{Client, Event, Events};
use futures::StreamExt;

/// A running example; killed when dropped.
struct Example {
    child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Example {
    fn start(name: &str, args: &[&str]) -> Self {
        // `cargo test` builds the examples, next to the directory of the tests; `cargo test --test examples` doesn't.
        let mut path: PathBuf = std::env::current_exe().unwrap();
        path.pop();
        path.pop();
        let path = path.join("examples").join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
        if !path.exists() {
            assert!(Command::new(env!("CARGO")).args(["build", "--example", name]).status().unwrap().success());
        }
        let mut child = Command::new(path).args(args).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    fn line(&mut self) -> String {
        self.lines.next().expect("the example prints a line").unwrap()
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn message(events: &mut Events) -> (String, String) {
    while let Some(event) = events.next().await {
        if let Event::Message(message) = event {
            return (message.from.alias, message.text);
        }
    }
    panic!("the events ended")
}

#[test]
fn the_word_filter_filters_and_the_echo_bot_echoes() {
    let mut server = Example::start("word_filter", &["127.0.0.1:0", "darn"]);
    let addr = server.line().strip_prefix("listening on ").unwrap().to_owned();
    let mut bot = Example::start("echo_bot", &[&addr]);
    assert_eq!(bot.line(), "here as echo");
    block_on(async {
        let (ada, mut events) = Client::builder().alias("ada").connect(&addr).await.unwrap();
        let acked = ada.room().unwrap().send("echo, darn it").await.unwrap().await.unwrap();
        assert_eq!(acked.replaced.as_deref(), Some("echo, **** it"));
        assert_eq!(message(&mut events).await, ("echo".into(), "ada: **** it".into()));
    });
    drop(server);
    assert!(bot.line().starts_with("the connection"), "it tries to come back");
}

#[test]
fn a_server_and_its_clients_live_in_one_process() {
    let mut example = Example::start("same_process", &[]);
    assert_eq!(example.line(), "bob hears ada: hello, neighbour");
    assert!(example.child.wait().unwrap().success());
}

#[test]
fn each_example_is_short() {
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/examples")).unwrap() {
        let path = entry.unwrap().path();
        assert!(std::fs::read_to_string(&path).unwrap().lines().count() < 60, "{}", path.display());
    }
}
