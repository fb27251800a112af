//! A server on a database ends and begins again: everything is as it was.

use std::path::PathBuf;
use std::time::Duration;

use async_std::task::block_on;
use chatnet::protocol::Code;
use chatnet::protocol::message::*;
use chatnet::store::{SqliteOptions, SqliteStore};
use chatnet::{Alias, Registration};

use crate::steps::*;
use crate::support::*;

/// A database of its own, which goes with it.
struct File(PathBuf);

impl File {
    fn new() -> Self {
        Self(std::env::temp_dir().join(format!("chatnet-people-{}.db", chatnet::SessionId::random())))
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
