//! One rule of the contract each.

use std::time::Duration;

use super::{Place, Subject, at, author, batch, entries, read_all, texts};
use crate::id::{Alias, OutboxId, PrincipalId, RoomId, RoomName, Seq, SessionId, Timestamp};
use crate::protocol::{EventKind, PrincipalKind};
use crate::store::{Change, Commit, Extent, Log, MemberRecord, Retention, RoomRecord, Run, SessionRecord, Taken};

const END: Seq = Seq::new(u64::MAX);

/// From 1, each room for itself, whatever shares a commit.
pub async fn numbers_rise_without_gaps_in_each_room(place: &impl Place) {
    let mut subject = Subject::open(place).await;
    let (a, b) = (RoomId::random(), RoomId::random());
    let batches = vec![
        batch(a, 1, None, &["a1", "a2"]),
        batch(b, 2, None, &["b1"]),
        batch(a, 0, None, &["a3"]),
        batch(b, 1, None, &["b2", "b3", "b4"]),
    ];
    let appended = subject.log().append(Commit { batches, ..at(5) }).await.unwrap();
    let firsts: Vec<u64> = appended.iter().map(|batch| batch.first.get()).collect();
    assert_eq!(firsts, [1, 1, 3, 2], "in the order given");
    subject.step().await;
    assert_eq!(subject.say(a, 6, &["a4"]).await.first.get(), 4);
    let (in_a, in_b) = (subject.all(a).await, subject.all(b).await);
    assert_eq!(texts(&in_a), ["a1", "a2", "a3", "a4"]);
    assert_eq!(texts(&in_b), ["b1", "b2", "b3", "b4"]);
    assert_eq!(in_a.iter().map(|entry| entry.seq).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert_eq!(in_a[..2], entries(&appended[..1]), "author, origin and time are what they were");
    assert_eq!(in_a[2], entries(&appended[2..3])[0]);
    let extent = Extent { trimmed: Seq::ZERO, head: Seq::new(4), at: Timestamp::from_millis(6) };
    assert_eq!(subject.log().extent(a).await.unwrap(), extent);
    assert_eq!(subject.log().extent(RoomId::random()).await.unwrap(), Extent::default());
}

/// A batch without events can't be numbered.
pub async fn a_commit_with_an_impossible_batch_leaves_nothing(place: &impl Place) {
    let mut subject = Subject::open(place).await;
    let (room, outbox) = (RoomId::random(), OutboxId::random());
    subject.say(room, 1, &["kept"]).await;
    let changes = vec![Change::Used { room, outbox, n: 3 }];
    let batches = vec![batch(room, 1, Some((outbox, 4)), &["gone"]), batch(room, 1, None, &[])];
    subject.log().append(Commit { changes, batches, ..at(2) }).await.unwrap_err();
    subject.step().await;
    assert_eq!(texts(&subject.all(room).await), ["kept"]);
    assert_eq!(subject.log().outbox(room, outbox).await.unwrap(), None);
    assert_eq!(subject.say(room, 3, &["next"]).await.first.get(), 2);
}

/// The machine's clock may be set back; a room's times stay in order.
pub async fn times_never_go_back(place: &impl Place) {
    let mut subject = Subject::open(place).await;
    let room = RoomId::random();
    for (now, expected) in [(100, 100), (50, 100), (100, 100), (101, 101)] {
        assert_eq!(subject.say(room, now, &["x"]).await.at.as_millis(), expected, "at {now}");
    }
    let times: Vec<i64> = subject.all(room).await.iter().map(|entry| entry.at).collect();
    assert_eq!(times, [100, 100, 100, 101]);
    assert_eq!(subject.say(RoomId::random(), 7, &["x"]).await.at.as_millis(), 7, "each room for itself");
}

/// Every event behind the cursor, in order, for any size of page.
pub async fn pages_read_forwards_are_complete(place: &impl Place) {
    let mut subject = Subject::open(place).await;
    let room = RoomId::random();
    for i in 0..20_i64 {
        subject.say(room, i, &[&"x".repeat(1 + 7 * i as usize), "y"]).await;
    }
    let all = subject.all(room).await;
    assert_eq!(all.len(), 40);
    for page_bytes in [0, 1, 50, 1000] {
        for after in [0, 1, 17, 39, 40, 41] {
            let found = read_all(subject.log(), room, Seq::new(after), page_bytes).await;
            assert_eq!(found, all[all.len().min(after as usize)..], "after {after} by {page_bytes} bytes");
        }
    }
    let page = subject.log().read(room, Seq::ZERO, 100).await.unwrap();
    assert!(entries(&page.batches).len() < 20, "a page is about as large as asked for");
    assert_eq!(page.trimmed, None);
    let page = subject.log().read(RoomId::random(), Seq::ZERO, 100).await.unwrap();
    assert!(page.batches.is_empty() && page.trimmed.is_none(), "a room without events");
}

/// Exactly the nearest ones before, in rising order.
pub async fn pages_read_backwards_are_exact(place: &impl Place) {
    let mut subject = Subject::open(place).await;
    let room = RoomId::random();
    for i in 0..10 {
        subject.say(room, i, &["one", "two", "three"]).await;
    }
    let all = subject.all(room).await;
    for (before, limit) in [(31, 5), (u64::MAX, 5), (31, 100), (12, 4), (12, 1), (12, 0), (2, 7), (1, 7), (0, 7)] {
        let page = subject.log().read_back(room, Seq::new(before), limit, usize::MAX).await.unwrap();
        let end = (before.saturating_sub(1) as usize).min(all.len());
        assert_eq!(entries(&page.batches), all[end.saturating_sub(limit)..end], "{limit} before {before}");
    }
    let page = subject.log().read_back(room, END, 100, 12).await.unwrap();
    let few = entries(&page.batches).len();
    assert!((1..=6).contains(&few), "{few} events in a page of about twelve bytes");
    let page = subject.log().read_back(room, END, 100, 0).await.unwrap();
    assert!(!page.batches.is_empty(), "at least one");
    let page = subject.log().read_back(RoomId::random(), END, 100, 100).await.unwrap();
    assert!(page.batches.is_empty() && page.trimmed.is_none(), "a room without events");
}

/// The first that isn't older, or behind the last one.
pub async fn a_time_leads_to_its_first_event(place: &impl Place) {
    let mut subject = Subject::open(place).await;
    let room = RoomId::random();
    assert_eq!(subject.log().seq_at(room, Timestamp::from_millis(5)).await.unwrap().get(), 1);
    for now in [10, 10, 20, 40] {
        subject.say(room, now, &["x", "y"]).await;
    }
    let expected = [(i64::MIN, 1), (10, 1), (11, 5), (20, 5), (21, 7), (40, 7), (41, 9), (i64::MAX, 9)];
    for (time, seq) in expected {
        let found = subject.log().seq_at(room, Timestamp::from_millis(time)).await.unwrap();
        assert_eq!(found.get(), seq, "at {time}");
    }
}

/// All words, case and accents apart, with `*` the beginnings of words; only in this room, only texts.
pub async fn texts_with_all_of_the_words_are_found_newest_first(place: &impl Place) {
    let mut subject = Subject::open(place).await;
    let (room, other) = (RoomId::random(), RoomId::random());
    subject.say(room, 1, &["Der Ärger im Café", "keep calm", "calm and carry on", "coffee, calm."]).await;
    subject.say(other, 2, &["calm elsewhere"]).await;
    let mut events = Run::default();
    events.push(EventKind(99), b"calm bytes");
    events.push(EventKind::TEXT, b"CALM again");
    let new = crate::store::NewBatch { events, ..batch(room, 2, None, &[]) };
    subject.log().append(Commit { batches: vec![new], ..at(3) }).await.unwrap();
    let expected: [(&str, &[u64]); 12] = [
        ("calm", &[6, 4, 3, 2]),
        ("CALM", &[6, 4, 3, 2]),
        ("calm on", &[3]),
        ("on  calm\tcarry", &[3]),
        ("arger", &[1]),
        ("ÄRGER cafe", &[1]),
        ("c*", &[6, 4, 3, 2, 1]),
        ("cof* calm", &[4]),
        ("cof", &[]),
        ("coffee!", &[4]),
        ("elsewhere", &[]),
        ("calm nowhere", &[]),
    ];
    for (query, seqs) in expected {
        subject.step().await;
        assert_eq!(found(&subject, room, query, END, 10).await, (seqs.to_vec(), false), "{query}");
    }
    assert_eq!(found(&subject, room, "calm", END, 2).await, (vec![6, 4], true));
    assert_eq!(found(&subject, room, "calm", Seq::new(4), 2).await, (vec![3, 2], false));
    assert_eq!(found(&subject, room, "calm", Seq::new(1), 2).await, (vec![], false));
    subject.say(room, 4, &["calm at last"]).await;
    assert_eq!(found(&subject, room, "calm", END, 1).await, (vec![7], true), "what is acknowledged is found");
    let page = subject.log().search(room, "carry", END, 1).await.unwrap();
    let all = subject.all(room).await;
    assert_eq!(entries(&page.hits), all[2..3], "a hit is the event");
}

async fn found<P: Place>(
    subject: &Subject<'_, P>,
    room: RoomId,
    query: &str,
    before: Seq,
    n: usize,
) -> (Vec<u64>, bool) {
    let page = subject.log().search(room, query, before, n).await.unwrap();
    assert!(page.hits.iter().all(|hit| hit.new.events.len() == 1), "each hit is a batch of one");
    (page.hits.iter().map(|hit| hit.first.get()).collect(), page.more)
}

/// Quotes, operators, brackets: punctuation.
pub async fn what_is_typed_is_never_syntax(place: &impl Place) {
    let mut subject = Subject::open(place).await;
    let room = RoomId::random();
    subject.say(room, 1, &["say \"hello\" to body: (x OR y) AND NOT z - don't", "plain"]).await;
    for query in ["\"hello\"", "\"", "hello \"", "body:", "(x", "OR", "x OR y", "NOT", "z -", "don't", "^say", "hel*lo"]
    {
        let page = subject.log().search(room, query, END, 10).await;
        let page = page.unwrap_or_else(|e| panic!("{query}: {e}"));
        let fits = !matches!(query, "\"" | "hel*lo");
        assert_eq!(
            page.hits.iter().map(|hit| hit.first.get()).collect::<Vec<_>>(),
            [1][..usize::from(fits)],
            "{query}"
        );
    }
    for query in ["", " ", "*", "...", "' OR 1=1 --", "\0", "plain; DROP TABLE rooms"] {
        let page = subject.log().search(room, query, END, 10).await;
        assert!(page.unwrap_or_else(|e| panic!("{query}: {e}")).hits.is_empty(), "{query}");
    }
}

/// Whatever runs they came in, as long as the event is kept.
pub async fn a_publish_id_leads_to_its_event(place: &impl Place) {
    let mut subject = Subject::open(place).await;
    let (room, other, outbox) = (RoomId::random(), RoomId::random(), OutboxId::random());
    assert_eq!(subject.log().outbox(room, outbox).await.unwrap(), None);
    // Consecutive ones, one after a refusal, and others in between.
    let runs: [(u64, &[&str], i64); 4] =
        [(1, &["1", "2"], 10), (3, &["3"], 20), (5, &["5"], 30), (6, &["6", "7", "8"], 30)];
    for (n, said, now) in runs {
        let batches = vec![batch(room, 1, Some((outbox, n)), said)];
        subject.log().append(Commit { batches, ..at(now) }).await.unwrap();
        subject.step().await;
        if n == 3 {
            subject.say(room, 25, &["of another"]).await;
        }
    }
    let all = subject.all(room).await;
    for n in 0..=10 {
        let event = all.iter().find(|entry| entry.publish == Some((outbox, n)));
        let place =
            event.map(|entry| Taken { n, count: 1, seq: Seq::new(entry.seq), at: Timestamp::from_millis(entry.at) });
        assert_eq!(event.is_some(), (1..=8).contains(&n) && n != 4);
        assert_eq!(subject.log().taken(room, outbox, n).await.unwrap(), place, "number {n}");
    }
    let record = subject.log().outbox(room, outbox).await.unwrap().expect("it is known");
    assert_eq!(record.decided, 8);
    let last = record.last.expect("its place is known");
    assert_eq!((last.n + last.count, last.seq.get() + last.count, last.at.as_millis()), (9, 9, 30));
    assert_eq!(subject.log().taken(other, outbox, 1).await.unwrap(), None, "each room for itself");
    assert_eq!(subject.log().outbox(other, outbox).await.unwrap(), None);
    assert_eq!(subject.log().taken(room, OutboxId::random(), 1).await.unwrap(), None);
}

/// They became no events, and nothing overtakes them.
pub async fn numbers_used_up_by_a_refusal_are_decided(place: &impl Place) {
    let mut subject = Subject::open(place).await;
    let (room, outbox) = (RoomId::random(), OutboxId::random());
    let used = |n| Commit { changes: vec![Change::Used { room, outbox, n }], ..at(1) };
    assert!(subject.log().append(used(2)).await.unwrap().is_empty());
    subject.step().await;
    let record = subject.log().outbox(room, outbox).await.unwrap().expect("it is known");
    assert_eq!((record.decided, record.last), (2, None));
    let batches = vec![batch(room, 1, Some((outbox, 3)), &["3"])];
    subject.log().append(Commit { batches, ..at(2) }).await.unwrap();
    subject.step().await;
    for (n, decided) in [(1, 3), (5, 5)] {
        subject.log().append(used(n)).await.unwrap();
        subject.step().await;
        let record = subject.log().outbox(room, outbox).await.unwrap().expect("it is known");
        assert_eq!((record.decided, record.last.map(|last| last.n)), (decided, Some(3)));
    }
    assert_eq!(subject.log().taken(room, outbox, 2).await.unwrap(), None);
    assert_eq!(subject.log().extent(room).await.unwrap().head.get(), 1, "nothing was appended by it");
}

/// By number, age or bytes; the newest stays; readers are told.
pub async fn trimming_takes_the_oldest_as_far_as_told(place: &impl Place) {
    let mut subject = Subject::open(place).await;
    let (room, outbox) = (RoomId::random(), OutboxId::random());
    for i in 0..10_i64 {
        let n = 1 + 2 * i as u64;
        let batches = vec![batch(room, 1, Some((outbox, n)), &["old words", "more"])];
        subject.log().append(Commit { batches, ..at(10 * i) }).await.unwrap();
    }
    let all = subject.all(room).await;
    let now = Timestamp::from_millis(100);
    let age = |ms| Retention::ALL.max_age(Duration::from_millis(ms));
    // 13 bytes each two events; the times are 0, 0, 10, 10, …
    let steps = [
        (Retention::ALL, 0),
        (Retention::ALL.max_events(100), 0),
        (Retention::ALL.max_events(17), 3),
        (age(71), 6),
        (age(70), 6),
        (Retention::ALL.max_bytes(13 * 6), 8),
        (Retention::ALL.max_bytes(13 * 5 + 4), 9),
        (Retention::ALL.max_events(9).max_bytes(1 << 20), 11),
        (age(0), 19),
        (Retention::ALL.max_events(0).max_bytes(0), 19),
    ];
    for (keep, trimmed) in steps {
        assert_eq!(subject.log().trim(room, keep, now).await.unwrap().get(), trimmed, "{keep:?}");
        subject.step().await;
        let extent = subject.log().extent(room).await.unwrap();
        assert_eq!((extent.trimmed.get(), extent.head.get()), (trimmed, 20), "{keep:?}");
        let kept = &all[trimmed as usize..];
        assert_eq!(subject.all(room).await, kept, "{keep:?}");
        let told = (trimmed > 0).then(|| Seq::new(trimmed));
        assert_eq!(subject.log().read(room, Seq::ZERO, 10).await.unwrap().trimmed, told, "{keep:?}");
        assert_eq!(subject.log().read(room, Seq::new(trimmed), 10).await.unwrap().trimmed, None, "{keep:?}");
        let page = subject.log().read_back(room, END, 1, 10).await.unwrap();
        assert_eq!((entries(&page.batches), page.trimmed), (all[19..].to_vec(), told), "{keep:?}");
        let oldest = subject.log().seq_at(room, Timestamp::from_millis(0)).await.unwrap();
        assert_eq!(oldest.get(), trimmed + 1, "the first that is kept");
        let expected: Vec<u64> =
            kept.iter().rev().filter(|entry| entry.body == b"old words").map(|entry| entry.seq).collect();
        assert_eq!(found(&subject, room, "words", END, 100).await, (expected, false), "{keep:?}");
        for entry in kept {
            let (_, n) = entry.publish.unwrap();
            let place = subject.log().taken(room, outbox, n).await.unwrap().expect("its event is kept");
            assert_eq!(place.seq.get(), entry.seq);
        }
        let record = subject.log().outbox(room, outbox).await.unwrap().expect("what was decided stays decided");
        assert_eq!(record.decided, 20);
    }
    assert_eq!(subject.say(room, 200, &["next"]).await.first.get(), 21);
    assert_eq!(subject.log().trim(RoomId::random(), age(0), now).await.unwrap(), Seq::ZERO);
}

/// The seq stays, and what is put there is found instead.
pub async fn a_redacted_text_is_gone_from_the_log_and_from_what_is_searched(place: &impl Place) {
    let mut subject = Subject::open(place).await;
    let room = RoomId::random();
    subject.say(room, 1, &["first", "secretword", "last"]).await;
    assert_eq!(found(&subject, room, "secretword", END, 9).await, (vec![2], false));
    let before = subject.all(room).await;
    let log = subject.log();
    assert!(log.redact(room, Seq::new(2), EventKind::TEXT, b"removed by its author").await.unwrap());
    subject.step().await;
    let after = subject.all(room).await;
    assert_eq!(texts(&after), ["first", "removed by its author", "last"]);
    assert_eq!((after[1].at, &after[1].author), (before[1].at, &before[1].author));
    assert_eq!(found(&subject, room, "secretword", END, 9).await, (vec![], false));
    assert_eq!(found(&subject, room, "removed", END, 9).await, (vec![2], false));
    assert!(subject.log().redact(room, Seq::new(2), EventKind(77), b"").await.unwrap());
    subject.step().await;
    assert_eq!(found(&subject, room, "removed", END, 9).await, (vec![], false));
    let (kind, body) = (EventKind::TEXT, b"x");
    for seq in [0, 4, u64::MAX] {
        assert!(!subject.log().redact(room, Seq::new(seq), kind, body).await.unwrap(), "event {seq} isn't there");
    }
    assert!(!subject.log().redact(RoomId::random(), Seq::new(1), kind, body).await.unwrap());
    let keep = Retention::ALL.max_events(2);
    subject.log().trim(room, keep, Timestamp::default()).await.unwrap();
    assert!(!subject.log().redact(room, Seq::new(1), kind, body).await.unwrap(), "it was trimmed");
    assert_eq!(subject.say(room, 2, &["next"]).await.first.get(), 4);
}

/// Under the same id it would begin anew.
pub async fn a_dropped_room_is_forgotten_with_all_that_it_had(place: &impl Place) {
    let mut subject = Subject::open(place).await;
    let (room, other, outbox) = (RoomId::random(), RoomId::random(), OutboxId::random());
    let batches = vec![batch(room, 1, Some((outbox, 1)), &["words"]), batch(other, 1, Some((outbox, 1)), &["words"])];
    subject.log().append(Commit { batches, ..at(9) }).await.unwrap();
    assert_eq!(found(&subject, room, "words", END, 9).await, (vec![1], false));
    let changes = vec![Change::DropRoom(room)];
    subject.log().append(Commit { changes, ..at(10) }).await.unwrap();
    subject.step().await;
    assert_eq!(subject.log().extent(room).await.unwrap(), Extent::default());
    assert!(subject.all(room).await.is_empty());
    assert_eq!(found(&subject, room, "words", END, 9).await, (vec![], false));
    assert_eq!(subject.log().outbox(room, outbox).await.unwrap(), None);
    assert_eq!(subject.log().taken(room, outbox, 1).await.unwrap(), None);
    assert_eq!(texts(&subject.all(other).await), ["words"], "others stay");
    // A change comes before the batches of its commit.
    let commit = Commit {
        changes: vec![Change::DropRoom(room)],
        batches: vec![batch(room, 2, Some((outbox, 1)), &["new words"])],
        ..at(5)
    };
    assert_eq!(subject.log().append(commit).await.unwrap()[0].first.get(), 1);
    subject.step().await;
    assert_eq!(texts(&subject.all(room).await), ["new words"]);
    assert_eq!(subject.all(room).await[0].at, 5);
    assert_eq!(found(&subject, room, "words", END, 9).await, (vec![1], false));
}

/// For stores that outlive the process.
pub async fn records_are_there_when_it_is_opened_again(place: &impl Place) {
    let mut subject = Subject::open(place).await;
    if !place.reopens() {
        assert!(subject.log().load().await.unwrap().rooms.is_empty());
        return;
    }
    let room = |name: &str, permanent| RoomRecord {
        id: RoomId::random(),
        name: RoomName::parse(name).unwrap(),
        permanent,
        created: Timestamp::from_millis(3),
    };
    let session = |i: u8| SessionRecord {
        id: SessionId::from_bytes([i; 16]),
        principal: PrincipalId::from_bytes([i; 16]),
        kind: PrincipalKind::Guest,
        alias: Alias::parse("ada").unwrap(),
        token: [i; 32],
        previous: (i > 1).then_some([[7; 32], [8; 32]]).into_iter().flatten().collect(),
        seen: Timestamp::from_millis(4),
    };
    let (lobby, den) = (room("lobby", true), room("den", false));
    let (ada, bob) = (session(1), session(2));
    let member = |session: &SessionRecord, room: &RoomRecord, read| MemberRecord {
        session: session.id,
        room: room.id,
        since: Seq::new(1),
        read: Seq::new(read),
    };
    let changes = vec![
        Change::PutRoom(lobby.clone()),
        Change::PutRoom(den.clone()),
        Change::PutSession(ada.clone()),
        Change::PutSession(bob.clone()),
        Change::PutMember(member(&ada, &lobby, 1)),
        Change::PutMember(member(&ada, &den, 1)),
        Change::PutMember(member(&bob, &lobby, 1)),
        Change::PutMember(member(&bob, &den, 1)),
        Change::Retain { room: lobby.id, keep: Some(Retention::ALL.max_events(3)) },
        Change::Retain { room: den.id, keep: Some(Retention::ALL.max_bytes(3)) },
    ];
    let batches = vec![batch(lobby.id, 1, None, &["one", "two"])];
    subject.log().append(Commit { changes, batches, ..at(8) }).await.unwrap();
    subject.step().await;
    let keep = Retention::ALL.max_events(5).max_bytes(6).max_age(Duration::from_millis(7));
    let renamed = SessionRecord { alias: author(2).alias, ..ada.clone() };
    let changes = vec![
        Change::PutSession(renamed.clone()),
        Change::PutMember(member(&ada, &lobby, 2)),
        Change::DropMember { session: ada.id, room: den.id },
        Change::DropSession(bob.id),
        Change::Retain { room: lobby.id, keep: Some(keep) },
        Change::Retain { room: den.id, keep: None },
    ];
    subject.log().append(Commit { changes, ..at(9) }).await.unwrap();
    subject.step().await;
    let snapshot = subject.log().load().await.unwrap();
    assert_eq!(snapshot.sessions, [renamed]);
    assert_eq!(snapshot.members, [member(&ada, &lobby, 2)]);
    assert_eq!(snapshot.retention, [(lobby.id, keep)]);
    let mut rooms = snapshot.rooms;
    rooms.sort_by(|(a, _), (b, _)| a.name.cmp(&b.name));
    let extent = Extent { trimmed: Seq::ZERO, head: Seq::new(2), at: Timestamp::from_millis(8) };
    assert_eq!(rooms, [(den.clone(), Extent::default()), (lobby.clone(), extent)]);
    subject.log().append(Commit { changes: vec![Change::DropRoom(lobby.id)], ..at(10) }).await.unwrap();
    subject.step().await;
    let snapshot = subject.log().load().await.unwrap();
    let left = (snapshot.rooms.len(), snapshot.members.len(), snapshot.retention.len());
    assert_eq!(left, (1, 0, 0), "its members go with it");
}

/// For stores that have something to close.
pub async fn a_closed_store_refuses(place: &impl Place) {
    let mut subject = Subject::open(place).await;
    let room = RoomId::random();
    subject.say(room, 1, &["x"]).await;
    if place.reopens() {
        let log = subject.log();
        log.close().await;
        log.close().await;
        log.append(Commit { batches: vec![batch(room, 1, None, &["y"])], ..at(2) }).await.unwrap_err();
        log.read(room, Seq::ZERO, 1).await.unwrap_err();
        log.search(room, "x", END, 1).await.unwrap_err();
        subject.store = None;
        subject.store = Some(place.open().await);
        assert_eq!(texts(&subject.all(room).await), ["x"]);
    }
}
