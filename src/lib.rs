#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod auth;
mod client;
mod handler;
pub mod id;
mod limit;
pub mod protocol;
mod room;
mod rt;
mod server;
mod session;
pub mod store;
#[cfg(feature = "testing")]
pub mod testing;
pub mod text;
pub mod transport;
#[cfg(feature = "tls")]
pub mod trust;

pub use client::{
    Acked, Author, Ban, ChatMessage, Client, ClientBuilder, ClientHandler, ClientState, CloseReason, ConnectError,
    Connector, Cursor, Event, Events, Exported, HistoryItem, HistoryPage, ListedRoom, Member, OwnSaid, OwnSession,
    PersonInfo, Receipt, ReceiptError, Reconnect, RequestError, Room, RoomChanged, RoomMembership, SearchHit,
    SearchPage, SendError, ServerInfo,
};
pub use handler::{Admission, Handler, Interests, Message, Peer, Question, Ruling, Verdict};
pub use id::{Alias, Lineage, OutboxId, PrincipalId, RoomId, RoomName, Seq, SessionId, Timestamp};
pub use limit::{Limits, Network, NetworkError, Rate, Rates};
pub use protocol::message::Place;
pub use protocol::{Code, EventKind, PrincipalKind, SkipReason, Source};
pub use room::{Action, Role};
pub use server::{
    AccountInfo, BindError, Counters, HandleError, Page, Published, Registration, RoomInfo, Server, ServerBuilder,
    ServerHandle, SessionInfo,
};
