//! A row of a conversation.

use std::sync::Arc;

use chatnet::text::{display_line, display_text};

use super::event::Person;
use super::words;

/// Bytes of a text that are shown; the rest would cost every frame, and can be copied.
pub(crate) const SHOWN_BYTES: usize = 4 << 10;
/// Lines of a text that are shown.
const SHOWN_LINES: usize = 120;
/// Names that a folded row tells.
const NAMES: usize = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Message,
    Membership,
    Day,
    NewLine,
    Gap,
    Notice,
    Change,
    Unsupported,
}

/// How far a text of one's own has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Sending {
    #[default]
    None,
    Waiting,
    Sent,
    Refused,
}

/// Cheap to clone.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    /// Which row, for as long as the program runs.
    pub(crate) key: i32,
    pub(crate) kind: Kind,
    /// Its number in the room's log; 0: it isn't in there.
    pub(crate) seq: u64,
    pub(crate) at: i64,
    pub(crate) who: Option<Arc<Person>>,
    /// What is shown: safe, and not too long.
    pub(crate) text: Arc<str>,
    /// What was said, if that isn't what is shown.
    pub(super) raw: Option<Arc<str>>,
    pub(crate) own: bool,
    /// The first of a group: shows who and when.
    pub(crate) first: bool,
    pub(crate) mention: bool,
    pub(crate) state: Sending,
    pub(crate) problem: Arc<str>,
    pub(crate) highlighted: bool,
    pub(crate) fold: Option<Arc<Fold>>,
}

impl Row {
    /// A row with a sentence of the program's own, or without a text.
    pub(crate) fn new(key: i32, kind: Kind, at: i64, text: &str) -> Self {
        Self {
            key,
            kind,
            seq: 0,
            at,
            who: None,
            text: text.into(),
            raw: None,
            own: false,
            first: true,
            mention: false,
            state: Sending::None,
            problem: "".into(),
            highlighted: false,
            fold: None,
        }
    }

    /// What somebody said.
    pub(crate) fn message(key: i32, who: Arc<Person>, at: i64, text: &str) -> Self {
        let mut row = Self { who: Some(who), ..Self::new(key, Kind::Message, at, "") };
        row.say(text);
        row
    }

    /// It says something else.
    pub(crate) fn say(&mut self, text: &str) {
        let shown = shown(text);
        self.raw = (*shown != *text).then(|| text.into());
        self.text = shown.into();
    }

    /// The whole text, as it was said.
    pub(crate) fn whole(&self) -> &str {
        self.raw.as_deref().unwrap_or(&self.text)
    }

    /// About how many bytes it occupies.
    pub(crate) fn weight(&self) -> usize {
        256 + self.text.len() + self.raw.as_ref().map_or(0, |raw| raw.len())
    }

    pub(crate) fn is_waiting(&self) -> bool {
        self.state == Sending::Waiting
    }

    pub(crate) fn is_by(&self, other: &Self) -> bool {
        match (&self.who, &other.who) {
            (Some(a), Some(b)) => a.id == b.id && a.alias == b.alias,
            _ => false,
        }
    }
}

/// A text as it is shown: nothing in it breaks a line's order or attacks a window, and it isn't endless.
pub(crate) fn shown(text: &str) -> String {
    let mut end = SHOWN_BYTES.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    if let Some((line_end, _)) = text[..end].match_indices('\n').nth(SHOWN_LINES - 1) {
        end = line_end;
    }
    let mut shown = display_text(&text[..end]).into_owned();
    if end < text.len() {
        let left = (text.len() - end).div_ceil(1024);
        shown.push_str(&format!("…\n[{left} KiB more; copying the message takes all of it]"));
    }
    shown
}

/// Comings and goings that are told in one row, however many.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Fold {
    joined: Names,
    left: Names,
}

#[derive(Debug, Clone, PartialEq, Default)]
struct Names {
    first: Vec<String>,
    count: usize,
}

impl Names {
    fn add(&mut self, name: &str) {
        if self.first.len() < NAMES {
            self.first.push(display_line(name).into_owned());
        }
        self.count += 1;
    }

    fn words(&self, verb: &str) -> Option<String> {
        (self.count > 0).then(|| format!("{} {verb}", words::and(&self.first, self.count)))
    }
}

impl Fold {
    pub(crate) fn came(&mut self, name: &str) {
        self.joined.add(name);
    }

    pub(crate) fn went(&mut self, name: &str) {
        self.left.add(name);
    }

    pub(crate) fn count(&self) -> usize {
        self.joined.count + self.left.count
    }

    /// Whether somebody's coming is told by name here already.
    pub(crate) fn tells_coming(&self, name: &str) -> bool {
        self.joined.first.iter().any(|told| *told == *display_line(name))
    }

    pub(crate) fn words(&self) -> String {
        let both = [self.joined.words("joined"), self.left.words("left")];
        both.into_iter().flatten().collect::<Vec<_>>().join(" · ")
    }
}

/// Whether a text is nothing but a few emoji, which are shown large.
pub(crate) fn is_emoji_only(text: &str) -> bool {
    let text = text.trim();
    if text.is_empty() || text.len() > 120 || text.is_ascii() {
        return false;
    }
    let mut rest = text;
    let mut count = 0;
    while !rest.is_empty() {
        // The longest that is one: sequences hold shorter ones.
        let end = rest
            .char_indices()
            .map(|(i, c)| i + c.len_utf8())
            .take(12)
            .filter(|&end| emojis::get(&rest[..end]).is_some())
            .last();
        let Some(end) = end else { return false };
        rest = rest[end..].trim_start();
        count += 1;
    }
    count <= 6
}

/// Whether a text's first letter is of a script that is written from right to left.
pub(crate) fn is_rtl(text: &str) -> bool {
    let strong = text.chars().take(200).find(|c| c.is_alphabetic());
    strong.is_some_and(|c| matches!(c, '\u{590}'..='\u{8ff}' | '\u{fb1d}'..='\u{fdff}' | '\u{fe70}'..='\u{feff}' | '\u{10800}'..='\u{10fff}' | '\u{1e800}'..='\u{1efff}'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_64_kib_is_shown_cut_and_kept_whole() {
        let text = "ü".repeat(32 << 10);
        let who = Person { id: chatnet::PrincipalId::from_bytes([1; 16]), alias: "ada".into(), guest: true };
        let row = Row::message(1, Arc::new(who), 0, &text);
        assert!(row.text.len() < SHOWN_BYTES + 100);
        assert!(row.text.contains("60 KiB more"));
        assert_eq!(row.whole(), text);
        assert!(shown(&"\n".repeat(999)).lines().count() <= SHOWN_LINES + 2);
    }

    #[test]
    fn what_is_hostile_is_shown_harmless_and_copied_as_it_was() {
        let shown = shown("\u{202e}evil\u{0}\u{1b}[31m");
        assert!(!shown.contains(['\u{202e}', '\u{0}', '\u{1b}']));
    }

    #[test]
    fn a_few_emoji_are_large_and_nothing_else_is() {
        assert!(is_emoji_only("👍"));
        assert!(is_emoji_only("👩‍👩‍👧‍👦 🇩🇪"));
        assert!(is_emoji_only("❤️"));
        assert!(!is_emoji_only("👍 yes"));
        assert!(!is_emoji_only("1"));
        assert!(!is_emoji_only(""));
        assert!(!is_emoji_only(&"👍".repeat(7)));
    }

    #[test]
    fn the_first_letter_tells_the_direction() {
        assert!(is_rtl("שלום world"));
        assert!(is_rtl("123 محمد"));
        assert!(!is_rtl("hello שלום"));
    }

    #[test]
    fn many_comings_are_one_sentence() {
        let mut fold = Fold::default();
        (0..1_000_000).for_each(|i| fold.came(&format!("bot{i}")));
        fold.went("ada");
        assert_eq!(fold.words(), "bot0, bot1, bot2, bot3 and 999996 others joined · ada left");
        assert_eq!(fold.count(), 1_000_001);
    }
}
