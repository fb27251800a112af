//! What a client shows of what it was sent.

use std::borrow::Cow;

use super::MAX_MARKS;
use super::chars::{is_joiner, is_mark, is_unsafe, is_variation};
use super::emoji;

/// Make one line that is safe to print: control, invisible and bidi-control characters, line breaks included,
/// become U+FFFD, and marks that pile up on one character are left out.
///
/// Emoji sequences stay as they are.
pub fn display_line(raw: &str) -> Cow<'_, str> {
    clean(raw, |_| false)
}

/// Make a text that is safe to print and keeps its line breaks and tabs; otherwise as [`display_line`].
///
/// What a zero-width joiner holds together (emoji, several scripts) stays together.
pub fn display_text(raw: &str) -> Cow<'_, str> {
    clean(raw, |c| c == '\n' || c == '\t' || is_joiner(c))
}

fn clean(raw: &str, keep: impl Fn(char) -> bool) -> Cow<'_, str> {
    // Most of what is shown is plain: nothing is to be done for it.
    if raw.bytes().all(|b| (0x20..0x7f).contains(&b)) {
        return raw.into();
    }
    let mut shown = String::with_capacity(raw.len());
    let (mut at, mut marks) = (0, 0);
    while let Some(c) = raw[at..].chars().next() {
        let len = emoji::sequence(&raw[at..]).max(c.len_utf8());
        if len > c.len_utf8() {
            marks = 0;
            shown.push_str(&raw[at..at + len]);
        } else if is_mark(c) {
            marks += 1;
            if marks <= MAX_MARKS {
                shown.push(c);
            }
        } else {
            // What can't be seen doesn't begin a new pile.
            if !is_unsafe(c) && !is_variation(c) {
                marks = 0;
            }
            shown.push(if is_unsafe(c) && !keep(c) { '\u{fffd}' } else { c });
        }
        at += len;
    }
    if shown == raw { raw.into() } else { shown.into() }
}
