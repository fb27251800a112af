//! Those who do as much as they can, beside fifty who talk as people do.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use chatnet::protocol::message::*;
use chatnet::protocol::to_frame;
use parking_lot::Mutex;

use crate::support::*;
use crate::{Raise, alone, limited_server, p99, raise_descriptor_limit};

/// What a machine that has the floods' own clients on it, too, may add to figures of a millisecond: within 2× is shown by the
/// release build, on a machine that does nothing else. Without optimisation, beside other tests, it is more; without turns
/// and limits it is hundreds of milliseconds, or seconds.
pub(crate) const HICCUP: Duration = Duration::from_millis(if cfg!(debug_assertions) { 50 } else { 2 });

/// What is measured is the worst percent of three seconds: other work of the machine may spoil a round. One that is
/// good shows what the server does; a server that holds people up has none.
const ROUNDS: usize = 4;

const PEOPLE: usize = 50;

/// Each of them says something so often.
const EVERY: Duration = Duration::from_secs(1);

/// How long the usual course of things is measured, and each flood.
pub(crate) const MEASURED: Duration = Duration::from_secs(3);

/// Where the floods of a round come from: what an address has used up in one is not missed in the next.
fn elsewhere(round: usize) -> String {
    format!("127.0.0.{}", round + 10)
}

/// Floods come from elsewhere: here they have what the server and the people leave of this machine.
pub(crate) fn step_back() {
    // Of this thread, for that is what the kernel takes a process for.
    rustix::process::setpriority_process(Some(rustix::thread::gettid()), 19).unwrap();
}

/// A session that joins a room, all of it sent at once.
fn greeting(alias: &str, room: &str) -> Vec<u8> {
    let mut bytes = to_frame(&hello());
    bytes.extend(to_frame(&guest(alias)));
    bytes.extend(to_frame(&Attach { token: None, cursors: vec![], more: false }));
    bytes.extend(to_frame(&Join { request: 1, name: room.into() }));
    bytes
}

/// Begin a session elsewhere.
fn intruder(addr: SocketAddr, from: &str, alias: &str, room: &str) -> (TcpStream, Joined) {
    let mut wire = Wire::over(connect_from(addr, from).unwrap());
    wire.raw(&greeting(alias, room));
    let joined = wire.skip_to::<Joined>();
    (wire.stream, joined)
}

/// People who talk in one room; how long their messages took to each of the others is told by part.
#[derive(Default)]
pub(crate) struct People {
    part: AtomicUsize,
    done: AtomicBool,
    took: Mutex<Vec<(usize, Duration)>>,
}

impl People {
    fn person(&self, addr: SocketAddr, i: usize, began: Instant) {
        let (wire, joined) = Wire::member(addr, &format!("person{i}"), "");
        let mut writer = wire.stream.try_clone().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut wire = wire;
                while let Some(got) = wire.next() {
                    if !got.is(Kind::Deliver) {
                        assert!(!got.is(Kind::Refused), "{:?}", got.read::<Refused>());
                        continue;
                    }
                    let deliver: Deliver = got.read();
                    for (_, text) in texts(&deliver) {
                        // What the intruders say isn't measured.
                        let Some((part, said)) = text.split_once(' ').filter(|_| text.starts_with('0')) else {
                            continue;
                        };
                        let said = Duration::from_micros(said.parse().unwrap());
                        self.took.lock().push((part.parse().unwrap(), began.elapsed().saturating_sub(said)));
                    }
                }
            });
            let outbox = outbox();
            std::thread::sleep(EVERY * i as u32 / PEOPLE as u32);
            for n in 1.. {
                if self.done.load(Ordering::SeqCst) {
                    break;
                }
                let part = self.part.load(Ordering::SeqCst);
                let text = format!("0{part} {}", began.elapsed().as_micros());
                writer.write_all(&to_frame(&publish(joined.room, outbox, n, &[&text]))).unwrap();
                std::thread::sleep(EVERY);
            }
            let _ = writer.shutdown(std::net::Shutdown::Both);
        });
    }

    /// Measure a part of the test from here on.
    fn begin(&self, part: usize) {
        self.part.store(part, Ordering::SeqCst);
    }

    fn p99(&self, part: usize) -> Duration {
        p99(self.took.lock().iter().filter(|(p, _)| *p == part).map(|(_, took)| *took).collect())
    }

    /// Fifty people talk, as usual and then during each of these floods, in rounds. `flood` gets a flood's number, the
    /// round's, and what to call when it begins. In one of the rounds at least, nobody may be held up.
    pub(crate) fn beside(
        addr: SocketAddr,
        floods: &[&str],
        hiccup: Duration,
        flood: impl Fn(usize, usize, &(dyn Fn() + Sync)),
    ) {
        // To compare servers: so many rounds, whatever comes out.
        let all = std::env::var("CHATNET_FLOOD_ROUNDS").ok().map(|rounds| rounds.parse::<usize>().unwrap());
        let (people, began) = (Self::default(), Instant::now());
        std::thread::scope(|scope| {
            let done = Raise(&people.done);
            for i in 0..PEOPLE {
                let people = &people;
                scope.spawn(move || people.person(addr, i, began));
            }
            // Until all are there, and everybody has been told.
            std::thread::sleep(2 * EVERY);
            let mut figures = vec![Vec::new(); floods.len()];
            for round in 0..all.unwrap_or(ROUNDS) {
                let part = 1 + round * (1 + floods.len());
                people.begin(part);
                std::thread::sleep(MEASURED);
                let held_up = |(usual, during): &(Duration, Duration)| *during > 2 * (*usual).max(hiccup);
                for (i, name) in floods.iter().enumerate() {
                    let fine = figures[i].iter().any(|figures| !held_up(figures));
                    if all.is_none() && fine {
                        continue;
                    }
                    flood(i, round, &|| people.begin(part + 1 + i));
                    // What is said afterwards isn't measured.
                    people.begin(0);
                    std::thread::sleep(EVERY);
                    let (usual, during) = (people.p99(part), people.p99(part + 1 + i));
                    println!("p99 {usual:.1?} as usual, {during:.1?} with {name}");
                    figures[i].push((usual, during));
                }
                if all.is_none() && figures.iter().all(|rounds| rounds.iter().any(|figures| !held_up(figures))) {
                    break;
                }
                if all.is_none() && round + 1 == ROUNDS {
                    panic!("people were held up in every round: {figures:?}");
                }
            }
            drop(done);
            for (name, mut rounds) in floods.iter().zip(figures) {
                let middle = rounds.len() / 2;
                let usual = rounds.select_nth_unstable_by_key(middle, |(usual, _)| *usual).1.0;
                let during = rounds.select_nth_unstable_by_key(middle, |(_, during)| *during).1.1;
                println!("medians: p99 {usual:.1?} as usual, {during:.1?} with {name}");
            }
        });
    }
}

/// Frames with a message each, ready to be sent: what is to be fast is the sending.
fn frames(joined: &Joined, count: u64) -> Vec<u8> {
    let outbox = outbox();
    (1..=count).flat_map(|n| to_frame(&publish(joined.room, outbox, n, &["as fast as I can"]))).collect()
}

/// Send as fast as it is taken, whatever is answered, and do the same again.
fn flood(streams: &[(TcpStream, Vec<u8>)], begin: impl Fn()) {
    begin();
    let (since, mut buffer) = (Instant::now(), [0; 64 * 1024]);
    let mut sent = vec![0; streams.len()];
    while since.elapsed() < MEASURED {
        let mut idle = true;
        for ((stream, frames), sent) in streams.iter().zip(&mut sent) {
            stream.set_nonblocking(true).unwrap();
            // Whoever is parted with has done its part.
            let end = (*sent + 16 * 1024).min(frames.len());
            if let Ok(n) = (&*stream).write(&frames[*sent..end]) {
                *sent = if *sent + n == frames.len() { 0 } else { *sent + n };
                idle = false;
            }
            let _ = (&*stream).read(&mut buffer);
        }
        if idle {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// One client that floods, with one message a frame.
fn one_client(addr: SocketAddr, round: usize, begin: &(dyn Fn() + Sync)) {
    let (stream, joined) = intruder(addr, &elsewhere(round), &format!("flood{round}"), "flood");
    flood(&[(stream, frames(&joined, 50_000))], begin);
}

/// Five hundred connections from one address that flood.
fn five_hundred(addr: SocketAddr, round: usize, begin: &(dyn Fn() + Sync)) {
    let from = elsewhere(round + 100);
    let streams: Vec<_> = (0..500)
        .map(|i| {
            let (alias, room) = (format!("flood{round}x{i}"), format!("flood{}", i % 10));
            let (stream, joined) = intruder(addr, &from, &alias, &room);
            (stream, frames(&joined, 500))
        })
        .collect();
    flood(&streams, begin);
}

/// Two thousand connect and join at once.
fn two_thousand_join(addr: SocketAddr, round: usize, begin: &(dyn Fn() + Sync)) {
    let from = elsewhere(round + 200);
    begin();
    let streams: Vec<_> = (0..2000)
        .filter_map(|i| {
            let mut stream = connect_from(addr, &from).ok()?;
            stream.write_all(&greeting(&format!("joiner{round}x{i}"), "crowd")).ok()?;
            stream.set_nonblocking(true).ok()?;
            Some(stream)
        })
        .collect();
    let (since, mut buffer) = (Instant::now(), [0; 64 * 1024]);
    while since.elapsed() < MEASURED {
        streams.iter().for_each(|stream| drop((&*stream).read(&mut buffer)));
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn fifty_people_notice_nothing_of_one_who_floods_of_five_hundred_and_of_two_thousand_who_join() {
    let _alone = alone();
    raise_descriptor_limit();
    let (_program, addr) = limited_server("", "--log error");
    let floods = ["one client that floods", "five hundred that flood", "two thousand that join"];
    People::beside(addr, &floods, HICCUP, |i, round, begin| {
        let flood = [one_client, five_hundred, two_thousand_join][i];
        std::thread::scope(|scope| {
            scope
                .spawn(|| {
                    step_back();
                    flood(addr, round, begin);
                })
                .join()
                .unwrap();
        });
    });
}
