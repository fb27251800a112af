//! A connection's way to being attached, from the server's side: Hello, Auth, Attach. Pure.

use crate::id::Alias;
use crate::protocol::code::Code;
use crate::protocol::frame::{self, Frame};
use crate::protocol::message::{Attach, Auth, Bye, Cursor, Hello, Kind, MAGIC};
use crate::protocol::{self, MAX_CURSORS, VERSION};
use crate::text::NameError;

/// Refused tries after which the connection ends.
const MAX_TRIES: u8 = 5;

/// The smallest `max_body` that any client must take, in bytes: a bulk frame of 16 KiB and its head.
const MIN_CLIENT_BODY: u32 = 20_480;

/// What an event needs around it in a frame, in bytes.
pub(crate) const EVENT_OVERHEAD: u32 = 1024;

/// Cursors that may be sent along; further ones are of no use without a session to resume.
const MAX_ATTACH_FRAMES: u16 = 256;

/// Frames that a handshake may take: five tries, each with all that is pipelined behind it, need fewer …
const MAX_FRAMES: u32 = 1024;

/// … and bytes of their bodies.
const MAX_BYTES: usize = 1 << 20;

/// Where a connection stands.
#[derive(Debug, Default)]
pub(crate) struct Handshake {
    stage: Stage,
    tries: u8,
    // After a refused Auth, what a client pipelined behind it must not be taken for something else.
    skipping: bool,
    attaches: u16,
    cursors: Vec<Cursor>,
    frames: u32,
    bytes: usize,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Stage {
    #[default]
    Hello,
    Auth,
    Attach,
}

/// Bytes that may be a secret: its `Debug` shows nothing of them.
#[derive(PartialEq, Eq)]
pub(crate) struct Hidden(pub(crate) Vec<u8>);

impl std::fmt::Debug for Hidden {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hidden(…)")
    }
}

/// What a frame of the handshake asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Answer with `Welcome`.
    Welcome { agent: String, max_body: u32 },
    /// Admit a guest with this alias, or one of the server's choice; then [`admitted`](Handshake::admitted) or
    /// [`refused`](Handshake::refused).
    Guest(Option<Alias>),
    /// Admit whoever this shows to be somebody, or ask on; then [`admitted`](Handshake::admitted) or
    /// [`refused`](Handshake::refused).
    Other { mechanism: String, data: Hidden },
    /// Admit whoever has this session's token; then [`admitted`](Handshake::admitted) or [`refused`](Handshake::refused).
    Session(Vec<u8>),
    /// Answer with `Attached`. With the token, if the client wants to go on with a session, and where it is.
    Attached { token: Option<Vec<u8>>, cursors: Vec<Cursor> },
    /// Nothing is to be done.
    Nothing,
    /// Tell the client, and go on.
    Refuse(Code, String),
    /// Tell the client, and close.
    Fail(Code, String),
    /// The client says goodbye.
    Bye,
}

impl Handshake {
    /// Take a frame. `max_event` is the server's largest event, in bytes.
    pub(crate) fn frame(&mut self, frame: &Frame<'_>, max_event: u32) -> Step {
        let kind = Kind(frame.header.kind);
        (self.frames, self.bytes) = (self.frames + 1, self.bytes + frame.body.len());
        if self.frames > MAX_FRAMES || self.bytes > MAX_BYTES {
            let text = format!("a handshake takes at most {MAX_FRAMES} frames, of {MAX_BYTES} bytes together");
            return Step::Fail(Code::OUT_OF_ORDER, text);
        }
        match (self.stage, kind) {
            (Stage::Hello, Kind::Hello) => self.hello(frame.body, max_event),
            (Stage::Hello, _) => Step::Fail(Code::NOT_CHATNET, "a chatnet connection begins with Hello".into()),
            (_, Kind::Bye) if protocol::decode::<Bye>(frame.body).is_ok() => Step::Bye,
            (Stage::Auth, Kind::Auth) => self.auth(frame.body),
            (Stage::Auth, _) if self.skipping => Step::Nothing,
            (Stage::Attach, Kind::Attach) => self.attach(frame.body),
            (_, Kind::Ping | Kind::Pong) => Step::Nothing,
            (_, kind) if kind.name().is_none() && frame.header.flags & frame::FLAG_REQUIRED == 0 => {
                Step::Refuse(Code::UNSUPPORTED_KIND, format!("frames of kind {:#06x} are not known here", kind.0))
            }
            (stage, kind) => {
                let expected = if stage == Stage::Auth { "Auth" } else { "Attach" };
                let name = kind.name().unwrap_or("a frame of unknown kind");
                Step::Fail(Code::OUT_OF_ORDER, format!("{name} came before {expected}"))
            }
        }
    }

    /// The guest is in.
    pub(crate) fn admitted(&mut self) {
        self.stage = Stage::Attach;
        self.skipping = false;
    }

    /// The guest is not in; true if it may try again.
    pub(crate) fn refused(&mut self) -> bool {
        self.tries += 1;
        self.skipping = true;
        self.tries < MAX_TRIES
    }

    fn hello(&mut self, body: &[u8], max_event: u32) -> Step {
        let hello: Hello = match protocol::decode(body) {
            Ok(hello) => hello,
            Err(e) => return malformed("Hello", &e),
        };
        if hello.magic.as_slice() != MAGIC {
            return Step::Fail(Code::NOT_CHATNET, "the Hello lacks chatnet's magic bytes".into());
        }
        if hello.min_version > VERSION || hello.max_version < VERSION {
            return Step::Fail(
                Code::UNSUPPORTED_VERSION,
                format!(
                    "this server speaks protocol version {VERSION}, the client {} to {}: update the older one",
                    hello.min_version, hello.max_version
                ),
            );
        }
        let needed = MIN_CLIENT_BODY.max(max_event.saturating_add(EVENT_OVERHEAD));
        if hello.max_body < needed {
            return Step::Fail(
                Code::LIMITS_TOO_SMALL,
                format!("the client takes frames of {} bytes, this server needs {needed}: raise it", hello.max_body),
            );
        }
        self.stage = Stage::Auth;
        Step::Welcome { agent: hello.agent, max_body: hello.max_body }
    }

    fn auth(&mut self, body: &[u8]) -> Step {
        self.skipping = false;
        let auth: Auth = match protocol::decode(body) {
            Ok(auth) => auth,
            Err(e) => return malformed("Auth", &e),
        };
        match auth.mechanism.as_str() {
            "guest" => {}
            "session" => return Step::Session(auth.data.into()),
            _ => return Step::Other { mechanism: auth.mechanism, data: Hidden(auth.data.into()) },
        }
        let parsed = match std::str::from_utf8(&auth.data) {
            Ok("") => return Step::Guest(None),
            Ok(raw) => Alias::parse(raw).and_then(Alias::unreserved).map_err(|e: NameError| e.to_string()),
            Err(_) => Err("the alias is not valid UTF-8".into()),
        };
        match parsed {
            Ok(alias) => Step::Guest(Some(alias)),
            Err(text) => self.try_again(Code::ALIAS_INVALID, text),
        }
    }

    fn try_again(&mut self, code: Code, text: String) -> Step {
        if self.refused() { Step::Refuse(code, text) } else { Step::Fail(code, text) }
    }

    fn attach(&mut self, body: &[u8]) -> Step {
        let attach: Attach = match protocol::decode(body) {
            Ok(attach) => attach,
            Err(e) => return malformed("Attach", &e),
        };
        self.attaches += 1;
        if self.cursors.len() + attach.cursors.len() > MAX_CURSORS {
            return Step::Fail(Code::MALFORMED, format!("more than {MAX_CURSORS} cursors"));
        }
        self.cursors.extend(attach.cursors);
        if !attach.more {
            let cursors = std::mem::take(&mut self.cursors);
            return Step::Attached { token: attach.token.map(Into::into), cursors };
        }
        if self.attaches >= MAX_ATTACH_FRAMES {
            return Step::Fail(Code::OUT_OF_ORDER, format!("more than {MAX_ATTACH_FRAMES} Attach frames"));
        }
        Step::Nothing
    }
}

fn malformed(what: &str, e: &protocol::DecodeError) -> Step {
    Step::Fail(Code::MALFORMED, format!("the {what} can't be read: {e}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{Lineage, RoomId, Seq};
    use crate::protocol::message::Join;
    use crate::protocol::{Message, to_frame};

    fn feed<M: Message>(h: &mut Handshake, message: &M) -> Step {
        let bytes = to_frame(message);
        let (frame, _) = frame::split(&bytes, u32::MAX).unwrap().unwrap();
        h.frame(&frame, 65_536)
    }

    fn hello(min: u16, max: u16, max_body: u32) -> Hello {
        let magic = MAGIC.to_vec().into();
        Hello { magic, min_version: min, max_version: max, capabilities: vec![], max_body, agent: "t".into() }
    }

    fn auth(alias: &str) -> Auth {
        Auth { mechanism: "guest".into(), data: alias.as_bytes().to_vec().into() }
    }

    fn join() -> Join {
        Join { request: 1, name: "x".into() }
    }

    fn greeted() -> Handshake {
        let mut h = Handshake::default();
        assert!(matches!(feed(&mut h, &hello(1, 1, 131_072)), Step::Welcome { .. }));
        h
    }

    #[test]
    fn a_client_of_later_versions_is_welcome_if_it_speaks_this_one_too() {
        assert!(matches!(feed(&mut Handshake::default(), &hello(1, 9, 131_072)), Step::Welcome { .. }));
        let step = feed(&mut Handshake::default(), &hello(2, 9, 131_072));
        assert!(matches!(step, Step::Fail(Code::UNSUPPORTED_VERSION, _)));
    }

    #[test]
    fn a_client_that_can_not_take_the_largest_event_is_refused_at_once() {
        let step = feed(&mut Handshake::default(), &hello(1, 1, 66_559));
        assert!(matches!(step, Step::Fail(Code::LIMITS_TOO_SMALL, _)));
        assert!(matches!(feed(&mut Handshake::default(), &hello(1, 1, 66_560)), Step::Welcome { .. }));
    }

    #[test]
    fn what_was_pipelined_behind_a_refused_auth_is_skipped_up_to_the_next_one() {
        let mut h = greeted();
        assert!(matches!(feed(&mut h, &auth("ada")), Step::Guest(Some(_))));
        assert!(h.refused());
        assert_eq!(feed(&mut h, &Attach { token: None, cursors: vec![], more: false }), Step::Nothing);
        assert_eq!(feed(&mut h, &join()), Step::Nothing);
        assert!(matches!(feed(&mut h, &auth("ada2")), Step::Guest(Some(_))));
        h.admitted();
        let attach = Attach { token: None, cursors: vec![], more: false };
        assert_eq!(feed(&mut h, &attach), Step::Attached { token: None, cursors: vec![] });
    }

    #[test]
    fn the_fifth_refusal_ends_it() {
        let mut h = greeted();
        for _ in 0..4 {
            assert!(matches!(feed(&mut h, &auth("\u{202e}x")), Step::Refuse(Code::ALIAS_INVALID, _)));
        }
        assert!(matches!(feed(&mut h, &auth("\u{202e}x")), Step::Fail(Code::ALIAS_INVALID, _)));
    }

    #[test]
    fn nothing_of_a_room_works_before_attach() {
        let mut h = greeted();
        assert!(matches!(feed(&mut h, &join()), Step::Fail(Code::OUT_OF_ORDER, _)));
        assert!(matches!(feed(&mut Handshake::default(), &join()), Step::Fail(Code::NOT_CHATNET, _)));
    }

    #[test]
    fn cursors_come_in_pages() {
        let mut h = greeted();
        let token: Vec<u8> = vec![1; 32];
        let session = Auth { mechanism: "session".into(), data: token.clone().into() };
        assert_eq!(feed(&mut h, &session), Step::Session(token.clone()));
        h.admitted();
        let cursor = |n: u64| Cursor {
            lineage: crate::id::Lineage::from_bytes([1; 16]),
            room: crate::id::RoomId::from_bytes([2; 16]),
            seq: crate::id::Seq::new(n),
        };
        assert_eq!(feed(&mut h, &Attach { token: None, cursors: vec![cursor(1)], more: true }), Step::Nothing);
        let last = Attach { token: Some(token.clone().into()), cursors: vec![cursor(2)], more: false };
        let expected = Step::Attached { token: Some(token), cursors: vec![cursor(1), cursor(2)] };
        assert_eq!(feed(&mut h, &last), expected);
    }

    #[test]
    fn a_handshake_without_an_end_has_one() {
        let mut h = greeted();
        feed(&mut h, &auth("admin"));
        let skipped = (0..).take_while(|_| feed(&mut h, &join()) == Step::Nothing).take(5000).count();
        assert_eq!(skipped, 1022, "a Hello and an Auth before");
        assert!(matches!(feed(&mut h, &join()), Step::Fail(Code::OUT_OF_ORDER, _)));

        let mut h = greeted();
        feed(&mut h, &auth("admin"));
        let large = Join { request: 1, name: "x".repeat(4000) };
        let skipped = (0..).take_while(|_| feed(&mut h, &large) == Step::Nothing).take(5000).count();
        assert!((255..265).contains(&skipped), "{skipped}: 1 MiB");
    }

    #[test]
    fn there_are_only_so_many_cursors() {
        let mut h = greeted();
        feed(&mut h, &auth("ada"));
        h.admitted();
        let cursor =
            Cursor { lineage: Lineage::from_bytes([1; 16]), room: RoomId::from_bytes([1; 16]), seq: Seq::new(1) };
        let page = |n| Attach { token: None, cursors: vec![cursor; n], more: true };
        for _ in 0..64 {
            assert_eq!(feed(&mut h, &page(64)), Step::Nothing);
        }
        assert!(matches!(feed(&mut h, &page(1)), Step::Fail(Code::MALFORMED, _)));
    }
}
