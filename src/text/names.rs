//! Aliases and room names.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use unicode_normalization::UnicodeNormalization;
use unicode_segmentation::UnicodeSegmentation;

use super::MAX_MARKS;
use super::chars::{is_mark, is_nameless};
use super::emoji;

/// A character as people count them may take so many bytes on average: a family of four takes 25, few names are made
/// of families.
const BYTES_PER_CHARACTER: usize = 8;

/// Why a name was refused; its `Display` says what is wrong and what is allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum NameError {
    /// There is nothing in it.
    Empty {
        /// What kind of name.
        what: &'static str,
    },
    /// It is longer than allowed.
    TooLong {
        /// What kind of name.
        what: &'static str,
        /// The longest allowed, in characters as people count them (grapheme clusters).
        max: usize,
    },
    /// It holds a character that can't be seen, moves others about, piles up on others, or is white space where none
    /// may be.
    Character {
        /// What kind of name.
        what: &'static str,
        /// The character.
        found: char,
    },
    /// It would pass for a part of the server.
    Reserved {
        /// What kind of name.
        what: &'static str,
    },
    /// Commands would take it for something else, so that it can't be addressed.
    Mistakable {
        /// What kind of name.
        what: &'static str,
        /// For what.
        taken_for: &'static str,
    },
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty { what } => write!(f, "the {what} is empty; give at least one character"),
            Self::TooLong { what, max } => write!(f, "the {what} is too long; at most {max} characters are allowed"),
            Self::Character { what, found } => {
                write!(f, "the {what} holds the character U+{:04X}, which is not allowed there", u32::from(*found))
            }
            Self::Reserved { what } => write!(f, "the {what} is kept for the server's own use; choose another one"),
            Self::Mistakable { what, taken_for } => {
                write!(f, "the {what} would be taken for {taken_for}; choose another one")
            }
        }
    }
}

impl std::error::Error for NameError {}

/// Take a name that may hold single spaces inside: an alias.
pub(crate) fn check_name(raw: &str, what: &'static str, max: usize) -> Result<Arc<str>, NameError> {
    let name = check(raw, what, max, true)?;
    if name.starts_with(' ') || name.ends_with(' ') || name.contains("  ") {
        return Err(NameError::Character { what, found: ' ' });
    }
    Ok(name)
}

/// Take a name without any white space: a room's.
pub(crate) fn check_word(raw: &str, what: &'static str, max: usize) -> Result<Arc<str>, NameError> {
    check(raw, what, max, false)
}

/// What a command takes an alias for that can't be addressed by it.
pub(crate) fn mistaken(alias: &str) -> Option<&'static str> {
    let address = alias.split('/').next().is_some_and(|first| first.parse::<IpAddr>().is_ok());
    if alias.contains(['*', '?']) {
        Some("a mask, for it holds * or ?")
    } else if alias.contains('"') {
        Some("a name in quotes, for it holds a quote")
    } else if alias.starts_with(['@', '#', '/']) {
        Some("a direct, a room or a command, for it begins with @, # or /")
    } else if address {
        Some("an address")
    } else {
        None
    }
}

/// The same of a room's name.
pub(crate) fn mistaken_room(name: &str) -> Option<&'static str> {
    if name.starts_with('@') {
        Some("a direct, for it begins with @")
    } else if name.contains('"') {
        Some("a name in quotes, for it holds a quote")
    } else {
        None
    }
}

/// The first `max` characters of a name, as people count them.
pub(crate) fn graphemes(name: &str, max: usize) -> &str {
    name.grapheme_indices(true).nth(max).map_or(name, |(end, _)| &name[..end])
}

/// A name in Unicode's form NFC, as all names are kept.
pub(crate) fn composed(name: &str) -> Cow<'_, str> {
    if name.is_ascii() { name.into() } else { name.nfc().collect::<String>().into() }
}

fn check(raw: &str, what: &'static str, max: usize, spaces: bool) -> Result<Arc<str>, NameError> {
    if raw.is_empty() {
        return Err(NameError::Empty { what });
    }
    // Bytes first: to look at a megabyte for one alias would be work for a stranger.
    if raw.len() > max * BYTES_PER_CHARACTER {
        return Err(NameError::TooLong { what, max });
    }
    let name: Arc<str> = composed(raw).into();
    if let Some(found) = first_bad(&name, spaces) {
        return Err(NameError::Character { what, found });
    }
    if name.len() > max * BYTES_PER_CHARACTER || name.len() > max && name.graphemes(true).count() > max {
        return Err(NameError::TooLong { what, max });
    }
    Ok(name)
}

fn first_bad(name: &str, spaces: bool) -> Option<char> {
    // At its beginning a mark would change what stands before the name.
    let (mut at, mut marks) = (0, MAX_MARKS);
    while let Some(c) = name[at..].chars().next() {
        let emoji = emoji::sequence(&name[at..]);
        marks = if is_mark(c) { marks + 1 } else { 0 };
        if emoji == 0 && (is_nameless(c) && !(spaces && c == ' ') || marks > MAX_MARKS) {
            return Some(c);
        }
        at += emoji.max(c.len_utf8());
    }
    None
}
