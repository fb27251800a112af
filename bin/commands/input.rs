//! What the person, or the script, types: lines, and what they mean.

use std::io::{self, BufRead, Read};

use futures::SinkExt;
use futures::channel::mpsc;
use serde_json::Value;

use crate::people::{self, Ask};

/// A line longer than this is not a message; what follows in it is thrown away, so that a stream without line ends
/// doesn't fill the memory. In bytes; above the largest text of a server by default.
const MAX_LINE: usize = 1 << 20;

/// Lines that are read ahead: as many as a fast pipe needs.
const AHEAD: usize = 256;

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
    /// Make an account, or be one; its alias.
    Register(Option<String>),
    Login(String),
    Password,
    Rooms,
    Help,
    Quit,
    /// Nothing: an empty line.
    Nothing,
    /// It can't be done; the text says why.
    Wrong(String),
}

pub(crate) const HELP: &str = "\
/join ROOM     join a room and talk there
/room ROOM     talk in another room that you are in
/rooms         the rooms that you are in; /list shows all that there are
/leave [ROOM]  leave a room
/who           who is in this room
/history [N]   the last N messages of this room (20)
/search WORDS  messages of this room with all of these words
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
        ("join", Some(room)) => Action::Join(room),
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
        ("register", alias) => Action::Register(alias),
        ("login", Some(alias)) => Action::Login(alias),
        ("login", None) => Action::Wrong("/login needs an account: /login ALIAS".into()),
        ("password", None) => Action::Password,
        ("msg", given) => match people::split_name(given.as_deref().unwrap_or_default()) {
            Ok((whom, text)) if !text.is_empty() => Action::Direct { whom: whom.into(), text: text.into() },
            Ok(_) => Action::Wrong("/msg needs a name and a text: /msg WHO TEXT, /msg \"Ada L\" TEXT".into()),
            Err(why) => Action::Wrong(why),
        },
        ("who" | "rooms" | "help" | "quit", Some(_)) => Action::Wrong(format!("/{name} takes nothing behind it")),
        (name, _) if people::parse(name, rest).is_some() => match people::parse(name, rest) {
            Some(Ok(ask)) => Action::People(ask),
            Some(Err(why)) => Action::Wrong(why),
            None => Action::Nothing,
        },
        _ => Action::Wrong(format!("/{name} is not a command; /help shows them, //{name} says it as a text")),
    }
}

/// Read stdin on a thread of its own: reading it blocks, whatever it is.
pub(crate) fn lines(rules: Rules) -> mpsc::Receiver<Action> {
    let (mut sender, receiver) = mpsc::channel(AHEAD);
    std::thread::spawn(move || {
        let mut input = io::stdin().lock();
        while let Some(action) = next(&mut input, rules) {
            let quit = action == Action::Quit;
            if futures::executor::block_on(sender.send(action)).is_err() || quit {
                return;
            }
        }
    });
    receiver
}

/// The next line's action; none at the end of the input.
fn next(input: &mut impl BufRead, rules: Rules) -> Option<Action> {
    let mut line = Vec::new();
    match input.by_ref().take(MAX_LINE as u64).read_until(b'\n', &mut line) {
        Ok(0) | Err(_) => return None,
        Ok(_) => {}
    }
    if line.last() == Some(&b'\n') {
        line.pop();
    } else if line.len() == MAX_LINE {
        if skip_line(input).is_err() {
            return None;
        }
        return Some(Action::Wrong(format!("a line of more than {MAX_LINE} bytes was not sent")));
    }
    Some(parse(&line, rules))
}

fn skip_line(input: &mut impl BufRead) -> io::Result<()> {
    loop {
        let buffer = input.fill_buf()?;
        if buffer.is_empty() {
            return Ok(());
        }
        let end = buffer.iter().position(|&b| b == b'\n');
        let used = end.map_or(buffer.len(), |i| i + 1);
        input.consume(used);
        if end.is_some() {
            return Ok(());
        }
    }
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

    #[test]
    fn a_line_without_an_end_is_told_and_the_next_one_is_read() {
        let mut input = io::Cursor::new([vec![b'x'; MAX_LINE + 10], b"\nnext\nlast".to_vec()].concat());
        assert!(matches!(next(&mut input, PLAIN), Some(Action::Wrong(_))));
        assert_eq!(said(next(&mut input, PLAIN).unwrap()), "next");
        assert_eq!(said(next(&mut input, PLAIN).unwrap()), "last");
        assert_eq!(next(&mut input, PLAIN), None);
    }
}
