//! What a line means that a person, or a script, types.

use serde_json::Value;

use crate::people::{self, Ask};

/// What a line asks for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Action {
    /// Say this, in the current room or another.
    Send {
        text: String,
        room: Option<String>,
        id: Option<Value>,
    },
    Join(String),
    /// Join a room with its password, which is asked for.
    JoinWithPassword(String),
    Leave(Option<String>),
    /// Talk in another room from here on.
    Switch(String),
    Who,
    /// The last so many messages.
    History(u32),
    Search(String),
    People(Ask),
    /// Say something to somebody alone.
    Direct {
        whom: String,
        text: String,
    },
    /// Say that something is being written.
    Typing,
    /// Show who writes something, or don't.
    ShowTyping(bool),
    /// Make an account, with a code or without, and be it.
    Register {
        alias: Option<String>,
        code: bool,
    },
    /// Be an account; its alias.
    Login(String),
    Password,
    DeleteAccount,
    Rooms,
    Help,
    Quit,
    /// Nothing: an empty line.
    Nothing,
    /// It can't be done; the text says why.
    Wrong(String),
}

pub(crate) const HELP: &str = "\
/join ROOM [password]
               join a room and talk there; with the word \"password\", that is asked for, or is the next line
/room ROOM     talk in another room that you are in
/rooms         the rooms that you are in; /list shows all that there are
/leave [ROOM]  leave a room
/who           who is in this room
/history [N]   the last N messages of this room (20)
/search WORDS  messages of this room with all of these words
/typing        tell this room that you are writing; /typing show|hide for others' signs of it
/quit          wait until everything is acknowledged, and leave
//text         say a text that begins with a slash";

/// How lines are read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    pub(crate) json: bool,
    pub(crate) commands: bool,
}

/// Understand a line.
pub(crate) fn parse(line: &[u8], rules: Rules) -> Action {
    let Ok(line) = std::str::from_utf8(line) else {
        return Action::Wrong("the line is not valid UTF-8 and was not sent".into());
    };
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.is_empty() {
        return Action::Nothing;
    }
    if rules.json && line.starts_with('{') {
        return object(line);
    }
    if !rules.commands {
        return say(line);
    }
    match line.strip_prefix('/') {
        None => say(line),
        Some(text) if text.starts_with('/') => say(text),
        Some(command) => self::command(command),
    }
}

fn say(text: &str) -> Action {
    Action::Send { text: text.into(), room: None, id: None }
}

fn object(line: &str) -> Action {
    // Text that merely looks like an object is a text.
    let Ok(Value::Object(mut object)) = serde_json::from_str(line) else { return say(line) };
    if object.contains_key("secret") && !object.contains_key("send") {
        return Action::Wrong("nobody asked for a secret: the line was taken for nothing, and sent to nobody".into());
    }
    let Some(send) = object.remove("send") else {
        return Action::Wrong(r#"the object has no "send"; expected {"send":TEXT,"room":ROOM,"id":ANY}"#.into());
    };
    let Value::String(text) = send else { return Action::Wrong(r#""send" has to be a string"#.into()) };
    let room = match object.remove("room") {
        None | Some(Value::Null) => None,
        Some(Value::String(room)) => Some(room),
        Some(_) => return Action::Wrong(r#""room" has to be a string"#.into()),
    };
    Action::Send { text, room, id: object.remove("id") }
}

fn command(line: &str) -> Action {
    let (name, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let rest = rest.trim();
    let room = (!rest.is_empty()).then(|| rest.to_owned());
    match (name, room) {
        ("join", Some(room)) => match room.split_once(char::is_whitespace) {
            None => Action::Join(room),
            Some((room, word)) if word.trim() == "password" => Action::JoinWithPassword(room.to_owned()),
            // What stands here may be a password: it is not repeated.
            Some(_) => Action::Wrong("/join takes a room, and perhaps the word password: /join ROOM password".into()),
        },
        ("room", Some(room)) => Action::Switch(room),
        ("join" | "room", None) => Action::Wrong(format!("/{name} needs a room: /{name} ROOM")),
        ("leave", room) => Action::Leave(room),
        ("who", None) => Action::Who,
        ("history", None) => Action::History(20),
        ("history", Some(n)) => match n.parse() {
            Ok(n @ 1..=500) => Action::History(n),
            _ => Action::Wrong("/history takes a number from 1 to 500".into()),
        },
        ("search", Some(words)) => Action::Search(words),
        ("search", None) => Action::Wrong("/search needs words: /search WORDS".into()),
        ("rooms", None) => Action::Rooms,
        ("help", None) => Action::Help,
        ("quit", None) => Action::Quit,
        ("typing", None) => Action::Typing,
        ("typing", Some(how)) => match how.as_str() {
            "show" => Action::ShowTyping(true),
            "hide" => Action::ShowTyping(false),
            _ => Action::Wrong("/typing is alone, or /typing show, or /typing hide".into()),
        },
        ("register", given) => register(given.as_deref().unwrap_or_default()),
        ("login", Some(alias)) => Action::Login(alias),
        ("login", None) => Action::Wrong("/login needs an account: /login ALIAS".into()),
        ("password", None) => Action::Password,
        ("delete-account", None) => Action::DeleteAccount,
        ("msg", given) => match people::split_name(given.as_deref().unwrap_or_default()) {
            Ok((whom, text)) if !text.is_empty() => Action::Direct { whom: whom.into(), text: text.into() },
            Ok(_) => Action::Wrong("/msg needs a name and a text: /msg WHO TEXT, /msg \"Ada L\" TEXT".into()),
            Err(why) => Action::Wrong(why),
        },
        // What stands there may be a password.
        ("who" | "rooms" | "help" | "quit" | "password" | "delete-account", Some(_)) => {
            Action::Wrong(format!("/{name} takes nothing behind it"))
        }
        (name, _) if people::parse(name, rest).is_some() => match people::parse(name, rest) {
            Some(Ok(ask)) => Action::People(ask),
            Some(Err(why)) => Action::Wrong(why),
            None => Action::Nothing,
        },
        _ => Action::Wrong(format!("/{name} is not a command; /help shows them, //{name} says it as a text")),
    }
}

/// `[ALIAS] [code]`; an alias with blanks may be in quotes, and one that ends with the word has to be.
fn register(given: &str) -> Action {
    if given.starts_with('"') {
        return match people::split_name(given) {
            Ok((alias, rest)) if rest.is_empty() || rest == "code" => {
                Action::Register { alias: Some(alias.to_owned()), code: rest == "code" }
            }
            Ok(_) => {
                Action::Wrong("/register takes an alias, and perhaps the word code: /register \"Ada L\" code".into())
            }
            Err(why) => Action::Wrong(why),
        };
    }
    let with_code = given.strip_suffix("code").filter(|rest| rest.is_empty() || rest.ends_with(char::is_whitespace));
    let alias = with_code.unwrap_or(given).trim();
    Action::Register { alias: (!alias.is_empty()).then(|| alias.to_owned()), code: with_code.is_some() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Rules = Rules { json: false, commands: true };
    const JSON: Rules = Rules { json: true, commands: true };

    fn said(action: Action) -> String {
        match action {
            Action::Send { text, .. } => text,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_line_is_a_message_unless_it_begins_with_one_slash() {
        assert_eq!(said(parse(b"hello", PLAIN)), "hello");
        assert_eq!(said(parse(b"//etc/hosts", PLAIN)), "/etc/hosts");
        assert_eq!(said(parse(b" /quit", PLAIN)), " /quit");
        assert_eq!(parse(b"/quit", PLAIN), Action::Quit);
        assert_eq!(parse(b"/join  den ", PLAIN), Action::Join("den".into()));
        assert_eq!(parse(b"/join den password", PLAIN), Action::JoinWithPassword("den".into()));
        assert!(matches!(parse(b"/join den secret", PLAIN), Action::Wrong(why) if !why.contains("secret")));
        let register = |alias: Option<&str>, code| Action::Register { alias: alias.map(str::to_owned), code };
        assert_eq!(parse(b"/register", PLAIN), register(None, false));
        assert_eq!(parse(b"/register code", PLAIN), register(None, true));
        assert_eq!(parse(b"/register Ada L", PLAIN), register(Some("Ada L"), false));
        assert_eq!(parse(b"/register Ada L code", PLAIN), register(Some("Ada L"), true));
        assert_eq!(parse(b"/register barcode", PLAIN), register(Some("barcode"), false));
        assert_eq!(parse(b"/register \"A code\"", PLAIN), register(Some("A code"), false));
        assert_eq!(parse(b"/register \"A code\" code", PLAIN), register(Some("A code"), true));
        assert!(matches!(parse(b"/password x", PLAIN), Action::Wrong(_)));
        assert_eq!(parse(b"/typing show", PLAIN), Action::ShowTyping(true));
        assert_eq!(parse(b"/history", PLAIN), Action::History(20));
        assert_eq!(parse(b"/history 7", PLAIN), Action::History(7));
        assert!(matches!(parse(b"/history 0", PLAIN), Action::Wrong(_)));
        assert_eq!(parse(b"/search two words", PLAIN), Action::Search("two words".into()));
        let direct = |whom: &str, text: &str| Action::Direct { whom: whom.into(), text: text.into() };
        assert_eq!(parse(b"/msg bob see you", PLAIN), direct("bob", "see you"));
        assert_eq!(parse(b"/msg \"Ada L\"  hi", PLAIN), direct("Ada L", "hi"));
        assert!(matches!(parse(b"/msg \"Ada L\"", PLAIN), Action::Wrong(_)));
        assert_eq!(parse(b"\r", PLAIN), Action::Nothing);
        assert!(matches!(parse(b"/nope", PLAIN), Action::Wrong(why) if why.contains("/help")));
        assert!(matches!(parse(b"/join", PLAIN), Action::Wrong(_)));
        assert!(matches!(parse(b"\xff", PLAIN), Action::Wrong(_)));
        assert_eq!(said(parse(b"{\"send\":1}", PLAIN)), "{\"send\":1}");
    }

    #[test]
    fn without_commands_everything_is_text() {
        let rules = Rules { json: false, commands: false };
        assert_eq!(said(parse(b"/quit", rules)), "/quit");
        assert_eq!(said(parse(b"//x", rules)), "//x");
    }

    #[test]
    fn an_object_names_text_room_and_id() {
        let action = parse(br#"{"send":"a\nb","room":"den","id":[1]}"#, JSON);
        let id = Some(serde_json::json!([1]));
        assert_eq!(action, Action::Send { text: "a\nb".into(), room: Some("den".into()), id });
        assert!(matches!(parse(br#"{"say":"x"}"#, JSON), Action::Wrong(_)));
        assert!(matches!(parse(br#"{"send":1}"#, JSON), Action::Wrong(_)));
        assert_eq!(said(parse(b"{ not json", JSON)), "{ not json");
    }
}
