//! The command line of `chatnet-server`.

use std::num::NonZeroU64;
use std::path::PathBuf;
use std::time::Duration;

use chatnet::Network;
use chatnet::store::Retention;
use structopt::StructOpt;
use structopt::clap::AppSettings;

use crate::options;

/// A chat server: rooms as logs, nothing lost, bounded memory.
///
/// Prints `listening on ADDR:PORT` as its first line and, with TLS, `fingerprint sha256:…` as its second, then serves
/// until SIGINT or SIGTERM. On the first of these it says goodbye to its clients and exits with 0; on a second one it
/// exits at once. SIGHUP reads the certificate's files again; they are read again too when they change.
///
/// Without flags it speaks TLS, with a certificate of its own: made at the first start, kept in the data directory,
/// renewed with the same key. Clients remember the key's fingerprint.
#[derive(Debug, StructOpt)]
#[structopt(name = "chatnet-server", global_settings = &[AppSettings::ColorNever, AppSettings::DeriveDisplayOrder])]
pub(crate) struct Args {
    /// Address to listen at; 127.0.0.1 keeps the server to this machine
    #[structopt(long, default_value = "0.0.0.0", value_name = "ADDRESS")]
    pub(crate) host: String,

    /// Port to listen at; 0 picks a free one
    #[structopt(long, default_value = "50000", value_name = "PORT", parse(try_from_str = options::port))]
    pub(crate) port: u16,

    /// Directory for the server's own files, readable by its owner only [default: ~/.local/share/chatnet-server, or
    /// what the platform has instead]
    #[structopt(long, value_name = "DIR", parse(from_os_str), global = true)]
    pub(crate) data_dir: Option<PathBuf>,

    /// Certificate chain to show (PEM) instead of the server's own
    #[structopt(long, value_name = "FILE", requires = "tls-key", parse(from_os_str))]
    pub(crate) tls_cert: Option<PathBuf>,

    /// Private key of --tls-cert (PEM)
    #[structopt(long, value_name = "FILE", requires = "tls-cert", parse(from_os_str))]
    pub(crate) tls_key: Option<PathBuf>,

    /// Speak no TLS: everybody on the way can read and change what is said
    #[structopt(long, conflicts_with_all = &["tls-cert", "tls-key"])]
    pub(crate) plaintext: bool,

    /// DANGEROUS: with --plaintext, take passwords and codes from other machines too: everybody on the way can read them,
    /// and be whoever sent them. For networks where all are trusted
    #[structopt(long, requires = "plaintext")]
    pub(crate) plaintext_passwords: bool,

    /// Keep nothing: rooms and messages end with the server
    #[structopt(long)]
    pub(crate) memory: bool,

    /// When a message counts as kept: full (synced to the device; a power cut loses nothing) or normal (handed to the
    /// system; faster, a killed server loses nothing, a power cut the last seconds)
    #[structopt(long, default_value = "full", possible_values = &["full", "normal"], value_name = "HOW")]
    pub(crate) durability: String,

    /// Drop messages that are older than so many days; `admin retain` says otherwise of a room
    #[structopt(long, value_name = "DAYS", parse(try_from_str = options::positive))]
    pub(crate) keep_days: Option<NonZeroU64>,

    /// Keep so many of a room's messages at most, the newest
    #[structopt(long, value_name = "COUNT", parse(try_from_str = options::positive))]
    pub(crate) keep_events: Option<NonZeroU64>,

    /// Keep about so many bytes of a room's messages at most, of the newest
    #[structopt(long, value_name = "BYTES", parse(try_from_str = options::positive))]
    pub(crate) keep_bytes: Option<NonZeroU64>,

    /// Name that clients show
    #[structopt(long, default_value = "chatnet", value_name = "NAME")]
    pub(crate) name: String,

    /// Who may make an account: open (everybody), invite (who has a code by `admin invite-code`), closed
    #[structopt(long, default_value = "invite", possible_values = &["open", "invite", "closed"], value_name = "WHO")]
    pub(crate) registration: String,

    /// Take nobody without an account
    #[structopt(long)]
    pub(crate) no_guests: bool,

    /// File with a password that guests, and those who make an account, have to know
    #[structopt(long, value_name = "FILE", parse(from_os_str))]
    pub(crate) join_password: Option<PathBuf>,

    /// Seconds of silence after which a peer is asked whether it is there; after three times that it is given up
    #[structopt(long, default_value = "15", value_name = "SECONDS")]
    pub(crate) heartbeat: f64,

    /// Connections that are taken at once
    #[structopt(long, default_value = "100000", value_name = "COUNT", parse(try_from_str = options::positive))]
    pub(crate) max_connections: NonZeroU64,

    /// Connections that one address has at once (IPv6: one /64 network); --exempt a proxy instead, through which many
    /// come [default: 1024; with --no-limits any number]
    #[structopt(long, value_name = "COUNT", parse(try_from_str = options::positive))]
    pub(crate) max_connections_per_address: Option<NonZeroU64>,

    /// Limit nobody's pace, not even that of guesses at passwords: for trusted networks, and to measure
    #[structopt(long)]
    pub(crate) no_limits: bool,

    /// Network that isn't limited, such as 10.0.0.0/8; may be given several times
    #[structopt(long, value_name = "NETWORK", number_of_values = 1)]
    pub(crate) exempt: Vec<Network>,

    /// Seconds that clients have to read the goodbye when the server stops
    #[structopt(long, default_value = "5", value_name = "SECONDS")]
    pub(crate) drain: f64,

    /// What is logged on stderr: error, warn, info, debug, trace, or a filter such as chatnet=debug
    #[structopt(long, env = "CHATNET_LOG", default_value = "info", value_name = "LEVEL")]
    pub(crate) log: String,

    #[structopt(subcommand)]
    pub(crate) command: Option<Command>,
}

impl Args {
    /// How much of each room is kept.
    pub(crate) fn retention(&self) -> Retention {
        let number = |given: Option<NonZeroU64>| given.map(NonZeroU64::get);
        keep(number(self.keep_days), number(self.keep_events), number(self.keep_bytes))
    }
}

/// How much is kept, by what a command line says.
pub(crate) fn keep(days: Option<u64>, events: Option<u64>, bytes: Option<u64>) -> Retention {
    let mut keep = Retention::ALL;
    keep.max_age = days.map(|days| Duration::from_secs(days.saturating_mul(DAY)));
    (keep.max_events, keep.max_bytes) = (events, bytes);
    keep
}

fn time(word: &str) -> Result<Duration, String> {
    crate::duration::duration(word).ok_or_else(|| crate::duration::TIMES.to_owned())
}

/// A reason that is a time would be a ban for ever.
#[cfg(unix)]
fn reason(text: &str) -> Result<String, String> {
    let first = text.split_whitespace().next().unwrap_or_default();
    if crate::duration::looks_like_time(first) {
        return Err(format!(
            "a reason that begins with a time: how long is said by --for {first}; {}",
            crate::duration::TIMES
        ));
    }
    Ok(text.to_owned())
}

/// A day, in seconds.
pub(crate) const DAY: u64 = 24 * 60 * 60;

/// What is done instead of serving.
#[derive(Debug, StructOpt)]
pub(crate) enum Command {
    /// Look through the data directory's database, also while a server uses it; exits with 1 if something is wrong
    Check,
    /// Copy the database to a new FILE, also while a server uses it: all of one moment. The server's key is not in it:
    /// keep tls-key.pem and tls-cert.pem of the data directory too, or clients will refuse the restored server
    Backup {
        /// File to make
        #[structopt(value_name = "FILE", parse(from_os_str))]
        file: PathBuf,
    },
    /// Make the database from a backup, in a data directory that has none. Put tls-key.pem and tls-cert.pem back too, or
    /// clients will refuse the server for its new key
    Restore {
        /// File that `backup` has made
        #[structopt(value_name = "FILE", parse(from_os_str))]
        file: PathBuf,
    },
    /// Look after the running server: accounts, bans, rooms. Only its own user may
    #[cfg(unix)]
    Admin(Admin),
}

/// What is asked of the running server.
#[cfg(unix)]
#[derive(Debug, StructOpt)]
pub(crate) enum Admin {
    /// Make an account an admin of the server
    Grant { alias: String },
    /// Make an account no admin any more
    Revoke { alias: String },
    /// Make an account; its password is read from stdin
    Create { alias: String },
    /// Delete an account; its alias stays reserved
    Delete { alias: String },
    /// Print a code with which the owner of an account sets a new password, once
    ResetCode { alias: String },
    /// Print a code that makes one account, where that needs one
    InviteCode,
    /// List accounts
    Accounts,
    /// List rooms
    Rooms,
    /// Show how much of a room is kept
    Retention { room: String },
    /// Keep so much of a room, or everything; what goes beyond is dropped soon, and for ever
    Retain {
        room: String,
        /// Drop messages that are older than so many days
        #[structopt(long, parse(try_from_str = options::positive))]
        days: Option<NonZeroU64>,
        /// Keep so many messages at most, the newest
        #[structopt(long, parse(try_from_str = options::positive))]
        events: Option<NonZeroU64>,
        /// Keep about so many bytes at most, of the newest
        #[structopt(long, parse(try_from_str = options::positive))]
        bytes: Option<NonZeroU64>,
        /// As much as of any room again
        #[structopt(long, conflicts_with_all = &["days", "events", "bytes"])]
        like_others: bool,
    },
    /// List sessions
    Sessions,
    /// Show what has been counted
    Stats,
    /// Tell everybody who is connected something
    Announce { text: String },
    /// Call an account otherwise
    Rename { alias: String, new: String },
    /// End all sessions of an alias
    Kick { alias: String, reason: Option<String> },
    /// Keep somebody off the server: an alias, a mask (spam*) or an address prefix (203.0.113.0/24)
    Ban {
        whom: String,
        /// Why; how long is said by --for
        #[structopt(parse(try_from_str = reason))]
        reason: Option<String>,
        /// For so long (10m, 2h, 7d); otherwise until it is taken back
        #[structopt(long = "for", value_name = "TIME", parse(try_from_str = time))]
        time: Option<Duration>,
    },
    /// Take a ban back
    Unban { whom: String },
    /// List bans from the server
    Bans,
    /// List what was done to keep order, newest first: the last 200 acts
    Audit {
        /// The 200 before the act of this number
        #[structopt(long, value_name = "NUMBER", conflicts_with = "all")]
        before: Option<u64>,
        /// Every act there is
        #[structopt(long)]
        all: bool,
    },
}
