//! Processes that are killed, and devices that fail to sync.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use chatnet::store::{Log, SqliteStore};
use chatnet::{RoomId, Seq};
use futures::executor::block_on;

use super::{Dir, texts};

const ROOM: RoomId = RoomId::from_bytes([7; 16]);

/// Not a test, but what the others start as a process of its own: append, and tell what became of it.
#[test]
fn child() {
    let Ok(dir) = std::env::var("CHATNET_TEST_CHILD") else { return };
    let store = Dir(dir.into());
    let count = std::env::var("CHATNET_TEST_COUNT").map_or(u64::MAX, |count| count.parse().unwrap());
    let log = store.open();
    let mut out = std::io::stdout();
    for i in 0..count {
        let text = format!("number {i}");
        writeln!(out, "try {i}").unwrap();
        match block_on(log.append(texts(ROOM, i as i64, &[&text]))) {
            Ok(appended) => writeln!(out, "ack {i} {}", appended[0].first).unwrap(),
            Err(e) => {
                writeln!(out, "no {i} {e}").unwrap();
                if std::env::var_os("CHATNET_TEST_ABORT").is_some() {
                    std::process::abort();
                }
            }
        }
    }
    drop(log);
    std::mem::forget(store);
}

fn start(dir: &Dir, through: &[&str], count: Option<u64>) -> Child {
    let exe = std::env::current_exe().unwrap();
    let args = ["--exact", "crash::child", "--nocapture", "--test-threads=1"];
    let mut command = match through {
        [] => Command::new(&exe),
        [program, rest @ ..] => {
            let mut command = Command::new(program);
            command.args(rest).arg(&exe);
            command
        }
    };
    command.args(args).env("CHATNET_TEST_CHILD", &dir.0).stdout(Stdio::piped()).stderr(Stdio::null());
    if let Some(count) = count {
        command.env("CHATNET_TEST_COUNT", count.to_string());
    }
    command.spawn().unwrap()
}

/// The numbers of all events, in order.
fn kept(store: &SqliteStore) -> Vec<u64> {
    let (mut kept, mut cursor) = (Vec::new(), Seq::ZERO);
    loop {
        let page = block_on(store.read(ROOM, cursor, 100_000)).unwrap();
        let Some(last) = page.batches.last() else { return kept };
        cursor = last.last();
        for (_, body) in page.batches.iter().flat_map(|batch| batch.new.events.iter()) {
            kept.push(std::str::from_utf8(body).unwrap().strip_prefix("number ").unwrap().parse().unwrap());
        }
    }
}

/// The lines that a child has written of this sort, as (number, rest).
fn told<'a>(lines: &'a [String], word: &str) -> Vec<(u64, &'a str)> {
    let of = |line: &'a String| {
        // The test's own output precedes the first line.
        let line = &line[line.find(word)?..];
        let mut parts = line.splitn(3, ' ');
        (parts.next() == Some(word)).then_some(())?;
        Some((parts.next()?.parse().ok()?, parts.next().unwrap_or("")))
    };
    lines.iter().filter_map(of).collect()
}

#[test]
fn what_was_acknowledged_survives_a_kill() {
    for round in 0..8_usize {
        let dir = Dir::new();
        let mut child = start(&dir, &[], None);
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut lines = Vec::new();
        let mut line = String::new();
        // Enough for the log to be moved into the database now and then.
        while told(&lines, "ack").len() < 1 + 150 * round {
            line.clear();
            assert!(output.read_line(&mut line).unwrap() > 0, "it goes on until it is killed");
            lines.push(line.trim_end().to_owned());
            if lines.len() > 64 && told(&lines[lines.len() - 64..], "ack").is_empty() {
                panic!("it acknowledges nothing: {lines:?}");
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        lines.extend(output.lines().map_while(Result::ok));
        let store = dir.open();
        let kept = kept(&store);
        for (number, seq) in told(&lines, "ack") {
            let seq: usize = seq.parse().unwrap();
            assert_eq!(kept.get(seq - 1), Some(&number), "round {round}");
        }
        // Of what was under way, all or nothing.
        let tried = told(&lines, "try").len() as u64;
        assert_eq!(kept, (0..kept.len() as u64).collect::<Vec<_>>());
        assert!(kept.len() as u64 <= tried + 1);
        drop(store);
        assert_eq!(SqliteStore::check(dir.db()).unwrap().problems, Vec::<String>::new(), "round {round}");
    }
}

fn strace() -> bool {
    let traced = Command::new("strace").args(["-f", "-o", "/dev/null", "true"]).output();
    let works = traced.is_ok_and(|out| out.status.success());
    if !works {
        println!("skipped: there is no strace, or it isn't permitted here");
    }
    works
}

fn run(dir: &Dir, through: &[&str], count: u64) -> Vec<String> {
    let mut child = start(dir, through, Some(count));
    let output = BufReader::new(child.stdout.take().unwrap());
    let lines = output.lines().map(Result::unwrap).collect();
    assert!(child.wait().unwrap().success(), "{lines:?}");
    lines
}

#[test]
fn a_device_that_fails_to_sync_makes_no_false_acknowledgement_and_no_false_refusal() {
    if !strace() {
        return;
    }
    // A recovery needs several in a row, so not every second may fail.
    for step in [7, 11] {
        let dir = Dir::new();
        let inject = format!("inject=fsync,fdatasync:error=EIO:when=12+{step}");
        let through = ["strace", "-f", "-o", "/dev/null", "-e", "trace=fsync,fdatasync", "-e", &inject];
        let lines = run(&dir, &through, 60);
        let (acked, refused) = (told(&lines, "ack"), told(&lines, "no"));
        assert_eq!(acked.len() + refused.len(), 60, "each was answered: {lines:?}");
        let expected: Vec<u64> = acked.iter().map(|(number, _)| *number).collect();
        println!("every {step}th: {} acknowledged, {} refused", acked.len(), refused.len());
        assert_eq!(kept(&dir.open()), expected, "every {step}th");
        for (number, seq) in acked {
            assert_eq!(expected.get(seq.parse::<usize>().unwrap() - 1), Some(&number));
        }
        assert_eq!(SqliteStore::check(dir.db()).unwrap().problems, Vec::<String>::new());
    }
}

/// The system calls of a process, in order: "try", "ack" and "sync".
fn order(trace: &Path) -> Vec<&'static str> {
    let trace = std::fs::read_to_string(trace).unwrap();
    let sort = |line: &str| {
        if line.contains("write(1, \"try") {
            Some("try")
        } else if line.contains("write(1, \"ack") {
            Some("ack")
        } else if line.contains("sync(") && line.trim_end().ends_with("= 0") || line.contains("sync resumed") {
            Some("sync")
        } else {
            None
        }
    };
    trace.lines().filter_map(sort).collect()
}

#[test]
fn what_was_refused_because_it_was_not_synced_does_not_appear_after_a_crash() {
    if !strace() {
        return;
    }
    // Behind those of opening: each version of the schema takes some.
    for nth in [12, 15, 19] {
        let dir = Dir::new();
        let inject = format!("inject=fsync,fdatasync:error=EIO:when={nth}");
        let through = ["strace", "-f", "-o", "/dev/null", "-E", "CHATNET_TEST_ABORT=1", "-e", "trace=fsync,fdatasync"];
        let mut child = start(&dir, &[&through[..], &["-e", &inject]].concat(), Some(60));
        let lines: Vec<String> = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok).collect();
        child.wait().unwrap();
        let (acked, refused) = (told(&lines, "ack"), told(&lines, "no"));
        assert_eq!(refused.len(), 1, "it ended at the first refusal: {lines:?}");
        let expected: Vec<u64> = acked.iter().map(|(number, _)| *number).collect();
        assert_eq!(kept(&dir.open()), expected, "the {nth}th sync failed");
    }
}

#[test]
fn every_acknowledgement_comes_after_a_sync() {
    if !strace() {
        return;
    }
    let dir = Dir::new();
    let trace = dir.file("trace");
    let name = trace.to_str().unwrap();
    run(&dir, &["strace", "-f", "-s", "8", "-o", name, "-e", "trace=write,fsync,fdatasync"], 20);
    let mut synced = None;
    let mut acks = 0;
    for call in order(&trace) {
        match call {
            "try" => synced = Some(false),
            "sync" => synced = synced.map(|_| true),
            _ => {
                assert_eq!(synced.take(), Some(true), "an event was acknowledged before it was synced");
                acks += 1;
            }
        }
    }
    assert!(acks >= 19, "the acknowledgements were seen: {acks}");
}
