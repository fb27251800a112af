//! The real server's disk: killed at each of the writes of a migration, a checkpoint and a copy, and a device that is
//! full from there on.
#![cfg(target_os = "linux")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use async_std::task::block_on;
use chatnet::Client;
use chatnet::protocol::message::{Ack, Kind};
use chatnet::store::{SqliteOptions, SqliteStore};
use chatnet::testing::Random;
use rusqlite::Connection;
use tempfile::TempDir;

use crate::checker::{Checker, talk, watch};
use crate::process::{Daemon, program};
use crate::support::{Wire, outbox, publish};
use crate::{lobby_of, seed, whole_log};

/// What changes files. Between two of these calls a kill finds the same.
const CALLS: [&str; 6] = ["pwrite64", "write", "ftruncate", "unlink", "rename", "fallocate"];

/// Points of a sweep that are tried; `CHATNET_FIRE_POINTS` tries more of them.
fn points() -> usize {
    std::env::var("CHATNET_FIRE_POINTS").ok().and_then(|n| n.parse().ok()).unwrap_or(8)
}

/// A data directory of its own.
struct Data(TempDir);

impl Data {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// Another one with the same database.
    fn copy(&self) -> Self {
        let data = Self::new();
        for name in ["chatnet.db", "chatnet.db-wal"].into_iter().filter(|name| self.file(name).exists()) {
            fs::copy(self.file(name), data.file(name)).unwrap();
        }
        data
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    fn db(&self) -> PathBuf {
        self.file("chatnet.db")
    }

    /// The lobby's texts, in order, from the first event on.
    fn texts(&self) -> Vec<String> {
        let store = SqliteStore::open(self.db(), SqliteOptions::default()).unwrap();
        let log = block_on(async { whole_log(&store, lobby_of(&store).await).await });
        assert!(log.iter().map(|(seq, _)| *seq).eq(1..=log.len() as u64));
        log.into_iter().map(|(_, text)| text).collect()
    }

    fn run(&self, by: &[&str], args: &[&str]) -> Output {
        program(by, self.path()).args(args).output().unwrap()
    }

    /// The server starts, and finds nothing wrong.
    fn recovers(&self) {
        Daemon::start(self.path(), &[]).kill();
        let out = self.run(&[], &["check"]);
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stdout));
    }
}

/// Which calls of a program's count.
#[derive(Debug, Clone, Copy)]
enum Of {
    Everything,
    /// Those about the database itself: its log is a file of its own.
    Database,
}

/// One call of a program's, and what becomes of it.
#[derive(Debug, Clone)]
struct Point {
    calls: &'static str,
    of: Of,
    when: String,
    what: &'static str,
}

impl Point {
    fn kill(call: &'static str, n: usize, of: Of) -> Self {
        Self { calls: call, of, when: n.to_string(), what: "signal=SIGKILL" }
    }

    /// There is no room at these calls.
    fn full(when: String, of: Of) -> Self {
        Self { calls: "pwrite64,fallocate", of, when, what: "error=ENOSPC" }
    }

    fn strace(&self, data: &Data) -> Vec<String> {
        let mut by = strace("/dev/null", self.calls, self.of, data);
        by.extend(["-e".to_owned(), format!("inject={}:{}:when={}", self.calls, self.what, self.when)]);
        by
    }
}

/// The tracer lets the program have its own place: whoever kills that kills the program.
fn strace(output: &str, calls: &str, of: Of, data: &Data) -> Vec<String> {
    let trace = format!("trace={calls}");
    let mut by: Vec<String> = ["strace", "-D", "-f", "-qqq", "-o", output, "-e", &trace].map(str::to_owned).to_vec();
    if let Of::Database = of {
        by.extend(["-P".to_owned(), data.db().display().to_string()]);
    }
    by
}

fn words(words: &[String]) -> Vec<&str> {
    words.iter().map(String::as_str).collect()
}

/// Every point at which a program can be killed: `run` has it run to its end under a tracer, once.
fn kills(of: Of, data: &Data, run: impl FnOnce(&[&str])) -> Vec<Point> {
    let place = tempfile::tempdir().unwrap();
    let output = place.path().join("trace");
    run(&words(&strace(output.to_str().unwrap(), &CALLS.join(","), of, data)));
    // Each thread's calls are counted for themselves.
    let mut counts: BTreeMap<(String, &'static str), usize> = BTreeMap::new();
    for line in fs::read_to_string(output).unwrap().lines() {
        let Some((thread, rest)) = line.split_once(' ') else { continue };
        if let Some(call) = CALLS.iter().find(|call| rest.trim_start().starts_with(&format!("{call}("))) {
            *counts.entry((thread.to_owned(), call)).or_default() += 1;
        }
    }
    let most = |call| counts.iter().filter(|((_, c), _)| *c == call).map(|(_, n)| *n).max().unwrap_or(0);
    CALLS.iter().flat_map(|call| (1..=most(*call)).map(|n| Point::kill(call, n, of))).collect()
}

/// Some of them.
fn drawn(mut all: Vec<Point>, random: &mut Random) -> Vec<Point> {
    let of = all.len();
    assert!(of > 0, "there is nothing to be seen");
    while all.len() > points() {
        all.swap_remove(random.below(all.len() as u64) as usize);
    }
    println!("{} of {of} points", all.len());
    all
}

/// A database as version 1 left it, with rooms and events: those of the lobby.
fn version_1(data: &Data) -> Vec<String> {
    let conn = Connection::open(data.db()).unwrap();
    conn.execute_batch(include_str!("../store/version1.sql")).unwrap();
    // The lobby of the example was trimmed; this one is whole.
    conn.execute_batch(
        "DELETE FROM events; DELETE FROM taken; INSERT INTO texts (texts) VALUES ('delete-all');
         UPDATE rooms SET head = 0, trimmed = 0, indexed = 0, bytes = 0;
         WITH RECURSIVE n (n) AS (SELECT 2 UNION ALL SELECT n + 1 FROM n WHERE n < 60)
             INSERT INTO rooms (no, id, name, created) SELECT n, randomblob(16), 'room-' || n, 5 FROM n;
         WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 500)
             INSERT INTO events SELECT 1 << 40 | n, n, 1, NULL, NULL, 1, CAST('text ' || n AS BLOB) FROM n;
         UPDATE rooms SET head = 500, at = 500, bytes = (SELECT sum(length(body)) FROM events) WHERE no = 1;",
    )
    .unwrap_or_else(|e| panic!("{e}"));
    (1..=500).map(|n| format!("text {n}")).collect()
}

#[test]
fn a_server_that_is_killed_while_it_migrates_its_database_migrates_it_at_the_next_start() {
    let mut random = Random::new(seed());
    let old = Data::new();
    let texts = version_1(&old);
    let whole = old.copy();
    let all = kills(Of::Everything, &whole, |by| Daemon::through(by, whole.path(), &[]).unwrap().kill());
    let mut killed = 0;
    for point in drawn(all, &mut random) {
        let data = old.copy();
        let started = Daemon::through(&words(&point.strace(&data)), data.path(), &[]);
        // Behind the migration it may listen before it is killed.
        killed += usize::from(started.is_err_and(|ended| ended.killed));
        data.recovers();
        assert_eq!(data.texts(), texts, "{point:?}");
    }
    assert!(killed > 0, "none was killed");
    println!("{killed} were killed before they listened");
}

#[test]
fn a_server_that_is_killed_while_it_makes_its_database_makes_it_at_the_next_start() {
    let mut random = Random::new(seed());
    let whole = Data::new();
    let all = kills(Of::Everything, &whole, |by| Daemon::through(by, whole.path(), &[]).unwrap().kill());
    for point in drawn(all, &mut random) {
        let data = Data::new();
        drop(Daemon::through(&words(&point.strace(&data)), data.path(), &[]));
        let server = Daemon::start(data.path(), &[]);
        let acked = say(&server, 2);
        assert!(server.stop());
        data.recovers();
        assert_eq!(data.texts(), acked, "{point:?}");
    }
}

#[test]
fn a_database_that_can_not_be_migrated_because_the_device_is_full_is_left_as_it_was_and_that_is_said() {
    let mut random = Random::new(seed());
    let old = Data::new();
    let texts = version_1(&old);
    let all = (1..=40).map(|n| Point::full(format!("{n}+"), Of::Everything)).collect();
    let mut refused = 0;
    for point in drawn(all, &mut random) {
        let data = old.copy();
        if let Err(ended) = Daemon::through(&words(&point.strace(&data)), data.path(), &[]) {
            assert!(!ended.killed && ended.said.contains("make room on the device"), "{point:?}: {ended:?}");
            refused += 1;
        }
        data.recovers();
        assert_eq!(data.texts(), texts, "{point:?}");
    }
    assert!(refused > 0, "none was refused");
    println!("{refused} did not start");
}

/// Say texts of about four pages, four at a time, until all are acked or nothing answers: those that are.
fn say(server: &Daemon, fours: usize) -> Vec<String> {
    let (mut ada, joined) = Wire::member(server.addr, "ada", "");
    let texts: Vec<String> = (1..=4 * fours).map(|n| format!("text {n} {}", "x".repeat(15_000))).collect();
    let (outbox, mut acked) = (outbox(), 0);
    for four in texts.chunks(4) {
        let said = acked + 4;
        ada.send(&publish(joined.room, outbox, acked as u64 + 1, &words(four)));
        while acked < said {
            match ada.next() {
                None => return texts[..acked].to_vec(),
                Some(got) if got.is(Kind::Ack) => {
                    let ack: Ack = got.read();
                    assert_eq!(ack.n, acked as u64 + 1);
                    acked += ack.count as usize;
                }
                Some(_) => {}
            }
        }
    }
    texts
}

/// Kill the server while its log is moved into the database.
fn kill_at_checkpoints(fours: usize) {
    let mut random = Random::new(seed());
    // Its writes at the start are another test's.
    let begun = Data::new();
    Daemon::start(begun.path(), &[]).kill();
    let whole = begun.copy();
    let all = kills(Of::Database, &whole, |by| {
        let server = Daemon::through(by, whole.path(), &[]).unwrap();
        assert_eq!(say(&server, fours).len(), 4 * fours);
        assert!(server.stop());
    });
    let mut killed = 0;
    for point in drawn(all, &mut random) {
        let data = begun.copy();
        let server = Daemon::through(&words(&point.strace(&data)), data.path(), &[]).unwrap();
        let acked = say(&server, fours);
        killed += usize::from(!server.stop());
        data.recovers();
        let kept = data.texts();
        // Of those that were under way it can't be said.
        let said = format!("{point:?}: {} acked, {} kept", acked.len(), kept.len());
        assert!(kept.starts_with(&acked) && kept.len() <= acked.len() + 4, "{said}");
    }
    assert!(killed > 0, "none was killed");
    println!("{killed} were killed");
}

#[test]
fn a_server_that_is_killed_while_it_moves_its_log_into_the_database_loses_nothing() {
    kill_at_checkpoints(60);
}

#[test]
fn a_server_that_is_killed_while_it_closes_its_database_loses_nothing() {
    kill_at_checkpoints(5);
}

#[test]
fn a_device_without_room_for_the_database_holds_up_nobody_as_long_as_its_log_has_room() {
    let data = Data::new();
    Daemon::start(data.path(), &[]).kill();
    // It moves the log every hundred texts or so: in vain at first, and once more when it closes.
    let point = Point::full("1..2".into(), Of::Database);
    let server = Daemon::through(&words(&point.strace(&data)), data.path(), &[]).unwrap();
    let acked = say(&server, 120);
    assert_eq!(acked.len(), 480);
    assert!(server.stop());
    data.recovers();
    assert_eq!(data.texts(), acked);
}

#[test]
fn what_a_full_device_has_no_room_for_is_stored_once_there_is_room_again() {
    let data = Data::new();
    Daemon::start(data.path(), &[]).kill();
    // It makes some hundred writes; each attempt is one, and waits for a second.
    let point = Point::full("60..64".into(), Of::Everything);
    let server = Daemon::through(&words(&point.strace(&data)), data.path(), &[]).unwrap();
    let checker = Checker::default();
    block_on(async {
        let number = checker.client();
        let (client, events) = Client::builder().connect(server.addr).await.unwrap();
        watch(&checker, number, events);
        talk(&checker, number, &client, 0..20).await;
        for i in 20..120 {
            talk(&checker, number, &client, i..i + 1).await;
            checker.acks(i, Duration::from_secs(60)).await;
        }
        checker.complete(Duration::from_secs(60)).await;
        client.close().await;
    });
    assert!(server.stop());
    data.recovers();
    let texts = data.texts();
    checker.judge(&(1..).zip(texts).collect::<Vec<_>>());
}

/// A data directory with a server that runs, and what was said there.
fn filled() -> (Data, Daemon, Vec<String>) {
    let data = Data::new();
    let server = Daemon::start(data.path(), &[]);
    let texts = say(&server, 8);
    (data, server, texts)
}

/// Run `backup` or `restore` up to each point; what comes of it is whole or not there, and then it can be done again.
fn copies(data: &Data, command: &str, from: Option<&Path>, texts: &[String]) {
    let mut random = Random::new(seed());
    let words_of = |to: &Data| match from {
        None => vec![command.to_owned(), to.db().display().to_string()],
        Some(from) => vec![command.to_owned(), from.display().to_string()],
    };
    // A backup reads the data directory and writes elsewhere; a restoration writes the data directory.
    let run = |by: &[&str], to: &Data| {
        let at = if from.is_some() { to } else { data };
        at.run(by, &words(&words_of(to)))
    };
    let whole = Data::new();
    let all = kills(Of::Everything, &whole, |by| assert!(run(by, &whole).status.success()));
    let full = (1..=30).step_by(4).map(|n| Point::full(format!("{n}+"), Of::Everything));
    let (mut killed, mut refused) = (0, 0);
    for point in drawn(all, &mut random).into_iter().chain(full) {
        let to = Data::new();
        let out = run(&words(&point.strace(&to)), &to);
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        killed += usize::from(out.status.code().is_none());
        if out.status.code().is_some_and(|code| code != 0) {
            refused += 1;
            assert!(said.contains("make room on the device"), "{point:?}: {said}");
            assert!(!to.file("chatnet.db.part").exists(), "{point:?}: what is useless takes no room");
        }
        if !to.db().exists() {
            let again = run(&[], &to);
            assert!(again.status.success(), "{point:?}: {}", String::from_utf8_lossy(&again.stderr));
        }
        assert!(!to.file("chatnet.db.part").exists(), "{point:?}");
        assert_eq!(to.texts(), texts, "{point:?}");
        to.recovers();
    }
    assert!(killed > 0 && refused > 0, "{killed} killed, {refused} refused");
    println!("{killed} were killed, {refused} were refused");
}

#[test]
fn a_backup_that_is_killed_or_has_no_room_leaves_no_copy_and_can_be_made_again() {
    let (data, server, texts) = filled();
    copies(&data, "backup", None, &texts);
    assert!(server.stop());
    data.recovers();
    assert_eq!(data.texts(), texts);
}

#[test]
fn a_restoration_that_is_killed_or_has_no_room_leaves_no_database_and_can_be_done_again() {
    let (data, server, texts) = filled();
    let copy = data.file("copy");
    assert!(data.run(&[], &["backup", copy.to_str().unwrap()]).status.success());
    server.kill();
    copies(&data, "restore", Some(&copy), &texts);
}
