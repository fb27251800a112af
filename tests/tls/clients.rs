//! Which servers a client takes for the right ones, and what a server learns of its clients.

use std::sync::{Arc, Mutex};

use async_std::task::block_on;
use chatnet::transport::tls::{CertificateProblem, ClientTls, ServerTls, VerifyServer};
use chatnet::transport::{Certificate, Fingerprint};
use chatnet::{Admission, Client, ConnectError, Handler, Interests, Peer};

use crate::certificates::{Authority, Pair, join, own, server};
use crate::support::TestServer;

fn problem(server: &TestServer, tls: ClientTls) -> CertificateProblem {
    match block_on(Client::builder().tls(tls).connect(server.addr)) {
        Err(ConnectError::Certificate { problem, .. }) => problem,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it was taken"),
    }
}

#[test]
fn a_pinned_server_is_taken_and_another_one_refused_with_both_fingerprints() {
    let (server, tls) = own();
    block_on(async {
        let (ada, _) = join(Client::builder().tls(tls), &server, "ada").await;
        assert_eq!(ada.room().unwrap().send("hello").await.unwrap().await.unwrap().seq.get(), 1);
    });
    let expected = Fingerprint::from_bytes([7; 32]);
    let found = server.handle.fingerprint().unwrap();
    let other = problem(&server, ClientTls::pinned(expected).unwrap());
    assert_eq!(other, CertificateProblem::OtherKey { expected, found });
    assert!(other.to_string().contains(&found.to_string()));
}

#[test]
fn an_authority_vouches_for_a_name_and_each_failure_has_its_own_words() {
    let authority = Authority::new("the lab");
    let knows = || ClientTls::authorities(&authority.pem).unwrap();
    let good = server(&authority.issue(&["127.0.0.1"]));
    block_on(join(Client::builder().tls(knows()), &good, "ada"));

    let expired = problem(&server(&authority.issue_expired(&["127.0.0.1"])), knows());
    assert!(matches!(expired, CertificateProblem::Expired { .. }), "{expired:?}");
    assert!(expired.to_string().contains("expired") && expired.to_string().contains("days ago"), "{expired}");

    let named = server(&authority.issue(&["chat.example.org"]));
    let wrong = problem(&named, knows());
    assert_eq!(wrong, CertificateProblem::WrongName { names: vec!["DnsName(\"chat.example.org\")".into()] });
    assert!(wrong.to_string().contains("is for chat.example.org, not"), "{wrong}");
    // The same under the name that it is for.
    block_on(join(Client::builder().tls(knows().server_name("chat.example.org").unwrap()), &named, "ada"));

    let stranger = Authority::new("somebody else");
    let unknown = problem(&good, ClientTls::authorities(&stranger.pem).unwrap());
    assert_eq!(unknown, CertificateProblem::UnknownAuthority);
    let (own, _) = own();
    assert_eq!(problem(&own, knows()), CertificateProblem::UnknownAuthority);
    assert_eq!(problem(&own, ClientTls::mozilla().unwrap()), CertificateProblem::UnknownAuthority);
}

#[derive(Debug)]
struct Only(Fingerprint);

impl VerifyServer for Only {
    fn verify(&self, host: &str, certificate: &Certificate) -> Result<(), String> {
        assert_eq!((host, certificate.chain.len()), ("127.0.0.1", 1));
        if certificate.fingerprint == self.0 { Ok(()) } else { Err("not in the inventory".into()) }
    }
}

#[test]
fn an_application_may_decide_about_servers_itself() {
    let (server, _) = own();
    let fingerprint = server.handle.fingerprint().unwrap();
    block_on(join(Client::builder().tls(ClientTls::verifier(Only(fingerprint)).unwrap()), &server, "ada"));
    let other = Only(Fingerprint::from_bytes([1; 32]));
    assert_eq!(
        problem(&server, ClientTls::verifier(other).unwrap()),
        CertificateProblem::Rejected("not in the inventory".into())
    );
}

#[derive(Debug, Default)]
struct Badges(Arc<Mutex<Vec<Option<Fingerprint>>>>);

impl Handler for Badges {
    fn interests(&self) -> Interests {
        Interests::none().connect().join()
    }

    async fn connect(&self, who: Peer<'_>) -> Admission {
        self.0.lock().unwrap().push(who.certificate.map(|certificate| certificate.fingerprint));
        Admission::Allow
    }

    async fn join(&self, who: Peer<'_>, _: &chatnet::RoomName) -> Admission {
        if who.certificate.is_some() { Admission::Allow } else { Admission::Refuse("no badge".into()) }
    }
}

#[test]
fn a_clients_certificate_reaches_the_handlers_and_a_wrong_one_is_refused() {
    let (company, elsewhere) = (Authority::new("company"), Authority::new("elsewhere"));
    let tls = company.issue(&["127.0.0.1"]).server().client_authorities(&company.pem).unwrap();
    let seen = Arc::default();
    let server = TestServer::with(|b| b.tls(tls.clone()).handler(Badges(Arc::clone(&seen))));
    let knows = ClientTls::authorities(&company.pem).unwrap();
    let with = |pair: &Pair| knows.clone().client_certificate(&pair.chain, &pair.key).unwrap();

    let badge = company.issue(&["ada"]);
    let print = ServerTls::pem(&badge.chain, &badge.key).unwrap().fingerprint();
    block_on(join(Client::builder().tls(with(&badge)), &server, "ada"));
    let nobody = block_on(Client::builder().tls(knows.clone()).connect(server.addr)).unwrap_err();
    assert!(nobody.to_string().contains("no badge"), "{nobody}");
    assert_eq!(*seen.lock().unwrap(), [Some(print), None]);

    let forged = block_on(Client::builder().tls(with(&elsewhere.issue(&["ada"]))).connect(server.addr)).unwrap_err();
    assert!(forged.to_string().contains("refuses this client's certificate"), "{forged}");

    block_on(server.handle.replace_tls(tls.require_client_certificate(true).unwrap())).unwrap();
    let none = block_on(Client::builder().tls(knows.clone()).connect(server.addr)).unwrap_err();
    assert!(none.to_string().contains("wants a client certificate"), "{none}");
    assert_eq!(seen.lock().unwrap().len(), 2);
}

#[test]
fn a_session_is_resumed_by_the_same_client_and_by_no_other_pin() {
    let (server, tls) = own();
    let resumed = || block_on(server.handle.counters()).unwrap().tls_resumed;
    block_on(async {
        let (ada, _) = join(Client::builder().tls(tls.clone()), &server, "ada").await;
        ada.close().await;
        assert_eq!(resumed(), 0);
        let (ada, _) = join(Client::builder().tls(tls.clone()), &server, "ada").await;
        ada.close().await;
        assert_eq!(resumed(), 1);
    });
    // A pin that never was verified has no ticket.
    problem(&server, ClientTls::pinned(Fingerprint::from_bytes([9; 32])).unwrap());
    assert_eq!(resumed(), 1);
    // Another key means a full handshake, and its check.
    block_on(server.handle.replace_tls(ServerTls::self_signed(&["127.0.0.1".into()]).unwrap())).unwrap();
    assert!(matches!(problem(&server, tls), CertificateProblem::OtherKey { .. }));
    assert_eq!(resumed(), 1);
}
