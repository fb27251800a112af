//! What a server or another user may send, whatever they want to break by it.

use super::*;
use proptest::prelude::*;

/// The strings of the text rules' corpus, their escapes undone.
fn corpus() -> Vec<String> {
    let corpus = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/text/corpus.txt"));
    let mut strings = Vec::new();
    for line in corpus.lines().filter(|line| !line.starts_with('#')) {
        let (mut open, mut chars) = (false, line.chars().peekable());
        while let Some(c) = chars.next() {
            match (c, open) {
                ('"', false) => strings.push(String::new()),
                ('\\', true) => {
                    let c = match chars.next() {
                        Some('n') => '\n',
                        Some('t') => '\t',
                        Some('r') => '\r',
                        Some('0') => '\0',
                        Some('u') => {
                            let digits: String = chars.by_ref().skip(1).take_while(|c| *c != '}').collect();
                            u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32).unwrap()
                        }
                        Some(c) => c,
                        None => break,
                    };
                    strings.last_mut().unwrap().push(c);
                }
                (c, true) if c != '"' => strings.last_mut().unwrap().push(c),
                _ => {}
            }
            open ^= c == '"';
        }
    }
    assert!(strings.len() > 150, "{}", strings.len());
    strings
}

/// Characters that can turn a line round, hide, or do something to what shows them.
fn is_dangerous(c: char) -> bool {
    c.is_control() && c != '\n' && c != '\t'
        || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}')
}

#[test]
fn every_text_of_the_corpus_is_harmless_wherever_it_stands() {
    let mut window = Window::in_lobby();
    for (n, text) in corpus().iter().enumerate() {
        let who = Person { id: id(7), alias: text.clone(), guest: true };
        window.said("lobby", n as u64 + 1, &who, text);
        window.net(Net::Came { room: "lobby".into(), who });
        window.net(Net::Joined { room: text.clone(), id: RoomId::from_bytes([8; 16]), head: 0, members: 1 });
        window.net(Net::Notice(text.clone()));
        window.net(Net::Typing { room: "lobby".into(), who: text.clone(), typing: true });
        window.net(Net::Failed { field: Field::General, text: text.clone(), suggestion: Some(text.clone()) });
        window.net(Net::Reconnecting { attempt: 1, delay_ms: 1, reason: text.clone() });
        window.ui(typed(&format!(":{text}")));
    }
    let lobby = window.key("lobby");
    window.ui(Ui::SelectRoom(lobby));
    assert!(window.shown.len() > 150);
    for row in &window.shown {
        assert!(!row.text.contains(is_dangerous), "{:?}", row.text);
    }
    for room in &window.state.rooms.list {
        assert!(!room.title().contains(is_dangerous));
        assert!(!room.typing_words().contains(is_dangerous));
    }
    let said = [&window.state.toast.text, &window.state.status.banner, &window.state.connect.errors.general];
    assert!(said.iter().all(|text| !text.contains(is_dangerous)), "{said:?}");
}

#[test]
fn a_million_comings_are_one_row_and_cost_little() {
    let mut window = Window::in_lobby();
    let begin = std::time::Instant::now();
    for n in 0..1_000_000_u32 {
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&n.to_be_bytes());
        let who = Person { id: PrincipalId::from_bytes(bytes), alias: format!("bot{n}"), guest: true };
        let _ = window.state.update(Event::Net(Net::Came { room: "lobby".into(), who }), NOON);
    }
    let room = window.state.room().unwrap();
    assert_eq!(room.rows.rows().len(), 2);
    assert_eq!(room.members.count, 1_000_002);
    println!("a coming: {:?}", begin.elapsed() / 1_000_000);
}

#[test]
fn texts_of_64_kib_cost_what_short_ones_do() {
    let mut window = Window::in_lobby();
    let long = "🎉 \u{202e}x\n".repeat(6_500);
    for seq in 1..=2_000 {
        let before = window.changes;
        window.said("lobby", seq, &person(2, "bob"), &long);
        assert!(window.changes - before <= 6);
    }
    assert!(window.shown.iter().all(|row| row.text.len() < 12_000));
    assert!(window.shown.len() < 1_500, "bytes are bounded too: {}", window.shown.len());
}

#[derive(Debug, Clone)]
enum Step {
    Said(u64, u8),
    Say,
    Ack(u64),
    Refuse,
    Came(u8),
    Older,
    Hit(u64),
    Follow(bool),
    Jump,
    Focus(bool),
    Switch,
    Page(u64, u64, bool, bool),
    Later(i64),
    Removed(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (1..60_u64, 2..5_u8).prop_map(|(seq, who)| Step::Said(seq, who)),
        3 => Just(Step::Say),
        3 => (0..60_u64).prop_map(Step::Ack),
        1 => Just(Step::Refuse),
        2 => (5..9_u8).prop_map(Step::Came),
        2 => Just(Step::Older),
        1 => (1..60_u64).prop_map(Step::Hit),
        1 => any::<bool>().prop_map(Step::Follow),
        1 => Just(Step::Jump),
        1 => any::<bool>().prop_map(Step::Focus),
        1 => Just(Step::Switch),
        4 => (1..60_u64, 0..20_u64, any::<bool>(), any::<bool>()).prop_map(|(a, n, b, c)| Step::Page(a, n, b, c)),
        1 => (0..100_000_000_i64).prop_map(Step::Later),
        1 => (1..60_u64).prop_map(Step::Removed),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// `Window::take` compares what an adapter shows with what there is, after every step.
    #[test]
    fn whatever_comes_in_whatever_order_is_shown_once_and_in_order(steps in prop::collection::vec(step(), 1..80)) {
        let mut window = Window::in_lobby_from(30);
        window.joined("den", 2);
        for step in steps {
            match step {
                Step::Said(seq, who) => window.said("lobby", seq, &person(who, "bob"), &format!("m{seq}")),
                Step::Say => window.say("mine"),
                Step::Ack(seq) => window.acked("lobby", seq, "mine"),
                Step::Refuse => window.net(Net::Refused { room: "lobby".into(), text: "mine".into(), reason: "no".into() }),
                Step::Came(who) => window.net(Net::Came { room: "lobby".into(), who: person(who, "x") }),
                Step::Older => window.ui(Ui::NearTop),
                Step::Hit(seq) => {
                    let hit = Hit { seq, from: person(2, "bob"), at: NOON, snippet: "m".into() };
                    window.ui(Ui::Search("m".into()));
                    window.net(Net::Hits { room: "lobby".into(), query: "m".into(), hits: vec![hit], more: false });
                    window.ui(Ui::ShowHit(1));
                }
                Step::Follow(following) => window.ui(Ui::Following(following)),
                Step::Jump => window.ui(Ui::JumpToNewest),
                Step::Focus(focused) => window.take(Event::Focus(focused)),
                Step::Switch => {
                    let (lobby, den) = (window.key("lobby"), window.key("den"));
                    let other = if window.state.rooms.selected == lobby { den } else { lobby };
                    window.ui(Ui::SelectRoom(other));
                }
                Step::Page(from, count, before, after) => {
                    if window.effects.iter().any(|e| matches!(e, Effect::History { .. })) {
                        window.page(from, from + count, before, after);
                    }
                }
                Step::Later(ms) => {
                    window.now += ms;
                    window.take(Event::Tick);
                }
                Step::Removed(seq) => {
                    let change = chatnet::protocol::message::RoomChange { value: Some(seq), ..Default::default() };
                    let what = What::Change(chatnet::EventKind::DELETION, change);
                    let item = Item { seq: 60, at: window.now, from: person(3, "mod"), what };
                    window.net(Net::Item { room: "lobby".into(), item, source: Source::Live });
                }
            }
            let mut seqs = window.seqs();
            let shown = seqs.len();
            prop_assert!(seqs.is_sorted(), "{seqs:?}");
            seqs.dedup();
            prop_assert_eq!(seqs.len(), shown);
            let waiting: Vec<_> = window.shown.iter().map(Row::is_waiting).collect();
            prop_assert!(waiting.is_sorted(), "what is unsent is at the end");
            let mut keys: Vec<_> = window.shown.iter().map(|row| row.key).collect();
            keys.sort_unstable();
            keys.dedup();
            prop_assert_eq!(keys.len(), window.shown.len());
        }
    }
}
