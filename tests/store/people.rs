//! What is kept of people is there again.

use async_std::task::block_on;
use chatnet::protocol::message::{HistoryRule, Rank, RoomKind, RoomSettings};
use chatnet::store::{
    AccountRecord, AuditRecord, BanRecord, BanTarget, Change, CodeRecord, Commit, Log, RoomRecord, SettingsRecord,
    Snapshot, StandingRecord,
};
use chatnet::{Alias, PrincipalId, PrincipalKind, RoomId, RoomName, Seq, Timestamp};

use super::Dir;

const ADA: PrincipalId = PrincipalId::from_bytes([1; 16]);
const BOB: PrincipalId = PrincipalId::from_bytes([2; 16]);
const ROOM: RoomId = RoomId::from_bytes([3; 16]);

fn alias(alias: &str) -> Alias {
    Alias::parse(alias).unwrap()
}

fn at(ms: i64) -> Timestamp {
    Timestamp::from_millis(ms)
}

fn account() -> AccountRecord {
    AccountRecord {
        principal: ADA,
        alias: alias("Ada L"),
        password: Some("$argon2id$".into()),
        admin: true,
        deleted: false,
        created: at(1),
        seen: at(2),
    }
}

fn settings() -> SettingsRecord {
    let settings = RoomSettings {
        kind: RoomKind::Password,
        topic: "tea".into(),
        limit: Some(7),
        announcement_only: true,
        archived: true,
        history: HistoryRule::SinceJoined,
    };
    SettingsRecord { room: ROOM, settings, password: Some("$argon2id$".into()), pair: Some((ADA, BOB)) }
}

fn standing() -> StandingRecord {
    StandingRecord {
        room: ROOM,
        principal: BOB,
        kind: PrincipalKind::Account,
        alias: alias("bob"),
        member: true,
        invited: true,
        rank: Rank::Moderator,
        muted_until: Some(at(i64::MAX)),
        since: Seq::new(5),
        read: Seq::new(6),
    }
}

fn bans() -> Vec<BanRecord> {
    let ban = |room, target| BanRecord { room, target, by: alias("ada"), reason: "spam".into(), until: Some(at(9)) };
    let mut bans = vec![
        ban(Some(ROOM), BanTarget::Principal(BOB, alias("bob"))),
        // Somebody else who was called so.
        ban(None, BanTarget::Principal(BOB, alias("gina"))),
        ban(None, BanTarget::Guest { principal: ADA, alias: alias("gina"), from: "203.0.113.0/24".parse().ok() }),
        ban(None, BanTarget::pattern("spam*").unwrap()),
        ban(None, BanTarget::pattern("203.0.113.0/24").unwrap()),
    ];
    bans.sort_by_key(by_target);
    bans
}

fn by_target(ban: &BanRecord) -> String {
    format!("{:?}", ban.target)
}

fn code() -> CodeRecord {
    CodeRecord { hash: [9; 32], reset: Some(ADA), until: at(10) }
}

fn everything() -> Vec<Change> {
    let name = RoomName::parse("den").unwrap();
    let mut changes = vec![
        Change::PutRoom(RoomRecord { id: ROOM, name, permanent: false, created: at(0) }),
        Change::PutAccount(account()),
        Change::PutSettings(settings()),
        Change::PutStanding(standing()),
        Change::PutBlock { principal: ADA, blocked: BOB },
        Change::PutCode(code()),
    ];
    changes.extend(bans().into_iter().map(Change::PutBan));
    for text in ["one", "two"] {
        let (by, alias, whom, text) = (ADA, alias("ada"), "bob".into(), text.into());
        changes.push(Change::Audit(AuditRecord {
            at: at(3),
            by,
            alias,
            act: "kick".into(),
            room: "den".into(),
            whom,
            text,
        }));
    }
    changes
}

fn write(dir: &Dir, changes: Vec<Change>) -> Snapshot {
    let store = dir.open();
    block_on(store.append(Commit { changes, batches: Vec::new(), now: at(3) })).unwrap();
    block_on(store.close());
    block_on(dir.open().load()).unwrap()
}

#[test]
fn records_of_people_come_back_as_they_were() {
    let dir = Dir::new();
    let mut found = write(&dir, everything());
    found.bans.sort_by_key(by_target);
    assert_eq!(found.accounts, [account()]);
    assert_eq!(found.settings, [settings()]);
    assert_eq!(found.standings, [standing()]);
    assert_eq!(found.bans, bans());
    assert_eq!(found.blocks, [(ADA, BOB)]);
    assert_eq!(found.codes, [code()]);
    let audit = block_on(dir.open().audit(u64::MAX, 10)).unwrap();
    assert_eq!(audit.iter().map(|(n, entry)| (*n, entry.text.as_str())).collect::<Vec<_>>(), [(2, "two"), (1, "one")]);
    assert_eq!(block_on(dir.open().audit(2, 10)).unwrap().len(), 1);
}

#[test]
fn records_of_people_go_when_they_are_dropped_and_accounts_stay() {
    let dir = Dir::new();
    write(&dir, everything());
    let found = write(
        &dir,
        vec![
            Change::DropRoom(ROOM),
            Change::DropBan { room: None, target: BanTarget::pattern("spam*").unwrap() },
            Change::DropBan { room: None, target: BanTarget::Principal(BOB, alias("gina")) },
            Change::DropBlock { principal: ADA, blocked: BOB },
            Change::DropCode(code().hash),
        ],
    );
    assert_eq!((found.settings.len(), found.standings.len(), found.blocks.len(), found.codes.len()), (0, 0, 0, 0));
    assert_eq!(found.bans.iter().map(|ban| ban.target.to_string()).collect::<Vec<_>>(), ["203.0.113.0/24", "gina"]);
    assert_eq!(found.accounts.len(), 1);
}

#[test]
fn the_audit_log_keeps_the_newest_entries_of_rooms_and_the_servers_own_for_longer() {
    let dir = Dir::new();
    let store = dir.open();
    let entry = |room: &str, text: &str| {
        let (by, alias, act) = (PrincipalId::from_bytes([1; 16]), alias("ada"), "ban".to_owned());
        let (room, whom, text) = (room.to_owned(), "eve".to_owned(), text.to_owned());
        Change::Audit(AuditRecord { at: Timestamp::from_millis(1), by, alias, act, room, whom, text })
    };
    let keep = |changes| drop(block_on(store.append(Commit { changes, ..Commit::default() })).unwrap());
    keep(vec![entry("", "the server's own")]);
    for _ in 0..12 {
        keep((0..10_000).map(|_| entry("den", "in a room")).collect());
    }
    let audit = block_on(store.audit(u64::MAX >> 1, 200_000)).unwrap();
    assert!((100_000..100_100).contains(&audit.len()), "{}", audit.len());
    assert_eq!((audit[0].0, audit.last().unwrap().0), (120_001, 1));
    assert_eq!(audit.last().unwrap().1.text, "the server's own");
}
