//! The programs from outside: real processes, pipes, signals, kills.
#![cfg(all(feature = "server", feature = "cli", unix))]

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(30);

/// A program with its pipes; killed when dropped.
struct Program {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
    errors: Option<ChildStderr>,
}

fn start(program: &str, args: &[&str]) -> Program {
    let mut child = Command::new(program)
        .args(args)
        .env_remove("CHATNET_LOG")
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
    Program { input: child.stdin.take(), errors: child.stderr.take(), lines, child }
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
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Server {
    program: Program,
    port: String,
}

fn server() -> Server {
    let program =
        start(env!("CARGO_BIN_EXE_chatnet-server"), &["--memory", "--plaintext", "--host", "127.0.0.1", "--port", "0"]);
    let line = program.line();
    let port = line.strip_prefix("listening on 127.0.0.1:").expect("the first line says where").to_owned();
    Server { program, port }
}

impl Server {
    fn chatnet(&self, args: &[&str]) -> Program {
        start(env!("CARGO_BIN_EXE_chatnet"), &[&["--plaintext", "--port", &self.port], args].concat())
    }

    fn json(&self, name: &str) -> Program {
        let program = self.chatnet(&["--json", "--name", name]);
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
    const COUNT: usize = 100_000;
    let server = server();
    let bob = server.json("bob");
    let mut ada = server.chatnet(&["--plain", "--name", "ada"]);
    let mut input = ada.input.take().unwrap();
    std::thread::spawn(move || {
        for i in 0..COUNT {
            writeln!(input, "line {i}").unwrap();
        }
    });
    for i in 0..COUNT {
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
    assert!(ada.end().success());
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
    assert!(nobody.stderr().contains("is a server running there?"));
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
    let mut ada = server.json("ada");
    server.program.signal("STOP");
    ada.say("into the void");
    // The line has to be in the outbox before the server dies: the next one's error tells that it was read.
    ada.say("/nonsense");
    ada.event("error");
    server.program.child.kill().unwrap();
    assert_eq!(ada.child.wait().unwrap().code(), Some(5));
    assert!(ada.stderr().contains("1 messages were not acknowledged"));
}

#[test]
fn a_signal_says_goodbye_and_a_second_one_ends_at_once() {
    let mut server = server();
    let ada = server.json("ada");
    server.program.signal("TERM");
    assert_eq!(ada.event("error")["code"], "shutting_down");
    assert!(server.program.child.wait().unwrap().success());

    let mut server = self::server();
    let mut frozen = server.json("frozen");
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
    run(&["--data-dir", &data, "backup", &copy], 0);
    assert!(run(&["--data-dir", &data, "backup", &copy], 3).contains("there already"));
    assert!(run(&["--data-dir", &data, "restore", &copy], 3).contains("in use by another process"));
    assert!(run(&serve, 3).contains("in use by another process"));
    server.program.child.kill().unwrap();
    server.program.child.wait().unwrap();
    assert!(run(&["check", "--data-dir", &data], 0).contains("1 events"));
    run(&["restore", &copy, "--data-dir", &other], 0);
    assert!(run(&["check", "--data-dir", &other], 0).contains("1 events"));
    assert!(run(&["--data-dir", &other, "restore", &copy], 3).contains("there already"));
    assert!(run(&["--durability", "perhaps"], 2).contains("normal"));
    std::fs::remove_dir_all(&dir).unwrap();
}
