//! Somebody is called otherwise: everywhere, for good, and only as the rules for names allow.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_std::task::block_on;
use chatnet::auth::{Attempt, Authenticator, Decision, Identity};
use chatnet::protocol::Code;
use chatnet::protocol::message::*;
use chatnet::{
    Admission, Alias, Client, Event, EventKind, Handler, Interests, Limits, Peer, Registration, RequestError,
};

use crate::steps::*;
use crate::support::*;

/// Ask for another alias; what it became, or why not.
fn rename(wire: &mut Wire, alias: &str) -> Result<String, ErrorReply> {
    wire.send(&ChangeAlias { request: 77, alias: alias.into() });
    loop {
        let got = wire.next().expect("the server answers");
        if got.is(Kind::Renamed) {
            let renamed: Renamed = got.read();
            if renamed.request == 77 {
                return Ok(renamed.alias);
            }
        }
        if got.is(Kind::ErrorReply) {
            return Err(got.read());
        }
    }
}

fn code(result: Result<String, ErrorReply>) -> Option<Code> {
    result.err().map(|e| e.code)
}

/// The aliases of a room's members.
fn members(wire: &mut Wire, room: chatnet::RoomId) -> Vec<String> {
    wire.send(&Members { request: 5, room, after: None, limit: 100 });
    let page: MembersPage = wire.skip_to();
    let mut aliases: Vec<_> = page.members.into_iter().map(|person| person.alias).collect();
    aliases.sort();
    aliases
}

#[test]
fn a_guest_is_called_otherwise_in_every_room_from_then_on() {
    let server = TestServer::start();
    let (mut ada, joined) = Wire::member(server.addr, "ada", "den");
    let (mut bob, _) = Wire::member(server.addr, "bob", "den");
    let elsewhere = ada.join("attic").room;
    say(&mut ada, joined.room, "before").unwrap();
    assert_eq!(hear(&mut bob), ["before"]);
    assert_eq!(rename(&mut ada, "Ada L"), Ok("Ada L".into()));
    let (deliver, change) = change(&mut bob, EventKind::ALIAS);
    assert_eq!(
        (deliver.alias.as_str(), change.text.as_deref()),
        ("ada", Some("Ada L")),
        "who, under the name they know"
    );
    say(&mut ada, joined.room, "after").unwrap();
    let after: Deliver = bob.skip_to();
    assert_eq!((after.alias.as_str(), after.principal), ("Ada L", deliver.principal));
    assert_eq!(members(&mut bob, joined.room), ["Ada L", "bob"]);
    // In the other room it is an event too.
    ada.send(&History { request: 6, room: elsewhere, place: Place::Before(chatnet::Seq::new(9)), limit: 10 });
    let there: Deliver = loop {
        let got: Deliver = ada.skip_to();
        if got.source == Some(2) {
            break got;
        }
    };
    assert_eq!(there.events[0].kind, EventKind::ALIAS);
    // The name of before is free, and the new one is not.
    drop(Wire::guest(server.addr, "ada"));
    let mut wire = Wire::connect(server.addr);
    wire.hello();
    wire.send(&guest("ADA l"));
    assert_eq!(wire.expect::<ErrorReply>().code, Code::ALIAS_IN_USE);
}

#[test]
fn an_alias_that_breaks_the_rules_or_is_somebody_s_is_refused_and_nothing_has_changed() {
    let server = open();
    drop(register(server.addr, "carl"));
    let _bob = Wire::guest(server.addr, "bob");
    let (mut ada, joined) = Wire::member(server.addr, "ada", "den");
    for (wish, expected) in [
        ("admin", Code::ALIAS_INVALID),
        ("a\u{202e}b", Code::ALIAS_INVALID),
        ("", Code::ALIAS_INVALID),
        ("bob", Code::ALIAS_IN_USE),
        ("b\u{43e}b", Code::ALIAS_IN_USE),
        ("CARL", Code::ALIAS_IN_USE),
    ] {
        assert_eq!(code(rename(&mut ada, wish)), Some(expected), "{wish:?}");
    }
    assert_eq!(members(&mut ada, joined.room), ["ada"]);
    let suggested = rename(&mut ada, "bob").unwrap_err();
    assert_eq!(suggested.suggestion.as_deref(), Some("bob2"));
    assert_eq!(rename(&mut ada, "eve"), Ok("eve".into()));
    let limited = rename(&mut ada, "eva").unwrap_err();
    assert_eq!(limited.code, Code::RATE_LIMITED, "five at once are enough");
    assert!(limited.retry_after_ms.is_some_and(|ms| ms > 1_000));
}

#[test]
fn an_alias_is_brought_into_its_normal_form_and_may_differ_in_case_only() {
    let server = TestServer::start();
    let mut ada = Wire::guest(server.addr, "zoe");
    assert_eq!(rename(&mut ada, "zoe\u{308}"), Ok("zo\u{eb}".into()));
    assert_eq!(rename(&mut ada, "Zo\u{eb}"), Ok("Zo\u{eb}".into()));
    assert_eq!(rename(&mut ada, "Zo\u{eb}"), Ok("Zo\u{eb}".into()), "as before is fine");
}

#[test]
fn an_account_is_called_otherwise_on_all_its_devices_and_logs_in_so() {
    let server = open();
    let mut desk = register(server.addr, "ada");
    let mut phone = login(server.addr, "ada");
    let room = join(&mut desk, "den").unwrap().room;
    phone.skip_to::<Joined>();
    assert_eq!(rename(&mut desk, "lovelace"), Ok("lovelace".into()));
    let told: Renamed = phone.skip_to();
    assert_eq!((told.request, told.alias.as_str()), (0, "lovelace"));
    say(&mut phone, room, "hello").unwrap();
    let heard = loop {
        let deliver: Deliver = desk.skip_to();
        if deliver.events[0].kind == EventKind::TEXT {
            break deliver;
        }
    };
    assert_eq!(heard.alias, "lovelace");
    let (_, who) = attempt(server.addr, &auth("password", "lovelace", PASSWORD, None)).unwrap();
    assert_eq!(who.alias, "lovelace");
    assert!(attempt(server.addr, &auth("password", "ada", PASSWORD, None)).is_err(), "nobody is called so now");
}

#[test]
fn who_is_muted_or_would_be_banned_by_the_new_name_keeps_theirs() {
    let server = open();
    let mut ada = register(server.addr, "ada");
    let room = join(&mut ada, "den").unwrap().room;
    change(&mut ada, EventKind::MEMBERSHIP);
    let (mut bob, _) = Wire::member(server.addr, "bob", "den");
    assert_eq!(moderate(&mut ada, on(room, EventKind::MUTE, "bob")), Ok(()));
    assert_eq!(code(rename(&mut bob, "shout")), Some(Code::MUTED), "an alias is something said");
    assert_eq!(moderate(&mut ada, on(room, EventKind::UNMUTE, "bob")), Ok(()));
    assert_eq!(moderate(&mut ada, on(room, EventKind::BAN, "spam*")), Ok(()));
    assert_eq!(code(rename(&mut bob, "spammer")), Some(Code::ROOM_BANNED));
    block_on(server.handle.ban("troll*", "", None)).unwrap();
    assert_eq!(code(rename(&mut bob, "trolley")), Some(Code::BANNED));
    assert_eq!(rename(&mut bob, "bobby"), Ok("bobby".into()));
    // Where one is blocked, nothing is told.
    ada.send(&Direct { request: 12, whom: Whom::Name("bobby".into()) });
    let direct = joined(&mut ada).unwrap().room;
    ada.send(&Block { request: 13, whom: Whom::Name("bobby".into()), blocked: true });
    assert_eq!(answer(&mut ada, 13), Ok(()));
    assert_eq!(rename(&mut bob, "bertie"), Ok("bertie".into()));
    loop {
        let (told, change) = change(&mut ada, EventKind::ALIAS);
        assert_eq!(told.room, room);
        if change.text.as_deref() == Some("bertie") {
            break;
        }
    }
    ada.send(&History { request: 6, room: direct, place: Place::Before(chatnet::Seq::new(9)), limit: 10 });
    assert_eq!(ada.expect::<HistoryEnd>().request, 6, "nothing is in the direct");
}

/// Says no to some, and remembers who asked.
#[derive(Debug, Clone, Default)]
struct Strict(Arc<Mutex<Vec<String>>>);

impl Handler for Strict {
    fn interests(&self) -> Interests {
        Interests::none().rename()
    }

    async fn rename(&self, who: Peer<'_>, alias: &Alias) -> Admission {
        self.0.lock().unwrap().push(format!("{} {alias}", who.alias));
        if alias.as_str() == "bad" { Admission::Refuse("not that one".into()) } else { Admission::Allow }
    }
}

#[test]
fn the_application_may_refuse_an_alias() {
    let asked = Strict::default();
    let server = TestServer::with(|builder| builder.handler(asked.clone()));
    let mut ada = Wire::guest(server.addr, "ada");
    let refused = rename(&mut ada, "bad").unwrap_err();
    assert_eq!((refused.code, refused.text.as_str()), (Code::ALIAS_REFUSED, "not that one"));
    assert_eq!(rename(&mut ada, "good"), Ok("good".into()));
    assert_eq!(*asked.0.lock().unwrap(), ["ada bad", "ada good"]);
}

/// Lets everybody be called as they like, but those who want to be called `slow…` only once they are let go.
#[derive(Debug, Clone)]
struct Slow {
    asked: async_std::channel::Sender<()>,
    go: async_std::channel::Receiver<()>,
}

impl Handler for Slow {
    fn interests(&self) -> Interests {
        Interests::none().rename()
    }

    async fn rename(&self, _: Peer<'_>, alias: &Alias) -> Admission {
        if alias.as_str().starts_with("slow") {
            self.asked.send(()).await.unwrap();
            self.go.recv().await.unwrap();
        }
        Admission::Allow
    }
}

/// A server whose application takes its time; it says when it is asked, and answers when it is told to.
fn slow() -> (TestServer, async_std::channel::Receiver<()>, async_std::channel::Sender<()>) {
    let ((asked, is_asked), (let_go, go)) = (async_std::channel::unbounded(), async_std::channel::unbounded());
    let handler = Slow { asked, go };
    (TestServer::with(|builder| builder.registration(Registration::Open).handler(handler)), is_asked, let_go)
}

#[test]
fn two_devices_that_rename_one_account_at_once_leave_no_alias_behind_and_take_none_away() {
    let (server, is_asked, let_go) = slow();
    let (mut phone, mut desk) = (register(server.addr, "ada"), login(server.addr, "ada"));
    phone.send(&ChangeAlias { request: 77, alias: "slow ada".into() });
    block_on(is_asked.recv()).unwrap();
    assert_eq!(rename(&mut desk, "quick ada"), Ok("quick ada".into()));
    // Which is free by now.
    drop(register(server.addr, "ada"));
    block_on(let_go.send(())).unwrap();
    while phone.skip_to::<Renamed>().request != 77 {}
    drop(login(server.addr, "slow ada"));
    drop(login(server.addr, "ada"));
    assert_eq!(attempt(server.addr, &guest("ada")).unwrap_err().code, Code::ALIAS_IN_USE, "it is another one's");
    drop(Wire::guest(server.addr, "quick ada"));
}

#[test]
fn a_ban_that_comes_while_the_application_thinks_about_an_alias_holds_for_it() {
    let (server, is_asked, let_go) = slow();
    let mut ada = register(server.addr, "ada");
    let room = join(&mut ada, "den").unwrap().room;
    change(&mut ada, EventKind::MEMBERSHIP);
    let (mut bob, _) = Wire::member(server.addr, "bob", "den");
    bob.send(&ChangeAlias { request: 77, alias: "slow bob".into() });
    block_on(is_asked.recv()).unwrap();
    assert_eq!(moderate(&mut ada, on(room, EventKind::BAN, "slow*")), Ok(()));
    block_on(let_go.send(())).unwrap();
    let left: Left = bob.skip_to();
    assert_eq!((left.room, left.code), (room, Code::ROOM_BANNED));
    let mut carl = Wire::guest(server.addr, "carl");
    carl.send(&ChangeAlias { request: 77, alias: "slow carl".into() });
    block_on(is_asked.recv()).unwrap();
    block_on(server.handle.ban("slow c*", "", None)).unwrap();
    block_on(let_go.send(())).unwrap();
    assert_eq!(carl.skip_to::<Bye>().code, Code::BANNED);
}

#[test]
fn an_account_that_is_deleted_while_it_is_renamed_is_gone_and_nothing_is_left_of_the_new_alias() {
    let (server, is_asked, let_go) = slow();
    let (mut phone, mut desk) = (register(server.addr, "ada"), login(server.addr, "ada"));
    phone.send(&ChangeAlias { request: 77, alias: "slow ada".into() });
    block_on(is_asked.recv()).unwrap();
    desk.send(&DeleteAccount { request: 6, password: PASSWORD.into() });
    assert_eq!(desk.skip_to::<Bye>().code, Code::SESSION_REVOKED);
    block_on(let_go.send(())).unwrap();
    phone.rest();
    assert_eq!(attempt(server.addr, &guest("ada")).unwrap_err().code, Code::ALIAS_IN_USE);
    drop(register(server.addr, "slow ada"));
}

#[test]
fn two_who_want_the_same_alias_at_once_do_not_both_get_it() {
    let server = TestServer::with(|builder| builder.limits(Limits::NONE));
    for round in 0..20 {
        let wish = format!("wish{round}");
        let addr = server.addr;
        let ask = |name: String, wish: String| {
            std::thread::spawn(move || {
                let mut wire = Wire::guest(addr, &name);
                (rename(&mut wire, &wish).is_ok(), wire)
            })
        };
        let (one, other) = (ask(format!("a{round}"), wish.clone()), ask(format!("b{round}"), wish.to_uppercase()));
        let (one, other) = (one.join().unwrap(), other.join().unwrap());
        assert!(one.0 != other.0, "round {round}: {} {}", one.0, other.0);
    }
}

#[test]
fn a_guest_who_comes_back_is_called_as_when_it_was_cut() {
    let server = TestServer::with(|builder| builder.grace(Duration::from_secs(60)));
    let mut ada = Wire::connect(server.addr);
    ada.hello();
    ada.send(&guest("ada"));
    ada.expect::<Authenticated>();
    ada.send(&Attach { token: None, cursors: vec![], more: false });
    let token = ada.expect::<Attached>().token.unwrap();
    assert_eq!(rename(&mut ada, "eve"), Ok("eve".into()));
    drop(ada);
    let mut back = Wire::connect(server.addr);
    back.hello();
    back.send(&Auth { mechanism: "session".into(), data: token });
    assert_eq!(back.expect::<Authenticated>().alias, "eve");
}

#[test]
fn a_direct_goes_on_over_lost_sessions_though_the_other_one_is_called_otherwise_by_now() {
    // Sessions end with their connections here: the account logs in anew.
    let server = open();
    let proxy = chatnet::testing::Proxy::start(server.addr, 7, 3000).unwrap();
    block_on(async {
        let rules =
            chatnet::Reconnect::default().first_delay(Duration::from_millis(1)).max_delay(Duration::from_millis(20));
        let (bob, mut of_bob) = Client::builder().register("bob", PASSWORD, None).connect(server.addr).await.unwrap();
        Client::builder().register("ada", PASSWORD, None).connect(server.addr).await.unwrap().0.close().await;
        let builder = Client::builder().account("ada", PASSWORD).reconnect(rules);
        let (ada, _of_ada) = loop {
            if let Ok(connected) = builder.clone().connect(proxy.addr()).await {
                break connected;
            }
        };
        let direct = ada.direct(bob.whois("bob").await.unwrap().principal).await.unwrap();
        let id = direct.id();
        bob.change_alias("bertie").await.unwrap();
        let before = proxy.cuts();
        while proxy.cuts() < before + 5 {
            drop(direct.send("a line").await.expect("she is still in it"));
            assert!(async_std::future::timeout(PATIENCE, ada.flush()).await.unwrap());
        }
        drop(direct.send("the last").await.expect("she is still in it"));
        assert!(async_std::future::timeout(PATIENCE, ada.flush()).await.unwrap());
        crate::clients::next(&mut of_bob, |event| crate::clients::text(event).filter(|text| text == "the last")).await;
        assert_eq!(direct.id(), id);
    });
}

#[test]
fn an_operator_calls_an_account_otherwise() {
    let server = open();
    let mut ada = register(server.addr, "ada");
    let of = |alias: &str| Alias::parse(alias).unwrap();
    block_on(server.handle.rename_account(&of("ada"), &of("lovelace"))).unwrap();
    assert_eq!(ada.skip_to::<Renamed>(), Renamed { request: 0, alias: "lovelace".into() });
    drop(register(server.addr, "bob"));
    assert!(block_on(server.handle.rename_account(&of("lovelace"), &of("BOB"))).is_err());
    assert!(block_on(server.handle.rename_account(&of("ada"), &of("eve"))).is_err());
    let audit = block_on(server.handle.audit(None, 1)).unwrap();
    assert_eq!(
        (audit[0].1.act.as_str(), audit[0].1.whom.as_str(), audit[0].1.text.as_str()),
        ("rename", "ada", "lovelace")
    );
}

/// Knows one person, who is called differently from time to time.
#[derive(Debug, Clone)]
struct Directory(Arc<Mutex<String>>);

impl Authenticator for Directory {
    fn mechanisms(&self) -> Vec<String> {
        vec!["badge".into()]
    }

    async fn authenticate(&self, _: Attempt<'_>) -> Decision {
        let alias = Alias::parse(&self.0.lock().unwrap()).unwrap();
        Decision::Allow(Identity { principal: chatnet::PrincipalId::from_bytes([7; 16]), alias, admin: false })
    }
}

#[test]
fn whom_the_application_calls_otherwise_is_called_so_on_the_devices_that_are_there_already() {
    let name = Arc::new(Mutex::new("ada".to_owned()));
    let server = TestServer::with(|builder| builder.authenticator(Directory(Arc::clone(&name))));
    let badge = Auth { mechanism: "badge".into(), data: vec![].into() };
    let (mut desk, _) = attempt(server.addr, &badge).unwrap();
    let room = join(&mut desk, "den").unwrap().room;
    let (mut bob, _) = Wire::member(server.addr, "bob", "den");
    assert_eq!(code(rename(&mut desk, "eve")), Some(Code::NOT_PERMITTED), "that is the application's");
    *name.lock().unwrap() = "lovelace".into();
    let (_phone, who) = attempt(server.addr, &badge).unwrap();
    assert_eq!(who.alias, "lovelace");
    assert_eq!(desk.skip_to::<Renamed>().alias, "lovelace");
    assert_eq!(change(&mut bob, EventKind::ALIAS).1.text.as_deref(), Some("lovelace"));
    assert_eq!(members(&mut bob, room), ["bob", "lovelace"]);
    // The alias of before is somebody else's now.
    drop(Wire::guest(server.addr, "ada"));
}

#[test]
fn the_library_s_client_tells_its_own_and_others_aliases() {
    let server = TestServer::with(|builder| builder.registration(Registration::Open));
    block_on(async {
        let (ada, mut of_ada) = Client::builder().alias("ada").room("den").connect(server.addr).await.unwrap();
        let (_bob, mut of_bob) = Client::builder().alias("bob").room("den").connect(server.addr).await.unwrap();
        assert_eq!(ada.change_alias("Ada L").await.unwrap().as_str(), "Ada L");
        assert_eq!(ada.alias().as_str(), "Ada L");
        let own = crate::clients::next(&mut of_ada, |event| match event {
            Event::Renamed { alias } => Some(alias),
            _ => None,
        });
        assert_eq!(own.await.as_str(), "Ada L");
        let told = crate::clients::next(&mut of_bob, |event| match event {
            Event::RoomChanged(changed) if changed.kind == EventKind::ALIAS => Some(changed),
            _ => None,
        });
        let told = told.await;
        assert_eq!((told.by.alias.as_str(), told.change.text.as_deref()), ("ada", Some("Ada L")));
        let refused = ada.change_alias("bob").await.unwrap_err();
        assert!(
            matches!(&refused, RequestError::Refused { code: Code::ALIAS_IN_USE, text, .. } if text.contains("bob2")),
            "{refused}"
        );
    });
}

#[test]
fn of_names_that_look_alike_in_one_case_only_one_is_taken() {
    let server = open();
    drop(register(server.addr, "victor"));
    let _brown = Wire::guest(server.addr, "brown");
    for alias in ["νictor", "bгown", "Вгown", "VICT0R", "adm𝗂n", "ad min"] {
        let guest = Auth { mechanism: "guest".into(), data: alias.as_bytes().to_vec().into() };
        assert!(attempt(server.addr, &guest).is_err(), "{alias}");
    }
}

#[test]
fn an_alias_with_a_space_is_also_found_by_what_commands_can_say() {
    let server = open();
    let (mut ada, _bob) = (register(server.addr, "Ada L"), Wire::guest(server.addr, "Bob B"));
    for alias in ["ada_l", "BOB_B"] {
        let guest = Auth { mechanism: "guest".into(), data: alias.as_bytes().to_vec().into() };
        assert!(attempt(server.addr, &guest).is_err(), "{alias}");
    }
    for (name, alias) in [("Ada_L", "Ada L"), ("ada l", "Ada L"), ("bob_b", "Bob B")] {
        ada.send(&Whois { request: 4, whom: Whom::Name(name.into()) });
        assert_eq!(ada.skip_to::<Profile>().person.alias, alias);
    }
}
