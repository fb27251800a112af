//! Certificates as a test wants them: of an authority, expired, for the wrong name.

use std::path::PathBuf;
use std::time::Duration;

use chatnet::transport::tls::{ClientTls, ServerTls};
use chatnet::{Client, ClientBuilder, Events};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use crate::support::TestServer;

/// An authority of the test's own.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub pem: String,
}

/// A chain and its key, in PEM.
pub struct Pair {
    pub chain: String,
    pub key: String,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    pub fn issue(&self, names: &[&str]) -> Pair {
        self.issue_with(names, |_| ())
    }

    pub fn issue_expired(&self, names: &[&str]) -> Pair {
        self.issue_with(names, |params| {
            params.not_before = rcgen::date_time_ymd(2020, 1, 1);
            params.not_after = rcgen::date_time_ymd(2021, 1, 1);
        })
    }

    fn issue_with(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Pair {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        Pair { chain: params.signed_by(&key, &self.issuer).unwrap().pem(), key: key.serialize_pem() }
    }
}

impl Pair {
    pub fn server(&self) -> ServerTls {
        ServerTls::pem(&self.chain, &self.key).unwrap()
    }
}

/// A server with a certificate of its own for this machine, and how to know it.
pub fn own() -> (TestServer, ClientTls) {
    let tls = ServerTls::self_signed(&["localhost".into(), "127.0.0.1".into()]).unwrap();
    let client = ClientTls::pinned(tls.fingerprint()).unwrap();
    (TestServer::with(|builder| builder.tls(tls)), client)
}

pub fn server(pair: &Pair) -> TestServer {
    TestServer::with(|builder| builder.tls(pair.server()))
}

pub async fn join(builder: ClientBuilder, server: &TestServer, alias: &str) -> (Client, Events) {
    builder.alias(alias).connect_timeout(Duration::from_secs(20)).connect(server.addr).await.unwrap()
}

/// A directory that is this test's alone.
pub fn directory(name: &str) -> PathBuf {
    let directory = std::env::temp_dir().join(format!("chatnet-tls-{}-{name}", std::process::id()));
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir_all(&directory).unwrap();
    directory
}
