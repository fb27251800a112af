//! `chatnet` against a server that wants to attack the terminal it runs in.
#![cfg(all(feature = "cli", unix))]

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Command, Stdio};

use chatnet::id::{Lineage, PrincipalId, RoomId, Seq, SessionId};
use chatnet::protocol::message::*;
use chatnet::protocol::{Code, decode, frame, to_frame};

/// In every field: clears the screen, sets the title, turns the direction round, and begins a line of somebody else's.
const EVIL: &str = "a\u{1b}[2J\u{1b}]0;owned\u{7}\u{9b}31m\u{202e}b\r\n[lobby] eve: forged";

const ROOM: RoomId = RoomId::from_bytes([7; 16]);

/// Says everything that a server can say, with [`EVIL`] wherever there is a text, and goodbye.
fn attack(mut stream: TcpStream) {
    let text = || EVIL.to_owned();
    let principal = PrincipalId::from_bytes([3; 16]);
    let kind = PrincipalKind::Guest;
    let person = |version| Person { principal, kind, alias: text(), version };
    let away = |version| AwayChange { principal, kind, alias: text(), version, text: Some(text()) };
    let event = |kind| Delivered { kind, at_delta: 0, bytes: text().into_bytes() };
    let deliver = |seq, events| Deliver {
        room: ROOM,
        seq: Seq::new(seq),
        principal,
        kind,
        alias: text(),
        at: 5,
        events,
        source: None,
        own: None,
    };
    let mut buffer = Vec::new();
    loop {
        let mut chunk = [0; 4096];
        let n = stream.read(&mut chunk).unwrap();
        if n == 0 {
            return;
        }
        buffer.extend_from_slice(&chunk[..n]);
        while let Some((frame, used)) = frame::split(&buffer, 1 << 20).unwrap() {
            let mut say = Vec::new();
            match Kind(frame.header.kind) {
                Kind::Hello => say.extend(to_frame(&Welcome {
                    version: 1,
                    capabilities: vec![],
                    max_body: 131_072,
                    max_event: 65_536,
                    heartbeat_ms: 60_000,
                    mechanisms: vec!["guest".into()],
                    server: text(),
                    lineage: Lineage::from_bytes([8; 16]),
                    default_room: "lobby".into(),
                })),
                Kind::Auth => say.extend(to_frame(&Authenticated {
                    principal: PrincipalId::from_bytes([1; 16]),
                    kind,
                    alias: "ada".into(),
                })),
                Kind::Attach => say.extend(to_frame(&Attached {
                    session: SessionId::from_bytes([2; 16]),
                    resumed: false,
                    token: None,
                    reason: None,
                    grace_ms: 0,
                })),
                Kind::Join => {
                    let request = decode::<Join>(frame.body).unwrap().request;
                    let (name, head) = ("lobby".into(), Seq::new(9));
                    say.extend(to_frame(&Joined {
                        request,
                        room: ROOM,
                        name,
                        head,
                        presence: 1,
                        count: 1,
                        latest: None,
                        read: None,
                        about: None,
                    }));
                    say.extend(to_frame(&deliver(10, vec![event(EventKind::TEXT), event(EventKind(99))])));
                    let (joined, left) = (vec![person(2)], vec![person(3)]);
                    say.extend(to_frame(&Presence {
                        room: ROOM,
                        version: 3,
                        from: 1,
                        count: 2,
                        joined,
                        left,
                        partial: false,
                        away: Some(vec![away(2)]),
                    }));
                    say.extend(to_frame(&Notice { text: text(), at: 5 }));
                    let (code, request, suggestion) = (Code::BUSY, None, Some(text()));
                    say.extend(to_frame(&ErrorReply {
                        code,
                        text: text(),
                        request,
                        fatal: false,
                        retry_after_ms: None,
                        suggestion,
                    }));
                }
                Kind::Publish => {
                    let publish: Publish = decode(frame.body).unwrap();
                    let (room, outbox, n) = (ROOM, publish.outbox, publish.n);
                    let (seq, at, replaced) = (Seq::new(12), 6, Some(Body::text(EVIL)));
                    say.extend(to_frame(&Ack { room, outbox, n, count: 1, seq, at, replaced }));
                    let code = Code::MESSAGE_REFUSED;
                    say.extend(to_frame(&Refused {
                        room,
                        outbox,
                        n: n + 1,
                        code,
                        text: text(),
                        permanent: true,
                        retry_after_ms: None,
                    }));
                    say.extend(to_frame(&Left { request: 0, room, code: Code::DISCONNECTED, text: text() }));
                    say.extend(to_frame(&Bye { code: Code::DISCONNECTED, text: text(), retry_after_ms: None }));
                }
                _ => {}
            }
            if stream.write_all(&say).is_err() {
                return;
            }
            if frame.header.kind == Kind::Publish.0 {
                // Closed behind the goodbye; what still comes is read, so that it isn't reset.
                let _ = stream.shutdown(Shutdown::Write);
            }
            buffer.drain(..used);
        }
    }
}

fn run(args: &[&str]) -> (String, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    std::thread::spawn(move || attack(listener.accept().unwrap().0));
    let mut child = Command::new(env!("CARGO_BIN_EXE_chatnet"))
        .args(["--plaintext", "--port", &port, "--name", "ada"])
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    // Two texts, for an ack and a refusal; the input stays open, for the end is the server's to make.
    input.write_all(b"one\ntwo\n").unwrap();
    let output = child.wait_with_output().unwrap();
    drop(input);
    (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
}

fn is_harmless(text: &str) -> bool {
    // What moves the cursor, changes the direction, or is not seen.
    let harmful = |c: char| {
        c != '\n' && c.is_control()
            || matches!(c, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    !text.contains(harmful)
}

#[test]
fn whatever_a_server_says_a_terminal_is_safe_and_no_line_is_forged() {
    let (out, err) = run(&["--plain"]);
    // Everything was shown: the text, what can't be shown, who came and went, the notice, the errors, the changed text.
    for word in [
        "* connected as ada",
        "[lobby] a",
        "kind 99",
        "joined lobby",
        "left lobby",
        "* server: ",
        "changed to",
        "not sent",
        "out of lobby",
    ] {
        assert!(out.contains(word), "{word:?} is missing in {out}");
    }
    assert!(is_harmless(&out) && is_harmless(&err), "{out:?} {err:?}");
    let forged: Vec<_> = out.lines().chain(err.lines()).filter(|line| line.starts_with("[lobby] eve")).collect();
    assert!(forged.is_empty(), "{forged:?}");
    let lines: Vec<_> = out.lines().collect();
    assert!(
        lines.iter().all(|l| ["* ", "! ", "[lobby] ", "    | "].iter().any(|head| l.starts_with(head))),
        "{lines:#?}"
    );
}

#[test]
fn json_is_one_object_a_line_and_has_no_raw_control_characters() {
    let (out, _) = run(&["--json"]);
    assert!(
        out.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok_and(|v| v["event"].is_string()))
    );
    assert!(out.chars().all(|c| c == '\n' || !c.is_ascii_control()), "{out:?}");
}
