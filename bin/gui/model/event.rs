//! What the model is told: by the person, by the network, by the clock.

use chatnet::protocol::message::{Rank, RoomChange, RoomKind, RoomSettings};
use chatnet::{Code, EventKind, PrincipalId, RoomId, Source};

use super::connect::Field;
use super::settings::Choices;

/// Something happened.
#[derive(Debug, Clone)]
pub(crate) enum Event {
    Ui(Ui),
    Net(Net),
    /// The window has, or has no longer, the keyboard.
    Focus(bool),
    /// Time has passed.
    Tick,
}

/// A secret that was typed; never in a log.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Secret(pub(crate) String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// What the connect dialog holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Form {
    pub(crate) host: String,
    pub(crate) port: String,
    pub(crate) alias: String,
    pub(crate) use_account: bool,
    pub(crate) register: bool,
    pub(crate) invite_code: Secret,
    pub(crate) password: Secret,
    pub(crate) server_password: Secret,
    pub(crate) secure: bool,
}

/// What the person does. Numbers are keys of rooms, rows and members.
#[derive(Debug, Clone)]
pub(crate) enum Ui {
    Connect(Form),
    CancelConnect,
    ChooseServer(usize),
    ForgetServer(usize),
    FormEdited(String),
    TrustTyped(String),
    TrustAccept,
    TrustRefuse,
    SelectRoom(i32),
    LeaveRoom(i32),
    MuteRoom(i32),
    OpenNew,
    CloseNew,
    Browse,
    JoinRoom {
        name: String,
        password: Secret,
    },
    CreateRoom {
        name: String,
        kind: RoomKind,
        password: Secret,
    },
    MessageTo(String),
    Away(Option<String>),
    NearTop,
    Following(bool),
    JumpToNewest,
    Copy(i32),
    Retry(i32),
    Discard(i32),
    Delete(i32),
    MessageSender(i32),
    EditTopic(String),
    /// The text, and where the cursor is in it, in bytes.
    Typed(String, usize),
    Send(String),
    MoveChoice(i32),
    AcceptChoice,
    CloseSuggestions,
    SearchEmoji(String),
    TypedEmoji(String, usize),
    MessageMember(i32),
    Moderate(i32, Deed),
    MoreMembers,
    Search(String),
    MoreHits,
    ShowHit(i32),
    CloseSearch,
    Filter(String),
    MoveSwitch(i32),
    ChooseSwitch,
    PickSwitch(i32),
    CloseSwitcher,
    Now,
    Disconnect,
    ActEnded,
    CloseEnded,
    DismissToast,
    Choose(Choices),
    Quit,
}

/// What is done to a member to keep order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deed {
    Kick,
    Ban,
    Mute,
    Unmute,
    Rank(Rank),
}

/// Somebody, as an event names them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Person {
    pub(crate) id: PrincipalId,
    pub(crate) alias: String,
    pub(crate) guest: bool,
}

/// Somebody who is in a room.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Here {
    pub(crate) who: Person,
    pub(crate) rank: Rank,
    pub(crate) muted: bool,
    /// Is away, with this text.
    pub(crate) away: Option<String>,
}

/// How a room is, and what one may do there.
#[derive(Debug, Clone, Default)]
pub(crate) struct About {
    pub(crate) settings: RoomSettings,
    pub(crate) may_moderate: bool,
    pub(crate) may_topic: bool,
    pub(crate) may_delete: bool,
}

/// An event of a room's log.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    pub(crate) seq: u64,
    pub(crate) at: i64,
    pub(crate) from: Person,
    pub(crate) what: What,
}

#[derive(Debug, Clone)]
pub(crate) enum What {
    Text(String),
    Change(EventKind, RoomChange),
    /// Its text was removed.
    Removed,
    Unsupported,
}

/// Which part of a log a page is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Older,
    Newer,
    Newest,
    Around(u64),
}

/// Whether somebody is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Presence {
    Here,
    Away,
    #[default]
    Offline,
}

/// How it ended.
#[derive(Debug, Clone)]
pub(crate) struct End {
    /// The server's reason, if it gave one.
    pub(crate) code: Option<Code>,
    pub(crate) text: String,
    /// This side wanted it.
    pub(crate) requested: bool,
    pub(crate) unsent: usize,
}

/// What comes from the network. Texts and names are as the server sent them.
#[derive(Debug, Clone)]
pub(crate) enum Net {
    /// The first connection is there.
    Begun {
        server: String,
        secure: bool,
        restored: usize,
    },
    /// There is none: what to say, and beside which field.
    Failed {
        field: Field,
        text: String,
        suggestion: Option<String>,
    },
    /// Nobody vouches for the server.
    FirstContact {
        server: String,
        fingerprint: String,
        why: String,
    },
    /// It has another key than the one that is remembered.
    OtherKey {
        server: String,
        fingerprint: String,
        known: String,
    },
    Session {
        alias: String,
        principal: Option<PrincipalId>,
    },
    Reconnecting {
        attempt: u32,
        delay_ms: u64,
        reason: String,
    },
    Resumed,
    SessionLost(String),
    Closed(End),
    Joined {
        room: String,
        id: RoomId,
        head: u64,
        members: u32,
    },
    /// A room that was asked for is there: look at it.
    Opened(String),
    Left {
        room: String,
        code: Code,
        text: String,
    },
    Item {
        room: String,
        item: Item,
        source: Source,
    },
    Acked {
        room: String,
        seq: u64,
        at: i64,
        text: String,
        replaced: Option<String>,
    },
    Refused {
        room: String,
        text: String,
        reason: String,
    },
    Came {
        room: String,
        who: Person,
    },
    Went {
        room: String,
        who: Person,
    },
    /// Somebody, perhaps oneself on another device, is away with a text, or back.
    Away {
        room: String,
        who: Person,
        text: Option<String>,
    },
    Count {
        room: String,
        members: u32,
    },
    Gap {
        room: String,
        from: u64,
        to: u64,
        reset: bool,
        hidden: bool,
    },
    Notice(String),
    /// Something went wrong that answers nothing.
    Trouble(String),
    Page {
        room: String,
        ticket: u32,
        part: Part,
        items: Vec<Item>,
        before: bool,
        after: bool,
    },
    PageFailed {
        room: String,
        ticket: u32,
        text: String,
    },
    /// A page of members; the first one replaces what was there.
    Members {
        room: String,
        people: Vec<Here>,
        first: bool,
        more: bool,
    },
    /// How a room is by now, and what this person may do there.
    About {
        room: String,
        about: About,
    },
    /// The other one of a direct.
    Peer {
        room: String,
        who: Person,
        presence: Presence,
    },
    Listed {
        rooms: Vec<Listed>,
        error: String,
    },
    Hits {
        room: String,
        query: String,
        hits: Vec<Hit>,
        more: bool,
    },
    SearchFailed {
        query: String,
        text: String,
    },
    /// A command's answer, for the conversation.
    Answer {
        room: Option<String>,
        text: String,
    },
    /// Something that was asked for can't be done.
    Denied(String),
    /// That was a command; here is its line.
    GivenBack {
        room: i32,
        line: String,
    },
    /// A room that was to be joined asks for a password.
    NeedsPassword(String),
    /// A text can't be sent at all.
    NotTaken {
        room: String,
        key: i32,
        text: String,
    },
    BecameAway(Option<String>),
    Typing {
        room: String,
        who: String,
        typing: bool,
    },
    /// Another device of this person's has read: so much is left.
    Read {
        room: String,
        unread: u32,
    },
    /// This person is called so from here on.
    Renamed(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) name: String,
    pub(crate) topic: String,
    pub(crate) members: u32,
    pub(crate) kind: RoomKind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hit {
    pub(crate) seq: u64,
    pub(crate) from: Person,
    pub(crate) at: i64,
    pub(crate) snippet: String,
}
