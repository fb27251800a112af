//! What things are called in sentences: days, times, changes.

use chatnet::EventKind;
use chatnet::protocol::message::{RoomChange, RoomKind};
use chatnet::text::display_line;

use super::event::Person;

const DAY: i64 = 86_400_000;

/// Minutes and days where the reader is: how many seconds to add to universal time at a moment, in milliseconds.
pub(crate) type Local = fn(i64) -> i32;

/// The number of the day that a moment is in.
pub(crate) fn day(at: i64, local: Local) -> i64 {
    at.saturating_add(i64::from(local(at)) * 1000).div_euclid(DAY)
}

/// Hours and minutes.
pub(crate) fn time(at: i64, local: Local) -> String {
    let minutes = at.saturating_add(i64::from(local(at)) * 1000).rem_euclid(DAY) / 60_000;
    format!("{:02}:{:02}", minutes / 60, minutes % 60)
}

/// A day in words, as seen from another day.
pub(crate) fn day_words(day: i64, today: i64) -> String {
    match today - day {
        0 => return "Today".into(),
        1 => return "Yesterday".into(),
        _ => {}
    }
    let date = jiff::civil::date(1970, 1, 1).checked_add(jiff::Span::new().try_days(day).unwrap_or_default());
    // A day beyond the calendar is a server's joke.
    date.map_or_else(|_| "Another day".into(), |date| date.strftime("%A, %-d %B %Y").to_string())
}

/// A day and a time, for lists.
pub(crate) fn when(at: i64, now: i64, local: Local) -> String {
    let (then, today) = (day(at, local), day(now, local));
    if then == today { time(at, local) } else { format!("{}, {}", day_words(then, today), time(at, local)) }
}

/// A few names of many: `ada, bob and 3 others`.
pub(crate) fn and(names: &[String], count: usize) -> String {
    let others = count.saturating_sub(names.len());
    match (names, others) {
        ([], n) => format!("{n}"),
        ([one], 0) => one.clone(),
        ([begin @ .., last], 0) => format!("{} and {last}", begin.join(", ")),
        (names, 1) => format!("{} and 1 other", names.join(", ")),
        (names, n) => format!("{} and {n} others", names.join(", ")),
    }
}

/// A kind of room, for lists.
pub(crate) fn kind(kind: RoomKind) -> &'static str {
    match kind {
        RoomKind::Public => "Public",
        RoomKind::Password => "With a password",
        RoomKind::InviteOnly => "By invitation",
        _ => "Hidden",
    }
}

/// A change in a room, in words.
pub(crate) fn change(by: &Person, kind: EventKind, change: &RoomChange) -> String {
    let by = display_line(&by.alias);
    let whom = change.whom.as_ref().map(|whom| &whom.alias).or(change.mask.as_ref());
    let whom = display_line(whom.map_or("somebody", String::as_str));
    let why = change.text.as_deref().filter(|why| !why.is_empty());
    let why = why.map(|why| format!(": {}", display_line(why))).unwrap_or_default();
    match kind {
        EventKind::TOPIC if why.is_empty() => format!("{by} took the topic away"),
        EventKind::TOPIC => format!("{by} set the topic{why}"),
        EventKind::KICK => format!("{by} put {whom} out{why}"),
        EventKind::BAN => format!("{by} banned {whom}{why}"),
        EventKind::UNBAN => format!("{by} lets {whom} in again"),
        EventKind::MUTE => format!("{by} muted {whom}{why}"),
        EventKind::UNMUTE => format!("{by} lets {whom} talk again"),
        EventKind::INVITE => format!("{by} invited {whom}"),
        EventKind::ROLE => match change.value {
            Some(3) => format!("{by} gave the room to {whom}"),
            Some(2) => format!("{by} made {whom} a moderator"),
            _ => format!("{by} made {whom} a plain member"),
        },
        EventKind::ALIAS => {
            format!("{by} is called {} now", display_line(change.text.as_deref().unwrap_or("otherwise")))
        }
        EventKind::SETTINGS => format!("{by} changed the room's settings"),
        EventKind::DELETION => format!("{by} removed a message"),
        _ => format!("{by} changed something here"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_told_as_people_do() {
        let utc: Local = |_| 0;
        let now = 1_700_000_000_000; // 2023-11-14 22:13:20
        let today = day(now, utc);
        assert_eq!(day_words(today, today), "Today");
        assert_eq!(day_words(today - 1, today), "Yesterday");
        assert_eq!(day_words(today - 2, today), "Sunday, 12 November 2023");
        assert_eq!(time(now, utc), "22:13");
        assert_eq!(time(now, |_| 7200), "00:13");
        assert_eq!(day(now, |_| 7200), today + 1);
        assert_eq!(when(now, now + 86_400_000, utc), "Yesterday, 22:13");
    }

    #[test]
    fn no_time_of_a_server_is_too_strange() {
        for at in [i64::MIN, i64::MAX, -1, 0, 1 << 60] {
            assert_eq!(time(at, |_| 3600).len(), 5);
            assert!(!day_words(day(at, |_| -3600), 0).is_empty());
        }
    }

    #[test]
    fn a_change_cannot_forge_a_line() {
        let by = Person { id: chatnet::PrincipalId::from_bytes([1; 16]), alias: "a\nb".into(), guest: true };
        let topic = RoomChange { text: Some("x\ny".into()), ..RoomChange::default() };
        assert!(!change(&by, EventKind::TOPIC, &topic).contains('\n'));
    }
}
