//! Admin work on the running server: over a socket in its data directory, for its own user only.
//!
//! One connection is one command: a line of words with tabs between them; the answer is `ok` or `error`, a line end, and
//! text up to the end of the stream.

use std::error::Error;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::num::NonZeroU64;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use chatnet::store::{BanTarget, Retention};
use chatnet::text::display_line;
use chatnet::{Alias, Counters, HandleError, RoomName, ServerHandle};

use crate::args::{Admin, DAY, keep};
use crate::data_dir;
use crate::options::counted;
use crate::secret;

/// Its name in the data directory.
const SOCKET: &str = "admin.sock";

/// The longest command, in bytes.
const MAX_COMMAND: u64 = 16 * 1024;

/// Entries of the audit log that are asked for at once.
const AUDIT_PAGE: usize = 200;

/// How long a command may take to be sent.
const PATIENCE: Duration = Duration::from_secs(10);

/// The socket's file, which goes with it.
#[derive(Debug)]
pub(crate) struct Door(PathBuf);

impl Drop for Door {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

impl Door {
    /// Open the socket, in a directory that was checked to be this user's alone, and take commands, one after the other.
    /// They are few, and come from this machine: a thread that blocks is enough. It ends with the process.
    pub(crate) fn open(dir: &Path, handle: ServerHandle) -> io::Result<Self> {
        if !is_shut(dir) {
            let why = format!("others may enter {}; chmod 700 it", dir.display());
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
        }
        let path = dir.join(SOCKET);
        if let Ok(meta) = fs::symlink_metadata(&path) {
            if !meta.file_type().is_socket() {
                let why = format!("{} is not a socket; it was left as it is, remove it", path.display());
                return Err(io::Error::new(io::ErrorKind::AlreadyExists, why));
            }
            if UnixStream::connect(&path).is_ok() {
                return Err(io::Error::new(io::ErrorKind::AddrInUse, "another server uses this data directory"));
            }
            // A server that was killed has left it.
            fs::remove_file(&path)?;
        }
        let listener = UnixListener::bind(&path)?;
        let door = Self(path);
        fs::set_permissions(&door.0, fs::Permissions::from_mode(0o600))?;
        let dir = dir.to_owned();
        std::thread::Builder::new().name("chatnet-admin".into()).spawn(move || {
            for stream in listener.incoming().flatten() {
                if let Err(e) = answer(stream, &dir, &handle) {
                    tracing::warn!("an admin command failed: {e}");
                }
            }
        })?;
        Ok(door)
    }
}

fn answer(mut stream: UnixStream, dir: &Path, handle: &ServerHandle) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    if !is_mine(&stream, dir) {
        return stream.write_all(b"error\nanother user's command");
    }
    let mut line = String::new();
    BufReader::new((&stream).take(MAX_COMMAND)).read_line(&mut line)?;
    let words: Vec<&str> = line.trim_end_matches('\n').split('\t').collect();
    let reply = match async_std::task::block_on(run(handle, &words)) {
        Ok(text) => format!("ok\n{text}"),
        Err(e) => format!("error\n{e}"),
    };
    stream.write_all(reply.as_bytes())
}

/// Whether a directory is this user's, and lets nobody else in.
fn is_shut(dir: &Path) -> bool {
    let mine = rustix::process::geteuid().as_raw();
    fs::symlink_metadata(dir).is_ok_and(|meta| meta.is_dir() && meta.uid() == mine && meta.mode() & 0o077 == 0)
}

/// Whether this user is at the other end. The directory lets nobody else in; this is for when it was opened to others.
fn is_mine(stream: &UnixStream, dir: &Path) -> bool {
    #[cfg(target_os = "linux")]
    {
        let _ = dir;
        let peer = rustix::net::sockopt::socket_peercred(stream);
        peer.is_ok_and(|peer| peer.uid == rustix::process::geteuid())
    }
    #[cfg(not(target_os = "linux"))]
    {
        // Who is there can't be asked for without unsafe code (getpeereid): nobody else can be, as long as the directory
        // is shut.
        let _ = stream;
        is_shut(dir)
    }
}

type Answer = Result<String, Box<dyn Error + Send + Sync>>;

fn alias(raw: &str) -> Result<Alias, Box<dyn Error + Send + Sync>> {
    Alias::parse(raw).map_err(Into::into)
}

async fn run(handle: &ServerHandle, words: &[&str]) -> Answer {
    let text = match *words {
        ["grant", who] => handle.set_admin(&alias(who)?, true).await.map(|()| format!("{who} is an admin"))?,
        ["revoke", who] => handle.set_admin(&alias(who)?, false).await.map(|()| format!("{who} is no admin"))?,
        ["create", who, password] => {
            let id = handle.create_account(&alias(who)?, password).await?;
            format!("made the account {who} ({id})")
        }
        ["delete", who] => handle.delete_account(&alias(who)?).await.map(|()| format!("deleted {who}"))?,
        ["reset-code", who] => handle.reset_code(&alias(who)?).await?,
        ["invite-code"] => handle.invite_code().await?,
        ["accounts"] => accounts(handle).await?,
        ["rooms"] => rooms(handle).await?,
        ["retention", room] => shown(handle.retention(&RoomName::parse(room)?).await?),
        ["retain", room, ..] => {
            let (room, keep) = (RoomName::parse(room)?, asked(&words[2..])?);
            handle.set_retention(&room, keep).await?;
            shown(handle.retention(&room).await?)
        }
        ["sessions"] => sessions(handle).await?,
        ["stats"] => stats(&handle.counters().await?),
        ["announce", text] => handle.announce(text).await.map(|()| "told".to_owned())?,
        ["kick", who, reason] => kick(handle, who, reason).await?,
        ["rename", who, new] => {
            let new = alias(new)?;
            handle.rename_account(&alias(who)?, &new).await.map(|()| format!("{who} is called {new} now"))?
        }
        ["ban", who, seconds, reason] => ban(handle, who, seconds, reason).await?,
        ["unban", who] => handle.unban(who).await.map(|()| format!("{who} may come in again"))?,
        ["bans"] => {
            let bans = handle.bans().await?;
            let line = |ban: &chatnet::store::BanRecord| {
                let until = ban.until.map_or_else(|| "unban".to_owned(), |until| utc(until.as_millis()));
                format!("{}\tby {}\tuntil {until}\t{}\n", ban.target, ban.by, ban.reason)
            };
            bans.iter().map(line).collect()
        }
        ["audit", before, limit] => audit(handle, before, limit).await?,
        _ => return Err("this server doesn't know the command; is it of another version?".into()),
    };
    Ok(text)
}

/// What was counted, one a line.
fn stats(counters: &Counters) -> String {
    let rows = [
        ("connections", counters.connections as u64),
        ("sessions", counters.sessions as u64),
        ("rooms", counters.rooms as u64),
        ("accepted", counters.accepted),
        ("rejected", counters.rejected),
        ("published", counters.published),
        ("refused", counters.refused),
        ("skipped", counters.skipped),
        ("tls_handshakes", counters.tls_handshakes),
        ("tls_resumed", counters.tls_resumed),
        ("bytes_in", counters.bytes_in),
        ("bytes_out", counters.bytes_out),
    ];
    rows.iter().map(|(name, n)| format!("{name:<15}{n:>12}\n")).collect()
}

/// A time as RFC 3339, in UTC.
fn utc(millis: i64) -> String {
    let seconds = millis.div_euclid(1000);
    match time::OffsetDateTime::from_unix_timestamp(seconds) {
        Ok(t) => format!(
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
            t.year(),
            u8::from(t.month()),
            t.day(),
            t.hour(),
            t.minute(),
            t.second()
        ),
        // Later than there are dates.
        Err(_) => format!("{seconds} seconds after 1970"),
    }
}

/// How much is to be kept: days, events and bytes, each as a number or nothing; without them, as much as of any room.
fn asked(words: &[&str]) -> Result<Option<Retention>, Box<dyn Error + Send + Sync>> {
    let [days, events, bytes] = *words else { return Ok(None) };
    let number = |word: &str| if word.is_empty() { Ok(None) } else { word.parse().map(Some) };
    Ok(Some(keep(number(days)?, number(events)?, number(bytes)?)))
}

fn shown(keep: Retention) -> String {
    let age = keep.max_age.map(|age| format!("no older than {} days", age.as_secs() / DAY));
    let events = keep.max_events.map(|events| format!("at most {events} messages"));
    let bytes = keep.max_bytes.map(|bytes| format!("about {bytes} bytes"));
    let bounds: Vec<String> = [age, events, bytes].into_iter().flatten().collect();
    if bounds.is_empty() { "everything is kept".into() } else { format!("kept: {}", bounds.join(", ")) }
}

async fn accounts(handle: &ServerHandle) -> Result<String, HandleError> {
    let (mut text, mut after) = (String::new(), None);
    loop {
        let page = handle.accounts(after.as_ref(), 1000).await?;
        for account in &page.items {
            let admin = if account.admin { "\tadmin" } else { "" };
            text += &format!("{}\t{}{admin}\n", account.alias, account.principal);
        }
        match page.items.last() {
            Some(last) if page.more => after = Some(last.alias.clone()),
            _ => return Ok(text),
        }
    }
}

async fn rooms(handle: &ServerHandle) -> Result<String, HandleError> {
    let (mut text, mut after) = (String::new(), None);
    loop {
        let page = handle.rooms(after, 1000).await?;
        for room in &page.items {
            text += &format!(
                "{}\t{}\t{}\n",
                room.name,
                counted(room.members as u64, "member"),
                counted(room.head.get(), "event")
            );
        }
        match page.items.last() {
            Some(last) if page.more => after = Some(last.name.clone()),
            _ => return Ok(text),
        }
    }
}

async fn sessions(handle: &ServerHandle) -> Result<String, HandleError> {
    let (mut text, mut after) = (String::new(), None);
    loop {
        let page = handle.sessions(after, 1000).await?;
        for session in &page.items {
            let from = session.address.map_or_else(|| "away".to_owned(), |address| address.to_string());
            text += &format!("{}\t{}\t{from}\t{}\n", session.session, session.alias, session.agent);
        }
        match page.items.last() {
            Some(last) if page.more => after = Some(last.session),
            _ => return Ok(text),
        }
    }
}

/// End all sessions of somebody.
async fn kick(handle: &ServerHandle, who: &str, reason: &str) -> Answer {
    match handle.kick(who, reason).await {
        Ok(ended) => Ok(format!("ended {} of {who}", counted(ended as u64, "session"))),
        Err(HandleError::NoSuchPerson) => Err(format!("nobody is here as {who}").into()),
        Err(e) => Err(e.into()),
    }
}

/// Keep somebody out.
async fn ban(handle: &ServerHandle, who: &str, seconds: &str, reason: &str) -> Answer {
    let duration = if seconds.is_empty() { None } else { Some(Duration::from_secs(seconds.parse()?)) };
    let ban = handle.ban(who, reason, duration).await?;
    let until = ban.until.map_or_else(|| format!("`chatnet-server admin unban {who}`"), |end| utc(end.as_millis()));
    let hint = match &ban.target {
        BanTarget::Guest { alias, .. } => format!(
            "\n{alias} is a guest: whoever comes as {alias} is kept out, but a guest may come by another name; \
             `chatnet-server admin sessions` shows addresses, which can be banned too"
        ),
        _ => String::new(),
    };
    Ok(format!("banned {} until {until}{hint}", ban.target))
}

/// Entries of the audit log, newest first: so many before this one.
async fn audit(handle: &ServerHandle, before: &str, limit: &str) -> Answer {
    let before = if before.is_empty() { None } else { Some(before.parse()?) };
    let entries = handle.audit(before, limit.parse()?).await?;
    let lines = entries.iter().map(|(n, e)| {
        let at = utc(e.at.as_millis());
        format!("{n}\t{at}\t{}\t{}\t{}\t{}\t{}\n", e.alias, e.act, e.room, e.whom, e.text)
    });
    Ok(lines.collect())
}

/// Send a command to the running server, and print what it answers.
pub(crate) fn command(given: Option<&Path>, admin: &Admin) -> Result<bool, Box<dyn Error>> {
    let path = data_dir::existing(given)?.join(SOCKET);
    let mut words = words(admin)?;
    loop {
        let text = exchange(&path, &words)?;
        print(&text)?;
        let Admin::Audit { all, .. } = admin else { break };
        let last = text.lines().last().and_then(|line| line.split('\t').next()).unwrap_or_default().to_owned();
        if text.lines().count() < AUDIT_PAGE || last == "1" {
            break;
        }
        if !all {
            eprintln!("these are the newest {AUDIT_PAGE}; --before {last} shows older ones, --all shows all");
            break;
        }
        words[1] = last;
    }
    // Not on stdout: that is the code, for whatever takes it from there.
    if let Admin::ResetCode { alias } = admin {
        eprintln!("good for a week, once; its owner runs, with --host and --port as usual:");
        eprintln!("chatnet --account {} --reset", display_line(&quoted(alias)));
    }
    Ok(true)
}

/// Ask the running server; what it answers.
fn exchange(path: &Path, words: &[String]) -> Result<String, Box<dyn Error>> {
    if words.iter().any(|word| word.contains(['\t', '\n'])) {
        return Err("a tab or a line end has no place in an admin command".into());
    }
    let line = format!("{}\n", words.join("\t"));
    if line.len() as u64 > MAX_COMMAND {
        return Err(format!("an admin command has at most {MAX_COMMAND} bytes").into());
    }
    let mut stream = UnixStream::connect(path)
        .map_err(|e| format!("no server answers at {}: {e}; is it running, with this --data-dir?", path.display()))?;
    stream.write_all(line.as_bytes())?;
    let mut reply = BufReader::new(stream);
    let (mut verdict, mut text) = (String::new(), String::new());
    reply.read_line(&mut verdict)?;
    reply.read_to_string(&mut text)?;
    if verdict.trim_end() == "ok" { Ok(text) } else { Err(display_line(&text).into_owned().into()) }
}

fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for line in text.lines() {
        // Aliases and reasons are strangers' words.
        let cells: Vec<_> = line.split('\t').map(display_line).collect();
        writeln!(out, "{}", cells.join("\t"))?;
    }
    Ok(())
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    if word.chars().all(char::is_alphanumeric) { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

fn words(admin: &Admin) -> io::Result<Vec<String>> {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    Ok(match admin {
        Admin::Grant { alias } => words(&["grant", alias]),
        Admin::Revoke { alias } => words(&["revoke", alias]),
        Admin::Create { alias } => {
            words(&["create", alias, &secret::read(&format!("a password for {}", display_line(alias)))?])
        }
        Admin::Delete { alias } => words(&["delete", alias]),
        Admin::ResetCode { alias } => words(&["reset-code", alias]),
        Admin::InviteCode => words(&["invite-code"]),
        Admin::Accounts => words(&["accounts"]),
        Admin::Rooms => words(&["rooms"]),
        Admin::Retention { room } => words(&["retention", room]),
        Admin::Retain { room, like_others: true, .. } => words(&["retain", room]),
        Admin::Retain { room, days, events, bytes, .. } => {
            let number = |n: &Option<NonZeroU64>| n.map(|n| n.to_string()).unwrap_or_default();
            words(&["retain", room, &number(days), &number(events), &number(bytes)])
        }
        Admin::Sessions => words(&["sessions"]),
        Admin::Stats => words(&["stats"]),
        Admin::Announce { text } => words(&["announce", text]),
        Admin::Kick { alias, reason } => words(&["kick", alias, reason.as_deref().unwrap_or("")]),
        Admin::Rename { alias, new } => words(&["rename", alias, new]),
        Admin::Ban { whom, time, reason } => {
            let seconds = time.map(|time| time.as_secs().to_string()).unwrap_or_default();
            words(&["ban", whom, &seconds, reason.as_deref().unwrap_or("")])
        }
        Admin::Unban { whom } => words(&["unban", whom]),
        Admin::Bans => words(&["bans"]),
        Admin::Audit { before, .. } => {
            let before = before.map(|n| n.to_string()).unwrap_or_default();
            words(&["audit", &before, &AUDIT_PAGE.to_string()])
        }
    })
}
