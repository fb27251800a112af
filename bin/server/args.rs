//! The command line of `chatnet-server`.

use structopt::StructOpt;
use structopt::clap::AppSettings;

/// A chat server: rooms as logs, nothing lost, bounded memory.
///
/// Prints `listening on ADDR:PORT` as its first line, then serves until SIGINT or SIGTERM. On the first of these it
/// says goodbye to its clients and exits with 0; on a second one it exits at once.
#[derive(Debug, StructOpt)]
#[structopt(name = "chatnet-server", global_settings = &[AppSettings::ColorNever, AppSettings::DeriveDisplayOrder])]
pub(crate) struct Args {
    /// Address to listen at; 127.0.0.1 keeps the server to this machine
    #[structopt(long, default_value = "0.0.0.0", value_name = "ADDRESS")]
    pub(crate) host: String,

    /// Port to listen at; 0 picks a free one
    #[structopt(long, default_value = "50000", value_name = "PORT")]
    pub(crate) port: u16,

    /// Name that clients show
    #[structopt(long, default_value = "chatnet", value_name = "NAME")]
    pub(crate) name: String,

    /// Seconds of silence after which a peer is asked whether it is there; after three times that it is given up
    #[structopt(long, default_value = "15", value_name = "SECONDS")]
    pub(crate) heartbeat: f64,

    /// Connections that are taken at once
    #[structopt(long, default_value = "100000", value_name = "COUNT")]
    pub(crate) max_connections: usize,

    /// Seconds that clients have to read the goodbye when the server stops
    #[structopt(long, default_value = "5", value_name = "SECONDS")]
    pub(crate) drain: f64,

    /// What is logged on stderr: error, warn, info, debug, trace, or a filter such as chatnet=debug
    #[structopt(long, env = "CHATNET_LOG", default_value = "info", value_name = "LEVEL")]
    pub(crate) log: String,
}
