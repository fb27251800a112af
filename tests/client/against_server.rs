//! Client and server of this library together: over sockets, in memory, under other runtimes.

use std::time::Duration;

use async_std::future::timeout;
use async_std::task::{block_on, spawn};
use chatnet::{
    Client, ClientHandler, CloseReason, Code, ConnectError, Event, Events, Limits, Place, ReceiptError, Reconnect,
    RequestError, SendError, Server, SkipReason, Source, transport,
};
use futures::StreamExt;
use futures::channel::mpsc;

use crate::support::{PATIENCE, TestServer};

/// The next event that `pick` takes.
async fn until<T>(events: &mut Events, pick: impl Fn(Event) -> Option<T>) -> T {
    let found = async {
        while let Some(event) = events.next().await {
            if let Some(found) = pick(event) {
                return found;
            }
        }
        panic!("the events ended")
    };
    timeout(PATIENCE, found).await.expect("the event comes")
}

fn text(event: Event) -> Option<(u64, String)> {
    match event {
        Event::Message(message) => Some((message.seq.get(), message.text)),
        Event::Gap { from, to, .. } => panic!("a gap from {from} to {to}"),
        _ => None,
    }
}

#[test]
fn two_people_talk() {
    block_on(async {
        let server = TestServer::start();
        let (ada, mut ada_events) = Client::builder().alias("ada").connect(server.addr).await.unwrap();
        let (bob, mut bob_events) = Client::builder().alias("bob").connect(server.addr).await.unwrap();
        assert!(
            matches!(ada_events.next().await, Some(Event::Connected { room: Some(room), .. }) if room.as_str() == "lobby")
        );
        assert!(matches!(ada_events.next().await, Some(Event::Joined { members: 1, .. })));
        until(&mut ada_events, |e| matches!(e, Event::MemberJoined { who, .. } if who.alias == "bob").then_some(()))
            .await;
        let acked = ada.room().unwrap().send("hello").await.unwrap().await.unwrap();
        assert_eq!((acked.seq.get(), acked.text.as_str()), (1, "hello"));
        assert_eq!(until(&mut bob_events, text).await, (1, "hello".into()));
        let (members, more) = bob.room().unwrap().members(None, 10).await.unwrap();
        assert_eq!((members.len(), more), (2, false));
        bob.close().await;
        assert!(matches!(
            until(&mut bob_events, |e| if let Event::Closed { reason } = e { Some(reason) } else { None }).await,
            CloseReason::Requested
        ));
        assert!(bob_events.next().await.is_none());
        until(&mut ada_events, |e| matches!(e, Event::MemberLeft { who, .. } if who.alias == "bob").then_some(()))
            .await;
        assert!(matches!(bob.room().map(|r| r.try_send("x")), None | Some(Err(SendError::Closed(_)))));
    });
}

#[test]
fn in_memory_needs_no_socket() {
    block_on(async {
        let server = Server::builder().build().await.unwrap();
        let handle = server.handle();
        let (near, far) = transport::memory::pair(4096);
        let serving = spawn(async move { handle.serve_connection(far).await });
        let (ada, mut events) = Client::builder().alias("ada").connect_over(near).await.unwrap();
        let (near, far) = transport::memory::pair(16);
        let handle = server.handle();
        let serving_too = spawn(async move { handle.serve_connection(far).await });
        let (bob, _) = Client::builder().alias("bob").connect_over(near).await.unwrap();
        let big = "x".repeat(60_000);
        bob.room().unwrap().send(big.clone()).await.unwrap().await.unwrap();
        assert_eq!(until(&mut events, text).await, (1, big));
        ada.close().await;
        bob.close().await;
        serving.await.unwrap();
        serving_too.await.unwrap();
    });
}

#[test]
fn a_hundred_thousand_messages_arrive_once_and_in_order() {
    const COUNT: u64 = 100_000;
    block_on(async {
        let server = TestServer::with(|b| b.limits(Limits::NONE));
        let (ada, _) = Client::builder().alias("ada").connect(server.addr).await.unwrap();
        let (_bob, mut events) = Client::builder().alias("bob").connect(server.addr).await.unwrap();
        let room = ada.room().unwrap();
        let sending = spawn(async move {
            for i in 1..=COUNT {
                drop(room.send(format!("line {i}")).await.unwrap());
            }
            assert!(ada.flush().await);
            ada
        });
        for i in 1..=COUNT {
            assert_eq!(until(&mut events, text).await, (i, format!("line {i}")));
        }
        sending.await;
    });
}

#[test]
fn a_slow_application_is_told_overloaded_and_loses_nothing_that_the_server_still_has() {
    block_on(async {
        let server = TestServer::start();
        let (ada, _) = Client::builder().alias("ada").connect(server.addr).await.unwrap();
        let (_bob, mut events) = Client::builder().alias("bob").event_bytes(20_000).connect(server.addr).await.unwrap();
        let room = ada.room().unwrap();
        for i in 1..=3000 {
            drop(room.send(format!("{i}")).await.unwrap());
        }
        assert!(ada.flush().await);
        let mut overloaded = false;
        let mut next = 1;
        while next <= 3000 {
            let event = timeout(PATIENCE, events.next()).await.unwrap().unwrap();
            overloaded |= matches!(event, Event::Overloaded { .. });
            if let Some((seq, text)) = text(event) {
                assert_eq!((seq, text), (next, next.to_string()));
                next += 1;
            }
        }
        assert!(overloaded);
    });
}

#[test]
fn what_the_server_no_longer_has_is_a_told_gap() {
    block_on(async {
        let server = TestServer::with(|b| b.tail_bytes(0).room_log_bytes(100_000));
        let (ada, _) = Client::builder().alias("ada").connect(server.addr).await.unwrap();
        let (_bob, mut events) = Client::builder().alias("bob").event_bytes(10_000).connect(server.addr).await.unwrap();
        let room = ada.room().unwrap();
        for i in 1..=2000 {
            drop(room.send(format!("{i} {}", "x".repeat(500))).await.unwrap());
        }
        assert!(ada.flush().await);
        let (mut next, mut missed) = (1, 0);
        while next <= 2000 {
            match timeout(PATIENCE, events.next()).await.unwrap().unwrap() {
                Event::Message(message) => {
                    assert_eq!(message.seq.get(), next);
                    next += 1;
                }
                Event::Gap { from, to, .. } => {
                    assert_eq!(from.get(), next);
                    missed += to.get() - from.get() + 1;
                    next = to.get() + 1;
                }
                _ => {}
            }
        }
        assert!(missed > 0);
    });
}

#[test]
fn refusals_have_their_own_words() {
    block_on(async {
        let server = TestServer::with(|b| b.max_event(100));
        let (ada, _events) = Client::builder().alias("ada").connect(server.addr).await.unwrap();
        let again = Client::builder().alias("ADA").connect(server.addr).await.unwrap_err();
        assert!(
            matches!(&again, ConnectError::Refused { code: Code::ALIAS_IN_USE, suggestion: Some(s), .. } if s == "ADA2")
        );
        assert!(again.to_string().contains("ADA2"));
        let room = ada.room().unwrap();
        assert!(matches!(room.try_send("x".repeat(101)), Err(SendError::TooLarge { max: 100, .. })));
        assert!(matches!(room.try_send("\u{7}"), Err(SendError::Invalid { .. })));
        assert!(ada.join("two words").await.is_err());
        let den = ada.join("den").await.unwrap();
        assert_eq!(ada.join("den").await.unwrap().id(), den.id());
        den.leave().await.unwrap();
        assert!(matches!(den.try_send("x"), Err(SendError::Closed(_))));
        assert!(den.leave().await.is_err());
        let nobody = Client::builder().connect("127.0.0.1:1").await.unwrap_err();
        assert!(matches!(nobody, ConnectError::Connect { .. }));
        let nowhere = Client::builder().connect("no.such.host.invalid:1").await.unwrap_err();
        assert!(matches!(nowhere, ConnectError::Resolve { .. }), "{nowhere}");
    });
}

#[test]
fn a_full_outbox_makes_send_wait_and_try_send_give_the_text_back() {
    block_on(async {
        // A server that says hello and then reads nothing more would do; a tiny outbox does too.
        let server = TestServer::start();
        let (ada, _) = Client::builder().alias("ada").outbox_bytes(200).connect(server.addr).await.unwrap();
        let room = ada.room().unwrap();
        let mut full = 0;
        for i in 0..500 {
            match room.try_send(format!("{i}")) {
                Ok(receipt) => drop(receipt),
                Err(SendError::Full(text)) => {
                    full += 1;
                    drop(room.send(text).await.unwrap());
                }
                Err(e) => panic!("{e}"),
            }
        }
        assert!(full > 0);
        assert!(ada.flush().await);
        assert_eq!(ada.unsent(), 0);
    });
}

/// Awaits the ack of what it answers, and tells what it hears.
struct Echo {
    client: Option<Client>,
    clients: mpsc::UnboundedReceiver<Client>,
    heard: mpsc::UnboundedSender<String>,
    nap: Duration,
}

impl ClientHandler for Echo {
    async fn event(&mut self, event: Event) {
        let Event::Message(message) = event else { return };
        if self.client.is_none() {
            self.client = self.clients.next().await;
        }
        async_std::task::sleep(self.nap).await;
        let room = self.client.as_ref().unwrap().room().unwrap();
        room.send(format!("echo {}", message.text)).await.unwrap().await.unwrap();
        self.heard.unbounded_send(message.text).unwrap();
    }
}

#[test]
fn a_handler_may_await_its_own_ack_and_sleep_for_ten_heartbeats() {
    block_on(async {
        let heartbeat = Duration::from_millis(50);
        let server = TestServer::with(|b| b.heartbeat(heartbeat));
        let (give, clients) = mpsc::unbounded();
        let (heard, mut hears) = mpsc::unbounded();
        let echo = Echo { client: None, clients, heard, nap: 10 * heartbeat };
        let bot = Client::builder().alias("bot").connect_with(server.addr, echo).await.unwrap();
        give.unbounded_send(bot.clone()).unwrap();
        let (ada, mut events) = Client::builder().alias("ada").connect(server.addr).await.unwrap();
        drop(ada.room().unwrap().send("hi").await.unwrap());
        assert_eq!(until(&mut events, text).await.1, "echo hi");
        assert_eq!(timeout(PATIENCE, hears.next()).await.unwrap().unwrap(), "hi");
        assert!(!bot.is_closed(), "it was alive all the time");
    });
}

#[test]
fn a_lost_connection_is_told_and_receipts_are_not_left_hanging() {
    block_on(async {
        let server = TestServer::start();
        let (ada, mut events) = Client::builder().alias("ada").connect(server.addr).await.unwrap();
        let session = ada.session();
        server.handle.disconnect(session, "out").await.unwrap();
        let reason = until(&mut events, |e| if let Event::Closed { reason } = e { Some(reason) } else { None }).await;
        assert!(matches!(reason, CloseReason::Bye { code: Code::DISCONNECTED, text, .. } if text == "out"));
        assert!(ada.is_closed() && !ada.flush().await || ada.unsent() == 0);
        let bob = Client::builder().alias("bob").reconnect(Reconnect::never());
        let (bob, mut events) = bob.connect(server.addr).await.unwrap();
        let room = bob.room().unwrap();
        drop(server);
        until(&mut events, |e| matches!(e, Event::Closed { .. }).then_some(())).await;
        match room.send("x").await {
            Err(SendError::Closed(text)) => assert_eq!(text, "x"),
            Ok(receipt) => assert_eq!(receipt.await.unwrap_err(), ReceiptError::Lost { unsent: 1 }),
            Err(e) => panic!("{e}"),
        }
    });
}

#[test]
fn dropping_the_last_handle_sends_what_waits_and_says_goodbye() {
    block_on(async {
        let server = TestServer::start();
        let (ada, _) = Client::builder().alias("ada").connect(server.addr).await.unwrap();
        let (_bob, mut events) = Client::builder().alias("bob").connect(server.addr).await.unwrap();
        let room = ada.room().unwrap();
        for i in 0..1000 {
            drop(room.send(format!("{i}")).await.unwrap());
        }
        drop((ada, room));
        for i in 0..1000 {
            assert_eq!(until(&mut events, text).await.1, i.to_string());
        }
        until(&mut events, |e| matches!(e, Event::MemberLeft { .. }).then_some(())).await;
    });
}

#[test]
fn the_library_runs_inside_a_tokio_program() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().worker_threads(2).build().unwrap();
    runtime.block_on(async {
        let server = Server::builder().bind("127.0.0.1:0").await.unwrap();
        let (addr, handle) = (server.local_addr().unwrap(), server.handle());
        let serving = tokio::spawn(server.serve());
        let (ada, _) = Client::builder().alias("ada").connect(addr).await.unwrap();
        let (bob, mut events) = Client::builder().alias("bob").connect(addr).await.unwrap();
        tokio::spawn(async move { ada.room().unwrap().send("from tokio").await.unwrap().await.unwrap() })
            .await
            .unwrap();
        assert_eq!(until(&mut events, text).await.1, "from tokio");
        bob.close().await;
        handle.shutdown(Duration::from_secs(5)).await;
        tokio::time::timeout(PATIENCE, serving).await.unwrap().unwrap();
    });
}

#[test]
fn on_joining_what_was_said_last_comes_first_and_each_event_once() {
    block_on(async {
        let server = TestServer::start();
        let (ada, _) = Client::builder().alias("ada").connect(server.addr).await.unwrap();
        let room = ada.room().unwrap();
        for i in 1..=50 {
            drop(room.send(format!("{i}")).await.unwrap());
        }
        assert!(ada.flush().await);
        // She goes on talking while he comes.
        let talking = spawn(async move {
            for i in 51..=500 {
                drop(room.send(format!("{i}")).await.unwrap());
            }
            assert!(ada.flush().await);
            ada
        });
        let bob = Client::builder().alias("bob").history_on_join(20);
        let (_bob, mut events) = bob.connect(server.addr).await.unwrap();
        let head =
            until(&mut events, |e| if let Event::Joined { head, .. } = e { Some(head.get()) } else { None }).await;
        for seq in head - 19..=500 {
            let message = until(&mut events, |e| match e {
                Event::Message(message) => Some(message),
                Event::Gap { .. } | Event::Overloaded { .. } => panic!("{e:?}"),
                _ => None,
            });
            let message = message.await;
            assert_eq!((message.seq.get(), message.text), (seq, seq.to_string()));
            assert_eq!(message.source == Source::History, seq <= head, "{seq}");
        }
        talking.await;
    });
}

#[test]
fn a_client_that_is_started_again_goes_on_where_it_was() {
    block_on(async {
        let server = TestServer::start();
        let (ada, _) = Client::builder().alias("ada").connect(server.addr).await.unwrap();
        let (bot, mut events) = Client::builder().alias("bot").connect(server.addr).await.unwrap();
        let say = async |text: &str| ada.room().unwrap().send(text).await.unwrap().await.unwrap();
        say("one").await;
        let taken = until(&mut events, |e| if let Event::Message(m) = e { Some(m.cursor) } else { None }).await;
        bot.close().await;
        say("two").await;
        let bot = Client::builder().alias("bot").cursor(taken);
        let (_bot, mut events) = bot.connect(server.addr).await.unwrap();
        say("three").await;
        assert_eq!(until(&mut events, text).await, (2, "two".into()));
        assert_eq!(until(&mut events, text).await, (3, "three".into()));

        // In another life of the store the place means nothing.
        let other = TestServer::start();
        let (eve, _) = Client::builder().alias("eve").connect(other.addr).await.unwrap();
        eve.room().unwrap().send("x").await.unwrap().await.unwrap();
        let bot = Client::builder().alias("bot").cursor(taken);
        let (_bot, mut events) = bot.connect(other.addr).await.unwrap();
        let gap = until(&mut events, |e| if let Event::Gap { reason, to, .. } = e { Some((reason, to)) } else { None });
        assert_eq!(gap.await, (SkipReason::Reset, chatnet::Seq::new(1)));
    });
}

#[test]
fn history_and_search_are_answered_also_to_one_who_does_not_take_its_events() {
    block_on(async {
        let server = TestServer::start();
        let (ada, _) = Client::builder().alias("ada").connect(server.addr).await.unwrap();
        let (bob, events) = Client::builder().alias("bob").event_bytes(10_000).connect(server.addr).await.unwrap();
        let room = ada.room().unwrap();
        for i in 1..=1000 {
            drop(room.send(format!("text {i} {}", "x".repeat(1000))).await.unwrap());
        }
        assert!(ada.flush().await);
        let room = bob.room().unwrap();
        // Many times the credit that holds at first.
        for _ in 0..10 {
            let page =
                timeout(PATIENCE, room.history(Place::Around(chatnet::Seq::new(500)), 400)).await.unwrap().unwrap();
            let seqs: Vec<u64> = page.messages.iter().map(|item| item.seq().get()).collect();
            assert_eq!(seqs, (300..700).collect::<Vec<_>>());
            assert!(page.more_before && page.more_after);
        }
        let found = room.search("TEXT 77", None, 5).await.unwrap();
        assert_eq!((found.hits.len(), found.hits[0].seq.get(), found.more), (1, 77, false));
        assert_eq!(found.hits[0].from.alias, "ada");
        let first = room.search("text", None, 5).await.unwrap();
        let seqs = |page: &chatnet::SearchPage| page.hits.iter().map(|hit| hit.seq.get()).collect::<Vec<_>>();
        assert_eq!((seqs(&first), first.more), (vec![1000, 999, 998, 997, 996], true));
        let next = room.search("text", first.hits.last().map(|hit| hit.seq), 5).await.unwrap();
        assert_eq!(seqs(&next), [995, 994, 993, 992, 991]);
        assert!(matches!(room.search("?!", None, 5).await, Err(RequestError::Refused { .. })));
        drop(events);
    });
}

#[test]
fn whoever_takes_any_name_gets_the_one_that_is_proposed() {
    block_on(async {
        let server = TestServer::start();
        let (_ada, _events) = Client::builder().alias("ada").connect(server.addr).await.unwrap();
        let (other, _) = Client::builder().alias("ada").alias_fallback(true).connect(server.addr).await.unwrap();
        assert_eq!(other.alias().as_str(), "ada2");
    });
}

#[test]
fn a_client_is_who_others_see_as_the_author_of_what_it_says() {
    block_on(async {
        let server = TestServer::with(|builder| builder.registration(chatnet::Registration::Open));
        let (bob, mut of_bob) = Client::builder().alias("bob").connect(server.addr).await.unwrap();
        let (ada, _events) = Client::builder().alias("ada").connect(server.addr).await.unwrap();
        drop(ada.room().unwrap().send("hello").await.unwrap());
        let author = |event| if let Event::Message(message) = event { Some(message.from.principal) } else { None };
        assert_eq!(until(&mut of_bob, author).await, ada.principal());
        assert!(ada.principal() != bob.principal());
        // A guest is somebody else the next time; an account is itself, on every device.
        let before = ada.principal();
        ada.close().await;
        let (again, _events) = Client::builder().alias("ada").connect(server.addr).await.unwrap();
        assert!(again.principal() != before);
        let (desk, _on_desk) =
            Client::builder().register("eve", "correct horse", None).connect(server.addr).await.unwrap();
        let (phone, _on_phone) = Client::builder().account("eve", "correct horse").connect(server.addr).await.unwrap();
        assert_eq!(desk.principal(), phone.principal());
    });
}
