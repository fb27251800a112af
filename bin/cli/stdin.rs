//! Lines of stdin: most are understood when it is their turn; one that answers a question is taken as it is, so that no
//! password becomes a message by the way it looks.

use std::io::{self, BufRead, Read};

use futures::channel::mpsc;
use futures::{SinkExt, StreamExt};
use serde_json::Value;

use crate::input::{self, Action, Rules};

/// A line longer than this is not a message; what follows in it is thrown away, so that a stream without line ends
/// doesn't fill the memory. In bytes; above the largest text of a server by default.
const MAX_LINE: usize = 1 << 20;

/// Lines that are read ahead: as many as a fast pipe needs.
const AHEAD: usize = 256;

/// A line, without what ends it.
#[derive(Debug, Clone, PartialEq)]
enum Line {
    Bytes(Vec<u8>),
    TooLong,
}

/// What a line asks for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Typed {
    pub(crate) action: Action,
    /// It was to choose a room, or would have been followed by a secret.
    pub(crate) leads: bool,
}

/// What is typed, or piped in.
#[derive(Debug)]
pub(crate) struct Input {
    lines: mpsc::Receiver<Line>,
    rules: Rules,
}

impl Input {
    /// Read stdin on a thread of its own: reading it blocks, whatever it is.
    pub(crate) fn new(rules: Rules) -> Self {
        let (mut sender, lines) = mpsc::channel(AHEAD);
        std::thread::spawn(move || {
            let mut input = io::stdin().lock();
            while let Some(line) = next(&mut input) {
                if futures::executor::block_on(sender.send(line)).is_err() {
                    return;
                }
            }
        });
        Self { lines, rules }
    }

    /// The next line, understood; none at the end of the input. Cancel safe.
    pub(crate) async fn typed(&mut self) -> Option<Typed> {
        Some(match self.lines.next().await? {
            Line::Bytes(line) => {
                let action = input::parse(&line, self.rules);
                Typed { action, leads: self.rules.commands && leads(&line) }
            }
            Line::TooLong => {
                let action = Action::Wrong(format!("a line of more than {MAX_LINE} bytes was not sent"));
                Typed { action, leads: false }
            }
        })
    }

    /// The next line as an answer, whatever it looks like; none at the end of the input. Cancel safe.
    pub(crate) async fn answer(&mut self) -> Option<Result<String, &'static str>> {
        Some(match self.lines.next().await? {
            Line::Bytes(line) => match String::from_utf8(line) {
                Ok(line) => Ok(answer(line, self.rules.json)),
                Err(_) => Err("it is not valid UTF-8"),
            },
            Line::TooLong => Err("it is too long"),
        })
    }
}

/// A line as an answer: as it is; or, where lines may be JSON, what `{"secret":TEXT}` holds.
pub(crate) fn answer(line: String, json: bool) -> String {
    let secret = || match serde_json::from_str(&line) {
        Ok(Value::Object(object)) if object.len() == 1 => object.get("secret")?.as_str().map(str::to_owned),
        _ => None,
    };
    let given = if json { secret() } else { None };
    given.unwrap_or_else(|| line.strip_suffix('\r').unwrap_or(&line).to_owned())
}

/// Whether a line is a command of those behind which a script means to be elsewhere, or says a secret; or is one of them
/// mistyped, for what stands behind `/pasword` is no less a password.
fn leads(line: &[u8]) -> bool {
    const LEADING: [&str; 8] =
        ["join", "room", "create", "register", "login", "password", "delete-account", "settings"];
    let line = line.strip_prefix(b"/").unwrap_or_default();
    let word = line.split(u8::is_ascii_whitespace).next().unwrap_or_default().to_ascii_lowercase();
    let is_near = |leading: &&str| slips(&word, leading.as_bytes()) <= if leading.len() > 4 { 2 } else { 1 };
    // Two slashes are a text.
    !word.starts_with(b"/") && word.len() <= 20 && LEADING.iter().any(is_near)
}

/// How many slips lead from one word to another: a letter too many or too few, another one, or two the wrong way round.
fn slips(from: &[u8], to: &[u8]) -> usize {
    let mut rows: Vec<Vec<usize>> = vec![(0..=to.len()).collect()];
    for (i, a) in from.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, b) in to.iter().enumerate() {
            let mut least = (rows[i][j + 1] + 1).min(row[j] + 1).min(rows[i][j] + usize::from(a != b));
            if i > 0 && j > 0 && *a == to[j - 1] && from[i - 1] == *b {
                least = least.min(rows[i - 1][j - 1] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[from.len()][to.len()]
}

/// The next line; none at the end of the input.
fn next(input: &mut impl BufRead) -> Option<Line> {
    let mut line = Vec::new();
    match input.by_ref().take(MAX_LINE as u64).read_until(b'\n', &mut line) {
        Ok(0) | Err(_) => return None,
        Ok(_) => {}
    }
    if line.last() == Some(&b'\n') {
        line.pop();
    } else if line.len() == MAX_LINE {
        return skip_line(input).is_ok().then_some(Line::TooLong);
    }
    Some(Line::Bytes(line))
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

    #[test]
    fn a_line_without_an_end_is_told_and_the_next_one_is_read() {
        let mut input = io::Cursor::new([vec![b'x'; MAX_LINE + 10], b"\nnext\nlast".to_vec()].concat());
        assert_eq!(next(&mut input), Some(Line::TooLong));
        assert_eq!(next(&mut input), Some(Line::Bytes(b"next".into())));
        assert_eq!(next(&mut input), Some(Line::Bytes(b"last".into())));
        assert_eq!(next(&mut input), None);
    }

    #[test]
    fn an_answer_is_the_line_as_it_is_whatever_it_looks_like() {
        for line in ["/quit", "//x", " two  blanks ", r#"{"send":"x"}"#, r#"{"secret":"a"}"#] {
            assert_eq!(answer(line.to_owned(), false), line);
        }
        assert_eq!(answer("dos\r".to_owned(), false), "dos");
        assert_eq!(answer(r#"{"secret":"a\n/b"}"#.to_owned(), true), "a\n/b");
        for line in [r#"{"send":"x"}"#, r#"{"secret":"a","b":1}"#, r#"{"secret":1}"#, "{", "/x"] {
            assert_eq!(answer(line.to_owned(), true), line);
        }
    }

    #[test]
    fn a_command_that_chooses_a_room_or_takes_a_secret_leads() {
        assert!(leads(b"/join den") && leads(b"/password") && leads(b"/create"));
        for mistyped in
            ["/jion den", "/pasword", "/PASSWORD", "/regster", "/logn ada", "/delete-acount", "/rom x", "/setings"]
        {
            assert!(leads(mistyped.as_bytes()), "{mistyped}");
        }
        for other in
            ["/who", "/nick x", "/topic", "/msg", "/kick", "/ban", "/help", "/list", "/delete 3", "/shrug", "/nonsense"]
        {
            assert!(!leads(other.as_bytes()), "{other}");
        }
        assert!(!leads(b"join") && !leads(b"/joined") && !leads(b"//join") && !leads(b"/topic x"));
    }
}
