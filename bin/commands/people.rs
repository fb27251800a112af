//! Commands about people and rooms.

use std::time::Duration;

use chatnet::protocol::message::{Rank, RoomKind, RoomSettings};
use chatnet::{Client, Code, RequestError, Room, Seq};

use crate::duration::{TIMES, duration, looks_like_time};
use crate::export::rfc3339;

mod about;
pub(crate) mod settings;

use settings::Setting;

/// What a line asks for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Ask {
    Topic(String),
    ShowTopic,
    Create(String, RoomKind),
    Invite(String),
    Kick(String, String),
    Ban(String, Option<Duration>, String),
    Unban(String),
    Bans,
    Mute(String, Option<Duration>, String),
    Unmute(String),
    Rank(String, Rank),
    Delete(u64),
    List,
    Whois(String),
    Away(Option<String>),
    Block(String, bool),
    Blocks,
    Nick(String),
    Export(String),
    Sessions,
    EndSession(String),
    /// The books from this entry back; none: from the newest.
    Audit(Option<u64>),
    /// Show how the room is, or change it.
    Settings(Option<Setting>),
}

pub(crate) const HELP: &str = "\
/list             the rooms that there are, whether you are in them or not
/create ROOM [public|invite|password|hidden]
                  make a room, and own it
/topic [TEXT]     say what this room is about; without a text, show it; /topic - takes it away
/settings [WHAT HOW]
                  how this room is; to change it: limit NUMBER|none, announce on|off (only moderators talk),
                  archived on|off (nobody talks), history all|member (what members read), kind
                  public|invite|hidden|password, password (asked for, or the next line)
/invite WHO       let somebody into this room
/kick WHO [WHY]   put somebody out of this room
/ban WHO [FOR] [WHY]
                  keep somebody out: an alias, a mask (spam*), an address (203.0.113.0/24);
                  /ban WHO [FOR] address [WHY] keeps out all guests who come from where that guest does;
                  FOR is a time: 90s, 10m, 2h, 7d, 2w; without one, until /unban;
                  a WHO with blanks goes in quotes, here and elsewhere: /ban \"Ada L\" 2h
/unban WHO        let them in again
/bans             who is banned here
/mute WHO [FOR] [WHY]
                  keep somebody from talking here; FOR as with /ban
/unmute WHO       let them talk again
/op WHO           make somebody a moderator; /deop WHO takes it back
/give WHO         give this room away
/delete NUMBER    remove a message, by its number in /history and /search
/msg WHO TEXT     say something to somebody alone: /msg \"Ada L\" hello
/block WHO        take no directs, invitations and signs of typing from somebody any more, nor give them any; what they say
                  in rooms still comes. /unblock WHO takes it back
/blocks           whom you have blocked
/whois WHO        what is known of somebody
/away [TEXT]      be away; without a text, be back
/nick ALIAS       be called otherwise
/register [ALIAS] [code]
                  make an account; a code is asked for where that is needed, or, with the word, is the next line but one
/login ALIAS      be an account
/password         another password for your account
/delete-account   delete your account, for ever; asks for its password, and for its alias to confirm
/export FILE      write what the server keeps of you to a new file, as JSON, one object a line
/sessions         your sessions; /revoke SESSION ends one
/audit [NUMBER]   what was done to keep order, newest last; with a number, what was before that one; for admins";

/// Understand a command; none if it is none of these, an error if it lacks something.
pub(crate) fn parse(name: &str, rest: &str) -> Option<Result<Ask, String>> {
    let (who, why) = match split_name(rest) {
        Ok((who, why)) => (who.to_owned(), why.to_owned()),
        // What is no name may begin with a quote.
        Err(_) if matches!(name, "topic" | "away" | "export") => (String::new(), String::new()),
        Err(why) => return is_command(name).then_some(Err(why)),
    };
    let is_quoted = rest.starts_with('"');
    let one = |ask: fn(String) -> Ask| match rest {
        "" => Err(match name {
            "nick" => "/nick needs a name: /nick ALIAS".to_owned(),
            "revoke" => "/revoke needs a session, as /sessions shows it: /revoke SESSION".to_owned(),
            _ => format!("/{name} needs a name: /{name} WHO"),
        }),
        _ if is_quoted && why.is_empty() => Ok(ask(who.clone())),
        _ if is_quoted => Err(format!("/{name} takes a name and nothing behind it")),
        // Nothing follows: an alias may have spaces.
        who => Ok(ask(who.to_owned())),
    };
    let two = |ask: fn(String, String) -> Ask| match who.as_str() {
        "" => Err(format!("/{name} needs a name: /{name} WHO [WHY]")),
        _ => Ok(ask(who.clone(), why.clone())),
    };
    // WHO [FOR] [WHY]
    let timed = |ask: fn(String, Option<Duration>, String) -> Ask| match who.as_str() {
        "" => Err(format!("/{name} needs a name: /{name} WHO [FOR] [WHY]")),
        _ => {
            let (first, rest) = why.split_once(char::is_whitespace).unwrap_or((&why, ""));
            match duration(first) {
                Some(time) => Ok(ask(who.clone(), Some(time), rest.trim().to_owned())),
                // Taken for a reason, a mistyped time would be for ever.
                None if looks_like_time(first) => Err(format!("{first} is no time, and nothing was done; {TIMES}")),
                None => Ok(ask(who.clone(), None, why.clone())),
            }
        }
    };
    let none = |ask: Ask| if rest.is_empty() { Ok(ask) } else { Err(format!("/{name} takes nothing behind it")) };
    Some(match name {
        "list" => none(Ask::List),
        "bans" => none(Ask::Bans),
        "sessions" => none(Ask::Sessions),
        "audit" if rest.is_empty() => Ok(Ask::Audit(None)),
        "audit" => match rest.trim_start_matches('#').parse() {
            Ok(before) => Ok(Ask::Audit(Some(before))),
            Err(_) => Err("/audit takes an entry's number: /audit 120 shows what was before it".to_owned()),
        },
        "settings" => settings::parse(rest).map(Ask::Settings),
        "blocks" => none(Ask::Blocks),
        "nick" => one(Ask::Nick),
        "export" if rest.is_empty() => Err("/export needs a file: /export FILE".to_owned()),
        "export" => Ok(Ask::Export(rest.to_owned())),
        "topic" if rest.is_empty() => Ok(Ask::ShowTopic),
        "topic" => Ok(Ask::Topic(if rest == "-" { String::new() } else { rest.to_owned() })),
        "away" => Ok(Ask::Away((!rest.is_empty()).then(|| rest.to_owned()))),
        "invite" => one(Ask::Invite),
        "unban" => one(Ask::Unban),
        "unmute" => one(Ask::Unmute),
        "whois" => one(Ask::Whois),
        "op" => one(|who| Ask::Rank(who, Rank::Moderator)),
        "deop" => one(|who| Ask::Rank(who, Rank::Member)),
        "give" => one(|who| Ask::Rank(who, Rank::Owner)),
        "block" => one(|who| Ask::Block(who, true)),
        "unblock" => one(|who| Ask::Block(who, false)),
        "revoke" => one(Ask::EndSession),
        "kick" => two(Ask::Kick),
        "ban" => timed(Ask::Ban),
        "mute" => timed(Ask::Mute),
        "delete" => rest.parse().map(Ask::Delete).map_err(|_| "/delete needs a message's number".to_owned()),
        "create" => match (who.as_str(), why.as_str()) {
            ("", _) => Err("/create needs a room: /create ROOM [public|invite|password|hidden]".to_owned()),
            (_, "") => Ok(Ask::Create(who, RoomKind::Public)),
            (_, kind) => match settings::kind(kind) {
                Some(kind) => Ok(Ask::Create(who, kind)),
                None => Err("a room is public, invite, password or hidden".to_owned()),
            },
        },
        _ => return None,
    })
}

/// The name at the beginning, and what is behind it. A name with blanks is in quotes.
pub(crate) fn split_name(given: &str) -> Result<(&str, &str), String> {
    let Some(quoted) = given.strip_prefix('"') else {
        let (name, rest) = given.split_once(char::is_whitespace).unwrap_or((given, ""));
        return Ok((name, rest.trim()));
    };
    match quoted.split_once('"') {
        Some((name, rest)) if !name.trim().is_empty() => Ok((name.trim(), rest.trim())),
        Some(_) => Err("there is no name between the quotes".to_owned()),
        None => Err("the second quote is missing: \"Ada L\"".to_owned()),
    }
}

/// Whether it is one of these commands, so that what is wrong behind it is its error.
fn is_command(name: &str) -> bool {
    parse(name, "").is_some()
}

/// The name as it is written in a command.
fn written(who: &str) -> String {
    if who.contains(char::is_whitespace) { format!("\"{who}\"") } else { who.to_owned() }
}

/// Why, if it is said before that a guest's address is banned too.
fn with_address(why: &str) -> Result<Option<&str>, String> {
    let (first, rest) = why.split_once(char::is_whitespace).unwrap_or((why, ""));
    match rest.split_whitespace().next() {
        _ if first != "address" => Ok(None),
        Some(time) if looks_like_time(time) => Err(format!("the time comes first: /ban WHO {time} address")),
        _ => Ok(Some(rest.trim())),
    }
}

/// Until when, told to who has said it.
fn until(time: Option<Duration>, back: &str, who: &str) -> String {
    let end = time.and_then(|time| jiff::Timestamp::now().checked_add(time).ok());
    match end {
        Some(end) => format!("until {end:.0}; /{back} {} takes it back", written(who)),
        None => format!("until /{back} {}", written(who)),
    }
}

/// What came of asking about somebody, with a hint where nobody is called so.
async fn at<T>(room: Option<&Room>, who: &str, done: Result<T, RequestError>) -> Result<T, String> {
    match done {
        Err(e) => Err(format!("{e}{}", hint(room, who, &e).await)),
        Ok(done) => Ok(done),
    }
}

/// What to add to an error: that a name with blanks goes in quotes, where that was what was meant.
pub(crate) async fn hint(room: Option<&Room>, who: &str, e: &RequestError) -> String {
    if !matches!(e, RequestError::Refused { code: Code::NO_SUCH_PERSON, .. }) {
        return String::new();
    }
    let how = "a name with blanks goes in quotes";
    // Among those who are here, as far as one page tells.
    let begun = format!("{} ", who.to_lowercase());
    let here = match room {
        Some(room) => room.members(None, 100).await.map(|(page, _)| page).unwrap_or_default(),
        None => Vec::new(),
    };
    match here.iter().find(|member| member.who.alias.to_lowercase().starts_with(&begun)) {
        Some(meant) => format!("; {how}: \"{}\" is here", meant.who.alias),
        None if who.contains(['"', ' ']) => format!("; {how}: \"Ada L\""),
        None => String::new(),
    }
}

/// Do it; what to show.
pub(crate) async fn run(client: &Client, room: Option<&Room>, ask: Ask) -> Result<String, String> {
    let failed = |e: RequestError| e.to_string();
    let here = || room.ok_or_else(|| "you are in no room; /join one".to_owned());
    let done = |text: &str| Ok(text.to_owned());
    match ask {
        Ask::ShowTopic => {
            let room = here()?;
            return topic(client, room.name().as_str()).await.map_err(failed);
        }
        Ask::Topic(text) => here()?.set_topic(&text).await.map_err(failed)?,
        Ask::Invite(who) => at(room, &who, here()?.invite(who.as_str()).await).await?,
        Ask::Kick(who, why) => at(room, &who, here()?.kick(who.as_str(), &why).await).await?,
        Ask::Ban(who, time, why) => {
            let banned = match with_address(&why)? {
                Some(why) => here()?.ban_with_address(who.as_str(), why, time).await,
                None => here()?.ban(who.as_str(), &why, time).await,
            };
            at(room, &who, banned).await?;
            return Ok(lines([format!("* {who} is banned {}", until(time, "unban", &who))].into_iter()));
        }
        Ask::Unban(who) => here()?.unban(who.as_str()).await.map_err(failed)?,
        Ask::Mute(who, time, why) => {
            at(room, &who, here()?.mute(who.as_str(), &why, time).await).await?;
            return Ok(lines([format!("* {who} is muted {}", until(time, "unmute", &who))].into_iter()));
        }
        Ask::Unmute(who) => at(room, &who, here()?.unmute(who.as_str()).await).await?,
        Ask::Rank(who, rank) => at(room, &who, here()?.set_rank(who.as_str(), rank).await).await?,
        Ask::Delete(seq) => here()?.delete_message(Seq::new(seq)).await.map_err(failed)?,
        Ask::Create(name, kind) => {
            client.create_room(&name, RoomSettings::new(kind), None).await.map_err(failed)?;
        }
        Ask::Bans => {
            let bans = here()?.bans().await.map_err(failed)?;
            let line = |ban: &chatnet::Ban| {
                let until = ban.until.map_or_else(|| "/unban".to_owned(), rfc3339);
                format!("* {} by {} until {until}: {}", ban.whom, ban.by, ban.reason)
            };
            return if bans.is_empty() { done("* nobody is banned here") } else { Ok(lines(bans.iter().map(line))) };
        }
        Ask::List => return list(client).await.map_err(failed),
        Ask::Settings(None) => return settings::show(here()?).map(lines),
        Ask::Settings(Some(Setting::Kind(RoomKind::Password))) => {
            return Err(
                "a room's password is asked for by the terminal client: chatnet, then /settings password".into()
            );
        }
        Ask::Settings(Some(setting)) => settings::change(here()?, setting, None).await?,
        Ask::Whois(who) => return at(room, &who, about::whois(client, &who).await).await,
        Ask::Away(text) => {
            client.away(text.as_deref()).await.map_err(failed)?;
            return done(if text.is_some() { "* you are away" } else { "* you are back" });
        }
        Ask::Block(who, blocked) => {
            at(room, &who, client.block(who.as_str(), blocked).await).await?;
            return done(if blocked { "* blocked" } else { "* not blocked any more" });
        }
        Ask::Blocks => {
            let (mut all, mut after) = (Vec::new(), None);
            loop {
                let (page, more) = client.blocked(after).await.map_err(failed)?;
                after = page.last().map(|who| who.principal);
                all.extend(page);
                if !more || after.is_none() {
                    break;
                }
            }
            let line = |who: &chatnet::Author| match who.alias.as_str() {
                "" => format!("* somebody who is gone ({})", who.principal),
                alias => format!("* {alias}"),
            };
            return if all.is_empty() { done("* you have blocked nobody") } else { Ok(lines(all.iter().map(line))) };
        }
        Ask::Nick(alias) => {
            client.change_alias(&alias).await.map_err(failed)?;
        }
        Ask::Export(path) => return crate::export::run(client, &path).await,
        Ask::Sessions => {
            let line = |s: &chatnet::OwnSession| {
                let mark = if s.current { " (this one)" } else { "" };
                let from = s.address.as_deref().unwrap_or(if s.connected { "here" } else { "away" });
                format!("* {} from {from}, {}{mark}", s.session, s.agent)
            };
            return Ok(lines(client.sessions().await.map_err(failed)?.iter().map(line)));
        }
        Ask::EndSession(begin) => {
            let all = client.sessions().await.map_err(failed)?;
            let mut fits = all.iter().filter(|session| session.session.to_string().starts_with(&begin));
            let (Some(session), None) = (fits.next(), fits.next()) else {
                return Err("no session, or more than one, begins like this; /sessions shows them".to_owned());
            };
            client.end_session(session.session).await.map_err(failed)?;
            return done("* ended");
        }
        Ask::Audit(before) => return about::audit(client, before).await.map_err(failed),
    }
    // What was done is told as an event.
    Ok(String::new())
}

fn lines(lines: impl Iterator<Item = String>) -> String {
    // One line each, whatever strangers have put into them.
    lines.map(|line| chatnet::text::display_line(&line).into_owned()).collect::<Vec<_>>().join("\n")
}

async fn list(client: &Client) -> Result<String, RequestError> {
    let (mut all, mut after) = (Vec::new(), None::<String>);
    loop {
        let (page, more) = client.list_rooms(after.as_deref(), 50).await?;
        after = page.last().map(|room| room.name.clone());
        all.extend(page);
        if !more || after.is_none() {
            break;
        }
    }
    Ok(lines(all.iter().map(|room| {
        let topic = if room.settings.topic.is_empty() { String::new() } else { format!(": {}", room.settings.topic) };
        let kind = match room.settings.kind {
            RoomKind::Public => "",
            RoomKind::Password => ", with a password",
            RoomKind::InviteOnly => ", for who is invited",
            _ => ", hidden",
        };
        format!("* {} ({} here{kind}){topic}", room.name, room.members)
    })))
}

/// What a room is about. Rooms that aren't listed don't tell.
async fn topic(client: &Client, name: &str) -> Result<String, RequestError> {
    let mut after = None::<String>;
    loop {
        let (page, more) = client.list_rooms(after.as_deref(), 50).await?;
        if let Some(room) = page.iter().find(|room| room.name == name) {
            let said = match room.settings.topic.as_str() {
                "" => format!("* {name} has no topic; /topic TEXT says one"),
                topic => format!("* {name} is about: {topic}"),
            };
            return Ok(lines([said].into_iter()));
        }
        after = page.last().map(|room| room.name.clone());
        if !more || after.is_none() {
            return Ok(format!("* {name} is not listed, so what it is about can't be shown"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_takes_what_it_needs_and_nothing_else() {
        assert_eq!(parse("kick", "bob too loud"), Some(Ok(Ask::Kick("bob".into(), "too loud".into()))));
        let ban = |time, why: &str| Some(Ok(Ask::Ban("bob".into(), time, why.into())));
        assert_eq!(parse("ban", "bob 10m too loud"), ban(Some(Duration::from_secs(600)), "too loud"));
        assert_eq!(parse("ban", "bob 7d"), ban(Some(Duration::from_secs(604_800)), ""));
        for no_time in ["bob 10x nope", "bob 0m x", "bob 5M", "bob 1d1h", "bob 10 minutes", "bob 3 times"] {
            for command in ["ban", "mute"] {
                assert!(matches!(parse(command, no_time), Some(Err(why)) if why.contains("10m")), "{no_time}");
            }
        }
        assert_eq!(parse("ban", "bob"), ban(None, ""));
        assert_eq!(
            parse("mute", "bob 2h"),
            Some(Ok(Ask::Mute("bob".into(), Some(Duration::from_secs(7200)), "".into())))
        );
        let ada = |time| Some(Ok(Ask::Ban("Ada L".into(), time, "why".into())));
        assert_eq!(parse("ban", "\"Ada L\" 10m why"), ada(Some(Duration::from_secs(600))));
        assert_eq!(parse("ban", "\"Ada L\" why"), ada(None));
        assert!(matches!(parse("ban", "\"Ada L why"), Some(Err(why)) if why.contains("quote")));
        assert!(matches!(parse("op", "\"Ada L\" x"), Some(Err(_))));
        assert_eq!(parse("op", "\"Ada L\""), Some(Ok(Ask::Rank("Ada L".into(), Rank::Moderator))));
        assert_eq!(parse("nope", "\"x"), None);
        assert_eq!(parse("topic", ""), Some(Ok(Ask::ShowTopic)));
        assert_eq!(parse("topic", "-"), Some(Ok(Ask::Topic(String::new()))));
        assert_eq!(parse("topic", "\"tea"), Some(Ok(Ask::Topic("\"tea".into()))));
        assert_eq!(parse("nick", "Ada L"), Some(Ok(Ask::Nick("Ada L".into()))));
        assert_eq!(parse("whois", "Ada L"), Some(Ok(Ask::Whois("Ada L".into()))));
        assert_eq!(parse("create", "den invite"), Some(Ok(Ask::Create("den".into(), RoomKind::InviteOnly))));
        assert!(matches!(parse("kick", ""), Some(Err(why)) if why.contains("/kick WHO")));
        assert!(matches!(parse("delete", "x"), Some(Err(_))));
        assert_eq!(with_address("address  too loud"), Ok(Some("too loud")));
        assert!(with_address("addressed me rudely") == Ok(None) && with_address("address 2h why").is_err());
        assert!(matches!(parse("bans", "x"), Some(Err(_))));
        assert!(matches!(parse("revoke", ""), Some(Err(why)) if why.contains("/revoke SESSION")));
        assert!(matches!(parse("nick", ""), Some(Err(why)) if why.contains("/nick ALIAS")));
        assert_eq!(parse("audit", "#12"), Some(Ok(Ask::Audit(Some(12)))));
        assert!(matches!(parse("audit", "more"), Some(Err(_))));
        assert_eq!(parse("nope", ""), None);
    }
}
