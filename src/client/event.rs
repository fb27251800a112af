//! What a client is told.

use std::fmt;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;

use super::error::ConnectError;
use crate::id::{Alias, Lineage, PrincipalId, RoomId, RoomName, Seq, SessionId, Timestamp};
use crate::protocol::Code;
use crate::protocol::message::{EventKind, PrincipalKind, RoomChange, SkipReason, Source};

/// Something that happened on a connection.
///
/// Texts and names come as the server sent them: pass what you show on a terminal through
/// [`text::display_line`](crate::text::display_line) or [`text::display_text`](crate::text::display_text).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event {
    /// A session has begun. First of all, and again behind [`SessionLost`](Self::SessionLost).
    Connected {
        /// The alias that it has.
        alias: Alias,
        /// Its id, as the server's log has it.
        session: SessionId,
        /// The room that was joined at once.
        room: Option<RoomName>,
    },
    /// The connection was lost, or could not be opened again. What is said meanwhile waits in the outbox.
    Reconnecting {
        /// The next attempt's number, from 1 since the last connection that was of use.
        attempt: u32,
        /// How long until it.
        delay: Duration,
        /// What happened to the last one.
        reason: CloseReason,
    },
    /// The session goes on over another connection: alias and rooms are kept, and what was missed comes now, with
    /// [`Source::Replay`].
    Resumed {
        /// How many events come so, at most.
        replayed: u64,
    },
    /// The server doesn't go on with the session. A new one begins: [`Connected`](Self::Connected) tells its alias. The
    /// rooms are joined again, each is told as [`Joined`](Self::Joined); what is unanswered is sent again. What the
    /// server had stored of it before is not stored twice, as long as its store and the room are the same: it is
    /// [`Acked`](Self::Acked) with its first place. As an event there it is of whoever this client was before, and may
    /// be told as a [`Message`](Self::Message) first.
    SessionLost {
        /// Why.
        code: Code,
        /// Why, in words.
        text: String,
    },
    /// This client is a member of a room now.
    Joined {
        /// The room's name.
        room: RoomName,
        /// The room's id.
        id: RoomId,
        /// What is behind this event comes: it is the room's last one, or the place from which this client goes on.
        head: Seq,
        /// How many members there are, this one included.
        members: u32,
    },
    /// Somebody else said something.
    Message(ChatMessage),
    /// Something has changed in a room: its topic, who may talk, who is a member, …
    RoomChanged(RoomChanged),
    /// An event of a kind that this version can't read. It has its place in the room all the same.
    Unsupported {
        /// Where.
        room: RoomName,
        /// Its number there.
        seq: Seq,
        /// Who.
        from: Author,
        /// What kind.
        kind: EventKind,
        /// The server's time.
        at: Timestamp,
    },
    /// A text of this client's is stored; its [`Receipt`](crate::Receipt) says the same.
    Acked(Acked),
    /// A text of this client's was refused, for good.
    Refused {
        /// Where.
        room: RoomName,
        /// Why, as a stable number.
        code: Code,
        /// Why, in words.
        reason: String,
        /// The text.
        text: String,
    },
    /// Somebody came into a room.
    MemberJoined {
        /// Where.
        room: RoomName,
        /// Who.
        who: Author,
    },
    /// Somebody left a room.
    MemberLeft {
        /// Where.
        room: RoomName,
        /// Who.
        who: Author,
    },
    /// Somebody in a room, perhaps this client's own person on another device, is away, or is back. A signal: who is
    /// away already is in the list of members, and in rooms of more than 500 nobody is told.
    MemberAway {
        /// Where.
        room: RoomName,
        /// Who.
        who: Author,
        /// Away, with this text; back, without one.
        text: Option<String>,
    },
    /// How many members a room has, when names were left out: it is large, or this client was slow.
    MembersChanged {
        /// Where.
        room: RoomName,
        /// How many there are.
        members: u32,
    },
    /// Events that will not come; those that were only too many can be read with
    /// [`Room::history`](crate::Room::history).
    Gap {
        /// Where.
        room: RoomName,
        /// The first one missing.
        from: Seq,
        /// The last one missing.
        to: Seq,
        /// Why.
        reason: SkipReason,
    },
    /// This client is no longer a member of a room.
    Left {
        /// Where.
        room: RoomName,
        /// Why.
        code: Code,
        /// Why, in words.
        text: String,
    },
    /// The application takes events more slowly than they come. What was dropped is fetched again once it has caught
    /// up; what the server no longer has then is told as a [`Gap`](Self::Gap).
    Overloaded {
        /// The room whose events wait on the server.
        room: RoomName,
    },
    /// Somebody is writing something, or no longer. At most a hint: it may be missing, and ends by itself.
    Typing {
        /// Where.
        room: RoomName,
        /// Who.
        who: Author,
        /// Whether they are.
        typing: bool,
    },
    /// Another device of this account has read so far.
    Read {
        /// Where.
        room: RoomName,
        /// The last event that was read.
        seq: Seq,
        /// How many messages are unread behind it.
        unread: u64,
    },
    /// This client's person is called so from here on: by [`Client::change_alias`](crate::Client::change_alias), here or
    /// on another device. In the rooms it is told as [`RoomChanged`](Self::RoomChanged) of
    /// [`EventKind::ALIAS`](crate::EventKind::ALIAS); so it is of others.
    Renamed {
        /// The alias.
        alias: Alias,
    },
    /// The outbox can't be kept on disk any more, and goes on in memory: what is unanswered when this process ends is
    /// lost. See [`ClientBuilder::outbox_file`](crate::ClientBuilder::outbox_file).
    OutboxUnkept {
        /// Why, in words.
        text: String,
    },
    /// The server's operator, to everybody who is connected.
    Notice {
        /// What.
        text: String,
        /// The server's time.
        at: Timestamp,
    },
    /// The server reports an error that answers no call.
    ServerError {
        /// What, as a stable number.
        code: Code,
        /// What, in words.
        text: String,
    },
    /// The client was closed, gave up, or may not come back. Last of all.
    Closed {
        /// Why.
        reason: CloseReason,
    },
}

/// Who wrote an event, or is in a room.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Author {
    /// Who, whatever they are called.
    pub principal: PrincipalId,
    /// What sort of principal.
    pub kind: PrincipalKind,
    /// The alias, at that time.
    pub alias: String,
}

/// A change in a room. This client's own changes are told too.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RoomChanged {
    /// Where.
    pub room: RoomName,
    /// Its number there.
    pub seq: Seq,
    /// Who did it.
    pub by: Author,
    /// What: which of `change` means something.
    pub kind: EventKind,
    /// To whom, and how.
    pub change: RoomChange,
    /// The server's time.
    pub at: Timestamp,
    /// How it comes.
    pub source: Source,
    /// Where a reader is who has taken it.
    pub cursor: Cursor,
}

/// What somebody said.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChatMessage {
    /// Where.
    pub room: RoomName,
    /// Its number there.
    pub seq: Seq,
    /// Who.
    pub from: Author,
    /// What.
    pub text: String,
    /// The server's time.
    pub at: Timestamp,
    /// How it comes.
    pub source: Source,
    /// It is this client's own: in history only.
    pub own: bool,
    /// Where a reader is who has taken it.
    pub cursor: Cursor,
}

/// A place in a room's log that holds as long as the server's store lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cursor {
    /// The store's life.
    pub lineage: Lineage,
    /// The room.
    pub room: RoomId,
    /// The last event that was taken.
    pub seq: Seq,
}

impl Cursor {
    /// A place that was kept somewhere.
    pub const fn new(lineage: Lineage, room: RoomId, seq: Seq) -> Self {
        Self { lineage, room, seq }
    }
}

/// A text of this client's that the server has stored.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Acked {
    /// Where.
    pub room: RoomName,
    /// Its number there; 0 if it was stored so long ago that the server doesn't know its place any more.
    pub seq: Seq,
    /// The server's time.
    pub at: Timestamp,
    /// What was sent.
    pub text: String,
    /// What is stored instead, if the application changed it.
    pub replaced: Option<String>,
}

/// Why a connection ended.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum CloseReason {
    /// This client wanted it.
    Requested,
    /// The server said goodbye, or reported a fatal error.
    Bye {
        /// Why.
        code: Code,
        /// Why, in words.
        text: String,
        /// After how many milliseconds coming back may help; none: it won't.
        retry_after_ms: Option<u32>,
    },
    /// No connection could be opened.
    Unreachable(Arc<ConnectError>),
    /// Nothing was heard for three heartbeats.
    IdleTimeout,
    /// The connection was cut.
    Cut,
    /// The connection failed.
    Io(Arc<io::Error>),
    /// The server broke the protocol.
    Protocol(String),
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Requested => f.write_str("the connection was closed"),
            Self::Bye { code, text, .. } => write!(f, "the server ended the connection: {text} ({})", code.name()),
            Self::Unreachable(e) => e.fmt(f),
            Self::IdleTimeout => f.write_str("the server was silent for three heartbeats"),
            Self::Cut => f.write_str("the connection was cut"),
            Self::Io(e) => write!(f, "the connection failed: {e}"),
            Self::Protocol(what) => write!(f, "the server broke the protocol: {what}"),
        }
    }
}

/// Takes a client's events one after the other: callbacks instead of a stream. Given to
/// [`connect_with`](crate::ClientBuilder::connect_with).
///
/// Called on a task of the library's own. A slow one delays nothing but its own events: acks, replies and heartbeats
/// go on, and it may await an ack of what it has sent itself. One that panics closes the connection.
///
/// ```
/// use chatnet::{ClientHandler, Event};
///
/// struct Print;
///
/// impl ClientHandler for Print {
///     async fn event(&mut self, event: Event) {
///         if let Event::Message(message) = event {
///             println!("{}: {}", message.from.alias, message.text);
///         }
///     }
/// }
/// ```
pub trait ClientHandler: Send + 'static {
    /// Take an event. The next one comes when this is done; the last one is [`Event::Closed`].
    fn event(&mut self, event: Event) -> impl Future<Output = ()> + Send;
}

/// [`ClientHandler`] as a trait object.
pub(super) trait DynClientHandler: Send {
    fn event(&mut self, event: Event) -> BoxFuture<'_, ()>;
}

impl<H: ClientHandler> DynClientHandler for H {
    fn event(&mut self, event: Event) -> BoxFuture<'_, ()> {
        Box::pin(ClientHandler::event(self, event))
    }
}

impl Event {
    /// About how many bytes it occupies.
    pub(super) fn weight(&self) -> usize {
        128 + match self {
            Self::Message(message) => message.text.len() + message.from.alias.len(),
            Self::Acked(acked) => acked.text.len() + acked.replaced.as_ref().map_or(0, String::len),
            Self::Refused { text, reason, .. } => text.len() + reason.len(),
            Self::Notice { text, .. }
            | Self::Left { text, .. }
            | Self::ServerError { text, .. }
            | Self::OutboxUnkept { text }
            | Self::SessionLost { text, .. } => text.len(),
            _ => 0,
        }
    }
}
