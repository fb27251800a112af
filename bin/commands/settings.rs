//! How a room is: shown, and changed a thing at a time.

use chatnet::Room;
use chatnet::protocol::message::{HistoryRule, RoomKind, RoomSettings};

/// One thing of how a room is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Setting {
    Limit(Option<u32>),
    Announce(bool),
    Archived(bool),
    Kind(RoomKind),
    History(HistoryRule),
}

const USAGE: &str = "/settings alone shows how the room is; /settings limit NUMBER|none, announce on|off, archived on|off, \
                     history all|member, kind public|invite|hidden|password, or password for another one";

/// `WHAT HOW`, as it stands behind the command; none if nothing does.
pub(super) fn parse(given: &str) -> Result<Option<Setting>, String> {
    let mut words = given.split_whitespace();
    let (what, how, more) = (words.next(), words.next(), words.next());
    let switch = |how| match how {
        Some("on") => Some(true),
        Some("off") => Some(false),
        _ => None,
    };
    let setting = match (what, how) {
        (None, _) => return Ok(None),
        (Some("limit"), Some("none")) => Some(Setting::Limit(None)),
        (Some("limit"), Some(n)) => n.parse().ok().filter(|n| *n > 0).map(|n| Setting::Limit(Some(n))),
        (Some("announce"), how) => switch(how).map(Setting::Announce),
        (Some("archived"), how) => switch(how).map(Setting::Archived),
        (Some("kind"), Some(how)) => kind(how).map(Setting::Kind),
        (Some("password"), None) => Some(Setting::Kind(RoomKind::Password)),
        (Some("history"), Some("all")) => Some(Setting::History(HistoryRule::All)),
        (Some("history"), Some("member")) => Some(Setting::History(HistoryRule::SinceJoined)),
        _ => None,
    };
    // What stands there may be a password: it is not repeated.
    setting.filter(|_| more.is_none()).map(Some).ok_or_else(|| format!("nothing was changed; {USAGE}"))
}

/// A kind of room, by the word for it.
pub(super) fn kind(word: &str) -> Option<RoomKind> {
    Some(match word {
        "public" => RoomKind::Public,
        "invite" => RoomKind::InviteOnly,
        "password" => RoomKind::Password,
        "hidden" => RoomKind::Hidden,
        _ => return None,
    })
}

/// Change it. `password` is a room's that is to have one from here on, or another.
pub(crate) async fn change(room: &Room, setting: Setting, password: Option<&str>) -> Result<(), String> {
    let mut settings = known(room)?;
    match setting {
        Setting::Limit(limit) => settings.limit = limit,
        Setting::Announce(on) => settings.announcement_only = on,
        Setting::Archived(on) => settings.archived = on,
        Setting::Kind(kind) => settings.kind = kind,
        Setting::History(rule) => settings.history = rule,
    }
    room.set_settings(settings, password).await.map_err(|e| e.to_string())
}

fn known(room: &Room) -> Result<RoomSettings, String> {
    room.settings().ok_or_else(|| "the server doesn't tell how the room is, or you are not in it any more".to_owned())
}

/// How a room is, a line a thing, with the words that change it.
pub(super) fn show(room: &Room) -> Result<impl Iterator<Item = String>, String> {
    let name = room.name();
    Ok(words(&known(room)?).into_iter().map(move |(what, how)| format!("* {name}: {what} {how}")))
}

/// How a room is, a thing each, by the words that change it.
pub(crate) fn words(settings: &RoomSettings) -> [(&'static str, String); 5] {
    let switch = |on| if on { "on" } else { "off" }.to_owned();
    let kind = match settings.kind {
        RoomKind::Public => "public",
        RoomKind::InviteOnly => "invite",
        RoomKind::Password => "password",
        RoomKind::Hidden => "hidden",
        _ => "unknown",
    };
    let history = match settings.history {
        HistoryRule::All => "all",
        HistoryRule::SinceJoined => "member",
        _ => "unknown",
    };
    [
        ("kind", kind.to_owned()),
        ("limit", settings.limit.map_or_else(|| "none".to_owned(), |limit| limit.to_string())),
        ("announce", switch(settings.announcement_only)),
        ("archived", switch(settings.archived)),
        ("history", history.to_owned()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_setting_has_its_words_and_a_wrong_one_is_not_repeated() {
        assert_eq!(parse(""), Ok(None));
        for (given, setting) in [
            ("limit 50", Setting::Limit(Some(50))),
            ("limit none", Setting::Limit(None)),
            ("announce on", Setting::Announce(true)),
            ("archived off", Setting::Archived(false)),
            ("kind invite", Setting::Kind(RoomKind::InviteOnly)),
            ("password", Setting::Kind(RoomKind::Password)),
            ("history member", Setting::History(HistoryRule::SinceJoined)),
        ] {
            assert_eq!(parse(given), Ok(Some(setting)), "{given}");
        }
        for wrong in ["limit", "limit 0", "limit x", "announce", "password hunter2", "kind password hunter2", "hunter2"]
        {
            assert!(parse(wrong).is_err_and(|why| !why.contains("hunter2")), "{wrong}");
        }
    }
}
