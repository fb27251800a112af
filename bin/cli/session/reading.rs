//! What is looked up in a room: its past, and who is in it.

use chatnet::{Events, HistoryItem, HistoryPage, Place, RequestError, Room, Seq};

use super::Session;
use crate::output::{Output, Own};

impl Session {
    pub(super) async fn history(&mut self, n: u32, events: &mut Events, output: &mut Output) {
        let room = match self.find(None) {
            Ok(room) => room,
            Err(message) => return output.own(&Own::Error { code: "not_a_member", message: &message }),
        };
        // Up to what was shown: what follows comes by itself.
        let before = room.cursor().unwrap_or(Seq::ZERO).next();
        let name = room.name().clone();
        match self.meanwhile(async move { last(&room, before, n).await }, events, output).await {
            Some(Ok(page)) => output.history(name.as_str(), page),
            Some(Err(e)) => output.own(&Own::Error { code: "history_failed", message: &e.to_string() }),
            None => {}
        }
    }

    pub(super) async fn search(&mut self, query: &str, events: &mut Events, output: &mut Output) {
        let room = match self.find(None) {
            Ok(room) => room,
            Err(message) => return output.own(&Own::Error { code: "not_a_member", message: &message }),
        };
        let name = room.name().clone();
        match self.meanwhile(async move { room.search(query, None, 20).await }, events, output).await {
            Some(Ok(page)) => output.search(name.as_str(), query, &page),
            Some(Err(e)) => output.own(&Own::Error { code: "search_failed", message: &e.to_string() }),
            None => {}
        }
    }

    pub(super) async fn who(&mut self, events: &mut Events, output: &mut Output) {
        let room = match self.find(None) {
            Ok(room) => room,
            Err(message) => return output.own(&Own::Error { code: "not_a_member", message: &message }),
        };
        let (mut members, mut after) = (Vec::new(), None);
        loop {
            let asked = room.clone();
            match self.meanwhile(async move { asked.members(after, 100).await }, events, output).await {
                None => return,
                Some(Ok((page, more))) => {
                    after = page.last().map(|member| member.who.principal);
                    members.extend(page);
                    if !more || after.is_none() {
                        break;
                    }
                }
                Some(Err(e)) => return output.own(&Own::Error { code: "who_failed", message: &e.to_string() }),
            }
        }
        members.sort_by(|a, b| a.who.alias.cmp(&b.who.alias));
        output.own(&Own::Who { room: room.name().as_str(), members: &members });
    }
}

/// The last so many messages before a place: what isn't shown, such as who was invited, doesn't count.
async fn last(room: &Room, mut before: Seq, n: u32) -> Result<HistoryPage, RequestError> {
    let is_shown = |item: &HistoryItem| !matches!(item, HistoryItem::Changed(_));
    let mut all = room.history(Place::Before(before), n).await?;
    let mut first = all.messages.first().map(HistoryItem::seq);
    all.messages.retain(is_shown);
    while all.more_before && all.messages.len() < n as usize && first.is_some_and(|first| first < before) {
        before = first.unwrap_or(before);
        let mut older = room.history(Place::Before(before), n).await?;
        first = older.messages.first().map(HistoryItem::seq);
        all.more_before = older.more_before;
        older.messages.retain(is_shown);
        let missing = n as usize - all.messages.len();
        if older.messages.len() > missing {
            older.messages.drain(..older.messages.len() - missing);
            all.more_before = true;
        }
        all.messages.splice(0..0, older.messages);
    }
    Ok(all)
}
