//! What may be said: which characters a name or a text may hold, and how a client shows what it was sent.
//!
//! Every entry into the system (wire, builder, command line) uses these functions, and every client passes what it
//! prints through [`display_line`] or [`display_text`], whatever the server promised: a terminal can't be attacked
//! by an alias.

use std::borrow::Cow;
use std::fmt;

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
        /// The longest allowed, in Unicode scalar values.
        max: usize,
    },
    /// It holds a character that can't be seen, moves others about, or is white space where none may be.
    Character {
        /// What kind of name.
        what: &'static str,
        /// The character.
        found: char,
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
        }
    }
}

impl std::error::Error for NameError {}

/// Check a name that may hold single spaces inside: an alias.
pub(crate) fn check_name(raw: &str, what: &'static str, max: usize) -> Result<(), NameError> {
    check(raw, what, max, |c| c == ' ')?;
    match raw.chars().next().into_iter().chain(raw.chars().next_back()).find(|c| *c == ' ') {
        Some(found) => Err(NameError::Character { what, found }),
        None => Ok(()),
    }
}

/// Check a name without any white space: a room's.
pub(crate) fn check_word(raw: &str, what: &'static str, max: usize) -> Result<(), NameError> {
    check(raw, what, max, |_| false)
}

fn check(raw: &str, what: &'static str, max: usize, allowed: fn(char) -> bool) -> Result<(), NameError> {
    if raw.is_empty() {
        return Err(NameError::Empty { what });
    }
    // Bytes first: counting the characters of a megabyte for one alias would be work for a stranger.
    if raw.len() > max * 4 || raw.chars().count() > max {
        return Err(NameError::TooLong { what, max });
    }
    match raw.chars().find(|&c| (c.is_whitespace() || is_unsafe(c)) && !allowed(c)) {
        Some(found) => Err(NameError::Character { what, found }),
        None => Ok(()),
    }
}

/// Why a text was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TextError {
    /// The bytes are not UTF-8.
    NotUtf8,
    /// A control character other than newline and tab, or one that turns the writing direction for what follows.
    Character(char),
}

impl fmt::Display for TextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotUtf8 => f.write_str("the text is not valid UTF-8; encode it as UTF-8 and send it again"),
            Self::Character(c) => {
                write!(f, "the text holds the control character U+{:04X}; remove it and send again", u32::from(*c))
            }
        }
    }
}

/// Check a message's text: valid UTF-8 without control characters other than newline and tab.
pub(crate) fn check_text(bytes: &[u8]) -> Result<&str, TextError> {
    let text = std::str::from_utf8(bytes).map_err(|_| TextError::NotUtf8)?;
    // Printable ASCII, newline and tab are nearly all there is: one pass without decoding characters.
    if bytes.iter().all(|&b| (0x20..0x7f).contains(&b) || b == b'\n' || b == b'\t') {
        return Ok(text);
    }
    match text.chars().find(|&c| is_control(c) && c != '\n' && c != '\t') {
        Some(c) => Err(TextError::Character(c)),
        None => Ok(text),
    }
}

/// Make one line that is safe to print: control, invisible and bidi-control characters, line breaks included,
/// become U+FFFD.
pub fn display_line(raw: &str) -> Cow<'_, str> {
    replace(raw, |c| is_unsafe(c) || matches!(c, '\u{2028}' | '\u{2029}'))
}

/// Make a text that is safe to print and keeps its line breaks and tabs.
///
/// What a zero-width joiner holds together (emoji, several scripts) stays together.
pub fn display_text(raw: &str) -> Cow<'_, str> {
    replace(raw, |c| {
        c != '\n'
            && c != '\t'
            && !matches!(c, '\u{200c}' | '\u{200d}')
            && (is_unsafe(c) || matches!(c, '\u{2028}' | '\u{2029}'))
    })
}

fn replace(raw: &str, bad: impl Fn(char) -> bool) -> Cow<'_, str> {
    if raw.chars().any(&bad) {
        raw.chars().map(|c| if bad(c) { '\u{fffd}' } else { c }).collect::<String>().into()
    } else {
        raw.into()
    }
}

/// C0, DEL, C1.
fn is_control(c: char) -> bool {
    c.is_control()
}

/// Control characters and those that can't be seen or that change the direction of their neighbours
/// (Unicode's Default_Ignorable_Code_Point and Bidi_Control, as far as they occur in the wild).
fn is_unsafe(c: char) -> bool {
    is_control(c)
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}'
            | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_escape_sequence_never_reaches_a_terminal() {
        assert_eq!(display_line("a\x1b[2Jb\u{9b}c\n"), "a\u{fffd}[2Jb\u{fffd}c\u{fffd}");
        assert_eq!(display_text("a\x1b]0;x\x07\nb"), "a\u{fffd}]0;x\u{fffd}\nb");
    }

    #[test]
    fn a_direction_override_in_an_alias_is_refused() {
        assert!(matches!(check_name("ab\u{202e}c", "alias", 32), Err(NameError::Character { found: '\u{202e}', .. })));
    }

    #[test]
    fn spaces_are_allowed_inside_an_alias_only() {
        assert!(check_name("Ada L", "alias", 32).is_ok());
        assert!(check_name(" Ada", "alias", 32).is_err());
        assert!(check_name("Ada ", "alias", 32).is_err());
    }

    #[test]
    fn a_text_keeps_newlines_and_refuses_other_controls() {
        assert_eq!(check_text("a\n\tb ✓".as_bytes()), Ok("a\n\tb ✓"));
        assert_eq!(check_text(b"a\x1bb"), Err(TextError::Character('\x1b')));
        assert_eq!(check_text(b"\xff"), Err(TextError::NotUtf8));
    }
}
