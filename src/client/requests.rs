//! What is asked of the server. A question outlives a connection: whoever waits for the answer doesn't notice.

use std::sync::Arc;
use std::time::Instant;

use futures::channel::oneshot;
use minicbor::Decode;

use super::Client;
use super::error::RequestError;
use super::history::{HistoryItem, Reader, SearchPage};
use super::rooms::{Slot, Standing};
use super::state::State;
use crate::id::{PrincipalId, RoomId, Seq};
use crate::protocol::message::{
    CreateRoom, Direct, History, Join, JoinWith, Kind, Leave, Members, MembersPage, Place, RoomSettings, Search,
    Secret, Whom,
};
use crate::protocol::{self, Code, DecodeError, Message};

pub(super) type Answer<T> = oneshot::Sender<Result<T, RequestError>>;

/// A question that waits for its answer.
#[derive(Debug)]
pub(super) enum Waiting {
    /// The room that is joined at the beginning.
    First {
        name: String,
    },
    Join {
        name: String,
        way: Way,
        answer: Answer<Arc<Slot>>,
    },
    /// Anything else that one frame asks and one answers.
    Ask {
        room: Option<RoomId>,
        make: Make,
        /// It may be asked twice without harm.
        again: bool,
        /// It has a secret in it.
        secret: bool,
        sent: bool,
        answer: Answer<Reply>,
    },
    /// A room that the client was in before its session was lost.
    Rejoin {
        room: RoomId,
    },
    Leave {
        room: RoomId,
        answer: Answer<()>,
    },
    Members {
        room: RoomId,
        after: Option<PrincipalId>,
        limit: u32,
        answer: Answer<MembersPage>,
    },
    History {
        room: RoomId,
        place: Place,
        limit: u32,
        got: Vec<HistoryItem>,
        reader: Reader,
    },
    Search {
        room: RoomId,
        query: String,
        before: Option<Seq>,
        limit: u32,
        answer: Answer<SearchPage>,
    },
}

/// How a room is come into.
#[derive(Debug, Clone)]
pub(super) enum Way {
    /// By its name.
    Name,
    Password(Secret),
    Create {
        settings: RoomSettings,
        password: Option<Secret>,
    },
    Direct(Whom),
}

/// What makes the frame that asks, of the request's number and the room's id.
pub(super) struct Make(Box<dyn Fn(u32, RoomId) -> Vec<u8> + Send>);

impl std::fmt::Debug for Make {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Make(…)")
    }
}

/// The kind and the body of what answers.
pub(super) type Reply = (Kind, Vec<u8>);

/// Read an answer as what it should be.
pub(super) fn decode<M: Message>((kind, body): Reply) -> Result<M, RequestError> {
    let strange = || RequestError::Refused {
        code: Code::MALFORMED,
        text: "the server's answer can't be understood; one of the two is of another version".into(),
        retry_after_ms: None,
    };
    if kind == M::KIND { protocol::decode(&body).map_err(|_| strange()) } else { Err(strange()) }
}

impl Client {
    /// Ask something that may be asked again when the connection is lost before the answer.
    pub(super) async fn again(
        &self,
        room: Option<RoomId>,
        make: impl Fn(u32, RoomId) -> Vec<u8> + Send + 'static,
    ) -> Result<Reply, RequestError> {
        self.put(room, make, true, false).await
    }

    /// Ask for something that is not to be done twice.
    pub(super) async fn once(
        &self,
        room: Option<RoomId>,
        make: impl Fn(u32, RoomId) -> Vec<u8> + Send + 'static,
    ) -> Result<Reply, RequestError> {
        self.put(room, make, false, false).await
    }

    /// The same with a secret in it, if it is one: it isn't sent where others could read it.
    pub(super) async fn secretly(
        &self,
        room: Option<RoomId>,
        secret: bool,
        make: impl Fn(u32, RoomId) -> Vec<u8> + Send + 'static,
    ) -> Result<Reply, RequestError> {
        self.put(room, make, false, secret).await
    }

    async fn put(
        &self,
        room: Option<RoomId>,
        make: impl Fn(u32, RoomId) -> Vec<u8> + Send + 'static,
        again: bool,
        secret: bool,
    ) -> Result<Reply, RequestError> {
        let (answer, reply) = oneshot::channel();
        {
            let mut state = self.inner.link.lock();
            if state.closed.is_some() {
                return Err(RequestError::Closed);
            }
            state.ask(Waiting::Ask { room, make: Make(Box::new(make)), again, secret, sent: false, answer });
        }
        self.inner.link.output.notify();
        reply.await.unwrap_or(Err(RequestError::Closed))
    }
}

/// The beginning of any answer.
#[derive(Decode)]
#[cbor(array)]
struct Beginning {
    #[n(0)]
    request: u32,
}

/// An answer to a question of no special kind: its first element says to which.
pub(super) fn answered(state: &mut State, kind: Kind, body: &[u8]) -> Result<(), DecodeError> {
    let Beginning { request } = minicbor::decode(body)?;
    match state.waiting.remove(&request) {
        Some(Waiting::Ask { answer, .. }) => drop(answer.send(Ok((kind, body.to_vec())))),
        Some(other) => drop(state.waiting.insert(request, other)),
        None => {}
    }
    Ok(())
}

impl Waiting {
    /// The room that it is about, if that has to be joined for it.
    fn room(&mut self) -> Option<&mut RoomId> {
        match self {
            Self::First { .. } | Self::Join { .. } | Self::Rejoin { .. } => None,
            Self::Ask { room, .. } => room.as_mut(),
            Self::Leave { room, .. }
            | Self::Members { room, .. }
            | Self::History { room, .. }
            | Self::Search { room, .. } => Some(room),
        }
    }

    /// Whether something goes over the connection by it that nobody else may read.
    fn is_secret(&self) -> bool {
        match self {
            Self::Ask { secret, .. } => *secret,
            Self::Join { way: Way::Password(_) | Way::Create { password: Some(_), .. }, .. } => true,
            _ => false,
        }
    }

    /// Tell whoever asked that there is no answer.
    pub(super) fn fail(self, error: RequestError) {
        match self {
            Self::First { .. } | Self::Rejoin { .. } => {}
            Self::Join { answer, .. } => drop(answer.send(Err(error))),
            Self::Ask { answer, .. } => drop(answer.send(Err(error))),
            Self::Leave { answer, .. } => drop(answer.send(Err(error))),
            Self::Members { answer, .. } => drop(answer.send(Err(error))),
            Self::Search { answer, .. } => drop(answer.send(Err(error))),
            Self::History { reader: Reader::Caller(answer), .. } => drop(answer.send(Err(error))),
            Self::History { reader: Reader::Joining, .. } => {}
        }
    }
}

impl State {
    /// Ask now, or as soon as there is a connection and the room is joined on it.
    pub(super) fn ask(&mut self, mut waiting: Waiting) {
        let request = self.next_request;
        // 0 stands for "no request".
        self.next_request = self.next_request.checked_add(1).unwrap_or(1);
        let room = waiting.room().copied();
        self.waiting.insert(request, waiting);
        if self.conn.is_up() && room.is_none_or(|room| self.is_in(room)) && !self.queues(request) {
            self.send_request(request);
        }
    }

    fn is_in(&self, room: RoomId) -> bool {
        // One that this client isn't in any more is asked about too: the server's answer says so.
        self.rooms.get(&room).is_none_or(|room| room.standing == Standing::In)
    }

    /// Ask everything again on a new connection that can be asked now.
    pub(super) fn ask_again(&mut self) {
        self.conn.bulk.clear();
        self.pacing.clear();
        self.waiting.retain(|_, waiting| !matches!(waiting, Waiting::Rejoin { .. }));
        // Whether it was done is known to the server alone.
        let lost = |waiting: &Waiting| matches!(waiting, Waiting::Ask { again: false, sent: true, .. });
        let lost: Vec<u32> = self.waiting.iter().filter(|(_, w)| lost(w)).map(|(request, _)| *request).collect();
        for waiting in lost.into_iter().filter_map(|request| self.waiting.remove(&request)).collect::<Vec<_>>() {
            waiting.fail(RequestError::Unknown);
        }
        // Rooms of before come first: a room that is joined besides may be one of them.
        let mut away: Vec<_> = self.rooms.iter().filter(|(_, room)| room.standing == Standing::Away).collect();
        away.sort_by(|a, b| a.1.slot.name.cmp(&b.1.slot.name));
        let away: Vec<RoomId> = away.into_iter().map(|(id, _)| *id).collect();
        for room in away {
            self.rejoin(room);
        }
        let requests: Vec<u32> = self.waiting.keys().copied().collect();
        for request in requests {
            let Some(waiting) = self.waiting.get_mut(&request) else { continue };
            match waiting {
                Waiting::Rejoin { .. } => continue,
                Waiting::History { got, .. } => got.clear(),
                _ => {}
            }
            let room = waiting.room().copied();
            if room.is_none_or(|room| self.is_in(room)) {
                self.send_request(request);
            }
        }
    }

    /// Join a room again in which the client was.
    pub(super) fn rejoin(&mut self, room: RoomId) {
        let request = self.next_request;
        self.next_request = self.next_request.checked_add(1).unwrap_or(1);
        self.waiting.insert(request, Waiting::Rejoin { room });
        self.send_request(request);
    }

    /// Ask again for rooms that could not be joined a while ago.
    pub(super) fn rejoin_due(&mut self, now: Instant) {
        let due = self.rooms.iter_mut().filter(|(_, room)| room.retry.is_some_and(|at| at <= now));
        let due: Vec<RoomId> = due.map(|(id, room)| (*id, room.retry = None).0).collect();
        due.into_iter().for_each(|room| self.rejoin(room));
    }

    /// A room is joined again, maybe as another one: ask what waited for it.
    pub(super) fn ask_about(&mut self, old: RoomId, new: RoomId) {
        let mut requests = Vec::new();
        for (request, waiting) in &mut self.waiting {
            if let Some(room) = waiting.room()
                && *room == old
            {
                *room = new;
                requests.push(*request);
            }
        }
        requests.into_iter().for_each(|request| self.send_request(request));
    }

    /// The client is out of a room: answer whoever asked about it.
    pub(super) fn answer_about(&mut self, gone: RoomId) {
        let about = |waiting: &mut Waiting| waiting.room().is_some_and(|room| *room == gone);
        let requests = self.waiting.iter_mut().filter_map(|(request, waiting)| about(waiting).then_some(*request));
        let requests: Vec<u32> = requests.collect();
        for waiting in requests.into_iter().filter_map(|request| self.waiting.remove(&request)).collect::<Vec<_>>() {
            match waiting {
                Waiting::Leave { answer, .. } => drop(answer.send(Ok(()))),
                other => {
                    let text = "you are not in this room any more".to_owned();
                    other.fail(RequestError::Refused { code: Code::NOT_A_MEMBER, text, retry_after_ms: None });
                }
            }
        }
    }

    pub(super) fn send_request(&mut self, request: u32) {
        if self.waiting.get(&request).is_some_and(Waiting::is_secret) && !self.may_tell_secrets(self.conn.private) {
            let waiting = self.waiting.remove(&request);
            return waiting.into_iter().for_each(|waiting| waiting.fail(RequestError::Insecure));
        }
        if let Some(Waiting::Ask { room, make, sent, .. }) = self.waiting.get_mut(&request) {
            *sent = true;
            let frame = (make.0)(request, room.unwrap_or(RoomId::from_bytes([0; 16])));
            self.out.extend_from_slice(&frame);
            return;
        }
        match self.waiting.get(&request) {
            None | Some(Waiting::Ask { .. }) => {}
            Some(Waiting::First { name }) => {
                let name = name.clone();
                self.send(&Join { request, name });
            }
            Some(Waiting::Join { name, way, .. }) => {
                let name = name.clone();
                match way.clone() {
                    Way::Name => self.send(&Join { request, name }),
                    Way::Password(password) => self.send(&JoinWith { request, name, password }),
                    Way::Create { settings, password } => self.send(&CreateRoom { request, name, settings, password }),
                    Way::Direct(whom) => self.send(&Direct { request, whom }),
                }
            }
            Some(Waiting::Rejoin { room }) => {
                let Some(room) = self.rooms.get(room) else { return };
                let name = room.slot.name.to_string();
                self.send(&Join { request, name });
            }
            Some(&Waiting::Leave { room, .. }) => self.send(&Leave { request, room }),
            Some(&Waiting::Members { room, after, limit, .. }) => {
                self.send(&Members { request, room, after, limit });
            }
            Some(&Waiting::History { room, place, limit, .. }) => {
                self.conn.bulk.push_back(request);
                self.send(&History { request, room, place, limit });
            }
            Some(Waiting::Search { room, query, before, limit, .. }) => {
                let (room, query, before, limit) = (*room, query.clone(), *before, *limit);
                self.conn.bulk.push_back(request);
                self.send(&Search { request, room, query, before, limit });
            }
        }
    }
}
