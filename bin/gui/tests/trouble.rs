//! Connections that break, servers that end, people who are put out.

use chatnet::testing::Proxy;
use chatnet::transport::tls::ServerTls;

use super::*;

#[test]
fn what_is_written_while_the_connection_is_lost_goes_out_in_order_when_it_is_back() {
    let house = House::start();
    let mut bob = Other::connect(house.addr, "bob");
    let proxy = Proxy::start(house.addr, 7, u64::MAX / 8).unwrap();
    let desk = Desk::connected(proxy.addr(), "ada");
    desk.say("before");
    assert_eq!(bob.hears(), "before");
    desk.until("its ack", |desk| desk.app.window().global::<ui::Status>().get_unsent() == 0);
    // Nobody answers there: the way to the server is gone.
    let nowhere = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let gone = nowhere.local_addr().unwrap();
    drop(nowhere);
    proxy.retarget(gone);
    proxy.cut();
    let status = || desk.app.window().global::<ui::Status>();
    desk.until("the banner", |_| status().get_link() == ui::LinkState::Reconnecting);
    assert!(!status().get_banner().is_empty());
    for text in ["one", "two", "three"] {
        desk.say(text);
    }
    assert_eq!(status().get_unsent(), 3);
    let waiting = desk.messages().iter().filter(|row| row.state == ui::SendState::Waiting).count();
    assert_eq!(waiting, 3, "it stays visible as unsent");
    proxy.retarget(house.addr);
    desk.app.window().global::<ui::Status>().invoke_now();
    desk.until("the connection", |_| status().get_link() == ui::LinkState::Online);
    assert_eq!([bob.hears(), bob.hears(), bob.hears()], ["one", "two", "three"]);
    desk.until("the acks", |_| status().get_unsent() == 0);
    bob.say("welcome back");
    desk.until("the answer", |desk| desk.shows("welcome back"));
    let said: Vec<_> = desk.messages().into_iter().filter(|row| row.kind == ui::RowKind::Message).collect();
    let texts: Vec<_> = said.iter().map(|row| row.text.to_string()).collect();
    assert_eq!(texts, ["before", "one", "two", "three", "welcome back"]);
    assert!(said[..4].iter().all(|row| row.state == ui::SendState::Sent));
}

#[test]
fn a_network_that_cuts_every_few_messages_loses_and_doubles_nothing() {
    let house = House::start();
    let bob = Other::connect(house.addr, "bob");
    let proxy = Proxy::start(house.addr, 11, 3_000).unwrap();
    // The first connection may be cut while it is opened.
    let desk = Desk::new();
    for _ in 0..20 {
        desk.connect(proxy.addr(), "ada");
        desk.until("an answer", |desk| {
            !desk.app.window().global::<ui::Connect>().get_busy() || desk.app.window().get_page() == ui::Page::Chat
        });
        if desk.app.window().get_page() == ui::Page::Chat {
            break;
        }
    }
    desk.until("a room", |desk| !desk.rooms().is_empty());
    for n in 0..40 {
        desk.say(&format!("a{n}"));
        bob.say(&format!("b{n}"));
        desk.turn();
    }
    proxy.calm();
    desk.app.window().global::<ui::Status>().invoke_now();
    desk.until("everything", |desk| {
        desk.app.window().global::<ui::Status>().get_unsent() == 0 && desk.shows("b39") && desk.shows("a39")
    });
    for sender in ["a", "b"] {
        let said: Vec<_> = desk.texts().into_iter().filter(|text| text.starts_with(sender) && text.len() < 4).collect();
        let meant: Vec<_> = (0..40).map(|n| format!("{sender}{n}")).collect();
        assert_eq!(said, meant, "seed 11, {} cuts", proxy.cuts());
    }
}

#[test]
fn who_is_put_out_by_the_operator_is_told_and_one_can_connect_again() {
    let house = House::start();
    let desk = Desk::connected(house.addr, "ada");
    let sessions = async_std::task::block_on(house.handle.sessions(None, 10)).unwrap();
    let session = sessions.items.iter().find(|session| session.alias.as_str() == "ada").unwrap().session;
    async_std::task::block_on(house.handle.disconnect(session, "enough for today")).unwrap();
    let ended = || desk.app.window().global::<ui::Ended>();
    desk.until("the dialog", |_| ended().get_open());
    assert!(ended().get_title().contains("put out"), "{}", ended().get_title());
    assert!(ended().get_text().contains("Enough for today"));
    assert_eq!(desk.app.window().get_page(), ui::Page::Connect);
    ended().invoke_act();
    desk.until("a room again", |desk| !desk.rooms().is_empty() && !ended().get_open());
}

#[test]
fn who_is_kicked_sees_why() {
    let house = House::start();
    let bob = Other::connect(house.addr, "bob");
    let desk = Desk::connected(house.addr, "ada");
    let den = async_std::task::block_on(bob.client.create_room("den", Default::default(), None)).unwrap();
    desk.say("/join den");
    desk.until("the den", |desk| desk.title() == "den");
    async_std::task::block_on(den.kick("ada", "too loud")).unwrap();
    desk.until("the reason", |desk| desk.texts().iter().any(|text| text.contains("too loud")));
    assert!(!desk.app.window().global::<ui::Composer>().get_enabled());
    desk.until("a passing word", |desk| desk.app.window().global::<ui::Toast>().get_visible());
}

#[test]
fn a_changed_key_is_asked_about_and_not_taken_by_accident() {
    let names = ["127.0.0.1".to_owned()];
    let house = House::with(|builder| builder.tls(ServerTls::self_signed(&names).unwrap()));
    let desk = Desk::new();
    desk.fill("Server", "127.0.0.1");
    desk.fill("Port", &house.addr.port().to_string());
    desk.press_button("Connect");
    desk.until("a room", |desk| !desk.rooms().is_empty());
    assert!(desk.app.window().global::<ui::Status>().get_secure());
    desk.app.window().global::<ui::Status>().invoke_disconnect();
    desk.until("the dialog", |desk| desk.app.window().get_page() == ui::Page::Connect);
    async_std::task::block_on(house.handle.replace_tls(ServerTls::self_signed(&names).unwrap())).unwrap();
    desk.press_button("Connect");
    let trust = || desk.app.window().global::<ui::Trust>();
    desk.until("the warning", |_| trust().get_open());
    assert!(trust().get_changed() && !trust().get_can_accept());
    trust().invoke_accept();
    desk.turn();
    assert!(trust().get_open(), "not without its digits");
    let fingerprint = trust().get_fingerprint().to_string();
    assert_eq!(fingerprint, house.handle.fingerprint().unwrap().to_string());
    trust().set_typed(fingerprint[fingerprint.len() - 4..].into());
    trust().invoke_accept();
    desk.until("a room", |desk| !desk.rooms().is_empty() && desk.app.window().get_page() == ui::Page::Chat);
}
