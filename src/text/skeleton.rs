//! Names that look alike.

use std::collections::HashSet;
use std::sync::LazyLock;

/// Names that would pass for a part of the server, or for those who run it.
const RESERVED: &[&str] = &[
    "admin",
    "administrator",
    "announcement",
    "chatnet",
    "everyone",
    "moderator",
    "notice",
    "operator",
    "owner",
    "root",
    "security",
    "server",
    "staff",
    "support",
    "sysop",
    "system",
];

/// Letters that Unicode's table has nothing for, and what they look like.
const MORE: &[(char, char)] = &[('ɾ', 'r')];

/// A line under a letter that the table gives some letters (`η` is `n` with it), and nobody sees.
const FAINT: char = '\u{329}';

/// Steps after which a skeleton is taken as it is.
const MAX_STEPS: usize = 8;

/// What a name looks like, one to three skeletons: of two names that share one, only one may be taken.
///
/// They are those of Unicode's [TS 39](https://www.unicode.org/reports/tr39/#Confusable_Detection) of the name as it is
/// written, of its small letters and of its capitals: letters may look alike as capitals only (`I` and `l`, `В` and `B`)
/// or as small ones only (`ɑ` and `a`, `ν` and `v`).
pub(crate) fn looks(name: &str) -> Vec<String> {
    let mut looks = vec![skeleton(name)];
    // Plain letters have one look.
    if !name.is_ascii() {
        let small: String = name.chars().flat_map(char::to_lowercase).collect();
        looks.extend([skeleton(&small), skeleton(&small.to_uppercase())]);
        looks.sort();
        looks.dedup();
    }
    looks
}

/// The skeleton of a name as it is written, whatever the letters' case; `i`, `l` and `1` count as one, and so do a space
/// and `_`.
pub(crate) fn skeleton(name: &str) -> String {
    let mut name = name.to_owned();
    // A letter may stand for one that stands for another one.
    for _ in 0..MAX_STEPS {
        let next = step(&name);
        if next == name {
            break;
        }
        name = next;
    }
    name
}

fn step(name: &str) -> String {
    let mut next = String::with_capacity(name.len());
    let mut put = |c: char| match c {
        'i' => next.push('l'),
        ' ' => next.push('_'),
        c => next.extend(c.to_lowercase()),
    };
    if name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b' ' | b'_' | b'-' | b'.')) {
        name.chars().for_each(|c| match c {
            '0' => put('o'),
            '1' | 'I' => put('l'),
            'm' => ['r', 'n'].into_iter().for_each(&mut put),
            c => put(c),
        });
        return next;
    }
    let usual = name.chars().map(|c| MORE.iter().find(|(letter, _)| *letter == c).map_or(c, |(_, like)| *like));
    let usual: String = usual.collect();
    unicode_security::skeleton(&usual).filter(|c| *c != FAINT).for_each(put);
    next
}

/// Whether a name is kept for the server's own use, or looks like one that is, whatever it is decorated with.
pub(crate) fn is_reserved(name: &str) -> bool {
    static SKELETONS: LazyLock<HashSet<String>> =
        LazyLock::new(|| RESERVED.iter().map(|name| skeleton(name)).collect());
    // A number may be decoration, or a letter's look-alike.
    let other = |c: char| !c.is_alphabetic();
    [name, name.trim_end_matches(other), name.trim_matches(other)].into_iter().flat_map(looks).any(|look| {
        let letters: String = look.chars().filter(|c| c.is_alphanumeric()).collect();
        SKELETONS.contains(&letters)
    })
}
