//! Reaching a server: name, TCP, TLS, and whether it is the right one, before a word is said to it.

use super::error::ConnectError;
use crate::rt::{self, ClientSocket};
use crate::transport::ClientStream;
#[cfg(feature = "tls")]
use crate::transport::tls::{ClientTls, Failure, TlsStream};
#[cfg(feature = "tls")]
use crate::trust::{Basis, ServerAddr, Trust, TrustError};

/// How a client makes sure whom it talks to.
#[derive(Debug, Clone, Default)]
pub(super) enum Security {
    /// Not at all.
    #[default]
    Plaintext,
    #[cfg(feature = "tls")]
    Tls(ClientTls),
    #[cfg(feature = "tls")]
    Trust(Trust),
}

/// Reach the server at `HOST:PORT`. Each address of the host is tried in turn. Cancel safe.
pub(super) async fn reach(addr: &str, security: &Security) -> Result<ClientStream, ConnectError> {
    with_port(addr)?;
    #[cfg(feature = "tls")]
    match security {
        Security::Plaintext => {}
        Security::Tls(tls) => {
            let server = parse(addr)?;
            let stream = shake_hands(tcp(addr).await?, tls, &server).await?;
            return Ok(ClientStream::Tls(Box::new(stream)));
        }
        Security::Trust(trust) => {
            let stream = trusted(addr, trust).await?;
            return Ok(ClientStream::Tls(Box::new(stream)));
        }
    }
    #[cfg(not(feature = "tls"))]
    let _ = security;
    tcp(addr).await.map(ClientStream::Tcp)
}

/// An address without a port is the most frequent slip, and what the system says of it is no help.
fn with_port(addr: &str) -> Result<(), ConnectError> {
    let port = addr.rsplit_once(':').map_or("", |(_, port)| port);
    if !port.is_empty() && !port.ends_with(']') {
        return Ok(());
    }
    let why = format!("the port is missing, as in {}:50000", addr.trim_end_matches(':'));
    let source = std::io::Error::new(std::io::ErrorKind::InvalidInput, why);
    Err(ConnectError::Resolve { addr: addr.to_owned(), source })
}

async fn tcp(addr: &str) -> Result<ClientSocket, ConnectError> {
    let found = rt::resolve(addr.to_owned());
    let found = found.await.map_err(|source| ConnectError::Resolve { addr: addr.to_owned(), source })?;
    let mut last = None;
    for found in found {
        match ClientSocket::connect(found).await {
            Ok(socket) => return Ok(socket),
            Err(e) => last = Some(e),
        }
    }
    let source = last.unwrap_or_else(|| std::io::ErrorKind::NotFound.into());
    Err(ConnectError::Connect { addr: addr.to_owned(), source })
}

#[cfg(feature = "tls")]
fn parse(addr: &str) -> Result<ServerAddr, ConnectError> {
    addr.parse().map_err(|source| ConnectError::Resolve { addr: addr.to_owned(), source })
}

#[cfg(feature = "tls")]
async fn shake_hands(
    socket: ClientSocket,
    tls: &ClientTls,
    server: &ServerAddr,
) -> Result<TlsStream<ClientSocket>, ConnectError> {
    let failed = |failure| failed(failure, server);
    TlsStream::connect(socket, tls, server.host()).await.map_err(failed)
}

#[cfg(feature = "tls")]
async fn trusted(addr: &str, trust: &Trust) -> Result<TlsStream<ClientSocket>, ConnectError> {
    let server = parse(addr)?;
    let file = |source| ConnectError::Trust { source };
    let (basis, tls) = {
        let (trust, server) = (trust.clone(), server.clone());
        rt::spawn_blocking(move || trust.expect(&server)).await.map_err(|e| match e {
            TrustError::File(source) => file(source),
            TrustError::Tls(e) => ConnectError::Tls { server: addr.to_owned(), why: e.to_string() },
        })?
    };
    let stream = shake_hands(tcp(addr).await?, &tls, &server).await?;
    if basis == Basis::Nothing {
        let chain = stream.peer_chain();
        let vouching = trust.clone();
        let host = server.host().to_owned();
        let vouched = rt::spawn_blocking(move || vouching.vouching().check(&host, &chain)).await;
        if let Err(problem) = vouched {
            let Some(certificate) = stream.certificate() else {
                return Err(ConnectError::Certificate { server, problem });
            };
            let (fingerprint, problem) = (certificate.fingerprint, Box::new(problem));
            return Err(ConnectError::UnknownServer { server, fingerprint, problem });
        }
    }
    let trust = trust.clone();
    rt::spawn_blocking(move || trust.taken(&server, basis)).await.map_err(file)?;
    Ok(stream)
}

#[cfg(feature = "tls")]
fn failed(failure: Failure, server: &ServerAddr) -> ConnectError {
    let name = server.to_string();
    match failure {
        Failure::NotTls => ConnectError::NoTls { addr: name },
        Failure::Stranger(what) => ConnectError::NotChatnet { addr: name, what },
        Failure::Certificate(problem) => ConnectError::Certificate { server: server.clone(), problem },
        Failure::Other(why) => ConnectError::Tls { server: name, why },
        Failure::Refused { code, text, retry_after_ms } => {
            ConnectError::Refused { code, text, suggestion: None, retry_after_ms }
        }
        Failure::Io(source) => ConnectError::Connect { addr: name, source },
        Failure::Cut => ConnectError::Tls {
            server: name,
            why: "the server closed the connection during the handshake; it may be overloaded: try again".into(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_without_a_port_is_told_so() {
        for none in ["127.0.0.1", "example.org:", "[::1]"] {
            let told = with_port(none).unwrap_err().to_string();
            assert!(told.contains("the port is missing, as in"), "{told}");
        }
        assert!(with_port("127.0.0.1:1").is_ok() && with_port("[::1]:1").is_ok());
    }
}
