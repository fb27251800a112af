//! Times as people write them; shared by the programs.

use std::time::Duration;

/// A time as people write it: `90s`, `10m`, `2h`, `7d`, `2w`. None if it is none.
pub(crate) fn duration(word: &str) -> Option<Duration> {
    let (at, unit) = word.char_indices().last()?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        'w' => 604_800,
        _ => return None,
    };
    let digits = &word[..at];
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    Some(Duration::from_secs(count.checked_mul(seconds)?)).filter(|duration| !duration.is_zero())
}

/// How a time is written.
pub(crate) const TIMES: &str = "a time is a number and a unit: 90s, 10m, 2h, 7d, 2w";

/// Whether somebody may have meant a time by it.
pub(crate) fn looks_like_time(word: &str) -> bool {
    word.strip_prefix(['+', '-']).unwrap_or(word).starts_with(|c: char| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_number_and_a_unit() {
        assert_eq!(duration("90s"), Some(Duration::from_secs(90)));
        assert_eq!(duration("2w"), Some(Duration::from_secs(1_209_600)));
        for none in ["", "m", "10", "1.5h", "-1h", "0m", "10 m", "ten", "10ü", "99999999999999999999d", "+1d"] {
            assert_eq!(duration(none), None, "{none}");
        }
    }
}
