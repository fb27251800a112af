//! The main story: connect, talk, switch rooms, talk to one, look back, find.

use super::*;

#[test]
fn a_server_that_is_not_there_is_told_beside_its_field() {
    let addr = {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        socket.local_addr().unwrap()
    };
    let desk = Desk::new();
    desk.connect(addr, "ada");
    let error = |desk: &Desk| desk.app.window().global::<ui::Connect>().get_host_error().to_string();
    desk.until("an error", |desk| !error(desk).is_empty());
    assert!(error(&desk).contains("Nobody answers there"), "{}", error(&desk));
    assert!(!desk.app.window().global::<ui::Connect>().get_busy());
    desk.fill("Server", "127.0.0.2");
    assert!(error(&desk).is_empty(), "it goes when the field is edited");
}

#[test]
fn what_is_wrong_is_told_without_moving_anything_that_was_there() {
    let house = House::start();
    let _other = Other::connect(house.addr, "ada");
    let desk = Desk::new();
    let labels = ["Server", "Port", "Guest", "Your name", "Encrypted connection", "Connect"];
    let places = |desk: &Desk| labels.map(|label| desk.elements(label).last().map(|e| e.absolute_position().y));
    desk.turn();
    let before = places(&desk);
    assert!(before.iter().all(Option::is_some), "{before:?}");
    let errors = |desk: &Desk| {
        let connect = desk.app.window().global::<ui::Connect>();
        [connect.get_host_error(), connect.get_port_error(), connect.get_alias_error(), connect.get_error()]
    };
    let try_ = |host: &str, port: u16, alias: &str, secure: bool| {
        desk.fill("Server", host);
        desk.fill("Port", &port.to_string());
        desk.fill("Your name", alias);
        if desk.element("Encrypted connection").accessible_checked() != Some(secure) {
            desk.press("Encrypted connection");
        }
        desk.press_button("Connect");
        desk.until("an answer", |desk| errors(desk).iter().any(|text| !text.is_empty()));
        (0..10).for_each(|_| desk.turn());
        println!("{:?}", errors(&desk));
        assert_eq!(places(&desk), before, "{:?}", errors(&desk));
    };
    try_("", 50_000, "ada", false);
    try_("127.0.0.1", 0, "a\tb", false);
    try_("no host", 50_000, "ada", false);
    let nobody = {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        socket.local_addr().unwrap().port()
    };
    try_("127.0.0.1", nobody, "ada", false);
    try_("127.0.0.1", house.addr.port(), "ada", false);
    try_("127.0.0.1", house.addr.port(), "ada", true);
}

#[test]
fn a_running_attempt_can_be_cancelled() {
    // It takes connections and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let desk = Desk::new();
    desk.connect(silent.local_addr().unwrap(), "ada");
    desk.until("the attempt", |desk| desk.has("Cancel"));
    desk.press("Cancel");
    assert!(!desk.app.window().global::<ui::Connect>().get_busy());
    desk.until("the dialog", |desk| desk.has("Your name") && desk.has("Connect"));
    let house = House::start();
    desk.connect(house.addr, "ada");
    desk.until("a room", |desk| !desk.rooms().is_empty());
}

#[test]
fn an_alias_that_is_taken_is_told_beside_it_with_a_free_one() {
    let house = House::start();
    let _other = Other::connect(house.addr, "ada");
    let desk = Desk::new();
    desk.connect(house.addr, "ada");
    let error = |desk: &Desk| desk.app.window().global::<ui::Connect>().get_alias_error().to_string();
    desk.until("an error", |desk| !error(desk).is_empty());
    assert!(error(&desk).contains("is free"), "{}", error(&desk));
}

#[test]
fn one_connects_talks_and_is_answered() {
    let house = House::start();
    let mut bob = Other::connect(house.addr, "bob");
    let desk = Desk::connected(house.addr, "ada");
    assert_eq!(desk.app.window().get_page(), ui::Page::Chat);
    desk.say("hello 👋");
    assert_eq!(bob.hears(), "hello 👋");
    desk.until("the ack", |desk| desk.messages().iter().any(|row| row.own && row.state == ui::SendState::Sent));
    bob.say("hi ada!");
    desk.until("the answer", |desk| desk.shows("hi ada!"));
    let rows = desk.messages();
    let (mine, answer) =
        (rows.iter().find(|row| row.own).unwrap(), rows.iter().find(|row| row.text == "hi ada!").unwrap());
    assert_eq!((mine.sender.as_str(), answer.sender.as_str(), answer.mention), ("ada", "bob", true));
    assert_ne!(mine.key, answer.key);
    desk.until("its row on the screen", |desk| {
        desk.visible().iter().any(|row| row.accessible_label().is_some_and(|label| label.contains("hi ada!")))
    });
    // The server is remembered, for its owner's eyes only.
    let kept = std::fs::read_to_string(desk.places.path().join("gui.json")).unwrap();
    assert!(kept.contains("\"ada\""));
}

#[test]
fn rooms_are_made_joined_switched_and_left() {
    let house = House::start();
    let bob = Other::connect(house.addr, "bob");
    let desk = Desk::connected(house.addr, "ada");
    let lobby = desk.title();
    desk.say("/create den");
    desk.until("the den", |desk| desk.title() == "den");
    let den = async_std::task::block_on(bob.client.join("den")).unwrap();
    desk.app.window().global::<ui::Rooms>().invoke_select(desk.room(&lobby).unwrap().key);
    desk.turn();
    assert_eq!(desk.title(), lobby);
    async_std::task::block_on(async { den.send("in the den").await.unwrap().await.unwrap() });
    desk.until("the count", |desk| desk.room("den").unwrap().unread == 1);
    assert!(!desk.shows("in the den"));
    assert!(desk.app.window().global::<ui::Status>().get_window_title().starts_with("(1)"));
    desk.ui(Ui::Filter("den".into()));
    desk.ui(Ui::ChooseSwitch);
    assert_eq!(desk.title(), "den");
    assert!(desk.shows("in the den"));
    assert_eq!(desk.room("den").unwrap().unread, 0);
    assert!(desk.messages().iter().any(|row| row.kind == ui::RowKind::NewLine));
    desk.until("one's own power", |desk| desk.app.window().global::<ui::Conversation>().get_may_topic());
    desk.say("/topic all about tea");
    desk.until("the topic", |desk| desk.app.window().global::<ui::Conversation>().get_topic() == "all about tea");
    let people = |desk: &Desk| -> Vec<String> {
        desk.app.window().global::<ui::Members>().get_rows().iter().map(|row| row.alias.to_string()).collect()
    };
    desk.until("the people", |desk| people(desk) == ["ada", "bob"]);
    let roles = |desk: &Desk| -> Vec<ui::Role> {
        desk.app.window().global::<ui::Members>().get_rows().iter().map(|row| row.role).collect()
    };
    desk.until("the owner", |desk| roles(desk) == [ui::Role::Owner, ui::Role::Member]);
    assert!(desk.app.window().global::<ui::Members>().get_may_moderate());
    desk.say("/leave");
    desk.until("the lobby", |desk| desk.title() == lobby && desk.room("den").is_none());
}

#[test]
fn one_talks_to_somebody_alone() {
    let house = House::start();
    let mut bob = Other::connect(house.addr, "bob");
    let desk = Desk::connected(house.addr, "ada");
    desk.say("/msg bob psst");
    desk.until("the direct", |desk| desk.title() == "bob" && desk.room("bob").is_some_and(|row| row.direct));
    desk.until("what was said", |desk| desk.shows("psst"));
    assert_eq!(bob.hears(), "psst");
    desk.until("bob's presence", |desk| desk.room("bob").unwrap().presence == ui::Presence::Here);
    let direct = bob.client.rooms().into_iter().find(|room| room.name().as_str() == "@ada").unwrap();
    async_std::task::block_on(async { direct.send("what?").await.unwrap().await.unwrap() });
    desk.until("the answer", |desk| desk.shows("what?"));
}

#[test]
fn the_past_is_read_page_by_page_and_found() {
    let house = House::start();
    let bob = Other::connect(house.addr, "bob");
    async_std::task::block_on(async {
        let room = bob.client.room().unwrap();
        for n in 1..=450 {
            let receipt = room.send(format!("message {n}{}", if n == 40 { " needle" } else { "" })).await.unwrap();
            drop(receipt);
        }
        assert!(bob.client.flush().await);
    });
    let desk = Desk::connected(house.addr, "ada");
    desk.until("the newest", |desk| desk.shows("message 450"));
    assert!(!desk.shows("message 100"));
    for _ in 0..10 {
        desk.ui(Ui::NearTop);
        desk.until("a page", |desk| !desk.app.window().global::<ui::Conversation>().get_loading());
    }
    assert!(desk.app.window().global::<ui::Conversation>().get_at_start());
    let said: Vec<_> = desk.messages().into_iter().filter(|row| row.kind == ui::RowKind::Message).collect();
    assert_eq!(said.len(), 450);
    let numbers: Vec<u32> = said.iter().map(|row| row.text.split(' ').nth(1).unwrap().parse().unwrap()).collect();
    assert!(numbers.is_sorted());
    let search = || desk.app.window().global::<ui::Search>();
    search().set_open(true);
    desk.until("its place", |desk| desk.has("Close the search"));
    search().set_query("needle".into());
    search().invoke_search("needle".into());
    desk.until("an answer", |_| !search().get_busy());
    let hits: Vec<_> = search().get_rows().iter().collect();
    assert_eq!(hits.len(), 1, "{} {hits:?}", search().get_error());
    assert_eq!(hits[0].hit, "needle");
    search().invoke_show(hits[0].key);
    desk.until("the hit", |desk| desk.messages().iter().any(|row| row.highlighted && row.text.contains("needle")));
    let list = desk.element("Messages");
    let (top, height) = (list.absolute_position().y, list.size().height);
    desk.until("it on the screen", |desk| {
        let hit = |row: &ElementHandle| row.accessible_label().is_some_and(|label| label.contains("needle"));
        let place = desk.visible().into_iter().find(hit).map(|row| row.absolute_position().y);
        place.is_some_and(|y| (y - top - height * 0.3).abs() <= 1.0)
    });
}
