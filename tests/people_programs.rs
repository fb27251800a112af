//! A story with real processes: accounts, a room, order, a direct, a restart, and everything is as it was.
#![cfg(all(feature = "server", feature = "cli", unix))]

#[path = "support/people.rs"]
mod people;
#[path = "support/process.rs"]
mod process;

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use people::{PASSWORD, Program, serve, serve_with, start};
use serde_json::Value;

#[test]
fn whoever_has_lost_a_password_sets_a_new_one_with_a_code_and_is_told_how() {
    let dir = tempfile::tempdir().unwrap();
    let server = serve(&dir.path().join("data"));
    drop(server.account("ada", &["--register"]));
    let (done, told) = server.admin(&["reset-code", "ada"]);
    assert!(done && told.contains("\nchatnet --account ada --reset\n"), "{told}");
    let code = told.lines().next().unwrap();
    let args = ["--plaintext", "--json", "--port", &server.port, "--account", "ada", "--reset"];
    let mut ada = start(env!("CARGO_BIN_EXE_chatnet"), &args);
    ada.say("battery staple");
    ada.say(code);
    assert_eq!(ada.event("connected")["alias"], "ada");
    let mut again = start(env!("CARGO_BIN_EXE_chatnet"), &args[..6]);
    again.say("battery staple");
    assert_eq!(again.event("connected")["alias"], "ada");
    drop((ada, again));
    server.stop();
}

#[test]
fn people_and_rooms_are_as_they_were_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let server = serve(&dir.path().join("data"));
    let mut ada = server.account("ada", &["--register"]);
    let phone = server.account("ada", &[]);
    let mut bob = server.account("bob", &["--register"]);
    drop(server.account("carl", &["--register"]));
    ada.say("/create cellar invite");
    ada.until(|o| o["event"] == "entered" && o["room"] == "cellar");
    phone.until(|o| o["event"] == "entered" && o["room"] == "cellar");
    bob.say("/join cellar");
    assert!(bob.event("error")["message"].as_str().unwrap().contains("invite"));
    ada.say("/room cellar");
    ada.say("/invite bob");
    bob.until(|o| o["event"] == "notice" && o["text"].as_str().unwrap().contains("cellar"));
    bob.say("/join cellar");
    bob.until(|o| o["event"] == "entered" && o["room"] == "cellar");
    bob.say("hello");
    assert_eq!(ada.event("message")["text"], "hello");
    assert_eq!(phone.event("message")["text"], "hello");
    ada.say("/mute bob too loud");
    bob.until(|o| o["event"] == "change" && o["kind"] == "mute" && o["whom"] == "bob");
    bob.say("mmh");
    assert_eq!(bob.event("error")["code"], "muted");
    ada.say("/msg carl while you were away");
    ada.until(|o| o["event"] == "ack" && o["room"] == "@carl");
    let file = dir.path().join("ada.jsonl");
    ada.say(&format!("/export {}", file.display()));
    ada.until(|o| o["event"] == "info" && o["text"].as_str().unwrap().contains("ada.jsonl"));
    let exported = std::fs::read_to_string(&file).unwrap();
    let exported: Vec<Value> = exported.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&exported[0]["kind"], &exported[0]["alias"]), (&"account".into(), &"ada".into()));
    assert!(exported.iter().any(|o| o["kind"] == "event" && o["text"] == "while you were away"), "{exported:?}");
    assert!(!exported.iter().any(|o| o["text"] == "hello"), "that is another one's");
    ada.say(&format!("/export {}", file.display()));
    assert!(ada.event("error")["message"].as_str().unwrap().contains("there already"));
    ada.say("/nick lovelace");
    assert_eq!(phone.event("alias")["alias"], "lovelace");
    bob.until(|o| o["event"] == "change" && o["kind"] == "alias" && o["from"] == "ada" && o["text"] == "lovelace");
    ada.say("/nick ada");
    assert_eq!(ada.until(|o| o["event"] == "alias" && o["alias"] == "ada")["alias"], "ada");
    ada.say("/ban bob 7d enough is enough");
    assert_eq!(bob.event("exited")["code"], "room_banned");
    assert_eq!(server.admin(&["grant", "carl"]), (true, "carl is an admin\n".to_owned()));
    assert!(!server.admin(&["grant", "nobody"]).0);
    drop((ada, phone, bob));
    server.stop();

    let server = serve(&dir.path().join("data"));
    let mut carl = server.account("carl", &[]);
    assert_eq!(carl.event("message")["text"], "while you were away");
    carl.say("/audit");
    let audit = carl.event("info")["text"].as_str().unwrap().to_owned();
    assert!(audit.contains("ada ban bob in cellar") && audit.contains("ada mute bob"), "{audit}");
    let mut bob = server.account("bob", &[]);
    bob.say("/join cellar");
    assert!(bob.event("error")["message"].as_str().unwrap().contains("banned"));
    let ada = server.account("ada", &[]);
    ada.until(|o| o["event"] == "entered" && o["room"] == "cellar");
    // She still has it, and what she has decided there holds.
    let mut ada = ada;
    ada.say("/room cellar");
    ada.say("/bans");
    let bans = ada.until(|o| o["event"] == "info" && o["text"].as_str().unwrap().contains("enough"));
    assert!(bans["text"].as_str().unwrap().starts_with("* bob by ada until 2"), "{bans}");
    ada.say("/topic tea");
    ada.until(|o| o["event"] == "change" && o["kind"] == "topic" && o["text"] == "tea");
    let (_, accounts) = server.admin(&["accounts"]);
    assert_eq!(
        accounts.lines().map(|line| line.split('\t').next().unwrap()).collect::<Vec<_>>(),
        ["ada", "bob", "carl"]
    );
    server.stop();
}

#[test]
fn an_admin_says_how_much_of_a_room_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let server = serve(&dir.path().join("data"));
    let admin = |words: &[&str]| server.admin(words);
    assert_eq!(admin(&["retention", "lobby"]), (true, "everything is kept\n".to_owned()));
    let kept = (true, "kept: no older than 30 days, at most 1000 messages\n".to_owned());
    assert_eq!(admin(&["retain", "lobby", "--days", "30", "--events", "1000"]), kept);
    assert_eq!(admin(&["retention", "lobby"]), kept);
    assert_eq!(admin(&["retain", "lobby", "--like-others"]), (true, "everything is kept\n".to_owned()));
    let (done, said) = admin(&["retain", "nowhere", "--events", "1"]);
    assert!(!done && said.contains("no such room"), "{said}");
    server.stop();
}

#[test]
fn an_admin_socket_is_its_user_s_alone_and_a_symbolic_link_is_none() {
    use std::os::unix::fs::PermissionsExt;

    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let server = serve(&data);
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&data), mode(&data.join("admin.sock"))), (0o700, 0o600));
    assert!(server.admin(&["stats"]).1.contains("connections"));
    server.stop();
    assert!(!data.join("admin.sock").exists(), "it goes with its server");
    std::os::unix::fs::symlink("/dev/null", data.join("admin.sock")).unwrap();
    let server = serve(&data);
    assert!(!server.admin(&["stats"]).0);
    assert!(std::fs::symlink_metadata(data.join("admin.sock")).unwrap().is_symlink(), "it was left as it is");
    server.stop();
}

#[test]
fn an_admin_command_makes_and_changes_no_directory_and_a_server_takes_none_of_others() {
    use std::os::unix::fs::PermissionsExt;

    let dir = tempfile::tempdir().unwrap();
    let (none, open) = (dir.path().join("no/such"), dir.path().join("open"));
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let run = |args: &[&str]| {
        let out = Command::new(env!("CARGO_BIN_EXE_chatnet-server")).args(args).stdin(Stdio::null()).output().unwrap();
        assert!(!out.status.success(), "{args:?}");
        String::from_utf8(out.stderr).unwrap()
    };
    for command in [&["admin", "stats"][..], &["check"], &["backup", "/dev/null/x"]] {
        let said = run(&[command, &["--data-dir", none.to_str().unwrap()]].concat());
        assert!(said.contains("there is no data directory") && said.contains("--data-dir"), "{said}");
    }
    assert!(!dir.path().join("no").exists());
    std::fs::create_dir(&open).unwrap();
    std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::write(open.join("passwd"), "").unwrap();
    let path = open.to_str().unwrap();
    assert!(run(&["admin", "stats", "--data-dir", path]).contains("no server answers"));
    let said = run(&["--plaintext", "--host", "127.0.0.1", "--port", "0", "--data-dir", path]);
    assert!(said.contains("not the server's") && said.contains("chmod 700"), "{said}");
    assert_eq!((mode(&open), std::fs::read_dir(&open).unwrap().count()), (0o755, 1), "it is as it was");
    // One that is empty, or was the server's before, becomes its own.
    std::fs::remove_file(open.join("passwd")).unwrap();
    serve(&open).stop();
    assert_eq!(mode(&open), 0o700);
    std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::write(open.join("notes"), "").unwrap();
    serve(&open).stop();
    assert_eq!(mode(&open), 0o700);
}

#[test]
fn an_admin_reads_all_of_the_books_page_by_page() {
    let dir = tempfile::tempdir().unwrap();
    let server = serve(&dir.path().join("data"));
    for n in 0..250 {
        // As its own commands do, without a program each.
        let mut socket = std::os::unix::net::UnixStream::connect(Path::new(&server.dir).join("admin.sock")).unwrap();
        socket.write_all(format!("announce\tn{n}\n").as_bytes()).unwrap();
        let mut reply = String::new();
        socket.read_to_string(&mut reply).unwrap();
        assert!(reply.starts_with("ok"), "{reply}");
    }
    let numbers = |said: &str| -> Vec<u64> {
        said.lines().filter_map(|line| line.split('\t').next().unwrap().parse().ok()).collect()
    };
    let (done, said) = server.admin(&["audit"]);
    assert!(done && said.contains("--before 51 shows older ones"), "{said}");
    assert_eq!(numbers(&said), (51..=250).rev().collect::<Vec<_>>());
    assert_eq!(numbers(&server.admin(&["audit", "--before", "51"]).1), (1..=50).rev().collect::<Vec<_>>());
    assert_eq!(numbers(&server.admin(&["audit", "--all"]).1), (1..=250).rev().collect::<Vec<_>>());
    server.stop();
}

#[test]
fn an_admin_throws_out_and_bans_by_the_names_that_people_go_by() {
    let dir = tempfile::tempdir().unwrap();
    let server = serve(&dir.path().join("data"));
    let args = ["--plaintext", "--json", "--port", &server.port, "--name", "Zo\u{eb} B"];
    let zoe = start(env!("CARGO_BIN_EXE_chatnet"), &args);
    zoe.event("connected");
    let (done, said) = server.admin(&["kick", "zoe\u{308}_b", "tea"]);
    assert!(done && said.starts_with("ended 1 session"), "{said}");
    let guest =
        start(env!("CARGO_BIN_EXE_chatnet"), &["--plaintext", "--json", "--port", &server.port, "--name", "troll"]);
    guest.event("connected");
    let (done, said) = server.admin(&["ban", "troll", "bye\u{1b}[31m"]);
    assert!(!done && said.contains("U+001B"), "{said}");
    let (done, said) = server.admin(&["ban", "troll"]);
    assert!(done && said.contains("a guest may come by another name"), "{said}");
    let (done, said) = server.admin(&["create", "server"]);
    assert!(!done, "{said}");
    server.stop();
}

#[test]
fn a_wrong_password_is_told_and_is_no_argument() {
    let dir = tempfile::tempdir().unwrap();
    let server = serve(&dir.path().join("data"));
    drop(server.account("ada", &["--register"]));
    let args = ["--plaintext", "--port", &server.port, "--account", "ada"];
    let mut child = Command::new(env!("CARGO_BIN_EXE_chatnet"))
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    writeln!(child.stdin.take().unwrap(), "incorrect horse").unwrap();
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(4));
    assert!(said.contains("account and password"), "{said}");
    assert!(!said.contains("horse"));
}

#[test]
fn who_makes_a_room_talks_there_and_who_is_put_out_of_it_talks_nowhere_until_they_choose() {
    let dir = tempfile::tempdir().unwrap();
    let server = serve(&dir.path().join("data"));
    let mut ada = server.account("ada", &["--register"]);
    let mut bob = server.account("bob", &["--register"]);
    ada.say("/create cellar");
    ada.say("a secret");
    assert_eq!(ada.event("ack")["room"], "cellar");
    bob.say("/join cellar");
    bob.say("in here");
    assert_eq!(bob.event("ack")["room"], "cellar");
    ada.say("/kick bob");
    assert_eq!(bob.event("exited")["room"], "cellar");
    let told = bob.event("info")["text"].as_str().unwrap().to_owned();
    assert!(told.contains("no room now; /room lobby"), "{told}");
    bob.say("about ada");
    let refused = bob.event("error");
    assert_eq!((&refused["code"], &refused["text"]), (&"not_a_member".into(), &"about ada".into()));
    bob.say("/room lobby");
    bob.say("hello all");
    assert_eq!(bob.event("ack")["room"], "lobby");
    assert_eq!(ada.until(|o| o["event"] == "message" && o["room"] == "lobby")["text"], "hello all");
    ada.say("/leave");
    ada.event("exited");
    ada.say("to whom?");
    assert_eq!(ada.event("error")["code"], "not_a_member");
    server.stop();
}

#[test]
fn an_alias_with_blanks_is_addressed_in_quotes_and_a_mistyped_time_bans_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let server = serve(&dir.path().join("data"));
    let mut ada = server.account("ada", &["--register"]);
    let mut bob = server.account("bob", &["--register"]);
    bob.say("/nick Bob the B");
    bob.event("alias");
    ada.say("/msg Bob hi");
    assert!(ada.event("error")["message"].as_str().unwrap().contains("in quotes"));
    ada.say("/msg \"Bob the B\" hi");
    assert_eq!(bob.event("message")["text"], "hi");
    ada.say("/create cellar");
    ada.until(|o| o["event"] == "entered" && o["room"] == "cellar");
    bob.say("/join cellar");
    bob.until(|o| o["event"] == "entered" && o["room"] == "cellar");
    for wrong in ["/ban \"Bob the B\" 10x nope", "/ban \"Bob the B\" 1d1h", "/mute \"Bob the B\" 10 minutes"] {
        ada.say(wrong);
        let told = ada.event("error");
        assert!(told["message"].as_str().unwrap().contains("90s, 10m, 2h"), "{wrong}: {told}");
    }
    let told = |program: &Program| program.event("info")["text"].as_str().unwrap().to_owned();
    ada.say("/bans");
    let bans = ada.until(|o| o["event"] == "info" && !o["text"].as_str().unwrap().contains("talking"));
    assert_eq!(bans["text"], "* nobody is banned here");
    ada.say("/mute \"Bob the B\" 10m why");
    assert!(told(&ada).starts_with("* Bob the B is muted until 2"));
    ada.say("/ban \"Bob the B\" why");
    assert_eq!(told(&ada), "* Bob the B is banned until /unban \"Bob the B\"");
    ada.say("/topic tea");
    ada.say("/topic");
    assert_eq!(told(&ada), "* cellar is about: tea");
    ada.say("/topic -");
    ada.say("/topic");
    assert!(told(&ada).contains("no topic"));

    let (done, said) = server.admin(&["ban", "eve", "10m"]);
    assert!(!done && said.contains("--for 10m"), "{said}");
    let (done, said) = server.admin(&["ban", "spam*", "--for", "10m", "why"]);
    assert!(done && said.starts_with("banned spam* until 2"), "{said}");
    assert!(server.admin(&["bans"]).1.contains("until 2"));
    assert!(server.admin(&["audit"]).1.lines().all(|line| line.split('\t').nth(1).unwrap().ends_with('Z')));
    server.stop();
}

#[test]
fn whoever_registers_where_that_needs_a_code_is_asked_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let server = serve_with("invite", &dir.path().join("data"));
    let (done, code) = server.admin(&["invite-code"]);
    assert!(done);
    let args = ["--plaintext", "--json", "--port", &server.port, "--name", "ada"];
    let mut ada = start(env!("CARGO_BIN_EXE_chatnet"), &args);
    ada.event("connected");
    // Also of who wants to keep the alias that they have as a guest.
    let register = |ada: &mut Program, code: &str| {
        ada.say("/register code");
        assert!(ada.event("info")["text"].as_str().unwrap().contains("password"));
        ada.say(PASSWORD);
        let asked =
            |object: &Value| object["text"].as_str().is_some_and(|text| text.contains("whoever runs the server"));
        ada.until(|object| object["event"] == "info" && asked(object));
        ada.say(code);
    };
    register(&mut ada, "0123");
    let failed = ada.event("error");
    let why = failed["message"].as_str().unwrap();
    assert!(why.contains("/register ada") && why.contains("you are ada as before"), "{why}");
    ada.event("connected");
    register(&mut ada, code.lines().last().unwrap().trim());
    ada.until(|object| object["event"] == "info" || object["event"] == "connected");
    ada.say("still here");
    assert_eq!(ada.event("ack")["text"], "still here");
    assert!(server.admin(&["accounts"]).1.contains("ada"));
    server.stop();
}

#[test]
fn a_login_that_fails_leaves_one_who_one_was() {
    let dir = tempfile::tempdir().unwrap();
    let server = serve(&dir.path().join("data"));
    drop(server.account("ada", &["--register"]));
    let mut bob = server.account("bob", &["--register"]);
    bob.say("/login ada");
    bob.event("info");
    bob.say("incorrect horse");
    let failed = bob.event("error");
    assert_eq!(failed["code"], "login_failed");
    let why = failed["message"].as_str().unwrap();
    assert!(why.contains("/login ada") && why.contains("you are bob as before"), "{why}");
    bob.say("still here");
    assert_eq!(bob.event("ack")["text"], "still here");
    bob.say("/login ada");
    bob.event("info");
    bob.say(PASSWORD);
    assert_eq!(bob.event("connected")["alias"], "ada");
    server.stop();
}

#[test]
fn a_message_is_removed_by_the_number_that_history_shows() {
    let dir = tempfile::tempdir().unwrap();
    let server = serve(&dir.path().join("data"));
    let mut ada = server.account("ada", &["--register"]);
    ada.say("/create cellar");
    for text in ["one", "two", "three"] {
        ada.say(text);
        ada.event("ack");
    }
    ada.say("/history 2");
    let history = ada.event("history");
    assert_eq!((&history["room"], &history["count"]), (&"cellar".into(), &2.into()));
    let two = ada.event("message");
    assert_eq!(two["text"], "two");
    // What was done there is no message: three that can be shown are asked for, and come.
    ada.say("/topic tea");
    ada.say(&format!("/delete {}", two["seq"]));
    ada.until(|o| o["event"] == "change" && o["kind"] == "deletion");
    let topic = two["seq"].as_u64().unwrap() + 2;
    for (no_message, why) in [(topic, "is no message"), (two["seq"].as_u64().unwrap(), "removed already")] {
        ada.say(&format!("/delete {no_message}"));
        assert!(ada.event("error")["message"].as_str().unwrap().contains(why), "{no_message}");
    }
    ada.say("/delete 99");
    assert!(ada.event("error")["message"].as_str().unwrap().contains("no such message"));

    let args = ["--plaintext", "--plain", "--port", &server.port, "--name", "bob", "--room", "cellar"];
    let mut bob = start(env!("CARGO_BIN_EXE_chatnet"), &args);
    bob.say("/history 3");
    let shown: Vec<_> =
        std::iter::from_fn(|| Some(bob.line())).skip_while(|l| !l.contains("the last")).take(4).collect();
    assert!(shown[0].starts_with("* the last 3 messages in cellar"), "{shown:?}");
    assert!(shown[1].starts_with("~ #") && shown[1].ends_with("[cellar] ada: one"), "{shown:?}");
    assert_eq!(shown[2], format!("* #{} [cellar] ada: this message was removed", two["seq"]));
    server.stop();
}
