//! An outbox's file: what was sent and is not decided, as records that are appended. Pure: bytes in, bytes out.
//!
//! A record is the length of its body and its checksum (CRC-32), four bytes each, big-endian; then the body, an array in
//! CBOR whose first element says what it is. The first record names the format.

use std::collections::HashMap;
use std::fmt;

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};

use crate::id::{Alias, Lineage, OutboxId, PrincipalId, RoomId, RoomName};

const FORMAT: u16 = 1;
const HEAD: usize = 8;

/// No record is longer, in bytes: a length beyond it is damage.
const MAX_RECORD: usize = 32 << 20;

/// Something that happened to an outbox.
#[derive(Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) enum Record {
    /// The file begins: of this format, with this outbox.
    #[n(0)]
    Begin(#[n(0)] u16, #[n(1)] OutboxId),
    /// Whose session it is.
    #[n(1)]
    Session(#[n(0)] Session),
    /// A room, and the number of its first undecided text.
    #[n(2)]
    Room(#[n(0)] RoomId, #[n(1)] RoomName, #[n(2)] u64),
    /// A text with its number.
    #[n(3)]
    Text(#[n(0)] RoomId, #[n(1)] u64, #[n(2)] String),
    /// All numbers of a room before this one are decided.
    #[n(4)]
    Decided(#[n(0)] RoomId, #[n(1)] u64),
}

/// Who sent the texts, and what continues the session.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Session {
    #[n(0)]
    pub(crate) token: Option<ByteVec>,
    #[n(1)]
    pub(crate) lineage: Lineage,
    #[n(2)]
    pub(crate) principal: PrincipalId,
    #[n(3)]
    pub(crate) alias: Alias,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let token = if self.token.is_some() { "Token(…)" } else { "none" };
        write!(f, "Session({token}, {}, {:?})", self.alias, self.principal)
    }
}

/// What a file holds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Restored {
    pub(crate) outbox: OutboxId,
    pub(crate) session: Option<Session>,
    pub(crate) rooms: Vec<RestoredRoom>,
}

/// What is undecided in a room.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct RestoredRoom {
    pub(crate) id: RoomId,
    pub(crate) name: RoomName,
    pub(crate) first: u64,
    pub(crate) texts: Vec<String>,
}

/// The file is none of an outbox's, or of a later version's.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Foreign;

/// Append a record.
pub(crate) fn write(record: &Record, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&[0; HEAD]);
    let written = minicbor::encode(record, &mut *out);
    debug_assert!(written.is_ok(), "writing to memory can't fail");
    let (len, sum) = ((out.len() - start - HEAD) as u32, crc32(&out[start + HEAD..]));
    out[start..start + 4].copy_from_slice(&len.to_be_bytes());
    out[start + 4..start + HEAD].copy_from_slice(&sum.to_be_bytes());
}

/// The first record, and how many bytes it takes; none at the end, or where the bytes are torn.
fn next(bytes: &[u8]) -> Option<(Record, usize)> {
    let len = u32::from_be_bytes(*bytes.first_chunk()?) as usize;
    let sum = u32::from_be_bytes(*bytes.get(4..)?.first_chunk()?);
    let body = bytes.get(HEAD..HEAD + len.min(MAX_RECORD + 1)).filter(|body| body.len() <= MAX_RECORD)?;
    (crc32(body) == sum).then_some(())?;
    Some((minicbor::decode(body).ok()?, HEAD + len))
}

/// Read a file. What follows a torn record, or one that doesn't fit, was never acted on: it is left out.
///
/// # Errors
///
/// It is not such a file. One without any bytes is: none is restored.
pub(crate) fn read(mut bytes: &[u8]) -> Result<Option<Restored>, Foreign> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let Some((Record::Begin(FORMAT, outbox), used)) = next(bytes) else { return Err(Foreign) };
    bytes = &bytes[used..];
    let mut restored = Restored { outbox, session: None, rooms: Vec::new() };
    let mut places: HashMap<RoomId, usize> = HashMap::new();
    while let Some((record, used)) = next(bytes) {
        bytes = &bytes[used..];
        match record {
            Record::Begin(..) => break,
            Record::Session(session) => restored.session = Some(session),
            Record::Room(id, name, first) => {
                places.entry(id).or_insert_with(|| {
                    restored.rooms.push(RestoredRoom { id, name, first, texts: Vec::new() });
                    restored.rooms.len() - 1
                });
            }
            Record::Text(id, n, text) => {
                let Some(room) = places.get(&id).map(|&place| &mut restored.rooms[place]) else { break };
                if n != room.first + room.texts.len() as u64 {
                    break;
                }
                room.texts.push(text);
            }
            Record::Decided(id, first) => {
                let Some(room) = places.get(&id).map(|&place| &mut restored.rooms[place]) else { break };
                let decided = first.saturating_sub(room.first).min(room.texts.len() as u64);
                room.texts.drain(..decided as usize);
                room.first = first.max(room.first);
            }
        }
    }
    Ok(Some(restored))
}

/// CRC-32 (IEEE 802.3), as in zip and gzip.
fn crc32(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0u32; 256];
        let mut i = 0;
        while i < 256 {
            let (mut c, mut k) = (i as u32, 0);
            while k < 8 {
                c = if c & 1 == 1 { 0xedb8_8320 ^ (c >> 1) } else { c >> 1 };
                k += 1;
            }
            table[i] = c;
            i += 1;
        }
        table
    };
    !bytes.iter().fold(!0, |c, &b| TABLE[((c ^ u32::from(b)) & 0xff) as usize] ^ (c >> 8))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ROOM: RoomId = RoomId::from_bytes([1; 16]);
    const OUTBOX: OutboxId = OutboxId::from_bytes([2; 16]);

    fn file(records: &[Record]) -> Vec<u8> {
        let mut out = Vec::new();
        records.iter().for_each(|record| write(record, &mut out));
        out
    }

    fn texts(from: u64, to: u64) -> Vec<Record> {
        let mut records = vec![Record::Begin(FORMAT, OUTBOX), Record::Room(ROOM, RoomName::parse("a").unwrap(), from)];
        records.extend((from..to).map(|n| Record::Text(ROOM, n, format!("t{n}"))));
        records
    }

    #[test]
    fn the_checksum_is_the_well_known_one() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn what_is_decided_is_gone_and_what_is_not_keeps_its_number() {
        let mut records = texts(5, 9);
        records.push(Record::Decided(ROOM, 7));
        let room = &read(&file(&records)).unwrap().unwrap().rooms[0];
        assert_eq!((room.first, &room.texts[..]), (7, &["t7".to_owned(), "t8".to_owned()][..]));
        // All of it: the next number is known all the same.
        records.push(Record::Decided(ROOM, 9));
        let room = &read(&file(&records)).unwrap().unwrap().rooms[0];
        assert_eq!((room.first, room.texts.len()), (9, 0));
    }

    #[test]
    fn what_is_no_outbox_is_refused_and_nothing_is_an_empty_one() {
        assert_eq!(read(b""), Ok(None));
        assert_eq!(read(b"root:x:0:0:root:/root:/bin/sh\n"), Err(Foreign));
        assert_eq!(read(&file(&[Record::Begin(FORMAT + 1, OUTBOX)])), Err(Foreign));
    }

    #[test]
    fn a_token_is_shown_to_nobody() {
        let (lineage, principal) = (Lineage::from_bytes([3; 16]), PrincipalId::from_bytes([4; 16]));
        let alias = Alias::parse("ada").unwrap();
        let session = Session { token: Some(vec![77; 32].into()), lineage, principal, alias };
        assert!(!format!("{:?}", Record::Session(session)).contains("77"));
    }

    proptest! {
        #[test]
        fn a_torn_tail_loses_only_what_it_tore(count in 0u64..20, cut in 0usize..2000, flip in any::<Option<u8>>()) {
            let whole = file(&texts(1, 1 + count));
            let begin = file(&texts(1, 1)).len();
            let cut = begin + cut % (whole.len() - begin + 1);
            let mut torn = whole[..cut].to_vec();
            if let (Some(bit), true) = (flip, cut > begin) {
                *torn.last_mut().unwrap() ^= 1 << (bit % 8);
            }
            let kept = read(&torn).unwrap().unwrap().rooms.remove(0).texts;
            let all: Vec<String> = (1..=count).map(|n| format!("t{n}")).collect();
            prop_assert!(all.starts_with(&kept));
            // Every text that lies before the damage whole is there.
            let damaged = if flip.is_some() { cut.saturating_sub(1) } else { cut };
            let fit = (0..=count).rev().find(|n| file(&texts(1, 1 + n)).len() <= damaged.max(begin)).unwrap();
            prop_assert_eq!(kept.len() as u64, fit);
        }

        #[test]
        fn no_bytes_do_harm(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&bytes);
            let mut behind = file(&texts(1, 3));
            behind.extend(bytes);
            prop_assert_eq!(read(&behind).unwrap().unwrap().rooms[0].texts.len(), 2);
        }
    }
}
