//! The command line of `chatnet-gui`.

use structopt::StructOpt;
use structopt::clap::AppSettings;

/// Talk on a chatnet server, in a window.
///
/// Without arguments the connect dialog shows the server that you were on last. With a server and an alias, the window
/// connects at once.
#[derive(Debug, Clone, StructOpt)]
#[structopt(
    name = "chatnet-gui",
    global_settings = &[AppSettings::ColorNever, AppSettings::DeriveDisplayOrder],
    after_help = "ENVIRONMENT:\n    SLINT_BACKEND     how the window is drawn: winit-femtovg (OpenGL) or winit-software; chosen by \
                  itself\n    SLINT_SCALE_FACTOR    how large everything is drawn; 1 by default, or what the system \
                  says\n    XDG_CONFIG_HOME   where chatnet/gui.json is kept: servers, theme, choices; no \
                  passwords\n    XDG_DATA_HOME     where chatnet/known_servers is kept: the servers' keys\n    \
                  XDG_STATE_HOME    where chatnet/outbox is kept: what is not sent yet\n    CHATNET_LOG       what is \
                  logged on stderr: error, warn, info, debug, trace"
)]
pub(crate) struct Args {
    /// The server, HOST or HOST:PORT
    #[structopt(value_name = "SERVER")]
    pub(crate) server: Option<String>,

    /// Your alias; the server picks one if you have none
    #[structopt(long, value_name = "ALIAS")]
    pub(crate) alias: Option<String>,

    /// Speak no TLS: everybody on the way can read and change what is said
    #[structopt(long)]
    pub(crate) plaintext: bool,

    /// What is logged on stderr
    #[structopt(long, env = "CHATNET_LOG", default_value = "error", value_name = "LEVEL")]
    pub(crate) log: String,
}
