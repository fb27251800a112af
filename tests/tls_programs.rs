//! The programs and TLS: first start, first use, changed keys, real certificates, signals.
#![cfg(all(feature = "server", feature = "cli", unix))]

#[path = "support/process.rs"]
mod process;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use process::Running;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(30);

/// A program with its pipes; killed when dropped.
struct Program {
    child: Running,
    lines: Receiver<String>,
    errors: Receiver<String>,
}

impl Program {
    fn line(&self) -> String {
        self.lines.recv_timeout(PATIENCE).expect("a line comes")
    }

    fn say(&mut self, line: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    /// The next object with this event, and the events before it.
    fn event(&self, event: &str) -> (Value, Vec<String>) {
        let mut before = Vec::new();
        loop {
            let object: Value = serde_json::from_str(&self.line()).unwrap();
            let kind = object["event"].as_str().unwrap().to_owned();
            if kind == event {
                return (object, before);
            }
            before.push(kind);
        }
    }

    /// Wait for its end; what it said on stderr.
    fn end(mut self) -> (Option<i32>, String) {
        self.child.stdin = None;
        let code = self.child.wait().unwrap().code();
        (code, self.errors.iter().collect::<Vec<_>>().join("\n"))
    }

    fn log_until(&self, words: &str) -> String {
        loop {
            let line = self.errors.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("the log says {words:?}"));
            if line.contains(words) {
                return line;
            }
        }
    }

    /// What is logged until then.
    fn log_up_to(&self, words: &str) -> Vec<String> {
        let mut lines: Vec<String> = Vec::new();
        while lines.last().is_none_or(|line| !line.contains(words)) {
            lines.push(self.errors.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("the log says {words:?}")));
        }
        lines
    }

    fn signal(&self, name: &str) {
        self.child.signal(name);
    }
}

fn lines(stream: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

/// A home of this test's own: nothing is remembered there yet.
struct Home(PathBuf);

impl Home {
    fn new(name: &str) -> Self {
        let directory = std::env::temp_dir().join(format!("chatnet-home-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir_all(&directory).unwrap();
        Self(directory)
    }

    fn start(&self, program: &str, args: &[&str]) -> Program {
        let mut child = Command::new(program)
            .args(args)
            .env_remove("CHATNET_LOG")
            .env("HOME", &self.0)
            .env("XDG_DATA_HOME", self.0.join("data"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (out, errors) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        Program { lines: lines(out), errors: lines(errors), child: Running(child) }
    }

    /// A server, its port, and its fingerprint.
    fn server(&self, args: &[&str]) -> (Program, String, String) {
        let program = self.start(env!("CARGO_BIN_EXE_chatnet-server"), args);
        let first = program.line();
        let port = first.rsplit_once(':').filter(|_| first.starts_with("listening on ")).expect(&first).1.to_owned();
        let second = program.line();
        let fingerprint = second.strip_prefix("fingerprint ").expect(&second).to_owned();
        assert!(fingerprint.starts_with("sha256:") && fingerprint.len() == 71, "{fingerprint}");
        (program, port, fingerprint)
    }

    fn chatnet(&self, args: &[&str]) -> Program {
        self.start(env!("CARGO_BIN_EXE_chatnet"), args)
    }

    fn json(&self, args: &[&str]) -> Program {
        self.chatnet(&[&["--json"], args].concat())
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

const LOCAL: &[&str] = &["--memory", "--host", "127.0.0.1", "--port", "0"];

#[test]
fn the_first_start_makes_a_certificate_and_a_client_remembers_its_key() {
    let home = Home::new("first");
    let (server, port, fingerprint) = home.server(LOCAL);
    let data = home.0.join("data/chatnet-server");
    assert_eq!((mode(&data), mode(&data.join("tls-key.pem"))), (0o700, 0o600));

    let ada = home.json(&["--port", &port, "--name", "ada"]);
    let (contact, _) = ada.event("first_contact");
    assert_eq!(contact["fingerprint"].as_str(), Some(fingerprint.as_str()));
    assert_eq!(
        (contact["server"].as_str(), contact["accepted"].as_bool()),
        (Some(&*format!("127.0.0.1:{port}")), Some(true))
    );
    ada.event("connected");
    let bob = home.json(&["--port", &port, "--name", "bob"]);
    assert!(!bob.event("connected").1.contains(&"first_contact".to_owned()));
    let known = home.0.join("data/chatnet/known_servers");
    assert_eq!(mode(&known), 0o600);
    assert_eq!(fs::read_to_string(&known).unwrap(), format!("127.0.0.1:{port} {fingerprint}\n"));

    // The next start shows the same key, and the same certificate.
    let certificate = fs::read(data.join("tls-cert.pem")).unwrap();
    drop(server);
    let (_server, port, again) = home.server(&["--host", "127.0.0.1", "--port", &port]);
    assert_eq!(again, fingerprint);
    assert_eq!(fs::read(data.join("tls-cert.pem")).unwrap(), certificate);
    // So does one whose certificate has to be made again.
    fs::remove_file(data.join("tls-cert.pem")).unwrap();
    let (_other, _, renewed) = home.server(LOCAL);
    assert_eq!(renewed, fingerprint);
    let eve = home.json(&["--port", &port, "--name", "eve"]);
    assert!(!eve.event("connected").1.contains(&"first_contact".to_owned()));
}

#[test]
fn a_changed_key_is_refused_with_both_fingerprints_and_the_way_out_works() {
    let home = Home::new("changed");
    let (server, port, old) = home.server(LOCAL);
    home.json(&["--port", &port]).event("connected");
    drop(server);
    fs::remove_dir_all(home.0.join("data/chatnet-server")).unwrap();
    let (_server, port, new) = home.server(&["--host", "127.0.0.1", "--port", &port]);
    let refused = home.json(&["--port", &port]);
    assert_eq!(refused.event("error").0["code"], "server_changed");
    let (code, text) = refused.end();
    assert_eq!(code, Some(3));
    let forget = format!("chatnet forget 127.0.0.1:{port}");
    for words in [&old, &new, &forget, "somebody"] {
        assert!(text.contains(words), "{words:?} is missing: {text}");
    }
    // Nor is TLS given up for it.
    let (code, text) = home.chatnet(&["--plaintext", "--port", &port]).end();
    assert_eq!(code, Some(3));
    assert!(text.contains(&forget) && text.contains("remembered as a server with TLS"), "{text}");

    let forgotten = home.chatnet(&["forget", &format!("127.0.0.1:{port}")]);
    assert_eq!(forgotten.line(), format!("forgotten: 127.0.0.1:{port} {old}"));
    assert_eq!(forgotten.end().0, Some(0));
    assert_eq!(home.chatnet(&["forget", "127.0.0.1"]).end().0, Some(1));
    let back = home.json(&["--port", &port]);
    assert_eq!(back.event("first_contact").0["fingerprint"].as_str(), Some(new.as_str()));
    back.event("connected");
}

#[test]
fn beyond_this_machine_first_contact_needs_a_flag_or_a_person() {
    let home = Home::new("beyond");
    let (_server, port, fingerprint) = home.server(LOCAL);
    // Linux connects to itself by this one, which is no loopback address to look at.
    let there = ["--host", "0.0.0.0", "--port", port.as_str()];
    let refused = home.json(&there);
    assert_eq!(refused.event("first_contact").0["accepted"], false);
    assert_eq!(refused.event("error").0["code"], "server_unknown");
    let (code, text) = refused.end();
    assert_eq!(code, Some(3));
    assert!(text.contains(&format!("--fingerprint {fingerprint}")) && text.contains("--accept-new"), "{text}");

    let wrong = format!("sha256:{}", "0".repeat(64));
    let (code, text) = home.chatnet(&[&there[..], &["--fingerprint", &wrong]].concat()).end();
    assert_eq!(code, Some(3));
    assert!(text.contains(&wrong) && text.contains(&fingerprint), "{text}");
    assert!(text.contains("correct --fingerprint") && !text.contains("chatnet forget"), "{text}");

    // On a terminal it is shown, and asked.
    let command = format!("{} --host 0.0.0.0 --port {port} --name bob", env!("CARGO_BIN_EXE_chatnet"));
    for (answer, end) in [("no", "is not known yet, and"), ("yes", "connected as bob")] {
        let mut bob = home.start("script", &["-qec", &command, "/dev/null"]);
        let shown = std::iter::from_fn(|| Some(bob.line())).find(|line| line.contains("sha256:")).unwrap();
        assert!(shown.contains(&fingerprint), "{shown}");
        std::iter::from_fn(|| Some(bob.line())).find(|line| line.contains("type yes")).unwrap();
        bob.say(answer);
        std::iter::from_fn(|| Some(bob.line())).find(|line| line.contains(end)).unwrap();
    }
    home.json(&there).event("connected");

    let other = Home::new("beyond-other");
    let accepted = other.json(&[&there[..], &["--accept-new"]].concat());
    assert_eq!(accepted.event("first_contact").0["accepted"], true);
    accepted.event("connected");
    let third = Home::new("beyond-third");
    let checked = third.json(&[&there[..], &["--fingerprint", &fingerprint]].concat());
    assert!(!checked.event("connected").1.contains(&"first_contact".to_owned()));
    third.json(&there).event("connected");
}

/// An authority's certificate, and certificates of it for this machine, as files.
struct Lab {
    directory: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

impl Lab {
    fn new(home: &Home) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        fs::write(home.0.join("ca.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
        Self { directory: home.0.clone(), issuer: Issuer::new(params, key) }
    }

    fn path(&self, file: &str) -> String {
        self.directory.join(file).to_str().unwrap().to_owned()
    }

    fn issue(&self, name: &str, expired: bool) {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        if expired {
            params.not_before = rcgen::date_time_ymd(2020, 1, 1);
            params.not_after = rcgen::date_time_ymd(2021, 1, 1);
        }
        let key = KeyPair::generate().unwrap();
        fs::write(self.path("key.pem"), key.serialize_pem()).unwrap();
        fs::write(self.path("cert.pem"), params.signed_by(&key, &self.issuer).unwrap().pem()).unwrap();
    }
}

#[test]
fn a_real_certificate_is_checked_by_its_authority_and_read_again_on_a_signal() {
    let home = Home::new("real");
    let lab = Lab::new(&home);
    lab.issue("127.0.0.1", false);
    let (cert, key, ca) = (lab.path("cert.pem"), lab.path("key.pem"), lab.path("ca.pem"));
    let (server, port, _) = home.server(&[LOCAL, &["--tls-cert", &cert, "--tls-key", &key]].concat());
    assert!(!home.0.join("data/chatnet-server").exists(), "no certificate of its own is made");
    let trusting = ["--tls-ca", ca.as_str(), "--port", port.as_str()];
    let mut ada = home.json(&trusting);
    assert!(!ada.event("connected").1.contains(&"first_contact".to_owned()));
    assert_eq!(
        fs::read_to_string(home.0.join("data/chatnet/known_servers")).unwrap(),
        format!("127.0.0.1:{port} ca\n")
    );

    let words =
        [("127.0.0.1", true, "expired"), ("elsewhere.example.org", false, "is for elsewhere.example.org, not for")];
    for (name, expired, words) in words {
        lab.issue(name, expired);
        server.signal("HUP");
        server.log_until("certificate reloaded");
        let (code, text) = home.chatnet(&trusting).end();
        assert_eq!(code, Some(3));
        assert!(text.contains(words) && text.contains("is not trusted"), "{text}");
    }
    // By another authority, or without naming one, it isn't taken for less.
    lab.issue("127.0.0.1", false);
    server.signal("HUP");
    server.log_until("certificate reloaded");
    let (code, text) = home.chatnet(&["--port", &port]).end();
    assert_eq!(code, Some(3));
    assert!(text.contains("no authority that is trusted here vouches"), "{text}");

    fs::write(&cert, "nonsense").unwrap();
    server.signal("HUP");
    let told = server.log_until("was not reloaded, the old one stays");
    assert!(told.contains("cert.pem"), "{told}");
    home.json(&trusting).event("connected");
    // Whoever was there all the time still is.
    ada.say("still here");
    assert_eq!(ada.event("ack").0["seq"], 1);

    let broken = home.start(env!("CARGO_BIN_EXE_chatnet-server"), &["--tls-cert", &cert, "--tls-key", &key]);
    let (code, text) = broken.end();
    assert_eq!(code, Some(3));
    assert!(text.contains("cert.pem"), "{text}");
}

#[test]
fn plaintext_is_by_purpose_only_and_said_in_words() {
    let home = Home::new("plain");
    let server = home.start(env!("CARGO_BIN_EXE_chatnet-server"), &["--memory", "--port", "0", "--plaintext"]);
    let port = server.line().rsplit_once(':').unwrap().1.to_owned();
    assert!(server.log_until("--plaintext: ").contains("unencrypted"));
    assert!(!home.0.join("data").exists(), "nothing is kept for it");
    let (code, text) = home.chatnet(&["--port", &port]).end();
    assert_eq!(code, Some(3));
    assert!(text.contains("does not speak TLS") && text.contains("--plaintext"), "{text}");
    home.json(&["--plaintext", "--port", &port]).event("connected");

    let (_server, port, _) = home.server(LOCAL);
    let mistaken = home.json(&["--plaintext", "--port", &port]);
    assert_eq!(mistaken.event("error").0["code"], "tls_required");
    assert_eq!(mistaken.end().0, Some(3));
}

#[test]
fn a_server_says_at_start_that_anybody_can_take_part_if_that_is_so() {
    let home = Home::new("open");
    let password = home.0.join("password");
    fs::write(&password, "sesame\n").unwrap();
    let asked = ["--join-password", password.to_str().unwrap()];
    let cases: [(&[&str], bool); 6] = [
        (&[], true),
        (&["--plaintext"], true),
        (&["--no-guests"], false),
        (&["--plaintext", "--no-guests"], false),
        (&asked, false),
        (&["--plaintext", asked[0], asked[1]], false),
    ];
    for (args, open) in cases {
        let args = [&["--memory", "--port", "0"], args].concat();
        let server = home.start(env!("CARGO_BIN_EXE_chatnet-server"), &args);
        assert!(server.line().starts_with("listening on "));
        server.signal("TERM");
        let log = server.log_up_to("stopped");
        let told: Vec<_> = log.iter().filter(|line| line.contains("anybody who reaches")).collect();
        assert_eq!(told.len(), usize::from(open), "{args:?}: {log:?}");
        assert!(told.iter().all(|line| line.contains("--join-password")), "{told:?}");
    }
}

#[test]
fn servers_that_start_at_once_show_one_key() {
    let home = Home::new("at-once");
    let servers: Vec<_> = (0..4).map(|_| home.start(env!("CARGO_BIN_EXE_chatnet-server"), LOCAL)).collect();
    let mut prints: Vec<_> = servers
        .iter()
        .map(|server| {
            assert!(server.line().starts_with("listening on "));
            server.line()
        })
        .collect();
    prints.dedup();
    assert_eq!(prints.len(), 1, "{prints:?}");
}

#[test]
fn a_data_directory_that_others_control_is_refused() {
    let home = Home::new("foreign");
    let refuse = |directory: &Path, words: &str| {
        let args = [LOCAL, &["--data-dir", directory.to_str().unwrap()]].concat();
        let (code, text) = home.start(env!("CARGO_BIN_EXE_chatnet-server"), &args).end();
        assert_eq!(code, Some(3));
        assert!(text.contains(words), "{text}");
    };
    let (real, link, open) = (home.0.join("real"), home.0.join("link"), home.0.join("open"));
    fs::create_dir(&real).unwrap();
    symlink(&real, &link).unwrap();
    refuse(&link, "symbolic link");
    fs::create_dir(&open).unwrap();
    fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
    refuse(&open, "others may write to it");
    fs::write(home.0.join("file"), "").unwrap();
    refuse(&home.0.join("file"), "not a directory");
}
