//! Four hundred broken or hostile connections at once.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use chatnet::protocol::message::*;
use chatnet::protocol::{Code, to_frame};

use crate::support::*;
use crate::{Raise, alone, assert_not_held_up, p99, server};

/// The program's limit for a handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// What a busy machine may add to figures of a millisecond.
const HICCUP: Duration = Duration::from_millis(25);

const COUNT: usize = 400;

/// One kind of stranger: what it sends, what it goes on with, a byte a second, and what it is told in the end.
struct Stranger {
    name: &'static str,
    open: fn(SocketAddr, usize) -> Wire,
    drips: Option<u8>,
    told: Code,
}

fn sends(addr: SocketAddr, bytes: &[u8]) -> Wire {
    let mut wire = Wire::connect(addr);
    // A server that has closed already is fine.
    let _ = wire.stream.write_all(bytes);
    wire
}

/// A session with a room of its own.
fn inside(addr: SocketAddr, i: usize) -> (Wire, Joined) {
    Wire::member(addr, &format!("stranger{i}"), &format!("room{i}"))
}

const STRANGERS: &[Stranger] = &[
    Stranger {
        // One that is answered in frames; HTTP, SSH and TLS have answers of their own.
        name: "an IRC client",
        open: |addr, _| sends(addr, b"NICK ada\r\nUSER ada 0 * :Ada\r\n"),
        drips: None,
        told: Code::NOT_CHATNET,
    },
    Stranger {
        name: "a wrong magic",
        open: |addr, _| sends(addr, &to_frame(&Hello { magic: b"chatter".to_vec().into(), ..hello() })),
        drips: None,
        told: Code::NOT_CHATNET,
    },
    Stranger {
        name: "another version",
        open: |addr, _| sends(addr, &to_frame(&Hello { min_version: 7, max_version: 9, ..hello() })),
        drips: None,
        told: Code::UNSUPPORTED_VERSION,
    },
    Stranger {
        name: "an oversize length",
        open: |addr, _| sends(addr, &[&[0, 0, 0x10, 1, 0, 1, 0, 0][..], &[0x5a; 4000]].concat()),
        drips: None,
        told: Code::FRAME_TOO_LONG,
    },
    Stranger {
        name: "garbage",
        open: |addr, i| {
            // A linear congruence, so that a failure comes again; its first byte makes no small length.
            let noise = (0..64 * 1024u32).scan(i as u32, |x, _| {
                *x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                Some((*x >> 24) as u8)
            });
            sends(addr, &[0x80].into_iter().chain(noise).collect::<Vec<_>>())
        },
        drips: None,
        told: Code::FRAME_TOO_LONG,
    },
    Stranger {
        name: "half a frame and silence",
        open: |addr, _| sends(addr, &to_frame(&hello())[..13]),
        drips: None,
        told: Code::HANDSHAKE_TIMEOUT,
    },
    Stranger { name: "silence", open: |addr, _| sends(addr, &[]), drips: None, told: Code::HANDSHAKE_TIMEOUT },
    Stranger {
        name: "a Hello of one byte a second",
        open: |addr, _| sends(addr, &[0, 0, 0x0f, 0xff, 0, 1, 0, 0]),
        drips: Some(0x86),
        told: Code::HANDSHAKE_TIMEOUT,
    },
    Stranger {
        name: "a large frame of one byte a second, from inside",
        open: |addr, i| {
            let mut wire = inside(addr, i).0;
            wire.raw(&[0, 1, 0xf0, 0, 1, 5, 1, 0]);
            wire
        },
        drips: Some(0x84),
        told: Code::FRAME_TIMEOUT,
    },
    Stranger {
        name: "a text that is no UTF-8, and silence",
        open: |addr, i| {
            let (mut wire, joined) = inside(addr, i);
            let bodies = vec![Body { kind: EventKind::TEXT, bytes: vec![b'x', 0xff, 0xfe] }];
            wire.send(&Publish { bodies, ..publish(joined.room, outbox(), 1, &[]) });
            assert_eq!(wire.expect::<Refused>().code, Code::TEXT_INVALID);
            wire
        },
        drips: None,
        told: Code::IDLE_TIMEOUT,
    },
];

/// Why the server ended a connection, as its last frame says.
fn told(wire: &mut Wire) -> Option<Code> {
    let last = wire.rest().pop()?;
    if last.is(Kind::Bye) { Some(last.read::<Bye>().code) } else { Some(last.read::<ErrorReply>().code) }
}

#[test]
fn four_hundred_strangers_are_turned_away_in_time_and_cost_neither_memory_nor_the_others() {
    let _alone = alone();
    crate::raise_descriptor_limit();
    let (program, addr) = server("", "--heartbeat 1 --log error");
    let pid = program.child.id();
    let watch = Watch::default();
    std::thread::scope(|scope| {
        let talking = scope.spawn(|| watch.talk(addr, pid));
        let talked = Raise(&watch.done);
        watch.wait_for(1000);
        watch.begun.store(true, Ordering::SeqCst);

        let opened = Instant::now();
        let strangers = (0..COUNT).map(|i| &STRANGERS[i % STRANGERS.len()]);
        let mut wires: Vec<_> = strangers.clone().enumerate().map(|(i, s)| (s.open)(addr, i)).collect();
        let drips: Vec<_> = strangers
            .clone()
            .zip(&wires)
            .filter_map(|(s, wire)| Some((s.drips?, wire.stream.try_clone().unwrap())))
            .collect();
        let done = AtomicBool::new(false);
        let closed = std::thread::scope(|inner| {
            inner.spawn(|| {
                while !done.load(Ordering::SeqCst) {
                    // After its end a connection takes no more, which is fine.
                    drips.iter().for_each(|(byte, stream)| drop((&*stream).write(&[*byte])));
                    std::thread::sleep(Duration::from_secs(1));
                }
            });
            let _dripped = Raise(&done);
            for (stranger, wire) in strangers.zip(&mut wires) {
                assert_eq!(told(wire), Some(stranger.told), "{}", stranger.name);
            }
            opened.elapsed()
        });
        drop(talked);
        let (before, during, grown) = talking.join().unwrap();
        println!("p99 {before:?} before, {during:?} with {COUNT} strangers, all gone after {closed:?}; ");
        println!("the server had at most {} KiB more than before", grown / 1024);
        // The slack is for opening them, and for a busy machine.
        assert!(closed < 2 * HANDSHAKE, "the last one was closed after {closed:?}");
        assert!(grown < 16 << 20, "{} KiB", grown / 1024);
        assert_not_held_up(before, during, HICCUP);
    });
}

/// Two who talk all the time, as it was before the strangers came and while they are there.
#[derive(Default)]
struct Watch {
    rounds: AtomicUsize,
    begun: AtomicBool,
    done: AtomicBool,
}

impl Watch {
    fn wait_for(&self, rounds: usize) {
        let since = Instant::now();
        while self.rounds.load(Ordering::SeqCst) < rounds {
            assert!(since.elapsed() < PATIENCE, "the two talk");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// p99 before and during, and by how much the server's memory has grown at most.
    fn talk(&self, addr: SocketAddr, pid: u32) -> (Duration, Duration, usize) {
        let (mut ada, joined) = Wire::member(addr, "ada", "");
        let (mut bob, _) = Wire::member(addr, "bob", "");
        let outboxes = [outbox(), outbox()];
        let (mut before, mut during, mut memory, mut peak) = (Vec::new(), Vec::new(), 0, 0);
        for n in 1.. {
            let begun = self.begun.load(Ordering::SeqCst);
            for (speaker, listener, outbox) in [(0, 1, outboxes[0]), (1, 0, outboxes[1])] {
                let since = Instant::now();
                let pair = [&mut ada, &mut bob];
                pair[speaker].send(&publish(joined.room, outbox, n, &["x"]));
                pair[listener].skip_to::<Deliver>();
                if begun { during.push(since.elapsed()) } else { before.push(since.elapsed()) }
            }
            let now = crate::resident(pid);
            if begun {
                peak = now.max(peak)
            } else {
                memory = now
            }
            self.rounds.fetch_add(1, Ordering::SeqCst);
            if self.done.load(Ordering::SeqCst) {
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        (p99(before), p99(during), peak.saturating_sub(memory))
    }
}
