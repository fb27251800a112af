//! The architecture, checked: which part of `src/` may know which. Arrows point down only.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Each part, and the parts that it may import.
const MAP: &[(&str, &[&str])] = &[
    ("id", &["text"]),
    ("text", &[]),
    ("protocol", &["id"]),
    ("limit", &["id"]),
    ("room", &["id", "text", "protocol", "limit"]),
    ("session", &["id", "text", "protocol", "room"]),
    ("rt", &[]),
    ("auth", &["id", "limit"]),
    ("store", &["id", "protocol", "room", "rt"]),
    ("transport", &["protocol", "rt"]),
    ("handler", &["id", "protocol", "room", "transport"]),
    ("trust", &["transport"]),
    ("server", &["auth", "id", "text", "protocol", "limit", "room", "session", "rt", "store", "transport", "handler"]),
    ("testing", &["auth", "id", "protocol", "room", "store", "store_contract", "rt", "transport"]),
    ("client", &["id", "text", "protocol", "room", "session", "rt", "transport", "trust"]),
];

/// What pure parts do without. Locks and clocks are arguments or the caller's.
const PURE: &[&str] = &["id", "text", "protocol", "limit", "room", "session"];
const IMPURE: &[&str] =
    &["async_std", "async_io", "parking_lot", "Mutex", "RwLock", "std::net::Tcp", "async fn", "::now()"];

/// Every Rust file below a directory.
fn sources_in(dir: &Path) -> Vec<(PathBuf, String)> {
    fn collect(dir: &Path, files: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, files);
            } else if path.extension().is_some_and(|e| e == "rs") {
                files.push(path);
            }
        }
    }
    let mut files = Vec::new();
    collect(dir, &mut files);
    files.into_iter().map(|file| (file.clone(), fs::read_to_string(&file).unwrap())).collect()
}

/// Every part's sources, without their tests.
fn sources() -> BTreeMap<String, Vec<(PathBuf, String)>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut parts: BTreeMap<String, Vec<(PathBuf, String)>> = BTreeMap::new();
    for (file, text) in sources_in(&root) {
        let inner = file.strip_prefix(&root).unwrap();
        let part = inner.components().next().unwrap().as_os_str().to_str().unwrap().trim_end_matches(".rs").to_owned();
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap().to_owned();
        let code = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
        parts.entry(part).or_default().push((file, code));
    }
    parts.remove("lib");
    parts
}

#[test]
fn parts_import_downwards_only() {
    for (part, files) in sources() {
        let (_, allowed) =
            MAP.iter().find(|(name, _)| *name == part).unwrap_or_else(|| panic!("{part} is not on the map"));
        for (file, code) in files {
            // `$crate::` is in macros, for other crates to use.
            for (i, _) in code.match_indices("crate::").filter(|(i, _)| !code[..*i].ends_with('$')) {
                let rest = &code[i + "crate::".len()..];
                let to: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                let fine = to == part || allowed.contains(&to.as_str());
                assert!(fine, "{} imports crate::{to}, which {part} may not", file.display());
            }
        }
    }
}

#[test]
fn pure_parts_have_no_clock_no_socket_and_no_lock() {
    for (part, files) in sources().into_iter().filter(|(part, _)| PURE.contains(&part.as_str())) {
        for (file, code) in files {
            for word in IMPURE {
                assert!(!code.contains(word), "{} of the pure part {part} has {word}", file.display());
            }
        }
    }
}

#[test]
fn only_rt_names_the_runtime() {
    for (file, code) in sources().into_iter().filter(|(part, _)| part != "rt").flat_map(|(_, files)| files) {
        for word in ["async_std", "async_io", "event_listener", "socket2"] {
            assert!(!code.contains(word), "{} names {word}", file.display());
        }
    }
}

#[test]
fn only_generated_code_is_unsafe() {
    // The desktop client can't forbid it, because of what Slint generates; so nothing written by hand may allow it.
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let gui = sources_in(&root.join("bin"));
    for (file, text) in gui.iter().filter(|(_, text)| text.contains("unsafe_code")) {
        let forbids = text.matches("unsafe_code").count() == text.matches("#![forbid(unsafe_code)]").count();
        assert!(forbids, "{} allows unsafe code", file.display());
    }
}

#[test]
fn what_the_desktop_client_shows_is_decided_without_window_network_and_clock() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("bin").join("gui").join("model");
    let files = sources_in(&root);
    let model = files.iter().filter(|(file, _)| !file.starts_with(root.join("tests")));
    assert!(model.clone().count() > 10);
    for (file, code) in model {
        for word in
            ["slint", "crate::ui", "crate::net", "std::fs", "std::net", "async fn", "::now()", "RefCell", "Mutex"]
        {
            assert!(!code.contains(word), "{} of the pure model has {word}", file.display());
        }
    }
}

#[test]
fn files_stay_small() {
    for (file, code) in sources().into_values().flatten() {
        assert!(code.lines().count() <= 600, "{} has more than 600 lines: split it by concept", file.display());
    }
}
