//! The protocol as the load generator speaks it: written from PROTOCOL.md and without allocating, so that one thread
//! loads a server, and what it finds does not depend on the library's own decoder.

use chatnet::id::{OutboxId, RoomId};
use chatnet::protocol::message::{Attach, Auth, Hello, Join, Kind, MAGIC};
use chatnet::protocol::{Class, encode, frame::HEADER_LEN};

use super::Result;

/// All that leads to a room, sent at once.
pub fn hello(alias: &str, room: &str, out: &mut Vec<u8>) {
    encode(
        &Hello {
            magic: MAGIC.to_vec().into(),
            min_version: 1,
            max_version: 1,
            capabilities: Vec::new(),
            max_body: 131_072,
            agent: "bench".into(),
        },
        out,
    );
    encode(&Auth { mechanism: "guest".into(), data: alias.as_bytes().to_vec().into() }, out);
    encode(&Attach { token: None, cursors: Vec::new(), more: false }, out);
    encode(&Join { request: 1, name: room.into() }, out);
}

/// A `Publish` of one text.
pub fn publish(room: RoomId, outbox: OutboxId, n: u64, text: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&[0, 0, 0, 0, 0x01, 0x05, Class::LIVE.0, 0]);
    out.push(0x84);
    out.push(0x50);
    out.extend_from_slice(room.as_bytes());
    out.push(0x50);
    out.extend_from_slice(outbox.as_bytes());
    head(0, n, out);
    out.extend_from_slice(&[0x81, 0x82, 0x01]);
    head(2, text.len() as u64, out);
    out.extend_from_slice(text);
    let length = (out.len() - start - HEADER_LEN) as u32;
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
}

/// A `Pong` to the `Ping` with this body: the bodies of both are the same.
pub fn pong(ping: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&(ping.len() as u32).to_be_bytes());
    out.extend_from_slice(&[0x00, 0x09, Class::CONTROL.0, 0]);
    out.extend_from_slice(ping);
}

fn head(major: u8, n: u64, out: &mut Vec<u8>) {
    let major = major << 5;
    match n {
        0..24 => out.push(major | n as u8),
        24..0x100 => out.extend_from_slice(&[major | 24, n as u8]),
        0x100..0x1_0000 => {
            out.push(major | 25);
            out.extend_from_slice(&(n as u16).to_be_bytes());
        }
        0x1_0000..0x1_0000_0000 => {
            out.push(major | 26);
            out.extend_from_slice(&(n as u32).to_be_bytes());
        }
        _ => {
            out.push(major | 27);
            out.extend_from_slice(&n.to_be_bytes());
        }
    }
}

/// What the server said, as far as it matters here.
#[derive(Debug)]
pub enum Said<'b> {
    Joined { room: RoomId },
    Ack { n: u64, count: u64 },
    Deliver { seq: u64, events: Events<'b> },
    Ping { body: &'b [u8] },
    Other,
}

/// The first frame of `buf` and the bytes it takes; `None` if it isn't whole.
#[inline]
pub fn next(buf: &[u8]) -> Result<Option<(Said<'_>, usize)>> {
    let Some((header, rest)) = buf.split_first_chunk::<HEADER_LEN>() else { return Ok(None) };
    let length = u32::from_be_bytes([header[0], header[1], header[2], header[3]]) as usize;
    let kind = Kind(u16::from_be_bytes([header[4], header[5]]));
    let Some(body) = rest.get(..length) else { return Ok(None) };
    let said = read(kind, body).ok_or_else(|| format!("{kind:?} can't be read: {body:02x?}"))?;
    if matches!(kind, Kind::ErrorReply | Kind::Bye | Kind::Refused | Kind::Skipped) {
        return Err(format!("the server sent {kind:?}: {}", String::from_utf8_lossy(body)).into());
    }
    Ok(Some((said, HEADER_LEN + length)))
}

#[inline]
fn read(kind: Kind, body: &[u8]) -> Option<Said<'_>> {
    let mut r = Reader { bytes: body, at: 0 };
    Some(match kind {
        Kind::Deliver => {
            r.head()?;
            r.string()?;
            let seq = r.head()?;
            r.string()?;
            r.head()?;
            r.string()?;
            r.head()?;
            let left = r.head()?;
            Said::Deliver { seq, events: Events { left, r } }
        }
        Kind::Ack => {
            r.head()?;
            r.string()?;
            r.string()?;
            Said::Ack { n: r.head()?, count: r.head()? }
        }
        Kind::Joined => {
            r.head()?;
            r.head()?;
            Said::Joined { room: RoomId::from_bytes(r.string()?.try_into().ok()?) }
        }
        Kind::Ping => Said::Ping { body },
        _ => Said::Other,
    })
}

/// The bodies of a `Deliver`'s events.
#[derive(Debug)]
pub struct Events<'b> {
    left: u64,
    r: Reader<'b>,
}

impl<'b> Events<'b> {
    pub fn len(&self) -> u64 {
        self.left
    }

    /// `None` if there is none left, or the frame is malformed; then `len` isn't 0.
    #[inline]
    pub fn next(&mut self) -> Option<&'b [u8]> {
        if self.left == 0 {
            return None;
        }
        self.r.head()?;
        self.r.head()?;
        self.r.head()?;
        let body = self.r.string()?;
        self.left -= 1;
        Some(body)
    }
}

/// Heads and strings of CBOR, one after the other.
#[derive(Debug)]
struct Reader<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl<'b> Reader<'b> {
    #[inline]
    fn head(&mut self) -> Option<u64> {
        let info = self.bytes.get(self.at)? & 31;
        self.at += 1;
        if info < 24 {
            return Some(info.into());
        }
        let size = 1 << info.checked_sub(24).filter(|size| *size < 4)?;
        let bytes = self.bytes.get(self.at..self.at + size)?;
        self.at += size;
        Some(bytes.iter().fold(0, |n, b| n << 8 | u64::from(*b)))
    }

    #[inline]
    fn string(&mut self) -> Option<&'b [u8]> {
        let n = self.head()? as usize;
        let bytes = self.bytes.get(self.at..self.at + n)?;
        self.at += n;
        Some(bytes)
    }
}
