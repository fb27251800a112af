//! People as others see them: who is here, who is that.

use minicbor::data::Type;
use minicbor::{Decode, Encode};

use super::connection::PrincipalKind;
use super::moderation::Rank;
use crate::id::{PrincipalId, RoomId, Seq};

/// A member, as others see it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Person {
    /// Who.
    #[n(0)]
    pub principal: PrincipalId,
    /// What sort of principal.
    #[n(1)]
    pub kind: PrincipalKind,
    /// The alias.
    #[n(2)]
    pub alias: String,
    /// The presence version of this change; 0 where there is none.
    #[n(3)]
    pub version: u64,
}

/// Somebody is away, or back, as others see it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct AwayChange {
    /// Who.
    #[n(0)]
    pub principal: PrincipalId,
    /// What sort of principal.
    #[n(1)]
    pub kind: PrincipalKind,
    /// The alias.
    #[n(2)]
    pub alias: String,
    /// The presence version of this change.
    #[n(3)]
    pub version: u64,
    /// Away, with this text; back, without one.
    #[n(4)]
    pub text: Option<String>,
}

/// Server → client: who came and went, and who is away or back, since version `from`.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Presence {
    /// The room.
    #[n(0)]
    pub room: RoomId,
    /// The version after the changes.
    #[n(1)]
    pub version: u64,
    /// The version before them.
    #[n(2)]
    pub from: u64,
    /// How many members there are now.
    #[n(3)]
    pub count: u32,
    /// Who came.
    #[n(4)]
    pub joined: Vec<Person>,
    /// Who went.
    #[n(5)]
    pub left: Vec<Person>,
    /// The lists are left out: ask for the members if they matter.
    #[n(6)]
    pub partial: bool,
    /// Who is away, or back; none if nobody has said so.
    #[n(7)]
    pub away: Option<Vec<AwayChange>>,
}

/// Client → server: who is in the room?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Members {
    /// Comes back in the answer.
    #[n(0)]
    pub request: u32,
    /// The room.
    #[n(1)]
    pub room: RoomId,
    /// Those whose ids come after this one; none for the first page.
    #[n(2)]
    pub after: Option<PrincipalId>,
    /// How many at most; the server may send fewer.
    #[n(3)]
    pub limit: u32,
}

/// A member in a page: a [`Person`], and who they are in the room. An early server tells the person alone.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct MemberEntry {
    /// Who.
    #[n(0)]
    pub principal: PrincipalId,
    /// What sort of principal.
    #[n(1)]
    pub kind: PrincipalKind,
    /// The alias.
    #[n(2)]
    pub alias: String,
    /// Always 0.
    #[n(3)]
    pub version: u64,
    /// Who they are in the room.
    #[n(4)]
    pub rank: Option<Rank>,
    /// They may not talk until then, in milliseconds since 1970; the largest number: until it is taken back.
    #[n(5)]
    pub muted_until: Option<i64>,
    /// They are away, with this text.
    #[n(6)]
    pub away: Option<String>,
}

/// Server → client: a page of members, in the order of their ids.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct MembersPage {
    /// The `Members`'s.
    #[n(0)]
    pub request: u32,
    /// The room.
    #[n(1)]
    pub room: RoomId,
    /// The presence version of this page.
    #[n(2)]
    pub version: u64,
    /// The members.
    #[n(3)]
    pub members: Vec<MemberEntry>,
    /// There are more behind the last one.
    #[n(4)]
    pub more: bool,
}

/// Server → client: the application has something to say to everybody; it is in no log.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Notice {
    /// The text.
    #[n(0)]
    pub text: String,
    /// Server time, milliseconds since 1970.
    #[n(1)]
    pub at: i64,
}

/// Somebody, by id or by what they are called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whom {
    /// By id.
    Id(PrincipalId),
    /// By alias; for a ban also a mask (`spam*`) or an address prefix (`203.0.113.0/24`).
    Name(String),
}

impl<C> Encode<C> for Whom {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        match self {
            Self::Id(id) => e.encode(id)?.ok(),
            Self::Name(name) => e.str(name)?.ok(),
        }
    }
}

impl<'b, C> Decode<'b, C> for Whom {
    fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        if d.datatype()? == Type::Bytes { d.decode().map(Self::Id) } else { d.str().map(|s| Self::Name(s.into())) }
    }
}

/// Client → server: who is that?
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Whois {
    /// Comes back in the answer.
    #[n(0)]
    pub request: u32,
    /// Who.
    #[n(1)]
    pub whom: Whom,
}

/// Server → client: what is known of somebody.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Profile {
    /// The request's.
    #[n(0)]
    pub request: u32,
    /// Who; the version is 0.
    #[n(1)]
    pub person: Person,
    /// Has a connection now.
    #[n(2)]
    pub online: bool,
    /// Is away, with this text.
    #[n(3)]
    pub away: Option<String>,
    /// When an account was seen last, in milliseconds since 1970.
    #[n(4)]
    pub seen: Option<i64>,
    /// Keeps order on the whole server.
    #[n(5)]
    pub admin: bool,
    /// When the account was made, in milliseconds since 1970; told to its owner only.
    #[n(6)]
    pub created: Option<i64>,
}

/// Client → server: this session's person is away, or is back.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Away {
    /// Comes back in the answer.
    #[n(0)]
    pub request: u32,
    /// What to tell who asks; none: back.
    #[n(1)]
    pub text: Option<String>,
}

/// Client → server: take nothing from somebody any more, or again.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Block {
    /// Comes back in the answer.
    #[n(0)]
    pub request: u32,
    /// Whom.
    #[n(1)]
    pub whom: Whom,
    /// Whether to block them.
    #[n(2)]
    pub blocked: bool,
}

/// Client → server: from whom does this principal take nothing?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct ListBlocks {
    /// Comes back in the answer.
    #[n(0)]
    pub request: u32,
    /// Those whose ids come after this one; none for the first page.
    #[n(1)]
    pub after: Option<PrincipalId>,
}

/// Server → client: a page of those whom this principal has blocked, in the order of their ids.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct BlocksPage {
    /// The request's.
    #[n(0)]
    pub request: u32,
    /// Who; the alias is empty of somebody who isn't known any more.
    #[n(1)]
    pub blocked: Vec<Person>,
    /// There are more behind the last one.
    #[n(2)]
    pub more: bool,
}

/// Client → server: this person is writing something, or is no longer. Without an answer; it may be dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Typing {
    /// Where.
    #[n(0)]
    pub room: RoomId,
    /// Whether they are.
    #[n(1)]
    pub typing: bool,
}

/// Server → client: somebody is writing something, or is no longer. It holds for six seconds.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Types {
    /// Where.
    #[n(0)]
    pub room: RoomId,
    /// Who; the version is 0.
    #[n(1)]
    pub person: Person,
    /// Whether they are.
    #[n(2)]
    pub typing: bool,
}

/// Server → client: this account has read so far, on another device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Read {
    /// Where.
    #[n(0)]
    pub room: RoomId,
    /// The last event that was read.
    #[n(1)]
    pub seq: Seq,
}
