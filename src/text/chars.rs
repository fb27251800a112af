//! Kinds of characters.

/// C0, DEL, C1.
pub(super) fn is_control(c: char) -> bool {
    c.is_control()
}

/// Control characters, and those that can't be seen or that change the direction of their neighbours (Unicode's
/// `Default_Ignorable_Code_Point` and `Bidi_Control`, and line and format controls), but for variation selectors.
pub(super) fn is_unsafe(c: char) -> bool {
    is_control(c)
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}'
            | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{13430}'..='\u{1343f}' | '\u{16fe4}'
            | '\u{1bca0}'..='\u{1bca3}' | '\u{1d159}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// What no name may hold outside an emoji sequence: the above, white space, variation selectors, the blank of Braille,
/// and what has no meaning that two people would agree on (private use, noncharacters).
pub(super) fn is_nameless(c: char) -> bool {
    is_unsafe(c)
        || c.is_whitespace()
        || is_variation(c)
        || u32::from(c) & 0xfffe == 0xfffe
        || matches!(c, '\u{2800}' | '\u{fdd0}'..='\u{fdef}' | '\u{e000}'..='\u{f8ff}' | '\u{f0000}'..='\u{10ffff}')
}

/// Chooses how the character before it is shown.
pub(super) fn is_variation(c: char) -> bool {
    matches!(c, '\u{fe00}'..='\u{fe0f}')
}

/// Zero-width joiner and non-joiner.
pub(super) fn is_joiner(c: char) -> bool {
    matches!(c, '\u{200c}' | '\u{200d}')
}

/// Drawn over or under what stands before it.
pub(super) fn is_mark(c: char) -> bool {
    !is_variation(c) && unicode_normalization::char::is_combining_mark(c)
}
