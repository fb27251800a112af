//! Frames over a byte stream, for `futures_codec`. The only file that names that crate.

use std::{fmt, io};

use bytes::{Buf, Bytes, BytesMut};
use futures_codec::{Decoder, Encoder};

use super::frame::{self, HEADER_LEN, Header, TooLong};

/// One whole frame that owns its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnedFrame {
    /// Its header.
    pub header: Header,
    /// Its body, of the header's length.
    pub body: Bytes,
}

impl OwnedFrame {
    /// Look at it as the borrowed form that the decoders take.
    pub fn as_frame(&self) -> frame::Frame<'_> {
        frame::Frame { header: self.header, body: &self.body }
    }
}

/// Why a stream of frames ended early. After any of these the stream can't be read on.
#[derive(Debug)]
#[non_exhaustive]
pub enum CodecError {
    /// The transport failed.
    Io(io::Error),
    /// A header announces more than is allowed.
    TooLong(TooLong),
}

impl fmt::Display for CodecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(e) => write!(f, "the connection failed: {e}"),
            Self::TooLong(e) => e.fmt(f),
        }
    }
}

impl std::error::Error for CodecError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(e) => Some(e),
            Self::TooLong(e) => Some(e),
        }
    }
}

impl From<io::Error> for CodecError {
    fn from(e: io::Error) -> Self {
        Self::Io(e)
    }
}

/// Cut a byte stream into frames, and write frames that are encoded already.
#[derive(Debug, Clone)]
pub struct FrameCodec {
    max_body: u32,
}

impl FrameCodec {
    /// Refuse bodies longer than `max_body` bytes when decoding.
    pub const fn new(max_body: u32) -> Self {
        Self { max_body }
    }

    /// Change the limit, once a `Welcome` has told it.
    pub fn set_max_body(&mut self, max_body: u32) {
        self.max_body = max_body;
    }
}

impl Decoder for FrameCodec {
    type Item = OwnedFrame;
    type Error = CodecError;

    fn decode(&mut self, src: &mut BytesMut) -> Result<Option<OwnedFrame>, CodecError> {
        let Some((frame, used)) = frame::split(src, self.max_body).map_err(CodecError::TooLong)? else {
            return Ok(None);
        };
        // A copy: a frozen slice would pin the whole read buffer for as long as one short message is kept.
        let owned = OwnedFrame { header: frame.header, body: Bytes::copy_from_slice(frame.body) };
        src.advance(used);
        if src.is_empty() && src.capacity() > 64 * 1024 {
            *src = BytesMut::new();
        }
        Ok(Some(owned))
    }
}

impl Encoder for FrameCodec {
    /// One or more frames, encoded by [`encode`](super::encode).
    type Item = Bytes;
    type Error = CodecError;

    fn encode(&mut self, item: Bytes, dst: &mut BytesMut) -> Result<(), CodecError> {
        debug_assert!(item.len() >= HEADER_LEN, "an encoded frame has a header");
        dst.extend_from_slice(&item);
        Ok(())
    }
}
