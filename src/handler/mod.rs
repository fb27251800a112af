//! The application's say: a trait object that decides who comes in, who joins, and what is said.

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;

use futures::future::BoxFuture;

use crate::id::{Alias, PrincipalId, RoomName, SessionId};
use crate::protocol::{Code, PrincipalKind};
use crate::room::Action;
use crate::transport::Certificate;

/// Decide and observe what happens on a server.
///
/// Implement the methods you need as plain `async fn`; the others let everything pass. Name the ones you implement in
/// [`interests`](Self::interests), so that the others cost nothing.
///
/// Each call runs on the task of the session it is about: a session's own messages wait for it, in order; other
/// sessions don't. A call has a time limit ([`handler_timeout`](crate::ServerBuilder::handler_timeout)); one that
/// takes longer, or panics, is dropped: the message (or the join, or the connection) is refused, and the client may
/// try again. A handler that *blocks its thread* (a long computation, a blocking lock or file) can't be interrupted:
/// it holds up every task of that runtime thread, and with as many of them as there are processors the whole server.
/// Move such work to a thread of your own and await its answer. A poll that takes longer than 100 ms is logged.
///
/// ```
/// use chatnet::{Handler, Interests, Message, Verdict};
///
/// #[derive(Debug)]
/// struct NoShouting;
///
/// impl Handler for NoShouting {
///     fn interests(&self) -> Interests {
///         Interests::none().message()
///     }
///
///     async fn message(&self, message: Message<'_>) -> Verdict {
///         let shouted = message.text.chars().any(char::is_alphabetic) && message.text.to_uppercase() == message.text;
///         if shouted { Verdict::Replace(message.text.to_lowercase()) } else { Verdict::Deliver }
///     }
/// }
/// ```
pub trait Handler: fmt::Debug + Send + Sync + 'static {
    /// Which methods are to be called. Asked once, when the server is built. Default: all.
    fn interests(&self) -> Interests {
        Interests::all()
    }

    /// Somebody wants to come in; they have an alias, and are in no room yet.
    fn connect(&self, who: Peer<'_>) -> impl Future<Output = Admission> + Send {
        let _ = who;
        async { Admission::Allow }
    }

    /// Somebody wants to join a room.
    fn join(&self, who: Peer<'_>, room: &RoomName) -> impl Future<Output = Admission> + Send {
        let _ = (who, room);
        async { Admission::Allow }
    }

    /// Somebody says something. Called before it is stored, once for each text, also if it is sent again.
    fn message(&self, message: Message<'_>) -> impl Future<Output = Verdict> + Send {
        let _ = message;
        async { Verdict::Deliver }
    }

    /// Somebody wants to do something in a room that needs a permission; [`Action`] names everything, and has the
    /// server's own table. That has been asked already, and this may decide otherwise. Called before it is done.
    ///
    /// [`Ruling::Refuse`] is told as `not_permitted`, with the reason. [`Ruling::Allow`] lifts what the table has against
    /// it, this once, and nothing else: names, sizes, limits, and what makes no sense stay refused. In particular:
    ///
    /// - [`Join`](Action::Join), behind [`join`](Self::join): it lifts the room's kind, its password, its member limit and
    ///   bans from it, not bans from the server. Whoever was banned stays until there is a new ban that fits them, or their
    ///   session ends. Not asked of who makes the room, nor of an account that comes back into its rooms.
    /// - [`Speak`](Action::Speak), before [`message`](Self::message) and once for what is sent in one go: it lifts a mute,
    ///   announcement-only and archived. Whether somebody is seen writing is the table's.
    /// - [`ChangeAlias`](Action::ChangeAlias), before [`rename`](Self::rename) and for each room that they are in: it lifts
    ///   a mute there, not that who is called so is banned or muted there.
    /// - The others: it lifts that somebody has no such rank, is no member, and doesn't rank above whom they act on.
    ///
    /// In a direct nobody keeps order, and nothing is asked.
    fn permission(&self, question: Question<'_>) -> impl Future<Output = Ruling> + Send {
        let _ = question;
        async { Ruling::AsUsual }
    }

    /// Somebody wants to be called otherwise, everywhere. The alias keeps the rules, and is free.
    fn rename(&self, who: Peer<'_>, alias: &Alias) -> impl Future<Output = Admission> + Send {
        let _ = (who, alias);
        async { Admission::Allow }
    }

    /// Somebody left a room, was put out of it, or is about to be gone altogether. A session is told of once for each
    /// room that it was in. For somebody who was put out it runs on a task of its own, and holds up nobody.
    fn leave(&self, who: Peer<'_>, room: &RoomName) -> impl Future<Output = ()> + Send {
        let _ = (who, room);
        async {}
    }

    /// A session whose [`connect`](Self::connect) was allowed has ended.
    fn disconnect(&self, who: Peer<'_>, reason: Code) -> impl Future<Output = ()> + Send {
        let _ = (who, reason);
        async {}
    }
}

/// Somebody who is, or wants to be, on the server.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Peer<'a> {
    /// The session; the server's log names it too.
    pub session: SessionId,
    /// Who it is, whatever the alias.
    pub principal: PrincipalId,
    /// What sort of principal.
    pub kind: PrincipalKind,
    /// The alias.
    pub alias: &'a Alias,
    /// Where the connection comes from; none for a transport of the application's.
    pub address: Option<SocketAddr>,
    /// What the client calls itself: not checked, not unique.
    pub agent: &'a str,
    /// The certificate that it has shown, of an authority that [the server's TLS](crate::ServerBuilder) asks for.
    pub certificate: Option<&'a Certificate>,
}

/// A text on its way into a room.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Message<'a> {
    /// Who says it.
    pub from: Peer<'a>,
    /// Where.
    pub room: &'a RoomName,
    /// What; at most [`max_event`](crate::ServerBuilder::max_event) bytes, without control characters other than
    /// newline and tab.
    pub text: &'a str,
}

/// Something that somebody wants to do in a room.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Question<'a> {
    /// Who wants to.
    pub who: Peer<'a>,
    /// Where.
    pub room: &'a RoomName,
    /// What.
    pub action: Action,
    /// To whom, if it is to somebody.
    pub whom: Option<PrincipalId>,
    /// What the server's own table says.
    pub permitted: bool,
}

/// Whether somebody may do something.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ruling {
    /// As the server's own table says.
    AsUsual,
    /// Yes, whatever it says.
    Allow,
    /// No, for this reason, which they are told.
    Refuse(String),
}

/// What becomes of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// It is stored and delivered as it is.
    Deliver,
    /// This text is stored and delivered instead; the sender is told. The rules for texts hold for it too.
    Replace(String),
    /// Nobody gets it, and the sender is told this reason.
    Refuse(String),
}

/// Whether somebody is let in.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Admission {
    /// Yes.
    Allow,
    /// No, for this reason, which they are told.
    Refuse(String),
}

/// Which of a handler's methods are called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interests {
    pub(crate) connect: bool,
    pub(crate) join: bool,
    pub(crate) message: bool,
    pub(crate) permission: bool,
    pub(crate) rename: bool,
    pub(crate) leave: bool,
    pub(crate) disconnect: bool,
}

impl Interests {
    /// All of them.
    pub const fn all() -> Self {
        Self { connect: true, join: true, message: true, permission: true, rename: true, leave: true, disconnect: true }
    }

    /// None of them; add those you implement.
    pub const fn none() -> Self {
        Self {
            connect: false,
            join: false,
            message: false,
            permission: false,
            rename: false,
            leave: false,
            disconnect: false,
        }
    }

    /// And [`Handler::connect`].
    #[must_use]
    pub const fn connect(self) -> Self {
        Self { connect: true, ..self }
    }

    /// And [`Handler::join`].
    #[must_use]
    pub const fn join(self) -> Self {
        Self { join: true, ..self }
    }

    /// And [`Handler::message`].
    #[must_use]
    pub const fn message(self) -> Self {
        Self { message: true, ..self }
    }

    /// And [`Handler::permission`].
    #[must_use]
    pub const fn permission(self) -> Self {
        Self { permission: true, ..self }
    }

    /// And [`Handler::rename`].
    #[must_use]
    pub const fn rename(self) -> Self {
        Self { rename: true, ..self }
    }

    /// And [`Handler::leave`].
    #[must_use]
    pub const fn leave(self) -> Self {
        Self { leave: true, ..self }
    }

    /// And [`Handler::disconnect`].
    #[must_use]
    pub const fn disconnect(self) -> Self {
        Self { disconnect: true, ..self }
    }
}

/// [`Handler`] as a trait object.
pub(crate) trait DynHandler: fmt::Debug + Send + Sync {
    fn connect<'a>(&'a self, who: Peer<'a>) -> BoxFuture<'a, Admission>;
    fn join<'a>(&'a self, who: Peer<'a>, room: &'a RoomName) -> BoxFuture<'a, Admission>;
    fn message<'a>(&'a self, message: Message<'a>) -> BoxFuture<'a, Verdict>;
    fn permission<'a>(&'a self, question: Question<'a>) -> BoxFuture<'a, Ruling>;
    fn rename<'a>(&'a self, who: Peer<'a>, alias: &'a Alias) -> BoxFuture<'a, Admission>;
    fn leave<'a>(&'a self, who: Peer<'a>, room: &'a RoomName) -> BoxFuture<'a, ()>;
    fn disconnect<'a>(&'a self, who: Peer<'a>, reason: Code) -> BoxFuture<'a, ()>;
}

impl<H: Handler> DynHandler for H {
    fn connect<'a>(&'a self, who: Peer<'a>) -> BoxFuture<'a, Admission> {
        Box::pin(Handler::connect(self, who))
    }

    fn join<'a>(&'a self, who: Peer<'a>, room: &'a RoomName) -> BoxFuture<'a, Admission> {
        Box::pin(Handler::join(self, who, room))
    }

    fn message<'a>(&'a self, message: Message<'a>) -> BoxFuture<'a, Verdict> {
        Box::pin(Handler::message(self, message))
    }

    fn permission<'a>(&'a self, question: Question<'a>) -> BoxFuture<'a, Ruling> {
        Box::pin(Handler::permission(self, question))
    }

    fn rename<'a>(&'a self, who: Peer<'a>, alias: &'a Alias) -> BoxFuture<'a, Admission> {
        Box::pin(Handler::rename(self, who, alias))
    }

    fn leave<'a>(&'a self, who: Peer<'a>, room: &'a RoomName) -> BoxFuture<'a, ()> {
        Box::pin(Handler::leave(self, who, room))
    }

    fn disconnect<'a>(&'a self, who: Peer<'a>, reason: Code) -> BoxFuture<'a, ()> {
        Box::pin(Handler::disconnect(self, who, reason))
    }
}
