//! The programs from outside: real processes, pipes, signals, kills.
#![cfg(all(feature = "server", feature = "cli", unix))]

#[path = "support/process.rs"]
mod process;

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use async_std::task::block_on;
use chatnet::{Limits, Rate};
use process::Running;
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(30);

/// Where programs keep things between runs.
fn state() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("state")
}

/// A program with its pipes; killed when dropped.
struct Program {
    child: Running,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
    errors: Option<ChildStderr>,
}

fn start(program: &str, args: &[&str]) -> Program {
    let mut child = Command::new(program)
        .args(args)
        .env_remove("CHATNET_LOG")
        .env("XDG_STATE_HOME", state())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (sender, lines) = channel();
    let output: ChildStdout = child.stdout.take().unwrap();
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines() {
            let Ok(line) = line else { return };
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    Program { input: child.stdin.take(), errors: child.stderr.take(), lines, child: Running(child) }
}

impl Program {
    fn line(&self) -> String {
        self.lines.recv_timeout(PATIENCE).expect("a line comes")
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.line()).unwrap()
    }

    /// The next object with this event; others are passed over.
    fn event(&self, event: &str) -> Value {
        loop {
            let object = self.json();
            if object["event"] == event {
                return object;
            }
        }
    }

    fn say(&mut self, line: &str) {
        writeln!(self.input.as_mut().unwrap(), "{line}").unwrap();
    }

    /// End its input and wait.
    fn end(&mut self) -> ExitStatus {
        self.input = None;
        self.child.wait().unwrap()
    }

    fn stderr(&mut self) -> String {
        let mut text = String::new();
        self.errors.take().unwrap().read_to_string(&mut text).unwrap();
        text
    }

    fn signal(&self, name: &str) {
        self.child.signal(name);
    }
}

struct Server {
    program: Program,
    port: String,
}

fn server() -> Server {
    server_at("0", &["--memory"])
}

fn server_at(port: &str, args: &[&str]) -> Server {
    let args = [&["--plaintext", "--host", "127.0.0.1", "--port", port], args].concat();
    let program = start(env!("CARGO_BIN_EXE_chatnet-server"), &args);
    let line = program.line();
    let port = line.strip_prefix("listening on 127.0.0.1:").expect("the first line says where").to_owned();
    Server { program, port }
}

impl Server {
    fn chatnet(&self, args: &[&str]) -> Program {
        start(env!("CARGO_BIN_EXE_chatnet"), &[&["--plaintext", "--port", &self.port], args].concat())
    }

    fn json(&self, name: &str) -> Program {
        self.json_with(name, &[])
    }

    fn json_with(&self, name: &str, args: &[&str]) -> Program {
        let program = self.chatnet(&[&["--json", "--name", name], args].concat());
        let connected = program.event("connected");
        assert_eq!((connected["alias"].as_str(), connected["room"].as_str()), (Some(name), Some("lobby")));
        program
    }
}

#[test]
fn what_one_says_two_others_print_once_and_in_order_and_the_sender_only_its_acks() {
    let server = server();
    let mut ada = server.json("ada");
    let (bob, eve) = (server.json("bob"), server.json("eve"));
    for i in 1..=20 {
        ada.say(&format!("line {i}"));
    }
    for reader in [&bob, &eve] {
        for i in 1..=20 {
            let message = reader.event("message");
            assert_eq!(message["text"], format!("line {i}"));
            assert_eq!(
                (&message["seq"], &message["from"], &message["source"]),
                (&i.into(), &"ada".into(), &"live".into())
            );
            assert!(message["at"].as_str().unwrap().ends_with('Z'));
        }
    }
    assert!(ada.end().success());
    let rest: Vec<Value> = ada.lines.iter().map(|line| serde_json::from_str(&line).unwrap()).collect();
    let acks: Vec<_> = rest.iter().filter(|o| o["event"] == "ack").map(|o| o["text"].as_str().unwrap()).collect();
    assert_eq!(acks, (1..=20).map(|i| format!("line {i}")).collect::<Vec<_>>());
    assert!(rest.iter().all(|o| o["event"] != "message"));
    assert_eq!(rest.last().unwrap()["state"], "closed");
    assert_eq!(bob.event("left")["alias"], "ada");
}

#[test]
fn a_hundred_thousand_piped_lines_arrive_complete() {
    pipe(100_000, &server_at("0", &["--memory", "--no-limits"]).port);
}

/// A limit is a pace: nothing is lost by it, and nothing overtakes.
#[test]
fn ten_thousand_piped_lines_arrive_complete_at_the_pace_that_the_server_allows() {
    let mut limits = Limits::default();
    limits.session.messages = Rate::per_second(2000, 1000);
    let server = block_on(chatnet::Server::builder().limits(limits).bind("127.0.0.1:0")).unwrap();
    let port = server.local_addr().unwrap().port().to_string();
    let serving = async_std::task::spawn(server.serve());
    let begun = Instant::now();
    pipe(10_000, &port);
    assert!(
        begun.elapsed() > Duration::from_millis(4400),
        "a burst of 1,000, and 2,000 a second: {:?}",
        begun.elapsed()
    );
    block_on(serving.cancel());
}

fn pipe(count: usize, port: &str) {
    let chatnet =
        |args: &[&str]| start(env!("CARGO_BIN_EXE_chatnet"), &[&["--plaintext", "--port", port], args].concat());
    let bob = chatnet(&["--json", "--name", "bob"]);
    bob.event("connected");
    let mut ada = chatnet(&["--plain", "--name", "ada"]);
    let mut input = ada.input.take().unwrap();
    std::thread::spawn(move || {
        for i in 0..count {
            writeln!(input, "line {i}").unwrap();
        }
    });
    for i in 0..count {
        let message = bob.event("message");
        assert_eq!(message["text"], format!("line {i}"));
        assert_eq!(message["seq"], i + 1);
    }
    assert!(ada.child.wait().unwrap().success());
}

#[test]
fn ids_rooms_and_slashes() {
    let server = server();
    let mut ada = server.json("ada");
    let bob = server.json("bob");
    ada.say(r#"{"send":"two\nlines","id":{"n":1}}"#);
    ada.say("//not a command");
    ada.say("/nonsense");
    ada.say("/join den");
    ada.say("in the den");
    ada.say(r#"{"send":"in the lobby","room":"lobby","id":"x"}"#);
    ada.say(r#"{"send":"nowhere","room":"attic"}"#);
    // One of them was for a room that she is not in.
    assert_eq!(ada.end().code(), Some(4));
    let told: Vec<Value> = ada.lines.iter().map(|line| serde_json::from_str(&line).unwrap()).collect();
    let ack = |text: &str| told.iter().find(|o| o["event"] == "ack" && o["text"] == text).unwrap();
    assert_eq!(ack("two\nlines")["id"]["n"], 1);
    assert_eq!(ack("/not a command").get("id"), None);
    assert_eq!((&ack("in the den")["room"], &ack("in the den")["seq"]), (&"den".into(), &1.into()));
    assert_eq!((&ack("in the lobby")["room"], &ack("in the lobby")["id"]), (&"lobby".into(), &"x".into()));
    let errors: Vec<_> = told.iter().filter(|o| o["event"] == "error").map(|o| o["code"].as_str().unwrap()).collect();
    assert_eq!(errors, ["usage", "not_a_member"]);
    let heard: Vec<_> = (0..3).map(|_| bob.event("message")["text"].as_str().unwrap().to_owned()).collect();
    assert_eq!(heard, ["two\nlines", "/not a command", "in the lobby"]);
}

#[test]
fn quit_waits_for_the_acks_and_no_commands_takes_it_for_a_text() {
    let server = server();
    let bob = server.json("bob");
    let mut ada = server.chatnet(&["--name", "ada"]);
    ada.say("one");
    ada.say("/quit");
    assert!(ada.child.wait().unwrap().success());
    let mut eve = server.chatnet(&["--no-commands", "--name", "eve"]);
    eve.say("/quit");
    assert!(eve.end().success());
    assert_eq!(bob.event("message")["text"], "one");
    assert_eq!(bob.event("message")["text"], "/quit");
}

#[test]
fn a_script_is_told_which_of_its_texts_was_not_sent_and_the_exit_code_says_so_too() {
    let server = server();
    let mut ada = server.json("ada");
    ada.say(r#"{"send":"hello","room":"nowhere","id":7}"#);
    let error = ada.event("error");
    assert_eq!((&error["id"], &error["room"], &error["text"]), (&7.into(), &"nowhere".into(), &"hello".into()));
    assert_eq!(ada.end().code(), Some(4));
}

#[test]
fn plain_lines_can_not_be_forged() {
    let server = server();
    let mut bob = server.chatnet(&["--name", "bob"]);
    assert_eq!(bob.line(), "* connected as bob, in lobby");
    let mut ada = server.json("ada");
    ada.say(r#"{"send":"hi\n[lobby] eve: forged"}"#);
    ada.event("ack");
    let lines: Vec<_> =
        std::iter::from_fn(|| Some(bob.line())).skip_while(|l| !l.starts_with("[lobby]")).take(2).collect();
    assert_eq!(lines, ["[lobby] ada: hi", "    | [lobby] eve: forged"]);
    assert!(bob.end().success());
}

#[test]
fn each_failure_has_its_exit_code_and_says_what_to_do() {
    let server = server();
    let _ada = server.json("ada");
    let mut usage = start(env!("CARGO_BIN_EXE_chatnet"), &["--port", "x"]);
    assert_eq!(usage.child.wait().unwrap().code(), Some(2));
    let mut nobody = start(env!("CARGO_BIN_EXE_chatnet"), &["--plaintext", "--port", "1"]);
    assert_eq!(nobody.child.wait().unwrap().code(), Some(3));
    let said = nobody.stderr();
    assert!(said.contains("is a server running there?"));
    assert!(nobody.lines.iter().all(|line| !said.contains(&line)), "what is fatal is told once");
    for (args, why) in [
        (["--port", "99999"], "from 0 to 65535"),
        (["--log", "nonsense"], "error, warn, info, debug or trace"),
        (["--account", "ada"], "stdin is at its end"),
    ] {
        let mut wrong = start(env!("CARGO_BIN_EXE_chatnet"), &args);
        assert_eq!(wrong.end().code(), Some(2), "{args:?}");
        assert!(wrong.stderr().contains(why), "{args:?}");
    }
    let mut taken = server.chatnet(&["--name", "ada"]);
    assert_eq!(taken.child.wait().unwrap().code(), Some(4));
    assert!(taken.stderr().contains("ada2"));
    let mut wrong = server.chatnet(&["--json", "--name", "a\u{202e}b"]);
    assert_eq!(wrong.event("error")["code"], "alias_invalid");
    assert_eq!(wrong.child.wait().unwrap().code(), Some(4));
}

#[test]
fn a_killed_server_is_a_lost_connection_and_what_was_not_sent_is_counted() {
    let mut server = server();
    let mut ada = server.json_with("ada", &["--no-reconnect"]);
    server.program.signal("STOP");
    ada.say("into the void");
    // The line has to be in the outbox before the server dies: the next one's error tells that it was read.
    ada.say("/nonsense");
    ada.event("error");
    server.program.child.kill().unwrap();
    assert_eq!(ada.child.wait().unwrap().code(), Some(5));
    assert!(ada.stderr().contains("1 message was not acknowledged"));
}

#[test]
fn a_server_that_is_killed_between_lines_is_waited_for_and_what_was_typed_meanwhile_arrives() {
    let mut server = server();
    let mut ada = server.json("ada");
    ada.say("one");
    ada.event("ack");
    server.program.child.kill().unwrap();
    server.program.child.wait().unwrap();
    let lost = ada.event("state");
    assert_eq!((&lost["state"], &lost["attempt"]), (&"reconnecting".into(), &1.into()));
    assert!(lost["delay_ms"].is_u64());
    ada.say("two");
    let server = server_at(&server.port, &["--memory"]);
    // A memory store is another one then: the session is a new one, and what was typed is sent in it.
    ada.event("session_lost");
    ada.event("connected");
    assert_eq!(ada.event("state")["state"], "connected");
    let ack = ada.event("ack");
    assert_eq!((&ack["text"], &ack["seq"]), (&"two".into(), &1.into()));
    assert!(ada.end().success());
    drop(server);
}

#[test]
fn with_a_server_that_is_killed_again_and_again_between_lines_the_exact_sequence_arrives() {
    let data = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("data-{}", std::process::id()));
    let data = data.to_str().unwrap();
    let _ = std::fs::remove_dir_all(data);
    let mut server = server_at("0", &["--data-dir", data]);
    let (mut ada, bob) = (server.json("ada"), server.json("bob"));
    for i in 0..6 {
        ada.say(&format!("line {i}"));
        if i % 2 == 0 {
            ada.event("ack");
        }
        server.program.child.kill().unwrap();
        server.program.child.wait().unwrap();
        ada.say(&format!("line {i} again"));
        server = server_at(&server.port, &["--data-dir", data]);
    }
    let heard: Vec<_> = (0..12).map(|_| bob.event("message")).collect();
    let texts: Vec<_> = heard.iter().map(|m| m["text"].as_str().unwrap().to_owned()).collect();
    assert_eq!(texts, (0..6).flat_map(|i| [format!("line {i}"), format!("line {i} again")]).collect::<Vec<_>>());
    assert!(heard.iter().map(|m| m["seq"].as_u64().unwrap()).eq(1..=12));
    assert!(ada.end().success());
    drop(server);
    std::fs::remove_dir_all(data).unwrap();
}

#[test]
fn whoever_gives_up_says_what_was_not_sent() {
    let mut server = server();
    let mut ada = server.json_with("ada", &["--give-up", "1", "--no-outbox"]);
    server.program.signal("STOP");
    ada.say("into the void");
    ada.say("/nonsense");
    ada.event("error");
    server.program.child.kill().unwrap();
    assert_eq!(ada.child.wait().unwrap().code(), Some(5));
    assert!(ada.stderr().contains("1 message was not acknowledged"));
}

#[test]
fn what_was_typed_before_a_crash_is_sent_after_it_once() {
    let server = server();
    let bob = server.json("bob");
    let mut ada = server.json("ada");
    ada.say("before");
    ada.event("ack");
    server.program.signal("STOP");
    ada.say("into the void");
    let kept = state().join("chatnet/outbox").join(format!("127%2e0%2e0%2e1_{}_ada", server.port));
    while !String::from_utf8_lossy(&std::fs::read(&kept).unwrap()).contains("into the void") {
        std::thread::yield_now();
    }
    ada.child.kill().unwrap();
    ada.child.wait().unwrap();
    server.program.signal("CONT");
    let mut ada = server.json("ada");
    let ack = ada.event("ack");
    assert_eq!((&ack["text"], &ack["seq"]), (&"into the void".into(), &2.into()));
    ada.say("after");
    assert!(ada.end().success());
    assert!(ada.stderr().contains("1 unsent message of last time is being sent"));
    let heard: Vec<_> = (0..3).map(|_| bob.event("message")["text"].as_str().unwrap().to_owned()).collect();
    assert_eq!(heard, ["before", "into the void", "after"]);
}

#[test]
fn the_past_is_shown_and_searched() {
    let server = server();
    let mut ada = server.json("ada");
    for i in 1..=30 {
        ada.say(&format!("line {i} {}", if i % 10 == 0 { "tea" } else { "" }));
    }
    ada.say("/history 2");
    ada.say("/search TEA");
    ada.say("/history x");
    assert!(ada.end().success());
    let told: Vec<Value> = ada.lines.iter().map(|line| serde_json::from_str(&line).unwrap()).collect();
    let past: Vec<_> = told.iter().filter(|o| o["event"] == "message").collect();
    assert!(past.iter().all(|m| m["source"] == "history" && m["own"] == true), "{past:?}");
    assert_eq!(told.iter().filter(|o| o["event"] == "history").count(), 1);
    assert!(told.iter().any(|o| o["event"] == "search"));

    let mut bob = server.chatnet(&["--name", "bob", "--history", "2"]);
    bob.say("/search tea");
    bob.say("/quit");
    assert!(bob.child.wait().unwrap().success());
    let lines: Vec<String> = bob.lines.iter().collect();
    let at = lines.iter().position(|line| line == "~ #29 [lobby] ada: line 29 ").unwrap();
    assert_eq!(lines[at + 1], "~ #30 [lobby] ada: line 30 tea");
    let hits: Vec<_> = lines.iter().filter(|line| line.starts_with("~ ") && line.ends_with(" tea")).skip(1).collect();
    assert_eq!(hits.len(), 3, "{lines:?}");
    assert!(hits[0].ends_with("line 30 tea") && hits[2].ends_with("line 10 tea"));
}

#[test]
fn a_signal_says_goodbye_and_a_second_one_ends_at_once() {
    let mut server = server();
    let ada = server.json_with("ada", &["--no-reconnect"]);
    server.program.signal("TERM");
    assert_eq!(ada.event("error")["code"], "shutting_down");
    assert!(server.program.child.wait().unwrap().success());

    let mut server = self::server();
    let mut frozen = server.json_with("frozen", &["--no-reconnect"]);
    frozen.signal("STOP");
    server.program.signal("INT");
    let mut log = BufReader::new(server.program.errors.take().unwrap());
    let mut line = String::new();
    while !line.contains("again to stop at once") {
        line.clear();
        assert!(log.read_line(&mut line).unwrap() > 0, "the log says that the server is stopping");
    }
    server.program.signal("INT");
    assert_eq!(server.program.child.wait().unwrap().code(), Some(130));
    frozen.signal("CONT");
    assert_eq!(frozen.child.wait().unwrap().code(), Some(5));
}

#[test]
fn the_server_says_what_is_wrong_and_logs_who_but_not_what() {
    let mut server = server();
    let mut second = start(
        env!("CARGO_BIN_EXE_chatnet-server"),
        &["--memory", "--plaintext", "--host", "127.0.0.1", "--port", &server.port],
    );
    assert_eq!(second.child.wait().unwrap().code(), Some(3));
    assert!(second.stderr().contains("in use by another program"));
    let mut bad = start(env!("CARGO_BIN_EXE_chatnet-server"), &["--memory", "--plaintext", "--heartbeat", "0"]);
    assert_eq!(bad.child.wait().unwrap().code(), Some(3));
    assert!(bad.stderr().contains("heartbeat is out of range"));
    let mut ada = server.json("ada");
    ada.say("a secret text");
    let session = ada.event("ack");
    assert_eq!(session["seq"], 1);
    assert!(ada.end().success());
    server.program.signal("TERM");
    server.program.child.wait().unwrap();
    let log = server.program.stderr();
    for word in ["connected", "session began", "joined", "session ended", "session=", "address=127.0.0.1:"] {
        assert!(log.contains(word), "the log lacks {word:?}:\n{log}");
    }
    assert!(!log.contains("a secret text"));
}

#[test]
fn on_a_terminal_it_is_a_line_interface() {
    let server = server();
    let mut ada = server.json("ada");
    // `script` gives the program a terminal of its own.
    let command = format!("{} --plaintext --port {} --name bob", env!("CARGO_BIN_EXE_chatnet"), server.port);
    let mut bob = start("script", &["-qec", &command, "/dev/null"]);
    ada.event("joined");
    ada.say("hello terminal");
    let line = std::iter::from_fn(|| Some(bob.line())).find(|line| line.contains("hello terminal")).unwrap();
    assert!(line.contains("[lobby] ada: hello terminal") && line.as_bytes()[2] == b':', "{line}");
    bob.say("hello yourself");
    assert_eq!(ada.event("message")["text"], "hello yourself");
    bob.say("/quit");
    assert!(bob.child.wait().unwrap().success());
}

#[test]
fn a_running_server_is_checked_and_backed_up_and_its_backup_restored_elsewhere() {
    let dir = std::env::temp_dir().join(format!("chatnet-cli-{}", chatnet::SessionId::random()));
    let path = |name: &str| dir.join(name).to_str().unwrap().to_owned();
    std::fs::create_dir(&dir).unwrap();
    let (data, other, copy) = (path("data"), path("other"), path("copy"));
    let run = |args: &[&str], code: i32| {
        let mut program = start(env!("CARGO_BIN_EXE_chatnet-server"), args);
        let status = program.child.wait().unwrap();
        let said = program.lines.iter().collect::<Vec<_>>().join("\n") + &program.stderr();
        assert_eq!(status.code(), Some(code), "{args:?}: {said}");
        said
    };
    let serve = ["--plaintext", "--host", "127.0.0.1", "--port", "0", "--data-dir", &data];
    assert!(run(&["check", "--data-dir", &data], 3).contains("there is no"));
    let program = start(env!("CARGO_BIN_EXE_chatnet-server"), &serve);
    let port = program.line().strip_prefix("listening on 127.0.0.1:").unwrap().to_owned();
    let mut server = Server { program, port };
    let mut ada = server.json("ada");
    ada.say("kept");
    assert_eq!(ada.event("ack")["seq"], 1);
    assert!(run(&["check", "--data-dir", &data], 0).contains("sound"));
    assert!(run(&["--data-dir", &data, "backup", &copy], 0).contains("tls-key.pem"));
    assert!(run(&["--data-dir", &data, "backup", &copy], 3).contains("there already"));
    assert!(run(&["--data-dir", &data, "restore", &copy], 3).contains("runs with this --data-dir"));
    assert!(run(&serve, 3).contains("runs with this --data-dir"));
    let mode = |path: &str| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    for name in ["chatnet.db", "chatnet.db-wal", "chatnet.db-shm", "chatnet.db-lock"] {
        assert_eq!(mode(&format!("{data}/{name}")), 0o600, "{name}");
    }
    assert_eq!(mode(&copy), 0o600);
    server.program.child.kill().unwrap();
    server.program.child.wait().unwrap();
    assert!(run(&["check", "--data-dir", &data], 0).contains("1 event"));
    assert!(run(&["restore", &path("nofile"), "--data-dir", &other], 3).contains("there is no "));
    std::fs::write(path("broken"), [0xa5; 8192]).unwrap();
    assert!(run(&["restore", &path("broken"), "--data-dir", &other], 3).contains("this backup is damaged"));
    assert!(run(&["restore", &copy, "--data-dir", &other], 0).contains("tls-key.pem"));
    assert!(run(&["check", "--data-dir", &other], 0).contains("1 event"));
    assert!(run(&["--data-dir", &other, "restore", &copy], 3).contains("there already"));
    std::fs::write(format!("{other}/chatnet.db"), [0xa5; 8192]).unwrap();
    let said = run(&["check", "--data-dir", &other], 1);
    assert!(said.contains("chatnet.db* away, then: chatnet-server restore FILE"), "{said}");
    for zero in ["--max-connections", "--max-connections-per-address", "--keep-days"] {
        assert!(run(&[zero, "0"], 2).contains("at least 1"));
    }
    assert!(run(&["--log", "nonsense"], 2).contains("error, warn, info"));
    assert!(run(&["--durability", "perhaps"], 2).contains("normal"));
    std::fs::remove_dir_all(&dir).unwrap();
}
