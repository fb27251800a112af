//! A server that follows a script, frame by frame.
#![allow(unreachable_pub)] // the other modules use it

use async_std::future::timeout;
use async_std::task::spawn;
use chatnet::id::{Lineage, OutboxId, PrincipalId, RoomId, Seq, SessionId};
use chatnet::protocol::message::*;
use chatnet::protocol::{Message, decode, frame, to_frame};
use chatnet::transport::memory::{self, Pipe};
use chatnet::{Client, ClientBuilder, CloseReason, Code, Event, Events};
use futures::StreamExt;
use futures::channel::mpsc;
use futures::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::PATIENCE;

pub const ROOM: RoomId = RoomId::from_bytes([7; 16]);
pub const LINEAGE: Lineage = Lineage::from_bytes([8; 16]);

/// The server's end.
pub struct Script {
    pub pipe: Pipe,
    buffer: Vec<u8>,
    pub lineage: Lineage,
}

impl Script {
    pub async fn send<M: Message>(&mut self, message: &M) {
        self.pipe.write_all(&to_frame(message)).await.unwrap();
    }

    /// The next frame of this kind; others are passed over.
    pub async fn expect<M: Message>(&mut self) -> M {
        let next = async {
            let mut chunk = [0; 4096];
            loop {
                if let Some((f, used)) = frame::split(&self.buffer, 1 << 20).unwrap() {
                    let (kind, body) = (f.header.kind, f.body.to_vec());
                    self.buffer.drain(..used);
                    if kind == M::KIND.0 {
                        return decode(&body).unwrap();
                    }
                    continue;
                }
                let n = self.pipe.read(&mut chunk).await.unwrap();
                assert!(n > 0, "the client closed before {:?}", M::KIND.name());
                self.buffer.extend_from_slice(&chunk[..n]);
            }
        };
        timeout(PATIENCE, next).await.expect("the client sends")
    }

    pub async fn welcome(&mut self, heartbeat_ms: u32) {
        self.expect::<Hello>().await;
        self.send(&Welcome {
            version: 1,
            capabilities: vec![],
            max_body: 131_072,
            max_event: 65_536,
            heartbeat_ms,
            mechanisms: vec!["guest".into()],
            server: "script".into(),
            lineage: self.lineage,
            default_room: "lobby".into(),
        })
        .await;
    }

    /// Take the client in, into a room whose head is 9.
    pub async fn admit(&mut self, heartbeat_ms: u32) {
        self.welcome(heartbeat_ms).await;
        let (principal, kind) = (PrincipalId::from_bytes([1; 16]), PrincipalKind::Guest);
        self.send(&Authenticated { principal, kind, alias: "ada".into() }).await;
        let session = SessionId::from_bytes([2; 16]);
        self.send(&Attached { session, resumed: false, token: None, reason: None, grace_ms: 0 }).await;
        let request = self.expect::<Join>().await.request;
        let name = "lobby".into();
        self.send(&Joined {
            request,
            room: ROOM,
            name,
            head: Seq::new(9),
            presence: 1,
            count: 1,
            latest: None,
            read: None,
            about: None,
        })
        .await;
    }

    /// Send a frame as bulk.
    pub async fn bulk<M: Message>(&mut self, message: &M) {
        let mut frame = to_frame(message);
        frame[6] = 2;
        self.pipe.write_all(&frame).await.unwrap();
    }

    pub async fn authenticated(&mut self, principal: u8) {
        let (principal, kind) = (PrincipalId::from_bytes([principal; 16]), PrincipalKind::Guest);
        self.send(&Authenticated { principal, kind, alias: "ada".into() }).await;
    }

    /// The session's answer; its token is `[token; 32]`.
    pub async fn attached(&mut self, resumed: bool, token: u8) {
        let session = SessionId::from_bytes([2; 16]);
        let token = Some(vec![token; 32].into());
        self.send(&Attached { session, resumed, token, reason: None, grace_ms: 60_000 }).await;
    }

    pub async fn join_lobby(&mut self, head: u64) {
        let request = self.expect::<Join>().await.request;
        let (name, head) = ("lobby".into(), Seq::new(head));
        self.send(&Joined {
            request,
            room: ROOM,
            name,
            head,
            presence: 1,
            count: 1,
            latest: None,
            read: None,
            about: None,
        })
        .await;
    }

    /// Let a client go on with its session; what it says of its places.
    pub async fn resume(&mut self, token: u8, head: u64, latest: u64) -> Vec<Cursor> {
        self.welcome(60_000).await;
        let auth: Auth = self.expect().await;
        assert_eq!((auth.mechanism.as_str(), &auth.data[..]), ("session", &[token; 32][..]));
        let attach: Attach = self.expect().await;
        assert_eq!(attach.token.as_deref().map(|t| &t[..]), Some(&[token; 32][..]));
        self.authenticated(1).await;
        self.attached(true, token + 1).await;
        let (head, latest) = (Seq::new(head), Some(Seq::new(latest)));
        self.send(&Joined {
            request: 0,
            room: ROOM,
            name: "lobby".into(),
            head,
            presence: 1,
            count: 1,
            latest,
            read: None,
            about: None,
        })
        .await;
        attach.cursors
    }

    /// Events that were missed; the client's own with their first number.
    pub async fn replay(&mut self, seq: u64, texts: &[&str], own: Option<(OutboxId, u64)>) {
        let events =
            texts.iter().map(|t| Delivered { kind: EventKind::TEXT, at_delta: 0, bytes: t.as_bytes().to_vec() });
        let own = own.map(|(outbox, n)| OwnPublish { outbox, n });
        let deliver = Deliver {
            room: ROOM,
            seq: Seq::new(seq),
            principal: PrincipalId::from_bytes([if own.is_some() { 1 } else { 3 }; 16]),
            kind: PrincipalKind::Guest,
            alias: if own.is_some() { "ada" } else { "bob" }.into(),
            at: 5,
            events: events.collect(),
            source: Some(Source::Replay.to_u8()),
            own,
        };
        self.bulk(&deliver).await;
    }

    pub async fn deliver(&mut self, seq: u64, texts: &[&str]) {
        let event = |t: &&str| Delivered { kind: EventKind::TEXT, at_delta: 0, bytes: t.as_bytes().to_vec() };
        self.deliver_events(seq, texts.iter().map(event).collect()).await;
    }

    /// Somebody else's events, from this number on.
    pub async fn deliver_events(&mut self, seq: u64, events: Vec<Delivered>) {
        self.send(&Deliver {
            room: ROOM,
            seq: Seq::new(seq),
            principal: PrincipalId::from_bytes([3; 16]),
            kind: PrincipalKind::Guest,
            alias: "bob".into(),
            at: 5,
            events,
            source: None,
            own: None,
        })
        .await;
    }

    pub async fn ack(&mut self, publish: &Publish, i: u64, count: u32, seq: u64) {
        let (outbox, n, seq) = (publish.outbox, publish.n + i, Seq::new(seq));
        self.send(&Ack { room: ROOM, outbox, n, count, seq, at: 6, replaced: None }).await;
    }

    pub async fn refuse(&mut self, publish: &Publish, i: u64, code: Code, retry_after_ms: Option<u32>) {
        let (outbox, n, permanent) = (publish.outbox, publish.n + i, retry_after_ms.is_none());
        self.send(&Refused { room: ROOM, outbox, n, code, text: "no".into(), permanent, retry_after_ms }).await;
    }
}

pub fn pipe() -> (Pipe, Script) {
    let (near, far) = memory::pair(1 << 16);
    (near, Script { pipe: far, buffer: Vec::new(), lineage: LINEAGE })
}

pub async fn connected(builder: ClientBuilder, heartbeat_ms: u32) -> (Client, Events, Script) {
    let (near, mut script) = pipe();
    let admitting = spawn(async move {
        script.admit(heartbeat_ms).await;
        script
    });
    let (client, mut events) = builder.connect_over(near).await.unwrap();
    assert!(matches!(events.next().await, Some(Event::Connected { .. })));
    assert!(matches!(events.next().await, Some(Event::Joined { .. })));
    (client, events, admitting.await)
}

pub async fn next(events: &mut Events) -> Event {
    timeout(PATIENCE, events.next()).await.expect("an event comes").expect("the events go on")
}

pub async fn closed(events: &mut Events) -> CloseReason {
    loop {
        if let Event::Closed { reason } = next(events).await {
            assert!(events.next().await.is_none(), "nothing follows");
            return reason;
        }
    }
}

/// A client's way to one scripted server after the other.
pub struct Road {
    ends: mpsc::UnboundedReceiver<Script>,
}

impl Road {
    /// The next connection that the client opens.
    pub async fn next(&mut self) -> Script {
        timeout(PATIENCE, self.ends.next()).await.expect("the client connects").unwrap()
    }

    /// Nobody is there any more.
    pub fn cut(&mut self) {
        self.ends.close();
    }
}

/// A client over any number of connections, its first one admitted to a room whose head is 9. The session has a token.
pub async fn roaming(builder: ClientBuilder) -> (Client, Events, Script, Road) {
    let (give, ends) = mpsc::unbounded();
    let mut road = Road { ends };
    let connect = move || {
        let (near, script) = pipe();
        let given = give.unbounded_send(script);
        async move { given.map(|()| near).map_err(|_| std::io::ErrorKind::ConnectionRefused.into()) }
    };
    let opening = spawn(builder.connect_by(connect));
    let mut script = road.next().await;
    script.welcome(60_000).await;
    script.expect::<Auth>().await;
    script.authenticated(1).await;
    script.attached(false, 1).await;
    script.join_lobby(9).await;
    let (client, mut events) = opening.await.unwrap();
    assert!(matches!(events.next().await, Some(Event::Connected { .. })));
    assert!(matches!(events.next().await, Some(Event::Joined { .. })));
    (client, events, script, road)
}

/// The next event that `pick` takes.
pub async fn until<T>(events: &mut Events, mut pick: impl FnMut(Event) -> Option<T>) -> T {
    let found = async {
        while let Some(event) = events.next().await {
            if let Some(found) = pick(event) {
                return found;
            }
        }
        panic!("the events ended")
    };
    timeout(PATIENCE, found).await.expect("the event comes")
}
