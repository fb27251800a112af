//! Where the outbox is kept: for each server and name a file of its own.

use std::path::PathBuf;

/// The file by default. None without a directory to put it in; unnamed guests have none, nobody could come back as one.
pub(crate) fn file(host: &str, port: u16, name: &str) -> Option<PathBuf> {
    let directory = state()?.join("chatnet").join("outbox");
    create(&directory).ok()?;
    Some(directory.join(format!("{}_{port}_{}", escape(host), escape(name))))
}

/// The platform's directory for what programs keep between runs.
fn state() -> Option<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    if cfg!(windows) {
        return absolute("LOCALAPPDATA");
    }
    if cfg!(target_os = "macos") {
        return Some(absolute("HOME")?.join("Library").join("Application Support"));
    }
    absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local").join("state")))
}

fn create(directory: &std::path::Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(directory)
}

/// A part of a file's name: what has a meaning in one, on any platform, is written as its bytes.
fn escape(name: &str) -> String {
    let mut out = String::new();
    for c in name.chars() {
        if c.is_control() || r#"<>:"/\|?*%_. "#.contains(c) {
            c.encode_utf8(&mut [0; 4]).bytes().for_each(|b| out.push_str(&format!("%{b:02x}")));
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_leaves_the_directory_or_meets_another() {
        assert_eq!(escape("../a_b"), "%2e%2e%2fa%5fb");
        assert_eq!(escape("Ärger"), "Ärger");
    }
}
