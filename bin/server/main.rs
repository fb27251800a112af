//! `chatnet-server`: the library's server as a program.

#![forbid(unsafe_code)]

#[cfg(unix)]
mod admin;
mod args;
mod certificate;
mod data_dir;
#[cfg(unix)]
mod descriptors;
#[path = "../duration.rs"]
mod duration;
#[path = "../options.rs"]
mod options;
#[cfg(unix)]
#[path = "../secret.rs"]
mod secret;
mod store;

use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use args::Args;
use async_signal::{Signal, Signals};
use async_std::task;
use certificate::Own;
use chatnet::transport::tls::ServerTls;
use chatnet::{Limits, Registration, Server, ServerHandle};
use futures::StreamExt;
use futures::future::{Either, select};

/// The port is taken, a setting is out of range, or stdout is gone.
const EXIT_START: u8 = 3;

/// A check has found something wrong.
const EXIT_UNSOUND: u8 = 1;

fn main() -> ExitCode {
    let args: Args = options::parse();
    options::log("chatnet-server", &args.log);
    #[cfg(unix)]
    descriptors::raise_limit();
    let done = match &args.command {
        #[cfg(unix)]
        Some(args::Command::Admin(admin)) => admin::command(args.data_dir.as_deref(), admin),
        Some(command) => store::command(&args, command),
        None => task::block_on(serve(args)).map(|()| true),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(EXIT_UNSOUND),
        Err(e) => {
            eprintln!("chatnet-server: {e}");
            ExitCode::from(EXIT_START)
        }
    }
}

async fn serve(args: Args) -> Result<(), Box<dyn std::error::Error>> {
    let seconds = |s: f64| Duration::try_from_secs_f64(s).unwrap_or(Duration::MAX);
    let count = |n: NonZeroU64| usize::try_from(n.get()).unwrap_or(usize::MAX);
    let host = if args.host.contains(':') && !args.host.starts_with('[') {
        format!("[{}]", args.host)
    } else {
        args.host.clone()
    };
    let (tls, own) = tls(&args)?;
    let store = store::open(&args)?;
    // Without anything to keep it has no directory, and no socket there.
    let dir =
        if args.memory && args.data_dir.is_none() { None } else { Some(data_dir::open(args.data_dir.as_deref())?) };
    let mut limits = if args.no_limits { Limits::NONE } else { Limits::default() };
    limits.exempt.extend(&args.exempt);
    let mut builder = Server::builder()
        .name(args.name.clone())
        .heartbeat(seconds(args.heartbeat))
        .max_connections(count(args.max_connections))
        .retention(args.retention())
        .limits(limits);
    builder = builder.plaintext_passwords(args.plaintext_passwords);
    builder = builder.guests(!args.no_guests).registration(match args.registration.as_str() {
        "open" => Registration::Open,
        "closed" => Registration::Closed,
        _ => Registration::Invite,
    });
    if let Some(connections) = args.max_connections_per_address {
        builder = builder.max_connections_per_address(count(connections));
    }
    if let Some(file) = &args.join_password {
        builder = builder.join_password(join_password(file)?);
    }
    if let Some(tls) = tls {
        builder = builder.tls(tls);
    }
    if let Some(store) = store {
        builder = builder.store(store);
    }
    let server = builder.bind(format!("{host}:{}", args.port)).await?;
    // Before the first line: who waits for that line may signal, or send admin commands, at once.
    #[cfg(unix)]
    let door = open_door(&server.handle(), dir);
    let signals = Signals::new([Signal::Int, Signal::Term])?;
    // A server without certificates has nothing to read again, and ends on a hangup like any program.
    let hangups = if args.plaintext { None } else { Signals::new([Signal::Hup]).ok() };
    if args.plaintext_passwords {
        tracing::warn!("--plaintext-passwords: whoever listens on the way to this server can log in as others");
    }
    if let Some(addr) = server.local_addr() {
        let mut lines = format!("listening on {addr}\n");
        if let Some(fingerprint) = server.handle().fingerprint() {
            lines += &format!("fingerprint {fingerprint}\n");
        }
        std::io::stdout().write_all(lines.as_bytes())?;
        std::io::stdout().flush()?;
        if !is_loopback(addr.ip()) {
            warn(&args, addr);
        }
    }
    let looking = hangups.map(|hangups| task::spawn(look_after(server.handle(), own, hangups)));
    let stopping = task::spawn(stop(server.handle(), signals, seconds(args.drain)));
    server.serve().await;
    stopping.cancel().await;
    if let Some(looking) = looking {
        looking.cancel().await;
    }
    #[cfg(unix)]
    drop(door);
    tracing::info!("stopped");
    Ok(())
}

/// Say what an operator may not have meant, of a server that isn't this machine's alone.
fn warn(args: &Args, addr: SocketAddr) {
    if args.plaintext {
        tracing::warn!(
            "--plaintext: whatever is said goes over the network unencrypted; everybody on the way can read and change \
             it, so that no password is taken but from this machine. Leave --plaintext out for TLS, or keep it to this \
             machine with --host 127.0.0.1"
        );
    }
    if !args.no_guests && args.join_password.is_none() {
        let with = if args.plaintext { "with TLS, --join-password" } else { "--join-password" };
        tracing::warn!(
            "anybody who reaches {addr} can take part; {with} asks for a password, --no-guests for an account, and \
             --host 127.0.0.1 keeps it to this machine"
        );
    }
}

/// Take admin commands, if the server has a data directory.
#[cfg(unix)]
fn open_door(handle: &ServerHandle, dir: Option<PathBuf>) -> Option<admin::Door> {
    admin::Door::open(&dir?, handle.clone())
        .inspect_err(|e| tracing::error!("`chatnet-server admin` will not work: {e}"))
        .ok()
}

fn join_password(file: &Path) -> io::Result<String> {
    let read = std::fs::read_to_string(file);
    let read = read.map_err(|e| io::Error::new(e.kind(), format!("--join-password {}: {e}", file.display())))?;
    let password = read.lines().next().unwrap_or_default().to_owned();
    if password.is_empty() {
        return Err(io::Error::other(format!("--join-password {}: its first line is empty", file.display())));
    }
    Ok(password)
}

/// What the server shows; and its own certificate, if it is that.
fn tls(args: &Args) -> Result<(Option<ServerTls>, Option<Own>), Box<dyn std::error::Error>> {
    if args.plaintext {
        return Ok((None, None));
    }
    if let (Some(certificate), Some(key)) = (&args.tls_cert, &args.tls_key) {
        return Ok((Some(ServerTls::pem_files(certificate, key)?), None));
    }
    let own = Own::new(&data_dir::open(args.data_dir.as_deref())?, &args.host);
    Ok((Some(own.ready()?), Some(own)))
}

/// Renew the server's own certificate in time, and read the files again when it is asked to.
async fn look_after(handle: ServerHandle, own: Option<Own>, mut hangups: Signals) {
    loop {
        let look = task::sleep(certificate::LOOK);
        futures::pin_mut!(look);
        if let Either::Left((Some(Ok(_)), _)) = select(hangups.next(), look).await {
            // The outcome is in the log.
            let _ = handle.reload_tls().await;
            continue;
        }
        if let Some(own) = own.clone()
            && let Err(e) = task::spawn_blocking(move || own.look().map_err(|e| e.to_string())).await
        {
            tracing::error!("the certificate can't be renewed: {e}");
        }
    }
}

fn is_loopback(ip: IpAddr) -> bool {
    ip.is_loopback() || ip.to_canonical().is_loopback()
}

/// The first signal stops the server, a second one the process.
async fn stop(handle: ServerHandle, mut signals: Signals, drain: Duration) {
    let Some(Ok(signal)) = signals.next().await else { return };
    tracing::info!("{signal:?}: stopping; again to stop at once");
    let second = async {
        if let Some(Ok(signal)) = signals.next().await {
            // What a shell expects of a program that a signal has ended.
            std::process::exit(128 + signal as i32);
        }
        std::future::pending::<()>().await;
    };
    let down = handle.shutdown(drain);
    futures::pin_mut!(second, down);
    futures::future::select(down, second).await;
}
