//! Texts that are published.

use std::fmt;

use super::chars::is_control;

/// The most lines that a text may have. Longer ones, which would push everything else from every screen, are for
/// files.
const MAX_LINES: usize = 1000;

/// Why a text was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TextError {
    /// The bytes are not UTF-8.
    NotUtf8,
    /// A control character other than newline and tab.
    Character(char),
    /// It has more lines than a text may have.
    Lines,
}

impl fmt::Display for TextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotUtf8 => f.write_str("the text is not valid UTF-8; encode it as UTF-8 and send it again"),
            Self::Character(c) => {
                write!(f, "the text holds the control character U+{:04X}; remove it and send again", u32::from(*c))
            }
            Self::Lines => write!(f, "the text has more than {MAX_LINES} lines; split it"),
        }
    }
}

/// Check a message's text: valid UTF-8 without control characters other than newline and tab, and not too many
/// lines.
pub(crate) fn check_text(bytes: &[u8]) -> Result<&str, TextError> {
    let text = std::str::from_utf8(bytes).map_err(|_| TextError::NotUtf8)?;
    if bytes.len() > MAX_LINES && bytes.iter().filter(|&&b| b == b'\n').count() >= MAX_LINES {
        return Err(TextError::Lines);
    }
    // Printable ASCII, newline and tab are nearly all there is: one pass without decoding characters.
    if bytes.iter().all(|&b| (0x20..0x7f).contains(&b) || b == b'\n' || b == b'\t') {
        return Ok(text);
    }
    match text.chars().find(|&c| is_control(c) && c != '\n' && c != '\t') {
        Some(c) => Err(TextError::Character(c)),
        None => Ok(text),
    }
}
