//! What a search looks for.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// Words of a query that are looked at; nobody types so many, and each costs …
const MAX_WORDS: usize = 16;

/// … and beginnings of words, each of which stands for many: further ones are not looked at.
const MAX_PREFIXES: usize = 3;

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
    // What another one says already costs for nothing.
    let mut kept: Vec<Word> = Vec::new();
    let mut prefixes = 0;
    for (i, word) in words.iter().enumerate() {
        let said = |other: &Word| other.is_at_least(word);
        let is_news =
            !kept.iter().any(said) && !words[i + 1..].iter().any(|other| said(other) && !word.is_at_least(other));
        let fits = kept.len() < MAX_WORDS && (!word.prefix || prefixes < MAX_PREFIXES);
        if is_news && fits {
            prefixes += usize::from(word.prefix);
            kept.push(word.clone());
        }
    }
    kept
}

impl Word {
    /// Whether a text that has this one has the other one, too.
    fn is_at_least(&self, other: &Self) -> bool {
        if other.prefix { self.folded.starts_with(&other.folded) } else { !self.prefix && self.folded == other.folded }
    }
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
    fn what_is_said_twice_is_looked_for_once_and_endless_queries_are_cut() {
        let shown = |query: &str| {
            let shown = |word: Word| if word.prefix { word.text + "*" } else { word.text };
            words(query).into_iter().map(shown).collect::<Vec<_>>()
        };
        assert_eq!(shown("tea Tea TEA* te* t* cup"), ["tea", "cup"]);
        assert_eq!(shown("t* tea"), ["tea"]);
        assert_eq!(shown("w* w* w*"), ["w*"]);
        assert_eq!(shown("a* b* c* d* e"), ["a*", "b*", "c*", "e"]);
        let many: Vec<_> = (0..100).map(|n| n.to_string()).collect();
        assert_eq!(shown(&many.join(" ")), many[..16]);
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
