//! The books that are kept of order: entries of the audit log, and lists of them and of bans, in pages that fit into a
//! frame of any client, whatever the store has kept.

use super::conn::Conn;
use super::house::Who;
use super::membership::Refusal;
use super::moderation::{place, words};
use super::permission;
use super::requests::store_failed;
use super::shared::{Clock, Shared};
use crate::handler::Ruling;
use crate::id::{RoomName, Timestamp};
use crate::protocol::Code;
use crate::protocol::message::{
    AuditEntry, AuditPage, BanEntry, BansPage, HistoryRule, ListAudit, ListBans, RoomKind, RoomSettings,
};
use crate::room::permission::{Ticket, may};
use crate::room::{Action, Author};
use crate::store::{AuditRecord, BanRecord};

/// Entries of the audit log on one page, at most.
const MAX_ENTRIES: usize = 50;

/// Bans on one page, at most.
const MAX_BANS: usize = 100;

/// Bytes behind which a page ends: what comes on top with its last entry still fits into the 20 KiB that every client takes.
const PAGE_BYTES: usize = 12 * 1024;

/// What an entry takes besides its texts, in bytes, at most.
const ENTRY_BYTES: usize = 48;

/// The longest text of an entry, in bytes. What is longer, because another version has kept it, is shown in part.
const MAX_TEXT: usize = 1024;

/// The longest name in an entry, in bytes.
const MAX_NAME: usize = 512;

/// An entry of the audit log.
pub(super) fn entry(who: &Author, act: &str, room: Option<&RoomName>, whom: &str, text: &str) -> AuditRecord {
    AuditRecord {
        at: Clock::timestamp(),
        by: who.principal,
        alias: who.alias.clone(),
        act: act.to_owned(),
        room: room.map(ToString::to_string).unwrap_or_default(),
        whom: shortened(whom.to_owned(), MAX_NAME),
        text: shortened(text.to_owned(), MAX_TEXT),
    }
}

/// A reason with the end of what it is for, if that has one.
pub(super) fn until(end: Option<Timestamp>, reason: &str) -> String {
    match end {
        Some(end) => format!("until {end}{}{reason}", if reason.is_empty() { "" } else { ": " }),
        None => reason.to_owned(),
    }
}

/// What is different in a room's settings.
pub(super) fn differences(before: &RoomSettings, after: &RoomSettings, password: bool) -> String {
    let kind = |kind: RoomKind| match kind {
        RoomKind::Public => "public",
        RoomKind::InviteOnly => "invite-only",
        RoomKind::Password => "with a password",
        RoomKind::Hidden => "hidden",
        RoomKind::Other(_) => "of another kind",
    };
    let limit = |limit: Option<u32>| limit.map_or_else(|| "none".to_owned(), |limit| limit.to_string());
    let switch = |name: &str, on: bool| if on { name.to_owned() } else { format!("not {name}") };
    let history = |rule: HistoryRule| if rule == HistoryRule::All { "all" } else { "since one joined" };
    let said = [
        (before.kind != after.kind).then(|| kind(after.kind).to_owned()),
        password.then(|| "another password".to_owned()),
        (before.limit != after.limit).then(|| format!("limit {}, was {}", limit(after.limit), limit(before.limit))),
        (before.announcement_only != after.announcement_only)
            .then(|| switch("announcement-only", after.announcement_only)),
        (before.archived != after.archived).then(|| switch("archived", after.archived)),
        (before.history != after.history).then(|| format!("history {}", history(after.history))),
        // The last one: it may be long.
        (before.topic != after.topic).then(|| format!("topic: {}", after.topic)),
    ];
    let said: Vec<String> = said.into_iter().flatten().collect();
    if said.is_empty() { "as before".to_owned() } else { said.join("; ") }
}

/// As much of a text as fits into so many bytes.
fn shortened(mut text: String, max: usize) -> String {
    if text.len() > max {
        let end = (0..=max - '…'.len_utf8()).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    text
}

/// Answer a `ListAudit`.
pub(super) async fn audit(shared: &Shared, who: &Author, ask: ListAudit) -> Result<AuditPage, Refusal> {
    if !shared.people.is_admin(who.principal) {
        return Err(Refusal::new(Code::NOT_PERMITTED, "only admins of the server read the audit log"));
    }
    let limit = (ask.limit as usize).clamp(1, MAX_ENTRIES);
    let before = ask.before.unwrap_or(u64::MAX >> 1);
    let found = shared.store.audit(before, limit + 1).await.map_err(|_| store_failed())?;
    let entry = |(n, record): (u64, AuditRecord)| AuditEntry {
        n,
        at: record.at.as_millis(),
        by: record.alias.to_string(),
        act: shortened(record.act, MAX_NAME),
        room: shortened(record.room, MAX_NAME),
        whom: shortened(record.whom, MAX_NAME),
        text: shortened(record.text, MAX_TEXT),
    };
    let bytes = |entry: &AuditEntry| {
        ENTRY_BYTES
            + [&entry.by, &entry.act, &entry.room, &entry.whom, &entry.text].map(String::len).iter().sum::<usize>()
    };
    let (entries, more) = page(found.into_iter().map(entry), limit, bytes);
    Ok(AuditPage { request: ask.request, entries, more })
}

/// Answer a `ListBans`.
pub(super) async fn bans(shared: &Shared, conn: &Conn, ask: ListBans) -> Result<BansPage, Refusal> {
    let ListBans { request, room, skip } = ask;
    let not_here = || Refusal::new(Code::NOT_A_MEMBER, words(Code::NOT_A_MEMBER));
    let identity = conn.identity().ok_or_else(not_here)?;
    let author = &identity.session.author();
    let admin = shared.people.is_admin(author.principal);
    let room = place(shared, conn, room, admin).ok_or_else(not_here)?;
    let (now, address) = (Clock::timestamp(), conn.address.map(|a| a.ip()));
    let told = {
        let state = room.lock();
        let here = state.members.has(author.principal);
        let role = state.house.role(Who { author, address, admin, here }, now);
        may(role, Action::SeeBans, &state.house.settings, Ticket::default())
    };
    let ruling = permission::ask(shared, conn, author, &room, Action::SeeBans, None, told.is_ok()).await?;
    if let (Err(code), true) = (told, ruling != Ruling::Allow) {
        return Err(Refusal::new(code, words(code)));
    }
    let state = room.lock();
    let holding = state.house.bans.iter().filter(|ban| ban.until.is_none_or(|until| until > now));
    let bytes = |ban: &BanEntry| ENTRY_BYTES + ban.whom.len() + ban.by.len() + ban.reason.len();
    let (bans, more) = page(holding.skip(skip.unwrap_or(0) as usize).map(ban), MAX_BANS, bytes);
    Ok(BansPage { request, bans, more: more.then_some(true) })
}

fn ban(ban: &BanRecord) -> BanEntry {
    let (whom, reason) = (shortened(ban.target.to_string(), MAX_NAME), shortened(ban.reason.clone(), MAX_TEXT));
    BanEntry { whom, by: ban.by.to_string(), reason, until: ban.until.map(Timestamp::as_millis) }
}

/// The first entries of a list, as many as one frame takes and as are asked for; and whether there are more.
fn page<T>(mut list: impl Iterator<Item = T>, limit: usize, bytes: impl Fn(&T) -> usize) -> (Vec<T>, bool) {
    let (mut page, mut filled) = (Vec::new(), 0);
    while page.len() < limit && filled < PAGE_BYTES {
        let Some(entry) = list.next() else { return (page, false) };
        filled += bytes(&entry);
        page.push(entry);
    }
    (page, list.next().is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_ends_by_its_bytes_or_its_count_and_says_whether_there_are_more() {
        assert_eq!(page(0..3, 5, |_| 1), (vec![0, 1, 2], false));
        assert_eq!(page(0..5, 5, |_| 1), (vec![0, 1, 2, 3, 4], false));
        assert_eq!(page(0..6, 5, |_| 1), (vec![0, 1, 2, 3, 4], true));
        assert_eq!(page(0..6, 5, |_| PAGE_BYTES / 2), (vec![0, 1], true));
        assert_eq!(page(0..6, 5, |_| 10 * PAGE_BYTES), (vec![0], true), "one there is always");
    }

    #[test]
    fn what_is_too_long_is_cut_between_characters() {
        assert_eq!(shortened("short".into(), 5), "short");
        assert_eq!(shortened("äöüäöü".into(), 8), "äö…");
    }
}
