//! Ten thousand guesses at passwords, beside fifty who talk as people do and three who log in.

use std::collections::{HashMap, VecDeque};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use chatnet::protocol::message::*;
use chatnet::protocol::{Code, decode, frame, to_frame};
use parking_lot::Mutex;

use crate::flood::{HICCUP, MEASURED, People, step_back};
use crate::support::*;
use crate::{alone, limited_server, raise_descriptor_limit};

const GUESSES: usize = 10_000;

/// They come from so many addresses.
const ADDRESSES: usize = 16;

/// Guesses of one address that are under way at a time: more than may wait to be looked at.
const UNDER_WAY: usize = 50;

/// Whoever guesses doesn't wait longer for an answer.
const SOON: Duration = Duration::from_millis(50);

const PASSWORD: &str = "correct horse";

fn auth(mechanism: &str, name: &str, secret: &str) -> Auth {
    let credentials = Credentials { name: name.into(), secret: secret.into(), code: None };
    Auth { mechanism: mechanism.into(), data: minicbor::to_vec(&credentials).unwrap().into() }
}

/// Authenticate from an address; a refusal if there is one.
fn attempt(addr: SocketAddr, from: &str, auth: &Auth) -> Result<Authenticated, ErrorReply> {
    let mut wire = Wire::over(connect_from(addr, from).unwrap());
    wire.hello();
    wire.send(auth);
    let got = wire.next().unwrap();
    if got.is(Kind::ErrorReply) { Err(got.read()) } else { Ok(got.read()) }
}

/// What a guess is told, if that comes soon.
fn refusal(mut stream: TcpStream) -> Option<Code> {
    let (mut bytes, mut chunk) = (Vec::new(), [0; 4096]);
    stream.set_read_timeout(Some(SOON)).unwrap();
    while let Ok(n @ 1..) = stream.read(&mut chunk) {
        bytes.extend_from_slice(&chunk[..n]);
        let mut rest = &bytes[..];
        while let Ok(Some((frame, used))) = frame::split(rest, 1 << 20) {
            if frame.header.kind == Kind::ErrorReply.0 {
                return Some(decode::<ErrorReply>(frame.body).unwrap().code);
            }
            rest = &rest[used..];
        }
    }
    None
}

/// As many guesses as one can, from one address: half of them at Ada's password, the others at anybody's.
fn guess(addr: SocketAddr, from: &str, told: &Mutex<HashMap<Option<Code>, usize>>) {
    step_back();
    let mut under_way = VecDeque::new();
    let hear = |stream: TcpStream| *told.lock().entry(refusal(stream)).or_default() += 1;
    for n in 0..GUESSES / ADDRESSES {
        let name = if n % 2 == 0 { "ada".to_owned() } else { format!("somebody{}", n % 100) };
        let mut stream = connect_from(addr, from).unwrap();
        let frames = [to_frame(&hello()), to_frame(&auth("password", &name, "incorrect horse"))].concat();
        // Who was refused at the door has nobody to guess at.
        let _ = stream.write_all(&frames);
        under_way.push_back(stream);
        if under_way.len() > UNDER_WAY {
            under_way.pop_front().into_iter().for_each(hear);
        }
    }
    under_way.into_iter().for_each(hear);
}

/// Log in as people do whose client tells them to try again. How long it took.
fn log_in(addr: SocketAddr, from: &str, name: &str) -> Duration {
    let begun = Instant::now();
    loop {
        match attempt(addr, from, &auth("password", name, PASSWORD)) {
            Ok(_) => return begun.elapsed(),
            Err(error) => assert_eq!(error.code, Code::BUSY, "{error:?}"),
        }
        assert!(begun.elapsed() < PATIENCE, "{name} can't log in");
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn ten_thousand_guesses_neither_hold_up_fifty_people_nor_lock_anybody_out() {
    let _alone = alone();
    raise_descriptor_limit();
    let (_program, addr) = limited_server("", "--log error --registration open");
    attempt(addr, "127.0.0.1", &auth("register", "ada", PASSWORD)).unwrap();
    attempt(addr, "127.0.0.3", &auth("register", "bob", PASSWORD)).unwrap();
    attempt(addr, "127.0.0.4", &auth("register", "eve", PASSWORD)).unwrap();
    let told = Mutex::new(HashMap::new());
    People::beside(addr, &["ten thousand guesses"], HICCUP, |_, round, begin| {
        let guessing = AtomicBool::new(true);
        // Her office is one of the addresses that they guess from, and she has been there before.
        let office = format!("127.0.{}.1", round + 1);
        log_in(addr, &office, "eve");
        std::thread::scope(|scope| {
            let guessers: Vec<_> = (0..ADDRESSES)
                .map(|i| {
                    let from = format!("127.0.{}.{}", round + 1, i + 1);
                    let told = &told;
                    scope.spawn(move || guess(addr, &from, told))
                })
                .collect();
            scope.spawn(|| {
                guessers.into_iter().for_each(|guesser| guesser.join().unwrap());
                guessing.store(false, Ordering::SeqCst);
            });
            begin();
            let (begun, mut slowest) = (Instant::now(), Duration::ZERO);
            while guessing.load(Ordering::SeqCst) || begun.elapsed() < MEASURED {
                // Ada, at whose password they guess, somebody else, and somebody beside those who guess.
                for (from, name) in [("127.0.0.1", "ada"), ("127.0.0.3", "bob"), (&office, "eve")] {
                    slowest = slowest.max(log_in(addr, from, name));
                }
            }
            println!("the slowest login took {slowest:?}; all guesses were made after {:?}", begun.elapsed());
        });
    });
    let told = told.into_inner();
    println!("guesses were told {told:?}");
    assert_eq!(told.values().sum::<usize>() % GUESSES, 0);
    let refusals = [Code::AUTH_FAILED, Code::BUSY, Code::TOO_MANY_LOGINS, Code::TOO_MANY_CONNECTIONS];
    assert!(told.keys().flatten().all(|code| refusals.contains(code)), "{told:?}");
    log_in(addr, "127.0.0.1", "ada");
    log_in(addr, "127.0.0.3", "bob");
}
