//! The bytes on the wire: what was sent once is understood for ever, however it arrives; and no bytes do harm.

mod golden;
mod properties;
