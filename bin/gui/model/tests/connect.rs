use super::*;

fn form() -> Form {
    Form { host: "example.org".into(), port: "50000".into(), alias: "ada".into(), secure: true, ..Form::default() }
}

fn errors(form: Form) -> (String, String, String, String) {
    let mut window = Window::new();
    window.ui(Ui::Connect(form));
    assert!(window.effects.is_empty(), "{:?}", window.effects);
    let errors = &window.state.connect.errors;
    (errors.host.clone(), errors.port.clone(), errors.alias.clone(), errors.password.clone())
}

#[test]
fn each_error_stands_beside_its_field() {
    assert!(!errors(Form { host: " ".into(), ..form() }).0.is_empty());
    assert!(!errors(Form { host: "a b".into(), ..form() }).0.is_empty());
    for port in ["", "0", "65536", "http", "-1"] {
        assert!(!errors(Form { port: port.into(), ..form() }).1.is_empty(), "{port}");
    }
    assert!(!errors(Form { alias: "a\u{202e}b".into(), ..form() }).2.is_empty());
    let (_, _, alias, password) = errors(Form { alias: String::new(), use_account: true, ..form() });
    assert!(!alias.is_empty() && !password.is_empty());
    let two = errors(Form { host: String::new(), port: "x".into(), ..form() });
    assert!(!two.0.is_empty() && !two.1.is_empty());
}

#[test]
fn an_error_goes_when_its_field_is_edited() {
    let mut window = Window::new();
    window.ui(Ui::Connect(Form { host: String::new(), port: "x".into(), ..form() }));
    window.ui(Ui::FormEdited("host".into()));
    assert!(window.state.connect.errors.host.is_empty());
    assert!(!window.state.connect.errors.port.is_empty());
}

#[test]
fn host_and_port_may_be_typed_together_and_addresses_have_colons() {
    let attempt = |host: &str| {
        let mut window = Window::new();
        window.ui(Ui::Connect(Form { host: host.into(), ..form() }));
        match window.effects.pop() {
            Some(Effect::Connect(attempt)) => (attempt.host.clone(), attempt.port, attempt.server()),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(attempt("chat.example:1234"), ("chat.example".into(), 1234, "chat.example:1234".into()));
    assert_eq!(attempt("::1"), ("::1".into(), 50000, "[::1]:50000".into()));
    assert_eq!(attempt("[::1]:7"), ("::1".into(), 7, "[::1]:7".into()));
}

#[test]
fn a_running_attempt_can_be_cancelled_and_is_not_doubled() {
    let mut window = Window::new();
    window.ui(Ui::Connect(form()));
    window.ui(Ui::Connect(form()));
    assert_eq!(window.effects.len(), 1);
    assert!(window.state.connect.busy && !window.state.connect.progress.is_empty());
    window.ui(Ui::CancelConnect);
    assert!(!window.state.connect.busy);
    assert!(matches!(window.effects[1], Effect::CancelConnect));
}

#[test]
fn a_refusal_is_told_where_it_belongs_with_a_way_out() {
    let mut window = Window::new();
    window.ui(Ui::Connect(form()));
    window.net(Net::Failed {
        field: Field::Alias,
        text: "the alias is in use".into(),
        suggestion: Some("ada_2".into()),
    });
    assert_eq!(window.state.connect.errors.alias, "The alias is in use. ada_2 is free.");
    assert!(!window.state.connect.busy);
}

#[test]
fn a_changed_key_is_not_taken_by_accident() {
    let mut window = Window::new();
    window.ui(Ui::Connect(form()));
    window.net(Net::OtherKey {
        server: "example.org:50000".into(),
        fingerprint: "sha256:00aAbb".into(),
        known: "sha256:11".into(),
    });
    assert!(window.state.trust.open && window.state.trust.changed);
    for typed in ["", "bb", "abbb", "00aA", "0aAbb"] {
        window.ui(Ui::TrustTyped(typed.into()));
        window.ui(Ui::TrustAccept);
        assert!(window.state.trust.open, "{typed}");
    }
    window.ui(Ui::TrustTyped(" AABB".into()));
    window.ui(Ui::TrustAccept);
    assert!(!window.state.trust.open);
    assert!(matches!(window.effects.last(), Some(Effect::Accept { replace: true, .. })));
}

#[test]
fn a_first_contact_is_asked_about_and_may_be_refused() {
    let mut window = Window::new();
    window.ui(Ui::Connect(form()));
    let contact =
        Net::FirstContact { server: "example.org:50000".into(), fingerprint: "sha256:aabb".into(), why: "why".into() };
    window.net(contact.clone());
    window.ui(Ui::TrustRefuse);
    assert!(!window.state.connect.busy && window.state.connect.errors.general.contains("not trusted"));
    window.ui(Ui::Connect(form()));
    window.net(contact);
    window.ui(Ui::TrustAccept);
    assert!(matches!(window.effects.last(), Some(Effect::Accept { replace: false, .. })));
}

#[test]
fn servers_are_remembered_and_secrets_are_not() {
    let mut window = Window::new();
    let secret = || Secret("hunter2".into());
    window.ui(Ui::Connect(Form { use_account: true, password: secret(), ..form() }));
    assert!(!format!("{:?}", window.effects).contains("hunter2"));
    window.net(Net::Begun { server: "example.org:50000".into(), secure: true, restored: 0 });
    assert_eq!(window.state.page, Page::Chat);
    assert!(window.state.connect.form.password.0.is_empty());
    let server = window.state.settings.servers[0].clone();
    assert_eq!((server.host.as_str(), server.alias.as_str(), server.account), ("example.org", "ada", true));
    window.ui(Ui::Disconnect);
    assert_eq!(window.state.page, Page::Connect);
    window.ui(Ui::ChooseServer(0));
    assert_eq!(window.state.connect.form.host, "example.org");
    window.ui(Ui::ForgetServer(0));
    assert!(window.state.settings.servers.is_empty());
    window.ui(Ui::ChooseServer(0));
}

#[test]
fn a_lost_connection_counts_down_and_comes_back() {
    let mut window = Window::in_lobby();
    window.net(Net::Reconnecting { attempt: 1, delay_ms: 2500, reason: "the connection was cut".into() });
    assert_eq!(window.state.status.link, Link::Reconnecting);
    assert_eq!(window.state.status.countdown(window.now), 3);
    assert_eq!(window.state.status.countdown(window.now + 2000), 1);
    assert_eq!(window.state.status.countdown(window.now + 9000), 0);
    assert!(window.state.status.banner.contains("cut"));
    // What happened can be read before it is told how it goes on.
    let again = |window: &mut Window, attempt, reason: &str| {
        window.net(Net::Reconnecting { attempt, delay_ms: 2500, reason: reason.into() });
        window.state.status.banner.clone()
    };
    window.now += 1_500;
    assert!(again(&mut window, 2, "nobody answers").contains("cut"));
    window.now += 9_000;
    let still = again(&mut window, 3, "nobody answers");
    assert!(still.starts_with("Still not connected. Nobody answers."), "{still}");
    window.ui(Ui::Now);
    assert!(matches!(window.effects.last(), Some(Effect::NetworkChanged)));
    window.net(Net::Resumed);
    assert_eq!((window.state.status.link, window.state.status.countdown(window.now)), (Link::Online, -1));
    assert!(window.state.status.banner.is_empty());
}

#[test]
fn the_end_has_its_dialog_and_a_wish_has_none() {
    let mut window = Window::in_lobby();
    window.net(Net::Closed(End { code: Some(Code::BANNED), text: "spam".into(), requested: false, unsent: 0 }));
    assert!(window.state.ended.open && window.state.ended.title.contains("banned"));
    assert_eq!(window.state.page, Page::Connect);
    assert!(window.shown.is_empty());
    window.ui(Ui::ActEnded);
    assert!(!window.state.ended.open);
    let mut window = Window::in_lobby();
    window.net(Net::Closed(End { code: None, text: String::new(), requested: true, unsent: 0 }));
    assert!(!window.state.ended.open);
}
