//! The command line of `chatnet-gui`.

use chatnet::Alias;
use chatnet::trust::ServerAddr;
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
    #[structopt(value_name = "SERVER", parse(try_from_str = server))]
    pub(crate) server: Option<ServerAddr>,

    /// Your alias; the server picks one if you have none
    #[structopt(long, value_name = "ALIAS", parse(try_from_str = alias))]
    pub(crate) alias: Option<String>,

    /// Speak no TLS: everybody on the way can read and change what is said
    #[structopt(long)]
    pub(crate) plaintext: bool,

    /// What is logged on stderr
    #[structopt(long, env = "CHATNET_LOG", default_value = "error", value_name = "LEVEL")]
    pub(crate) log: String,
}

/// The port may be left out. An address of IPv6 with a port stands in brackets.
fn server(word: &str) -> Result<ServerAddr, String> {
    let port = word.rsplit_once(':').filter(|(host, _)| !host.contains(':') || host.ends_with(']'));
    let (host, port) = match port {
        Some((host, port)) => (host, crate::options::port(port)?),
        None => (word, 50_000),
    };
    ServerAddr::new(host, port).map_err(|e| e.to_string())
}

fn alias(word: &str) -> Result<String, String> {
    Alias::parse(word).map(|alias| alias.to_string()).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Args, String> {
        Args::from_iter_safe([&["chatnet-gui"], words].concat()).map_err(|e| e.message)
    }

    #[test]
    fn what_no_server_and_no_alias_can_be_is_refused() {
        for (words, why) in [
            (&["127.0.0.1:99999"][..], "a port is a number"),
            (&["127.0.0.1:"], "a port is a number"),
            (&["not a host"], "no host's name"),
            (&[""], "no host's name"),
            (&["--alias", "a\tb"], "alias"),
            (&["--alias", ""], "alias"),
        ] {
            let told = parse(words).unwrap_err();
            assert!(told.contains(why), "{words:?}: {told}");
        }
    }

    #[test]
    fn a_server_is_a_host_with_or_without_a_port() {
        for (word, host, port) in [
            ("chat.example.org", "chat.example.org", 50_000),
            ("chat.example.org:7", "chat.example.org", 7),
            ("::1", "::1", 50_000),
            ("[::1]:7", "::1", 7),
        ] {
            let server = parse(&[word, "--alias", "Ada L"]).unwrap().server.unwrap();
            assert_eq!((server.host(), server.port()), (host, port));
        }
    }
}
