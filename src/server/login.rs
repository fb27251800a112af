//! How people show who they are: accounts' passwords, codes, the application's own ways.

use std::sync::Arc;

use super::attach::{self, refuse, refuse_for};
use super::conn::{Close, Conn, Link};
use super::guard;
use super::guess::{self, Guess, guesses, short};
use super::membership::Refusal;
use super::people;
use super::reader::Reader;
use super::session::{self, Session};
use super::shared::{Clock, Shared};
use crate::auth::{Attempt, Decision, Exchange, Identity, password};
use crate::id::{Alias, PrincipalId, SessionId};
use crate::protocol::Code;
use crate::protocol::message::{Challenge, Credentials};
use crate::store::{AccountRecord, Change, CodeRecord};

/// After this time a client may try again that found too many waiting, in milliseconds.
const BUSY_MS: u32 = 1_000;

/// Challenges in one attempt, at most.
const MAX_CHALLENGES: usize = 7;

/// Who may make an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Registration {
    /// Everybody; on a server with a password, who knows it.
    Open,
    /// Who has a code by [`ServerHandle::invite_code`](crate::ServerHandle::invite_code).
    Invite,
    /// Nobody; accounts are made by [`ServerHandle::create_account`](crate::ServerHandle::create_account), or by the
    /// application's [`Authenticator`](crate::auth::Authenticator).
    #[default]
    Closed,
}

/// Whether a secret can be sent over this connection without somebody reading along.
fn is_private(shared: &Shared, conn: &Conn) -> bool {
    let encrypted = match &conn.link {
        // The application knows what it does.
        Link::Stream(_) => true,
        Link::Socket(socket) => socket.is_encrypted(),
    };
    encrypted
        || shared.config.plaintext_passwords
        || conn.address.is_some_and(|address| address.ip().to_canonical().is_loopback())
}

/// Refuse a secret that somebody could have read along.
pub(super) fn private(shared: &Shared, conn: &Conn) -> Result<(), Refusal> {
    let text = "this connection isn't encrypted: no secret may be sent over it; connect with TLS";
    if is_private(shared, conn) { Ok(()) } else { Err(Refusal::new(Code::INSECURE, text)) }
}

/// The ways to authenticate on this connection, best first.
pub(super) fn mechanisms(shared: &Shared, conn: &Conn) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    let config = &shared.config;
    if config.guests && config.join_password.is_none() {
        names.push("guest".into());
    }
    names.push("session".into());
    if is_private(shared, conn) {
        names.extend(shared.authenticator.iter().flat_map(|authenticator| authenticator.mechanisms()));
        names.extend(["password".into(), "reset".into()]);
        if config.guests && config.join_password.is_some() {
            names.push("guest-password".into());
        }
        if config.registration != Registration::Closed {
            names.push("register".into());
        }
    }
    let mut seen = Vec::new();
    names.retain(|name| {
        !seen.contains(name) && {
            seen.push(name.clone());
            true
        }
    });
    names
}

/// Answer an `Auth` that is neither a plain guest's nor a token.
pub(super) async fn auth(reader: &mut Reader, mechanism: String, data: Vec<u8>) -> Result<(), Close> {
    let (shared, conn) = (Arc::clone(&reader.shared), Arc::clone(&reader.conn));
    let offered = mechanisms(&shared, &conn);
    if !offered.contains(&mechanism) {
        let secret = ["password", "register", "reset", "guest-password"].contains(&mechanism.as_str());
        if secret && !is_private(&shared, &conn) {
            let text = "this connection isn't encrypted: no secret may be sent over it; connect with TLS";
            return refuse(reader, Code::INSECURE, text.into(), None);
        }
        if mechanism == "register" {
            return refuse(reader, Code::REGISTRATION_CLOSED, "this server takes no new accounts".into(), None);
        }
        let text = format!("this server offers: {}; use one of them", offered.join(", "));
        return refuse(reader, Code::MECHANISM_UNSUPPORTED, text, None);
    }
    if shared.authenticator.as_ref().is_some_and(|own| own.mechanisms().contains(&mechanism)) {
        return ask_application(reader, &mechanism, data).await;
    }
    let Ok(Credentials { name, secret, code }) = minicbor::decode(&data) else {
        return Err(Close::error(Code::MALFORMED, format!("the data of the mechanism {mechanism} can't be read")));
    };
    let attempt = Try { name, secret: secret.0, code: code.map(|code| code.0) };
    match mechanism.as_str() {
        "password" => with_password(reader, attempt).await,
        "register" => register(reader, attempt).await,
        "reset" => reset(reader, attempt).await,
        _ => guest_with_password(reader, attempt).await,
    }
}

struct Try {
    name: String,
    secret: String,
    code: Option<String>,
}

/// Refuse somebody whose guesses have to wait.
fn throttled(reader: &mut Reader, guess: &Guess<'_>) -> Option<Result<(), Close>> {
    let wait = guess.wait()?;
    let text = format!("too many logins have failed; try again in {} s", wait.div_ceil(1000));
    Some(refuse_for(reader, Code::TOO_MANY_LOGINS, text, None, Some(wait)))
}

fn busy(reader: &mut Reader) -> Result<(), Close> {
    let text = "too many people log in at the moment; try again".to_owned();
    refuse_for(reader, Code::BUSY, text, None, Some(BUSY_MS))
}

fn denied(reader: &mut Reader) -> Result<(), Close> {
    refuse(reader, Code::AUTH_FAILED, "account and password don't belong together".into(), None)
}

async fn with_password(reader: &mut Reader, attempt: Try) -> Result<(), Close> {
    let (shared, address) = (Arc::clone(&reader.shared), reader.conn.address.map(|a| a.ip()));
    let proven = shared.people.moment();
    let account = shared.people.named(&attempt.name);
    let name = account.as_ref().map_or_else(|| short(&attempt.name), |account| guesses(account.principal));
    let guess = Guess::new(&shared, &reader.conn, Some(name));
    if let Some(refused) = throttled(reader, &guess) {
        return refused;
    }
    let hash = account.as_ref().and_then(|account| account.password.clone());
    let Ok(right) = guess.verify(attempt.secret, hash).await else { return busy(reader) };
    match account.filter(|_| right) {
        Some(account) => enter(reader, &account, proven).await,
        None => {
            tracing::warn!(connection = reader.conn.id, address = ?address, "a login failed");
            denied(reader)
        }
    }
}

async fn register(reader: &mut Reader, attempt: Try) -> Result<(), Close> {
    let (shared, address) = (Arc::clone(&reader.shared), reader.conn.address.map(|a| a.ip()));
    let alias = match Alias::parse(&attempt.name).and_then(Alias::unreserved) {
        Ok(alias) => alias,
        Err(e) => return refuse(reader, Code::ALIAS_INVALID, e.to_string(), None),
    };
    if !password::fits(&attempt.secret) {
        return refuse(reader, Code::PASSWORD_INVALID, weak(), None);
    }
    let guess = Guess::new(&shared, &reader.conn, None);
    if let Some(refused) = throttled(reader, &guess) {
        return refused;
    }
    let now = Clock::timestamp();
    let mut used = None;
    let code = attempt.code.unwrap_or_default();
    if code.is_empty() && (shared.config.registration == Registration::Invite || shared.config.join_password.is_some())
    {
        // Nobody has guessed anything.
        let text = "new accounts need a code here: ask whoever runs the server for one".to_owned();
        return refuse(reader, Code::CODE_NEEDED, text, None);
    }
    let welcome = match (shared.config.registration, &shared.config.join_password) {
        (Registration::Open, None) => true,
        (Registration::Open, Some(hash)) => session::hash(code.as_bytes()) == *hash,
        (Registration::Invite, _) => {
            used = shared.people.use_invite(&code, now);
            used.is_some()
        }
        (Registration::Closed, _) => false,
    };
    if !welcome {
        guess.note(false);
        let text =
            "new accounts need a code here, and this is none that is good; ask whoever runs the server".to_owned();
        return refuse(reader, Code::REGISTRATION_CLOSED, text, None);
    }
    let give_back = |shared: &Shared| used.into_iter().for_each(|code| shared.people.give_back(code));
    let Ok(hash) = shared.login.hash(address, attempt.secret).await else {
        give_back(&shared);
        return busy(reader);
    };
    let account = AccountRecord::new(alias.clone(), Some(hash), now);
    let free = shared.sessions.unless_claimed(&alias, || shared.people.put(account.clone()));
    if free != Some(true) {
        give_back(&shared);
        return refuse(reader, Code::ALIAS_IN_USE, format!("the alias {alias} is in use; choose another one"), None);
    }
    let mut changes = vec![Change::PutAccount(account.clone())];
    changes.extend(used.map(|code| Change::DropCode(code.hash)));
    if let Err(e) = shared.keep_surely(changes).await {
        tracing::error!("an account could not be kept: {e}");
        shared.people.forget(account.principal);
        give_back(&shared);
        return refuse_for(
            reader,
            Code::STORE_FAILED,
            "the server can't keep accounts now".into(),
            None,
            Some(BUSY_MS),
        );
    }
    tracing::info!(principal = %account.principal, %alias, "account made");
    // What was revoked before, was not this account's.
    enter(reader, &account, 0).await
}

pub(super) fn weak() -> String {
    format!("a password has {} to {} bytes; choose another one", password::MIN_BYTES, password::MAX_BYTES)
}

async fn reset(reader: &mut Reader, attempt: Try) -> Result<(), Close> {
    let (shared, address) = (Arc::clone(&reader.shared), reader.conn.address.map(|a| a.ip()));
    if !password::fits(&attempt.secret) {
        return refuse(reader, Code::PASSWORD_INVALID, weak(), None);
    }
    let guess = Guess::new(&shared, &reader.conn, None);
    if let Some(refused) = throttled(reader, &guess) {
        return refused;
    }
    let Ok(hash) = shared.login.hash(address, attempt.secret).await else { return busy(reader) };
    let account = shared.people.named(&attempt.name);
    let codes = account.as_ref().and_then(|account| {
        shared.people.use_reset(&attempt.code.unwrap_or_default(), account.principal, Clock::timestamp())
    });
    let (Some(codes), Some(account)) = (codes, account) else {
        guess.note(false);
        return denied(reader);
    };
    let Some(proven) = new_password(&shared, account.principal, hash, codes, None).await else {
        return refuse_for(reader, Code::STORE_FAILED, "the server can't keep this now".into(), None, Some(BUSY_MS));
    };
    enter(reader, &account, proven).await
}

/// Give an account another password, by codes that are used up for it or without; its sessions end, but the one, and so do
/// all codes for a lost one. Returns the moment from which on the password is its proof; none if it is not kept.
pub(super) async fn new_password(
    shared: &Arc<Shared>,
    principal: PrincipalId,
    hash: String,
    mut codes: Vec<CodeRecord>,
    but: Option<SessionId>,
) -> Option<u64> {
    let mut account = shared.people.account(principal)?;
    account.password = Some(hash);
    codes.extend(shared.people.void_codes(principal));
    let dropped = codes.iter().map(|code| Change::DropCode(code.hash));
    let changes = dropped.chain([Change::PutAccount(account.clone())]).collect();
    if let Err(e) = shared.keep_surely(changes).await {
        tracing::error!("a password could not be kept: {e}");
        codes.into_iter().for_each(|code| shared.people.give_back(code));
        return None;
    }
    // Kept once more as it is now: it may have been renamed meanwhile.
    let change = shared.people.change(principal, |known| {
        // … or deleted.
        known.password = account.password.filter(|_| !known.deleted);
    });
    change.into_iter().for_each(|change| shared.keep(change));
    Some(revoke_all(shared, principal, but, "the account's password was changed; log in again").await)
}

/// End the sessions of a principal, but one; also those that are about to begin. Returns the moment behind that.
pub(super) async fn revoke_all(shared: &Arc<Shared>, principal: PrincipalId, but: Option<SessionId>, why: &str) -> u64 {
    // First: a session is either in the list, or begins behind this and finds it.
    let moment = shared.people.revoke(principal);
    for session in shared.sessions.of(principal) {
        if Some(session.id) != but {
            revoke(shared, &session, Close::bye(Code::SESSION_REVOKED, why)).await;
        }
    }
    moment
}

/// End a session at once: its token is good for nothing from here on, whatever its connection does.
pub(super) async fn revoke(shared: &Arc<Shared>, session: &Arc<Session>, close: Close) {
    let conn = session.conn();
    attach::end(shared, session, &close).await;
    if let Some(conn) = conn {
        conn.request_close(close);
    }
}

async fn guest_with_password(reader: &mut Reader, attempt: Try) -> Result<(), Close> {
    let shared = Arc::clone(&reader.shared);
    // It is one for all: who guesses it would hold up everybody from there who knows it, if guesses waited longer each time.
    let guess = Guess::new(&shared, &reader.conn, None);
    if let Some(refused) = throttled(reader, &guess) {
        return refused;
    }
    // Compared as hashes: how long that takes says nothing about the password.
    let right = shared.config.join_password.as_ref() == Some(&session::hash(attempt.secret.as_bytes()));
    guess.note(right);
    if !right {
        return refuse(reader, Code::AUTH_FAILED, "that is not the server's password".into(), None);
    }
    let wish = match attempt.name.as_str() {
        "" => None,
        name => match Alias::parse(name).and_then(Alias::unreserved) {
            Ok(alias) => Some(alias),
            Err(e) => return refuse(reader, Code::ALIAS_INVALID, e.to_string(), None),
        },
    };
    attach::guest_in(reader, wish).await
}

async fn ask_application(reader: &mut Reader, mechanism: &str, data: Vec<u8>) -> Result<(), Close> {
    let shared = Arc::clone(&reader.shared);
    let Some(authenticator) = &shared.authenticator else { return Ok(()) };
    // Who says no name at first isn't told apart from others of the same address.
    let first = reader.exchange.first().map_or(&data, |exchange| &exchange.data);
    let name = minicbor::decode::<Credentials>(first).ok().map(|c| short(&c.name));
    let guess = Guess::new(&shared, &reader.conn, name);
    if let Some(refused) = throttled(reader, &guess) {
        return refused;
    }
    let before = std::mem::take(&mut reader.exchange);
    let attempt = Attempt::new(mechanism, &data).behind(&before).from(reader.conn.address);
    let nobody = SessionId::from_bytes([0; 16]);
    let limit = shared.config.handler_timeout;
    let proven = shared.people.moment();
    let decision = guard::call("authenticate", nobody, limit, authenticator.authenticate(attempt)).await;
    match decision {
        Ok(Decision::Allow(identity)) => {
            guess.note(true);
            known_by_application(reader, identity, proven).await
        }
        Ok(Decision::Challenge(challenge)) if before.len() < MAX_CHALLENGES => {
            reader.conn.queue(&Challenge { data: challenge.clone().into() });
            reader.exchange = before;
            reader.exchange.push(Exchange { data, challenge });
            Ok(())
        }
        Ok(Decision::Deny | Decision::Challenge(_)) => {
            guess.note(false);
            denied(reader)
        }
        Ok(Decision::Unavailable) | Err(guard::HandlerFailed) => {
            let text = "the server can't tell who you are at the moment; try again".to_owned();
            refuse_for(reader, Code::HANDLER_FAILED, text, None, Some(BUSY_MS))
        }
    }
}

/// Let somebody in whom the application knows; they are an account from here on.
async fn known_by_application(reader: &mut Reader, identity: Identity, proven: u64) -> Result<(), Close> {
    let shared = Arc::clone(&reader.shared);
    let now = Clock::timestamp();
    let Identity { principal, alias, admin } = identity;
    let known = shared.people.account(principal);
    let account = match &known {
        Some(account) => AccountRecord { alias: alias.clone(), admin, ..account.clone() },
        None => AccountRecord { principal, admin, ..AccountRecord::new(alias.clone(), None, now) },
    };
    let renamed = known.as_ref().filter(|known| known.alias != alias);
    // What it calls its own is its own affair, as long as they can be addressed by it.
    if (known.is_none() || renamed.is_some())
        && let Err(e) = alias.clone().addressable()
    {
        return refuse(reader, Code::ALIAS_INVALID, e.to_string(), None);
    }
    if let Some(known) = renamed {
        let who = people::author(known);
        if super::alias::rename(&shared, &who, &alias, None).await.is_err() {
            return refuse(reader, Code::ALIAS_IN_USE, format!("the alias {alias} is somebody else's here"), None);
        }
        let change = shared.people.change(principal, |account| account.admin = admin);
        change.into_iter().for_each(|change| shared.keep(change));
    } else if known.as_ref() != Some(&account) {
        if shared.sessions.unless_claimed(&alias, || shared.people.put(account.clone())) != Some(true) {
            return refuse(reader, Code::ALIAS_IN_USE, format!("the alias {alias} is somebody else's here"), None);
        }
        shared.keep(Change::PutAccount(account.clone()));
    }
    enter(reader, &account, proven).await
}

/// Begin a session of an account, whose proof was looked at at that moment.
async fn enter(reader: &mut Reader, account: &AccountRecord, proven: u64) -> Result<(), Close> {
    guess::came(&reader.shared, &reader.conn, account.principal);
    let session = Arc::new(Session::new(people::author(account), proven));
    attach::checked(reader, session).await
}
