//! An ack means that the device has it: the real server's system calls, one after the other.
#![cfg(target_os = "linux")]

#[path = "support/process.rs"]
mod process;
#[path = "support/mod.rs"]
mod support;

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use chatnet::protocol::message::Ack;
use process::{Daemon, Running};
use support::{Wire, outbox, publish};

/// Send texts one at a time to a traced server with this durability; what it did.
fn trace(durability: &str, texts: usize) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("trace");
    let data = dir.path().join("data");
    let server = Daemon::start(&data, &["--durability", durability]);
    let calls = "trace=fdatasync,fsync,recvfrom,writev,sendmsg,sendto";
    let mut strace = Command::new("strace")
        .args(["-f", "-s", "256", "-e", calls, "-p", &server.process.id().to_string(), "-o"])
        .arg(&log)
        .stderr(Stdio::piped())
        .spawn()
        .expect("strace is there: apt-get install strace");
    let mut said = BufReader::new(strace.stderr.take().unwrap());
    let mut attached = String::new();
    said.read_line(&mut attached).unwrap();
    assert!(attached.contains("attached"), "{attached}");
    // It tells of nothing that could fill the pipe, and ends with the server.
    let mut strace = Running(strace);

    let (mut ada, joined) = Wire::member(server.addr, "ada", "");
    let box_a = outbox();
    for n in 1..=texts as u64 {
        ada.send(&publish(joined.room, box_a, n, &[&format!("needle {n}.")]));
        assert_eq!(ada.expect::<Ack>().n, n);
    }
    drop(server);
    strace.wait().unwrap();
    std::fs::read_to_string(&log).unwrap().lines().map(str::to_owned).collect()
}

/// How many texts were acked, and for how many of them something was synced between their arrival and their ack.
fn synced(lines: &[String], texts: usize) -> usize {
    let is_sync = |line: &&String| line.contains("sync") && line.trim_end().ends_with("= 0");
    (1..=texts)
        .filter(|n| {
            let needle = format!("needle {n}.");
            let reads = |line: &String| line.contains("recvfrom(") && line.contains(&needle);
            let came = lines.iter().position(reads).unwrap_or_else(|| panic!("{needle} was read"));
            // Its descriptor, where the ack goes.
            let fd =
                lines[came].split("recvfrom(").nth(1).and_then(|rest| rest.split(',').next()).expect("by recvfrom");
            let sends = [format!("writev({fd},"), format!("sendmsg({fd},"), format!("sendto({fd},")];
            let acked = lines[came..].iter().position(|line| sends.iter().any(|send| line.contains(send.as_str())));
            let acked = came + acked.expect("it was acked");
            lines[came..acked].iter().any(|line| is_sync(&line))
        })
        .count()
}

#[test]
fn at_full_durability_every_ack_comes_behind_a_sync_and_at_normal_it_does_not_wait_for_one() {
    let full = trace("full", 20);
    assert_eq!(synced(&full, 20), 20);
    // And the test can fail: at normal the device is left alone.
    let normal = trace("normal", 20);
    assert!(synced(&normal, 20) < 5);
}
