//! Whom to trust: the library decides by what is remembered; here the person, or a flag, decides about a new server.

use std::net::IpAddr;

use chatnet::transport::tls::CertificateProblem;
use chatnet::trust::{KnownServers, ServerAddr, Trust};
use chatnet::{Client, ClientBuilder, ConnectError, Events};

use crate::args::Args;
use crate::output::{Output, Own};
use crate::stdin::Input;

/// Connect to the server that is meant, and to no other.
pub(crate) async fn connect(
    args: &Args,
    builder: ClientBuilder,
    input: &mut Input,
    output: &mut Output,
) -> Result<(Client, Events), ConnectError> {
    let wrong = |source| ConnectError::Trust { source };
    let known = KnownServers::default_path().map_err(wrong);
    let addr = ServerAddr::new(&args.host, args.port).map_err(wrong)?;
    if args.plaintext {
        // Without a home directory nothing is remembered.
        if let Ok(known) = known
            && let Some(remembered) = known.find(&addr).map_err(wrong)?
        {
            return Err(wrong(std::io::Error::other(format!(
                "{addr} is remembered as a server with TLS ({remembered}), and --plaintext would let anybody pose as it; \
                 leave --plaintext out, or, if it has given up TLS on purpose: chatnet forget {addr}"
            ))));
        }
        return builder.connect(addr).await;
    }
    let mut trust = Trust::new(known?);
    if let Some(fingerprint) = args.fingerprint {
        trust = trust.fingerprint(fingerprint);
    }
    if let Some(path) = &args.tls_ca {
        trust = trust
            .authorities_file(path)
            .map_err(|e| wrong(std::io::Error::other(format!("--tls-ca {}: {e}", path.display()))))?;
    }
    let builder = builder.trust(trust.clone());
    let (server, fingerprint) = match builder.clone().connect(&addr).await {
        Err(ConnectError::UnknownServer { server, fingerprint, problem }) => {
            let accepted = args.accept_new
                || is_this_machine(server.host())
                || output.is_terminal() && ask(&server, &fingerprint.to_string(), input, output).await;
            let (name, shown) = (server.to_string(), fingerprint.to_string());
            output.own(&Own::FirstContact { server: &name, fingerprint: &shown, accepted });
            output.flush();
            if !accepted {
                return Err(ConnectError::UnknownServer { server, fingerprint, problem });
            }
            (server, fingerprint)
        }
        connected => return connected,
    };
    trust.accept(&server, fingerprint).map_err(wrong)?;
    builder.connect(addr).await
}

/// Ask the person; the answer is the next line.
async fn ask(server: &ServerAddr, fingerprint: &str, input: &mut Input, output: &mut Output) -> bool {
    output.own(&Own::Info(&format!(
        "* {server} is not known yet. Its fingerprint is\n  {fingerprint}\n  The server prints it when it starts: if it is \
         the same there, type yes"
    )));
    output.flush();
    matches!(input.answer().await, Some(Ok(text)) if ["yes", "y"].contains(&text.trim().to_lowercase().as_str()))
}

/// Nobody can stand between this machine and itself.
fn is_this_machine(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}

/// The stable word for a failure that has to do with TLS.
pub(crate) fn code(e: &ConnectError) -> Option<&'static str> {
    Some(match e {
        ConnectError::Certificate { problem: CertificateProblem::OtherKey { .. }, .. } => "server_changed",
        ConnectError::Certificate { .. } => "certificate_invalid",
        ConnectError::UnknownServer { .. } => "server_unknown",
        ConnectError::TlsRequired { .. } => "tls_required",
        ConnectError::NoTls { .. } => "tls_not_spoken",
        ConnectError::Trust { .. } => "trust_failed",
        ConnectError::Tls { .. } => "tls_failed",
        _ => return None,
    })
}

/// What it means, and what to do.
pub(crate) fn explain(args: &Args, e: &ConnectError) -> Option<String> {
    Some(match e {
        ConnectError::Certificate { server, problem: CertificateProblem::OtherKey { expected, found } }
            if args.fingerprint == Some(*expected) =>
        {
            format!(
                "the server at {server} has another key than --fingerprint says. Either that is mistyped or old, or somebody \
                 has put himself between you and it, to read and change what you say. Nothing was said to it. Expected \
                 {expected}, found {found}. Ask the operator; if the new one is right, correct --fingerprint"
            )
        }
        ConnectError::Certificate { server, problem: CertificateProblem::OtherKey { expected, found } } => format!(
            "the server at {server} has another key than expected. Either its operator has made a new one, or somebody \
             has put himself between you and it, to read and change what you say. Nothing was said to it. Expected \
             {expected}, found {found}. Ask the operator; if the new one is right: chatnet forget {server}"
        ),
        ConnectError::Certificate { server, problem } => format!(
            "the server at {server} is not trusted: {problem}. Nothing was said to it. If its operator tells you that it \
             no longer has a certificate of an authority: chatnet forget {server}"
        ),
        ConnectError::UnknownServer { server, fingerprint, problem } => format!(
            "the server at {server} is not known yet, and {problem}. Its fingerprint is {fingerprint}. If that is what \
             the server prints when it starts, connect with --fingerprint {fingerprint}; --accept-new accepts whatever \
             server answers first"
        ),
        ConnectError::TlsRequired { addr } => {
            format!("the server at {addr} speaks TLS only; leave --plaintext out")
        }
        ConnectError::NoTls { addr } => format!(
            "the server at {addr} does not speak TLS. If it was started with --plaintext on purpose, connect with \
             --plaintext; everybody on the way can read and change what is said then"
        ),
        _ => return None,
    })
}

/// `chatnet forget`: returns the exit code.
pub(crate) fn forget(server: &str) -> i32 {
    let parsed = server.parse::<ServerAddr>();
    let (host, port) = match &parsed {
        Ok(addr) => (addr.host(), Some(addr.port())),
        Err(_) => (server, None),
    };
    match KnownServers::default_path().and_then(|known| known.forget(host, port)) {
        Ok(forgotten) if forgotten.is_empty() => {
            eprintln!("chatnet: nothing is remembered of {}", chatnet::text::display_line(server));
            1
        }
        Ok(forgotten) => {
            for known in forgotten {
                println!("forgotten: {} {}", known.server, known.remembered);
            }
            0
        }
        Err(e) => {
            eprintln!("chatnet: {}", chatnet::text::display_line(&e.to_string()));
            1
        }
    }
}
