//! What the server keeps of one's account, as a file of JSON objects, one a line.

use std::fs::{self, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use chatnet::protocol::message::Rank;
use chatnet::{Client, EventKind, Exported, Timestamp};
use futures::StreamExt;
use serde_json::{Value, json};

/// Write it; what to show. A file that is there already is left as it is.
pub(crate) async fn run(client: &Client, path: &str) -> Result<String, String> {
    let failed = |e: io::Error| match e.kind() {
        io::ErrorKind::AlreadyExists => format!("{path} is there already; choose another name"),
        _ => format!("{path} can't be written: {e}"),
    };
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = BufWriter::new(options.open(path).map_err(failed)?);
    let mut count = 0;
    let written = async {
        let mut all = std::pin::pin!(client.export());
        while let Some(item) = all.next().await {
            writeln!(file, "{}", object(&item.map_err(|e| e.to_string())?)).map_err(failed)?;
            count += 1;
        }
        file.flush().map_err(failed)
    };
    match written.await {
        Ok(()) => Ok(format!("* wrote {count} lines to {path}")),
        // Half of it would pass for the whole.
        Err(why) => {
            let _ = fs::remove_file(Path::new(path));
            Err(why)
        }
    }
}

fn object(item: &Exported) -> Value {
    let time = |at: Option<Timestamp>| at.map(rfc3339);
    match item {
        Exported::Account(me) => json!({
            "kind": "account", "alias": me.alias, "id": me.principal.to_string(), "admin": me.admin,
            "away": me.away, "created": time(me.created),
        }),
        Exported::Session(session) => json!({
            "kind": "session", "id": session.session.to_string(), "connected": session.connected,
            "address": session.address, "agent": session.agent,
        }),
        Exported::Membership(membership) => json!({
            "kind": "membership", "room": membership.room, "room_id": membership.id.to_string(),
            "member": membership.member, "invited": membership.invited, "rank": rank(membership.rank),
            "muted_until": time(membership.muted_until.filter(|until| until.as_millis() < i64::MAX)),
            "muted": membership.muted_until.is_some(), "since": membership.since.get(), "read": membership.read.get(),
        }),
        Exported::Blocked(who) => json!({"kind": "blocked", "alias": who.alias, "id": who.principal.to_string()}),
        Exported::Event(said) => {
            let mut event = json!({
                "kind": "event", "room": said.room, "room_id": said.id.to_string(), "seq": said.seq.get(),
                "at": rfc3339(said.at),
            });
            match said.text() {
                Some(text) => event["text"] = json!(text),
                None => {
                    event["change"] = json!(word(said.kind));
                    event["hex"] = json!(said.bytes.iter().map(|b| format!("{b:02x}")).collect::<String>());
                }
            }
            event
        }
        _ => json!({"kind": "unsupported"}),
    }
}

fn rank(rank: Rank) -> &'static str {
    match rank {
        Rank::Owner => "owner",
        Rank::Moderator => "moderator",
        _ => "member",
    }
}

/// RFC 3339, in UTC, to the millisecond.
pub(crate) fn rfc3339(at: Timestamp) -> String {
    let at = jiff::Timestamp::from_millisecond(at.as_millis()).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    format!("{at:.3}")
}

/// A change's name for scripts.
pub(crate) fn word(kind: EventKind) -> &'static str {
    match kind {
        EventKind::TOPIC => "topic",
        EventKind::KICK => "kick",
        EventKind::BAN => "ban",
        EventKind::UNBAN => "unban",
        EventKind::MUTE => "mute",
        EventKind::UNMUTE => "unmute",
        EventKind::INVITE => "invite",
        EventKind::ROLE => "role",
        EventKind::SETTINGS => "settings",
        EventKind::MEMBERSHIP => "membership",
        EventKind::DELETION => "deletion",
        EventKind::ALIAS => "alias",
        _ => "other",
    }
}
