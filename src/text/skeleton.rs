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

/// What two names have in common that look alike: the skeleton of Unicode's
/// [TS 39](https://www.unicode.org/reports/tr39/#Confusable_Detection), whatever the letters' case.
///
/// Letters may look alike as capitals only (`I` and `l`, `В` and `B`) or as small ones only (`ɑ` and `a`), so both
/// forms are gone through; it follows that `i`, `l` and `1` count as one.
pub(crate) fn skeleton(name: &str) -> String {
    let capitals = name.to_lowercase().to_uppercase();
    let small = unicode_security::skeleton(&capitals).collect::<String>().to_lowercase();
    unicode_security::skeleton(&small).collect()
}

/// Whether a name is kept for the server's own use, or looks like one that is.
pub(crate) fn is_reserved(name: &str) -> bool {
    static SKELETONS: LazyLock<HashSet<String>> =
        LazyLock::new(|| RESERVED.iter().map(|name| skeleton(name)).collect());
    SKELETONS.contains(&skeleton(name))
}
