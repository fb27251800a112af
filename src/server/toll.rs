//! How much a connection may do now: asks the meters that count for it, and acts on those who don't wait.
//!
//! What is asked for each read, or each `Publish`, costs a few atomic operations on the session's meter and its address's;
//! tables are looked up, under a lock, once a connection.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::conn::{Close, Conn};
use super::session::Session;
use super::shared::Shared;
use crate::id::PrincipalId;
use crate::limit::{Full, Limits, Meter, Meters, Prefix, Rate, Rates, Sentence, What};
use crate::protocol::{Code, PrincipalKind};
use crate::rt::{self, Turn, Turns};

/// Milliseconds after which somebody who was parted with may come back.
const RETURN_MS: u32 = 30_000;

/// Who has sent too many bytes waits until so many more fit: a frame or two.
const BATCH_BYTES: u64 = 64 * 1024;

/// What may be said about any limit.
pub(super) const TEXT: &str = "that is more than one may do in so short a time; wait, and try again";

/// The limits, and what addresses and accounts have used of them.
#[derive(Debug)]
pub(super) struct Tolls {
    limits: Limits,
    addresses: Mutex<Meters<Prefix, Address>>,
    accounts: Mutex<Meters<PrincipalId>>,
    renamed: Mutex<Meters<PrincipalId>>,
}

/// So many connections from one address are read whenever there is something to read; those of an address with more take
/// turns, so that however many they are, they are in the others' way like a few.
const MANY: usize = 32;

/// Those who take turns get this part of the server's time, one in so many, when they want it and there is much else to do.
const LINE_PARTS: u32 = 2;

/// What all sessions from an address have used, and who of them is read from next.
#[derive(Debug)]
pub(super) struct Address {
    meter: Meter,
    connections: AtomicUsize,
    /// When too much was sent, one sleeps until something may be read; the others stand behind it and need no waking.
    line: Turns,
}

impl Default for Address {
    fn default() -> Self {
        let (meter, connections) = (Meter::default(), AtomicUsize::new(0));
        Self { meter, connections, line: Turns::share(LINE_PARTS) }
    }
}

impl AsRef<Meter> for Address {
    fn as_ref(&self) -> &Meter {
        &self.meter
    }
}

/// What counts for a connection, besides its session's own meter.
#[derive(Debug)]
pub(super) struct Toll {
    account: Option<Arc<Meter>>,
    address: Option<Arc<Address>>,
}

impl Drop for Toll {
    fn drop(&mut self) {
        if let Some(address) = &self.address {
            address.connections.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Tolls {
    /// Whether limits hold for an address.
    pub(super) fn hold_for(&self, address: IpAddr) -> bool {
        !self.limits.is_exempt(address)
    }

    /// None if there are no limits.
    pub(super) fn new(limits: Limits) -> Option<Self> {
        let max = limits.max_addresses.max(1);
        let (addresses, accounts) = (Mutex::new(Meters::new(max)), Mutex::new(Meters::new(max)));
        let renamed = Mutex::new(Meters::new(max));
        (limits != Limits::NONE).then_some(Self { limits, addresses, accounts, renamed })
    }
}

/// Somebody connects.
pub(super) fn arrive(shared: &Shared, address: IpAddr) -> Result<(), Full> {
    let Some(tolls) = shared.tolls.as_ref().filter(|tolls| !tolls.limits.is_exempt(address)) else { return Ok(()) };
    let now = shared.clock.nanos();
    let address = tolls.addresses.lock().of(address.into(), now);
    if address.meter.of(What::Connections).take(tolls.limits.connections, now) { Ok(()) } else { Err(Full::Fast) }
}

/// How many secrets from an address were wrong; none if that isn't limited.
fn wrong(shared: &Shared, address: Option<IpAddr>) -> Option<(Arc<Address>, Rate, u64)> {
    let (tolls, address) = (shared.tolls.as_ref()?, address?);
    let now = shared.clock.nanos();
    let meter = || tolls.addresses.lock().of(address.into(), now);
    (!tolls.limits.is_exempt(address)).then(|| (meter(), tolls.limits.logins, now))
}

/// Milliseconds until a secret from an address may be looked at, because too many were wrong; none if it may be now.
pub(super) fn login(shared: &Shared, address: Option<IpAddr>) -> Option<u32> {
    let (address, rate, now) = wrong(shared, address)?;
    let wait = address.meter.of(What::Logins).wait(rate, now, 1);
    (wait > 0).then(|| u32::try_from(wait.div_ceil(1_000_000)).unwrap_or(u32::MAX))
}

/// A secret from an address was wrong.
pub(super) fn login_failed(shared: &Shared, address: Option<IpAddr>) {
    if let Some((address, rate, now)) = wrong(shared, address) {
        address.meter.of(What::Logins).charge(rate, now, 1);
    }
}

/// Whether only what is said explicitly holds for this address.
pub(super) fn is_exempt(shared: &Shared, address: IpAddr) -> bool {
    shared.tolls.as_ref().is_some_and(|tolls| tolls.limits.is_exempt(address))
}

/// What all from a connection's address have used; none if they aren't limited.
fn origin<'c>(shared: &Shared, conn: &'c Conn) -> Option<&'c Arc<Address>> {
    let find = || {
        let (tolls, address) = (shared.tolls.as_ref()?, conn.address?.ip());
        let now = shared.clock.nanos();
        (!tolls.limits.is_exempt(address)).then(|| tolls.addresses.lock().of(address.into(), now))
    };
    conn.origin.get_or_init(find).as_ref()
}

/// How many frames there may be from the address of a connection without a session.
fn stranger<'c>(shared: &Shared, conn: &'c Conn) -> Option<(&'c Meter, Rate)> {
    let (limits, address) = (&shared.tolls.as_ref()?.limits, origin(shared, conn)?);
    conn.toll.get().is_none().then_some((&address.meter, limits.address.frames))
}

/// A session has a connection: find what counts for it.
pub(super) fn attach(shared: &Shared, conn: &Conn, session: &Session) {
    let Some(tolls) = &shared.tolls else { return };
    if conn.address.is_some_and(|address| tolls.limits.is_exempt(address.ip())) {
        return;
    }
    let now = shared.clock.nanos();
    let address = origin(shared, conn).cloned();
    // A guest has one session only.
    let author = &session.author();
    let account = (author.kind == PrincipalKind::Account).then(|| tolls.accounts.lock().of(author.principal, now));
    if let Some(address) = &address {
        address.connections.fetch_add(1, Ordering::Relaxed);
    }
    let _ = conn.toll.set(Toll { account, address });
}

/// A connection's limits and meters, and the time.
struct Counted<'a> {
    conn: &'a Conn,
    limits: &'a Limits,
    session: &'a Session,
    toll: &'a Toll,
    now: u64,
}

impl<'a> Counted<'a> {
    /// None if nothing is counted for it.
    fn new(shared: &'a Shared, conn: &'a Conn) -> Option<Self> {
        let (tolls, toll, identity) = (shared.tolls.as_ref()?, conn.toll.get()?, conn.identity()?);
        let now = shared.clock.nanos();
        Some(Self { conn, limits: &tolls.limits, session: &identity.session, toll, now })
    }

    fn meters(&self) -> impl Iterator<Item = (&'a Rates, &'a Meter)> {
        let (limits, toll) = (self.limits, self.toll);
        let account = toll.account.as_deref().map(|meter| (&limits.account, meter));
        let address = toll.address.as_deref().map(|address| (&limits.address, &address.meter));
        [Some((&limits.session, &self.session.meter)), account, address].into_iter().flatten()
    }

    fn left(&self, what: What) -> u64 {
        self.meters().map(|(rates, meter)| meter.of(what).left(rates.of(what), self.now)).min().unwrap_or(u64::MAX)
    }

    fn charge(&self, what: What, n: u64) {
        self.meters().for_each(|(rates, meter)| meter.of(what).charge(rates.of(what), self.now, n));
    }

    /// Nanoseconds until about `n` fit: all of them, or as many as are worth coming for.
    fn wait(&self, what: What, n: u64) -> u64 {
        let wait = |(rates, meter): (&Rates, &Meter)| {
            let rate = rates.of(what);
            meter.of(what).wait(rate, self.now, rate.batch(n))
        };
        self.meters().map(wait).max().unwrap_or(0)
    }

    /// Note that something is refused. Returns the milliseconds to wait.
    fn refuse(&self, wait: u64) -> u32 {
        self.carry_out(self.session.conduct.lock().refused(self.now, wait));
        u32::try_from(wait.div_ceil(1_000_000).max(1)).unwrap_or(u32::MAX)
    }

    fn carry_out(&self, sentence: Sentence) {
        let (session, author) = (self.session.id, self.session.author());
        let alias = author.alias.as_str();
        match sentence {
            Sentence::Nothing => {}
            Sentence::CoolOff => {
                let pause = self.limits.cool_off;
                tracing::warn!(%session, alias, "it goes on though it was told to wait: not read from for {pause:?}");
                self.be_quiet(pause.as_nanos() as u64);
            }
            Sentence::Part => {
                tracing::warn!(%session, alias, "it goes on and on though it was told to wait: disconnected");
                let text = "you went on though you were told to wait, again and again; come back later";
                let close = Close::bye(Code::RATE_LIMITED, text);
                self.conn.request_close(Close { retry_after_ms: Some(RETURN_MS), ..close });
            }
        }
    }

    /// Read nothing for so long.
    fn be_quiet(&self, nanoseconds: u64) {
        self.conn.quiet_until.fetch_max(self.now.saturating_add(nanoseconds), Ordering::Relaxed);
    }
}

/// Somebody asks for something. The milliseconds to wait if it is too much.
pub(super) fn request(shared: &Shared, conn: &Conn, what: What) -> Result<(), u32> {
    let Some(counted) = Counted::new(shared, conn) else { return Ok(()) };
    if counted.left(what) == 0 {
        return Err(counted.refuse(counted.wait(what, 1)));
    }
    counted.charge(what, 1);
    Ok(())
}

/// Somebody wants another alias. The milliseconds to wait if that was so a moment ago.
pub(super) fn rename(shared: &Shared, conn: &Conn) -> Result<(), u32> {
    let (Some(tolls), Some(counted)) = (&shared.tolls, Counted::new(shared, conn)) else { return Ok(()) };
    let meter = tolls.renamed.lock().of(counted.session.principal, counted.now);
    // The meter counts nothing else, so that any of its buckets does.
    let (bucket, rate) = (meter.of(What::Joins), tolls.limits.renames);
    if bucket.take(rate, counted.now) { Ok(()) } else { Err(counted.refuse(bucket.wait(rate, counted.now, 1))) }
}

/// How many of these messages may be published now; they count as published.
pub(super) fn publish<'b>(shared: &Shared, conn: &Conn, bodies: impl Iterator<Item = &'b [u8]> + Clone) -> u64 {
    let Some(counted) = Counted::new(shared, conn) else { return u64::MAX };
    if counted.left(What::Bytes) == 0 {
        return 0;
    }
    let (mut granted, mut bytes) = (0, 0);
    for body in bodies.take(usize::try_from(counted.left(What::Messages)).unwrap_or(usize::MAX)) {
        (granted, bytes) = (granted + 1, bytes + body.len() as u64);
    }
    counted.charge(What::Messages, granted);
    counted.charge(What::Bytes, bytes);
    granted
}

/// So many messages were not granted. The milliseconds to wait.
pub(super) fn refuse(shared: &Shared, conn: &Conn, messages: u64) -> u32 {
    let Some(counted) = Counted::new(shared, conn) else { return 1 };
    let bytes = if counted.left(What::Bytes) == 0 { counted.wait(What::Bytes, BATCH_BYTES) } else { 0 };
    counted.refuse(counted.wait(What::Messages, messages).max(bytes))
}

/// So many bytes of messages were thrown away, because one before them is to come again.
pub(super) fn spilled(shared: &Shared, conn: &Conn, bytes: usize) {
    if let Some(counted) = Counted::new(shared, conn) {
        counted.carry_out(counted.session.conduct.lock().spilled(counted.now, bytes));
    }
}

/// So many frames were read.
pub(super) fn frames(shared: &Shared, conn: &Conn, n: u64) {
    match Counted::new(shared, conn) {
        Some(counted) => counted.charge(What::Frames, n),
        None => {
            if let Some((meter, rate)) = stranger(shared, conn) {
                meter.of(What::Frames).charge(rate, shared.clock.nanos(), n);
            }
        }
    }
}

/// How long nothing is to be read because of what this session or this account did, if so; or, before there is a session,
/// all from its address.
pub(super) fn quiet(shared: &Shared, conn: &Conn) -> Option<Duration> {
    let Some(counted) = Counted::new(shared, conn) else {
        let (meter, rate) = stranger(shared, conn)?;
        let wait = meter.of(What::Frames).wait(rate, shared.clock.nanos(), 1);
        return (wait > 0).then(|| Duration::from_nanos(wait));
    };
    let told = conn.quiet_until.load(Ordering::Relaxed).saturating_sub(counted.now);
    let own = counted.meters().filter(|(rates, _)| !std::ptr::eq(*rates, &counted.limits.address));
    let owed = own.map(|(rates, meter)| meter.of(What::Frames).wait(rates.frames, counted.now, 1)).max();
    let wait = told.max(owed.unwrap_or(0));
    (wait > 0).then(|| Duration::from_nanos(wait))
}

/// Whether it is read [in line](line) with the others from its address: they are many, or have sent as much as they may.
pub(super) fn has_to_queue(shared: &Shared, conn: &Conn) -> bool {
    let (Some(tolls), Some(address)) = (&shared.tolls, conn.toll.get().and_then(|toll| toll.address.as_ref())) else {
        return false;
    };
    let left = address.meter.of(What::Frames).left(tolls.limits.address.frames, shared.clock.nanos());
    left == 0 || address.connections.load(Ordering::Relaxed) > MANY || address.line.are_taken()
}

/// Wait until it may be read from: once its address may send again, and those who came first have been read from. It
/// is to be read while the turn is held. Cancel safe.
pub(super) async fn line<'c>(shared: &Shared, conn: &'c Conn) -> Option<Turn<'c>> {
    let address = conn.toll.get()?.address.as_ref()?;
    let turn = address.line.wait().await;
    let rate = shared.tolls.as_ref()?.limits.address.frames;
    loop {
        let wait = address.meter.of(What::Frames).wait(rate, shared.clock.nanos(), 1);
        if wait == 0 {
            return Some(turn);
        }
        rt::sleep(Duration::from_nanos(wait)).await;
    }
}
