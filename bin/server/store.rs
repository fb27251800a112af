//! The database in the data directory: opened by the server, looked after by the subcommands.

use std::error::Error;
use std::io::{Write, stdout};
use std::path::{Path, PathBuf};

use chatnet::store::{Durability, SqliteOptions, SqliteStore, StoreError, StoreErrorKind};

use crate::args::{Args, Command};
use crate::data_dir;
use crate::options::counted;

/// Its name in the data directory.
const FILE: &str = "chatnet.db";

/// Everything that the server is to keep; none if that is nothing.
pub(crate) fn open(args: &Args) -> Result<Option<SqliteStore>, Box<dyn Error>> {
    if args.memory {
        return Ok(None);
    }
    let durability = if args.durability == "normal" { Durability::Normal } else { Durability::Full };
    let path = data_dir::open(args.data_dir.as_deref())?.join(FILE);
    let opened = SqliteStore::open(&path, SqliteOptions::default().durability(durability));
    let store = opened.map_err(|e| explained(e, &path))?;
    private(&path)?;
    Ok(Some(store))
}

/// Do what is asked for instead of serving. False: it was done, and found something wrong.
pub(crate) fn command(args: &Args, command: &Command) -> Result<bool, Box<dyn Error>> {
    let dir = match command {
        Command::Restore { file } if file.exists() => data_dir::open(args.data_dir.as_deref()),
        Command::Restore { file } => return Err(format!("there is no {}", file.display()).into()),
        _ => data_dir::existing(args.data_dir.as_deref()),
    };
    let path = dir?.join(FILE);
    match command {
        Command::Check => check(&path),
        Command::Backup { file } => {
            SqliteStore::backup(existing(&path)?, file)?;
            let dir = path.parent().unwrap_or(Path::new("."));
            writeln!(
                stdout(),
                "copied {} to {}\nthe server's key is not in it: keep {} and tls-cert.pem beside it too, or clients will refuse \
                 the restored server",
                path.display(),
                file.display(),
                dir.join("tls-key.pem").display(),
            )?;
            Ok(true)
        }
        Command::Restore { file } => {
            SqliteStore::restore(file, &path).map_err(|e| explained(e, &path))?;
            writeln!(stdout(), "restored {} to {}", file.display(), path.display())?;
            let dir = path.parent().unwrap_or(Path::new("."));
            if !dir.join("tls-key.pem").exists() {
                writeln!(
                    stdout(),
                    "before you start the server, put its tls-key.pem and tls-cert.pem into {} too, or clients will refuse it \
                     for its new key",
                    dir.display()
                )?;
            }
            Ok(true)
        }
        #[cfg(unix)]
        Command::Admin(_) => Ok(true),
    }
}

fn check(path: &Path) -> Result<bool, Box<dyn Error>> {
    let mut out = stdout().lock();
    let findings = match SqliteStore::check(existing(path)?) {
        // Too damaged even to be looked through.
        Err(e) if e.kind() == StoreErrorKind::Damaged => {
            writeln!(out, "{e}\n{}: 1 problem; {}", path.display(), repair(path))?;
            return Ok(false);
        }
        looked => looked?,
    };
    for problem in &findings.problems {
        writeln!(out, "{problem}")?;
    }
    let (rooms, events) = (counted(findings.rooms, "room"), counted(findings.events, "event"));
    match findings.problems.len() {
        0 => writeln!(out, "{}: sound, {rooms}, {events}", path.display())?,
        n => writeln!(out, "{}: {}; {}", path.display(), counted(n as u64, "problem"), repair(path))?,
    }
    Ok(findings.problems.is_empty())
}

/// What to do about a damaged database.
fn repair(path: &Path) -> String {
    format!("stop the server, move {}* away, then: chatnet-server restore FILE, with a backup", path.display())
}

/// What a data directory's user is told.
fn explained(e: StoreError, path: &Path) -> Box<dyn Error> {
    match e.kind() {
        StoreErrorKind::InUse => {
            let dir = path.parent().unwrap_or(path).display();
            format!("{dir} is in use: a chatnet-server runs with this --data-dir; stop it, or choose another directory")
                .into()
        }
        _ => e.into(),
    }
}

/// Let nobody else read what an earlier version has made readable.
fn private(path: &Path) -> std::io::Result<()> {
    #[cfg(unix)]
    for suffix in ["", "-wal", "-shm", "-lock"] {
        use std::os::unix::fs::PermissionsExt;

        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        match std::fs::set_permissions(&name, std::fs::Permissions::from_mode(0o600)) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
    }
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}

fn existing(path: &Path) -> Result<PathBuf, String> {
    let missing = || format!("there is no {}; choose the directory of your server with --data-dir", path.display());
    if path.exists() { Ok(path.to_owned()) } else { Err(missing()) }
}
