//! Many at once, against the real server program: a crowd, hostile peers, too few file descriptors.
#![cfg(all(feature = "server", feature = "cli", target_os = "linux"))]

#[path = "../support/process.rs"]
mod process;
#[path = "../support/mod.rs"]
mod support;

mod connections;
mod crowd;
mod descriptors;
mod flood;
mod hostile;
mod logins;
mod stalled;

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use process::Running;
use support::PATIENCE;

/// These tests measure: one at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Let this process, and those it starts, have as many file descriptors as they may.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
}

/// A program with its pipes, killed when dropped.
struct Program {
    child: Running,
    input: Option<ChildStdin>,
    out: Receiver<String>,
    log: Receiver<String>,
}

impl Program {
    fn start(command: &mut Command) -> Self {
        command.env_remove("CHATNET_LOG").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (out, log) = (lines(child.stdout.take().unwrap()), lines(child.stderr.take().unwrap()));
        Self { input: child.stdin.take(), out, log, child: Running(child) }
    }

    /// The next line of the log that has this in it.
    fn logged(&self, what: &str) -> String {
        let until = Instant::now() + PATIENCE;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let line = self.log.recv_timeout(left).unwrap_or_else(|e| panic!("the log has no {what:?}: {e}"));
            if line.contains(what) {
                return line;
            }
        }
    }

    fn signal(&self, name: &str) {
        self.child.signal(name);
    }
}

/// Resident memory of a process, in bytes.
fn resident(pid: u32) -> usize {
    let statm = std::fs::read_to_string(format!("/proc/{pid}/statm")).unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

/// Raised when this is dropped, also by a test that fails: who waits for it must not wait for ever.
struct Raise<'a>(&'a AtomicBool);

impl Drop for Raise<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

fn lines(from: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            // Whoever doesn't listen any more has what it wanted; the pipe is emptied all the same.
            let _ = sender.send(line);
        }
    });
    receiver
}

/// `chatnet-server` on a port of its own, perhaps with something in front of its command line.
/// It has no limits: these tests are about what it bears.
fn server(before: &str, args: &str) -> (Program, SocketAddr) {
    limited_server(before, &format!("--no-limits {args}"))
}

/// The same with the limits that it has by default.
fn limited_server(before: &str, args: &str) -> (Program, SocketAddr) {
    let binary = env!("CARGO_BIN_EXE_chatnet-server");
    let script = format!("{before} exec '{binary}' --memory --plaintext --host 127.0.0.1 --port 0 {args}");
    let program = Program::start(Command::new("sh").args(["-c", &script]));
    let line = program.out.recv_timeout(PATIENCE).expect("the first line says where");
    let addr = line.strip_prefix("listening on ").unwrap().parse().unwrap();
    (program, addr)
}

/// How long things took, at the 99th percentile.
fn p99(mut took: Vec<Duration>) -> Duration {
    assert!(took.len() >= 100, "{} are too few to judge by", took.len());
    took.sort();
    took[took.len() * 99 / 100]
}

/// Others went on as before: within twice of it, or of what a busy machine's own hiccups are.
fn assert_not_held_up(before: Duration, during: Duration, hiccup: Duration) {
    assert!(during <= 2 * before.max(hiccup), "the 99th percentile went from {before:?} to {during:?}");
}
