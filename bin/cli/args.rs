//! The command line of `chatnet`.

use std::path::PathBuf;

use chatnet::transport::Fingerprint;
use structopt::StructOpt;
use structopt::clap::AppSettings;

/// Talk on a chatnet server.
///
/// On a terminal: type a line and press Enter; /help shows the commands. With stdin or stdout elsewhere, or with
/// --plain: one line in is one message, events come out as lines. With --json: events come out as JSON, one object a
/// line.
///
/// In a pipe, a command that takes a password or a code takes the lines that follow, as they are, and always as many: /join
/// ROOM password one, /create ROOM password one, /settings password one, /login one, /register one, /register ALIAS code
/// two, /password two, /delete-account two (the password, the alias). When one of these, or /room, comes to nothing for want
/// of an answer or a room, the texts behind it are said nowhere, until /join or /room chooses a room.
///
/// The connection is encrypted, and the server is made sure of in this order: its key is the one of --fingerprint, or
/// the one that is remembered for its host and port; or a certificate authority vouches for its name, which is
/// remembered too; or this is the first contact. Then, on a terminal, the fingerprint is shown and you are asked;
/// without one, --fingerprint or --accept-new is needed. A server on this machine is remembered without a question.
#[derive(Debug, Clone, StructOpt)]
#[structopt(
    name = "chatnet",
    global_settings = &[AppSettings::ColorNever, AppSettings::DeriveDisplayOrder],
    after_help = "EXIT CODES:\n    0  everything sent was acknowledged\n    2  wrong usage\n    3  could not connect\n    \
                  4  refused by the server; or, with pipes, a text was\n    5  the connection was lost for good; stderr says how much was not sent"
)]
pub(crate) struct Args {
    /// The server's host
    #[structopt(long, default_value = "127.0.0.1", value_name = "HOST")]
    pub(crate) host: String,

    /// The server's port
    #[structopt(long, default_value = "50000", value_name = "PORT", parse(try_from_str = crate::options::port))]
    pub(crate) port: u16,

    /// Your alias; the server picks one if you have none
    #[structopt(long, value_name = "ALIAS")]
    pub(crate) name: Option<String>,

    /// Log in to the account ALIAS; its password is asked for, or is stdin's first line
    #[structopt(long, value_name = "ALIAS", conflicts_with = "name")]
    pub(crate) account: Option<String>,

    /// Make the account that --account names; its password is asked for, or is stdin's first line
    #[structopt(long, requires = "account")]
    pub(crate) register: bool,

    /// Ask for the code that --register needs on this server; without a terminal, it is stdin's line behind the password
    #[structopt(long, requires = "register")]
    pub(crate) code: bool,

    /// Give --account, whose password is lost, a new one, with a code of whoever runs the server; both are asked for, or are
    /// stdin's first two lines: the new password, the code
    #[structopt(long, requires = "account", conflicts_with = "register")]
    pub(crate) reset: bool,

    /// Ask for the server's password, for guests; without a terminal, it is stdin's first line
    #[structopt(long, conflicts_with = "account")]
    pub(crate) server_password: bool,

    /// The room to join; the server's default if none is named
    #[structopt(long, value_name = "ROOM")]
    pub(crate) room: Option<String>,

    /// The server's fingerprint, as it prints it when it starts: refuse any other
    #[structopt(long, value_name = "sha256:…")]
    pub(crate) fingerprint: Option<Fingerprint>,

    /// Remember a server that is not known yet, without asking
    #[structopt(long)]
    pub(crate) accept_new: bool,

    /// Certificate authorities to trust instead of the system's (PEM)
    #[structopt(long, value_name = "FILE", parse(from_os_str))]
    pub(crate) tls_ca: Option<PathBuf>,

    /// Speak no TLS: everybody on the way can read and change what is said
    #[structopt(long, conflicts_with_all = &["fingerprint", "accept-new", "tls-ca"])]
    pub(crate) plaintext: bool,

    /// DANGEROUS: with --plaintext, send passwords and codes to another machine too: everybody on the way can read them, and
    /// be you. For networks where all are trusted
    #[structopt(long, requires = "plaintext")]
    pub(crate) plaintext_passwords: bool,

    /// On coming into a room, show the last N messages first (at most 500)
    #[structopt(long, default_value = "0", value_name = "N")]
    pub(crate) history: u32,

    /// End when the connection is lost, instead of coming back
    #[structopt(long, conflicts_with = "give_up")]
    pub(crate) no_reconnect: bool,

    /// Give up after so many seconds without a connection
    #[structopt(long, default_value = "600", value_name = "SECONDS")]
    pub(crate) give_up: u64,

    /// Keep what is not acknowledged in this file, so that the next chatnet sends it after a crash; with --name, a file
    /// for each server and name by default, in the platform's directory for program state
    #[structopt(long, value_name = "FILE")]
    pub(crate) outbox: Option<PathBuf>,

    /// Keep what is not acknowledged in memory only
    #[structopt(long, conflicts_with = "outbox")]
    pub(crate) no_outbox: bool,

    /// Plain lines, also on a terminal
    #[structopt(long, conflicts_with = "json")]
    pub(crate) plain: bool,

    /// JSON objects on stdout, one a line; a line on stdin may be one too: {"send":TEXT,"room":ROOM,"id":ANY}, and, where a
    /// password or code is asked for, {"secret":TEXT}
    #[structopt(long)]
    pub(crate) json: bool,

    /// Take every line as text, also one that begins with a slash: for input from strangers
    #[structopt(long)]
    pub(crate) no_commands: bool,

    /// What is logged on stderr: error, warn, info, debug, trace
    #[structopt(long, env = "CHATNET_LOG", default_value = "error", value_name = "LEVEL")]
    pub(crate) log: String,

    #[structopt(subcommand)]
    pub(crate) command: Option<Command>,
}

#[derive(Debug, Clone, StructOpt)]
pub(crate) enum Command {
    /// Forget a server's key, so that its next one is accepted like a new server's
    Forget {
        /// The server; without a port, all that are remembered of the host
        #[structopt(value_name = "HOST[:PORT]")]
        server: String,
    },
}
