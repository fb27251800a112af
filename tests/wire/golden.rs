//! Frames as released versions sent them, byte for byte, in `v1.hex`. Lines are added there and never changed: an old
//! peer's bytes have to mean the same for ever.
//!
//! To add one: a row in [`rows::rows`], then run the test; it prints the lines that `v1.hex` lacks.

use std::collections::{BTreeMap, BTreeSet};

use chatnet::protocol::event::PublishRef;
use chatnet::protocol::frame::{self, Header};
use chatnet::protocol::message::*;
use chatnet::protocol::{decode, encode, to_frame};

mod rows;

use rows::*;

const FILE: &str = include_str!("v1.hex");

/// The body of an event that tells a change in a room: the same for ever, like a frame.
#[test]
fn a_change_in_a_room_reads_as_it_was_written() {
    let change = RoomChange {
        whom: Some(person(BOB, "bob", 0)),
        text: Some("spam".into()),
        until: Some(AT),
        value: Some(2),
        settings: Some(settings()),
        mask: Some("spam*".into()),
    };
    let hex = "8684".to_owned()
        + "50"
        + &"cd".repeat(16)
        + "0163626f6200"
        + "647370616d"
        + "1b0000018bcfe5687b"
        + "02"
        + "8602637465611864f5f401"
        + "657370616d2a";
    let bytes = minicbor::to_vec(&change).unwrap();
    assert_eq!(bytes.iter().map(|b| format!("{b:02x}")).collect::<String>(), hex);
    assert_eq!(minicbor::decode::<RoomChange>(&bytes).unwrap(), change);
}

/// The file's frames by name: a name at the start of a line, its bytes in the indented ones below; `;` begins a comment.
fn file() -> BTreeMap<&'static str, Vec<u8>> {
    let mut frames: BTreeMap<&str, Vec<u8>> = BTreeMap::new();
    let mut name = None;
    for line in FILE.lines() {
        let text = line.split(';').next().unwrap().trim_end();
        if text.starts_with(' ') {
            let digits: Vec<u8> = text.bytes().filter(|b| *b != b' ').collect();
            let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).expect(line);
            frames.get_mut(name.expect("a name comes first")).unwrap().extend(digits.chunks(2).map(byte));
        } else if !text.is_empty() {
            name = Some(text);
            assert!(frames.insert(text, Vec::new()).is_none(), "{text:?} is there twice");
        }
    }
    frames
}

fn cut(bytes: &[u8]) -> (Header, &[u8]) {
    let (frame, used) = frame::split(bytes, u32::MAX).unwrap().expect("the frame is whole");
    assert_eq!(used, bytes.len(), "there is more than one frame");
    (frame.header, frame.body)
}

/// A frame as lines for the file.
fn lines(name: &str, frame: &[u8]) -> String {
    let (header, body) = cut(frame);
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    let head = format!("{} {} {} {}", hex(&frame[..4]), hex(&frame[4..6]), hex(&frame[6..7]), hex(&frame[7..8]));
    let kind = Kind(header.kind).name().unwrap_or("?");
    let body: String = body.chunks(32).map(|chunk| format!("    {}\n", hex(chunk))).collect();
    format!("{name}\n    {head} ; {} bytes, {kind}\n    ; {}\n{body}", header.length, minicbor::display(&frame[8..]))
}

#[test]
fn every_frame_that_was_ever_sent_still_means_the_same_and_is_still_sent_so() {
    let file = file();
    let mut wrong = String::new();
    for row in rows() {
        let Some(bytes) = file.get(row.name) else {
            match &row.made {
                Some(made) => wrong += &format!("v1.hex lacks:\n{}", lines(row.name, made)),
                None => wrong += &format!("v1.hex lacks {:?}\n", row.name),
            }
            continue;
        };
        let (header, body) = cut(bytes);
        assert_eq!((header.kind, header.class, header.flags), (row.kind.0, row.class, 0), "{}", row.name);
        assert!((row.reads)(body), "{} no longer reads as what it meant", row.name);
        if let Some(made) = row.made.filter(|made| made != bytes) {
            wrong +=
                &format!("{:?} is encoded differently from what v1.hex has:\n{}", row.name, lines(row.name, &made));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    let known: BTreeSet<_> = rows().iter().map(|row| row.name).collect();
    let rowless: Vec<_> = file.keys().filter(|name| !known.contains(*name)).collect();
    assert!(rowless.is_empty(), "frames without a row that says what they mean: {rowless:?}");
}

#[test]
fn every_kind_has_a_frame() {
    let there: BTreeSet<u16> = rows().iter().map(|row| row.kind.0).collect();
    let missing: Vec<_> = (0..=u16::MAX).filter(|k| !there.contains(k)).filter_map(|k| Kind(k).name()).collect();
    assert!(missing.is_empty(), "no golden frame of {missing:?}");
}

/// What a later version may add, a peer of this one reads over: the frames of the file with more elements at the end.
#[test]
fn elements_that_a_later_version_adds_change_nothing() {
    // More than any message has; null is what a known optional element may be.
    const ELEMENTS: usize = 20;
    let file = file();
    for row in rows().into_iter().filter(|row| row.made.is_some()) {
        let (_, body) = cut(&file[row.name]);
        let count = usize::from(body[0] - 0x80);
        let mut later = vec![0x80 + ELEMENTS as u8 + 3];
        later.extend_from_slice(&body[1..]);
        later.resize(later.len() + ELEMENTS - count, 0xf6);
        // A map, a tagged text, an array of open length.
        later.extend_from_slice(&[0xa1, 0x01, 0x02, 0xc1, 0x61, 0x78, 0x9f, 0x01, 0xff]);
        assert!((row.reads)(&later), "{}", row.name);
        let absent = &later[..later.len() - 9];
        assert!(!(row.reads)(absent), "{} with elements announced and not there", row.name);
    }
}

/// The hot path has an encoder and a decoder of its own for the same bytes.
#[test]
fn the_short_cuts_of_the_hot_path_speak_the_same_language() {
    let file = file();
    assert_eq!(lines("deliver", &quick_deliver(&deliver(None, None))), lines("deliver", &file["deliver"]));
    for (name, source, own) in [("deliver as replay", 1, None), ("deliver own as history", 2, Some(7))] {
        let whole = to_frame(&deliver(Some(source), own));
        assert_eq!(cut(&whole).1, cut(&file[name]).1, "{name}");
    }
    for name in ["publish", "publish on a condition"] {
        let (_, body) = cut(&file[name]);
        let whole: Publish = decode(body).unwrap();
        let quick = PublishRef::decode(body).unwrap();
        let bodies = quick.bodies().map(|(kind, bytes)| Body { kind, bytes: bytes.to_vec() }).collect();
        let Publish { room, outbox, n, expected, .. } = whole.clone();
        assert_eq!((quick.room, quick.outbox, quick.n, quick.expected), (room, outbox, n, expected));
        assert_eq!(whole, Publish { bodies, ..whole.clone() });
    }
}

/// Frames behind each other in one buffer are cut where they were joined.
#[test]
fn a_whole_file_of_frames_is_read_in_one_go() {
    let file = file();
    let stream: Vec<u8> = file.values().flatten().copied().collect();
    let mut rest = stream.as_slice();
    let mut again = Vec::new();
    while let Some((frame, used)) = frame::split(rest, 4096).unwrap() {
        again.push(rest[..used].to_vec());
        assert_eq!(frame.body.len() + frame::HEADER_LEN, used);
        rest = &rest[used..];
    }
    assert_eq!(again, file.into_values().collect::<Vec<_>>());
    let mut appended = vec![1, 2, 3];
    encode(&Ping { nonce: 1 }, &mut appended);
    assert_eq!(appended[3..], to_frame(&Ping { nonce: 1 }), "what was in the buffer before stays");
}

/// A published package has no `fuzz/`; there is nothing to look at then.
#[test]
fn every_kind_is_fuzzed() {
    let target = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/fuzz_targets/decode.rs");
    let Ok(source) = std::fs::read_to_string(target) else { return };
    let listed: BTreeSet<_> = source.split(|c: char| !c.is_alphanumeric()).collect();
    let missing: Vec<_> = (0..=u16::MAX).filter_map(|k| Kind(k).name()).filter(|name| !listed.contains(name)).collect();
    assert!(missing.is_empty(), "fuzz_targets/decode.rs doesn't read {missing:?}");
}
