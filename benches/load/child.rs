//! The server, as a process of its own: the bench executable once more. Here, and only here, it is configured.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use chatnet::ServerBuilder;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use super::Result;
use super::link::{Dial, Under};

/// In the child's environment: the processor it is to run on, or nothing in it for any.
const ROLE: &str = "CHATNET_BENCH_SERVER";

/// In the child's environment: certificate and key of a server that speaks TLS.
#[cfg(feature = "tls")]
const TLS: [&str; 2] = ["CHATNET_BENCH_CERTIFICATE", "CHATNET_BENCH_KEY"];

/// The server that is measured. What it can be given is switched on by the environment, so that every bench can
/// measure it.
fn configured() -> ServerBuilder {
    // What is measured is how fast it is, not how fast it lets one be.
    let builder = chatnet::Server::builder().name("bench").limits(chatnet::Limits::NONE);
    #[cfg(feature = "tls")]
    let builder = match TLS.map(std::env::var) {
        [Ok(certificate), Ok(key)] => {
            builder.tls(chatnet::transport::tls::ServerTls::pem(certificate, key).expect("a certificate of its own"))
        }
        _ => builder,
    };
    let builder = match std::env::var("CHATNET_BENCH_REPLAY").ok().and_then(|events| events.parse().ok()) {
        Some(events) => builder.max_replay(events),
        None => builder,
    };
    #[cfg(feature = "sqlite")]
    if let Ok(path) = std::env::var("CHATNET_BENCH_DATABASE") {
        println!("{path}");
        let store = chatnet::store::SqliteStore::open(path, chatnet::store::SqliteOptions::default());
        return builder.store(store.expect("a store"));
    }
    match std::env::var("CHATNET_BENCH_STORE").as_deref() {
        Err(_) | Ok("memory") => builder,
        #[cfg(feature = "sqlite")]
        Ok(how @ ("sqlite-full" | "sqlite-normal")) => {
            use chatnet::store::{Durability, SqliteOptions, SqliteStore};
            let durability = if how == "sqlite-full" { Durability::Full } else { Durability::Normal };
            let dir = std::env::var("CHATNET_BENCH_DIR").unwrap_or_else(|_| ".".into());
            let path = std::path::Path::new(&dir).join(format!("chatnet-bench-{}.db", chatnet::SessionId::random()));
            println!("{}", path.display());
            builder.store(SqliteStore::open(path, SqliteOptions::default().durability(durability)).expect("a store"))
        }
        Ok(other) => {
            panic!(
                "CHATNET_BENCH_STORE={other} is not known; there are memory and, with feature sqlite, sqlite-full and sqlite-normal"
            )
        }
    }
}

/// Be the server if that is what this process was started for; otherwise make ready to load one.
pub fn begin() -> Result<()> {
    if let Ok(cpu) = std::env::var(ROLE) {
        serve(cpu.parse().ok())?;
        std::process::exit(0);
    }
    // One descriptor a connection, here and in the server, which inherits this.
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })?;
    match processors()?[..] {
        [_, own, ..] => pin(own)?,
        _ => println!("one processor only: server and load share it, and no figure means much"),
    }
    Ok(())
}

fn serve(cpu: Option<usize>) -> Result<()> {
    // Before the runtime starts threads: they inherit it.
    cpu.map_or(Ok(()), pin)?;
    // Nothing is left running if the bench is killed: its end of the pipe is closed then.
    std::thread::spawn(|| {
        let _ = std::io::stdin().read(&mut [0]);
        std::process::exit(0);
    });
    async_std::task::block_on(async {
        let server = configured().bind("127.0.0.1:0").await?;
        println!("{}", server.local_addr().ok_or("it has no address")?);
        std::io::stdout().flush()?;
        server.serve().await;
        Ok(())
    })
}

/// A server that lives as long as this.
#[derive(Debug)]
pub struct Server {
    pub addr: SocketAddr,
    pub dial: Dial,
    child: Child,
    /// Goes with the server.
    database: Option<std::path::PathBuf>,
}

impl Server {
    pub fn start(under: Under) -> Result<Self> {
        Self::with(under, None)
    }

    /// A server with this store, whatever the environment says.
    pub fn with(under: Under, store: Option<&str>) -> Result<Self> {
        let store = store.map(|store| ("CHATNET_BENCH_STORE", store));
        Self::of(under, store.as_slice())
    }

    /// A server with this environment besides.
    pub fn of(under: Under, env: &[(&str, &str)]) -> Result<Self> {
        // The first that the machine gives us: the load pinned itself to the second.
        let cpu = ALL.get().and_then(|all| (all.len() > 1).then(|| all[0].to_string())).unwrap_or_default();
        let mut command = Command::new(std::env::current_exe()?);
        command.envs(env.iter().copied());
        let dial = match under {
            Under::Plain => Dial::Plain,
            #[cfg(feature = "tls")]
            Under::Tls | Under::Resumed => {
                let own = chatnet::transport::tls::SelfSigned::generate(&["localhost".into()])?;
                command.env(TLS[0], own.certificate_pem()).env(TLS[1], own.key_pem());
                Dial::Tls(super::link::Config::new(&own, under == Under::Resumed)?)
            }
        };
        let mut child = command.env(ROLE, cpu).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut out = BufReader::new(child.stdout.take().ok_or("it has no stdout")?);
        let mut line = String::new();
        out.read_line(&mut line)?;
        let mut database = None;
        if line.trim().ends_with(".db") {
            database = Some(line.trim().into());
            line.clear();
            out.read_line(&mut line)?;
        }
        let addr = line.trim().parse().map_err(|e| format!("the server said {line:?}: {e}"))?;
        let server = Self { addr, dial, child, database };
        server.rest()?;
        Ok(server)
    }

    /// Wait until it has done what it does at its start: a password's hash takes 50 ms and 19 MiB, which are nobody's.
    fn rest(&self) -> Result<()> {
        let mut before = self.cpu()?;
        loop {
            std::thread::sleep(Duration::from_millis(100));
            let now = self.cpu()?;
            if now == before {
                return Ok(());
            }
            before = now;
        }
    }

    /// User and system time, as exact as the kernel's ticks.
    pub fn cpu(&self) -> Result<Duration> {
        cpu(&self.child.id().to_string())
    }

    /// Resident memory, in bytes.
    pub fn memory(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("there is no VmRSS")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself; then that is why the bench fails.
        let _ = self.child.kill();
        let _ = self.child.wait();
        for suffix in ["", "-wal", "-shm", "-lock", "-lock-journal"] {
            if let Some(database) = &self.database {
                let _ = fs::remove_file(format!("{}{suffix}", database.display()));
            }
        }
    }
}

/// The load generator's own time.
pub fn own_cpu() -> Duration {
    cpu("self").unwrap_or_default()
}

fn cpu(process: &str) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // Behind the name, which is in brackets and may hold anything: state is field 3, utime 14, stime 15.
    let fields: Vec<&str> = stat[stat.rfind(')').ok_or("there is no name")? + 2..].split(' ').collect();
    let ticks = fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
    Ok(Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64))
}

/// The processors that were ours before anything was pinned.
static ALL: std::sync::OnceLock<Vec<usize>> = std::sync::OnceLock::new();

fn processors() -> Result<&'static Vec<usize>> {
    let set = sched_getaffinity(None)?;
    Ok(ALL.get_or_init(|| (0..CpuSet::MAX_CPU).filter(|cpu| set.is_set(*cpu)).collect()))
}

fn pin(cpu: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu);
    Ok(sched_setaffinity(None, &set)?)
}
