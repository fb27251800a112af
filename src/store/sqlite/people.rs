//! People, and how rooms are: rows as records and back.

use std::time::Duration;

use rusqlite::{Connection, Row, params};

use super::error::Sql;
use super::read::{invalid, seq_at};
use crate::id::{Alias, PrincipalId, RoomId, Timestamp};
use crate::protocol::PrincipalKind;
use crate::protocol::message::{HistoryRule, Rank, RoomKind, RoomSettings};
use crate::store::{
    AccountRecord, AuditRecord, BanRecord, BanTarget, Change, CodeRecord, Retention, SettingsRecord, Snapshot,
    StandingRecord,
};

/// Write a change that is about people, or about how a room is.
pub(super) fn change(conn: &Connection, change: &Change) -> Sql<()> {
    match change {
        Change::PutAccount(account) => conn
            .prepare_cached("INSERT OR REPLACE INTO accounts VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?
            .execute(params![
                account.principal.as_bytes(),
                account.alias.as_str(),
                account.password,
                account.admin,
                account.deleted,
                account.created.as_millis(),
                account.seen.as_millis(),
            ]),
        Change::PutSettings(SettingsRecord { room, settings, password, pair }) => conn
            .prepare_cached("INSERT OR REPLACE INTO settings VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)")?
            .execute(params![
                room.as_bytes(),
                settings.kind.to_u8(),
                settings.topic,
                settings.limit,
                settings.announcement_only,
                settings.archived,
                settings.history.to_u8(),
                password,
                pair.as_ref().map(|(one, _)| one.as_bytes()),
                pair.as_ref().map(|(_, other)| other.as_bytes()),
            ]),
        Change::PutStanding(standing) => conn
            .prepare_cached("INSERT OR REPLACE INTO standings VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)")?
            .execute(params![
                standing.room.as_bytes(),
                standing.principal.as_bytes(),
                standing.kind.to_u8(),
                standing.alias.as_str(),
                standing.member,
                standing.invited,
                standing.rank.to_u8(),
                standing.muted_until.map(Timestamp::as_millis),
                standing.since.get() as i64,
                standing.read.get() as i64,
            ]),
        Change::DropStanding { room, principal } => conn
            .prepare_cached("DELETE FROM standings WHERE room = ?1 AND principal = ?2")?
            .execute(params![room.as_bytes(), principal.as_bytes()]),
        Change::PutBan(ban) => {
            let (guest, network) = match &ban.target {
                BanTarget::Guest { from, .. } => (true, from.map(|from| from.to_string())),
                _ => (false, None),
            };
            conn.prepare_cached("INSERT OR REPLACE INTO bans VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")?.execute(
                params![
                    place(ban.room.as_ref()),
                    ban.target.to_string(),
                    banned(&ban.target),
                    guest,
                    network,
                    ban.by.as_str(),
                    ban.reason,
                    ban.until.map(Timestamp::as_millis),
                ],
            )
        }
        Change::DropBan { room, target } => conn
            .prepare_cached("DELETE FROM bans WHERE room = ?1 AND target = ?2 AND principal = ?3")?
            .execute(params![place(room.as_ref()), target.to_string(), banned(target)]),
        Change::PutBlock { principal, blocked } => conn
            .prepare_cached("INSERT OR REPLACE INTO blocks VALUES (?1, ?2)")?
            .execute(params![principal.as_bytes(), blocked.as_bytes()]),
        Change::DropBlock { principal, blocked } => conn
            .prepare_cached("DELETE FROM blocks WHERE principal = ?1 AND blocked = ?2")?
            .execute(params![principal.as_bytes(), blocked.as_bytes()]),
        Change::PutCode(code) => conn
            .prepare_cached("INSERT OR REPLACE INTO codes VALUES (?1, ?2, ?3)")?
            .execute(params![code.hash, code.reset.as_ref().map(PrincipalId::as_bytes), code.until.as_millis()]),
        Change::DropCode(hash) => conn.prepare_cached("DELETE FROM codes WHERE hash = ?1")?.execute(params![hash]),
        Change::Retain { room, keep: None } => {
            conn.prepare_cached("DELETE FROM retention WHERE room = ?1")?.execute([room.as_bytes()])
        }
        Change::Retain { room, keep: Some(keep) } => {
            let number = |n: Option<u64>| n.map(|n| i64::try_from(n).unwrap_or(i64::MAX));
            let age = keep.max_age.map(|age| i64::try_from(age.as_millis()).unwrap_or(i64::MAX));
            conn.prepare_cached("INSERT OR REPLACE INTO retention VALUES (?1, ?2, ?3, ?4)")?.execute(params![
                room.as_bytes(),
                age,
                number(keep.max_events),
                number(keep.max_bytes),
            ])
        }
        Change::Audit(entry) => {
            conn.prepare_cached(
                "INSERT INTO audit (at, by, alias, act, room, whom, text) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .execute(params![
                entry.at.as_millis(),
                entry.by.as_bytes(),
                entry.alias.as_str(),
                entry.act,
                entry.room,
                entry.whom,
                entry.text,
            ])?;
            shorten_audit(conn, conn.last_insert_rowid())
        }
        _ => Ok(0),
    }
    .map(drop)
}

/// Numbers of the audit log, back from the newest, whose entries of rooms are kept …
const AUDIT: i64 = 100_000;

/// … and those whose entries of the server's own are: what is done in rooms doesn't push them out soon.
const OWN_AUDIT: i64 = 10 * AUDIT;

/// So many entries go at once.
const AUDIT_STEP: i64 = 64;

/// Remove what the audit log has become too long for; `n` is the newest entry.
fn shorten_audit(conn: &Connection, n: i64) -> Sql<usize> {
    if n % AUDIT_STEP != 0 {
        return Ok(0);
    }
    let rooms = conn.prepare_cached("DELETE FROM audit WHERE n <= ?1 AND room <> ''")?.execute([n - AUDIT])?;
    Ok(rooms + conn.prepare_cached("DELETE FROM audit WHERE n <= ?1")?.execute([n - OWN_AUDIT])?)
}

/// A room has ended.
pub(super) fn drop_room(conn: &Connection, room: RoomId) -> Sql<()> {
    for delete in [
        "DELETE FROM settings WHERE room = ?1",
        "DELETE FROM standings WHERE room = ?1",
        "DELETE FROM bans WHERE room = ?1",
        "DELETE FROM retention WHERE room = ?1",
    ] {
        conn.prepare_cached(delete)?.execute([room.as_bytes()])?;
    }
    Ok(())
}

/// Whose alias a ban names; empty where it names nobody's.
fn banned(target: &BanTarget) -> &[u8] {
    match target {
        BanTarget::Principal(principal, _) | BanTarget::Guest { principal, .. } => principal.as_bytes(),
        BanTarget::Mask(_) | BanTarget::Address(_) => &[],
    }
}

fn place(room: Option<&RoomId>) -> &[u8] {
    room.map_or(&[], |room| room.as_bytes())
}

fn alias(row: &Row<'_>, i: usize) -> Sql<Alias> {
    Alias::parse(&row.get::<_, String>(i)?).map_err(invalid)
}

fn time(row: &Row<'_>, i: usize) -> Sql<Option<Timestamp>> {
    Ok(row.get::<_, Option<i64>>(i)?.map(Timestamp::from_millis))
}

/// Read everything of people into a snapshot.
pub(super) fn load(conn: &Connection, snapshot: &mut Snapshot) -> Sql<()> {
    let all = |sql: &str| conn.prepare(sql);
    snapshot.accounts = all("SELECT * FROM accounts")?
        .query_map((), |row| {
            Ok(AccountRecord {
                principal: PrincipalId::from_bytes(row.get(0)?),
                alias: alias(row, 1)?,
                password: row.get(2)?,
                admin: row.get(3)?,
                deleted: row.get(4)?,
                created: Timestamp::from_millis(row.get(5)?),
                seen: Timestamp::from_millis(row.get(6)?),
            })
        })?
        .collect::<Sql<_>>()?;
    snapshot.settings = all("SELECT * FROM settings")?
        .query_map((), |row| {
            let settings = RoomSettings {
                kind: RoomKind::from_u8(row.get(1)?),
                topic: row.get(2)?,
                limit: row.get(3)?,
                announcement_only: row.get(4)?,
                archived: row.get(5)?,
                history: HistoryRule::from_u8(row.get(6)?),
            };
            let one = row.get::<_, Option<[u8; 16]>>(8)?.map(PrincipalId::from_bytes);
            let other = row.get::<_, Option<[u8; 16]>>(9)?.map(PrincipalId::from_bytes);
            let (room, password) = (RoomId::from_bytes(row.get(0)?), row.get(7)?);
            Ok(SettingsRecord { room, settings, password, pair: one.zip(other) })
        })?
        .collect::<Sql<_>>()?;
    snapshot.standings = all("SELECT * FROM standings")?
        .query_map((), |row| {
            Ok(StandingRecord {
                room: RoomId::from_bytes(row.get(0)?),
                principal: PrincipalId::from_bytes(row.get(1)?),
                kind: PrincipalKind::from_u8(row.get(2)?),
                alias: alias(row, 3)?,
                member: row.get(4)?,
                invited: row.get(5)?,
                rank: Rank::from_u8(row.get(6)?),
                muted_until: time(row, 7)?,
                since: seq_at(row, 8)?,
                read: seq_at(row, 9)?,
            })
        })?
        .collect::<Sql<_>>()?;
    snapshot.bans = all("SELECT * FROM bans")?.query_map((), ban)?.collect::<Sql<_>>()?;
    snapshot.blocks = all("SELECT * FROM blocks")?
        .query_map((), |row| Ok((PrincipalId::from_bytes(row.get(0)?), PrincipalId::from_bytes(row.get(1)?))))?
        .collect::<Sql<_>>()?;
    snapshot.codes = all("SELECT * FROM codes")?
        .query_map((), |row| {
            Ok(CodeRecord {
                hash: row.get(0)?,
                reset: row.get::<_, Option<[u8; 16]>>(1)?.map(PrincipalId::from_bytes),
                until: Timestamp::from_millis(row.get(2)?),
            })
        })?
        .collect::<Sql<_>>()?;
    snapshot.retention = all("SELECT * FROM retention")?
        .query_map((), |row| {
            let number = |i| row.get::<_, Option<i64>>(i).map(|n| n.map(|n| n.unsigned_abs()));
            let max_age = number(1)?.map(Duration::from_millis);
            let keep = Retention { max_age, max_events: number(2)?, max_bytes: number(3)? };
            Ok((RoomId::from_bytes(row.get(0)?), keep))
        })?
        .collect::<Sql<_>>()?;
    Ok(())
}

fn ban(row: &Row<'_>) -> Sql<BanRecord> {
    let (room, target, principal): (Vec<u8>, String, Vec<u8>) = (row.get(0)?, row.get(1)?, row.get(2)?);
    let target = match <[u8; 16]>::try_from(principal.as_slice()).ok().map(PrincipalId::from_bytes) {
        Some(principal) if row.get(3)? => {
            let from = row.get::<_, Option<String>>(4)?.and_then(|network| network.parse().ok());
            BanTarget::Guest { principal, alias: alias(row, 1)?, from }
        }
        Some(principal) => BanTarget::Principal(principal, alias(row, 1)?),
        // Only what is one was ever written.
        None => BanTarget::pattern(&target).unwrap_or(BanTarget::Mask(target)),
    };
    Ok(BanRecord {
        room: <[u8; 16]>::try_from(room.as_slice()).ok().map(RoomId::from_bytes),
        target,
        by: alias(row, 5)?,
        reason: row.get(6)?,
        until: time(row, 7)?,
    })
}

/// Entries of the audit log, newest first.
pub(super) fn audit(conn: &Connection, before: u64, limit: usize) -> Sql<Vec<(u64, AuditRecord)>> {
    let before = i64::try_from(before).unwrap_or(i64::MAX);
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    conn.prepare_cached("SELECT * FROM audit WHERE n < ?1 ORDER BY n DESC LIMIT ?2")?
        .query_map([before, limit], |row| {
            let record = AuditRecord {
                at: Timestamp::from_millis(row.get(1)?),
                by: PrincipalId::from_bytes(row.get(2)?),
                alias: alias(row, 3)?,
                act: row.get(4)?,
                room: row.get(5)?,
                whom: row.get(6)?,
                text: row.get(7)?,
            };
            Ok((row.get::<_, i64>(0)? as u64, record))
        })?
        .collect()
}
