//! The servers that are remembered: a file, one server a line, safe for several programs at a time.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::transport::Fingerprint;

/// A server's host and port, as they are remembered: the host in lower case, an IPv6 address in brackets.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ServerAddr {
    host: String,
    port: u16,
}

impl ServerAddr {
    /// A host's name or address, and a port.
    ///
    /// # Errors
    ///
    /// The host holds something that no host's name has.
    pub fn new(host: &str, port: u16) -> io::Result<Self> {
        let host = host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.').to_lowercase();
        let fine = |c: char| !c.is_whitespace() && !c.is_control() && !"#[]".contains(c);
        if host.is_empty() || !host.chars().all(fine) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "that is no host's name or address"));
        }
        Ok(Self { host, port })
    }

    /// The host, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl FromStr for ServerAddr {
    type Err = io::Error;

    /// Read `HOST:PORT`.
    fn from_str(text: &str) -> io::Result<Self> {
        let wrong = || io::Error::new(io::ErrorKind::InvalidInput, format!("{text} is not HOST:PORT"));
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        if host.contains(':') && !host.starts_with('[') {
            return Err(wrong());
        }
        Self::new(host, port.parse().map_err(|_| wrong())?)
    }
}

impl fmt::Display for ServerAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Why a server is trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Remembered {
    /// It has this key.
    Key(Fingerprint),
    /// An authority vouches for it.
    Authority,
}

impl fmt::Display for Remembered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(fingerprint) => fingerprint.fmt(f),
            Self::Authority => f.write_str("ca"),
        }
    }
}

/// A line of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct KnownServer {
    /// Which server.
    pub server: ServerAddr,
    /// Why it is trusted.
    pub remembered: Remembered,
}

/// The file of servers that are remembered. Lines are `HOST:PORT sha256:…` or `HOST:PORT ca`; what stands behind a `#`
/// is a comment. Only its owner can read it.
///
/// Its functions block: they read and write a file, and wait while another program does.
#[derive(Debug, Clone)]
pub struct KnownServers {
    path: PathBuf,
}

impl KnownServers {
    /// Use this file. It is made when something is remembered.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Use `known_servers` where programs of this user keep their data: `$XDG_DATA_HOME/chatnet` or
    /// `~/.local/share/chatnet`; on macOS `~/Library/Application Support/chatnet`; on Windows `%APPDATA%\chatnet`.
    ///
    /// # Errors
    ///
    /// The environment doesn't say where that is.
    pub fn default_path() -> io::Result<Self> {
        let var = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let home = |below: &str| var("HOME").map(|home| home.join(below));
        let base = if cfg!(windows) {
            var("APPDATA")
        } else if cfg!(target_os = "macos") {
            home("Library/Application Support")
        } else {
            var("XDG_DATA_HOME").or_else(|| home(".local/share"))
        };
        let base =
            base.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the environment names no home directory"))?;
        Ok(Self::new(base.join("chatnet").join("known_servers")))
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is remembered of a server.
    ///
    /// # Errors
    ///
    /// The file can't be read, or holds a line that can't be understood: then nothing is trusted by it.
    pub fn find(&self, server: &ServerAddr) -> io::Result<Option<Remembered>> {
        Ok(self.list()?.into_iter().find(|known| known.server == *server).map(|known| known.remembered))
    }

    /// Every server that is remembered.
    ///
    /// # Errors
    ///
    /// As [`find`](Self::find).
    pub fn list(&self) -> io::Result<Vec<KnownServer>> {
        match fs::read_to_string(&self.path) {
            Ok(text) => self.parse(&text),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(e) => Err(self.named(&e)),
        }
    }

    /// Remember a server.
    ///
    /// # Errors
    ///
    /// The file can't be read or written, or remembers something else of this server already.
    pub fn remember(&self, server: &ServerAddr, remembered: Remembered) -> io::Result<()> {
        self.change(|text| match self.parse(text)?.into_iter().find(|known| known.server == *server) {
            Some(known) if known.remembered == remembered => Ok(None),
            Some(known) => Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                format!("{server} is remembered as {} already; forget that first", known.remembered),
            )),
            None => {
                let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
                Ok(Some(format!("{text}{end}{server} {remembered}\n")))
            }
        })
    }

    /// Forget a host: what is remembered for one port, or for all. Returns what it was.
    ///
    /// # Errors
    ///
    /// The file can't be read or written.
    pub fn forget(&self, host: &str, port: Option<u16>) -> io::Result<Vec<KnownServer>> {
        let wanted = ServerAddr::new(host, port.unwrap_or(0))?;
        let mut forgotten = Vec::new();
        self.change(|text| {
            let mut kept = String::new();
            for line in text.lines() {
                // A line that can't be understood is kept as it is.
                match parse_line(line) {
                    Ok(Some(known))
                        if known.server.host == wanted.host && port.is_none_or(|port| port == known.server.port) =>
                    {
                        forgotten.push(known);
                    }
                    _ => kept.extend([line, "\n"]),
                }
            }
            Ok((!forgotten.is_empty()).then_some(kept))
        })?;
        Ok(forgotten)
    }

    /// Change the file while nobody else does. The new text takes the old one's place in one step: who reads
    /// meanwhile sees one or the other.
    fn change(&self, change: impl FnOnce(&str) -> io::Result<Option<String>>) -> io::Result<()> {
        self.make_directory().map_err(|e| self.named(&e))?;
        let beside = |ending: &str| {
            let mut name = self.path.as_os_str().to_owned();
            name.push(ending);
            PathBuf::from(name)
        };
        // A file of its own is locked, for the other one is replaced.
        let lock = private().truncate(false).open(beside(".lock")).map_err(|e| self.named(&e))?;
        lock.lock()?;
        let mut text = String::new();
        match File::open(&self.path) {
            Ok(mut file) => drop(file.read_to_string(&mut text).map_err(|e| self.named(&e))?),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(self.named(&e)),
        }
        let Some(text) = change(&text)? else { return Ok(()) };
        let temporary = beside(".new");
        let _ = fs::remove_file(&temporary);
        let written = (|| {
            let mut file = private().create_new(true).open(&temporary)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&temporary, &self.path)
        })();
        written.map_err(|e| self.named(&e))
    }

    fn make_directory(&self) -> io::Result<()> {
        let Some(directory) = self.path.parent().filter(|parent| !parent.as_os_str().is_empty()) else {
            return Ok(());
        };
        let mut builder = fs::DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.recursive(true).create(directory)
    }

    fn parse(&self, text: &str) -> io::Result<Vec<KnownServer>> {
        let mut known = Vec::new();
        for (i, line) in text.lines().enumerate() {
            let parsed = parse_line(line).map_err(|why| {
                let path = self.path.display();
                io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!("{path}: line {}: {why}; mend or delete that line", i + 1),
                )
            })?;
            known.extend(parsed);
        }
        Ok(known)
    }

    fn named(&self, e: &io::Error) -> io::Error {
        io::Error::new(e.kind(), format!("{}: {e}", self.path.display()))
    }
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

fn parse_line(line: &str) -> Result<Option<KnownServer>, String> {
    let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
    let Some(server) = words.next() else { return Ok(None) };
    let server: ServerAddr = server.parse().map_err(|e: io::Error| e.to_string())?;
    let remembered = match (words.next(), words.next()) {
        (Some("ca"), None) => Remembered::Authority,
        (Some(key), None) => {
            Remembered::Key(key.parse().map_err(|e: crate::transport::FingerprintError| e.to_string())?)
        }
        _ => return Err("expected HOST:PORT and a fingerprint, or \"ca\"".into()),
    };
    Ok(Some(KnownServer { server, remembered }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str) -> KnownServers {
        let directory = std::env::temp_dir().join(format!("chatnet-known-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&directory);
        KnownServers::new(directory.join("deep").join("known_servers"))
    }

    fn key(n: u8) -> Remembered {
        Remembered::Key(Fingerprint::from_bytes([n; 32]))
    }

    #[test]
    fn what_is_remembered_is_found_until_it_is_forgotten_and_never_replaced() {
        let known = file("forget");
        let server: ServerAddr = "Chat.Example.org.:50000".parse().unwrap();
        assert_eq!(server.to_string(), "chat.example.org:50000");
        assert_eq!(known.find(&server).unwrap(), None);
        known.remember(&server, key(1)).unwrap();
        known.remember(&server, key(1)).unwrap();
        let other: ServerAddr = "[::1]:50001".parse().unwrap();
        known.remember(&other, Remembered::Authority).unwrap();
        assert_eq!(known.remember(&server, key(2)).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(known.remember(&other, key(2)).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(known.find(&server).unwrap(), Some(key(1)));
        assert_eq!(known.find(&"chat.example.org:1".parse().unwrap()).unwrap(), None);
        assert_eq!(known.forget("::1", Some(1)).unwrap(), []);
        assert_eq!(known.forget("[::1]", None).unwrap().len(), 1);
        assert_eq!(known.list().unwrap(), [KnownServer { server, remembered: key(1) }]);
    }

    #[cfg(unix)]
    #[test]
    fn nobody_else_reads_it() {
        use std::os::unix::fs::PermissionsExt;
        let known = file("mode");
        known.remember(&"a:1".parse().unwrap(), key(1)).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(known.path()), 0o600);
        assert_eq!(mode(known.path().parent().unwrap()), 0o700);
    }

    #[test]
    fn many_at_a_time_lose_nothing() {
        let known = file("many");
        let remember = |i: u16| {
            let known = known.clone();
            std::thread::spawn(move || known.remember(&ServerAddr::new("host", i).unwrap(), key(i as u8)).unwrap())
        };
        let all: Vec<_> = (1..=40).map(remember).collect();
        all.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(known.list().unwrap().len(), 40);
    }

    #[test]
    fn a_line_that_can_not_be_understood_trusts_nobody_and_says_which() {
        let known = file("broken");
        known.remember(&"a:1".parse().unwrap(), key(1)).unwrap();
        fs::write(known.path(), format!("# mine\na:1 {}\nb:2 sha256:xx\n", key(1))).unwrap();
        let e = known.find(&"a:1".parse().unwrap()).unwrap_err();
        assert!(e.to_string().contains("line 3"), "{e}");
        assert_eq!(known.forget("a", None).unwrap().len(), 1);
        assert!(fs::read_to_string(known.path()).unwrap().starts_with("# mine\nb:2"));
    }
}
