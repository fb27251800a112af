//! From the first byte to a session, and what keeps a connection alive.

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};

use crate::id::{Lineage, PrincipalId, RoomId, Seq, SessionId};
use crate::protocol::code::Code;

/// The first element of a [`Hello`].
pub const MAGIC: &[u8] = b"chatnet";

/// Client → server, first of all: what the client speaks. No secret goes in here.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Hello {
    /// [`MAGIC`].
    #[n(0)]
    pub magic: ByteVec,
    /// The lowest protocol version spoken.
    #[n(1)]
    pub min_version: u16,
    /// The highest protocol version spoken.
    #[n(2)]
    pub max_version: u16,
    /// Names of optional abilities.
    #[n(3)]
    pub capabilities: Vec<String>,
    /// The longest frame body the client takes, in bytes.
    #[n(4)]
    pub max_body: u32,
    /// Program and version, for the server's log.
    #[n(5)]
    pub agent: String,
}

/// Server → client: what holds on this connection.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Welcome {
    /// The version spoken from here on.
    #[n(0)]
    pub version: u16,
    /// Those of the client's capabilities that the server has too.
    #[n(1)]
    pub capabilities: Vec<String>,
    /// The longest frame body the server takes, in bytes.
    #[n(2)]
    pub max_body: u32,
    /// The largest event body the server takes and sends, in bytes.
    #[n(3)]
    pub max_event: u32,
    /// Milliseconds after which a silent side sends a `Ping`; three of them without a byte end the connection.
    #[n(4)]
    pub heartbeat_ms: u32,
    /// The ways to authenticate, best first.
    #[n(5)]
    pub mechanisms: Vec<String>,
    /// The server's name, to show to people.
    #[n(6)]
    pub server: String,
    /// The store's life that seqs belong to.
    #[n(7)]
    pub lineage: Lineage,
    /// The room that a `Join` without a name means; empty if there is none.
    #[n(8)]
    pub default_room: String,
}

/// Client → server: one step of authentication.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Auth {
    /// One of `Welcome`'s mechanisms.
    #[n(0)]
    pub mechanism: String,
    /// The mechanism's bytes. For `guest`: the wished alias in UTF-8, or nothing.
    #[n(1)]
    pub data: ByteVec,
}

impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Auth({:?}, …)", self.mechanism)
    }
}

/// Server → client: the mechanism asks on.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Challenge {
    /// The mechanism's bytes.
    #[n(0)]
    pub data: ByteVec,
}

impl std::fmt::Debug for Challenge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Challenge(…)")
    }
}

/// What sort of principal somebody is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PrincipalKind {
    /// Here under an alias that is theirs while they stay.
    Guest,
    /// A registered account.
    Account,
    /// The application that runs the server.
    App,
    /// A kind that this version doesn't know.
    Other(u8),
}

impl PrincipalKind {
    /// Its number on the wire.
    pub const fn to_u8(self) -> u8 {
        match self {
            Self::Guest => 1,
            Self::Account => 2,
            Self::App => 3,
            Self::Other(n) => n,
        }
    }

    /// The kind of a number on the wire.
    pub const fn from_u8(n: u8) -> Self {
        match n {
            1 => Self::Guest,
            2 => Self::Account,
            3 => Self::App,
            n => Self::Other(n),
        }
    }
}

impl<C> Encode<C> for PrincipalKind {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.u8(self.to_u8())?.ok()
    }
}

impl<'b, C> Decode<'b, C> for PrincipalKind {
    fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        d.u8().map(Self::from_u8)
    }
}

/// Server → client: who the client is from here on.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Authenticated {
    /// The principal's id.
    #[n(0)]
    pub principal: PrincipalId,
    /// What sort of principal.
    #[n(1)]
    pub kind: PrincipalKind,
    /// The alias it has.
    #[n(2)]
    pub alias: String,
}

/// A place in a room's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Cursor {
    /// The store's life that the seq belongs to.
    #[n(0)]
    pub lineage: Lineage,
    /// The room.
    #[n(1)]
    pub room: RoomId,
    /// The last event that was seen.
    #[n(2)]
    pub seq: Seq,
}

/// Client → server: begin a session, or go on with one.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Attach {
    /// The token of the session to go on with; none for a new one.
    #[n(0)]
    pub token: Option<ByteVec>,
    /// Where the client is in its rooms.
    #[n(1)]
    pub cursors: Vec<Cursor>,
    /// Another `Attach` follows with more cursors.
    #[n(2)]
    pub more: bool,
}

impl std::fmt::Debug for Attach {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let token = if self.token.is_some() { "Token(…)" } else { "new" };
        write!(f, "Attach({token}, {} cursors)", self.cursors.len())
    }
}

/// Server → client: the session is there.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Attached {
    /// The session's id, as the server's log has it.
    #[n(0)]
    pub session: SessionId,
    /// It is the one the token names, not a new one.
    #[n(1)]
    pub resumed: bool,
    /// The token to come back with, if the server keeps sessions.
    #[n(2)]
    pub token: Option<ByteVec>,
    /// Why a token that was given didn't work.
    #[n(3)]
    pub reason: Option<Code>,
    /// Milliseconds for which the session is kept without a connection.
    #[n(4)]
    pub grace_ms: u32,
}

impl std::fmt::Debug for Attached {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Attached({:?}, resumed: {}, reason: {:?})", self.session, self.resumed, self.reason)
    }
}

/// Either side: are you there?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Ping {
    /// Comes back in the `Pong`.
    #[n(0)]
    pub nonce: u64,
}

/// Either side: the answer to a `Ping`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Pong {
    /// The `Ping`'s.
    #[n(0)]
    pub nonce: u64,
}

/// Either side: something was refused.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct ErrorReply {
    /// What, as a stable number.
    #[n(0)]
    pub code: Code,
    /// What happened and what to do, for people.
    #[n(1)]
    pub text: String,
    /// The request that it answers, if it answers one.
    #[n(2)]
    pub request: Option<u32>,
    /// The sender closes the connection after it.
    #[n(3)]
    pub fatal: bool,
    /// Milliseconds after which trying again may help; none if it won't.
    #[n(4)]
    pub retry_after_ms: Option<u32>,
    /// A value that would have worked: a free alias.
    #[n(5)]
    pub suggestion: Option<String>,
}

/// Either side: this connection and its session end now.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Bye {
    /// Why.
    #[n(0)]
    pub code: Code,
    /// Why, for people.
    #[n(1)]
    pub text: String,
    /// Milliseconds after which coming back may help; none if it won't.
    #[n(2)]
    pub retry_after_ms: Option<u32>,
}

/// Receiver of bulk → its sender: so many more bytes may come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Credit {
    /// The class it is for.
    #[n(0)]
    pub class: u8,
    /// Bytes of frames, headers included, on top of what was granted before.
    #[n(1)]
    pub bytes: u64,
}
