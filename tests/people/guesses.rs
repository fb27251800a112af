//! Whoever guesses waits; nobody else does, wherever they come from.

use std::time::Duration;

use async_std::task::block_on;
use chatnet::auth::{Attempt, Authenticator, Decision};
use chatnet::protocol::Code;
use chatnet::protocol::message::*;
use chatnet::{Limits, Rate, Registration, ServerBuilder};

use crate::steps::*;
use crate::support::*;

const WRONG: &str = "incorrect horse";

/// Knows nobody, at once: guesses at it take no time.
#[derive(Debug)]
struct Nobody;

impl Authenticator for Nobody {
    fn mechanisms(&self) -> Vec<String> {
        vec!["ticket".into()]
    }

    async fn authenticate(&self, _attempt: Attempt<'_>) -> Decision {
        Decision::Deny
    }
}

/// A server that may be guessed at, and takes new accounts.
fn guessed(configure: impl FnOnce(ServerBuilder) -> ServerBuilder) -> TestServer {
    TestServer::with(|b| configure(b.registration(Registration::Open).authenticator(Nobody)))
}

/// As [`guessed`], with so many wrong secrets from an address at once, and hardly any after that.
fn few(count: u64, set: impl FnOnce(&mut Limits)) -> TestServer {
    let mut limits = Limits::default();
    limits.logins = Rate::per_minute(1, count);
    set(&mut limits);
    guessed(|builder| builder.limits(limits).grace(Duration::from_secs(60)))
}

fn make(server: &TestServer, name: &str) {
    block_on(server.handle.create_account(&chatnet::Alias::parse(name).unwrap(), PASSWORD)).unwrap();
}

/// What a guess is told.
fn guess(server: &TestServer, mechanism: &str, name: &str) -> Code {
    attempt(server.addr, &auth(mechanism, name, WRONG, Some("0123"))).unwrap_err().code
}

#[test]
fn guesses_at_many_accounts_lock_out_nobody_else_who_comes_from_the_same_address() {
    let server = guessed(|builder| builder);
    make(&server, "ada");
    for round in 0..5 {
        for name in 0..44 {
            assert_eq!(guess(&server, "ticket", &format!("somebody{name}")), Code::AUTH_FAILED, "round {round}");
        }
    }
    let mut ada = login(server.addr, "ada");
    register(server.addr, "bob");
    ada.send(&ChangePassword { request: 6, old: PASSWORD.into(), new: "battery staple".into() });
    assert_eq!(answer(&mut ada, 6), Ok(()));
}

#[test]
fn beyond_an_address_s_limit_who_was_there_before_is_let_in_and_so_is_who_comes_from_elsewhere() {
    let server = few(8, |_| {});
    make(&server, "ada");
    make(&server, "bob");
    let mut ada = login(server.addr, "ada");
    // Right ones cost nothing.
    (0..10).for_each(|_| drop(login(server.addr, "ada")));
    for _ in 0..6 {
        assert_eq!(guess(&server, "ticket", "eve"), Code::AUTH_FAILED);
    }
    // What isn't looked at costs nothing either.
    (0..10).for_each(|_| assert_eq!(guess(&server, "ticket", "eve"), Code::TOO_MANY_LOGINS));
    (0..2).for_each(|_| assert_eq!(guess(&server, "ticket", "mallory"), Code::AUTH_FAILED));
    for (mechanism, name) in [("ticket", "mallory"), ("password", "bob"), ("reset", "bob"), ("register", "carol")] {
        let refused = attempt(server.addr, &auth(mechanism, name, PASSWORD, None)).unwrap_err();
        assert_eq!(refused.code, Code::TOO_MANY_LOGINS, "{mechanism}");
        assert!(refused.retry_after_ms.is_some_and(|ms| ms > 0 && ms <= 60_000), "{refused:?}");
    }
    login(server.addr, "ada");
    ada.send(&ChangePassword { request: 6, old: WRONG.into(), new: PASSWORD.into() });
    assert_eq!(answer(&mut ada, 6), Err(Code::AUTH_FAILED), "it is looked at");
    #[cfg(target_os = "linux")]
    {
        let mut elsewhere = Wire::over(connect_from(server.addr, "127.0.0.9").unwrap());
        elsewhere.hello();
        elsewhere.send(&auth("password", "bob", PASSWORD, None));
        elsewhere.expect::<Authenticated>();
    }
}

#[test]
fn whoever_registered_somewhere_or_came_back_there_with_a_token_is_known_there() {
    let server = few(1, |_| {});
    drop(register(server.addr, "ada"));
    make(&server, "bob");
    assert_eq!(guess(&server, "ticket", "eve"), Code::AUTH_FAILED);
    assert_eq!(guess(&server, "ticket", "eve"), Code::TOO_MANY_LOGINS);
    login(server.addr, "ada");
    let refused = attempt(server.addr, &auth("password", "bob", PASSWORD, None)).unwrap_err();
    assert_eq!(refused.code, Code::TOO_MANY_LOGINS);
    #[cfg(target_os = "linux")]
    {
        let mut elsewhere = Wire::over(connect_from(server.addr, "127.0.0.9").unwrap());
        elsewhere.hello();
        elsewhere.send(&auth("password", "bob", PASSWORD, None));
        elsewhere.expect::<Authenticated>();
        elsewhere.send(&Attach { token: None, cursors: vec![], more: false });
        let token = elsewhere.expect::<Attached>().token.unwrap();
        let mut here = Wire::connect(server.addr);
        here.hello();
        here.send(&Auth { mechanism: "session".into(), data: token });
        here.expect::<Authenticated>();
        login(server.addr, "bob");
    }
}

#[test]
fn an_exempt_address_has_no_limit_and_its_guesses_at_one_account_wait_all_the_same() {
    let server = few(1, |limits| limits.exempt.push("127.0.0.0/8".parse().unwrap()));
    make(&server, "ada");
    for name in 0..20 {
        assert_eq!(guess(&server, "ticket", &format!("somebody{name}")), Code::AUTH_FAILED);
    }
    (0..6).for_each(|_| assert_eq!(guess(&server, "ticket", "eve"), Code::AUTH_FAILED));
    assert_eq!(guess(&server, "ticket", "eve"), Code::TOO_MANY_LOGINS);
    login(server.addr, "ada");
}

#[test]
fn without_limits_nobody_waits() {
    let server = guessed(|builder| builder.limits(Limits::NONE));
    (0..30).for_each(|_| assert_eq!(guess(&server, "ticket", "eve"), Code::AUTH_FAILED));
}

#[test]
fn wrong_codes_and_wrong_passwords_of_the_server_hold_up_nobody_who_has_the_right_ones() {
    let server = TestServer::with(|b| b.registration(Registration::Invite));
    let code = block_on(server.handle.invite_code()).unwrap();
    (0..20).for_each(|_| assert_eq!(guess(&server, "register", "eve"), Code::REGISTRATION_CLOSED));
    attempt(server.addr, &auth("register", "ada", PASSWORD, Some(&code))).unwrap();

    let server = TestServer::with(|b| b.join_password("sesame").registration(Registration::Open));
    (0..20).for_each(|_| assert_eq!(guess(&server, "guest-password", "eve"), Code::AUTH_FAILED));
    attempt(server.addr, &auth("guest-password", "bob", "sesame", None)).unwrap();
}

#[test]
fn how_often_somebody_may_rename_themselves_is_a_limit_like_any_other() {
    let mut limits = Limits::default();
    limits.renames = Rate::per_minute(1, 1);
    let server = TestServer::with(|builder| builder.limits(limits));
    let mut ada = Wire::guest(server.addr, "ada");
    ada.send(&ChangeAlias { request: 1, alias: "eve".into() });
    ada.skip_to::<Renamed>();
    ada.send(&ChangeAlias { request: 2, alias: "ada".into() });
    assert_eq!(answer(&mut ada, 2), Err(Code::RATE_LIMITED));
}
