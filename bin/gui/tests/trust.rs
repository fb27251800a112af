//! The question whether a server is the right one, asked when nobody vouches for it. This machine's own servers are taken
//! without a question, so the network's part is played here.

use super::*;
use crate::model::Net;

/// A port of this machine's where nobody answers.
fn nobody() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A window that is asked about a server's key, behind an attempt that has come to nothing.
fn asked(server: &str, fingerprint: &str, why: &str) -> (Desk, SocketAddr) {
    let (desk, addr) = (Desk::new(), nobody());
    desk.fill("Server", &addr.ip().to_string());
    desk.fill("Port", &addr.port().to_string());
    desk.fill("Your name", "ada");
    desk.press_button("Connect");
    desk.until("an error", |desk| !desk.app.window().global::<ui::Connect>().get_host_error().is_empty());
    let (server, fingerprint, why) = (server.to_owned(), fingerprint.to_owned(), why.to_owned());
    desk.app.handle(Event::Net(Net::FirstContact { server, fingerprint, why }));
    desk.until("the question", |desk| desk.has("Do you know this server?"));
    (desk, addr)
}

fn remembered(desk: &Desk) -> String {
    std::fs::read_to_string(desk.places.path().join("known_servers")).unwrap_or_default()
}

#[test]
fn a_new_server_is_asked_about_in_words_that_nobody_else_can_write() {
    let (desk, _) =
        asked("evil\u{202e}.example:1", &format!("sha256:{}", "ab".repeat(32)), "it has its own certificate\n.");
    let trust = desk.app.window().global::<ui::Trust>();
    assert!(trust.get_open() && !trust.get_changed());
    assert_eq!(trust.get_fingerprint(), format!("sha256:{}", "ab".repeat(32)));
    let shown = format!("{}{}", trust.get_server(), trust.get_explanation());
    assert!(shown.contains("Ask its operator") && !shown.contains(['\u{202e}', '\n']), "{shown:?}");
    assert!(trust.get_can_accept(), "there is nothing to type about a server that was never seen");
}

#[test]
fn who_does_not_trust_a_new_server_is_not_connected_and_nothing_is_remembered() {
    let (desk, _) =
        asked("chat.example.org:50000", &format!("sha256:{}", "ab".repeat(32)), "it has its own certificate");
    desk.press_button("Don't connect");
    assert!(!desk.app.window().global::<ui::Trust>().get_open());
    let error = desk.app.window().global::<ui::Connect>().get_error();
    assert!(error.contains("chat.example.org:50000 is not trusted"), "{error}");
    assert_eq!((desk.app.window().get_page(), remembered(&desk)), (ui::Page::Connect, String::new()));
}

#[test]
fn who_trusts_a_new_server_is_connected_and_its_key_is_remembered() {
    let key = format!("sha256:{}", "ab".repeat(32));
    let (desk, addr) = asked("chat.example.org:50000", &key, "it has its own certificate");
    desk.press_button("Trust it and connect");
    assert!(!desk.app.window().global::<ui::Trust>().get_open());
    desk.until("the key on disk", |desk| remembered(desk).contains("ab"));
    let kept = remembered(&desk);
    assert!(kept.contains("chat.example.org") && kept.lines().count() == 1, "{kept}");
    // And the attempt is made again, to where it was made before.
    desk.until("the second attempt", |desk| !desk.app.window().global::<ui::Connect>().get_busy());
    let error = desk.app.window().global::<ui::Connect>().get_host_error();
    assert!(error.contains("Nobody answers there"), "{addr}: {error}");
}
