//! What a search looks for.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// Words of a query that are looked at; nobody types so many, and each costs.
const MAX_WORDS: usize = 32;

/// One word of a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Word {
    /// As it was typed, letters and digits only.
    pub(super) text: String,
    /// The same, without letter case and accents.
    folded: String,
    /// What begins with it is meant, too.
    pub(super) prefix: bool,
}

/// The words of a query. Punctuation separates; nothing of it is syntax but a `*` behind a word.
pub(super) fn words(query: &str) -> Vec<Word> {
    let mut words = Vec::new();
    for typed in query.split_whitespace() {
        let prefix = typed.ends_with('*');
        words.extend(pieces(typed).map(|piece| Word { text: piece.into(), folded: fold(piece), prefix: false }));
        if let (true, Some(last)) = (prefix && pieces(typed).next().is_some(), words.last_mut()) {
            last.prefix = true;
        }
    }
    words.truncate(MAX_WORDS);
    words
}

fn pieces(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && !is_combining_mark(c)).filter(|piece| !piece.is_empty())
}

/// Whether a text has all of these words.
pub(super) fn matches(text: &str, words: &[Word]) -> bool {
    // Most texts by far; folding them as others takes ten times as long.
    if text.is_ascii() {
        return has_all(text, words, |piece, word| piece.eq_ignore_ascii_case(word));
    }
    has_all(&fold(text), words, |piece, word| piece == word)
}

fn has_all(text: &str, words: &[Word], same: impl Fn(&str, &str) -> bool) -> bool {
    words.iter().all(|Word { folded, prefix, .. }| {
        pieces(text).any(|piece| {
            let part = if *prefix { piece.get(..folded.len()) } else { Some(piece) };
            part.is_some_and(|part| same(part, folded))
        })
    })
}

/// Letter case and accents don't count. Accents are those of Latin letters, as in SQLite's index: in other scripts they
/// make another letter.
fn fold(text: &str) -> String {
    let plain = |c: char| match std::iter::once(c).nfd().next() {
        _ if c.is_ascii() => c,
        Some(base) if base.is_ascii_alphabetic() => base,
        _ => c,
    };
    text.chars().filter(|&c| !is_combining_mark(c)).map(plain).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_operators_and_brackets_are_no_syntax() {
        let texts = |query| words(query).into_iter().map(|word| word.text).collect::<Vec<_>>();
        assert_eq!(texts("\"a\" AND (b) -c NEAR(d, 5)"), ["a", "AND", "b", "c", "NEAR", "d", "5"]);
        assert!(words(" ... *** \" ").is_empty());
        assert_eq!(words("don't*").last(), Some(&Word { text: "t".into(), folded: "t".into(), prefix: true }));
    }

    #[test]
    fn case_and_accents_do_not_count() {
        assert!(matches("Der Ärger", &words("arg*")));
        assert!(matches("cafe\u{301}!", &words("CAFÉ")));
        assert!(matches("The COFFEE, please", &words("PLEASE cof*")));
        assert!(!matches("coffee", &words("cof")));
        assert!(!matches("cof", &words("coffee*")));
        assert!(!matches("Kaffee mit Ärger", &words("kaffee tee")));
        assert!(!matches("мой", &words("мои")));
    }
}
