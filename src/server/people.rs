//! Everybody who has an account, and what is kept of people beyond rooms: codes, bans from the server, blocks.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;

use super::ban_list::BanList;
use super::names::{self, Names};
use super::session;
use crate::id::{Alias, PrincipalId, RoomId, Timestamp, random_bytes};
use crate::protocol::PrincipalKind;
use crate::room::Author;
use crate::store::{AccountRecord, BanRecord, Change, CodeRecord, StandingRecord, TokenHash};

/// How long an invite code, or one that resets a password, is good, in milliseconds: a week.
const CODE_MS: i64 = 7 * 86_400_000;

/// People whom one person has blocked, at most.
const MAX_BLOCKS: usize = 1000;

/// See the module. A leaf among the locks: nothing else is locked under it.
#[derive(Debug, Default)]
pub(super) struct People {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    by_id: HashMap<PrincipalId, AccountRecord>,
    aliases: Names<PrincipalId>,
    /// Where accounts are members.
    rooms: HashMap<PrincipalId, BTreeSet<RoomId>>,
    /// Where they stand somehow without being members, and where they did.
    noted: HashMap<PrincipalId, BTreeSet<RoomId>>,
    /// Who has blocked whom …
    blocks: BTreeSet<(PrincipalId, PrincipalId)>,
    /// … and whom who has.
    blockers: BTreeSet<(PrincipalId, PrincipalId)>,
    codes: HashMap<TokenHash, CodeRecord>,
    bans: BanList,
    away: HashMap<PrincipalId, String>,
    /// How often all that an account was known by became good for nothing, over all accounts …
    revocations: u64,
    /// … and at which of these times it was this account's turn last.
    revoked: HashMap<PrincipalId, u64>,
    /// Who is being renamed.
    renaming: HashSet<PrincipalId>,
}

impl People {
    /// Put back what the store has kept.
    pub(super) fn restore(
        &self,
        accounts: Vec<AccountRecord>,
        standings: &[StandingRecord],
        bans: &[BanRecord],
        blocks: Vec<(PrincipalId, PrincipalId)>,
        codes: Vec<CodeRecord>,
    ) {
        let mut inner = self.inner.lock();
        for account in accounts {
            inner.aliases.keep(&account.alias, account.principal);
            inner.by_id.insert(account.principal, account);
        }
        for standing in standings {
            let rooms = if standing.member { &mut inner.rooms } else { &mut inner.noted };
            rooms.entry(standing.principal).or_default().insert(standing.room);
        }
        inner.bans.extend(bans.iter().filter(|ban| ban.room.is_none()).cloned());
        inner.blockers = blocks.iter().map(|(who, blocked)| (*blocked, *who)).collect();
        inner.blocks = blocks.into_iter().collect();
        inner.codes = codes.into_iter().map(|code| (code.hash, code)).collect();
    }

    pub(super) fn account(&self, principal: PrincipalId) -> Option<AccountRecord> {
        self.inner.lock().by_id.get(&principal).filter(|account| !account.deleted).cloned()
    }

    /// Whether this is an account's, or was.
    pub(super) fn knows(&self, principal: PrincipalId) -> bool {
        self.inner.lock().by_id.contains_key(&principal)
    }

    /// The account of this alias, unless it is deleted.
    pub(super) fn named(&self, alias: &str) -> Option<AccountRecord> {
        let inner = self.inner.lock();
        let mut meant = inner.aliases.meant(alias).into_iter().filter_map(|id| inner.by_id.get(&id));
        // One that merely looks like it is somebody else's.
        let account = meant.find(|account| names::is_called(&account.alias, alias))?;
        (!account.deleted).then(|| account.clone())
    }

    /// Whether an alias of this look is an account's, or was.
    pub(super) fn is_reserved(&self, look: &str) -> bool {
        self.inner.lock().aliases.has(look)
    }

    pub(super) fn is_admin(&self, principal: PrincipalId) -> bool {
        self.inner.lock().by_id.get(&principal).is_some_and(|account| account.admin && !account.deleted)
    }

    /// Take an account as it is now. False if its alias is another one's.
    pub(super) fn put(&self, account: AccountRecord) -> bool {
        let mut inner = self.inner.lock();
        let (principal, alias) = (account.principal, &account.alias);
        let same = inner.by_id.get(&principal).is_some_and(|known| known.alias == *alias);
        let fine = same || inner.aliases.take(alias, principal);
        if fine {
            inner.by_id.insert(account.principal, account);
        }
        fine
    }

    /// An account could not be kept: its alias is free again.
    pub(super) fn forget(&self, principal: PrincipalId) {
        let mut inner = self.inner.lock();
        if let Some(account) = inner.by_id.remove(&principal) {
            inner.aliases.give_up(&account.alias, principal, None);
        }
    }

    /// A moment, for [`is_proven`](Self::is_proven): taken before it is looked at what somebody proves themselves by.
    pub(super) fn moment(&self) -> u64 {
        self.inner.lock().revocations
    }

    /// What an account has been known by is good for nothing from here on. Returns the moment behind that.
    pub(super) fn revoke(&self, principal: PrincipalId) -> u64 {
        let mut inner = self.inner.lock();
        inner.revocations += 1;
        let moment = inner.revocations;
        inner.revoked.insert(principal, moment);
        moment
    }

    /// Whether there is this account, and what proved somebody to be it at that moment would do so still.
    pub(super) fn is_proven(&self, principal: PrincipalId, moment: u64) -> bool {
        let inner = self.inner.lock();
        inner.by_id.get(&principal).is_some_and(|account| !account.deleted)
            && inner.revoked.get(&principal).is_none_or(|revoked| *revoked <= moment)
    }

    /// Begin to rename somebody, or to delete them; false if somebody is at it. Only by [`Renaming`](super::alias::Renaming).
    pub(super) fn begin_renaming(&self, principal: PrincipalId) -> bool {
        self.inner.lock().renaming.insert(principal)
    }

    pub(super) fn end_renaming(&self, principal: PrincipalId) {
        self.inner.lock().renaming.remove(&principal);
    }

    /// Keep another alias for an account, besides the one that it has. False if it is another one's.
    pub(super) fn reserve(&self, principal: PrincipalId, alias: &Alias) -> bool {
        self.inner.lock().aliases.take(alias, principal)
    }

    /// An account doesn't get the alias that was kept for it.
    pub(super) fn unreserve(&self, principal: PrincipalId, alias: &Alias) {
        let mut inner = self.inner.lock();
        let Inner { by_id, aliases, .. } = &mut *inner;
        aliases.give_up(alias, principal, by_id.get(&principal).map(|account| &account.alias));
    }

    /// An account has the alias that was kept for it; the one before is free.
    pub(super) fn renamed(&self, principal: PrincipalId, alias: &Alias) {
        let mut inner = self.inner.lock();
        let Some(account) = inner.by_id.get_mut(&principal) else { return };
        let before = std::mem::replace(&mut account.alias, alias.clone());
        inner.aliases.give_up(&before, principal, Some(alias));
    }

    /// Change an account; what is to be kept of it.
    pub(super) fn change(&self, principal: PrincipalId, f: impl FnOnce(&mut AccountRecord)) -> Option<Change> {
        let mut inner = self.inner.lock();
        let account = inner.by_id.get_mut(&principal)?;
        f(account);
        Some(Change::PutAccount(account.clone()))
    }

    /// Where an account is a member.
    pub(super) fn rooms(&self, principal: PrincipalId) -> Vec<RoomId> {
        self.inner.lock().rooms.get(&principal).into_iter().flatten().copied().collect()
    }

    pub(super) fn joined(&self, principal: PrincipalId, room: RoomId) {
        self.inner.lock().rooms.entry(principal).or_default().insert(room);
    }

    pub(super) fn left(&self, principal: PrincipalId, room: RoomId) {
        let mut inner = self.inner.lock();
        if let Some(rooms) = inner.rooms.get_mut(&principal) {
            rooms.remove(&room);
            if rooms.is_empty() {
                inner.rooms.remove(&principal);
            }
        }
    }

    /// Somebody stands somehow in a room; in how many that is.
    pub(super) fn note(&self, principal: PrincipalId, room: RoomId) -> usize {
        let mut inner = self.inner.lock();
        let noted = inner.noted.entry(principal).or_default();
        noted.insert(room);
        noted.len()
    }

    /// Where somebody stands somehow, as a member or not; also where that is over.
    pub(super) fn stands(&self, principal: PrincipalId) -> BTreeSet<RoomId> {
        let inner = self.inner.lock();
        let (rooms, noted) = (inner.rooms.get(&principal), inner.noted.get(&principal));
        rooms.into_iter().chain(noted).flatten().copied().collect()
    }

    /// In these rooms somebody doesn't stand at all any more.
    pub(super) fn forget_noted(&self, principal: PrincipalId, rooms: &[RoomId]) {
        let mut inner = self.inner.lock();
        if let Some(noted) = inner.noted.get_mut(&principal) {
            noted.retain(|room| !rooms.contains(room));
            if noted.is_empty() {
                inner.noted.remove(&principal);
            }
        }
    }

    /// Somebody won't come back, wherever they are a member.
    pub(super) fn forget_rooms(&self, principal: PrincipalId) {
        let mut inner = self.inner.lock();
        inner.rooms.remove(&principal);
        inner.noted.remove(&principal);
    }

    /// Whom somebody has blocked, in the order of their ids.
    pub(super) fn blocked_by(&self, principal: PrincipalId) -> BTreeSet<PrincipalId> {
        let inner = self.inner.lock();
        others(&inner.blocks, principal).collect()
    }

    /// Whether one of two has blocked the other.
    pub(super) fn are_apart(&self, a: PrincipalId, b: PrincipalId) -> bool {
        let inner = self.inner.lock();
        inner.blocks.contains(&(a, b)) || inner.blocks.contains(&(b, a))
    }

    /// Block somebody, or take that back; none if somebody has blocked as many as they may.
    pub(super) fn block(&self, principal: PrincipalId, blocked: PrincipalId, on: bool) -> Option<Change> {
        let mut inner = self.inner.lock();
        if !on {
            return Some(inner.unblock(principal, blocked));
        }
        let more = !inner.blocks.contains(&(principal, blocked));
        if more && others(&inner.blocks, principal).count() >= MAX_BLOCKS {
            return None;
        }
        inner.blocks.insert((principal, blocked));
        inner.blockers.insert((blocked, principal));
        Some(Change::PutBlock { principal, blocked })
    }

    /// A guest is gone: nobody keeps their blocks, or those of them.
    pub(super) fn forget_blocks(&self, guest: PrincipalId) -> Vec<Change> {
        let mut inner = self.inner.lock();
        let blocked: Vec<_> = others(&inner.blocks, guest).collect();
        let blockers: Vec<_> = others(&inner.blockers, guest).collect();
        let by = blocked.into_iter().map(|blocked| (guest, blocked));
        let of = blockers.into_iter().map(|who| (who, guest));
        by.chain(of).map(|(who, blocked)| inner.unblock(who, blocked)).collect()
    }

    /// Everybody who has blocked somebody, or whom somebody has blocked.
    pub(super) fn with_blocks(&self) -> BTreeSet<PrincipalId> {
        self.inner.lock().blocks.iter().flat_map(|(who, blocked)| [*who, *blocked]).collect()
    }

    /// What keeps somebody off the server: the ban that fits.
    pub(super) fn ban_of(&self, who: &Author, address: Option<IpAddr>, now: Timestamp) -> Option<BanRecord> {
        let inner = self.inner.lock();
        let admin = inner.by_id.get(&who.principal).is_some_and(|account| account.admin);
        if admin {
            return None;
        }
        inner.bans.fitting(who, address, now).next().cloned()
    }

    /// Every ban from the server.
    pub(super) fn bans(&self) -> Vec<BanRecord> {
        self.inner.lock().bans.iter().cloned().collect()
    }

    pub(super) fn ban(&self, ban: BanRecord) -> Vec<Change> {
        let mut inner = self.inner.lock();
        let mut changes = inner.bans.lift(|other| ban.target.replaces(&other.target));
        inner.bans.push(ban.clone());
        changes.push(Change::PutBan(ban));
        changes
    }

    /// Take the bans of this name back, and those of somebody who is known by it now; what of that has to be kept.
    pub(super) fn unban(&self, name: &str, somebody: Option<&Author>) -> Vec<Change> {
        self.inner.lock().bans.lift(|ban| names::is_called_so(&ban.target, name, somebody))
    }

    /// A new code, for an account that is to be made, or whose password is lost: the ones that it has for that are good
    /// for nothing any more. And what is to be kept of it.
    pub(super) fn make_code(&self, reset: Option<PrincipalId>, now: Timestamp) -> (String, Vec<Change>) {
        let code = random_bytes().iter().map(|b| format!("{b:02x}")).collect::<String>();
        let until = Timestamp::from_millis(now.as_millis() + CODE_MS);
        let record = CodeRecord { hash: session::hash(code.as_bytes()), reset, until };
        let mut inner = self.inner.lock();
        let voided = reset.map(|principal| inner.void_codes(principal)).unwrap_or_default();
        inner.codes.insert(record.hash, record);
        let dropped = voided.into_iter().map(|code| Change::DropCode(code.hash));
        (code, dropped.chain([Change::PutCode(record)]).collect())
    }

    /// Use up a code that makes an account. It can be given back by [`give_back`](Self::give_back), if that didn't happen.
    pub(super) fn use_invite(&self, code: &str, now: Timestamp) -> Option<CodeRecord> {
        let mut inner = self.inner.lock();
        let hash = session::hash(code.trim().as_bytes());
        inner.codes.get(&hash).filter(|record| record.until > now && record.reset.is_none())?;
        inner.codes.remove(&hash)
    }

    /// Use up a code that resets an account's password, and with it all that it has for that; as
    /// [`use_invite`](Self::use_invite).
    pub(super) fn use_reset(&self, code: &str, principal: PrincipalId, now: Timestamp) -> Option<Vec<CodeRecord>> {
        let mut inner = self.inner.lock();
        let hash = session::hash(code.trim().as_bytes());
        inner.codes.get(&hash).filter(|record| record.until > now && record.reset == Some(principal))?;
        Some(inner.void_codes(principal))
    }

    /// The codes that reset an account's password are good for nothing any more; as [`use_invite`](Self::use_invite).
    pub(super) fn void_codes(&self, principal: PrincipalId) -> Vec<CodeRecord> {
        self.inner.lock().void_codes(principal)
    }

    pub(super) fn give_back(&self, code: CodeRecord) {
        self.inner.lock().codes.insert(code.hash, code);
    }

    /// Somebody is away with a text, or back; false if that is no news.
    pub(super) fn set_away(&self, principal: PrincipalId, text: Option<String>) -> bool {
        let mut inner = self.inner.lock();
        let before = match text.clone() {
            Some(text) => inner.away.insert(principal, text),
            None => inner.away.remove(&principal),
        };
        before != text
    }

    pub(super) fn away(&self, principal: PrincipalId) -> Option<String> {
        self.inner.lock().away.get(&principal).cloned()
    }

    /// Accounts in the order of their aliases, behind `after`; and whether there are more.
    pub(super) fn page(&self, after: Option<&str>, limit: usize) -> (Vec<AccountRecord>, bool) {
        let inner = self.inner.lock();
        let mut all: Vec<&AccountRecord> = inner.by_id.values().filter(|account| !account.deleted).collect();
        all.sort_by_key(|account| account.alias.folded());
        let after = after.map(str::to_lowercase);
        let mut rest = all.into_iter().filter(|a| after.as_ref().is_none_or(|after| a.alias.folded() > *after));
        let page: Vec<_> = rest.by_ref().take(limit).cloned().collect();
        (page, rest.next().is_some())
    }
}

impl Inner {
    fn void_codes(&mut self, principal: PrincipalId) -> Vec<CodeRecord> {
        self.codes.extract_if(|_, code| code.reset == Some(principal)).map(|(_, code)| code).collect()
    }

    fn unblock(&mut self, principal: PrincipalId, blocked: PrincipalId) -> Change {
        self.blocks.remove(&(principal, blocked));
        self.blockers.remove(&(blocked, principal));
        Change::DropBlock { principal, blocked }
    }
}

/// Whom somebody stands before, in a set of pairs.
fn others(
    pairs: &BTreeSet<(PrincipalId, PrincipalId)>,
    who: PrincipalId,
) -> impl Iterator<Item = PrincipalId> + use<'_> {
    let (low, high) = (PrincipalId::from_bytes([0; 16]), PrincipalId::from_bytes([0xff; 16]));
    pairs.range((who, low)..=(who, high)).map(|(_, other)| *other)
}

/// An account as an author.
pub(super) fn author(account: &AccountRecord) -> Arc<Author> {
    Arc::new(Author { principal: account.principal, kind: PrincipalKind::Account, alias: account.alias.clone() })
}
