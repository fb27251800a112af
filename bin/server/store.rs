//! The database in the data directory: opened by the server, looked after by the subcommands.

use std::error::Error;
use std::io::{Write, stdout};
use std::path::{Path, PathBuf};

use chatnet::store::{Durability, SqliteOptions, SqliteStore};

use crate::args::{Args, Command};
use crate::data_dir;

/// Its name in the data directory.
const FILE: &str = "chatnet.db";

/// Everything that the server is to keep; none if that is nothing.
pub(crate) fn open(args: &Args) -> Result<Option<SqliteStore>, Box<dyn Error>> {
    if args.memory {
        return Ok(None);
    }
    let durability = if args.durability == "normal" { Durability::Normal } else { Durability::Full };
    let path = data_dir::open(args.data_dir.as_deref())?.join(FILE);
    Ok(Some(SqliteStore::open(path, SqliteOptions::default().durability(durability))?))
}

/// Do what is asked for instead of serving. False: it was done, and found something wrong.
pub(crate) fn command(args: &Args, command: &Command) -> Result<bool, Box<dyn Error>> {
    let path = data_dir::open(args.data_dir.as_deref())?.join(FILE);
    match command {
        Command::Check => check(&path),
        Command::Backup { file } => {
            SqliteStore::backup(existing(&path)?, file)?;
            writeln!(stdout(), "copied {} to {}", path.display(), file.display())?;
            Ok(true)
        }
        Command::Restore { file } => {
            SqliteStore::restore(file, &path)?;
            writeln!(stdout(), "restored {} to {}", file.display(), path.display())?;
            Ok(true)
        }
        #[cfg(unix)]
        Command::Admin(_) => Ok(true),
    }
}

fn check(path: &Path) -> Result<bool, Box<dyn Error>> {
    let findings = SqliteStore::check(existing(path)?)?;
    let mut out = stdout().lock();
    for problem in &findings.problems {
        writeln!(out, "{problem}")?;
    }
    let (rooms, events) = (findings.rooms, findings.events);
    match findings.problems.len() {
        0 => writeln!(out, "{}: sound, {rooms} rooms, {events} events", path.display())?,
        n => writeln!(out, "{}: {n} problems; stop the server and restore a backup", path.display())?,
    }
    Ok(findings.problems.is_empty())
}

fn existing(path: &Path) -> Result<PathBuf, String> {
    let missing = || format!("there is no {}; choose the directory of your server with --data-dir", path.display());
    if path.exists() { Ok(path.to_owned()) } else { Err(missing()) }
}
