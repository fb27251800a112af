//! The bans from a room, or from the server, as they are asked: often, and about anybody who comes or talks.

use std::net::IpAddr;

use crate::id::Timestamp;
use crate::room::{Author, Looks, Seen};
use crate::store::{BanRecord, Change};

/// Bans that a room has at most: all of them are asked about whoever comes. A mask or a network does for many.
pub(super) const MAX_BANS: usize = 500;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct BanList(Vec<(BanRecord, Looks)>);

impl BanList {
    pub(super) fn push(&mut self, ban: BanRecord) {
        let looks = ban.target.looks();
        self.0.push((ban, looks));
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &BanRecord> {
        self.0.iter().map(|(ban, _)| ban)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Those that hold, and are for somebody.
    pub(super) fn fitting(
        &self,
        who: &Author,
        address: Option<IpAddr>,
        now: Timestamp,
    ) -> impl Iterator<Item = &BanRecord> {
        let seen = Seen::new(who);
        let fits =
            move |(ban, looks): &&(BanRecord, Looks)| holds(ban, now) && ban.target.fits_seen(looks, &seen, address);
        self.0.iter().filter(fits).map(|(ban, _)| ban)
    }

    /// Take some back; what of that has to be kept.
    pub(super) fn lift(&mut self, is: impl Fn(&BanRecord) -> bool) -> Vec<Change> {
        self.0.extract_if(.., |(ban, _)| is(ban)).map(|(ban, _)| lifted(&ban)).collect()
    }
}

impl Extend<BanRecord> for BanList {
    fn extend<T: IntoIterator<Item = BanRecord>>(&mut self, bans: T) {
        bans.into_iter().for_each(|ban| self.push(ban));
    }
}

/// Whether a ban isn't over.
pub(super) fn holds(ban: &BanRecord, now: Timestamp) -> bool {
    ban.until.is_none_or(|until| until > now)
}

/// A ban that is taken back, as the store is told.
pub(super) fn lifted(ban: &BanRecord) -> Change {
    Change::DropBan { room: ban.room, target: ban.target.clone() }
}
