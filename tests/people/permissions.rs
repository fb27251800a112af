//! The application's say in every action that needs a permission.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use chatnet::id::{PrincipalId, RoomId, Seq};
use chatnet::protocol::Code;
use chatnet::protocol::message::*;
use chatnet::{Action, Handler, Interests, Question, Ruling};

use crate::steps::*;
use crate::support::*;

/// Rules in one sort of action, and notes what it was asked.
#[derive(Debug, Default, Clone)]
struct Judge(Arc<Mutex<Court>>);

#[derive(Debug, Default)]
struct Court {
    ruling: Option<(Action, Ruling)>,
    asked: Vec<(Action, bool, Option<PrincipalId>)>,
}

impl Handler for Judge {
    fn interests(&self) -> Interests {
        Interests::none().permission()
    }

    async fn permission(&self, question: Question<'_>) -> Ruling {
        let mut court = self.0.lock().unwrap();
        court.asked.push((question.action, question.permitted, question.whom));
        let ruling = court.ruling.clone().filter(|(action, _)| *action == question.action);
        ruling.map_or(Ruling::AsUsual, |(_, ruling)| ruling)
    }
}

impl Judge {
    fn rule(&self, action: Action, ruling: Ruling) {
        self.0.lock().unwrap().ruling = Some((action, ruling));
    }

    fn adjourn(&self) {
        self.0.lock().unwrap().ruling = None;
    }

    /// What it was asked last.
    fn asked(&self) -> (Action, bool, Option<PrincipalId>) {
        *self.0.lock().unwrap().asked.last().expect("it was asked")
    }
}

/// A room of Ada's with Bob in it, who has said something; Carl and Eve are elsewhere.
struct Scene {
    judge: Judge,
    ada: Wire,
    bob: Wire,
    carl: Wire,
    eve: Wire,
    den: RoomId,
    said: Seq,
    server: TestServer,
}

impl Scene {
    fn new() -> Self {
        let judge = Judge::default();
        let server = TestServer::with(|b| b.handler(judge.clone()).grace(Duration::from_secs(60)));
        let [mut ada, mut bob, carl, eve] = ["ada", "bob", "carl", "eve"].map(|name| Wire::guest(server.addr, name));
        let den = ada.join("den").room;
        bob.join("den");
        let said = say(&mut bob, den, "hello").unwrap();
        Self { judge, ada, bob, carl, eve, den, said, server }
    }

    /// As little as a table can permit to anybody but Ada.
    fn shut(&mut self) {
        assert_eq!(moderate(&mut self.ada, on(self.den, EventKind::MUTE, "bob")), Ok(()));
        assert_eq!(moderate(&mut self.ada, on(self.den, EventKind::BAN, "eve")), Ok(()));
        let mut settings = RoomSettings::new(RoomKind::InviteOnly);
        (settings.limit, settings.announcement_only, settings.archived) = (Some(2), true, true);
        let change = Moderate { settings: Some(settings), ..Moderate::new(11, self.den, EventKind::SETTINGS) };
        assert_eq!(moderate(&mut self.ada, change), Ok(()));
    }
}

/// Try an action, on somebody if it is to somebody.
fn act(wire: &mut Wire, (room, said): (RoomId, Seq), action: Action, whom: &str) -> Result<(), Code> {
    let plain = |act| Moderate::new(11, room, act);
    let asked = match action {
        Action::Join => return join(wire, "den").map(drop),
        Action::Speak => return say(wire, room, "psst").map(drop),
        Action::ChangeAlias => {
            wire.send(&ChangeAlias { request: 11, alias: "somebody".into() });
            return answered(wire, Kind::Renamed);
        }
        Action::SeeBans => {
            wire.send(&ListBans { request: 11, room, skip: None });
            return answered(wire, Kind::BansPage);
        }
        Action::Invite => on(room, EventKind::INVITE, "carl"),
        Action::SetTopic => Moderate { text: Some("tea".into()), ..plain(EventKind::TOPIC) },
        Action::Kick => on(room, EventKind::KICK, whom),
        Action::Mute => on(room, EventKind::MUTE, whom),
        Action::Ban => on(room, EventKind::BAN, whom),
        Action::DeleteOthers => Moderate { value: Some(said.get()), ..plain(EventKind::DELETION) },
        Action::ChangeSettings => Moderate { settings: Some(RoomSettings::default()), ..plain(EventKind::SETTINGS) },
        Action::GiveRank => with_rank(room, whom, Rank::Moderator),
        other => panic!("{other:?} is new: try it here"),
    };
    moderate(wire, asked)
}

fn answered(wire: &mut Wire, kind: Kind) -> Result<(), Code> {
    loop {
        let got = wire.next().expect("the server answers");
        if got.is(kind) {
            return Ok(());
        }
        if got.is(Kind::ErrorReply) {
            return Err(got.read::<ErrorReply>().code);
        }
    }
}

#[test]
fn the_application_refuses_whatever_the_table_permits() {
    for action in Action::ALL {
        let Scene { judge, mut ada, mut carl, den, said, server: _server, .. } = Scene::new();
        judge.rule(action, Ruling::Refuse("not today".into()));
        let actor = if action == Action::Join { &mut carl } else { &mut ada };
        assert_eq!(act(actor, (den, said), action, "bob"), Err(Code::NOT_PERMITTED), "{action:?}");
        let (asked, permitted, whom) = judge.asked();
        assert_eq!((asked, permitted), (action, true));
        let on_somebody = [Action::Invite, Action::Kick, Action::Mute, Action::Ban, Action::GiveRank];
        assert_eq!(whom.is_some(), on_somebody.contains(&action), "{action:?}");
        judge.adjourn();
        assert_eq!(act(actor, (den, said), action, "bob"), Ok(()), "{action:?}");
        assert_eq!(judge.asked().0, action, "it has no memory");
    }
}

#[test]
fn the_application_allows_whatever_the_table_denies() {
    for action in Action::ALL {
        let mut scene = Scene::new();
        scene.shut();
        let Scene { judge, mut ada, mut bob, mut eve, den, said, server: _server, .. } = scene;
        let (actor, code) = match action {
            Action::Join => (&mut eve, Code::ROOM_BANNED),
            Action::Speak | Action::ChangeAlias => (&mut bob, Code::MUTED),
            _ => (&mut bob, Code::NOT_PERMITTED),
        };
        assert_eq!(act(actor, (den, said), action, "ada"), Err(code), "{action:?}");
        assert_eq!((judge.asked().0, judge.asked().1), (action, false));
        judge.rule(action, Ruling::Allow);
        assert_eq!(act(actor, (den, said), action, "ada"), Ok(()), "{action:?}");
        match action {
            Action::Speak => assert_eq!(hear(&mut ada), ["psst"]),
            Action::ChangeAlias => assert_eq!(change(&mut ada, EventKind::ALIAS).1.text.as_deref(), Some("somebody")),
            Action::Kick => assert_eq!(ada.skip_to::<Left>().code, Code::KICKED),
            _ => {}
        }
    }
}

#[test]
fn the_application_lets_somebody_keep_order_in_a_room_that_they_are_not_in() {
    for action in Action::ALL {
        if [Action::Join, Action::Speak, Action::ChangeAlias].contains(&action) {
            continue;
        }
        let Scene { judge, mut eve, den, said, server: _server, .. } = Scene::new();
        assert_eq!(act(&mut eve, (den, said), action, "bob"), Err(Code::NOT_A_MEMBER), "{action:?}");
        judge.rule(action, Ruling::Allow);
        assert_eq!(act(&mut eve, (den, said), action, "bob"), Ok(()), "{action:?}");
    }
}

#[test]
fn what_makes_no_sense_stays_refused_though_the_application_allows_it() {
    let Scene { judge, mut ada, mut bob, den, server: _server, .. } = Scene::new();
    assert_eq!(moderate(&mut ada, on(den, EventKind::MUTE, "bob")), Ok(()));
    let (told, _) = change(&mut bob, EventKind::MUTE);
    judge.rule(Action::DeleteOthers, Ruling::Allow);
    let that = Moderate { value: Some(told.seq.get()), ..Moderate::new(11, den, EventKind::DELETION) };
    assert_eq!(moderate(&mut bob, that), Err(Code::BAD_REQUEST), "who was muted stays in the log");
}

#[test]
fn whom_the_application_lets_in_although_they_are_banned_stays_until_a_new_ban_meets_them() {
    let Scene { judge, mut ada, den, server, .. } = Scene::new();
    let mut mallory = Wire::connect(server.addr);
    mallory.hello();
    mallory.send(&guest("mallory"));
    mallory.expect::<Authenticated>();
    mallory.send(&Attach { token: None, cursors: vec![], more: false });
    let token = mallory.expect::<Attached>().token.unwrap();
    assert_eq!(moderate(&mut ada, on(den, EventKind::BAN, "mall*")), Ok(()));
    judge.rule(Action::Join, Ruling::Allow);
    join(&mut mallory, "den").unwrap();
    judge.adjourn();
    assert_eq!(moderate(&mut ada, on(den, EventKind::BAN, "spam*")), Ok(()));
    say(&mut ada, den, "still here?").unwrap();
    assert_eq!(hear(&mut mallory), ["still here?"]);
    drop(mallory);
    let mut mallory = Wire::connect(server.addr);
    mallory.hello();
    mallory.send(&Auth { mechanism: "session".into(), data: token.clone() });
    mallory.expect::<Authenticated>();
    mallory.send(&Attach { token: Some(token), cursors: vec![], more: false });
    mallory.expect::<Attached>();
    say(&mut mallory, den, "yes").unwrap();
    assert_eq!(moderate(&mut ada, on(den, EventKind::BAN, "mallory")), Ok(()));
    assert_eq!(mallory.skip_to::<Left>().code, Code::ROOM_BANNED);
}
