#![doc = include_str!("PROTOCOL.md")]

pub mod code;
pub mod codec;
pub mod event;
pub mod frame;
pub mod message;

pub use code::Code;
pub use frame::{Class, Frame};
pub use message::{EventKind, Kind, Message, PrincipalKind, SkipReason, Source};

use frame::HEADER_LEN;

/// The protocol version that this crate speaks.
pub const VERSION: u16 = 1;

/// The most bodies in one `Publish`, and the most rooms in one `Progress`.
pub const MAX_ITEMS: usize = 512;

/// The most cursors in the `Attach` frames of one connection.
pub const MAX_CURSORS: usize = 4096;

/// A body that can't be read as the message its kind announces.
pub type DecodeError = minicbor::decode::Error;

/// Append a message as a whole frame.
pub fn encode<M: Message>(message: &M, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&[0; HEADER_LEN]);
    // `Vec` as a writer never fails, and no derived encoder refuses a value.
    let written = minicbor::encode(message, &mut *out);
    debug_assert!(written.is_ok(), "writing to memory can't fail");
    event::finish(out, start, M::KIND, M::CLASS);
}

/// A message as the bytes of one frame.
pub fn to_frame<M: Message>(message: &M) -> Vec<u8> {
    let mut out = Vec::with_capacity(64);
    encode(message, &mut out);
    out
}

/// Read a body as the message `M`; elements that a later version added are skipped.
///
/// # Errors
///
/// The bytes are not an `M`.
pub fn decode<M: Message>(body: &[u8]) -> Result<M, DecodeError> {
    minicbor::decode(body)
}
