//! `chatnet`'s commands as a script gives them: what is read never depends on what the server answers, and no secret
//! becomes a message.
#![cfg(all(feature = "server", feature = "cli", unix))]

#[path = "support/people.rs"]
mod people;
#[path = "support/process.rs"]
mod process;

use std::io::Write;
use std::net::UdpSocket;

use people::{PASSWORD, Program, serve, serve_with, start};
use serde_json::{Value, json};

/// Pipe all of it in at once.
fn pipe(program: &mut Program, lines: &[&str]) {
    program.input.write_all((lines.join("\n") + "\n").as_bytes()).unwrap();
}

fn message(object: &Value) -> &str {
    object["message"].as_str().unwrap_or_default()
}

fn is_here(room: &'static str) -> impl Fn(&Value) -> bool {
    move |object| object["event"] == "entered" && object["room"] == room
}

/// What somebody who listens in the lobby was told before this text.
fn heard(listener: &Program, last: &str) -> Vec<String> {
    std::iter::from_fn(|| Some(listener.event("message")["text"].as_str().unwrap().to_owned()))
        .take_while(|text| text != last)
        .collect()
}

#[test]
fn a_secret_is_the_next_line_as_it_is_whatever_it_looks_like_and_is_never_said() {
    let dir = tempfile::tempdir().unwrap();
    let server = serve(&dir.path().join("data"));
    let mut ada = server.account("ada", &["--register"]);
    let bob = server.account("bob", &["--register"]);
    // The old one looks like a command, and is wrong.
    pipe(&mut ada, &["/password", "/old password", "NewSecret1"]);
    assert!(message(&ada.event("error")).contains("password"));
    // New ones that look like something else: each is the old one of the next.
    let strange = ["//slashed pw", "/begins with one", r#"{"send":"a password"}"#, "  blanks kept  "];
    let mut old = PASSWORD.to_owned();
    for new in strange {
        pipe(&mut ada, &["/password", &old, new]);
        ada.until(|o| o["event"] == "info" && o["text"].as_str().unwrap().contains("changed"));
        old = new.to_owned();
        // It is what was typed, and not what that means elsewhere.
        let mut connected = false;
        async_std::task::block_on(async {
            let client = chatnet::Client::builder().account("ada", new);
            connected = client.connect(format!("127.0.0.1:{}", server.port)).await.is_ok();
        });
        assert!(connected, "{new}");
    }
    pipe(&mut ada, &["/password", &old, r#"{"secret":"in an object"}"#]);
    ada.until(|o| o["event"] == "info" && o["text"].as_str().unwrap().contains("changed"));
    // Where nobody asks for one, an object with a secret is no text either.
    pipe(&mut ada, &[r#"{"secret":"in an object"}"#, "done"]);
    assert!(message(&ada.event("error")).contains("nobody asked"));
    assert_eq!(heard(&bob, "done"), [""; 0]);
    let args = ["--plaintext", "--json", "--port", &server.port, "--account", "ada"];
    let mut again = start(env!("CARGO_BIN_EXE_chatnet"), &args);
    again.say(r#"{"secret":"in an object"}"#);
    assert_eq!(again.event("connected")["alias"], "ada");
    server.stop();
}

#[test]
fn what_follows_a_question_that_came_to_nothing_is_said_nowhere_until_a_room_is_chosen() {
    let dir = tempfile::tempdir().unwrap();
    let server = serve_with("invite", &dir.path().join("data"));
    let mut ada =
        start(env!("CARGO_BIN_EXE_chatnet"), &["--plaintext", "--json", "--port", &server.port, "--name", "ada"]);
    let bob = start(env!("CARGO_BIN_EXE_chatnet"), &["--plaintext", "--json", "--port", &server.port, "--name", "bob"]);
    ada.event("connected");
    bob.event("connected");
    for (lines, code) in [
        // No password; a code that wasn't announced; a mistyped command; a room that isn't there.
        (&["/register zed", "", "a secret"][..], "nothing_done"),
        (&["/register zed", PASSWORD, "a secret"], "login_failed"),
        // All answers are taken, also behind one that is none.
        (&["/password", "", PASSWORD, "a secret"], "nothing_done"),
        (&["/create vault pasword", "a secret"], "usage"),
        (&["/pasword", "a secret"], "usage"),
        (&["/join vault a-secret", "a secret"], "usage"),
        (&["/room vault", "a secret"], "not_a_member"),
        (&["/delete-account now", "a secret"], "usage"),
    ] {
        pipe(&mut ada, &["/room lobby"]);
        pipe(&mut ada, lines);
        let refused = ada.event("error");
        assert_eq!(refused["code"], code, "{lines:?}: {refused}");
        assert!(code != "login_failed" || message(&refused).contains("/register zed code"), "{refused}");
        let unsaid = ada.event("error");
        assert_eq!((&unsaid["code"], &unsaid["text"]), (&json!("not_a_member"), &json!("a secret")), "{lines:?}");
    }
    pipe(&mut ada, &["/room lobby", "done"]);
    assert_eq!(heard(&bob, "done"), [""; 0]);
    server.stop();
}

#[test]
fn a_room_s_password_is_read_by_the_word_for_it_and_not_by_what_the_server_says() {
    let dir = tempfile::tempdir().unwrap();
    let server = serve(&dir.path().join("data"));
    let mut ada = server.account("ada", &["--register"]);
    let mut bob = server.account("bob", &["--register"]);
    pipe(&mut ada, &["/create vault password", "/room secret"]);
    ada.until(is_here("vault"));
    // Who is in there already gives the password all the same.
    pipe(&mut ada, &["/join vault password", "/room secret", "hello vault"]);
    assert_eq!(ada.event("ack")["text"], "hello vault");
    pipe(&mut bob, &["/join vault", "meant for the vault"]);
    let refused = bob.event("error");
    assert_eq!(refused["code"], "join_failed");
    assert!(message(&refused).contains("/join vault password"), "{refused}");
    assert_eq!(bob.event("error")["text"], "meant for the vault");
    pipe(&mut bob, &["/join vault password", "/room secret", "here"]);
    bob.until(is_here("vault"));
    let ack = bob.event("ack");
    assert_eq!((&ack["room"], &ack["text"]), (&json!("vault"), &json!("here")));
    assert_eq!(heard(&ada, "here"), [""; 0]);
    server.stop();
}

#[test]
fn how_a_room_is_is_shown_and_changed_a_thing_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let server = serve(&dir.path().join("data"));
    let mut ada = server.account("ada", &["--register"]);
    let mut bob = server.account("bob", &["--register"]);
    let shown = |ada: &mut Program| {
        ada.say("/settings");
        let told = ada.until(|o| o["event"] == "info" && o["text"].as_str().unwrap().contains("den: kind"));
        told["text"].as_str().unwrap().to_owned()
    };
    ada.say("/create den");
    for word in ["kind public", "limit none", "announce off", "archived off", "history all"] {
        let all = shown(&mut ada);
        assert!(all.contains(word), "{all}");
    }
    // One behind the other, none undoes another.
    let changes =
        ["/settings limit 2", "/settings announce on", "/settings history member", "/settings password", "/den"];
    pipe(&mut ada, &changes);
    let told = ada.until(|o| o["event"] == "change" && o["settings"]["kind"] == "password");
    let all = json!({"kind": "password", "limit": "2", "announce": "on", "archived": "off", "history": "member"});
    assert_eq!(told["settings"], all);
    let now = shown(&mut ada);
    assert!(now.contains("limit 2") && now.contains("announce on") && now.contains("kind password"), "{now}");
    pipe(&mut bob, &["/join den password", "/den", "mmh"]);
    bob.until(is_here("den"));
    assert_eq!(bob.event("error")["code"], "announcement_only");
    pipe(&mut bob, &["/settings archived on"]);
    assert!(message(&bob.event("error")).contains("permit"));
    pipe(&mut ada, &["/settings archived on", "still?"]);
    assert_eq!(ada.event("error")["code"], "archived");
    pipe(&mut ada, &["/settings archived off", "/settings announce sometimes"]);
    assert!(message(&ada.event("error")).contains("announce on|off"));
    let args = ["--plaintext", "--plain", "--port", &server.port, "--name", "eve"];
    let mut eve = start(env!("CARGO_BIN_EXE_chatnet"), &args);
    pipe(&mut eve, &["/join den password", "/den"]);
    let line = std::iter::from_fn(|| Some(eve.line())).find(|line| line.contains("den: ")).unwrap();
    assert!(line.contains("as many members"), "{line}");
    server.stop();
}

#[test]
fn an_account_is_deleted_by_its_password_and_its_alias_and_by_nothing_less() {
    let dir = tempfile::tempdir().unwrap();
    let server = serve(&dir.path().join("data"));
    let mut ada = server.account("ada", &["--register"]);
    let bob = server.account("bob", &["--register"]);
    pipe(&mut ada, &["/delete-account", PASSWORD, "yes"]);
    assert_eq!(ada.event("error")["code"], "not_confirmed");
    pipe(&mut ada, &["/delete-account", "/quit", "ada"]);
    assert!(message(&ada.event("error")).contains("password"));
    pipe(&mut ada, &["last words", "/delete-account", PASSWORD, "ada"]);
    ada.until(|o| o["event"] == "info" && o["text"].as_str().unwrap().contains("the account ada is deleted"));
    assert_eq!(ada.child.wait().unwrap().code(), Some(0));
    assert_eq!(heard(&bob, "last words"), [""; 0]);
    assert!(!server.admin(&["accounts"]).1.contains("ada"));
    server.stop();
}

#[test]
fn times_are_told_last_seen_and_until_when_and_the_books_are_read_in_pages() {
    let dir = tempfile::tempdir().unwrap();
    let server = serve(&dir.path().join("data"));
    let mut ada = server.account("ada", &["--register"]);
    let mut bob = server.account("bob", &["--register"]);
    assert!(server.admin(&["grant", "ada"]).0);
    pipe(&mut ada, &["/create den"]);
    ada.until(is_here("den"));
    pipe(&mut bob, &["/join den"]);
    bob.until(is_here("den"));
    for n in 0..20 {
        pipe(&mut ada, &[&format!("/topic {n}")]);
    }
    pipe(&mut ada, &["/mute bob 10m too loud"]);
    let muted = bob.until(|o| o["event"] == "change" && o["kind"] == "mute");
    let until = muted["until"].as_str().unwrap().split('.').next().unwrap().to_owned();
    bob.say("mmh");
    let refused = bob.event("error");
    assert!(message(&refused).contains(&format!("muted in this room until {until}")), "{refused}");
    pipe(&mut ada, &["/ban bob 2h enough"]);
    let banned = ada.until(|o| o["event"] == "change" && o["kind"] == "ban");
    let until = banned["until"].as_str().unwrap().split('.').next().unwrap().to_owned();
    assert_eq!(bob.event("exited")["message"], format!("you were banned until {until}Z: enough"));
    pipe(&mut bob, &["/join den"]);
    let refused = bob.until(|o| o["code"] == "join_failed");
    assert!(message(&refused).contains(&format!("banned from this room until {until}Z: enough")), "{refused}");
    pipe(&mut ada, &["/audit"]);
    let newest = ada.until(|o| o["event"] == "info" && o["text"].as_str().unwrap().contains("enough"));
    let newest: Vec<_> = newest["text"].as_str().unwrap().lines().map(str::to_owned).collect();
    let last = newest.last().unwrap();
    assert!(
        last.starts_with("* #") && last.contains(&format!("Z ada ban bob in den: until {until}Z: enough")),
        "{newest:?}"
    );
    let older = newest[0].split_whitespace().find(|word| word.parse::<u64>().is_ok()).expect("it says how").to_owned();
    assert!(newest[0].contains(&format!("/audit {older}")));
    pipe(&mut ada, &[&format!("/audit {older}")]);
    let page = ada.until(|o| o["event"] == "info" && o["text"].as_str().unwrap().contains("topic"));
    let page = page["text"].as_str().unwrap().to_owned();
    assert!(!page.contains("mute") && page.lines().last().unwrap().contains(" topic "), "{page}");
    assert!(!page.lines().any(|line| newest.iter().any(|other| other == line)), "{page}");
    drop(bob);
    let seen = std::iter::from_fn(|| {
        ada.say("/whois bob");
        Some(ada.until(|o| o["event"] == "info" && o["text"].as_str().unwrap().contains("bob is an account")))
    });
    let seen = seen.map(|o| o["text"].as_str().unwrap().to_owned()).find(|text| text.contains("not here")).unwrap();
    assert!(seen.contains("last seen 20") && seen.ends_with('Z'), "{seen}");
    server.stop();
}

#[test]
fn who_writes_something_is_shown_to_people_who_ask_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let server = serve(&dir.path().join("data"));
    let args =
        |name: &'static str| ["--plaintext", "--plain", "--port", &server.port, "--name", name].map(str::to_owned);
    let words = |name| args(name).to_vec();
    let run = |name| {
        let args = words(name);
        start(env!("CARGO_BIN_EXE_chatnet"), &args.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let (mut ada, quiet) = (run("ada"), run("quiet"));
    ada.say("/typing show");
    ada.say("/who");
    while !ada.line().starts_with("* in lobby: ") {}
    let mut bob = run("bob");
    // It is in the room before it says that it writes there.
    while !bob.line().contains("you are in lobby") {}
    pipe(&mut bob, &["/typing", "/who"]);
    while !bob.line().starts_with("* in lobby: ") {}
    bob.say("said");
    let before = |program: &Program| {
        let lines = std::iter::from_fn(|| Some(program.line()));
        lines.take_while(|line| !line.ends_with("said")).collect::<Vec<_>>()
    };
    assert!(before(&ada).contains(&"* bob is writing in lobby".to_owned()));
    assert!(!before(&quiet).iter().any(|line| line.contains("writing")));
    pipe(&mut ada, &["/typing perhaps"]);
    while !ada.line().contains("/typing show") {}
    server.stop();
}

#[test]
fn the_hint_about_quotes_comes_where_they_would_help() {
    let dir = tempfile::tempdir().unwrap();
    let server = serve(&dir.path().join("data"));
    let mut ada = server.account("ada", &["--register"]);
    let mut bob = server.account("bob", &["--register"]);
    bob.say("/nick Bob the B");
    bob.event("alias");
    for (line, helps) in [("/msg bob the B hi", true), ("/msg zed hi there", false), ("/whois zed", false)] {
        ada.say(line);
        let told = ada.event("error");
        assert_eq!(message(&told).contains("in quotes"), helps, "{line}: {told}");
    }
    server.stop();
}

#[test]
fn a_password_goes_unencrypted_to_another_machine_only_if_both_were_told_so() {
    // An address of this machine that isn't a loopback one; without a network there is none.
    let own = UdpSocket::bind("0.0.0.0:0").and_then(|socket| {
        socket.connect("192.0.2.1:9")?;
        socket.local_addr()
    });
    let Some(own) = own.ok().map(|addr| addr.ip().to_string()).filter(|ip| !ip.starts_with("127.")) else { return };
    let serve = |more: &[&str]| {
        let args =
            ["--plaintext", "--memory", "--host", &own, "--port", "0", "--registration", "open", "--log", "error"];
        let server = start(env!("CARGO_BIN_EXE_chatnet-server"), &[&args[..], more].concat());
        let port = server.line().rsplit_once(':').unwrap().1.to_owned();
        (server, port)
    };
    let come = |port: &str, more: &[&str]| {
        let args = ["--plaintext", "--json", "--host", &own, "--port", port, "--account", "ada", "--register"];
        let mut ada = start(env!("CARGO_BIN_EXE_chatnet"), &[&args[..], more].concat());
        ada.say(PASSWORD);
        ada
    };
    let (_strict, port) = serve(&[]);
    assert_eq!(come(&port, &["--plaintext-passwords"]).event("error")["code"], "insecure");
    let (_lax, port) = serve(&["--plaintext-passwords"]);
    assert!(message(&come(&port, &[]).event("error")).contains("nothing was sent"));
    assert_eq!(come(&port, &["--plaintext-passwords"]).event("connected")["alias"], "ada");
}

#[test]
fn a_connection_that_is_lost_for_good_ends_the_program_whatever_it_waits_for() {
    for waits in ["/password", "/whois bob"] {
        let dir = tempfile::tempdir().unwrap();
        let mut server = serve(&dir.path().join("data"));
        let mut ada = server.account("ada", &["--register", "--no-reconnect"]);
        server.program.child.signal("STOP");
        // The first of these is done when the other one begins.
        pipe(&mut ada, &["/nonsense", waits]);
        ada.event("error");
        if waits == "/password" {
            ada.event("info");
        }
        server.program.child.kill().unwrap();
        ada.until(|o| o["event"] == "state" && o["state"] == "closed");
        // Its input is still open.
        assert_eq!(ada.child.wait().unwrap().code(), Some(5), "{waits}");
    }
}

#[test]
fn whoever_is_not_let_in_is_told_what_would_let_them_in() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("join");
    std::fs::write(&file, "joining\n").unwrap();
    for (args, says, says_not) in [
        (&["--no-guests"][..], "--account", "--server-password"),
        (&["--join-password", file.to_str().unwrap()], "--server-password", "--register"),
    ] {
        let common = ["--plaintext", "--memory", "--host", "127.0.0.1", "--port", "0"];
        let server = start(env!("CARGO_BIN_EXE_chatnet-server"), &[&common[..], args].concat());
        let port = server.line().rsplit_once(':').unwrap().1.to_owned();
        let zed = start(env!("CARGO_BIN_EXE_chatnet"), &["--plaintext", "--json", "--port", &port, "--name", "zed"]);
        let refused = zed.event("error");
        assert!(message(&refused).contains(says) && !message(&refused).contains(says_not), "{refused}");
    }
}

#[test]
fn on_a_terminal_what_is_needed_is_asked_for_and_what_is_secret_is_not_shown() {
    let dir = tempfile::tempdir().unwrap();
    let server = serve_with("invite", &dir.path().join("data"));
    let mut ada =
        start(env!("CARGO_BIN_EXE_chatnet"), &["--plaintext", "--json", "--port", &server.port, "--name", "ada"]);
    pipe(&mut ada, &["/create vault password", "/room secret"]);
    ada.until(is_here("vault"));
    let (done, code) = server.admin(&["invite-code"]);
    assert!(done);
    // `script` gives the program a terminal of its own.
    let command = format!("{} --plaintext --port {} --name bob", env!("CARGO_BIN_EXE_chatnet"), server.port);
    let mut bob = start("script", &["-qec", &command, "/dev/null"]);
    let mut shown = Vec::new();
    let mut until = |bob: &Program, word: &str| loop {
        let line = bob.line();
        shown.push(line.clone());
        if line.contains(word) {
            break;
        }
    };
    until(&bob, "you are in lobby");
    bob.say("/join vault");
    until(&bob, "type the room's password");
    bob.say("/room secret");
    until(&bob, "talking in vault");
    // A person who says nothing stays where they are.
    bob.say("/join vault password");
    until(&bob, "type the room's password");
    bob.say("");
    until(&bob, "nothing was done");
    bob.say("hello vault");
    assert_eq!(ada.event("message")["room"], "vault");
    bob.say("/register bob");
    until(&bob, "type a password");
    bob.say(PASSWORD);
    until(&bob, "whoever runs the server");
    let code = code.lines().last().unwrap().trim();
    bob.say(code);
    until(&bob, "connected as bob");
    for secret in ["/room secret", PASSWORD, code] {
        assert!(!shown.iter().any(|line| line.contains(secret)), "{shown:?}");
    }
    server.stop();
}
