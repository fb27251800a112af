//! The contract of a store, as tests that run against any.

mod cases;
mod model;

use std::fmt;
use std::future::Future;
use std::sync::Arc;

pub use cases::*;
pub use model::a_random_history_is_what_a_model_says;

use crate::id::{Alias, OutboxId, PrincipalId, RoomId, Seq, SessionId, Timestamp};
use crate::protocol::{EventKind, PrincipalKind};
use crate::store::{Author, Batch, Commit, Log, NewBatch, PublishId, Run};

/// Where a store under test lives: an empty place when a test begins.
///
/// The store must have room for about a megabyte.
pub trait Place: fmt::Debug + Send + Sync {
    /// What is tested.
    type Store: Log;

    /// Open the store of this place; the first time it is new and empty. Called again only if [`reopens`](Self::reopens)
    /// says so, when the one before was closed and dropped.
    fn open(&self) -> impl Future<Output = Self::Store> + Send;

    /// Whether the tests close the store and open it again between their steps, which has to make no difference. Default:
    /// no.
    fn reopens(&self) -> bool {
        false
    }
}

/// Make a test of each rule that a [`Log`](crate::store::Log) keeps; `$place` is a [`Place`], made anew for each.
///
/// ```
/// use chatnet::store::MemoryStore;
/// use chatnet::testing::store::Place;
///
/// #[derive(Debug)]
/// struct Memory;
///
/// impl Place for Memory {
///     type Store = MemoryStore;
///     async fn open(&self) -> MemoryStore {
///         MemoryStore::new(1 << 20, 1 << 24)
///     }
/// }
///
/// chatnet::store_contract!(Memory);
/// ```
#[macro_export]
macro_rules! store_contract {
    ($place:expr) => {
        $crate::store_contract! { $place;
            numbers_rise_without_gaps_in_each_room
            a_commit_with_an_impossible_batch_leaves_nothing
            times_never_go_back
            pages_read_forwards_are_complete
            pages_read_backwards_are_exact
            a_time_leads_to_its_first_event
            texts_with_all_of_the_words_are_found_newest_first
            what_is_typed_is_never_syntax
            a_publish_id_leads_to_its_event
            numbers_used_up_by_a_refusal_are_decided
            trimming_takes_the_oldest_as_far_as_told
            a_redacted_text_is_gone_from_the_log_and_from_what_is_searched
            a_dropped_room_is_forgotten_with_all_that_it_had
            records_are_there_when_it_is_opened_again
            a_closed_store_refuses
            a_random_history_is_what_a_model_says
        }
    };
    ($place:expr; $($case:ident)*) => {
        $(#[test]
        fn $case() {
            let place = $place;
            $crate::testing::store::run($crate::testing::store::$case(&place));
        })*
    };
}

/// Run a test of the contract on this thread.
pub fn run(test: impl Future<Output = ()>) {
    futures::executor::block_on(test);
}

/// A store under test.
struct Subject<'a, P: Place> {
    place: &'a P,
    store: Option<P::Store>,
}

impl<'a, P: Place> Subject<'a, P> {
    async fn open(place: &'a P) -> Self {
        Self { place, store: Some(place.open().await) }
    }

    fn log(&self) -> &P::Store {
        self.store.as_ref().expect("it is open but for a moment in `step`")
    }

    /// Between two steps of a test.
    async fn step(&mut self) {
        if self.place.reopens() {
            let lineage = self.log().lineage();
            self.log().close().await;
            self.store = None;
            self.store = Some(self.place.open().await);
            assert_eq!(self.log().lineage(), lineage, "a store keeps its lineage");
        }
    }

    /// Append one batch of texts.
    async fn say(&mut self, room: RoomId, now: i64, texts: &[&str]) -> Arc<Batch> {
        let commit = Commit { batches: vec![batch(room, 1, None, texts)], ..at(now) };
        let mut appended = self.log().append(commit).await.expect("the store takes a commit");
        self.step().await;
        assert_eq!(appended.len(), 1, "one batch for each batch");
        appended.remove(0)
    }

    async fn all(&self, room: RoomId) -> Vec<Entry> {
        read_all(self.log(), room, Seq::ZERO, usize::MAX).await
    }
}

/// One event, however batches were cut.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    seq: u64,
    at: i64,
    author: Author,
    origin: Option<SessionId>,
    publish: Option<(OutboxId, u64)>,
    kind: EventKind,
    body: Vec<u8>,
}

fn entries(batches: &[Arc<Batch>]) -> Vec<Entry> {
    let of = |batch: &Arc<Batch>| {
        let entry = |(i, (kind, body)): (usize, (EventKind, &[u8]))| Entry {
            seq: batch.first.get() + i as u64,
            at: batch.at.as_millis(),
            author: Author::clone(&batch.new.author),
            origin: batch.new.origin,
            publish: batch.new.publish.map(|publish| (publish.outbox, publish.n + i as u64)),
            kind,
            body: body.to_vec(),
        };
        batch.new.events.iter().enumerate().map(entry).collect::<Vec<_>>()
    };
    batches.iter().flat_map(of).collect()
}

/// All that is kept behind `after`, in pages.
async fn read_all(log: &impl Log, room: RoomId, after: Seq, page_bytes: usize) -> Vec<Entry> {
    let (mut all, mut cursor) = (Vec::new(), after);
    loop {
        let page = log.read(room, cursor, page_bytes).await.expect("a page can be read");
        let found = entries(&page.batches);
        let Some(last) = found.last().map(|entry| entry.seq) else { return all };
        assert!(last > cursor.get(), "a page that isn't empty has something new");
        all.extend(found.into_iter().filter(|entry| entry.seq > cursor.get()));
        cursor = Seq::new(last);
    }
}

fn texts(entries: &[Entry]) -> Vec<&str> {
    entries.iter().map(|entry| std::str::from_utf8(&entry.body).unwrap_or("?")).collect()
}

fn at(now: i64) -> Commit {
    Commit { now: Timestamp::from_millis(now), ..Commit::default() }
}

fn author(i: u8) -> Author {
    Author {
        principal: PrincipalId::from_bytes([i; 16]),
        kind: if i == 0 { PrincipalKind::App } else { PrincipalKind::Guest },
        alias: Alias::parse(["server", "ada", "bob", "çe"][usize::from(i % 4)]).expect("they are valid"),
    }
}

fn batch(room: RoomId, who: u8, publish: Option<(OutboxId, u64)>, texts: &[&str]) -> NewBatch {
    let mut events = Run::default();
    texts.iter().for_each(|text| events.push(EventKind::TEXT, text.as_bytes()));
    NewBatch {
        room,
        author: Arc::new(author(who)),
        origin: (who > 0).then(|| SessionId::from_bytes([who; 16])),
        publish: publish.map(|(outbox, n)| PublishId { outbox, n }),
        events,
    }
}
