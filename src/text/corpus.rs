//! The rules against known tricks, and against anything.

use proptest::prelude::*;

use super::*;

const CORPUS: &str = include_str!("corpus.txt");

/// The strings in quotes on a line, their escapes undone.
fn strings(line: &str) -> Vec<String> {
    let (mut strings, mut open, mut chars) = (Vec::new(), false, line.chars());
    while let Some(c) = chars.next() {
        match (c, open) {
            ('"', false) => strings.push(String::new()),
            ('"', true) => {}
            (_, false) => continue,
            ('\\', true) => strings.last_mut().unwrap().push(match chars.next().unwrap() {
                'n' => '\n',
                't' => '\t',
                'r' => '\r',
                '0' => '\0',
                'u' => {
                    let digits: String = chars.by_ref().skip(1).take_while(|c| *c != '}').collect();
                    char::from_u32(u32::from_str_radix(&digits, 16).unwrap()).unwrap()
                }
                c => c,
            }),
            (c, true) => strings.last_mut().unwrap().push(c),
        }
        open ^= c == '"';
    }
    strings
}

fn alias(raw: &str) -> Result<std::sync::Arc<str>, NameError> {
    check_name(raw, "alias", 32)
}

fn share_a_look(a: &str, b: &str) -> bool {
    let others = looks(b);
    looks(a).iter().any(|look| others.contains(look))
}

#[test]
fn known_tricks_fail_and_what_must_survive_does() {
    let (mut cases, mut failed) = (0, Vec::new());
    for (i, line) in CORPUS.lines().enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
        let (rule, rest) = line.split_once(' ').unwrap();
        let strings = strings(rest);
        let a = &strings[0];
        let b = strings.get(1).map_or("", String::as_str);
        let are_alike = || share_a_look(&alias(a).unwrap(), &alias(b).unwrap());
        let holds = match rule {
            "alias" => alias(a).is_ok(),
            "no-alias" => alias(a).is_err(),
            "room" => check_word(a, "room name", 64).is_ok(),
            "no-room" => check_word(a, "room name", 64).is_err(),
            "text" => check_text(a.as_bytes()).is_ok(),
            "no-text" => check_text(a.as_bytes()).is_err(),
            "nfc" => alias(a).as_deref() == Ok(b),
            "alike" => are_alike(),
            "unlike" => !are_alike(),
            "addressed" => mistaken(a).is_none(),
            "mistaken" => alias(a).is_ok() && mistaken(a).is_some(),
            "room-addressed" => mistaken_room(a).is_none(),
            "room-mistaken" => check_word(a, "room name", 64).is_ok() && mistaken_room(a).is_some(),
            "reserved" => is_reserved(a),
            "unreserved" => !is_reserved(a),
            "line" => display_line(a) == b,
            "show" => display_text(a) == b,
            "same" => display_line(a) == *a && display_text(a) == *a,
            other => panic!("line {}: {other} is not a rule", i + 1),
        };
        if !holds {
            failed.push(format!("line {}: {line}", i + 1));
        }
        cases += 1;
    }
    assert!(failed.is_empty(), "{failed:#?}");
    assert!(cases > 150, "{cases}");
}

#[test]
fn a_text_has_at_most_a_thousand_lines() {
    assert!(check_text("x\n".repeat(999).as_bytes()).is_ok());
    assert!(check_text("x\n".repeat(1000).as_bytes()).is_err());
}

/// Strings of what is tricky, more often than chance would have it.
fn tricky() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => any::<char>(),
        2 => proptest::char::range('\0', '\u{ff}'),
        2 => proptest::char::range('\u{300}', '\u{36f}'),
        2 => proptest::char::range('\u{2000}', '\u{206f}'),
        1 => proptest::char::range('\u{e0000}', '\u{e007f}'),
        2 => proptest::sample::select(vec!['👩', '🏴', '\u{200d}', '\u{fe0f}', '\u{20e3}', '1', ' ', '\u{1f3fd}', 'Σ', 'I']),
    ];
    proptest::collection::vec(piece, 0..40).prop_map(|chars| chars.into_iter().collect())
}

/// Moves the cursor, rings, changes colours or the direction.
fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{61c}')
}

proptest! {
    #[test]
    fn whatever_is_shown_is_harmless_and_shown_again_as_it_is(raw in tricky()) {
        let line = display_line(&raw);
        prop_assert!(!line.contains(is_harmful), "{line:?}");
        prop_assert_eq!(display_line(&line), line.as_ref());
        let text = display_text(&raw);
        prop_assert!(!text.contains(|c| c != '\n' && c != '\t' && is_harmful(c)), "{text:?}");
        prop_assert_eq!(display_text(&text), text.as_ref());
        let mut marks = 0;
        for c in line.chars() {
            marks = if chars::is_mark(c) { marks + 1 } else { 0 };
            prop_assert!(marks <= MAX_MARKS, "{line:?}");
        }
    }

    #[test]
    fn a_name_that_is_taken_is_shown_and_taken_again_as_it_is(raw in tricky()) {
        if let Ok(name) = alias(&raw) {
            prop_assert_eq!(alias(&name), Ok(name.clone()));
            prop_assert_eq!(display_line(&name), name.as_ref());
            prop_assert!(graphemes(&name, 32) == name.as_ref(), "{name:?}");
            let turned = name.starts_with(' ') || name.ends_with(' ') || name.contains(is_harmful);
            prop_assert!(!turned, "{name:?}");
        }
    }

    #[test]
    fn names_that_differ_in_case_look_alike(raw in tricky()) {
        let lower = raw.to_lowercase();
        prop_assert!(share_a_look(&lower, &lower.to_uppercase().to_lowercase()));
    }

    /// A name with a number is as free as its parts say.
    #[test]
    fn a_number_behind_a_name_changes_nothing_before_it(raw in tricky(), n in 0u32..2000) {
        if let Ok(name) = alias(&raw) {
            let n = n.to_string();
            let mut longer: Vec<String> = looks(&name).into_iter().map(|look| look + &skeleton(&n)).collect();
            longer.sort();
            prop_assert_eq!(looks(&format!("{name}{n}")), longer);
        }
    }

    #[test]
    fn a_text_that_is_taken_has_no_control_characters(raw in tricky()) {
        let taken = check_text(raw.as_bytes()).is_ok();
        prop_assert_eq!(taken, !raw.contains(|c: char| c.is_control() && c != '\n' && c != '\t'));
    }
}
