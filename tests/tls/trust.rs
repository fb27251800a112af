//! First use, what is remembered of it, and what is refused by it.

use std::fs;

use async_std::task::block_on;
use chatnet::transport::tls::{CertificateProblem, ServerTls};
use chatnet::trust::{KnownServers, Remembered, ServerAddr, Trust};
use chatnet::{Client, ClientBuilder, ConnectError};

use crate::certificates::{Authority, directory, own, server};
use crate::support::TestServer;

fn trust(name: &str) -> Trust {
    Trust::new(KnownServers::new(directory(name).join("known_servers")))
}

fn builder(trust: &Trust) -> ClientBuilder {
    Client::builder().trust(trust.clone())
}

fn connect(trust: &Trust, server: &TestServer) -> Result<(), ConnectError> {
    block_on(builder(trust).connect(server.addr)).map(drop)
}

#[test]
fn a_new_server_is_unknown_until_it_is_accepted_and_a_changed_key_refused_until_it_is_forgotten() {
    let trust = trust("first-use");
    let (server, _) = own();
    let addr: ServerAddr = server.addr.to_string().parse().unwrap();
    let Err(ConnectError::UnknownServer { server: name, fingerprint, .. }) = connect(&trust, &server) else {
        panic!("it is unknown");
    };
    assert_eq!((&name, Some(fingerprint)), (&addr, server.handle.fingerprint()));
    assert_eq!(block_on(server.handle.counters()).unwrap().bytes_in, 0, "nothing was said to it");
    trust.accept(&name, fingerprint).unwrap();
    connect(&trust, &server).unwrap();
    connect(&trust, &server).unwrap();

    block_on(server.handle.replace_tls(ServerTls::self_signed(&["127.0.0.1".into()]).unwrap())).unwrap();
    let changed = connect(&trust, &server).unwrap_err();
    let ConnectError::Certificate { problem: CertificateProblem::OtherKey { expected, found }, .. } = changed else {
        panic!("{changed}");
    };
    assert_eq!((expected, Some(found)), (fingerprint, server.handle.fingerprint()));
    trust.known().forget("127.0.0.1", Some(addr.port())).unwrap();
    assert!(matches!(connect(&trust, &server), Err(ConnectError::UnknownServer { .. })));
}

#[test]
fn a_given_fingerprint_is_checked_at_first_contact_and_remembered() {
    let trust = trust("given");
    let (server, _) = own();
    let right = server.handle.fingerprint().unwrap();
    let wrong = chatnet::transport::Fingerprint::from_bytes([3; 32]);
    let e = connect(&trust.clone().fingerprint(wrong), &server).unwrap_err();
    assert!(matches!(e, ConnectError::Certificate { .. }), "{e}");
    assert!(trust.known().list().unwrap().is_empty());
    connect(&trust.clone().fingerprint(right), &server).unwrap();
    assert_eq!(trust.known().list().unwrap()[0].remembered, Remembered::Key(right));
    connect(&trust, &server).unwrap();
}

#[test]
fn who_was_vouched_for_by_an_authority_is_never_taken_for_less() {
    let authority = Authority::new("the lab");
    let directory = directory("vouched");
    let ca = directory.join("ca.pem");
    fs::write(&ca, &authority.pem).unwrap();
    let server = server(&authority.issue(&["127.0.0.1"]));
    let known = KnownServers::new(directory.join("known_servers"));
    let trust = Trust::new(known.clone()).authorities_file(&ca).unwrap();
    connect(&trust, &server).unwrap();
    assert_eq!(known.list().unwrap()[0].remembered, Remembered::Authority);

    // Neither without the authority, nor with another certificate, is there a first contact any more.
    let plain = connect(&Trust::new(known.clone()), &server).unwrap_err();
    assert!(
        matches!(plain, ConnectError::Certificate { problem: CertificateProblem::UnknownAuthority, .. }),
        "{plain}"
    );
    block_on(server.handle.replace_tls(ServerTls::self_signed(&["127.0.0.1".into()]).unwrap())).unwrap();
    let own = connect(&trust, &server).unwrap_err();
    assert!(matches!(own, ConnectError::Certificate { problem: CertificateProblem::UnknownAuthority, .. }), "{own}");
    let addr: ServerAddr = server.addr.to_string().parse().unwrap();
    assert!(trust.accept(&addr, server.handle.fingerprint().unwrap()).is_err());
    assert_eq!(known.list().unwrap()[0].remembered, Remembered::Authority);
}

#[test]
fn a_file_that_can_not_be_read_trusts_nobody() {
    let trust = trust("broken");
    let (server, _) = own();
    fs::write(trust.known().path(), "nonsense\n").unwrap();
    let e = connect(&trust, &server).unwrap_err();
    assert!(matches!(&e, ConnectError::Trust { .. }) && e.to_string().contains("line 1"), "{e}");
}
