use std::time::Duration;

use async_std::task::block_on;
use chatnet::auth::{Attempt, Authenticator, Decision, Identity};
use chatnet::protocol::message::*;
use chatnet::protocol::{Code, PrincipalKind};
use chatnet::{Alias, PrincipalId, Registration};

use crate::steps::*;
use crate::support::*;

fn alias(alias: &str) -> Alias {
    Alias::parse(alias).unwrap()
}

#[test]
fn an_account_is_the_same_person_on_every_device_and_next_time() {
    let server = open();
    let (_, ada) = attempt(server.addr, &auth("register", "Ada", PASSWORD, None)).unwrap();
    assert_eq!((ada.kind, ada.alias.as_str()), (PrincipalKind::Account, "Ada"));
    let (mut phone, on_phone) = attempt(server.addr, &auth("password", "ada", PASSWORD, None)).unwrap();
    let (mut desk, on_desk) = attempt(server.addr, &auth("password", "ADA", PASSWORD, None)).unwrap();
    assert_eq!((on_phone.principal, on_desk.principal), (ada.principal, ada.principal));
    let room = phone.join("den").room;
    // The other device is in the room too, without asking.
    let there: Joined = desk.skip_to();
    assert_eq!((there.request, there.room, there.count), (0, room, 1), "one person, however many devices");
    let seq = say(&mut phone, room, "hello").unwrap();
    assert_eq!(hear(&mut desk), ["hello"]);
    assert!(seq.get() > 0);
}

#[test]
fn a_wrong_password_and_an_unknown_account_get_the_same_answer() {
    let server = open();
    drop(register(server.addr, "ada"));
    let wrong = attempt(server.addr, &auth("password", "ada", "incorrect horse", None)).unwrap_err();
    let unknown = attempt(server.addr, &auth("password", "eve", "incorrect horse", None)).unwrap_err();
    assert_eq!(wrong, unknown);
    assert_eq!(wrong.code, Code::AUTH_FAILED);
}

#[test]
fn a_wrong_password_and_an_unknown_account_take_the_same_time() {
    let server = open();
    drop(register(server.addr, "ada"));
    let time = |name: &str| {
        let tries = (0..4).map(|_| {
            let begun = std::time::Instant::now();
            attempt(server.addr, &auth("password", name, "incorrect horse", None)).unwrap_err();
            begun.elapsed()
        });
        tries.min().unwrap()
    };
    let (known, unknown) = (time("ada"), time("eve"));
    // Other work of the machine makes either longer; without the decoy, one would be a hundredth of the other.
    assert!(unknown > known / 4 && known > unknown / 4, "known {known:?}, unknown {unknown:?}");
}

#[test]
fn whoever_guesses_is_slowed_down_and_a_token_is_not() {
    let server = TestServer::with(|b| b.registration(Registration::Open).grace(Duration::from_secs(60)));
    let mut wire = Wire::connect(server.addr);
    wire.hello();
    wire.send(&auth("register", "ada", PASSWORD, None));
    wire.expect::<Authenticated>();
    wire.send(&Attach { token: None, cursors: vec![], more: false });
    let token = wire.expect::<Attached>().token.unwrap();
    drop(wire);
    for _ in 0..6 {
        let refused = attempt(server.addr, &auth("password", "ada", "incorrect horse", None)).unwrap_err();
        assert_eq!(refused.code, Code::AUTH_FAILED);
    }
    let refused = attempt(server.addr, &auth("password", "ada", PASSWORD, None)).unwrap_err();
    assert_eq!(refused.code, Code::TOO_MANY_LOGINS, "not even the right one");
    assert!(refused.retry_after_ms.is_some_and(|ms| ms > 0 && ms <= 1000));
    let mut back = Wire::connect(server.addr);
    back.hello();
    back.send(&Auth { mechanism: "session".into(), data: token });
    assert_eq!(back.expect::<Authenticated>().alias, "ada");
}

#[test]
fn an_account_s_alias_is_nobody_else_s_also_when_it_is_deleted() {
    let server = open();
    let mut ada = register(server.addr, "ada");
    let refused = attempt(server.addr, &guest("Ada")).unwrap_err();
    assert_eq!((refused.code, refused.suggestion.as_deref()), (Code::ALIAS_IN_USE, Some("Ada2")));
    let refused = attempt(server.addr, &auth("register", "ADA", PASSWORD, None)).unwrap_err();
    assert_eq!(refused.code, Code::ALIAS_IN_USE);
    ada.send(&DeleteAccount { request: 5, password: "incorrect horse".into() });
    assert_eq!(answer(&mut ada, 5), Err(Code::AUTH_FAILED));
    ada.send(&DeleteAccount { request: 6, password: PASSWORD.into() });
    assert_eq!(ada.skip_to::<Bye>().code, Code::SESSION_REVOKED);
    assert_eq!(attempt(server.addr, &auth("password", "ada", PASSWORD, None)).unwrap_err().code, Code::AUTH_FAILED);
    assert_eq!(attempt(server.addr, &guest("ada")).unwrap_err().code, Code::ALIAS_IN_USE);
    assert_eq!(attempt(server.addr, &auth("register", "ada", PASSWORD, None)).unwrap_err().code, Code::ALIAS_IN_USE);
}

#[test]
fn a_name_is_understood_however_a_keyboard_composes_its_letters() {
    let server = open();
    drop(register(server.addr, "\u{c5}s\u{e9}\u{323}"));
    // Letters and marks apart, the marks in another order, and no capital.
    let apart = "a\u{30a}se\u{301}\u{323}";
    let (mut asa, who) = attempt(server.addr, &auth("password", apart, PASSWORD, None)).expect("it is let in");
    let together = "\u{e5}s\u{1eb9}\u{301}";
    assert_eq!(who.alias.to_lowercase(), together);
    let mut bob = Wire::guest(server.addr, "bob");
    bob.send(&Direct { request: 12, whom: Whom::Name(apart.into()) });
    let room = joined(&mut bob).unwrap().room;
    assert_eq!(asa.skip_to::<Joined>().room, room);
    // Guesses count for the one account.
    for _ in 0..6 {
        assert!(attempt(server.addr, &auth("password", apart, "incorrect horse", None)).is_err());
    }
    let refused = attempt(server.addr, &auth("password", together, PASSWORD, None)).unwrap_err();
    assert_eq!(refused.code, Code::TOO_MANY_LOGINS);
}

#[test]
fn a_guest_keeps_its_alias_from_being_registered() {
    let server = open();
    let _ada = Wire::guest(server.addr, "ada");
    assert_eq!(attempt(server.addr, &auth("register", "Ada", PASSWORD, None)).unwrap_err().code, Code::ALIAS_IN_USE);
}

#[test]
fn accounts_are_made_as_the_server_says() {
    let closed = TestServer::start();
    let mut wire = Wire::connect(closed.addr);
    assert!(!wire.hello().mechanisms.contains(&"register".to_owned()));
    let refused = attempt(closed.addr, &auth("register", "ada", PASSWORD, None)).unwrap_err();
    assert_eq!(refused.code, Code::REGISTRATION_CLOSED);
    block_on(closed.handle.create_account(&alias("ada"), PASSWORD)).unwrap();
    login(closed.addr, "ada");

    let invite = TestServer::with(|builder| builder.registration(Registration::Invite));
    let code = block_on(invite.handle.invite_code()).unwrap();
    let refused = attempt(invite.addr, &auth("register", "ada", PASSWORD, None)).unwrap_err();
    assert_eq!(refused.code, Code::CODE_NEEDED);
    let refused = attempt(invite.addr, &auth("register", "ada", PASSWORD, Some("0123"))).unwrap_err();
    assert_eq!(refused.code, Code::REGISTRATION_CLOSED);
    let refused = attempt(invite.addr, &auth("register", "ada", "short", Some(&code))).unwrap_err();
    assert_eq!(refused.code, Code::PASSWORD_INVALID);
    attempt(invite.addr, &auth("register", "ada", PASSWORD, Some(&code))).unwrap();
    let refused = attempt(invite.addr, &auth("register", "bob", PASSWORD, Some(&code))).unwrap_err();
    assert_eq!(refused.code, Code::REGISTRATION_CLOSED, "a code is good once");
}

#[test]
fn a_server_s_password_is_asked_of_guests_and_of_those_who_register() {
    let server = TestServer::with(|b| b.join_password("sesame").registration(Registration::Open));
    let mut wire = Wire::connect(server.addr);
    let mechanisms = wire.hello().mechanisms;
    assert!(!mechanisms.contains(&"guest".to_owned()) && mechanisms.contains(&"guest-password".to_owned()));
    assert_eq!(attempt(server.addr, &guest("bob")).unwrap_err().code, Code::MECHANISM_UNSUPPORTED);
    let wrong = attempt(server.addr, &auth("guest-password", "bob", "please", None)).unwrap_err();
    assert_eq!(wrong.code, Code::AUTH_FAILED);
    let (_, bob) = attempt(server.addr, &auth("guest-password", "bob", "sesame", None)).unwrap();
    assert_eq!((bob.kind, bob.alias.as_str()), (PrincipalKind::Guest, "bob"));
    let refused = attempt(server.addr, &auth("register", "ada", PASSWORD, None)).unwrap_err();
    assert_eq!(refused.code, Code::CODE_NEEDED);
    attempt(server.addr, &auth("register", "ada", PASSWORD, Some("sesame"))).unwrap();
    login(server.addr, "ada");
}

#[test]
fn a_server_without_guests_takes_accounts_only() {
    let server = TestServer::with(|b| b.guests(false).registration(Registration::Open));
    assert_eq!(attempt(server.addr, &guest("bob")).unwrap_err().code, Code::MECHANISM_UNSUPPORTED);
    register(server.addr, "ada");
}

#[test]
fn a_new_password_ends_the_other_sessions_and_not_the_one_that_set_it() {
    let server = TestServer::with(|b| b.registration(Registration::Open).grace(Duration::from_secs(60)));
    let mut ada = register(server.addr, "ada");
    let mut phone = login(server.addr, "ada");
    ada.send(&ChangePassword { request: 5, old: "incorrect horse".into(), new: "battery staple".into() });
    assert_eq!(answer(&mut ada, 5), Err(Code::AUTH_FAILED));
    ada.send(&ChangePassword { request: 6, old: PASSWORD.into(), new: "battery staple".into() });
    assert_eq!(answer(&mut ada, 6), Ok(()));
    assert_eq!(phone.skip_to::<Bye>().code, Code::SESSION_REVOKED);
    assert_eq!(attempt(server.addr, &auth("password", "ada", PASSWORD, None)).unwrap_err().code, Code::AUTH_FAILED);
    attempt(server.addr, &auth("password", "ada", "battery staple", None)).unwrap();
}

#[test]
fn a_lost_password_is_set_anew_once_with_a_code_of_an_admin_s() {
    let server = open();
    let mut old = register(server.addr, "ada");
    drop(register(server.addr, "bob"));
    let code = block_on(server.handle.reset_code(&alias("ada"))).unwrap();
    let refused = attempt(server.addr, &auth("reset", "bob", "battery staple", Some(&code))).unwrap_err();
    assert_eq!(refused.code, Code::AUTH_FAILED, "it is another one's");
    attempt(server.addr, &auth("reset", "ada", "battery staple", Some(&code))).unwrap();
    assert_eq!(old.skip_to::<Bye>().code, Code::SESSION_REVOKED);
    attempt(server.addr, &auth("password", "ada", "battery staple", None)).unwrap();
    let refused = attempt(server.addr, &auth("reset", "ada", PASSWORD, Some(&code))).unwrap_err();
    assert_eq!(refused.code, Code::AUTH_FAILED, "it is used up");
}

#[test]
fn a_code_for_a_lost_password_ends_with_the_next_one_and_with_the_next_password() {
    let server = open();
    let mut ada = register(server.addr, "ada");
    let code = || block_on(server.handle.reset_code(&alias("ada"))).unwrap();
    let of_bob = {
        drop(register(server.addr, "bob"));
        block_on(server.handle.reset_code(&alias("bob"))).unwrap()
    };
    let reset = |name: &str, code: &str| attempt(server.addr, &auth("reset", name, PASSWORD, Some(code)));
    let (first, second) = (code(), code());
    assert_eq!(reset("ada", &first).unwrap_err().code, Code::AUTH_FAILED);
    let third = code();
    ada.send(&ChangePassword { request: 6, old: PASSWORD.into(), new: "battery staple".into() });
    assert_eq!(answer(&mut ada, 6), Ok(()));
    for code in [&second, &third] {
        assert_eq!(reset("ada", code).unwrap_err().code, Code::AUTH_FAILED);
    }
    reset("ada", &code()).expect("the newest one is good");
    reset("bob", &of_bob).expect("another one's is left alone");
}

#[test]
fn sessions_are_listed_and_ended_by_their_owner_only() {
    let server = TestServer::with(|b| b.registration(Registration::Open).grace(Duration::from_secs(60)));
    let mut ada = register(server.addr, "ada");
    let mut phone = Wire::connect(server.addr);
    phone.hello();
    phone.send(&auth("password", "ada", PASSWORD, None));
    phone.expect::<Authenticated>();
    phone.send(&Attach { token: None, cursors: vec![], more: false });
    let Attached { session, token, .. } = phone.expect();
    let mut bob = register(server.addr, "bob");
    bob.send(&EndSession { request: 4, session });
    assert_eq!(answer(&mut bob, 4), Err(Code::BAD_REQUEST));
    ada.send(&ListSessions { request: 5, after: None });
    let page: SessionsPage = ada.expect();
    assert_eq!(page.sessions.len(), 2);
    assert!(page.sessions.iter().any(|entry| entry.session == session && !entry.current && entry.connected));
    ada.send(&EndSession { request: 6, session });
    assert_eq!(answer(&mut ada, 6), Ok(()));
    assert_eq!(phone.skip_to::<Bye>().code, Code::SESSION_REVOKED);
    let mut back = Wire::connect(server.addr);
    back.hello();
    back.send(&Auth { mechanism: "session".into(), data: token.unwrap() });
    assert_eq!(back.expect::<ErrorReply>().code, Code::SESSION_EXPIRED);
}

#[test]
fn a_member_s_account_is_back_in_its_rooms_and_gets_what_it_missed() {
    let server = open();
    let mut ada = register(server.addr, "ada");
    let room = ada.join("den").room;
    let (_, joined) = change(&mut ada, EventKind::MEMBERSHIP);
    assert_eq!(joined.value, Some(1));
    ada.send(&Bye { code: Code::GOODBYE, text: String::new(), retry_after_ms: None });
    ada.rest();
    let (mut bob, there) = Wire::member(server.addr, "bob", "den");
    assert_eq!((there.room, there.count), (room, 1), "the room is still there, and ada is not");
    say(&mut bob, room, "are you there?").unwrap();
    let mut back = login(server.addr, "ada");
    let joined: Joined = back.skip_to();
    assert_eq!((joined.request, joined.room), (0, room));
    assert!(joined.latest.is_some_and(|latest| latest > joined.head));
    assert_eq!(hear(&mut back), ["are you there?"]);
    back.send(&Leave { request: 3, room });
    assert_eq!(back.skip_to::<Left>().request, 3);
    drop(back);
    let mut again = login(server.addr, "ada");
    assert!(!again.round_trip().iter().any(|got| got.is(Kind::Joined)), "who leaves is no member");
}

#[test]
fn a_flood_of_logins_from_one_address_is_told_to_come_back_and_takes_no_more_than_its_share() {
    let server = open();
    drop(register(server.addr, "ada"));
    let mut wires: Vec<Wire> = (0..60)
        .map(|i| {
            let mut wire = Wire::connect(server.addr);
            wire.hello();
            wire.send(&auth("password", &format!("nobody{i}"), "incorrect horse", None));
            wire
        })
        .collect();
    let codes: Vec<ErrorReply> = wires.iter_mut().map(|wire| wire.expect()).collect();
    assert!(codes.iter().any(|error| error.code == Code::BUSY && error.retry_after_ms.is_some()), "{codes:?}");
    assert!(codes.iter().all(|error| [Code::BUSY, Code::AUTH_FAILED].contains(&error.code)));
    login(server.addr, "ada");
}

#[test]
fn somebody_banned_from_the_server_is_out_and_stays_out() {
    let server = TestServer::with(|b| b.registration(Registration::Open).grace(Duration::from_secs(60)));
    let mut ada = register(server.addr, "ada");
    let mut spam = Wire::guest(server.addr, "spammer");
    block_on(server.handle.ban("ada", "enough", None)).unwrap();
    block_on(server.handle.ban("spam*", "", None)).unwrap();
    let bye: Bye = ada.skip_to();
    assert_eq!(bye.code, Code::BANNED);
    assert!(bye.text.contains("enough"));
    assert_eq!(spam.skip_to::<Bye>().code, Code::BANNED);
    assert_eq!(attempt(server.addr, &auth("password", "ada", PASSWORD, None)).unwrap_err().code, Code::BANNED);
    assert_eq!(attempt(server.addr, &guest("SPAMmy")).unwrap_err().code, Code::BANNED);
    block_on(server.handle.unban("ada")).unwrap();
    login(server.addr, "ada");
    block_on(server.handle.ban("127.0.0.0/8", "", None)).unwrap();
    assert_eq!(attempt(server.addr, &guest("bob")).unwrap_err().code, Code::BANNED);
}

/// Authenticated, and not attached.
fn halfway(server: &TestServer, auth: &Auth) -> Wire {
    let mut wire = Wire::connect(server.addr);
    wire.hello();
    wire.send(auth);
    wire.expect::<Authenticated>();
    wire
}

/// The code with which it ends for somebody who attaches now, or has been told already.
fn end_of(mut wire: Wire) -> Code {
    // It may be closed by now.
    let _ = std::io::Write::write_all(
        &mut wire.stream,
        &chatnet::protocol::to_frame(&Attach { token: None, cursors: vec![], more: false }),
    );
    let got = wire.next().expect("the server says why");
    if got.is(Kind::Bye) { got.read::<Bye>().code } else { got.read::<ErrorReply>().code }
}

#[test]
fn whoever_has_logged_in_and_not_begun_yet_does_not_outlast_a_new_password() {
    let server = open();
    let mut ada = register(server.addr, "ada");
    let (thief, other) = (auth("password", "ada", PASSWORD, None), register(server.addr, "bob"));
    let (early, reset) = (halfway(&server, &thief), halfway(&server, &thief));
    ada.send(&ChangePassword { request: 6, old: PASSWORD.into(), new: "battery staple".into() });
    assert_eq!(answer(&mut ada, 6), Ok(()));
    assert_eq!(end_of(early), Code::SESSION_REVOKED);
    let (between, bob) = (
        halfway(&server, &auth("password", "ada", "battery staple", None)),
        halfway(&server, &auth("password", "bob", PASSWORD, None)),
    );
    let code = block_on(server.handle.reset_code(&alias("ada"))).unwrap();
    attempt(server.addr, &auth("reset", "ada", PASSWORD, Some(&code))).expect("who resets it, is in by the new one");
    assert_eq!((end_of(between), end_of(reset)), (Code::SESSION_REVOKED, Code::SESSION_REVOKED));
    // Nobody else's.
    let mut bob = bob;
    bob.send(&Attach { token: None, cursors: vec![], more: false });
    bob.expect::<Attached>();
    drop(other);
}

#[test]
fn whoever_has_logged_in_and_not_begun_yet_is_gone_with_the_account() {
    let server = open();
    let mut ada = register(server.addr, "ada");
    let (mut bob, _) = Wire::member(server.addr, "bob", "den");
    let halfway = halfway(&server, &auth("password", "ada", PASSWORD, None));
    ada.send(&DeleteAccount { request: 6, password: PASSWORD.into() });
    assert_eq!(ada.skip_to::<Bye>().code, Code::SESSION_REVOKED);
    assert_eq!(end_of(halfway), Code::SESSION_REVOKED);
    bob.round_trip();
}

#[test]
fn whoever_has_been_let_in_and_not_begun_yet_is_out_by_a_ban() {
    let server = TestServer::with(|b| b.registration(Registration::Open).grace(Duration::from_secs(60)));
    drop(register(server.addr, "ada"));
    let ada = halfway(&server, &auth("password", "ada", PASSWORD, None));
    let spam = halfway(&server, &guest("spammer"));
    let bob = halfway(&server, &guest("bob"));
    block_on(server.handle.ban("ada", "", None)).unwrap();
    block_on(server.handle.ban("spam*", "", None)).unwrap();
    assert_eq!((end_of(ada), end_of(spam)), (Code::BANNED, Code::BANNED));
    block_on(server.handle.ban("127.0.0.0/8", "", None)).unwrap();
    assert_eq!(end_of(bob), Code::BANNED, "by its address");
}

#[test]
fn the_longest_alias_that_can_be_registered_can_be_logged_in_by() {
    let server = open();
    // 30 characters as people count them, 90 as computers do.
    let long = "x\u{301}\u{302}".repeat(30);
    drop(register(server.addr, &long));
    drop(login(server.addr, &long));
}

#[test]
fn a_code_that_is_used_for_something_else_is_not_used_up() {
    let server = TestServer::with(|builder| builder.registration(Registration::Invite));
    block_on(server.handle.create_account(&alias("ada"), PASSWORD)).unwrap();
    let code = block_on(server.handle.reset_code(&alias("ada"))).unwrap();
    let refused = attempt(server.addr, &auth("register", "bob", PASSWORD, Some(&code))).unwrap_err();
    assert_eq!(refused.code, Code::REGISTRATION_CLOSED);
    attempt(server.addr, &auth("reset", "ada", "battery staple", Some(&code))).unwrap();
    let code = block_on(server.handle.invite_code()).unwrap();
    let refused = attempt(server.addr, &auth("reset", "ada", PASSWORD, Some(&code))).unwrap_err();
    assert_eq!(refused.code, Code::AUTH_FAILED);
    attempt(server.addr, &auth("register", "bob", PASSWORD, Some(&code))).unwrap();
}

#[test]
fn another_alias_buys_whoever_guesses_no_more_guesses() {
    let server = open();
    let mut ada = register(server.addr, "ada");
    for request in 1..=6 {
        ada.send(&ChangePassword { request, old: "incorrect horse".into(), new: "battery staple".into() });
        assert_eq!(answer(&mut ada, request), Err(Code::AUTH_FAILED));
    }
    ada.send(&ChangeAlias { request: 8, alias: "eve".into() });
    ada.skip_to::<Renamed>();
    ada.send(&ChangePassword { request: 9, old: PASSWORD.into(), new: "battery staple".into() });
    assert_eq!(answer(&mut ada, 9), Err(Code::TOO_MANY_LOGINS), "not even the right one");
    let refused = attempt(server.addr, &auth("password", "eve", PASSWORD, None)).unwrap_err();
    assert_eq!(refused.code, Code::TOO_MANY_LOGINS);
}

/// Asks back once: a password in two halves.
#[derive(Debug)]
struct Halves;

impl Authenticator for Halves {
    fn mechanisms(&self) -> Vec<String> {
        vec!["halves".into()]
    }

    async fn authenticate(&self, attempt: Attempt<'_>) -> Decision {
        match (attempt.before, attempt.data) {
            ([], b"open") => Decision::Challenge(b"and?".to_vec()),
            ([first], b"sesame") if first.data == b"open" && first.challenge == b"and?" => Decision::Allow(Identity {
                principal: PrincipalId::from_bytes([7; 16]),
                alias: alias("ali"),
                admin: true,
            }),
            _ => Decision::Deny,
        }
    }
}

/// Keys as an application may have them.
#[cfg(feature = "testing")]
#[derive(Debug)]
struct Keys;

#[cfg(feature = "testing")]
impl Authenticator for Keys {
    fn mechanisms(&self) -> Vec<String> {
        vec!["key".into()]
    }

    async fn authenticate(&self, attempt: Attempt<'_>) -> Decision {
        match (attempt.mechanism, attempt.data) {
            ("key", b"ada:sesame") => Decision::Allow(Identity {
                principal: PrincipalId::from_bytes([1; 16]),
                alias: alias("ada"),
                admin: false,
            }),
            _ => Decision::Deny,
        }
    }
}

/// What is built into a server, as seen from outside it.
#[cfg(feature = "testing")]
#[derive(Debug)]
struct BuiltIn(std::net::SocketAddr);

#[cfg(feature = "testing")]
impl Authenticator for BuiltIn {
    fn mechanisms(&self) -> Vec<String> {
        vec!["password".into()]
    }

    async fn authenticate(&self, attempt: Attempt<'_>) -> Decision {
        let auth = Auth { mechanism: attempt.mechanism.into(), data: attempt.data.to_vec().into() };
        let addr = self.0;
        let answer = async_std::task::spawn_blocking(move || super::steps::attempt(addr, &auth)).await;
        match answer {
            Ok((_, who)) => {
                Decision::Allow(Identity { principal: who.principal, alias: alias(&who.alias), admin: false })
            }
            Err(refused) if refused.retry_after_ms.is_some() => Decision::Unavailable,
            Err(_) => Decision::Deny,
        }
    }
}

#[cfg(feature = "testing")]
#[test]
fn an_application_s_authenticator_and_the_built_in_one_keep_to_the_contract() {
    use chatnet::testing::authenticator_contract;

    let server = open();
    drop(register(server.addr, "ada"));
    let data = |name: &str, secret: &str| auth("password", name, secret, None).data.to_vec();
    let (good, wrong, unknown) = (data("ada", PASSWORD), data("ada", "incorrect"), data("eve", "incorrect"));
    block_on(async {
        authenticator_contract(&Keys, ("key", b"ada:sesame"), ("key", b"ada:please"), ("key", b"eve:please")).await;
        let built_in = BuiltIn(server.addr);
        authenticator_contract(&built_in, ("password", &good), ("password", &wrong), ("password", &unknown)).await;
    });
}

#[test]
fn an_application_s_own_authenticator_may_ask_back_and_is_asked_first() {
    let server = TestServer::with(|builder| builder.authenticator(Halves));
    let mut wire = Wire::connect(server.addr);
    assert!(wire.hello().mechanisms.contains(&"halves".to_owned()));
    let half = |data: &[u8]| Auth { mechanism: "halves".into(), data: data.to_vec().into() };
    wire.send(&half(b"open"));
    assert_eq!(wire.expect::<Challenge>().data.as_slice(), b"and?");
    wire.send(&half(b"pumpkin"));
    assert_eq!(wire.expect::<ErrorReply>().code, Code::AUTH_FAILED);
    wire.send(&half(b"sesame"));
    assert_eq!(wire.expect::<ErrorReply>().code, Code::AUTH_FAILED, "a new attempt begins at the beginning");
    wire.send(&half(b"open"));
    wire.expect::<Challenge>();
    wire.send(&half(b"sesame"));
    let who: Authenticated = wire.expect();
    assert_eq!((who.kind, who.principal), (PrincipalKind::Account, PrincipalId::from_bytes([7; 16])));
    let accounts = block_on(server.handle.accounts(None, 10)).unwrap();
    assert!(accounts.items.iter().any(|account| account.alias.as_str() == "ali" && account.admin));
}
