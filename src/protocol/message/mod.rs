//! The typed messages of version 1, and their bodies in CBOR.
//!
//! Every body is a CBOR array whose elements have fixed places: a later version adds elements at the end, an earlier
//! one skips what it doesn't know. PROTOCOL.md is the specification; these files are its transcription.

mod account;
mod connection;
mod history;
mod log;
mod moderation;
mod number;
mod presence;
mod room;

use minicbor::{Decode, Encode};

pub use account::*;
pub use connection::*;
pub use history::*;
pub use log::*;
pub use moderation::*;
pub use presence::*;
pub use room::*;

use super::frame::Class;

/// A message's kind: the number in the header that says how to read the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kind(pub u16);

/// A message with a fixed kind and class.
pub trait Message: Encode<()> + for<'b> Decode<'b, ()> {
    /// Its kind.
    const KIND: Kind;
    /// Its class, unless the sender has a reason for another.
    const CLASS: Class = Class::CONTROL;
}

macro_rules! messages {
    ($($name:ident = $n:literal $(, $class:ident)?;)*) => {
        #[allow(non_upper_case_globals)]
        impl Kind {
            $(#[doc = concat!("The kind of [`", stringify!($name), "`].")] pub const $name: Kind = Kind($n);)*

            /// The message's name, for logs; `None` for a kind that this version doesn't know.
            pub const fn name(self) -> Option<&'static str> {
                match self.0 { $($n => Some(stringify!($name)),)* _ => None }
            }
        }
        $(impl Message for $name {
            const KIND: Kind = Kind($n);
            $(const CLASS: Class = Class::$class;)?
        })*
    };
}

messages! {
    Hello = 0x0001;
    Welcome = 0x0002;
    Auth = 0x0003;
    Challenge = 0x0004;
    Authenticated = 0x0005;
    Attach = 0x0006;
    Attached = 0x0007;
    Ping = 0x0008;
    Pong = 0x0009;
    ErrorReply = 0x000a;
    Bye = 0x000b;
    Credit = 0x000c;
    Join = 0x0101;
    Joined = 0x0102;
    Leave = 0x0103;
    Left = 0x0104;
    Publish = 0x0105, LIVE;
    Ack = 0x0106;
    Refused = 0x0107;
    Deliver = 0x0108, LIVE;
    Skipped = 0x0109, LIVE;
    Progress = 0x010a;
    Hold = 0x010b;
    Seek = 0x010c;
    History = 0x0201;
    HistoryEnd = 0x0202, BULK;
    Search = 0x0203;
    SearchPage = 0x0204, BULK;
    ChangePassword = 0x0301;
    Done = 0x0302;
    ListSessions = 0x0303;
    SessionsPage = 0x0304;
    EndSession = 0x0305;
    DeleteAccount = 0x0306;
    ChangeAlias = 0x0307;
    Renamed = 0x0308;
    ListOwnEvents = 0x0309;
    OwnEventsPage = 0x030a;
    ListRooms = 0x0310;
    RoomsPage = 0x0311;
    CreateRoom = 0x0312;
    JoinWith = 0x0313;
    Moderate = 0x0314;
    ListBans = 0x0315;
    BansPage = 0x0316;
    ListMemberships = 0x0317;
    MembershipsPage = 0x0318;
    Direct = 0x0320;
    Block = 0x0321;
    ListBlocks = 0x0322;
    BlocksPage = 0x0323;
    Whois = 0x0330;
    Profile = 0x0331;
    Away = 0x0332;
    ListAudit = 0x0340;
    AuditPage = 0x0341;
    Presence = 0x0501;
    Members = 0x0502;
    MembersPage = 0x0503;
    Notice = 0x0504;
    Typing = 0x0505;
    Types = 0x0506;
    Read = 0x0507;
}
