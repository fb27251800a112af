//! What TLS costs, beside plaintext in the same run: `cargo bench --features tls --bench tls`.
//!
//! The server is this process, its clients are others, so that what is measured is the server's own CPU time and memory. Linux only: figures come from `/proc`.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use async_std::task::{self, block_on};
use chatnet::transport::tls::{ClientTls, ServerTls};
use chatnet::{Client, Event, Server, ServerHandle};
use futures::StreamExt;

#[path = "../tests/support/flood.rs"]
mod flood;

const IDLE: usize = 2000;
const MEMBERS: usize = 100;
const MESSAGES: usize = 3000;
const HANDSHAKES: usize = 3000;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if let Some(at) = args.iter().position(|arg| arg == "--child") {
        return child(&args[at + 1], args[at + 2].parse().unwrap(), &args[at + 3]);
    }
    let tls = ServerTls::self_signed(&["127.0.0.1".into()]).unwrap();
    let pin = tls.fingerprint().to_string();
    let (plain_addr, plain) = serve(None);
    let (tls_addr, encrypted) = serve(Some(tls));

    for (what, resumes) in [("full", false), ("resumed", true)] {
        println!("tls: {:?} of computing a handshake ({what}), the server's part, no socket", computing(resumes));
    }
    // All of them stay until the last is measured: memory that some give back would be used by the next ones.
    let mut staying = Vec::new();
    let kinds = [
        ("plaintext", "idle", plain_addr, "-"),
        ("tls", "idle", tls_addr, pin.as_str()),
        ("tls, unfinished,", "unfinished", tls_addr, pin.as_str()),
    ];
    for (what, job, addr, pin) in kinds {
        let mut idle = Clients::start(job, addr, pin);
        idle.wait("warm");
        let before = resident();
        idle.go();
        idle.wait("ready");
        task::block_on(task::sleep(Duration::from_secs(2)));
        println!("{what}: {} bytes an idle connection", resident().saturating_sub(before) / IDLE);
        staying.push(idle);
    }
    for mut idle in staying {
        idle.go();
        idle.end();
    }
    settle(&plain);
    settle(&encrypted);

    for (what, addr, pin, handle) in
        [("plaintext", plain_addr, "-", &plain), ("tls", tls_addr, pin.as_str(), &encrypted)]
    {
        let mut fan = Clients::start("fan", addr, pin);
        fan.wait("ready");
        let cpu = cpu();
        fan.go();
        fan.wait("done");
        let spent = self::cpu() - cpu;
        println!("{what}: {:.3} µs of CPU a delivery", spent.as_secs_f64() * 1e6 / (MESSAGES * (MEMBERS - 1)) as f64);
        fan.end();
        settle(handle);

        for kind in ["full", "resumed"] {
            if what == "plaintext" && kind == "resumed" {
                continue;
            }
            let mut clients = Clients::start(kind, addr, pin);
            clients.wait("ready");
            let (cpu, begun) = (self::cpu(), Instant::now());
            clients.go();
            clients.wait("done");
            let (spent, took) = (self::cpu() - cpu, begun.elapsed());
            let each = spent / HANDSHAKES as u32;
            println!(
                "{what}: {each:?} of CPU a connection ({kind}), {:.0} a second and core; {:.0} a second here, client included",
                1.0 / each.as_secs_f64(),
                HANDSHAKES as f64 / took.as_secs_f64()
            );
            clients.end();
            settle(handle);
        }
    }
    let counters = block_on(encrypted.counters()).unwrap();
    println!("tls: {} handshakes, {} resumed", counters.tls_handshakes, counters.tls_resumed);

    let mut plain = Clients::start("chat", plain_addr, "-");
    println!("plaintext: latency of 50 users {}", plain.wait("p50"));
    plain.go();
    plain.wait("p50");
    plain.end();
    let mut chat = Clients::start("chat", tls_addr, &pin);
    println!("tls: latency of 50 users {}", chat.wait("p50"));
    let begun = || block_on(encrypted.counters()).unwrap().tls_handshakes;
    let mut flood = Clients::start("flood", tls_addr, &pin);
    flood.wait("ready");
    let (cpu, before) = (cpu(), begun());
    chat.go();
    println!("tls: latency of 50 users {} in a flood", chat.wait("p50"));
    println!("tls: {} of its handshakes were finished", begun() - before);
    println!("tls: the server used {:?} of CPU in about 10 s of it", self::cpu() - cpu);
    chat.end();
    flood.go();
    println!("tls: the flood had {}", flood.wait("begun"));
    flood.end();
}

/// What rustls itself takes for a server's part of a handshake.
fn computing(resumes: bool) -> Duration {
    use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};
    use std::sync::Arc;

    const ROUNDS: u32 = 1000;
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(vec!["localhost".into()]).unwrap().self_signed(&key).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certificate.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let server = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
    let key = rustls::pki_types::PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let mut server =
        server.unwrap().with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key).unwrap();
    server.ticketer = rustls::crypto::ring::Ticketer::new().unwrap();
    let server = Arc::new(server);
    let client = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let mut client = client.unwrap().with_root_certificates(roots).with_no_client_auth();
    if !resumes {
        client.resumption = rustls::client::Resumption::disabled();
    }
    let client = Arc::new(client);
    let mut spent = Duration::ZERO;
    for _ in 0..ROUNDS {
        let mut here = ClientConnection::new(Arc::clone(&client), "localhost".try_into().unwrap()).unwrap();
        let begun = Instant::now();
        let mut there = ServerConnection::new(Arc::clone(&server)).unwrap();
        spent += begun.elapsed();
        while here.is_handshaking() || there.is_handshaking() || there.wants_write() {
            let mut wire = Vec::new();
            while here.wants_write() {
                here.write_tls(&mut wire).unwrap();
            }
            let begun = Instant::now();
            let mut rest = &wire[..];
            while !rest.is_empty() {
                there.read_tls(&mut rest).unwrap();
                there.process_new_packets().unwrap();
            }
            let mut wire = Vec::new();
            while there.wants_write() {
                there.write_tls(&mut wire).unwrap();
            }
            spent += begun.elapsed();
            let mut rest = &wire[..];
            while !rest.is_empty() {
                here.read_tls(&mut rest).unwrap();
                here.process_new_packets().unwrap();
            }
        }
    }
    spent / ROUNDS
}

fn serve(tls: Option<ServerTls>) -> (SocketAddr, ServerHandle) {
    let builder = Server::builder().limits(chatnet::Limits::NONE);
    let builder = match tls {
        Some(tls) => builder.tls(tls),
        None => builder,
    };
    let server = block_on(builder.bind("127.0.0.1:0")).unwrap();
    let (addr, handle) = (server.local_addr().unwrap(), server.handle());
    task::spawn(server.serve());
    (addr, handle)
}

/// Wait until everybody is gone.
fn settle(handle: &ServerHandle) {
    while block_on(handle.counters()).unwrap().connections > 0 {
        block_on(task::sleep(Duration::from_millis(20)));
    }
}

/// The other process.
struct Clients {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Clients {
    fn start(job: &str, addr: SocketAddr, pin: &str) -> Self {
        let me = std::env::current_exe().unwrap();
        // A flood comes from elsewhere: here it has what the server and the people who chat leave of this machine.
        let priority = if job == "flood" { "19" } else { "0" };
        let mut command = Command::new("nice");
        command.args(["-n", priority]).arg(me).args(["--child", job, &addr.to_string(), pin]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    fn wait(&mut self, word: &str) -> String {
        self.lines.by_ref().map(Result::unwrap).find(|line| line.starts_with(word)).expect("the clients go on")
    }

    fn go(&mut self) {
        writeln!(self.child.stdin.as_mut().unwrap(), "go").unwrap();
    }

    fn end(mut self) {
        drop(self.child.stdin.take());
        assert!(self.child.wait().unwrap().success());
    }
}

fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

/// CPU time of this process; in units of 10 ms.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}

fn child(job: &str, addr: SocketAddr, pin: &str) {
    let tls = || (pin != "-").then(|| ClientTls::pinned(pin.parse().unwrap()).unwrap());
    let builder = |tls: &Option<ClientTls>| match tls {
        Some(tls) => Client::builder().tls(tls.clone()),
        None => Client::builder(),
    };
    let mut input = std::io::stdin().lines();
    let mut pause = |word: &str| {
        println!("{word}");
        input.next();
    };
    match job {
        "idle" => block_on(async {
            let one = tls();
            let mut all = Vec::new();
            // A few first: what the server needs once isn't counted.
            for _ in 0..50 {
                all.push(builder(&one).connect(addr).await.unwrap());
            }
            pause("warm");
            for _ in 0..IDLE {
                all.push(builder(&one).no_room().connect(addr).await.unwrap());
            }
            pause("ready");
            std::process::exit(0);
        }),
        "unfinished" => {
            let hello = flood::client_hello(&tls().unwrap());
            let begin = |_| {
                let mut stream = std::net::TcpStream::connect(addr).unwrap();
                stream.write_all(&hello).unwrap();
                stream
            };
            let _first: Vec<_> = (0..40).map(begin).collect();
            pause("warm");
            let _all: Vec<_> = (0..IDLE).map(begin).collect();
            pause("ready");
        }
        "fan" => block_on(async {
            let one = tls();
            let mut heard = Vec::new();
            let (sender, _) = builder(&one).connect(addr).await.unwrap();
            for _ in 1..MEMBERS {
                let (client, mut events) = builder(&one).connect(addr).await.unwrap();
                heard.push(task::spawn(async move {
                    let mut left = MESSAGES;
                    while left > 0 {
                        left -= usize::from(matches!(events.next().await, Some(Event::Message(_))));
                    }
                    drop(client);
                }));
            }
            pause("ready");
            let room = sender.room().unwrap();
            for n in 0..MESSAGES {
                let receipt = room.send(format!("{n:0100}")).await.unwrap();
                // One at a time: coalescing would hide what a write costs.
                receipt.await.unwrap();
            }
            for heard in heard {
                heard.await;
            }
            pause("done");
        }),
        "full" | "resumed" => block_on(async {
            let one = tls();
            builder(&one).no_room().connect(addr).await.unwrap().0.close().await;
            pause("ready");
            for _ in 0..HANDSHAKES {
                let fresh = if job == "full" { tls() } else { one.clone() };
                let (client, _) = builder(&fresh).no_room().connect(addr).await.unwrap();
                client.close().await;
            }
            pause("done");
        }),
        "chat" => {
            let chat = flood::Chat::connect(addr, &tls(), 50);
            for _ in 0..2 {
                let (p50, p99) = chat.latencies(Duration::from_secs(10));
                pause(&format!("p50 {p50:?}, p99 {p99:?}"));
            }
        }
        "flood" => {
            let flood = flood::Flood::start(addr, &tls().unwrap(), 2000);
            std::thread::sleep(Duration::from_secs(1));
            let begun = Instant::now();
            pause("ready");
            pause(&format!(
                "begun {:.0} handshakes a second",
                flood.begun() as f64 / (1.0 + begun.elapsed().as_secs_f64())
            ));
            std::process::exit(0);
        }
        other => panic!("no such job: {other}"),
    }
}
