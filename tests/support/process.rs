//! Programs that tests start.
#![allow(dead_code, unreachable_pub)] // each test crate uses its part

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::ops::{Deref, DerefMut};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A process; killed when dropped.
#[derive(Debug)]
pub struct Running(pub Child);

impl Deref for Running {
    type Target = Child;

    fn deref(&self) -> &Child {
        &self.0
    }
}

impl DerefMut for Running {
    fn deref_mut(&mut self) -> &mut Child {
        &mut self.0
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    pub fn signal(&self, name: &str) {
        // The shell's own: a small system has no other.
        let kill = format!("kill -s {name} {}", self.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }
}

/// A `chatnet-server` with its database.
#[derive(Debug)]
pub struct Daemon {
    pub process: Running,
    pub addr: SocketAddr,
}

/// A server that has ended before it listened.
#[derive(Debug)]
pub struct Ended {
    pub killed: bool,
    pub said: String,
}

impl Daemon {
    /// Start one, and wait until it listens.
    pub fn start(data: &Path, args: &[&str]) -> Self {
        Self::through(&[], data, args).unwrap_or_else(|ended| panic!("it doesn't start: {ended:?}"))
    }

    /// The same, started by another program, in whose place it is then.
    pub fn through(by: &[&str], data: &Path, args: &[&str]) -> Result<Self, Ended> {
        let mut command = program(by, data);
        command.args(["--plaintext", "--host", "127.0.0.1", "--no-limits", "--log", "error"]).args(args);
        if !args.contains(&"--port") {
            command.args(["--port", "0"]);
        }
        let started = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut process = Running(started.expect("it is there; if it is strace: apt-get install strace"));
        let mut errors = process.stderr.take().unwrap();
        let said = std::thread::spawn(move || {
            let mut said = String::new();
            let _ = errors.read_to_string(&mut said);
            said
        });
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        if line.is_empty() {
            let status = process.wait().unwrap();
            return Err(Ended { killed: status.code().is_none(), said: said.join().unwrap() });
        }
        let addr = line.trim().strip_prefix("listening on ").expect("the first line says where").parse().unwrap();
        Ok(Self { process, addr })
    }

    pub fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Ask it to stop; true if it did so as it should.
    pub fn stop(mut self) -> bool {
        self.process.signal("TERM");
        self.process.wait().unwrap().success()
    }
}

/// `chatnet-server` with a data directory, perhaps started by another program.
pub fn program(by: &[&str], data: &Path) -> Command {
    let server = env!("CARGO_BIN_EXE_chatnet-server");
    let mut command = match by {
        [] => Command::new(server),
        [first, rest @ ..] => {
            let mut command = Command::new(first);
            command.args(rest).arg(server);
            command
        }
    };
    command.env_remove("CHATNET_LOG").arg("--data-dir").arg(data);
    command
}
