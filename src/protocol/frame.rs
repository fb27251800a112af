//! The frame: eight bytes of header that never change between versions, then a body.

use std::fmt;

/// Bytes of a frame's header.
pub const HEADER_LEN: usize = 8;

/// The longest body before a `Welcome`, in either direction, in bytes.
pub const MAX_HANDSHAKE_BODY: u32 = 4096;

/// How urgent a frame is. A sender puts control before live before bulk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Class(pub u8);

impl Class {
    /// Replies, acks, heartbeats, presence.
    pub const CONTROL: Class = Class(0);
    /// Events as they happen.
    pub const LIVE: Class = Class(1);
    /// Replay, history, files: sent only against byte credits of the receiver.
    pub const BULK: Class = Class(2);
}

/// Flag in a header: a receiver that doesn't know the kind must refuse it instead of skipping it.
pub const FLAG_REQUIRED: u8 = 1;

/// A frame's header: body length (u32, big-endian), kind (u16, big-endian), class (u8), flags (u8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Bytes of body that follow.
    pub length: u32,
    /// What the body means, see [`Kind`](crate::protocol::Kind).
    pub kind: u16,
    /// How urgent it is.
    pub class: Class,
    /// Bit 0: [`FLAG_REQUIRED`]; the others are sent as 0 and ignored.
    pub flags: u8,
}

impl Header {
    /// The eight bytes.
    pub const fn to_bytes(self) -> [u8; HEADER_LEN] {
        let l = self.length.to_be_bytes();
        let k = self.kind.to_be_bytes();
        [l[0], l[1], l[2], l[3], k[0], k[1], self.class.0, self.flags]
    }

    /// Read the eight bytes; every value is possible.
    pub const fn from_bytes(b: [u8; HEADER_LEN]) -> Self {
        Self {
            length: u32::from_be_bytes([b[0], b[1], b[2], b[3]]),
            kind: u16::from_be_bytes([b[4], b[5]]),
            class: Class(b[6]),
            flags: b[7],
        }
    }
}

/// One whole frame, borrowed from the buffer it was read into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Its header.
    pub header: Header,
    /// Its body, of the header's length.
    pub body: &'a [u8],
}

/// A length beyond the limit. Nothing of the body was buffered, and the stream can't be read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLong {
    /// What the header announces, in bytes.
    pub length: u32,
    /// What is allowed, in bytes.
    pub max: u32,
    /// The first eight bytes, to tell a stranger from a chatnet peer.
    pub head: [u8; HEADER_LEN],
}

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match stranger(&self.head) {
            Some(what) => write!(f, "this is a chatnet port and the peer seems to speak {what}"),
            None => write!(f, "a frame of {} bytes is longer than the {} allowed", self.length, self.max),
        }
    }
}

impl std::error::Error for TooLong {}

/// Take the first frame from `buf`, and say how many bytes it takes there.
///
/// `Ok(None)` means that more bytes are needed.
///
/// # Errors
///
/// The header announces a body longer than `max`; known as soon as its first four bytes are there.
pub fn split(buf: &[u8], max: u32) -> Result<Option<(Frame<'_>, usize)>, TooLong> {
    let Some(length) = buf.first_chunk::<4>().map(|b| u32::from_be_bytes(*b)) else {
        return Ok(None);
    };
    if length > max {
        let mut head = [0; HEADER_LEN];
        let n = buf.len().min(HEADER_LEN);
        head[..n].copy_from_slice(&buf[..n]);
        return Err(TooLong { length, max, head });
    }
    let Some(header) = buf.first_chunk::<HEADER_LEN>().map(|b| Header::from_bytes(*b)) else {
        return Ok(None);
    };
    let end = HEADER_LEN + length as usize;
    Ok(buf.get(HEADER_LEN..end).map(|body| (Frame { header, body }, end)))
}

/// Guess which other protocol a connection's first bytes belong to.
///
/// All of these announce, read as a header, a body longer than [`MAX_HANDSHAKE_BODY`].
pub fn stranger(head: &[u8]) -> Option<&'static str> {
    const HTTP: [&[u8]; 9] = [b"GET ", b"POST", b"HEAD", b"PUT ", b"DELE", b"OPTI", b"CONN", b"PRI ", b"HTTP"];
    if head.starts_with(&[0x16, 0x03]) || head.starts_with(&[0x15, 0x03]) {
        Some("TLS")
    } else if head.starts_with(b"SSH-") {
        Some("SSH")
    } else if HTTP.iter().any(|verb| head.starts_with(verb)) {
        Some("HTTP")
    } else if head.starts_with(b"NICK") || head.starts_with(b"USER") || head.starts_with(b"CAP ") {
        Some("IRC")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_beyond_the_limit_is_refused_before_the_body_arrives() {
        let e = split(&[0, 0, 0x10, 1], 4096).unwrap_err();
        assert_eq!((e.length, e.max), (4097, 4096));
    }

    #[test]
    fn a_frame_is_taken_once_it_is_whole() {
        let mut bytes = Header { length: 2, kind: 7, class: Class::LIVE, flags: 0 }.to_bytes().to_vec();
        bytes.extend_from_slice(b"hi");
        for cut in 0..bytes.len() {
            assert_eq!(split(&bytes[..cut], 10), Ok(None), "cut at {cut}");
        }
        let (frame, used) = split(&bytes, 10).unwrap().unwrap();
        assert_eq!((frame.body, used, frame.header.kind), (&b"hi"[..], 10, 7));
    }

    #[test]
    fn strangers_are_recognised_by_their_first_bytes() {
        assert_eq!(stranger(b"GET / HTTP/1.1"), Some("HTTP"));
        assert_eq!(stranger(&[0x16, 0x03, 0x01, 0x02]), Some("TLS"));
        assert_eq!(stranger(b"SSH-2.0-OpenSSH"), Some("SSH"));
        assert_eq!(stranger(&[0, 0, 0, 20, 0, 1, 0, 0]), None);
    }
}
