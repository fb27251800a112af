//! A run of events of one author: what is appended, stored and delivered as a whole.

use std::sync::Arc;

use crate::id::{Alias, OutboxId, PrincipalId, RoomId, Seq, SessionId, Timestamp};
use crate::protocol::event::{DeliverHead, encode_deliver};
use crate::protocol::message::{EventKind, OwnPublish, PrincipalKind, Source};

/// Who wrote an event, as others see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Author {
    /// Who, whatever they are called.
    pub principal: PrincipalId,
    /// What sort of principal.
    pub kind: PrincipalKind,
    /// The alias at that time.
    pub alias: Alias,
}

/// A publisher's number for the first event of a batch; the others count up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublishId {
    /// The outbox that the number belongs to.
    pub outbox: OutboxId,
    /// The number.
    pub n: u64,
}

/// Several event bodies in one allocation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Run {
    bytes: Vec<u8>,
    marks: Vec<(EventKind, u32)>,
}

impl Run {
    /// Append a body.
    pub fn push(&mut self, kind: EventKind, body: &[u8]) {
        self.bytes.extend_from_slice(body);
        self.marks.push((kind, self.bytes.len() as u32));
    }

    /// How many bodies there are.
    pub fn len(&self) -> usize {
        self.marks.len()
    }

    /// Bytes of all bodies together.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.marks.is_empty()
    }

    /// The bodies in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (EventKind, &[u8])> + DoubleEndedIterator + Clone {
        (0..self.marks.len()).map(|i| self.body(i))
    }

    fn body(&self, i: usize) -> (EventKind, &[u8]) {
        let start = if i == 0 { 0 } else { self.marks[i - 1].1 as usize };
        let (kind, end) = self.marks[i];
        (kind, &self.bytes[start..end as usize])
    }
}

/// Events that are to be appended to a room's log, all of them or none.
#[derive(Debug, Clone)]
pub struct NewBatch {
    /// The room.
    pub room: RoomId,
    /// Who wrote them.
    pub author: Arc<Author>,
    /// The session that published them; none for the application.
    pub origin: Option<SessionId>,
    /// The publisher's number of the first one; none for the application.
    pub publish: Option<PublishId>,
    /// Their bodies.
    pub events: Run,
}

/// A batch that is in the log.
#[derive(Debug)]
pub struct Batch {
    /// The first event's number.
    pub first: Seq,
    /// The server's time of all of them.
    pub at: Timestamp,
    /// What was appended.
    pub new: NewBatch,
}

impl Batch {
    /// The last event's number.
    pub fn last(&self) -> Seq {
        Seq::new(self.first.get() + self.new.events.len() as u64 - 1)
    }

    /// The events from `first` to `last` of this batch, which has them.
    pub fn part(self: &Arc<Self>, first: Seq, last: Seq) -> Arc<Self> {
        if first <= self.first && last >= self.last() {
            return Arc::clone(self);
        }
        let skip = first.get().saturating_sub(self.first.get());
        let mut events = Run::default();
        let count = (last.get() + 1).saturating_sub(first.get().max(self.first.get()));
        self.new
            .events
            .iter()
            .skip(skip as usize)
            .take(count as usize)
            .for_each(|(kind, body)| events.push(kind, body));
        let publish = self.new.publish.map(|publish| PublishId { n: publish.n + skip, ..publish });
        let new = NewBatch { publish, events, author: Arc::clone(&self.new.author), ..self.new };
        Arc::new(Self { first: Seq::new(self.first.get() + skip), at: self.at, new })
    }

    /// This batch with another body in the place of one event's.
    pub fn redacted(&self, seq: Seq, kind: EventKind, body: &[u8]) -> Self {
        let mut events = Run::default();
        for (i, (old_kind, old)) in self.new.events.iter().enumerate() {
            let hit = self.first.get() + i as u64 == seq.get();
            if hit { events.push(kind, body) } else { events.push(old_kind, old) }
        }
        let new = NewBatch { events, author: Arc::clone(&self.new.author), ..self.new };
        Self { first: self.first, at: self.at, new }
    }

    /// Append this batch to `out` as a `Deliver` frame of version 1.
    pub(crate) fn encode(&self, source: Source, own: Option<OwnPublish>, out: &mut Vec<u8>) {
        let head = DeliverHead {
            room: self.new.room,
            seq: self.first,
            principal: self.new.author.principal,
            kind: self.new.author.kind,
            alias: self.new.author.alias.as_str(),
            at: self.at.as_millis(),
            source,
            own,
        };
        encode_deliver(&head, self.new.events.iter().map(|(kind, body)| (kind, 0, body)), out);
    }

    /// About how many bytes it occupies in memory.
    pub(crate) fn weight(&self) -> usize {
        size_of::<Self>() + self.new.events.bytes() + self.new.events.len() * size_of::<(EventKind, u32)>()
    }
}
