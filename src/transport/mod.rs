//! Byte streams of the library's own. Any other that is `AsyncRead + AsyncWrite` will do as well.

pub mod memory;
