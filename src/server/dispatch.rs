//! Which message does what: one row a kind. A new message is a new row and a function in the file of its concept.

use std::sync::Arc;

use super::attach;
use super::conn::{Close, Farewell};
use super::export;
use super::history;
use super::login;
use super::membership;
use super::moderation;
use super::publish::{self, Judging, Slow};
use super::reader::Reader;
use super::requests::{self, Ask};
use super::shared::Clock;
use super::toll;
use super::typing;
use crate::id::Alias;
use crate::limit::What;
use crate::protocol::frame::{Class, FLAG_REQUIRED, Frame};
use crate::protocol::message::{
    Bye, CreateRoom, Credit, Cursor, ErrorReply, History, Hold, Join, JoinWith, Kind, Leave, Members, MembersPage,
    Moderate, Ping, Pong, Progress, Secret, Seek, Typing, Welcome,
};
use crate::protocol::{self, Code, DecodeError, MAX_ITEMS, Message, VERSION};
use crate::session::handshake::{Hidden, Step};

/// Members on one page, at most.
const MAX_PAGE: u32 = 100;

/// What follows a frame.
#[derive(Debug)]
pub(super) enum Flow {
    /// The next frame.
    Next,
    /// Enough for now: too much waits for the peer already. What was read is kept, and taken later.
    Full,
    /// This first; it may wait.
    Work(Work),
    Close(Close),
}

/// What may wait: for the application, or for the store.
#[derive(Debug)]
pub(super) enum Work {
    Guest(Option<Alias>),
    Auth(String, Hidden),
    Token(Hidden),
    Attach {
        token: Option<Hidden>,
        cursors: Vec<Cursor>,
    },
    Join(Join, Option<Secret>),
    Create(CreateRoom),
    Moderate(Box<Moderate>),
    Ask(Ask),
    Leave(Leave),
    Judge(Judging),
    /// A publish whose numbers the store has to be asked about.
    Slow(Slow),
    History(History),
}

impl Work {
    /// Whether somebody comes in by it: into the server, or into a room.
    pub(super) fn enters(&self) -> bool {
        let handshake = matches!(self, Self::Guest(_) | Self::Auth(..) | Self::Token(_) | Self::Attach { .. });
        handshake || matches!(self, Self::Join(..) | Self::Create(_))
    }
}

type Run = fn(&mut Reader, &[u8]) -> Result<Flow, DecodeError>;

/// What an attached client may send, besides `Publish`, which the reader takes itself.
const TABLE: &[(Kind, Run)] = &[
    (Kind::Ping, ping),
    (Kind::Pong, pong),
    (Kind::Bye, bye),
    (Kind::Credit, credit),
    (Kind::ErrorReply, error),
    (Kind::Join, |_, body| Ok(Flow::Work(Work::Join(protocol::decode(body)?, None)))),
    (Kind::JoinWith, |_, body| {
        let JoinWith { request, name, password } = protocol::decode(body)?;
        Ok(Flow::Work(Work::Join(Join { request, name }, Some(password))))
    }),
    (Kind::CreateRoom, |_, body| Ok(Flow::Work(Work::Create(protocol::decode(body)?)))),
    (Kind::Moderate, |_, body| Ok(Flow::Work(Work::Moderate(Box::new(protocol::decode(body)?))))),
    (Kind::ChangePassword, |_, body| Ok(ask(Ask::ChangePassword(protocol::decode(body)?)))),
    (Kind::DeleteAccount, |_, body| Ok(ask(Ask::DeleteAccount(protocol::decode(body)?)))),
    (Kind::ChangeAlias, |_, body| Ok(ask(Ask::ChangeAlias(protocol::decode(body)?)))),
    (Kind::EndSession, |_, body| Ok(ask(Ask::EndSession(protocol::decode(body)?)))),
    (Kind::Direct, |_, body| Ok(ask(Ask::Direct(protocol::decode(body)?)))),
    (Kind::Block, |_, body| Ok(ask(Ask::Block(protocol::decode(body)?)))),
    (Kind::ListAudit, |_, body| Ok(ask(Ask::Audit(protocol::decode(body)?)))),
    (Kind::ListSessions, |reader, body| now(body, |ask| requests::sessions(&reader.shared, &reader.conn, ask))),
    (Kind::ListRooms, |reader, body| now(body, |ask| requests::rooms(&reader.shared, &reader.conn, ask))),
    (Kind::ListOwnEvents, |_, body| Ok(ask(Ask::OwnEvents(protocol::decode(body)?)))),
    (Kind::ListMemberships, |reader, body| now(body, |ask| export::memberships(&reader.shared, &reader.conn, ask))),
    (Kind::ListBlocks, |reader, body| now(body, |ask| export::blocks(&reader.shared, &reader.conn, ask))),
    (Kind::ListBans, |_, body| Ok(ask(Ask::Bans(protocol::decode(body)?)))),
    (Kind::Whois, |reader, body| now(body, |ask| requests::whois(&reader.shared, &reader.conn, &ask))),
    (Kind::Away, |reader, body| now(body, |ask| requests::away(&reader.shared, &reader.conn, ask))),
    (Kind::Leave, |_, body| Ok(Flow::Work(Work::Leave(protocol::decode(body)?)))),
    (Kind::Progress, progress),
    (Kind::Typing, typing),
    (Kind::Hold, hold),
    (Kind::Seek, seek),
    (Kind::Members, members),
    (Kind::History, |_, body| Ok(Flow::Work(Work::History(protocol::decode(body)?)))),
    (Kind::Search, |reader, body| {
        history::search(&reader.shared, &reader.conn, protocol::decode(body)?);
        Ok(Flow::Next)
    }),
];

/// Dispatch a frame.
pub(super) fn frame(reader: &mut Reader, frame: &Frame<'_>) -> Flow {
    if reader.handshake.is_some() {
        return handshake(reader, frame);
    }
    let kind = Kind(frame.header.kind);
    match TABLE.iter().find(|(known, _)| *known == kind) {
        Some((_, run)) => run(reader, frame.body).unwrap_or_else(|e| Flow::Close(malformed(kind, &e))),
        None if kind.name().is_some() => {
            let name = kind.name().unwrap_or_default();
            refuse(reader, Code::OUT_OF_ORDER, format!("{name} has no place here"));
            Flow::Next
        }
        None => {
            let text = format!("frames of kind {:#06x} are not known here", kind.0);
            if frame.header.flags & FLAG_REQUIRED != 0 {
                return Flow::Close(Close::error(Code::UNSUPPORTED_KIND, text));
            }
            refuse(reader, Code::UNSUPPORTED_KIND, text);
            Flow::Next
        }
    }
}

/// Do what may wait.
pub(super) async fn work(reader: &mut Reader, work: Work) -> Result<(), Close> {
    match work {
        Work::Guest(wish) => attach::guest(reader, wish).await,
        Work::Auth(mechanism, data) => login::auth(reader, mechanism, data.0).await,
        Work::Token(token) => attach::token(reader, token.0).await,
        Work::Attach { token, cursors } => attach::attach(reader, token.map(|token| token.0), cursors).await,
        Work::Join(join, password) => membership::join(reader, join, password.map(|password| password.0)).await,
        Work::Create(create) => membership::create(reader, create).await,
        Work::Moderate(moderate) => moderation::moderate(reader, *moderate).await,
        Work::Ask(ask) => requests::ask(reader, ask).await,
        Work::Leave(leave) => membership::leave(reader, leave).await,
        Work::Judge(judging) => {
            publish::judge(&reader.shared, judging).await;
            Ok(())
        }
        Work::Slow(slow) => {
            publish::slow(&reader.shared, slow).await;
            Ok(())
        }
        Work::History(history) => {
            history::ask(&reader.shared, &reader.conn, history).await;
            Ok(())
        }
    }
}

/// A frame that can't be decoded ends the connection.
pub(super) fn malformed(kind: Kind, e: &DecodeError) -> Close {
    Close::error(Code::MALFORMED, format!("the {} can't be read: {e}", kind.name().unwrap_or("frame")))
}

fn handshake(reader: &mut Reader, frame: &Frame<'_>) -> Flow {
    let (shared, conn) = (Arc::clone(&reader.shared), Arc::clone(&reader.conn));
    let Some(handshake) = &mut reader.handshake else { return Flow::Next };
    match handshake.frame(frame, shared.config.max_event) {
        Step::Welcome { agent, .. } => {
            let agent: String = agent.chars().take(64).collect();
            reader.agent = crate::text::display_line(&agent).into_owned();
            conn.queue(&Welcome {
                version: VERSION,
                capabilities: Vec::new(),
                max_body: shared.config.max_body,
                max_event: shared.config.max_event,
                heartbeat_ms: shared.config.heartbeat.as_millis() as u32,
                mechanisms: login::mechanisms(&shared, &conn),
                server: shared.config.name.clone(),
                lineage: shared.store.lineage(),
                default_room: shared.config.default_room.as_ref().map(ToString::to_string).unwrap_or_default(),
            });
            Flow::Next
        }
        Step::Guest(wish) => Flow::Work(Work::Guest(wish)),
        Step::Other { mechanism, data } => Flow::Work(Work::Auth(mechanism, data)),
        Step::Session(token) => Flow::Work(Work::Token(Hidden(token))),
        Step::Attached { token, cursors } => Flow::Work(Work::Attach { token: token.map(Hidden), cursors }),
        Step::Nothing => Flow::Next,
        Step::Refuse(code, text) => {
            refuse(reader, code, text);
            Flow::Next
        }
        Step::Fail(code, text) => Flow::Close(Close::error(code, text)),
        Step::Bye => Flow::Close(Close::gone(Code::GOODBYE, "the client left during the handshake")),
    }
}

fn refuse(reader: &Reader, code: Code, text: String) {
    let (request, retry_after_ms, suggestion) = (None, None, None);
    reader.conn.queue(&ErrorReply { code, text, request, fatal: false, retry_after_ms, suggestion });
}

fn ask(ask: Ask) -> Flow {
    Flow::Work(Work::Ask(ask))
}

/// A question that is answered at once.
fn now<M: Message>(body: &[u8], answer: impl FnOnce(M)) -> Result<Flow, DecodeError> {
    protocol::decode(body).map(answer).map(|()| Flow::Next)
}

fn ping(reader: &mut Reader, body: &[u8]) -> Result<Flow, DecodeError> {
    let Ping { nonce } = protocol::decode(body)?;
    reader.conn.queue(&Pong { nonce });
    Ok(Flow::Next)
}

fn pong(reader: &mut Reader, body: &[u8]) -> Result<Flow, DecodeError> {
    let Pong { nonce } = protocol::decode(body)?;
    reader.shared.probes.answered(reader.conn.id, nonce);
    Ok(Flow::Next)
}

fn bye(_: &mut Reader, body: &[u8]) -> Result<Flow, DecodeError> {
    let Bye { code, text, .. } = protocol::decode(body)?;
    let text: String = text.chars().take(200).collect();
    let text = crate::text::display_line(&text);
    let close = Close::bye(code, format!("the client said goodbye: {text}"));
    Ok(Flow::Close(Close { farewell: Farewell::Heard, ..close }))
}

fn error(reader: &mut Reader, body: &[u8]) -> Result<Flow, DecodeError> {
    let error: ErrorReply = protocol::decode(body)?;
    let text: String = error.text.chars().take(200).collect();
    let text = crate::text::display_line(&text);
    tracing::warn!(connection = reader.conn.id, code = %error.code, "the client reports an error: {text}");
    Ok(if error.fatal { Flow::Close(Close::gone(error.code, "the client reported a fatal error")) } else { Flow::Next })
}

fn progress(reader: &mut Reader, body: &[u8]) -> Result<Flow, DecodeError> {
    let Progress { rooms } = protocol::decode(body)?;
    if rooms.len() > MAX_ITEMS {
        return Err(DecodeError::message(format!("it has at most {MAX_ITEMS} rooms")));
    }
    for progress in rooms {
        if let Some(member) = reader.conn.member(progress.room)
            && member.read_up_to(progress.seq.min(member.room.head()))
        {
            reader.shared.reads.note(&member);
        }
    }
    Ok(Flow::Next)
}

fn typing(reader: &mut Reader, body: &[u8]) -> Result<Flow, DecodeError> {
    let signal: Typing = protocol::decode(body)?;
    if let Some(member) = reader.conn.member(signal.room) {
        typing::relay(&reader.shared, &member, signal);
    }
    Ok(Flow::Next)
}

fn hold(reader: &mut Reader, body: &[u8]) -> Result<Flow, DecodeError> {
    let Hold { room } = protocol::decode(body)?;
    if let Some(member) = reader.conn.member(room) {
        member.hold();
    }
    Ok(Flow::Next)
}

fn seek(reader: &mut Reader, body: &[u8]) -> Result<Flow, DecodeError> {
    let Seek { room, after } = protocol::decode(body)?;
    if let Some(member) = reader.conn.member(room) {
        let head = member.room.head();
        reader.conn.with_output(|output| {
            output.bulk.drop_of(&member);
            member.seek(after, head);
        });
        reader.conn.deliver_marked(&reader.shared, &member);
    }
    Ok(Flow::Next)
}

fn credit(reader: &mut Reader, body: &[u8]) -> Result<Flow, DecodeError> {
    let Credit { class, bytes } = protocol::decode(body)?;
    // Only bulk is sent on credit.
    if class == Class::BULK.0 {
        reader.conn.with_output(|output| output.bulk.grant(bytes));
    }
    Ok(Flow::Next)
}

fn members(reader: &mut Reader, body: &[u8]) -> Result<Flow, DecodeError> {
    let Members { request, room, after, limit } = protocol::decode(body)?;
    if let Err(wait) = toll::request(&reader.shared, &reader.conn, What::Reads) {
        let (code, text, request, fatal) = (Code::RATE_LIMITED, toll::TEXT.to_owned(), Some(request), false);
        reader.conn.queue(&ErrorReply { code, text, request, fatal, retry_after_ms: Some(wait), suggestion: None });
        return Ok(Flow::Next);
    }
    let Some(member) = reader.conn.member(room) else {
        let (code, text) = (Code::NOT_A_MEMBER, "you are not in this room: join it first".to_owned());
        let (fatal, retry_after_ms, suggestion) = (false, None, None);
        reader.conn.queue(&ErrorReply { code, text, request: Some(request), fatal, retry_after_ms, suggestion });
        return Ok(Flow::Next);
    };
    let (version, members, more) = {
        let limit = limit.clamp(1, MAX_PAGE) as usize;
        member.room.page(&reader.shared.people, Clock::timestamp(), after, limit)
    };
    reader.conn.queue(&MembersPage { request, room, version, members, more });
    Ok(Flow::Next)
}
