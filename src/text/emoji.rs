//! Emoji sequences: what is invisible inside them is no trick.

/// The most pictures that one sequence joins; the longest in use have four.
const MAX_JOINED: usize = 5;

/// The flags that are written by invisible tags: of England, Scotland and Wales.
const TAGGED: [&str; 3] = ["gbeng", "gbsct", "gbwls"];

/// The length in bytes of the emoji sequence that `text` begins with; 0 if it begins with none. A sequence is
/// never a part of a longer one.
pub(super) fn sequence(text: &str) -> usize {
    let mut len = element(text);
    for _ in 1..MAX_JOINED {
        let Some(rest) = text[len..].strip_prefix('\u{200d}').filter(|_| len > 0) else { break };
        match element(rest) {
            0 => break,
            more => len += '\u{200d}'.len_utf8() + more,
        }
    }
    len
}

/// A picture with what changes its looks, a keycap, or a flag of tags.
fn element(text: &str) -> usize {
    let mut chars = text.chars();
    let Some(first) = chars.next() else { return 0 };
    if matches!(first, '0'..='9' | '#' | '*') {
        let rest = chars.as_str();
        let rest = rest.strip_prefix('\u{fe0f}').unwrap_or(rest);
        return rest.strip_prefix('\u{20e3}').map_or(0, |rest| text.len() - rest.len());
    }
    if !is_picture(first) {
        return 0;
    }
    if first == '\u{1f3f4}'
        && let Some(len) = tags(chars.as_str())
    {
        return first.len_utf8() + len;
    }
    let mut rest = chars.as_str();
    // How it is shown (as text, as a picture), or its skin's tone.
    rest = rest.strip_prefix(['\u{fe0e}', '\u{fe0f}']).unwrap_or(rest);
    rest = rest.strip_prefix(|c| matches!(c, '\u{1f3fb}'..='\u{1f3ff}')).unwrap_or(rest);
    text.len() - rest.len()
}

fn tags(text: &str) -> Option<usize> {
    TAGGED.iter().find_map(|region| {
        let mut chars = text.chars();
        let tag = |c: char| char::from_u32(0xe0000 + u32::from(c));
        let same = region.chars().all(|c| chars.next() == tag(c)) && chars.next() == Some('\u{e007f}');
        same.then(|| text.len() - chars.as_str().len())
    })
}

/// Unicode's `Extended_Pictographic`, without the digits.
fn is_picture(c: char) -> bool {
    matches!(c,
        '\u{a9}' | '\u{ae}' | '\u{203c}' | '\u{2049}' | '\u{2122}' | '\u{2139}' | '\u{2194}'..='\u{2199}'
        | '\u{21a9}' | '\u{21aa}' | '\u{231a}' | '\u{231b}' | '\u{2328}' | '\u{2388}' | '\u{23cf}'
        | '\u{23e9}'..='\u{23f3}' | '\u{23f8}'..='\u{23fa}' | '\u{24c2}' | '\u{25aa}' | '\u{25ab}' | '\u{25b6}'
        | '\u{25c0}' | '\u{25fb}'..='\u{25fe}' | '\u{2600}'..='\u{27bf}' | '\u{2934}' | '\u{2935}'
        | '\u{2b05}'..='\u{2b07}' | '\u{2b1b}' | '\u{2b1c}' | '\u{2b50}' | '\u{2b55}' | '\u{3030}' | '\u{303d}'
        | '\u{3297}' | '\u{3299}' | '\u{1f000}'..='\u{1f1e5}' | '\u{1f200}'..='\u{1f3fa}' | '\u{1f400}'..='\u{1faff}'
        | '\u{1fc00}'..='\u{1fffd}')
}
