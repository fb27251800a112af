//! The server's data directory: made for its owner alone, and refused if others could have put something into it, or if it
//! is another program's. Only who serves, or restores, makes or changes it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// What the server keeps there: a directory that holds one of these is its own.
const OURS: &[&str] = &["chatnet.db", "tls-key.pem", "tls-cert.pem", "admin.sock"];

/// What a new file system holds.
const NOTHING: &str = "lost+found";

/// Open the data directory, and make it if it isn't there.
pub(crate) fn open(given: Option<&Path>) -> io::Result<PathBuf> {
    let path = named(given)?;
    make(&path).and_then(|()| check(&path)).and_then(|open| if open { close(&path) } else { Ok(()) }).map_err(|e| {
        io::Error::new(e.kind(), format!("data directory {}: {e}; choose one with --data-dir", path.display()))
    })?;
    Ok(path)
}

/// The data directory of a server that has run already: nothing is made, and nothing changed.
pub(crate) fn existing(given: Option<&Path>) -> io::Result<PathBuf> {
    let path = named(given)?;
    match check(&path) {
        Ok(_) => Ok(path),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            let text = format!("there is no data directory {}; name the server's by --data-dir", path.display());
            Err(io::Error::new(e.kind(), text))
        }
        Err(e) => Err(io::Error::new(e.kind(), format!("data directory {}: {e}", path.display()))),
    }
}

fn named(given: Option<&Path>) -> io::Result<PathBuf> {
    given.map_or_else(default, |path| Ok(path.to_owned()))
}

/// Where programs keep their data on this platform.
fn default() -> io::Result<PathBuf> {
    let var = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let home = |below: &str| var("HOME").map(|home| home.join(below));
    let base = if cfg!(windows) {
        var("LOCALAPPDATA")
    } else if cfg!(target_os = "macos") {
        home("Library/Application Support")
    } else {
        var("XDG_DATA_HOME").or_else(|| home(".local/share"))
    };
    let base = base.ok_or_else(|| {
        let text = "the environment says nothing about where data is kept (HOME is not set); choose with --data-dir";
        io::Error::new(io::ErrorKind::NotFound, text)
    })?;
    Ok(base.join("chatnet-server"))
}

fn make(path: &Path) -> io::Result<()> {
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        fs::create_dir_all(parent)?;
    }
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    match builder.create(path) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => Err(e),
        _ => Ok(()),
    }
}

/// Refuse a directory that others control; true if they may look into it.
#[cfg(unix)]
fn check(path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;

    let refuse = |why: String| Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
    let meta = fs::symlink_metadata(path)?;
    if meta.is_symlink() {
        return refuse("it is a symbolic link; name the directory itself".into());
    }
    if !meta.is_dir() {
        return refuse("it is not a directory".into());
    }
    let me = rustix::process::geteuid().as_raw();
    if meta.uid() != me {
        return refuse(format!("it belongs to user {}, and this is user {me}", meta.uid()));
    }
    if meta.mode() & 0o022 != 0 {
        return refuse("others may write to it; chmod 700 it if nobody has".into());
    }
    Ok(meta.mode() & 0o077 != 0)
}

#[cfg(not(unix))]
fn check(path: &Path) -> io::Result<bool> {
    if fs::metadata(path)?.is_dir() { Ok(false) } else { Err(io::Error::other("it is not a directory")) }
}

/// Let nobody else in. What isn't the server's may be meant to be open, as `/etc` is.
fn close(path: &Path) -> io::Result<()> {
    let names = fs::read_dir(path)?.map(|entry| Ok(entry?.file_name())).collect::<io::Result<Vec<_>>>()?;
    let ours = names.iter().any(|name| OURS.iter().any(|ours| name == ours));
    if !ours && names.iter().any(|name| name != NOTHING) {
        let text = "it holds files that are not the server's, and others may look into it; chmod 700 it if it is for the \
                    server alone";
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
    }
    #[cfg(unix)]
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
    Ok(())
}
