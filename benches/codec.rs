//! Nanoseconds a frame: the messages of the hot path, encoded and decoded. See README.md.

#[path = "load/report.rs"]
mod report;

use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use chatnet::id::{OutboxId, PrincipalId, RoomId, Seq};
use chatnet::protocol::codec::FrameCodec;
use chatnet::protocol::event::{DeliverHead, PublishRef, encode_deliver};
use chatnet::protocol::message::{Ack, Body, Deliver, EventKind, PrincipalKind, Publish, Source};
use chatnet::protocol::{decode, encode, frame, to_frame};
use futures_codec::Decoder;
use report::{Args, Table};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const TEXT: &str = "sixty-four bytes of text, which is what most of what is said has.";

fn main() -> Result<()> {
    let args = Args::parse()?;
    let mut table = Table::new(&[("ns/frame", 1), ("bytes/frame", 0)]);
    let (room, outbox, principal) = (RoomId::random(), OutboxId::random(), PrincipalId::random());
    let at = 1_764_000_000_000;
    let publish = Publish { room, outbox, n: 70_000, bodies: vec![Body::text(TEXT)], expected: None };
    let ack = Ack { room, outbox, n: 70_000, count: 4, seq: Seq::new(900_000), at, replaced: None };
    let head = DeliverHead {
        room,
        seq: Seq::new(900_000),
        principal,
        kind: PrincipalKind::Guest,
        alias: "ada",
        at,
        source: Source::Live,
        own: None,
    };
    let deliver = |events: usize, out: &mut Vec<u8>| {
        encode_deliver(&head, (0..events).map(|_| (EventKind::TEXT, 0, TEXT.as_bytes())), out);
    };
    let delivered = |events| {
        let mut out = Vec::new();
        deliver(events, &mut out);
        out
    };
    let (published, acked) = (to_frame(&publish), to_frame(&ack));
    let mut out = Vec::with_capacity(1 << 16);

    for _ in 0..args.runs {
        let mut run = |name: &str, bytes: usize, work: &mut dyn FnMut()| {
            if args.wants(name) {
                table.add(name, &[nanoseconds(args.quick, work), bytes as f64]);
            }
        };
        run("encode Publish", published.len(), &mut || {
            out.clear();
            encode(black_box(&publish), &mut out);
        });
        run("decode Publish, in place", published.len(), &mut || {
            let (frame, _) = frame::split(black_box(&published), 1 << 17).unwrap().unwrap();
            let publish = PublishRef::decode(frame.body).unwrap();
            black_box(publish.bodies().last());
        });
        run("encode Ack", acked.len(), &mut || {
            out.clear();
            encode(black_box(&ack), &mut out);
        });
        run("decode Ack", acked.len(), &mut || {
            let (frame, _) = frame::split(black_box(&acked), 1 << 17).unwrap().unwrap();
            black_box(decode::<Ack>(frame.body).unwrap());
        });
        for (events, encoding, decoding, codec) in [
            (1, "encode Deliver of 1", "decode Deliver of 1", "FrameCodec and Deliver of 1"),
            (64, "encode Deliver of 64", "decode Deliver of 64", "FrameCodec and Deliver of 64"),
        ] {
            let bytes = delivered(events);
            run(encoding, bytes.len(), &mut || {
                out.clear();
                deliver(black_box(events), &mut out);
            });
            run(decoding, bytes.len(), &mut || {
                let (frame, _) = frame::split(black_box(&bytes), 1 << 17).unwrap().unwrap();
                black_box(decode::<Deliver>(frame.body).unwrap());
            });
            let (mut frames, mut buffer) = (FrameCodec::new(1 << 17), BytesMut::new());
            run(codec, bytes.len(), &mut || {
                buffer.extend_from_slice(black_box(&bytes));
                let frame = frames.decode(&mut buffer).unwrap().unwrap();
                black_box(decode::<Deliver>(&frame.body).unwrap());
            });
        }
    }
    table.print();
    Ok(())
}

/// How long one call takes: as many as fit into a fraction of a second, after as many that aren't counted.
fn nanoseconds(quick: bool, work: &mut dyn FnMut()) -> f64 {
    let time = Duration::from_millis(if quick { 1 } else { 100 });
    let (mut calls, mut spent) = (1u32, Duration::ZERO);
    while spent < time {
        calls = calls.saturating_mul(2);
        let start = Instant::now();
        (0..calls).for_each(|_| work());
        spent = start.elapsed();
    }
    spent.as_nanos() as f64 / f64::from(calls)
}
