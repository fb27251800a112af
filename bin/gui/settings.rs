//! What is remembered, as a file: written in one step, for its owner only, and kept aside if it can't be read.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::model::{Choices, Server, Settings, Theme};

/// The file by default: `chatnet/gui.json` where programs of this user keep their settings.
pub(crate) fn default_file() -> Option<PathBuf> {
    let var = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = if cfg!(windows) {
        var("APPDATA")
    } else if cfg!(target_os = "macos") {
        var("HOME").map(|home| home.join("Library/Application Support"))
    } else {
        var("XDG_CONFIG_HOME").or_else(|| var("HOME").map(|home| home.join(".config")))
    };
    Some(base?.join("chatnet").join("gui.json"))
}

/// Read it. What is not there is as if never chosen; the text says what went wrong.
pub(crate) fn load(file: &Path) -> (Settings, Option<String>) {
    let text = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return (Settings::default(), None),
        Err(e) => {
            let told = format!("the settings in {} can't be read: {e}", file.display());
            return (Settings::default(), Some(told));
        }
    };
    match serde_json::from_str(&text) {
        Ok(Value::Object(object)) => (read(&Value::Object(object)), None),
        _ => {
            let aside = file.with_extension("json.broken");
            let kept = match fs::rename(file, &aside) {
                Ok(()) => format!("it is kept as {}", aside.display()),
                Err(e) => format!("and it can't be put aside: {e}"),
            };
            let told = format!("the settings in {} are broken; {kept}, and the usual ones are used", file.display());
            (Settings::default(), Some(told))
        }
    }
}

/// Whatever can be understood of it.
fn read(value: &Value) -> Settings {
    let usual = Choices::default();
    let flag = |name: &str, usual: bool| value[name].as_bool().unwrap_or(usual);
    let theme = match value["theme"].as_str() {
        Some("light") => Theme::Light,
        Some("dark") => Theme::Dark,
        _ => Theme::System,
    };
    let choices = Choices {
        theme,
        notifications: flag("notifications", usual.notifications),
        sound: flag("sound", usual.sound),
        zoom: value["zoom"].as_u64().map_or(usual.zoom, |zoom| zoom.clamp(80, 160) as u16),
    };
    let list = |name: &str| value[name].as_array().cloned().unwrap_or_default();
    let server = |value: Value| {
        Some(Server {
            host: value["host"].as_str()?.to_owned(),
            port: u16::try_from(value["port"].as_u64()?).ok()?,
            alias: value["alias"].as_str().unwrap_or_default().to_owned(),
            account: value["account"].as_bool().unwrap_or(false),
            secure: value["secure"].as_bool().unwrap_or(true),
        })
    };
    let room = |value: Value| Some((value["server"].as_str()?.to_owned(), value["room"].as_str()?.to_owned()));
    let servers = list("servers").into_iter().filter_map(server).take(100).collect();
    let muted = list("muted").into_iter().filter_map(room).take(10_000).collect();
    Settings { choices, servers, muted }
}

fn written(settings: &Settings) -> Value {
    let Settings { choices, servers, muted } = settings;
    let theme = match choices.theme {
        Theme::System => "system",
        Theme::Light => "light",
        Theme::Dark => "dark",
    };
    let server = |s: &Server| json!({"host": s.host, "port": s.port, "alias": s.alias, "account": s.account, "secure": s.secure});
    let room = |(server, room): &(String, String)| json!({"server": server, "room": room});
    json!({
        "theme": theme, "notifications": choices.notifications, "sound": choices.sound, "zoom": choices.zoom,
        "servers": servers.iter().map(server).collect::<Vec<_>>(), "muted": muted.iter().map(room).collect::<Vec<_>>(),
    })
}

/// Write it: who reads meanwhile, or starts after a crash, finds the old one or the new one.
pub(crate) fn save(file: &Path, settings: &Settings) -> io::Result<()> {
    if let Some(directory) = file.parent() {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(directory)?;
    }
    let new = file.with_extension(format!("json.{}", std::process::id()));
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let text = serde_json::to_string_pretty(&written(settings)).map_err(io::Error::other)?;
    let wrote = options.open(&new).and_then(|mut out| {
        out.write_all(text.as_bytes())?;
        out.write_all(b"\n")?;
        out.sync_all()
    });
    wrote.and_then(|()| fs::rename(&new, file)).inspect_err(|_| {
        let _ = fs::remove_file(&new);
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> Settings {
        let server =
            |host: &str| Server { host: host.into(), port: 7, alias: "ada".into(), account: true, secure: false };
        Settings {
            choices: Choices { theme: Theme::Dark, notifications: false, sound: false, zoom: 120 },
            servers: vec![server("a"), server("b")],
            muted: vec![("a:7".into(), "den".into())],
        }
    }

    #[test]
    fn what_is_written_is_read_again_and_only_its_owner_can() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("deep").join("gui.json");
        assert_eq!(load(&file), (Settings::default(), None));
        save(&file, &full()).unwrap();
        assert_eq!(load(&file), (full(), None));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        }
        assert_eq!(fs::read_dir(file.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn a_broken_file_is_told_and_kept_aside() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("gui.json");
        for broken in ["", "{\"theme\":", "[]", "\u{0}"] {
            fs::write(&file, broken).unwrap();
            let (settings, told) = load(&file);
            assert_eq!(settings, Settings::default());
            assert!(told.unwrap().contains("broken"));
            assert_eq!(fs::read_to_string(file.with_extension("json.broken")).unwrap(), broken);
        }
    }

    #[test]
    fn what_is_strange_in_a_file_costs_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("gui.json");
        let strange =
            r#"{"theme":7,"sound":false,"servers":[{"host":"a","port":99999},{"host":"b","port":1},3],"muted":{}}"#;
        fs::write(&file, strange).unwrap();
        let (settings, told) = load(&file);
        assert_eq!((settings.servers.len(), settings.choices.sound, told), (1, false, None));
    }
}
