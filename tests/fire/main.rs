//! Under fire: kills, cuts, restarts; nothing acknowledged is lost, nothing is doubled, everybody ends alike.

#![allow(unreachable_pub)] // one crate

mod checker;
mod cut;
mod disk;
mod kill;
#[path = "../support/process.rs"]
mod process;
mod simulation;
#[path = "../support/mod.rs"]
mod support;

use chatnet::id::{RoomId, Seq};
use chatnet::store::Log;

/// The seed of this run: `CHATNET_SEED`, or another one each time. It is printed, so that a failure can be repeated.
fn seed() -> u64 {
    let given = std::env::var("CHATNET_SEED").ok().and_then(|seed| seed.parse().ok());
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let seed = given.unwrap_or(now.as_nanos() as u64);
    println!("CHATNET_SEED={seed}");
    seed
}

async fn lobby_of(store: &impl Log) -> RoomId {
    let snapshot = store.load().await.unwrap();
    snapshot.rooms.iter().find(|(room, _)| room.name.as_str() == "lobby").unwrap().0.id
}

/// Every event of a room, as the store has it.
async fn whole_log(store: &impl Log, room: RoomId) -> Vec<(u64, String)> {
    let (mut log, mut after) = (Vec::new(), Seq::ZERO);
    loop {
        let page = store.read(room, after, 1 << 20).await.unwrap();
        assert!(page.trimmed.is_none());
        let Some(last) = page.batches.last().map(|batch| batch.last()) else { return log };
        for batch in &page.batches {
            let first = batch.first.get();
            let texts = batch.new.events.iter().map(|(_, body)| String::from_utf8(body.to_vec()).unwrap());
            log.extend(
                texts.enumerate().map(|(i, text)| (first + i as u64, text)).filter(|(seq, _)| *seq > after.get()),
            );
        }
        after = last;
    }
}
