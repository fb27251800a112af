//! Calling the person: a notification of the desktop's, and a sound. Without either, nothing happens.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What a sound of the freedesktop theme is called.
const SOUND: &str = "message-new-instant";

/// Show a notification. It may take its time, or fail without a desktop's bus: on a thread of its own.
pub(crate) fn show(title: String, body: String, sound: bool) {
    let sound = sound && player().is_none();
    async_std::task::spawn_blocking(move || {
        let mut notification = notify_rust::Notification::new();
        notification.appname("chatnet").summary(&escaped(&title)).body(&escaped(&body)).icon("chatnet");
        if sound {
            notification.sound_name(SOUND);
        }
        if let Err(e) = notification.show() {
            tracing::info!("no notification: {e}");
        }
    });
}

/// Make a sound, by whatever program of the desktop's can.
pub(crate) fn sound() {
    let Some((program, arguments)) = player() else { return };
    let child =
        Command::new(program).args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    match child {
        // Somebody has to wait for it, or it stays as a zombie.
        Ok(mut child) => drop(async_std::task::spawn_blocking(move || child.wait())),
        Err(e) => tracing::info!("no sound: {e}"),
    }
}

fn player() -> Option<(PathBuf, Vec<String>)> {
    if cfg!(target_os = "macos") {
        return found("afplay").map(|program| (program, vec!["/System/Library/Sounds/Ping.aiff".into()]));
    }
    if let Some(program) = found("canberra-gtk-play") {
        return Some((program, vec!["-i".into(), SOUND.into()]));
    }
    let file = format!("/usr/share/sounds/freedesktop/stereo/{SOUND}.oga");
    let players = ["pw-play", "paplay"];
    let program = players.into_iter().find_map(found).filter(|_| Path::new(&file).exists())?;
    Some((program, vec![file]))
}

fn found(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|directory| directory.join(program)).find(|file| file.is_file())
}

/// Some desktops take a notification's text for markup.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    #[test]
    fn no_text_is_markup() {
        assert_eq!(super::escaped("<a href='x'>&"), "&lt;a href='x'&gt;&amp;");
    }
}
