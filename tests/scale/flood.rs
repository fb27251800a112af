//! Those who do as much as they can, beside fifty who talk as people do.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use chatnet::protocol::message::*;
use chatnet::protocol::to_frame;
use parking_lot::Mutex;
use socket2::{Domain, Socket, Type};

use crate::support::*;
use crate::{Raise, alone, assert_not_held_up, limited_server, p99, raise_descriptor_limit};

/// What a busy machine, with the floods' own clients on it and two thousand sockets to read, may add to figures of a
/// millisecond. Without limits it is seconds.
const HICCUP: Duration = Duration::from_millis(250);

const PEOPLE: usize = 50;

/// Each of them says something so often.
const EVERY: Duration = Duration::from_secs(1);

/// How long the usual course of things is measured, and each flood.
const MEASURED: Duration = Duration::from_secs(3);

/// Where floods come from: another address than people's.
const ELSEWHERE: &str = "127.0.0.2:0";

/// Connect from another address of this machine.
fn elsewhere(addr: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&ELSEWHERE.parse::<SocketAddr>().unwrap().into())?;
    socket.connect(&addr.into())?;
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// Floods come from elsewhere: here they have what the server and the people leave of this machine.
fn step_back() {
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
fn intruder(addr: SocketAddr, alias: &str, room: &str) -> (TcpStream, Joined) {
    let mut wire = Wire::over(elsewhere(addr).unwrap());
    wire.raw(&greeting(alias, room));
    let joined = wire.skip_to::<Joined>();
    (wire.stream, joined)
}

/// People who talk in one room; how long their messages took to each of the others is told by part.
#[derive(Default)]
struct People {
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
fn one_client(addr: SocketAddr, begin: &dyn Fn()) {
    let (stream, joined) = intruder(addr, "flood", "flood");
    flood(&[(stream, frames(&joined, 50_000))], begin);
}

/// Five hundred connections from one address that flood.
fn five_hundred(addr: SocketAddr, begin: &dyn Fn()) {
    let streams: Vec<_> = (0..500)
        .map(|i| {
            let (stream, joined) = intruder(addr, &format!("flood{i}"), &format!("flood{}", i % 10));
            (stream, frames(&joined, 500))
        })
        .collect();
    flood(&streams, begin);
}

/// Two thousand connect and join at once.
fn two_thousand_join(addr: SocketAddr, begin: &dyn Fn()) {
    begin();
    let streams: Vec<_> = (0..2000)
        .filter_map(|i| {
            let mut stream = elsewhere(addr).ok()?;
            stream.write_all(&greeting(&format!("joiner{i}"), "crowd")).ok()?;
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

/// Floods the server at an address, and calls what is to be done meanwhile.
type Flood = fn(SocketAddr, &dyn Fn());

#[test]
fn fifty_people_notice_nothing_of_one_who_floods_of_five_hundred_and_of_two_thousand_who_join() {
    let _alone = alone();
    raise_descriptor_limit();
    let (_program, addr) = limited_server("", "--log error");
    let (people, began) = (People::default(), Instant::now());
    std::thread::scope(|scope| {
        let done = Raise(&people.done);
        for i in 0..PEOPLE {
            let people = &people;
            scope.spawn(move || people.person(addr, i, began));
        }
        // Until all are there, and everybody has been told.
        std::thread::sleep(2 * EVERY);
        people.begin(1);
        std::thread::sleep(MEASURED);
        let floods: [(&str, Flood); 3] = [
            ("one client that floods", one_client),
            ("five hundred that flood", five_hundred),
            ("two thousand that join", two_thousand_join),
        ];
        for (part, (_, flood)) in floods.iter().enumerate() {
            let (people, flood) = (&people, *flood);
            let flooding = scope.spawn(move || {
                step_back();
                flood(addr, &|| people.begin(part + 2));
            });
            flooding.join().unwrap();
            // What is said afterwards isn't measured.
            people.begin(0);
            std::thread::sleep(EVERY);
        }
        drop(done);
        let usual = people.p99(1);
        println!("p99 {usual:?} as usual");
        for (part, (name, _)) in floods.iter().enumerate() {
            println!("p99 {:?} with {name}", people.p99(part + 2));
        }
        for part in 0..floods.len() {
            assert_not_held_up(usual, people.p99(part + 2), HICCUP);
        }
    });
}
