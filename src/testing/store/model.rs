//! Many steps by chance, beside a model that is too simple to be wrong.

use std::collections::HashMap;
use std::time::Duration;

use super::super::Random;
use super::{Entry, Place, Subject, at, batch, entries, read_all};
use crate::id::{OutboxId, RoomId, Seq, Timestamp};
use crate::protocol::EventKind;
use crate::store::{Change, Commit, Extent, Log, NewBatch, Retention};

/// Steps of a history.
const STEPS: usize = 300;

const WORDS: [&str; 6] = ["alpha", "beta", "Gamma", "délta", "alphabet", "zeta"];

#[derive(Debug, Default)]
struct Room {
    events: Vec<Entry>,
    trimmed: u64,
    at: i64,
    outboxes: HashMap<OutboxId, u64>,
}

impl Room {
    fn head(&self) -> u64 {
        self.events.len() as u64
    }

    fn kept(&self) -> &[Entry] {
        &self.events[self.trimmed as usize..]
    }
}

/// Appends, refusals, trimming, redaction and ends of rooms by chance, each followed by reads of every sort. The seed is
/// printed, and taken from `CHATNET_SEED` if that is set.
pub async fn a_random_history_is_what_a_model_says(place: &impl Place) {
    let seed = std::env::var("CHATNET_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| {
        let [a, b, c, d, e, f, ..] = *RoomId::random().as_bytes();
        u64::from_be_bytes([0, 0, a, b, c, d, e, f])
    });
    println!("CHATNET_SEED={seed}");
    let mut random = Random::new(seed);
    let mut subject = Subject::open(place).await;
    let ids: Vec<RoomId> = (0..3).map(|i| RoomId::from_bytes([i; 16])).collect();
    let boxes: Vec<OutboxId> = (0..3).map(|i| OutboxId::from_bytes([i; 16])).collect();
    let mut rooms: HashMap<RoomId, Room> = HashMap::new();
    let mut now = 1000;
    for _ in 0..STEPS {
        let id = *random.pick(&ids);
        match random.below(20) {
            0..12 => {
                // Mostly forwards.
                now += random.below(20) as i64 - 3;
                append(&mut subject, &mut rooms, &mut random, &ids, &boxes, now).await;
            }
            12..15 => trim(&mut subject, rooms.entry(id).or_default(), &mut random, id, now).await,
            15..18 => redact(&mut subject, rooms.entry(id).or_default(), &mut random, id).await,
            18 => subject.step().await,
            _ if random.one_in(3) => {
                let changes = vec![Change::DropRoom(id)];
                subject.log().append(Commit { changes, ..at(now) }).await.unwrap();
                rooms.remove(&id);
            }
            _ => {}
        }
        let id = *random.pick(&ids);
        compare(subject.log(), rooms.entry(id).or_default(), &mut random, id, &boxes).await;
    }
    for id in ids {
        subject.step().await;
        let room = rooms.entry(id).or_default();
        assert_eq!(subject.all(id).await, room.kept());
    }
}

fn text(random: &mut Random) -> String {
    let words: Vec<&str> = (0..=random.below(4)).map(|_| *random.pick(&WORDS)).collect();
    words.join(if random.one_in(3) { ", " } else { " " })
}

async fn append<P: Place>(
    subject: &mut Subject<'_, P>,
    rooms: &mut HashMap<RoomId, Room>,
    random: &mut Random,
    ids: &[RoomId],
    boxes: &[OutboxId],
    now: i64,
) {
    let mut commit = at(now);
    if random.one_in(6) {
        let (id, outbox) = (*random.pick(ids), *random.pick(boxes));
        let decided = rooms.entry(id).or_default().outboxes.entry(outbox).or_default();
        *decided += random.below(3);
        commit.changes.push(Change::Used { room: id, outbox, n: *decided });
    }
    let mut expected = Vec::new();
    for _ in 0..=random.below(4) {
        let id = *random.pick(ids);
        let room = rooms.entry(id).or_default();
        let who = random.below(4) as u8;
        let texts: Vec<String> = (0..=random.below(5)).map(|_| text(random)).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let publish = (who > 0).then(|| {
            let outbox = *random.pick(boxes);
            let decided = room.outboxes.entry(outbox).or_default();
            let n = *decided + 1;
            *decided += texts.len() as u64;
            (outbox, n)
        });
        let mut new: NewBatch = batch(id, who, publish, &texts);
        if random.one_in(8) {
            new.events.push(EventKind(200), &[0xff, 0, 1]);
            if let Some((outbox, _)) = publish {
                *room.outboxes.entry(outbox).or_default() += 1;
            }
        }
        room.at = room.at.max(now);
        let first = room.head() + 1;
        let batch = crate::store::Batch { first: Seq::new(first), at: Timestamp::from_millis(room.at), new };
        commit.batches.push(batch.new.clone());
        let all = entries(&[batch.into()]);
        room.events.extend(all.iter().cloned());
        expected.extend(all);
    }
    let appended = subject.log().append(commit).await.unwrap();
    assert_eq!(entries(&appended), expected);
    if random.one_in(4) {
        subject.step().await;
    }
}

async fn trim<P: Place>(subject: &mut Subject<'_, P>, room: &mut Room, random: &mut Random, id: RoomId, now: i64) {
    let (events, bytes, age) = (random.below(80), random.below(2000), random.below(800));
    let keep = match random.below(4) {
        0 => Retention::ALL.max_events(events),
        1 => Retention::ALL.max_bytes(bytes),
        2 => Retention::ALL.max_age(Duration::from_millis(age)),
        _ => Retention::ALL.max_events(events).max_bytes(bytes).max_age(Duration::from_millis(age)),
    };
    let over = |kept: &[Entry]| {
        keep.max_events.is_some_and(|max| kept.len() as u64 > max)
            || keep.max_bytes.is_some_and(|max| kept.iter().map(|entry| entry.body.len() as u64).sum::<u64>() > max)
            || keep.max_age.is_some_and(|age| kept[0].at < now - age.as_millis() as i64)
    };
    while room.kept().len() > 1 && over(room.kept()) {
        room.trimmed += 1;
    }
    let trimmed = subject.log().trim(id, keep, Timestamp::from_millis(now)).await.unwrap();
    assert_eq!(trimmed.get(), room.trimmed, "{keep:?}");
}

async fn redact<P: Place>(subject: &mut Subject<'_, P>, room: &mut Room, random: &mut Random, id: RoomId) {
    let seq = random.below(room.head() + 2);
    let (kind, body) = if random.one_in(3) { (EventKind(201), String::new()) } else { (EventKind::TEXT, text(random)) };
    let there = seq > room.trimmed && seq <= room.head();
    if there {
        let entry = &mut room.events[seq as usize - 1];
        (entry.kind, entry.body) = (kind, body.clone().into_bytes());
    }
    assert_eq!(subject.log().redact(id, Seq::new(seq), kind, body.as_bytes()).await.unwrap(), there);
}

async fn compare(log: &impl Log, room: &Room, random: &mut Random, id: RoomId, boxes: &[OutboxId]) {
    let (trimmed, head) = (Seq::new(room.trimmed), Seq::new(room.head()));
    let extent = Extent { trimmed, head, at: Timestamp::from_millis(room.at) };
    assert_eq!(log.extent(id).await.unwrap(), extent);
    let kept = room.kept();
    let after = random.below(room.head() + 2);
    let found = read_all(log, id, Seq::new(after), random.below(400) as usize).await;
    assert_eq!(found, kept.iter().filter(|entry| entry.seq > after).cloned().collect::<Vec<_>>(), "after {after}");
    let (before, limit) = (random.below(room.head() + 3), random.below(30) as usize);
    let page = log.read_back(id, Seq::new(before), limit, usize::MAX).await.unwrap();
    let older: Vec<Entry> = kept.iter().filter(|entry| entry.seq < before).cloned().collect();
    assert_eq!(entries(&page.batches), older[older.len().saturating_sub(limit)..], "{limit} before {before}");
    let time = room.at - random.below(300) as i64;
    let expected = kept.iter().find(|entry| entry.at >= time).map_or(room.head() + 1, |entry| entry.seq);
    assert_eq!(log.seq_at(id, Timestamp::from_millis(time)).await.unwrap().get(), expected, "at {time}");
    search(log, kept, random, id).await;
    let outbox = *random.pick(boxes);
    let decided = room.outboxes.get(&outbox).copied();
    let record = log.outbox(id, outbox).await.unwrap();
    // Numbers that nobody used need not be known.
    assert_eq!(record.map_or(0, |record| record.decided), decided.unwrap_or(0));
    let n = random.below(decided.unwrap_or(0) + 2);
    let taken = log.taken(id, outbox, n).await.unwrap();
    let event = room.events.iter().find(|entry| entry.publish == Some((outbox, n)));
    match (event, taken) {
        (Some(event), Some(taken)) => {
            assert_eq!((taken.n, taken.count, taken.seq.get()), (n, 1, event.seq));
            assert_eq!(taken.at.as_millis(), event.at);
        }
        // It may be known no longer, once it was trimmed.
        (Some(event), None) => assert!(event.seq <= room.trimmed, "number {n} is event {}", event.seq),
        (None, taken) => assert_eq!(taken, None, "number {n} became no event"),
    }
    if let Some(last) = record.and_then(|record| record.last) {
        let newest = room.events.iter().rev().find(|entry| entry.publish.is_some_and(|(of, _)| of == outbox)).unwrap();
        assert_eq!(Some((outbox, last.n + last.count - 1)), newest.publish);
        assert_eq!((last.seq.get() + last.count - 1, last.at.as_millis()), (newest.seq, newest.at));
    }
}

async fn search(log: &impl Log, kept: &[Entry], random: &mut Random, id: RoomId) {
    type Fits = fn(&str) -> bool;
    let queries: [(&str, Fits); 4] = [
        ("alpha", |text| text.split([' ', ',']).any(|word| word == "alpha")),
        ("alpha*", |text| text.contains("alpha")),
        ("GAMMA delta", |text| text.contains("Gamma") && text.contains("délta")),
        ("omega", |_| false),
    ];
    let (query, fits) = *random.pick(&queries);
    let fits = |entry: &&Entry| entry.kind == EventKind::TEXT && std::str::from_utf8(&entry.body).is_ok_and(fits);
    let expected: Vec<u64> = kept.iter().rev().filter(fits).map(|entry| entry.seq).collect();
    let limit = 1 + random.below(20) as usize;
    let page = log.search(id, query, Seq::new(u64::MAX), limit).await.unwrap();
    let found: Vec<u64> = page.hits.iter().map(|hit| hit.first.get()).collect();
    assert_eq!(found, expected[..limit.min(expected.len())], "{query}");
    assert_eq!(page.more, expected.len() > limit, "{query}");
}
