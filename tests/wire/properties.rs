//! What holds for all messages, all bytes and all ways to cut a stream. proptest prints the seed of a failure.

use bytes::{BufMut, BytesMut};
use chatnet::id::Seq;
use chatnet::protocol::codec::{CodecError, FrameCodec, OwnedFrame};
use chatnet::protocol::event::{DeliverHead, PublishRef, encode_deliver};
use chatnet::protocol::frame::{self, HEADER_LEN, Header};
use chatnet::protocol::message::*;
use chatnet::protocol::{Class, Code, Message, decode, encode};
use futures::io::AsyncRead;
use futures::{FutureExt, StreamExt};
use futures_codec::{Decoder, Encoder, FramedRead};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

/// A limit that the random frames stay below.
const MAX: u32 = 1 << 20;

macro_rules! ids {
    ($($name:ident = $id:ident;)*) => {
        $(fn $name() -> impl Strategy<Value = chatnet::id::$id> {
            any::<[u8; 16]>().prop_map(chatnet::id::$id::from_bytes)
        })*
    };
}

ids! {
    room = RoomId;
    outbox = OutboxId;
    principal = PrincipalId;
    session = SessionId;
    lineage = Lineage;
}

fn seq() -> impl Strategy<Value = Seq> {
    any::<u64>().prop_map(Seq::new)
}

fn code() -> impl Strategy<Value = Code> {
    any::<u16>().prop_map(Code)
}

fn kind() -> impl Strategy<Value = PrincipalKind> {
    any::<u8>().prop_map(PrincipalKind::from_u8)
}

fn event_kind() -> impl Strategy<Value = EventKind> {
    any::<u8>().prop_map(EventKind)
}

fn text() -> impl Strategy<Value = String> {
    ".{0,40}"
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..300)
}

fn body() -> impl Strategy<Value = Body> {
    (event_kind(), bytes()).prop_map(|(kind, bytes)| Body { kind, bytes })
}

fn person() -> impl Strategy<Value = Person> {
    (principal(), kind(), text(), any::<u64>()).prop_map(|(principal, kind, alias, version)| Person {
        principal,
        kind,
        alias,
        version,
    })
}

fn away_change() -> impl Strategy<Value = AwayChange> {
    (person(), option::of(text())).prop_map(|(person, text)| {
        let Person { principal, kind, alias, version } = person;
        AwayChange { principal, kind, alias, version, text }
    })
}

fn delivered() -> impl Strategy<Value = Delivered> {
    (event_kind(), any::<u32>(), bytes()).prop_map(|(kind, at_delta, bytes)| Delivered { kind, at_delta, bytes })
}

fn place() -> impl Strategy<Value = Place> {
    prop_oneof![
        seq().prop_map(Place::Before),
        seq().prop_map(Place::After),
        seq().prop_map(Place::Around),
        any::<i64>().prop_map(Place::BeforeTime),
        any::<i64>().prop_map(Place::AfterTime),
        any::<i64>().prop_map(Place::AroundTime),
    ]
}

fn hit() -> impl Strategy<Value = Hit> {
    (seq(), principal(), kind(), text(), any::<i64>(), text())
        .prop_map(|(seq, principal, kind, alias, at, snippet)| Hit { seq, principal, kind, alias, at, snippet })
}

fn own() -> impl Strategy<Value = OwnPublish> {
    (outbox(), any::<u64>()).prop_map(|(outbox, n)| OwnPublish { outbox, n })
}

fn secret() -> impl Strategy<Value = Secret> {
    text().prop_map(Secret)
}

fn settings() -> impl Strategy<Value = RoomSettings> {
    let kind = any::<u8>().prop_map(RoomKind::from_u8);
    let history = any::<u8>().prop_map(HistoryRule::from_u8);
    (kind, text(), option::of(any::<u32>()), any::<bool>(), any::<bool>(), history).prop_map(
        |(kind, topic, limit, announcement_only, archived, history)| RoomSettings {
            kind,
            topic,
            limit,
            announcement_only,
            archived,
            history,
        },
    )
}

fn whom() -> impl Strategy<Value = Whom> {
    prop_oneof![principal().prop_map(Whom::Id), text().prop_map(Whom::Name)]
}

fn session_entry() -> impl Strategy<Value = SessionEntry> {
    (session(), any::<bool>(), any::<bool>(), option::of(text()), text()).prop_map(
        |(session, current, connected, address, agent)| SessionEntry { session, current, connected, address, agent },
    )
}

fn about() -> impl Strategy<Value = About> {
    let rank = any::<u8>().prop_map(Rank::from_u8);
    (settings(), rank, any::<bool>(), option::of(any::<i64>())).prop_map(|(settings, rank, admin, muted_until)| About {
        settings,
        rank,
        admin,
        muted_until,
    })
}

fn member_entry() -> impl Strategy<Value = MemberEntry> {
    let rank = option::of(any::<u8>().prop_map(Rank::from_u8));
    (person(), rank, option::of(any::<i64>()), option::of(text())).prop_map(|(person, rank, muted_until, away)| {
        let Person { principal, kind, alias, version } = person;
        MemberEntry { principal, kind, alias, version, rank, muted_until, away }
    })
}

fn room_entry() -> impl Strategy<Value = RoomEntry> {
    (text(), any::<u32>(), settings()).prop_map(|(name, members, settings)| RoomEntry { name, members, settings })
}

fn own_place() -> impl Strategy<Value = OwnPlace> {
    (room(), seq()).prop_map(|(room, seq)| OwnPlace { room, seq })
}

fn own_event() -> impl Strategy<Value = OwnEvent> {
    (room(), text(), seq(), any::<i64>(), event_kind(), bytes())
        .prop_map(|(room, name, seq, at, kind, bytes)| OwnEvent { room, name, seq, at, kind, bytes: bytes.into() })
}

fn membership() -> impl Strategy<Value = Membership> {
    let rank = any::<u8>().prop_map(Rank::from_u8);
    (room(), text(), any::<bool>(), any::<bool>(), rank, option::of(any::<i64>()), seq(), seq()).prop_map(
        |(room, name, member, invited, rank, muted_until, since, read)| Membership {
            room,
            name,
            member,
            invited,
            rank,
            muted_until,
            since,
            read,
        },
    )
}

fn ban_entry() -> impl Strategy<Value = BanEntry> {
    (text(), text(), text(), option::of(any::<i64>())).prop_map(|(whom, by, reason, until)| BanEntry {
        whom,
        by,
        reason,
        until,
    })
}

fn audit_entry() -> impl Strategy<Value = AuditEntry> {
    (any::<u64>(), any::<i64>(), text(), text(), text(), text(), text())
        .prop_map(|(n, at, by, act, room, whom, text)| AuditEntry { n, at, by, act, room, whom, text })
}

/// Each message, and what its fields may be. Add a message here and the properties hold for it too.
macro_rules! messages {
    ($($message:ident { $($field:ident: $values:expr),+ $(,)? })*) => {
        /// The bytes of one frame of any kind, header and body as they were meant.
        fn any_frame() -> impl Strategy<Value = Vec<u8>> {
            let kinds: Vec<BoxedStrategy<Vec<u8>>> = vec![$(
                ($($values,)+).prop_map(|($($field,)+)| {
                    let mut frame = Vec::new();
                    encode(&$message { $($field),+ }, &mut frame);
                    frame
                }).boxed()
            ),*];
            proptest::strategy::Union::new(kinds)
        }

        /// Read a body as every message there is.
        fn read_as_everything(body: &[u8]) {
            $(let _ = decode::<$message>(body);)*
            if let Ok(publish) = PublishRef::decode(body) {
                assert_eq!(publish.bodies().count() as u64, publish.count(), "what was checked can be read");
            }
        }

        proptest! {
            $(#[test]
            #[allow(non_snake_case)]
            fn $message($($field in $values),+) {
                round_trip($message { $($field),+ })?;
            })*
        }

        #[test]
        fn every_kind_has_its_values() {
            let there = [$($message::KIND),*];
            for kind in (0..=u16::MAX).map(Kind).filter(|kind| kind.name().is_some()) {
                assert!(there.contains(&kind), "no values for {:?}", kind.name());
            }
        }
    };
}

messages! {
    Hello {
        magic: bytes().prop_map(Into::into), min_version: any::<u16>(), max_version: any::<u16>(),
        capabilities: vec(text(), 0..5), max_body: any::<u32>(), agent: text(),
    }
    Welcome {
        version: any::<u16>(), capabilities: vec(text(), 0..5), max_body: any::<u32>(), max_event: any::<u32>(),
        heartbeat_ms: any::<u32>(), mechanisms: vec(text(), 0..5), server: text(), lineage: lineage(),
        default_room: text(),
    }
    Auth { mechanism: text(), data: bytes().prop_map(Into::into) }
    Challenge { data: bytes().prop_map(Into::into) }
    Authenticated { principal: principal(), kind: kind(), alias: text() }
    Attach {
        token: option::of(bytes().prop_map(Into::into)),
        cursors: vec((lineage(), room(), seq()).prop_map(|(lineage, room, seq)| Cursor { lineage, room, seq }), 0..5),
        more: any::<bool>(),
    }
    Attached {
        session: session(), resumed: any::<bool>(), token: option::of(bytes().prop_map(Into::into)),
        reason: option::of(code()), grace_ms: any::<u32>(),
    }
    Ping { nonce: any::<u64>() }
    Pong { nonce: any::<u64>() }
    ErrorReply {
        code: code(), text: text(), request: option::of(any::<u32>()), fatal: any::<bool>(),
        retry_after_ms: option::of(any::<u32>()), suggestion: option::of(text()),
    }
    Bye { code: code(), text: text(), retry_after_ms: option::of(any::<u32>()) }
    Credit { class: any::<u8>(), bytes: any::<u64>() }
    Join { request: any::<u32>(), name: text() }
    Joined {
        request: any::<u32>(), room: room(), name: text(), head: seq(), presence: any::<u64>(), count: any::<u32>(),
        latest: option::of(seq()), read: option::of(seq()),
        about: option::of(about()),
    }
    Leave { request: any::<u32>(), room: room() }
    Left { request: any::<u32>(), room: room(), code: code(), text: text() }
    Publish {
        room: room(), outbox: outbox(), n: any::<u64>(), bodies: vec(body(), 0..6), expected: option::of(seq()),
    }
    Ack {
        room: room(), outbox: outbox(), n: any::<u64>(), count: any::<u32>(), seq: seq(), at: any::<i64>(),
        replaced: option::of(body()),
    }
    Refused {
        room: room(), outbox: outbox(), n: any::<u64>(), code: code(), text: text(), permanent: any::<bool>(),
        retry_after_ms: option::of(any::<u32>()),
    }
    Deliver {
        room: room(), seq: seq(), principal: principal(), kind: kind(), alias: text(), at: any::<i64>(),
        events: vec(delivered(), 0..6), source: option::of(any::<u8>()), own: option::of(own()),
    }
    Skipped { room: room(), from: seq(), to: seq(), reason: any::<u8>() }
    Progress { rooms: vec((room(), seq()).prop_map(|(room, seq)| RoomProgress { room, seq }), 0..6) }
    Hold { room: room() }
    Seek { room: room(), after: seq() }
    History { request: any::<u32>(), room: room(), place: place(), limit: any::<u32>() }
    HistoryEnd { request: any::<u32>(), room: room(), more_before: any::<bool>(), more_after: any::<bool>() }
    Search { request: any::<u32>(), room: room(), query: text(), before: option::of(seq()), limit: any::<u32>() }
    SearchPage { request: any::<u32>(), room: room(), hits: vec(hit(), 0..4), more: any::<bool>() }
    ChangePassword { request: any::<u32>(), old: secret(), new: secret() }
    Done { request: any::<u32>(), seq: option::of(seq()) }
    ListSessions { request: any::<u32>(), after: option::of(session()) }
    SessionsPage { request: any::<u32>(), sessions: vec(session_entry(), 0..4), next: option::of(session()) }
    EndSession { request: any::<u32>(), session: session() }
    DeleteAccount { request: any::<u32>(), password: secret() }
    ListRooms { request: any::<u32>(), after: option::of(text()), limit: any::<u32>() }
    RoomsPage { request: any::<u32>(), rooms: vec(room_entry(), 0..4), more: any::<bool>() }
    CreateRoom { request: any::<u32>(), name: text(), settings: settings(), password: option::of(secret()) }
    JoinWith { request: any::<u32>(), name: text(), password: secret() }
    Moderate {
        request: any::<u32>(), room: room(), act: event_kind(), whom: option::of(whom()), text: option::of(text()),
        for_ms: option::of(any::<u64>()), value: option::of(any::<u64>()), settings: option::of(settings()),
        password: option::of(secret()),
    }
    ListBans { request: any::<u32>(), room: room(), skip: option::of(any::<u32>()) }
    BansPage { request: any::<u32>(), bans: vec(ban_entry(), 0..4), more: option::of(any::<bool>()) }
    Direct { request: any::<u32>(), whom: whom() }
    Block { request: any::<u32>(), whom: whom(), blocked: any::<bool>() }
    Whois { request: any::<u32>(), whom: whom() }
    Profile {
        request: any::<u32>(), person: person(), online: any::<bool>(), away: option::of(text()),
        seen: option::of(any::<i64>()), admin: any::<bool>(), created: option::of(any::<i64>()),
    }
    Away { request: any::<u32>(), text: option::of(text()) }
    ListAudit { request: any::<u32>(), before: option::of(any::<u64>()), limit: any::<u32>() }
    AuditPage { request: any::<u32>(), entries: vec(audit_entry(), 0..4), more: any::<bool>() }
    Presence {
        room: room(), version: any::<u64>(), from: any::<u64>(), count: any::<u32>(), joined: vec(person(), 0..4),
        left: vec(person(), 0..4), partial: any::<bool>(), away: option::of(vec(away_change(), 0..4)),
    }
    Members { request: any::<u32>(), room: room(), after: option::of(principal()), limit: any::<u32>() }
    MembersPage {
        request: any::<u32>(), room: room(), version: any::<u64>(), members: vec(member_entry(), 0..4), more: any::<bool>(),
    }
    Notice { text: text(), at: any::<i64>() }
    ChangeAlias { request: any::<u32>(), alias: text() }
    Renamed { request: any::<u32>(), alias: text() }
    ListOwnEvents { request: any::<u32>(), after: option::of(own_place()) }
    OwnEventsPage { request: any::<u32>(), events: vec(own_event(), 0..4), next: option::of(own_place()) }
    ListMemberships { request: any::<u32>(), after: option::of(room()) }
    MembershipsPage { request: any::<u32>(), memberships: vec(membership(), 0..4), more: any::<bool>() }
    ListBlocks { request: any::<u32>(), after: option::of(principal()) }
    BlocksPage { request: any::<u32>(), blocked: vec(person(), 0..4), more: any::<bool>() }
    Typing { room: room(), typing: any::<bool>() }
    Types { room: room(), person: person(), typing: any::<bool>() }
    Read { room: room(), seq: seq() }
}

fn round_trip<M: Message + PartialEq + std::fmt::Debug>(message: M) -> Result<(), TestCaseError> {
    let mut bytes = b"before".to_vec();
    encode(&message, &mut bytes);
    let (frame, used) = frame::split(&bytes[6..], MAX).unwrap().expect("it is whole");
    prop_assert_eq!(used, bytes.len() - 6);
    prop_assert_eq!(
        frame.header,
        Header { length: frame.body.len() as u32, kind: M::KIND.0, class: M::CLASS, flags: 0 }
    );
    prop_assert_eq!(decode::<M>(frame.body).unwrap(), message);
    for cut in 0..frame.body.len() {
        prop_assert!(decode::<M>(&frame.body[..cut]).is_err(), "a body cut at {} was taken for whole", cut);
    }
    Ok(())
}

/// All frames of a buffer, cut by the library's one rule.
fn split_all(mut bytes: &[u8]) -> Vec<OwnedFrame> {
    let mut frames = Vec::new();
    while let Some((frame, used)) = frame::split(bytes, MAX).unwrap() {
        frames.push(OwnedFrame { header: frame.header, body: frame.body.to_vec().into() });
        bytes = &bytes[used..];
    }
    assert!(bytes.is_empty());
    frames
}

/// A stream that gives away so many bytes each time, and then the rest.
struct Portions {
    bytes: Vec<u8>,
    sizes: Vec<usize>,
}

impl Portions {
    fn take(&mut self, max: usize) -> Vec<u8> {
        let size = self.sizes.pop().unwrap_or(usize::MAX).min(max).min(self.bytes.len());
        self.bytes.drain(..size).collect()
    }
}

impl AsyncRead for Portions {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        buf: &mut [u8],
    ) -> std::task::Poll<std::io::Result<usize>> {
        let taken = self.take(buf.len());
        buf[..taken.len()].copy_from_slice(&taken);
        std::task::Poll::Ready(Ok(taken.len()))
    }
}

proptest! {
    #[test]
    fn any_cutting_of_a_stream_gives_the_same_frames(
        frames in vec(any_frame(), 1..6),
        sizes in vec(prop_oneof![1usize..12, 1usize..600], 0..200),
    ) {
        let bytes = frames.concat();
        let whole = split_all(&bytes);
        prop_assert_eq!(whole.len(), frames.len());

        // By hand: what is left over waits for the next portion.
        let mut portions = Portions { bytes: bytes.clone(), sizes: sizes.clone() };
        let (mut carry, mut seen) = (Vec::new(), Vec::new());
        while !portions.bytes.is_empty() {
            carry.extend(portions.take(usize::MAX));
            while let Some((frame, used)) = frame::split(&carry, MAX).unwrap() {
                seen.push(OwnedFrame { header: frame.header, body: frame.body.to_vec().into() });
                carry.drain(..used);
            }
        }
        prop_assert_eq!(&seen, &whole);

        // By the codec, over its own buffer and over futures_codec's.
        let mut portions = Portions { bytes: bytes.clone(), sizes: sizes.clone() };
        let (mut codec, mut buffer, mut seen) = (FrameCodec::new(MAX), BytesMut::new(), Vec::new());
        while !portions.bytes.is_empty() {
            buffer.put_slice(&portions.take(usize::MAX));
            while let Some(frame) = codec.decode(&mut buffer).unwrap() {
                seen.push(frame);
            }
        }
        prop_assert_eq!(&seen, &whole);
        let framed = FramedRead::new(Portions { bytes, sizes }, FrameCodec::new(MAX));
        // The portions are ready at once, so the stream never waits.
        let seen: Vec<_> = framed.map(Result::unwrap).collect().now_or_never().unwrap();
        prop_assert_eq!(&seen, &whole);

        // And what the codec writes is what was encoded.
        let mut written = BytesMut::new();
        for frame in &frames {
            codec.encode(frame.clone().into(), &mut written).unwrap();
        }
        prop_assert_eq!(split_all(&written), whole);
    }

    #[test]
    fn no_bytes_panic_and_none_are_kept_beyond_the_limit(
        bytes in prop_oneof![
            vec(any::<u8>(), 0..2000),
            // Lengths that are allowed, or just not, so that more than the first header is looked at.
            vec((0u32..70, any::<[u8; 4]>(), vec(any::<u8>(), 0..70)), 0..40).prop_map(|frames| {
                frames.into_iter().flat_map(|(length, head, body)| {
                    [&length.to_be_bytes()[..], &head, &body].concat()
                }).collect()
            }),
        ],
        sizes in vec(1usize..100, 0..100),
        max in 0u32..80,
    ) {
        let mut portions = Portions { bytes, sizes };
        let (mut codec, mut buffer) = (FrameCodec::new(max), BytesMut::new());
        'stream: while !portions.bytes.is_empty() {
            buffer.put_slice(&portions.take(usize::MAX));
            loop {
                match codec.decode(&mut buffer) {
                    Ok(Some(frame)) => {
                        prop_assert_eq!(frame.header.length as usize, frame.body.len());
                        prop_assert!(frame.body.len() <= max as usize);
                        read_as_everything(&frame.body);
                    }
                    Ok(None) => break,
                    Err(CodecError::TooLong(e)) => {
                        prop_assert!(e.length > max && e.max == max);
                        prop_assert!(!e.to_string().is_empty());
                        break 'stream;
                    }
                    Err(e) => prop_assert!(false, "{e}"),
                }
            }
            // What waits is part of one frame, and of one that is allowed.
            prop_assert!(buffer.len() < HEADER_LEN + max as usize, "{} bytes are kept, allowed is {max}", buffer.len());
        }
    }

    #[test]
    fn a_damaged_frame_is_an_error_or_another_message_and_never_a_panic(
        mut frame in any_frame(),
        damage in vec((any::<proptest::sample::Index>(), any::<u8>()), 1..5),
        cut in any::<proptest::sample::Index>(),
    ) {
        for (at, byte) in damage {
            let at = at.index(frame.len() - HEADER_LEN) + HEADER_LEN;
            frame[at] = byte;
        }
        let body = &frame[HEADER_LEN..];
        read_as_everything(body);
        read_as_everything(&body[..cut.index(body.len())]);
    }

    #[test]
    fn the_short_cuts_of_the_hot_path_write_and_read_the_same_as_the_messages(
        publish in (room(), outbox(), any::<u64>(), vec(body(), 0..6), option::of(seq())).prop_map(
            |(room, outbox, n, bodies, expected)| Publish { room, outbox, n, bodies, expected }
        ),
        (principal, kind, alias, at) in (principal(), kind(), text(), any::<i64>()),
        (source, own) in (0u8..3, option::of(own())),
        events in vec(delivered(), 0..6),
    ) {
        let mut frame = Vec::new();
        encode(&publish, &mut frame);
        let quick = PublishRef::decode(&frame[HEADER_LEN..]).unwrap();
        let bodies: Vec<_> = quick.bodies().map(|(kind, bytes)| Body { kind, bytes: bytes.to_vec() }).collect();
        let Publish { room, outbox, n, expected, .. } = publish;
        prop_assert_eq!((quick.room, quick.outbox, quick.n, quick.expected), (room, outbox, n, expected));
        prop_assert_eq!(bodies, publish.bodies);

        let seq = Seq::new(n);
        let head = DeliverHead { room, seq, principal, kind, alias: &alias, at, source: Source::from_u8(source), own };
        let mut frame = Vec::new();
        encode_deliver(&head, events.iter().map(|e| (e.kind, e.at_delta, e.bytes.as_slice())), &mut frame);
        let (cut, _) = frame::split(&frame, MAX).unwrap().unwrap();
        prop_assert_eq!(cut.header.class, if source == 0 { Class::LIVE } else { Class::BULK });
        let read: Deliver = decode(cut.body).unwrap();
        prop_assert_eq!(read.source.unwrap_or(0), source);
        let source = read.source;
        prop_assert_eq!(read, Deliver { room, seq, principal, kind, alias, at, events, source, own });
    }
}

/// Nothing is reserved for what is only announced: more elements than there is memory are an error, at once.
#[test]
fn announced_lengths_reserve_no_memory() {
    for lie in
        [&[0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff][..], &[0x5b, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0]]
    {
        read_as_everything(lie);
        for head in 1..8 {
            // The lie stands in every place of a message.
            let mut body = vec![0x88];
            body.extend(std::iter::repeat_n([0x50; 17], head - 1).flatten());
            body.extend_from_slice(lie);
            read_as_everything(&body);
            assert!(PublishRef::decode(&body).is_err());
        }
    }
}

/// A stream without an end costs no more than the limit, also inside futures_codec's buffer.
#[test]
fn a_header_that_announces_too_much_ends_the_stream_before_the_body_is_read() {
    let mut bytes = vec![0, 0, 0x10, 1];
    bytes.resize(1 << 20, 0x55);
    let mut framed = FramedRead::new(Portions { bytes, sizes: vec![] }, FrameCodec::new(4096));
    let first = framed.next().now_or_never().unwrap().unwrap();
    assert!(matches!(first, Err(CodecError::TooLong(e)) if e.length == 4097));
    assert!(framed.bytes.len() > (1 << 20) - 64 * 1024, "only one portion was taken");
}
