//! A server on a database ends and begins again: everything is as it was.

use std::path::PathBuf;
use std::time::Duration;

use async_std::task::block_on;
use chatnet::protocol::Code;
use chatnet::protocol::message::*;
use chatnet::store::{AccountRecord, Change, Commit, Log, SqliteOptions, SqliteStore};
use chatnet::{Alias, Registration, Timestamp};

use crate::steps::*;
use crate::support::*;

/// A database of its own, which goes with it.
struct File(PathBuf);

impl File {
    fn new() -> Self {
        Self(std::env::temp_dir().join(format!("chatnet-people-{}.db", chatnet::SessionId::random())))
    }

    /// What is on the disk now.
    fn copy(&self) -> Self {
        let copy = Self::new();
        for end in ["", "-wal"] {
            let _ = std::fs::copy(format!("{}{end}", self.0.display()), format!("{}{end}", copy.0.display()));
        }
        copy
    }

    fn serve(&self) -> TestServer {
        let store = SqliteStore::open(&self.0, SqliteOptions::default()).unwrap();
        TestServer::with(|builder| builder.registration(Registration::Open).store(store))
    }
}

impl Drop for File {
    fn drop(&mut self) {
        for end in ["", "-wal", "-shm", "-lock"] {
            let _ = std::fs::remove_file(format!("{}{end}", self.0.display()));
        }
    }
}

fn stop(server: TestServer) {
    block_on(server.handle.shutdown(Duration::from_secs(5)));
    server.join();
}

#[test]
fn accounts_roles_bans_directs_and_blocks_outlive_the_server() {
    let file = File::new();
    let server = file.serve();
    let mut ada = register(server.addr, "ada");
    let mut bob = register(server.addr, "bob");
    let mut carl = register(server.addr, "carl");
    drop(register(server.addr, "dora"));
    block_on(server.handle.set_admin(&Alias::parse("dora").unwrap(), true)).unwrap();
    let settings = RoomSettings { topic: "tea".into(), ..RoomSettings::new(RoomKind::InviteOnly) };
    let room = create(&mut ada, "cellar", settings).room;
    for name in ["bob", "carl"] {
        assert_eq!(moderate(&mut ada, on(room, EventKind::INVITE, name)), Ok(()));
    }
    join(&mut bob, "cellar").unwrap();
    change(&mut bob, EventKind::MEMBERSHIP);
    join(&mut carl, "cellar").unwrap();
    change(&mut carl, EventKind::MEMBERSHIP);
    assert_eq!(moderate(&mut ada, on(room, EventKind::MUTE, "bob")), Ok(()));
    assert_eq!(moderate(&mut ada, on(room, EventKind::BAN, "carl")), Ok(()));
    ada.send(&Direct { request: 12, whom: Whom::Name("dora".into()) });
    let direct = joined(&mut ada).unwrap().room;
    say(&mut ada, direct, "while you were away").unwrap();
    carl.send(&Block { request: 13, whom: Whom::Name("ada".into()), blocked: true });
    assert_eq!(answer(&mut carl, 13), Ok(()));
    let code = block_on(server.handle.reset_code(&Alias::parse("bob").unwrap())).unwrap();
    stop(server);

    let server = file.serve();
    let mut ada = login(server.addr, "ada");
    ada.send(&ListRooms { request: 5, after: None, limit: 50 });
    let page: RoomsPage = ada.skip_to();
    assert_eq!(page.rooms[0].settings.topic, "tea");
    assert_eq!(
        moderate(&mut ada, Moderate { text: Some("more tea".into()), ..Moderate::new(11, room, EventKind::TOPIC) }),
        Ok(())
    );
    ada.send(&Direct { request: 12, whom: Whom::Name("carl".into()) });
    assert_eq!(joined(&mut ada), Err(Code::BLOCKED));
    let mut dora = login(server.addr, "dora");
    let there: Joined = dora.skip_to();
    assert_eq!((there.room, there.name.as_str()), (direct, "@ada"));
    assert_eq!(hear(&mut dora), ["while you were away"]);
    dora.send(&ListAudit { request: 5, before: None, limit: 15 });
    let audit: AuditPage = dora.skip_to();
    assert!(audit.entries.iter().any(|entry| entry.act == "ban" && entry.whom == "carl"));
    let (mut bob, _) = attempt(server.addr, &auth("reset", "bob", "battery staple", Some(&code))).unwrap();
    assert_eq!(bob.skip_to::<Joined>().room, room);
    assert_eq!(say(&mut bob, room, "mmh"), Err(Code::MUTED));
    let mut carl = login(server.addr, "carl");
    assert_eq!(join(&mut carl, "cellar"), Err(Code::ROOM_BANNED));
    stop(server);
}

#[test]
fn of_a_deleted_account_its_alias_stays_and_what_it_said_and_nothing_else() {
    let file = File::new();
    let server = file.serve();
    let mut ada = register(server.addr, "ada");
    let (mut bob, who) = attempt(server.addr, &auth("register", "bob", PASSWORD, None)).unwrap();
    let room = join(&mut ada, "den").unwrap().room;
    change(&mut ada, EventKind::MEMBERSHIP);
    join(&mut bob, "attic").unwrap();
    change(&mut bob, EventKind::MEMBERSHIP);
    // Muted where he is no member.
    assert_eq!(moderate(&mut ada, on(room, EventKind::MUTE, "bob")), Ok(()));
    bob.send(&Block { request: 13, whom: Whom::Name("ada".into()), blocked: true });
    assert_eq!(answer(&mut bob, 13), Ok(()));
    for name in ["ada", "ada", "bob"] {
        block_on(server.handle.reset_code(&Alias::parse(name).unwrap())).unwrap();
    }
    bob.send(&DeleteAccount { request: 5, password: PASSWORD.into() });
    bob.rest();
    stop(server);
    let store = SqliteStore::open(&file.0, SqliteOptions::default()).unwrap();
    let kept = block_on(Log::load(&store)).unwrap();
    assert!(kept.standings.iter().all(|standing| standing.principal != who.principal), "{:?}", kept.standings);
    assert!(matches!(&kept.codes[..], [code] if code.reset != Some(who.principal)), "{:?}", kept.codes);
    assert!(kept.blocks.is_empty() && kept.sessions.iter().all(|session| session.principal != who.principal));
    let account = kept.accounts.iter().find(|account| account.principal == who.principal).unwrap();
    assert!(account.deleted && account.password.is_none());
    assert_eq!(account.alias.as_str(), "bob");
}

#[test]
fn an_alias_and_what_is_read_outlive_a_server_that_is_not_shut_down() {
    let file = File::new();
    let server = file.serve();
    let mut ada = register(server.addr, "ada");
    let mut bob = register(server.addr, "bob");
    let room = join(&mut ada, "den").unwrap().room;
    change(&mut ada, EventKind::MEMBERSHIP);
    join(&mut bob, "den").unwrap();
    change(&mut bob, EventKind::MEMBERSHIP);
    ada.send(&Direct { request: 12, whom: Whom::Name("bob".into()) });
    joined(&mut ada).unwrap();
    bob.send(&ChangeAlias { request: 5, alias: "bertie".into() });
    assert_eq!(bob.skip_to::<Renamed>().alias, "bertie");
    let seq = say(&mut bob, room, "hello").unwrap();
    let mut phone = login(server.addr, "ada");
    phone.skip_to::<Joined>();
    phone.skip_to::<Joined>();
    ada.send(&Progress { rooms: vec![RoomProgress { room, seq }] });
    // Her other device is told once it is on its way to the store; what is committed behind it is kept behind it.
    assert_eq!(phone.skip_to::<Read>().seq, seq);
    say(&mut bob, room, "and again").unwrap();
    let copy = file.copy();
    // As after a crash: what is on the disk at this moment.
    let server_of_copy = copy.serve();
    let mut again = login(server_of_copy.addr, "ada");
    let mut rooms = [again.skip_to::<Joined>(), again.skip_to()];
    rooms.sort_by(|a, b| a.name.cmp(&b.name));
    assert_eq!((rooms[0].name.as_str(), rooms[1].name.as_str()), ("@bertie", "den"));
    assert_eq!(rooms[1].read, Some(seq));
    let (_, who) = attempt(server_of_copy.addr, &auth("password", "bertie", PASSWORD, None)).unwrap();
    assert_eq!(who.alias, "bertie");
    stop(server_of_copy);
    stop(server);
}

#[test]
fn an_account_whose_alias_nobody_may_take_any_more_is_still_its_owner_s() {
    let file = File::new();
    let server = file.serve();
    let (_, who) = attempt(server.addr, &auth("register", "star", PASSWORD, None)).unwrap();
    stop(server);
    let store = SqliteStore::open(&file.0, SqliteOptions::default()).unwrap();
    let kept = block_on(Log::load(&store)).unwrap();
    let account = kept.accounts.into_iter().find(|account| account.principal == who.principal).unwrap();
    // As a version of before has let it be called.
    let account = AccountRecord { alias: Alias::parse("*").unwrap(), ..account };
    let (changes, now) = (vec![Change::PutAccount(account)], Timestamp::from_millis(0));
    block_on(store.append(Commit { changes, batches: vec![], now })).unwrap();
    block_on(store.close());
    drop(store);
    let server = file.serve();
    let mut star = login(server.addr, "*");
    let room = join(&mut star, "den").unwrap().room;
    say(&mut star, room, "here I am").unwrap();
    star.send(&ChangeAlias { request: 5, alias: "star".into() });
    assert_eq!(star.skip_to::<Renamed>().alias, "star", "and may take a better one");
    stop(server);
}

#[test]
fn bans_and_mutes_of_guests_outlive_the_server() {
    let file = File::new();
    let server = file.serve();
    let mut ada = register(server.addr, "ada");
    let room = join(&mut ada, "den").unwrap().room;
    change(&mut ada, EventKind::MEMBERSHIP);
    let trolls = ["troll", "loud"].map(|name| Wire::member(server.addr, name, "den").0);
    assert_eq!(moderate(&mut ada, on(room, EventKind::BAN, "troll")), Ok(()));
    assert_eq!(moderate(&mut ada, on(room, EventKind::MUTE, "loud")), Ok(()));
    block_on(server.handle.ban("loud", "", Some(Duration::ZERO))).unwrap();
    drop(trolls);
    stop(server);
    let server = file.serve();
    assert_eq!(join(&mut Wire::guest(server.addr, "troll"), "den"), Err(Code::ROOM_BANNED));
    let (mut loud, _) = Wire::member(server.addr, "loud", "den");
    assert_eq!(say(&mut loud, room, "mmh"), Err(Code::MUTED));
    // What was done to one who is gone is taken back by name.
    let mut ada = login(server.addr, "ada");
    assert_eq!(moderate(&mut ada, on(room, EventKind::UNBAN, "troll")), Ok(()));
    assert_eq!(moderate(&mut ada, on(room, EventKind::UNMUTE, "loud")), Ok(()));
    assert!(join(&mut Wire::guest(server.addr, "troll"), "den").is_ok());
    say(&mut loud, room, "thanks").unwrap();
    stop(server);
}
