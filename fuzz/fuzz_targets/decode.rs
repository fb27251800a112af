//! Any bytes, as a stream of frames and as every message: no panic, nothing kept beyond the limit, and what reads as a
//! message is written and read as the same one again.
#![no_main]

use bytes::{BufMut, BytesMut};
use chatnet::protocol::codec::FrameCodec;
use chatnet::protocol::event::PublishRef;
use chatnet::protocol::frame::{HEADER_LEN, MAX_HANDSHAKE_BODY};
use chatnet::protocol::message::*;
use chatnet::protocol::{Message, decode, to_frame};
use futures_codec::Decoder;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((&step, stream)) = data.split_first() else { return };
    let mut codec = FrameCodec::new(MAX_HANDSHAKE_BODY);
    let mut buffer = BytesMut::new();
    // The first byte says in what portions the rest arrives.
    for portion in stream.chunks(usize::from(step) + 1) {
        buffer.put_slice(portion);
        loop {
            match codec.decode(&mut buffer) {
                Ok(Some(frame)) => read(frame.header.kind, &frame.body),
                Ok(None) => break,
                Err(_) => return,
            }
        }
        assert!(buffer.len() < HEADER_LEN + MAX_HANDSHAKE_BODY as usize, "more is kept than is allowed");
    }
});

macro_rules! messages {
    ($($message:ident)*) => {
        fn read(kind: u16, body: &[u8]) {
            match Kind(kind) {
                $(Kind::$message => same_again::<$message>(body),)*
                _ => {}
            }
            if let Ok(publish) = PublishRef::decode(body) {
                assert_eq!(publish.bodies().count() as u64, publish.count());
            }
        }
    };
}

messages! {
    Hello Welcome Auth Challenge Authenticated Attach Attached Ping Pong ErrorReply Bye Credit
    Join Joined Leave Left Publish Ack Refused Deliver Skipped Progress Hold Seek
    ChangePassword Done ListSessions SessionsPage EndSession DeleteAccount
    ListRooms RoomsPage CreateRoom JoinWith Moderate ListBans BansPage Direct Block Whois Profile Away ListAudit AuditPage
    History HistoryEnd Search SearchPage Presence Members MembersPage Notice
    Typing Types Read ChangeAlias Renamed ListOwnEvents OwnEventsPage ListMemberships MembershipsPage ListBlocks BlocksPage
}

fn same_again<M: Message + PartialEq>(body: &[u8]) {
    if let Ok(message) = decode::<M>(body) {
        let again = to_frame(&message);
        assert!(decode::<M>(&again[HEADER_LEN..]).is_ok_and(|m| m == message), "it reads as something else again");
    }
}
