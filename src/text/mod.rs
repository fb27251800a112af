//! What may be said: which characters a name or a text may hold, and how a client shows what it was sent.
//!
//! Every entry into the system (wire, builder, application, command line) uses these functions, and every client passes
//! what it prints through [`display_line`] or [`display_text`], whatever the server promised: a terminal can't be
//! attacked by an alias.
//!
//! | | names (aliases, rooms) | texts |
//! |---|---|---|
//! | form | brought into NFC | kept byte for byte |
//! | length | in characters as people count them (grapheme clusters) | in bytes, and at most 1,000 lines |
//! | control characters | refused | refused, but for newline and tab |
//! | direction (bidi) controls | refused | taken; shown as U+FFFD |
//! | invisible ones, white space | refused, but for single spaces inside an alias | taken; invisible ones are shown as U+FFFD, but for joiners |
//! | emoji | taken, whole sequences too: families, skin tones, keycaps, flags | taken |
//! | combining marks | at most 5 in a row | taken; at most 5 in a row are shown |
//! | private use, noncharacters | refused | taken |
//!
//! A new alias holds no `*`, `?` or `"`, begins with none of `@`, `#` and `/`, and is no address or network: commands would
//! take it for something else. A new room's name holds no `"` and begins with no `@`. Names from before are kept.
//!
//! What is invisible inside an emoji sequence is a part of it: such a sequence is taken and shown as it is. Joiners
//! between letters, as Persian and the scripts of India use them, are kept in texts and refused in names.

mod body;
mod chars;
#[cfg(test)]
mod corpus;
mod display;
mod emoji;
mod names;
mod skeleton;

pub(crate) use body::check_text;
pub use display::{display_line, display_text};
pub use names::NameError;
pub(crate) use names::{check_name, check_word, composed, graphemes, mistaken, mistaken_room};
pub(crate) use skeleton::{is_reserved, looks, skeleton};

/// The most combining marks in a row that a name may hold, and that are shown. Hebrew with vowels and accents needs
/// five; what goes beyond is there to cover the lines around it.
const MAX_MARKS: usize = 5;
