//! A run of events of one author: what is appended, stored and delivered as a whole.

use std::sync::Arc;

use crate::id::{Alias, OutboxId, PrincipalId, RoomId, Seq, SessionId, Timestamp};
use crate::protocol::event::{DeliverHead, encode_deliver};
use crate::protocol::message::{EventKind, OwnPublish, PrincipalKind, Source};

/// Who wrote an event, as others see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Author {
    /// Who, whatever they are called.
    pub(crate) principal: PrincipalId,
    /// What sort of principal.
    pub(crate) kind: PrincipalKind,
    /// The alias at that time.
    pub(crate) alias: Alias,
}

/// A publisher's number for the first event of a batch; the others count up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PublishId {
    /// The outbox that the number belongs to.
    pub(crate) outbox: OutboxId,
    /// The number.
    pub(crate) n: u64,
}

/// Several event bodies in one allocation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Run {
    bytes: Vec<u8>,
    marks: Vec<(EventKind, u32)>,
}

impl Run {
    /// Append a body.
    pub(crate) fn push(&mut self, kind: EventKind, body: &[u8]) {
        self.bytes.extend_from_slice(body);
        self.marks.push((kind, self.bytes.len() as u32));
    }

    /// How many bodies there are.
    pub(crate) fn len(&self) -> usize {
        self.marks.len()
    }

    /// Bytes of all bodies together.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The bodies in order.
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = (EventKind, &[u8])> {
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
pub(crate) struct NewBatch {
    /// The room.
    pub(crate) room: RoomId,
    /// Who wrote them.
    pub(crate) author: Arc<Author>,
    /// The session that published them; none for the application.
    pub(crate) origin: Option<SessionId>,
    /// The publisher's number of the first one; none for the application.
    #[expect(dead_code, reason = "a store that outlives the process keeps it in the event's transaction")]
    pub(crate) publish: Option<PublishId>,
    /// Their bodies.
    pub(crate) events: Run,
}

/// A batch that is in the log.
#[derive(Debug)]
pub(crate) struct Batch {
    /// The first event's number.
    pub(crate) first: Seq,
    /// The server's time of all of them.
    pub(crate) at: Timestamp,
    /// What was appended.
    pub(crate) new: NewBatch,
}

impl Batch {
    /// The last event's number.
    pub(crate) fn last(&self) -> Seq {
        Seq::new(self.first.get() + self.new.events.len() as u64 - 1)
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
