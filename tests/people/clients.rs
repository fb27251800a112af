//! The library's client as somebody with an account.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_std::future::timeout;
use async_std::task::block_on;
use chatnet::auth::{Attempt, Authenticator, Decision, Identity};
use chatnet::protocol::Code;
use chatnet::protocol::message::*;
use chatnet::transport::memory;
use chatnet::{Alias, Client, ConnectError, Event, Events, PrincipalId, Reconnect, Registration, RequestError, Server};
use futures::StreamExt;
use futures::io::AsyncReadExt;

use crate::steps::*;
use crate::support::*;

/// The next event that `pick` takes.
pub(crate) async fn next<T>(events: &mut Events, pick: impl Fn(Event) -> Option<T>) -> T {
    let found = async {
        loop {
            if let Some(found) = pick(events.next().await.expect("the client goes on")) {
                return found;
            }
        }
    };
    timeout(PATIENCE, found).await.expect("it comes in time")
}

pub(crate) fn text(event: Event) -> Option<String> {
    match event {
        Event::Message(message) => Some(message.text),
        _ => None,
    }
}

#[test]
fn an_account_logs_in_on_two_devices_and_moderates_its_room() {
    let server = open();
    block_on(async {
        let (ada, mut at_desk) = Client::builder().register("ada", PASSWORD, None).connect(server.addr).await.unwrap();
        let (phone, mut on_phone) = Client::builder().account("ada", PASSWORD).connect(server.addr).await.unwrap();
        assert_eq!(phone.sessions().await.unwrap().len(), 2);
        let den = ada.create_room("den", RoomSettings::new(RoomKind::InviteOnly), None).await.unwrap();
        next(&mut on_phone, |event| {
            matches!(event, Event::Joined { room, .. } if room.as_str() == "den").then_some(())
        })
        .await;
        assert!(phone.rooms().iter().any(|room| room.name().as_str() == "den"));
        let (bob, mut of_bob) = Client::builder().alias("bob").connect(server.addr).await.unwrap();
        let refused = bob.join("den").await.unwrap_err();
        assert!(matches!(refused, RequestError::Refused { code: Code::INVITE_ONLY, .. }), "{refused}");
        den.invite("bob").await.unwrap();
        let his = bob.join("den").await.unwrap();
        den.set_topic("tea").await.unwrap();
        let topic = next(&mut of_bob, |event| match event {
            Event::RoomChanged(changed) if changed.kind == EventKind::TOPIC => Some(changed),
            _ => None,
        })
        .await;
        assert_eq!((topic.by.alias.as_str(), topic.change.text.as_deref()), ("ada", Some("tea")));
        his.send("tea!").await.unwrap().await.unwrap();
        assert_eq!(next(&mut at_desk, text).await, "tea!");
        assert_eq!(next(&mut on_phone, text).await, "tea!");
        den.kick("bob", "coffee").await.unwrap();
        let why = next(&mut of_bob, |event| match event {
            Event::Left { code, text, .. } => Some((code, text)),
            _ => None,
        })
        .await;
        assert_eq!(why, (Code::KICKED, "you were kicked: coffee".to_owned()));
        let (rooms, more) = ada.list_rooms(None, 50).await.unwrap();
        assert_eq!((rooms[0].settings.topic.as_str(), rooms[0].members, more), ("tea", 1, false));
        ada.change_password(PASSWORD, "battery staple").await.unwrap();
        let reason = next(&mut on_phone, |event| match event {
            Event::Closed { reason } => Some(reason),
            _ => None,
        })
        .await;
        assert!(reason.to_string().contains("session_revoked"), "{reason}");
        assert!(!ada.is_closed());
    });
}

#[test]
fn a_direct_is_a_room_like_any_other() {
    let server = open();
    block_on(async {
        let (ada, _events) = Client::builder().alias("ada").connect(server.addr).await.unwrap();
        let (bob, mut of_bob) = Client::builder().alias("bob").connect(server.addr).await.unwrap();
        ada.direct("bob").await.unwrap().send("psst").await.unwrap().await.unwrap();
        assert_eq!(next(&mut of_bob, text).await, "psst");
        bob.block("ada", true).await.unwrap();
        assert!(matches!(ada.direct("bob").await, Err(RequestError::Refused { code: Code::BLOCKED, .. })));
        bob.away(Some("asleep")).await.unwrap();
        let info = ada.whois("bob").await.unwrap();
        assert_eq!((info.online, info.away.as_deref()), (true, Some("asleep")));
    });
}

#[test]
fn an_account_that_is_cut_comes_back_as_itself_even_if_its_session_is_gone() {
    // Sessions end with their connections here: the account has to log in anew.
    let server = open();
    let proxy = chatnet::testing::Proxy::start(server.addr, 7, 3000).unwrap();
    block_on(async {
        let rules = Reconnect::default().first_delay(Duration::from_millis(1)).max_delay(Duration::from_millis(20));
        let builder = Client::builder().register("ada", PASSWORD, None);
        // Over the proxy the registering itself may be cut, and can't be done twice.
        builder.connect(server.addr).await.unwrap().0.close().await;
        let builder = Client::builder().account("ada", PASSWORD).reconnect(rules);
        let (ada, mut events) = loop {
            if let Ok(connected) = builder.clone().connect(proxy.addr()).await {
                break connected;
            }
        };
        let den = timeout(PATIENCE, ada.join("den")).await.unwrap().unwrap();
        let before = proxy.cuts();
        while proxy.cuts() < before + 3 {
            drop(den.send("a line").await.unwrap());
            assert!(timeout(PATIENCE, ada.flush()).await.unwrap());
        }
        // Each change of a room is told once, however often it was cut.
        let (mut begun, mut told) = (0, 0);
        while begun < 3 {
            match next(&mut events, Some).await {
                Event::Connected { .. } => begun += 1,
                Event::RoomChanged(changed) if changed.room.as_str() == "den" => told += 1,
                Event::Gap { .. } => panic!("nothing is missing"),
                _ => {}
            }
        }
        assert_eq!(told, 1);
        assert_eq!(ada.alias().as_str(), "ada");
    });
}

#[test]
fn a_password_is_not_sent_where_others_could_read_it() {
    block_on(async {
        let (near, mut far) = memory::pair(4096);
        let refused = Client::builder().account("ada", PASSWORD).connect_over(near).await.unwrap_err();
        assert!(matches!(refused, ConnectError::Insecure), "{refused}");
        let mut sent = Vec::new();
        far.read_to_end(&mut sent).await.unwrap();
        assert!(sent.is_empty(), "not even a hello");
        let (near, mut far) = memory::pair(4096);
        let connecting = Client::builder().account("ada", PASSWORD).plaintext_passwords(true).connect_over(near);
        let reading = async {
            let mut first = [0; 64];
            far.read(&mut first).await.unwrap()
        };
        futures::pin_mut!(connecting, reading);
        match futures::future::select(connecting, reading).await {
            futures::future::Either::Right((n, _)) => assert!(n > 0, "unless the application says so"),
            futures::future::Either::Left((done, _)) => panic!("{:?}", done.map(drop)),
        }
    });
}

/// Whoever shows anything is this account.
#[derive(Debug, Clone, Default)]
struct Anybody(Arc<OnceLock<PrincipalId>>);

impl Authenticator for Anybody {
    fn mechanisms(&self) -> Vec<String> {
        vec!["key".into()]
    }

    async fn authenticate(&self, _attempt: Attempt<'_>) -> Decision {
        let (principal, alias) = (*self.0.get().unwrap(), Alias::parse("ada").unwrap());
        Decision::Allow(Identity { principal, alias, admin: false })
    }
}

#[test]
fn all_sessions_are_listed_however_many_they_are() {
    let anybody = Anybody::default();
    let server = TestServer::with(|builder| builder.authenticator(anybody.clone()));
    block_on(async {
        let ada = Alias::parse("ada").unwrap();
        anybody.0.set(server.handle.create_account(&ada, PASSWORD).await.unwrap()).unwrap();
        let (ada, _events) = Client::builder().account("ada", PASSWORD).connect(server.addr).await.unwrap();
        let key = Auth { mechanism: "key".into(), data: vec![1].into() };
        let _devices: Vec<Wire> = (0..120).map(|_| attempt(server.addr, &key).unwrap().0).collect();
        let listed = ada.sessions().await.unwrap();
        let known: BTreeSet<_> = listed.iter().map(|session| session.session).collect();
        assert_eq!((listed.len(), known.len()), (121, 121));
        assert_eq!(listed.iter().filter(|session| session.current).count(), 1);
    });
}

/// An address of this machine that isn't loopback; none on a machine without a network.
fn outside() -> Option<std::net::IpAddr> {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").ok()?;
    // Nothing is sent: the system only looks up the way.
    socket.connect("192.0.2.1:9").ok()?;
    Some(socket.local_addr().ok()?.ip()).filter(|ip| !ip.is_loopback() && !ip.is_unspecified())
}

#[test]
fn neither_side_takes_a_password_over_an_open_network() {
    let Some(ip) = outside() else { return };
    block_on(async {
        let server =
            Server::builder().registration(Registration::Open).bind(std::net::SocketAddr::new(ip, 0)).await.unwrap();
        let addr = server.local_addr().unwrap();
        let serving = async_std::task::spawn(server.serve());
        let refused = Client::builder().register("ada", PASSWORD, None).connect(addr).await.unwrap_err();
        assert!(matches!(refused, ConnectError::Insecure), "{refused}");
        let builder = Client::builder().register("ada", PASSWORD, None).plaintext_passwords(true);
        let refused = builder.connect(addr).await.unwrap_err();
        assert!(matches!(refused, ConnectError::Refused { code: Code::INSECURE, .. }), "{refused}");
        serving.cancel().await;
    });
}

/// What is told to whoever makes, changes and joins a room by a password, and to a guest who proves an account's.
async fn with_room_passwords(client: &Client) -> [Option<RequestError>; 5] {
    let settings = RoomSettings::new(RoomKind::Password);
    let made = client.create_room("vault", settings.clone(), Some("sesame")).await.err();
    let open = client.create_room("hall", RoomSettings::default(), None).await.unwrap();
    let changed = open.set_settings(settings, Some("sesame")).await.err();
    let joined = client.join_with("cellar", "sesame").await.err();
    let proven = client.change_password(PASSWORD, "battery staple").await.err();
    [made, changed, joined, proven, client.delete_account(PASSWORD).await.err()]
}

#[test]
fn neither_side_takes_a_room_s_password_over_an_open_network() {
    let Some(ip) = outside() else { return };
    block_on(async {
        let server = Server::builder().bind(std::net::SocketAddr::new(ip, 0)).await.unwrap();
        let addr = server.local_addr().unwrap();
        let serving = async_std::task::spawn(server.serve());
        let (careful, _events) = Client::builder().alias("ada").connect(addr).await.unwrap();
        for told in with_room_passwords(&careful).await {
            assert!(matches!(told, Some(RequestError::Insecure)), "not even sent: {told:?}");
        }
        let builder = Client::builder().alias("bob").plaintext_passwords(true);
        let (careless, _events) = builder.connect(addr).await.unwrap();
        // The room that she owns ends with her.
        careful.close().await;
        for told in with_room_passwords(&careless).await {
            let insecure = matches!(told, Some(RequestError::Refused { code: Code::INSECURE, .. }));
            assert!(insecure, "{told:?}");
        }
        serving.cancel().await;
        let server = Server::builder().plaintext_passwords(true).bind(std::net::SocketAddr::new(ip, 0)).await.unwrap();
        let addr = server.local_addr().unwrap();
        let serving = async_std::task::spawn(server.serve());
        let builder = Client::builder().alias("bob").plaintext_passwords(true);
        let (careless, _events) = builder.connect(addr).await.unwrap();
        let [made, changed, ..] = with_room_passwords(&careless).await;
        assert!(made.is_none() && changed.is_none(), "unless both say so: {made:?} {changed:?}");
        serving.cancel().await;
    });
}
