//! The command line of `chatnet`.

use structopt::StructOpt;
use structopt::clap::AppSettings;

/// Talk on a chatnet server.
///
/// On a terminal: type a line and press Enter; /help shows the commands. With stdin or stdout elsewhere, or with
/// --plain: one line in is one message, events come out as lines. With --json: events come out as JSON, one object a
/// line.
#[derive(Debug, Clone, StructOpt)]
#[structopt(
    name = "chatnet",
    global_settings = &[AppSettings::ColorNever, AppSettings::DeriveDisplayOrder],
    after_help = "EXIT CODES:\n    0  everything sent was acknowledged\n    2  wrong usage\n    3  could not connect\n    \
                  4  refused by the server\n    5  the connection was lost; stderr says how much was not sent"
)]
pub(crate) struct Args {
    /// The server's host
    #[structopt(long, default_value = "127.0.0.1", value_name = "HOST")]
    pub(crate) host: String,

    /// The server's port
    #[structopt(long, default_value = "50000", value_name = "PORT")]
    pub(crate) port: u16,

    /// Your alias; the server picks one if you have none
    #[structopt(long, value_name = "ALIAS")]
    pub(crate) name: Option<String>,

    /// The room to join; the server's default if none is named
    #[structopt(long, value_name = "ROOM")]
    pub(crate) room: Option<String>,

    /// Plain lines, also on a terminal
    #[structopt(long, conflicts_with = "json")]
    pub(crate) plain: bool,

    /// JSON objects on stdout, one a line; a line on stdin may be one too: {"send":TEXT,"room":ROOM,"id":ANY}
    #[structopt(long)]
    pub(crate) json: bool,

    /// Take every line as text, also one that begins with a slash: for input from strangers
    #[structopt(long)]
    pub(crate) no_commands: bool,

    /// What is logged on stderr: error, warn, info, debug, trace
    #[structopt(long, env = "CHATNET_LOG", default_value = "error", value_name = "LEVEL")]
    pub(crate) log: String,
}
