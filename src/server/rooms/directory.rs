//! All rooms that there are, by id, by name and by pair.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::Bound;
use std::sync::Arc;

use parking_lot::Mutex;

use super::super::house::Why;
use super::super::pairs::{Pairs, TooManyDirects};
use super::{Member, Room, State};
use crate::id::{PrincipalId, RoomId, RoomName, Seq, Timestamp};
use crate::limit::Network;
use crate::room::Author;
use crate::store::{Change, RoomRecord, SettingsRecord};

/// However many rooms share the budget, each keeps so many bytes of tail.
const MIN_TAIL_BYTES: usize = 64 * 1024;

/// No room's tail gets more than this: a reader that is further behind reads from the store.
const MAX_TAIL_BYTES: usize = 1024 * 1024;

/// Every room, by name and by id.
#[derive(Debug)]
pub(in crate::server) struct Rooms {
    max: usize,
    tail_bytes: usize,
    map: Mutex<Map>,
}

#[derive(Debug, Default)]
struct Map {
    /// All but directs.
    by_name: BTreeMap<RoomName, Arc<Room>>,
    by_id: BTreeMap<RoomId, Arc<Room>>,
    /// Those that anybody may see in a list.
    listed: BTreeMap<RoomName, Arc<Room>>,
    pairs: Pairs,
}

/// The server has as many rooms as it takes.
#[derive(Debug)]
pub(in crate::server) struct TooManyRooms;

impl Map {
    fn list(&mut self, room: &Arc<Room>) {
        let state = room.lock();
        if room.pair.is_none() && !state.ended && state.house.is_listed() {
            self.listed.insert(room.name.clone(), Arc::clone(room));
        } else if self.listed.get(&room.name).is_some_and(|listed| Arc::ptr_eq(listed, room)) {
            self.listed.remove(&room.name);
        }
    }
}

/// The first rooms of a map behind `after`, and whether there are more.
fn page(map: &BTreeMap<RoomName, Arc<Room>>, after: Option<&RoomName>, limit: usize) -> (Vec<Arc<Room>>, bool) {
    let low = after.map_or(Bound::Unbounded, Bound::Excluded);
    let mut rooms = map.range::<RoomName, _>((low, Bound::Unbounded)).map(|(_, room)| Arc::clone(room));
    let page: Vec<_> = rooms.by_ref().take(limit).collect();
    (page, rooms.next().is_some())
}

impl Rooms {
    /// At most `max` rooms, whose tails take about `tail_bytes` together.
    pub(in crate::server) fn new(max: usize, tail_bytes: usize) -> Self {
        Self { max, tail_bytes, map: Mutex::default() }
    }

    /// The room of this name, made if there is none; and whether it was. What has to be kept of it is given to `keep`
    /// before anybody else finds it. `found` has a say in how it is, and who owns it.
    pub(in crate::server) fn open(
        &self,
        name: &RoomName,
        permanent: bool,
        now: Timestamp,
        mut keep: impl FnMut(Change),
        found: impl FnOnce(&Arc<Room>, &mut State) -> Vec<Change>,
    ) -> Result<(Arc<Room>, bool), TooManyRooms> {
        let mut map = self.map.lock();
        if let Some(room) = map.by_name.get(name) {
            return Ok((Arc::clone(room), false));
        }
        if map.by_name.len() >= self.max && !permanent {
            return Err(TooManyRooms);
        }
        let record = RoomRecord { id: RoomId::random(), name: name.clone(), permanent, created: now };
        let room = Arc::new(Room::new(record.id, name.clone(), permanent, Seq::ZERO));
        keep(Change::PutRoom(record));
        found(&room, &mut room.lock()).into_iter().for_each(keep);
        map.by_id.insert(room.id, Arc::clone(&room));
        map.by_name.insert(name.clone(), Arc::clone(&room));
        map.list(&room);
        Ok((room, true))
    }

    /// The direct of two, made if there is none.
    /// `from` is where `a` comes from, if that counts.
    pub(in crate::server) fn direct(
        &self,
        a: &Author,
        b: &Author,
        from: Option<IpAddr>,
        now: Timestamp,
        mut keep: impl FnMut(Change),
    ) -> Result<Arc<Room>, TooManyDirects> {
        let pair = pair(a.principal, b.principal);
        let mut map = self.map.lock();
        if let Some(room) = map.pairs.get(pair) {
            return Ok(Arc::clone(room));
        }
        let from = from.map(Network::around);
        map.pairs.may_have(pair, from, a.principal)?;
        let id = RoomId::random();
        let name = RoomName::parse(&format!("@{id}")).expect("hexadecimal digits make a room's name");
        let mut room = Room::new(id, name.clone(), false, Seq::ZERO);
        room.pair = Some(pair);
        room.opened_from = from;
        let room = Arc::new(room);
        keep(Change::PutRoom(RoomRecord { id, name, permanent: false, created: now }));
        keep(Change::PutSettings(room.lock().house.record(id, room.pair)));
        map.by_id.insert(id, Arc::clone(&room));
        map.pairs.insert(pair, &room);
        Ok(room)
    }

    pub(in crate::server) fn of_pair(&self, a: PrincipalId, b: PrincipalId) -> Option<Arc<Room>> {
        self.map.lock().pairs.get(pair(a, b)).cloned()
    }

    pub(in crate::server) fn by_id(&self, id: RoomId) -> Option<Arc<Room>> {
        self.map.lock().by_id.get(&id).cloned()
    }

    pub(in crate::server) fn find(&self, name: &RoomName) -> Option<Arc<Room>> {
        self.map.lock().by_name.get(name).cloned()
    }

    /// Put back a room that the store has kept.
    pub(in crate::server) fn restore(
        &self,
        record: &RoomRecord,
        head: Seq,
        settings: Option<&SettingsRecord>,
    ) -> Arc<Room> {
        let mut room = Room::new(record.id, record.name.clone(), record.permanent, head);
        room.pair = settings.and_then(|settings| settings.pair);
        if let Some(SettingsRecord { settings, password, .. }) = settings {
            room.settle(&mut room.lock(), settings.clone(), password.clone());
        }
        let room = Arc::new(room);
        let mut map = self.map.lock();
        map.by_id.insert(room.id, Arc::clone(&room));
        match room.pair {
            Some(pair) => map.pairs.insert(pair, &room),
            None => drop(map.by_name.insert(record.name.clone(), Arc::clone(&room))),
        }
        map.list(&room);
        room
    }

    /// Take a member out of its room. What has to be changed in the store is given to `keep`. True if somebody is left
    /// to be told.
    pub(in crate::server) fn leave(&self, member: &Member, why: Why, mut keep: impl FnMut(Change)) -> bool {
        let room = &member.room;
        // The registry first: nobody opens the room while it is being ended.
        let mut map = self.map.lock();
        let mut state = room.lock();
        member.leave();
        let who = member.author();
        let Some((_, principal_gone)) = state.members.remove(who.principal, member.session.id) else { return false };
        if principal_gone {
            state.publishers.forget(who.principal);
            let count = state.members.count();
            state.presence.record(Arc::clone(&who), false, count);
            state.house.departed(&who, why, member.read()).into_iter().for_each(&mut keep);
        }
        if !state.members.is_empty() || room.stays(&state) {
            keep(Change::DropMember { session: member.session.id, room: room.id });
            return true;
        }
        Self::end(&mut map, room, &mut state, keep);
        false
    }

    /// End a room, whoever is a member. Nobody may be in it any more.
    pub(in crate::server) fn close(&self, room: &Room, keep: impl FnMut(Change)) {
        let mut map = self.map.lock();
        let mut state = room.lock();
        if !state.ended {
            Self::end(&mut map, room, &mut state, keep);
        }
    }

    fn end(map: &mut Map, room: &Room, state: &mut State, mut keep: impl FnMut(Change)) {
        state.ended = true;
        map.by_id.remove(&room.id);
        match room.pair {
            Some(pair) => map.pairs.remove(pair, room),
            None => {
                map.by_name.remove(&room.name);
                map.listed.remove(&room.name);
            }
        }
        keep(Change::DropRoom(room.id));
    }

    /// End the rooms that nobody is in and that don't stay.
    pub(in crate::server) fn end_empty(&self, mut keep: impl FnMut(Change)) {
        let mut map = self.map.lock();
        let rooms: Vec<_> = map.by_id.values().cloned().collect();
        for room in rooms {
            let mut state = room.lock();
            if state.members.is_empty() && !room.stays(&state) {
                Self::end(&mut map, &room, &mut state, &mut keep);
            }
        }
    }

    /// A room's settings are others: it may have to be listed, or not any more.
    pub(in crate::server) fn relist(&self, room: &Arc<Room>) {
        self.map.lock().list(room);
    }

    /// Rooms in the order of their ids, this one first.
    pub(in crate::server) fn since(&self, first: Option<RoomId>, limit: usize) -> Vec<Arc<Room>> {
        let low = first.map_or(Bound::Unbounded, Bound::Included);
        self.map.lock().by_id.range((low, Bound::Unbounded)).take(limit).map(|(_, room)| Arc::clone(room)).collect()
    }

    /// Every room.
    pub(in crate::server) fn all(&self) -> Vec<Arc<Room>> {
        self.map.lock().by_id.values().cloned().collect()
    }

    /// What one room's tail may take, so that all of them keep to the budget.
    pub(in crate::server) fn tail_bytes(&self) -> usize {
        let rooms = self.map.lock().by_id.len().max(1);
        (self.tail_bytes / rooms).clamp(MIN_TAIL_BYTES, MAX_TAIL_BYTES)
    }

    pub(in crate::server) fn len(&self) -> usize {
        self.map.lock().by_name.len()
    }

    /// Rooms in the order of their names, behind `after`; and whether there are more.
    pub(in crate::server) fn page(&self, after: Option<&RoomName>, limit: usize) -> (Vec<Arc<Room>>, bool) {
        page(&self.map.lock().by_name, after, limit)
    }

    /// The same of those that anybody may see in a list.
    pub(in crate::server) fn page_listed(&self, after: Option<&RoomName>, limit: usize) -> (Vec<Arc<Room>>, bool) {
        page(&self.map.lock().listed, after, limit)
    }
}

fn pair(a: PrincipalId, b: PrincipalId) -> (PrincipalId, PrincipalId) {
    (a.min(b), a.max(b))
}
