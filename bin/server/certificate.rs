//! The server's own certificate: made at its first start, kept in its data directory, renewed in time with the same
//! key, so that what clients remember of it stays true.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::net::{IpAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::Duration;

use chatnet::transport::tls::{SelfSigned, ServerTls};

/// A certificate is renewed when it is valid for less than this.
const AHEAD: Duration = Duration::from_secs(30 * 86_400);

/// How often a running server looks whether its certificate is to be renewed.
pub(crate) const LOOK: Duration = Duration::from_secs(12 * 3600);

type Error = Box<dyn std::error::Error>;

/// The own certificate's files.
#[derive(Debug, Clone)]
pub(crate) struct Own {
    certificate: PathBuf,
    key: PathBuf,
    names: Vec<String>,
}

impl Own {
    /// The files in the data directory, for a server that listens at `host`.
    pub(crate) fn new(directory: &Path, host: &str) -> Self {
        let (certificate, key) = (directory.join("tls-cert.pem"), directory.join("tls-key.pem"));
        Self { certificate, key, names: names(host) }
    }

    /// Make what isn't there, renew what won't last, and use it.
    pub(crate) fn ready(&self) -> Result<ServerTls, Error> {
        match self.read_key()? {
            None => {
                let own = SelfSigned::generate(&self.names)?;
                // Whoever was first: another server that starts at the same moment uses the same key.
                if create(&self.key, own.key_pem())? {
                    replace(&self.certificate, own.certificate_pem())?;
                    tracing::info!("made a certificate of its own, in {}", self.certificate.display());
                } else {
                    self.renew(&self.read_key()?.unwrap_or_default())?;
                }
            }
            Some(key) => self.renew(&key)?,
        }
        Ok(ServerTls::pem_files(&self.certificate, &self.key)?)
    }

    /// Renew it if it won't last, or doesn't name this machine any more. The running server sees that the file changed.
    pub(crate) fn look(&self) -> Result<(), Error> {
        match self.read_key()? {
            Some(key) => self.renew(&key),
            None => Err(format!("{} is gone; a restart would make a new key", self.key.display()).into()),
        }
    }

    fn renew(&self, key: &str) -> Result<(), Error> {
        let good = match fs::read_to_string(&self.certificate) {
            Ok(pem) => SelfSigned::is_good(&pem, &self.names, AHEAD),
            Err(e) if e.kind() == io::ErrorKind::NotFound => false,
            Err(e) => return Err(named(&self.certificate, &e).into()),
        };
        if !good {
            let own = SelfSigned::renew(key, &self.names).map_err(|e| {
                format!("{}: {e}; without it, a new one is made, which clients have to accept", self.key.display())
            })?;
            replace(&self.certificate, own.certificate_pem())?;
            tracing::info!("renewed the certificate with the same key, in {}", self.certificate.display());
        }
        Ok(())
    }

    fn read_key(&self) -> io::Result<Option<String>> {
        match fs::read_to_string(&self.key) {
            Ok(key) => {
                #[cfg(unix)]
                self.tighten()?;
                Ok(Some(key))
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(named(&self.key, &e)),
        }
    }

    #[cfg(unix)]
    fn tighten(&self) -> io::Result<()> {
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::metadata(&self.key)?.permissions().mode();
        if mode & 0o077 != 0 {
            tracing::warn!("{} could be read by others; it no longer can", self.key.display());
            fs::set_permissions(&self.key, fs::Permissions::from_mode(0o600))?;
        }
        Ok(())
    }
}

/// Write a new file for the owner alone; false if it is there already.
fn create(path: &Path, text: &str) -> io::Result<bool> {
    let temporary = path.with_extension(format!("new{}", std::process::id()));
    let created = (|| {
        write(&temporary, text)?;
        // Unlike a rename, a link never takes another file's place.
        match fs::hard_link(&temporary, path) {
            Ok(()) => Ok(true),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(e) => Err(e),
        }
    })();
    let _ = fs::remove_file(&temporary);
    created.map_err(|e| named(path, &e))
}

/// Put a file in the place of another in one step.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let temporary = path.with_extension(format!("new{}", std::process::id()));
    write(&temporary, text).and_then(|()| fs::rename(&temporary, path)).map_err(|e| named(path, &e))
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    let _ = fs::remove_file(path);
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn named(path: &Path, e: &io::Error) -> io::Error {
    io::Error::new(e.kind(), format!("{}: {e}", path.display()))
}

/// What clients may call this machine.
fn names(host: &str) -> Vec<String> {
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".into(), "::1".into()];
    names.extend(machine_name());
    names.extend(
        ["192.0.2.1:9", "[2001:db8::1]:9"].iter().filter_map(|out| address_towards(out)).map(|a| a.to_string()),
    );
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if host.parse::<IpAddr>().map_or(!host.is_empty(), |ip| !ip.is_unspecified()) {
        names.push(host.to_owned());
    }
    names.sort();
    names.dedup();
    // One that no certificate can hold would keep all the others out.
    names.retain(|name| {
        SelfSigned::generate(std::slice::from_ref(name))
            .is_ok_and(|own| SelfSigned::is_good(own.certificate_pem(), std::slice::from_ref(name), Duration::ZERO))
    });
    names
}

fn machine_name() -> Option<String> {
    #[cfg(unix)]
    let name = rustix::system::uname().nodename().to_str().ok().map(str::to_owned);
    #[cfg(not(unix))]
    let name = std::env::var("COMPUTERNAME").ok();
    name.filter(|name| !name.is_empty())
}

/// This machine's address on the way to another: nothing is sent.
fn address_towards(other: &str) -> Option<IpAddr> {
    let socket = UdpSocket::bind(if other.starts_with('[') { "[::]:0" } else { "0.0.0.0:0" }).ok()?;
    socket.connect(other).ok()?;
    Some(socket.local_addr().ok()?.ip()).filter(|ip| !ip.is_unspecified())
}
