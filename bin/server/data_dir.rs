//! The server's data directory: made for its owner alone, and refused if others could have put something into it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Open the data directory, and make it if it isn't there.
pub(crate) fn open(given: Option<&Path>) -> io::Result<PathBuf> {
    let path = match given {
        Some(path) => path.to_owned(),
        None => default()?,
    };
    make(&path).and_then(|()| check(&path)).map_err(|e| {
        io::Error::new(e.kind(), format!("data directory {}: {e}; choose one with --data-dir", path.display()))
    })?;
    Ok(path)
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

#[cfg(unix)]
fn check(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

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
    if meta.mode() & 0o077 != 0 {
        fs::set_permissions(path, fs::Permissions::from_mode(0o700))?;
    }
    Ok(())
}

#[cfg(not(unix))]
fn check(path: &Path) -> io::Result<()> {
    if fs::metadata(path)?.is_dir() { Ok(()) } else { Err(io::Error::other("it is not a directory")) }
}
