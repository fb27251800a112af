//! What the frames of the file mean.

use chatnet::id::{Lineage, OutboxId, PrincipalId, RoomId, Seq, SessionId};
use chatnet::protocol::event::{DeliverHead, encode_deliver};
use chatnet::protocol::message::*;
use chatnet::protocol::{Class, Code, Message, decode, to_frame};

pub(super) const ROOM: RoomId = RoomId::from_bytes([0xaa; 16]);
pub(super) const OUTBOX: OutboxId = OutboxId::from_bytes([0xbb; 16]);
pub(super) const ADA: PrincipalId = PrincipalId::from_bytes([0xcc; 16]);
pub(super) const BOB: PrincipalId = PrincipalId::from_bytes([0xcd; 16]);
pub(super) const SESSION: SessionId = SessionId::from_bytes([0xdd; 16]);
pub(super) const LINEAGE: Lineage = Lineage::from_bytes([0xee; 16]);
/// 2023-11-14T22:13:20.123Z.
pub(super) const AT: i64 = 1_700_000_000_123;

pub(super) type Reads = Box<dyn Fn(&[u8]) -> bool>;

/// A frame of the file, and what it means.
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) class: Class,
    /// The frame as this version's encoder makes it, if it still makes this one.
    pub(super) made: Option<Vec<u8>>,
    /// Whether a body reads as the message.
    pub(super) reads: Reads,
}

/// A frame that the encoder makes of this message, and that reads as it.
pub(super) fn both<M: Message + PartialEq + 'static>(name: &'static str, message: M) -> Row {
    let made = Some(to_frame(&message));
    Row { made, ..read(name, message) }
}

/// A frame that reads as this message, and that the encoder makes differently: another version's.
pub(super) fn read<M: Message + PartialEq + 'static>(name: &'static str, message: M) -> Row {
    let reads = move |body: &[u8]| decode::<M>(body).is_ok_and(|m| m == message);
    Row { name, kind: M::KIND, class: M::CLASS, made: None, reads: Box::new(reads) }
}

pub(super) fn rows() -> Vec<Row> {
    vec![
        both(
            "hello",
            Hello {
                magic: MAGIC.to_vec().into(),
                min_version: 1,
                max_version: 1,
                capabilities: vec![],
                max_body: 131_072,
                agent: "x".into(),
            },
        ),
        both(
            "hello with capabilities",
            Hello {
                magic: MAGIC.to_vec().into(),
                min_version: 1,
                max_version: 300,
                capabilities: vec!["zip".into(), "ümlaut".into()],
                max_body: 20_480,
                agent: String::new(),
            },
        ),
        both(
            "welcome",
            Welcome {
                version: 1,
                capabilities: vec![],
                max_body: 132_096,
                max_event: 65_536,
                heartbeat_ms: 15_000,
                mechanisms: vec!["guest".into()],
                server: "chatnet".into(),
                lineage: LINEAGE,
                default_room: "lobby".into(),
            },
        ),
        both("auth", Auth { mechanism: "guest".into(), data: b"ada".to_vec().into() }),
        both("auth without a wish", Auth { mechanism: "guest".into(), data: vec![].into() }),
        both("challenge", Challenge { data: vec![0, 1, 0xff].into() }),
        both("authenticated", Authenticated { principal: ADA, kind: PrincipalKind::Guest, alias: "ada".into() }),
        both("attach", Attach { token: None, cursors: vec![], more: false }),
        both(
            "attach with a token and cursors",
            Attach {
                token: Some(vec![1; 32].into()),
                cursors: vec![Cursor { lineage: LINEAGE, room: ROOM, seq: Seq::new(4711) }],
                more: true,
            },
        ),
        both("attached", Attached { session: SESSION, resumed: false, token: None, reason: None, grace_ms: 0 }),
        both(
            "attached with everything",
            Attached {
                session: SESSION,
                resumed: true,
                token: Some(vec![2; 32].into()),
                reason: Some(Code::AUTH_FAILED),
                grace_ms: 60_000,
            },
        ),
        both("ping", Ping { nonce: 1 }),
        both("pong", Pong { nonce: u64::MAX }),
        both(
            "error",
            ErrorReply {
                code: Code::NO_SUCH_ROOM,
                text: "no such room".into(),
                request: Some(7),
                fatal: false,
                retry_after_ms: None,
                suggestion: None,
            },
        ),
        both(
            "error with a suggestion",
            ErrorReply {
                code: Code::ALIAS_IN_USE,
                text: "in use".into(),
                request: None,
                fatal: true,
                retry_after_ms: Some(5000),
                suggestion: Some("ada2".into()),
            },
        ),
        both("bye", Bye { code: Code::GOODBYE, text: String::new(), retry_after_ms: None }),
        both("bye for a while", Bye { code: Code::SHUTTING_DOWN, text: "later".into(), retry_after_ms: Some(250) }),
        both("credit", Credit { class: 2, bytes: 262_144 }),
        both("join", Join { request: 1, name: "den".into() }),
        both("join the default room", Join { request: u32::MAX, name: String::new() }),
        both(
            "joined",
            Joined {
                request: 1,
                room: ROOM,
                name: "den".into(),
                head: Seq::new(41),
                presence: 9,
                count: 3,
                latest: None,
                read: None,
                about: None,
            },
        ),
        both(
            "joined again, with something to come",
            Joined {
                request: 0,
                room: ROOM,
                name: "den".into(),
                head: Seq::new(41),
                presence: 9,
                count: 3,
                latest: Some(Seq::new(50)),
                read: None,
                about: None,
            },
        ),
        both("history", History { request: 4, room: ROOM, place: Place::Before(Seq::new(100)), limit: 50 }),
        both("history by time", History { request: 4, room: ROOM, place: Place::AroundTime(AT), limit: 1 }),
        both("history end", HistoryEnd { request: 4, room: ROOM, more_before: true, more_after: false }),
        both("search", Search { request: 5, room: ROOM, query: "hot tea*".into(), before: None, limit: 20 }),
        both(
            "search page",
            SearchPage {
                request: 5,
                room: ROOM,
                hits: vec![Hit {
                    seq: Seq::new(7),
                    principal: ADA,
                    kind: PrincipalKind::Guest,
                    alias: "ada".into(),
                    at: AT,
                    snippet: "… hot tea".into(),
                }],
                more: false,
            },
        ),
        both("leave", Leave { request: 2, room: ROOM }),
        both("left", Left { request: 0, room: ROOM, code: Code::DISCONNECTED, text: "out".into() }),
        both(
            "publish",
            Publish {
                room: ROOM,
                outbox: OUTBOX,
                n: 1,
                bodies: vec![Body::text("hi"), Body::text("ho")],
                expected: None,
            },
        ),
        both(
            "publish on a condition",
            Publish {
                room: ROOM,
                outbox: OUTBOX,
                n: 1000,
                bodies: vec![Body { kind: EventKind(200), bytes: vec![0xff, 0] }],
                expected: Some(Seq::new(41)),
            },
        ),
        both("ack", Ack { room: ROOM, outbox: OUTBOX, n: 1, count: 2, seq: Seq::new(42), at: AT, replaced: None }),
        both(
            "ack of a changed text",
            Ack {
                room: ROOM,
                outbox: OUTBOX,
                n: 3,
                count: 1,
                seq: Seq::new(44),
                at: -1,
                replaced: Some(Body::text("d***")),
            },
        ),
        both(
            "refused",
            Refused {
                room: ROOM,
                outbox: OUTBOX,
                n: 3,
                code: Code::MESSAGE_REFUSED,
                text: "no spam".into(),
                permanent: true,
                retry_after_ms: None,
            },
        ),
        both(
            "refused for now",
            Refused {
                room: ROOM,
                outbox: OUTBOX,
                n: 3,
                code: Code::BUSY,
                text: "later".into(),
                permanent: false,
                retry_after_ms: Some(100),
            },
        ),
        both("deliver", deliver(None, None)),
        bulk("deliver as replay", Source::Replay, None),
        bulk("deliver own as history", Source::History, Some(7)),
        both("skipped", Skipped { room: ROOM, from: Seq::new(1), to: Seq::new(300), reason: 1 }),
        both("progress", Progress { rooms: vec![RoomProgress { room: ROOM, seq: Seq::new(42) }] }),
        both("hold", Hold { room: ROOM }),
        both("seek", Seek { room: ROOM, after: Seq::new(42) }),
        both(
            "presence",
            Presence {
                room: ROOM,
                version: 12,
                from: 9,
                count: 3,
                joined: vec![person(ADA, "ada", 11)],
                left: vec![person(BOB, "bob", 12)],
                partial: false,
                away: None,
            },
        ),
        both(
            "presence of who is away",
            Presence {
                room: ROOM,
                version: 14,
                from: 12,
                count: 2,
                joined: vec![],
                left: vec![],
                partial: false,
                away: Some(vec![away(ADA, "ada", 13, Some("at tea")), away(BOB, "bob", 14, None)]),
            },
        ),
        both("members", Members { request: 3, room: ROOM, after: None, limit: 100 }),
        both("members behind one", Members { request: 3, room: ROOM, after: Some(ADA), limit: 1 }),
        both(
            "members page",
            MembersPage {
                request: 3,
                room: ROOM,
                version: 12,
                members: vec![member(ADA, "ada"), member(BOB, "bob")],
                more: true,
            },
        ),
        both("change password", ChangePassword { request: 8, old: "old".into(), new: "new".into() }),
        both("done", Done { request: 8, seq: None }),
        both("done in a room", Done { request: 8, seq: Some(Seq::new(42)) }),
        both("list sessions", ListSessions { request: 8, after: None }),
        both(
            "sessions page",
            SessionsPage {
                request: 8,
                sessions: vec![SessionEntry {
                    session: SESSION,
                    current: true,
                    connected: true,
                    address: Some("203.0.113.7:4711".into()),
                    agent: "x".into(),
                }],
                next: None,
            },
        ),
        both("list sessions behind one", ListSessions { request: 8, after: Some(SESSION) }),
        both("sessions page with more behind it", SessionsPage { request: 8, sessions: vec![], next: Some(SESSION) }),
        both("end session", EndSession { request: 8, session: SESSION }),
        both("delete account", DeleteAccount { request: 8, password: "old".into() }),
        both("list rooms", ListRooms { request: 8, after: None, limit: 100 }),
        both("list rooms behind one", ListRooms { request: 8, after: Some("den".into()), limit: 100 }),
        both(
            "rooms page",
            RoomsPage {
                request: 8,
                rooms: vec![RoomEntry { name: "den".into(), members: 3, settings: settings() }],
                more: false,
            },
        ),
        both(
            "create room",
            CreateRoom { request: 8, name: "den".into(), settings: settings(), password: Some("sesame".into()) },
        ),
        both("join with a password", JoinWith { request: 8, name: "den".into(), password: "sesame".into() }),
        both("moderate", Moderate { text: Some("tea".into()), ..Moderate::new(8, ROOM, EventKind::TOPIC) }),
        both(
            "moderate with everything",
            Moderate {
                whom: Some(Whom::Name("spam*".into())),
                text: Some("spam".into()),
                for_ms: Some(60_000),
                value: Some(2),
                settings: Some(settings()),
                password: Some("sesame".into()),
                ..Moderate::new(8, ROOM, EventKind::BAN)
            },
        ),
        both("list bans", ListBans { request: 8, room: ROOM, skip: None }),
        both(
            "bans page",
            BansPage {
                request: 8,
                bans: vec![BanEntry {
                    whom: "203.0.113.0/24".into(),
                    by: "ada".into(),
                    reason: "spam".into(),
                    until: Some(AT),
                }],
                more: None,
            },
        ),
        both("direct", Direct { request: 8, whom: Whom::Id(BOB) }),
        both("block", Block { request: 8, whom: Whom::Name("bob".into()), blocked: true }),
        both("whois", Whois { request: 8, whom: Whom::Name("bob".into()) }),
        both(
            "profile",
            Profile {
                request: 8,
                person: person(BOB, "bob", 0),
                online: false,
                away: Some("at lunch".into()),
                seen: Some(AT),
                admin: true,
                created: None,
            },
        ),
        both("away", Away { request: 8, text: Some("at lunch".into()) }),
        both("list audit", ListAudit { request: 8, before: Some(300), limit: 100 }),
        both(
            "audit page",
            AuditPage {
                request: 8,
                entries: vec![AuditEntry {
                    n: 299,
                    at: AT,
                    by: "ada".into(),
                    act: "kick".into(),
                    room: "den".into(),
                    whom: "bob".into(),
                    text: "spam".into(),
                }],
                more: true,
            },
        ),
        both("notice", Notice { text: "we close".into(), at: AT }),
        both(
            "joined, with how far one has read",
            Joined {
                request: 1,
                room: ROOM,
                name: "den".into(),
                head: Seq::new(41),
                presence: 9,
                count: 3,
                latest: Some(Seq::new(50)),
                read: Some(Seq::new(41)),
                about: None,
            },
        ),
        both(
            "joined, with how the room is",
            Joined {
                request: 1,
                room: ROOM,
                name: "den".into(),
                head: Seq::new(41),
                presence: 9,
                count: 3,
                latest: None,
                read: Some(Seq::new(41)),
                about: Some(About {
                    settings: RoomSettings { topic: "tea".into(), ..RoomSettings::new(RoomKind::Hidden) },
                    rank: Rank::Moderator,
                    admin: false,
                    muted_until: None,
                }),
            },
        ),
        both(
            "joined by somebody who is muted",
            Joined {
                request: 1,
                room: ROOM,
                name: "den".into(),
                head: Seq::new(41),
                presence: 9,
                count: 3,
                latest: None,
                read: None,
                about: Some(About {
                    settings: RoomSettings::default(),
                    rank: Rank::Member,
                    admin: true,
                    muted_until: Some(AT),
                }),
            },
        ),
        both(
            "members page, with who they are here",
            MembersPage {
                request: 3,
                room: ROOM,
                version: 12,
                members: vec![
                    MemberEntry { rank: Some(Rank::Owner), away: Some("at tea".into()), ..member(ADA, "ada") },
                    MemberEntry { rank: Some(Rank::Member), muted_until: Some(AT), ..member(BOB, "bob") },
                ],
                more: false,
            },
        ),
        both(
            "profile of one's own",
            Profile {
                request: 8,
                person: person(ADA, "ada", 0),
                online: true,
                away: None,
                seen: None,
                admin: false,
                created: Some(AT),
            },
        ),
        both("change alias", ChangeAlias { request: 8, alias: "ada l".into() }),
        both("renamed", Renamed { request: 8, alias: "ada l".into() }),
        both("list own events", ListOwnEvents { request: 8, after: None }),
        both(
            "list own events behind a place",
            ListOwnEvents { request: 8, after: Some(OwnPlace { room: ROOM, seq: Seq::new(41) }) },
        ),
        both(
            "own events page",
            OwnEventsPage {
                request: 8,
                events: vec![OwnEvent {
                    room: ROOM,
                    name: "den".into(),
                    seq: Seq::new(42),
                    at: AT,
                    kind: EventKind::TEXT,
                    bytes: b"hi".to_vec().into(),
                }],
                next: Some(OwnPlace { room: ROOM, seq: Seq::new(42) }),
            },
        ),
        both("list memberships", ListMemberships { request: 8, after: Some(ROOM) }),
        both(
            "memberships page",
            MembershipsPage {
                request: 8,
                memberships: vec![Membership {
                    room: ROOM,
                    name: "den".into(),
                    member: true,
                    invited: false,
                    rank: Rank::Moderator,
                    muted_until: Some(AT),
                    since: Seq::new(7),
                    read: Seq::new(41),
                }],
                more: false,
            },
        ),
        both("list blocks", ListBlocks { request: 8, after: Some(ADA) }),
        both("blocks page", BlocksPage { request: 8, blocked: vec![person(BOB, "bob", 0)], more: false }),
        both("typing", Typing { room: ROOM, typing: true }),
        both("types", Types { room: ROOM, person: person(BOB, "bob", 0), typing: true }),
        both("read", Read { room: ROOM, seq: Seq::new(41) }),
        // What other versions and other authors make of it.
        read("ping of a later version", Ping { nonce: 1 }),
        read(
            "bye with null for what is absent",
            Bye { code: Code::GOODBYE, text: String::new(), retry_after_ms: None },
        ),
        read(
            "error with an unknown code",
            ErrorReply {
                code: Code(999),
                text: String::new(),
                request: None,
                fatal: false,
                retry_after_ms: None,
                suggestion: None,
            },
        ),
        read(
            "authenticated as something new",
            Authenticated { principal: ADA, kind: PrincipalKind::Other(77), alias: "ada".into() },
        ),
    ]
}

pub(super) fn settings() -> RoomSettings {
    RoomSettings {
        topic: "tea".into(),
        limit: Some(100),
        announcement_only: true,
        ..RoomSettings::new(RoomKind::Password)
    }
}

/// A `Deliver` that waits for credits.
pub(super) fn bulk(name: &'static str, source: Source, own: Option<u64>) -> Row {
    let message = deliver(Some(source.to_u8()), own);
    let made = Some(quick_deliver(&message));
    Row { class: Class::BULK, made, ..read(name, message) }
}

/// A `Deliver` as the hot path makes it.
pub(super) fn quick_deliver(message: &Deliver) -> Vec<u8> {
    let Deliver { room, seq, principal, kind, alias, at, events, source, own } = message;
    let source = Source::from_u8(source.unwrap_or(0));
    let head =
        DeliverHead { room: *room, seq: *seq, principal: *principal, kind: *kind, alias, at: *at, source, own: *own };
    let mut made = Vec::new();
    encode_deliver(&head, events.iter().map(|e| (e.kind, e.at_delta, e.bytes.as_slice())), &mut made);
    made
}

pub(super) fn deliver(source: Option<u8>, own: Option<u64>) -> Deliver {
    let event = |at_delta, text: &str| Delivered { kind: EventKind::TEXT, at_delta, bytes: text.as_bytes().to_vec() };
    Deliver {
        room: ROOM,
        seq: Seq::new(42),
        principal: ADA,
        kind: PrincipalKind::Guest,
        alias: "ada".into(),
        at: AT,
        events: vec![event(0, "hi"), event(5, "ho")],
        source,
        own: own.map(|n| OwnPublish { outbox: OUTBOX, n }),
    }
}

pub(super) fn member(principal: PrincipalId, alias: &str) -> MemberEntry {
    let Person { principal, kind, alias, version } = person(principal, alias, 0);
    MemberEntry { principal, kind, alias, version, rank: None, muted_until: None, away: None }
}

pub(super) fn person(principal: PrincipalId, alias: &str, version: u64) -> Person {
    Person { principal, kind: PrincipalKind::Guest, alias: alias.into(), version }
}

pub(super) fn away(principal: PrincipalId, alias: &str, version: u64, text: Option<&str>) -> AwayChange {
    AwayChange { principal, kind: PrincipalKind::Guest, alias: alias.into(), version, text: text.map(str::to_owned) }
}
