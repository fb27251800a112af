//! How one stands to the server: the banner, the end, the window's title, passing words.

use chatnet::Code;
use chatnet::text::display_line;

use super::State;
use super::connect::sentence;
use super::effect::{Effect, Turn, View};
use super::event::End;

/// So long, in milliseconds, a lost connection is new; the first attempts come quicker than anybody reads.
const NEW: i64 = 10_000;

/// How long a passing word stays, in milliseconds.
const TOAST: i64 = 6_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Link {
    #[default]
    Offline,
    Connecting,
    Online,
    Reconnecting,
}

#[derive(Debug, Default)]
pub(crate) struct Status {
    pub(crate) link: Link,
    pub(crate) server: String,
    pub(crate) secure: bool,
    pub(crate) banner: String,
    /// When the next attempt is made.
    retry_at: Option<i64>,
    /// Since when there is no connection.
    lost_at: Option<i64>,
}

impl Status {
    /// Seconds until the next attempt.
    pub(crate) fn countdown(&self, now: i64) -> i32 {
        let left = |at: i64| i32::try_from((at - now).max(0).div_euclid(1000) + i64::from((at - now) % 1000 > 0));
        self.retry_at.map_or(-1, |at| left(at).unwrap_or(i32::MAX))
    }
}

/// A dialog at the end of a session.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) open: bool,
    pub(crate) title: String,
    pub(crate) text: String,
    pub(crate) action: String,
    next: Next,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Next {
    #[default]
    Dialog,
    Again,
}

#[derive(Debug, Default)]
pub(crate) struct Toast {
    pub(crate) text: String,
    until: i64,
}

/// What the end of a session means, and what to do.
fn ended(end: &End, server: &str) -> Ended {
    let said = match display_line(&end.text) {
        text if text.is_empty() => String::new(),
        text => format!(" {}", sentence(&text)),
    };
    let (title, text, action, next) = match end.code {
        Some(Code::BANNED) => (
            "You are banned",
            format!("{server} doesn't let you in any more.{said} If you think that is a mistake, ask its operator."),
            "Choose another server",
            Next::Dialog,
        ),
        Some(Code::KICKED | Code::DISCONNECTED) => (
            "You were put out",
            format!("The operator of {server} ended your connection.{said} You may come back."),
            "Connect again",
            Next::Again,
        ),
        Some(Code::SHUTTING_DOWN) => (
            "The server is shutting down",
            format!("{server} has stopped.{said} Try again in a while."),
            "Connect again",
            Next::Again,
        ),
        Some(Code::SESSION_REVOKED | Code::SESSION_REPLACED) => (
            "Your session was ended",
            format!("It was ended from another device, or taken over by one.{said}"),
            "Connect again",
            Next::Again,
        ),
        Some(Code::ALIAS_IN_USE | Code::ALIAS_INVALID) => (
            "Your alias is taken",
            format!("You were away for too long, and somebody else has your alias now.{said}"),
            "Choose another alias",
            Next::Dialog,
        ),
        Some(code) if (200..300).contains(&code.0) => {
            ("You were not let in again", format!("{server} refused your login.{said}"), "Log in again", Next::Dialog)
        }
        _ => (
            "The connection has ended",
            format!("You are no longer connected to {server}.{said}"),
            "Connect again",
            Next::Again,
        ),
    };
    let unsent = match end.unsent {
        0 => String::new(),
        1 => " One message was not sent; it is sent when you come back.".into(),
        n => format!(" {n} messages were not sent; they are sent when you come back."),
    };
    Ended { open: true, title: title.into(), text: text + &unsent, action: action.into(), next }
}

impl State {
    pub(super) fn reconnecting(&mut self, attempt: u32, delay_ms: u64, reason: &str, now: i64, turn: &mut Turn) {
        self.status.link = Link::Reconnecting;
        let lost_at = *self.status.lost_at.get_or_insert(now);
        if attempt <= 1 || self.status.banner.is_empty() {
            self.status.banner = format!("{} What you write is sent when you are back.", sentence(reason));
        } else if now - lost_at >= NEW {
            let why = sentence(reason);
            self.status.banner = format!("Still not connected. {why} What you write is sent when you are back.");
        }
        self.status.retry_at = Some(now.saturating_add(i64::try_from(delay_ms).unwrap_or(i64::MAX)));
        turn.show(View::Status);
        turn.show(View::Composer);
    }

    pub(super) fn online(&mut self, turn: &mut Turn) {
        self.status.link = Link::Online;
        self.status.banner.clear();
        (self.status.retry_at, self.status.lost_at) = (None, None);
        turn.show(View::Status);
        turn.show(View::Composer);
    }

    pub(super) fn closed(&mut self, end: &End, turn: &mut Turn) {
        let server = self.status.server.clone();
        self.status = Default::default();
        if !end.requested {
            self.ended = ended(end, &display_line(&server));
            turn.show(View::Ended);
        }
        self.leave_all(turn);
    }

    pub(super) fn act_ended(&mut self, turn: &mut Turn) {
        let ended = std::mem::take(&mut self.ended);
        turn.show(View::Ended);
        // With an account's password forgotten by now, the dialog asks for it.
        let guest = self.connect.attempt.clone().filter(|_| !self.connect.form.use_account);
        if let (Next::Again, true, Some(attempt)) = (ended.next, ended.open, guest) {
            self.attempt(attempt, turn);
        }
    }

    pub(crate) fn toast(&mut self, text: &str, now: i64, turn: &mut Turn) {
        self.toast = Toast { text: sentence(text), until: now + TOAST };
        turn.show(View::Toast);
    }

    pub(super) fn dismiss_toast(&mut self, turn: &mut Turn) {
        self.toast = Toast::default();
        turn.show(View::Toast);
    }

    /// Time has passed.
    pub(super) fn tick(&mut self, now: i64, turn: &mut Turn) {
        if self.status.retry_at.is_some() {
            turn.show(View::Status);
        }
        if !self.toast.text.is_empty() && self.toast.until <= now {
            self.dismiss_toast(turn);
        }
        self.typing_tick(now, turn);
        self.day_tick(now, turn);
        self.members_tick(now, turn);
    }

    /// How long until the clock matters, in milliseconds.
    pub(crate) fn next_tick(&self) -> u64 {
        let soon = self.status.retry_at.is_some() || !self.toast.text.is_empty() || self.is_anybody_typing();
        if soon { 500 } else { 30_000 }
    }

    pub(crate) fn window_title(&self) -> String {
        let Some(room) = self.room() else { return "chatnet".into() };
        let unread: u32 = self.rooms.list.iter().filter(|room| !room.muted).map(|room| room.unread).sum();
        let count = if unread > 0 { format!("({unread}) ") } else { String::new() };
        format!("{count}{} – chatnet", room.title())
    }

    pub(crate) fn unsent(&self) -> usize {
        self.rooms.list.iter().map(|room| room.rows.unsent()).sum()
    }

    pub(super) fn disconnect(&mut self, turn: &mut Turn) {
        turn.do_(Effect::Disconnect);
        self.status = Default::default();
        self.leave_all(turn);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_end_has_its_own_words_and_next_step() {
        let end = |code| End { code, text: "bye now".into(), requested: false, unsent: 0 };
        let codes = [
            Code::BANNED,
            Code::KICKED,
            Code::SHUTTING_DOWN,
            Code::SESSION_REVOKED,
            Code::ALIAS_IN_USE,
            Code::AUTH_FAILED,
        ];
        let mut titles: Vec<_> = codes.into_iter().map(|code| ended(&end(Some(code)), "example.org:1").title).collect();
        titles.push(ended(&end(None), "example.org:1").title);
        assert!(ended(&end(Some(Code::BANNED)), "x").text.contains("Bye now."));
        titles.sort();
        titles.dedup();
        assert_eq!(titles.len(), 7);
        let unsent = End { unsent: 2, ..end(None) };
        assert!(ended(&unsent, "x").text.contains("2 messages were not sent"));
    }
}
