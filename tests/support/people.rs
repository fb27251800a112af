//! `chatnet-server` and `chatnet` as processes, for stories about people.
#![allow(dead_code, unreachable_pub)] // each test crate uses its part

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::Value;

use super::process::Running;

const PATIENCE: Duration = Duration::from_secs(30);
pub const PASSWORD: &str = "correct horse";

/// A program with its pipes; killed when dropped.
#[derive(Debug)]
pub struct Program {
    pub child: Running,
    pub input: ChildStdin,
    pub lines: Receiver<String>,
}

pub fn start(program: &str, args: &[&str]) -> Program {
    let mut child = Command::new(program)
        .args(args)
        .env_remove("CHATNET_LOG")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let (sender, lines) = channel();
    let output = child.stdout.take().unwrap();
    std::thread::spawn(move || {
        BufReader::new(output).lines().map_while(Result::ok).try_for_each(|line| sender.send(line)).ok();
    });
    Program { input: child.stdin.take().unwrap(), lines, child: Running(child) }
}

impl Program {
    pub fn line(&self) -> String {
        self.lines.recv_timeout(PATIENCE).expect("a line comes")
    }

    /// The next object that fits; others are passed over.
    pub fn until(&self, fits: impl Fn(&Value) -> bool) -> Value {
        loop {
            let object: Value = serde_json::from_str(&self.line()).unwrap();
            if fits(&object) {
                return object;
            }
        }
    }

    pub fn event(&self, event: &str) -> Value {
        self.until(|object| object["event"] == event)
    }

    pub fn say(&mut self, line: &str) {
        writeln!(self.input, "{line}").unwrap();
    }
}

#[derive(Debug)]
pub struct Server {
    pub program: Program,
    pub port: String,
    pub dir: String,
}

pub fn serve(dir: &Path) -> Server {
    serve_with("open", dir)
}

pub fn serve_with(registration: &str, dir: &Path) -> Server {
    let dir = dir.to_str().unwrap().to_owned();
    let args =
        ["--plaintext", "--host", "127.0.0.1", "--port", "0", "--registration", registration, "--data-dir", &dir];
    let program = start(env!("CARGO_BIN_EXE_chatnet-server"), &args);
    let line = program.line();
    let port = line.strip_prefix("listening on 127.0.0.1:").expect("the first line says where").to_owned();
    Server { program, port, dir }
}

impl Server {
    /// Somebody with an account; `more` is `--register`, or nothing.
    pub fn account(&self, alias: &str, more: &[&str]) -> Program {
        let args = [&["--plaintext", "--json", "--port", &self.port, "--account", alias], more].concat();
        let mut program = start(env!("CARGO_BIN_EXE_chatnet"), &args);
        program.say(PASSWORD);
        assert_eq!(program.event("connected")["alias"], alias);
        program
    }

    pub fn admin(&self, args: &[&str]) -> (bool, String) {
        let given = [&["admin"], args, &["--data-dir", &self.dir]].concat();
        let out = Command::new(env!("CARGO_BIN_EXE_chatnet-server")).args(given).stdin(Stdio::null()).output().unwrap();
        (
            out.status.success(),
            String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr),
        )
    }

    pub fn stop(mut self) {
        self.program.child.signal("TERM");
        assert!(self.program.child.wait().unwrap().success());
    }
}
