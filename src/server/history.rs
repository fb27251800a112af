//! Answers about a room's past: a part of its log, and what a search finds in it.

use std::sync::Arc;

use super::bulk::{Done, Job, Request};
use super::conn::Conn;
use super::places::Origin;
use super::rooms::Member;
use super::shared::Shared;
use super::toll;
use crate::id::{Seq, Timestamp};
use crate::limit::{Prefix, What};
use crate::protocol::message::{ErrorReply, History, HistoryEnd, Hit, Place, Search, SearchPage};
use crate::protocol::{self, Code};
use crate::room::Batch;
use crate::store::StoreError;

/// Events on one page of history, at most.
const MAX_EVENTS: u32 = 500;

/// Texts on one page of a search, at most: with the longest snippets it stays below 16 KiB.
const MAX_HITS: u32 = 50;

/// The longest query, in bytes.
const MAX_QUERY: usize = 256;

/// The longest snippet, in characters.
const SNIPPET_CHARS: usize = 60;

/// Answer a `History`: where the part begins and ends is looked up now, and it is read when its turn comes.
pub(super) async fn ask(shared: &Arc<Shared>, conn: &Arc<Conn>, history: History) {
    let History { request, room, place, limit } = history;
    if let Err(wait) = toll::request(shared, conn, What::Reads) {
        return refuse(conn, request, Code::RATE_LIMITED, toll::TEXT, Some(wait));
    }
    let Some(member) = conn.member(room) else { return not_a_member(conn, request) };
    let found = match shared.store.extent(room).await {
        Ok(extent) => bounds(shared, &member, place, limit, extent.trimmed).await,
        Err(e) => Err(e),
    };
    match found {
        Ok((after, last, oldest, head)) => {
            let (more_before, more_after) = (after > oldest, last < head);
            push(
                shared,
                conn,
                request,
                Job::History(Request { member, request, after, last, more_before, more_after }),
            );
        }
        Err(e) => {
            tracing::error!(room = %member.room.name, "history can't be read: {e}");
            refuse(
                conn,
                request,
                Code::STORE_FAILED,
                "the room's history can't be read at the moment; try again",
                Some(1000),
            );
        }
    }
}

/// The events wanted, as the one before the first, and the last; and what there is to be read at all, likewise.
async fn bounds(
    shared: &Shared,
    member: &Member,
    place: Place,
    limit: u32,
    trimmed: Seq,
) -> Result<(Seq, Seq, Seq, Seq), StoreError> {
    let (room, head) = (member.room.id, member.room.head());
    let oldest = trimmed.max(member.readable_after()).min(head);
    let limit = u64::from(limit.clamp(1, MAX_EVENTS));
    let by_time = |at: i64| shared.store.seq_at(room, Timestamp::from_millis(at));
    let (from, before, behind) = match place {
        Place::Before(seq) => (seq, limit, 0),
        Place::After(seq) => (seq.next(), 0, limit),
        Place::Around(seq) => (seq, limit / 2, limit - limit / 2),
        Place::BeforeTime(at) => (by_time(at).await?, limit, 0),
        Place::AfterTime(at) => (by_time(at).await?, 0, limit),
        Place::AroundTime(at) => (by_time(at).await?, limit / 2, limit - limit / 2),
    };
    // `from` is the first event that is not "before".
    let from = from.get().clamp(oldest.get() + 1, head.get() + 1);
    let after = from.saturating_sub(1 + before).max(oldest.get());
    let last = from.saturating_add(behind).saturating_sub(1).min(head.get()).max(after);
    Ok((Seq::new(after), Seq::new(last), oldest, head))
}

/// The last frame of a part.
pub(super) fn end(request: &Request, frames: &mut Vec<u8>) {
    let Request { request, member, more_before, more_after, .. } = request;
    let (more_before, more_after) = (*more_before, *more_after);
    protocol::encode(&HistoryEnd { request: *request, room: member.room.id, more_before, more_after }, frames);
}

/// Answer a `Search`, when its turn comes.
pub(super) fn search(shared: &Arc<Shared>, conn: &Arc<Conn>, search: Search) {
    if let Err(wait) = toll::request(shared, conn, What::Reads) {
        return refuse(conn, search.request, Code::RATE_LIMITED, toll::TEXT, Some(wait));
    }
    let Some(member) = conn.member(search.room) else { return not_a_member(conn, search.request) };
    if search.query.len() > MAX_QUERY || !search.query.chars().any(char::is_alphanumeric) {
        let text = "a search needs at least one word, and at most 256 bytes of them";
        return refuse(conn, search.request, Code::MALFORMED, text, None);
    }
    push(shared, conn, search.request, Job::Search(member, search));
}

/// Search now.
pub(super) async fn find(shared: &Shared, member: &Member, search: Search) -> Result<Done, StoreError> {
    let Search { request, room, query, before, limit } = search;
    // One at a time, in turn by address: a search takes as long as there is to look through.
    let origin = Origin { prefix: member.conn.address.map(|address| Prefix::from(address.ip())), known: false };
    let Ok(place) = shared.searches.enter(origin) else {
        let mut frames = Vec::new();
        let (code, text) = (Code::BUSY, "too many search at the moment; try again".to_owned());
        let (fatal, retry_after_ms, suggestion) = (false, Some(1000), None);
        let error = ErrorReply { code, text, request: Some(request), fatal, retry_after_ms, suggestion };
        protocol::encode(&error, &mut frames);
        return Ok(Done { frames, reached: None, on_credit: true, next: None });
    };
    place.turn().await;
    let before = before.unwrap_or(Seq::new(u64::MAX >> 1));
    let page = shared.store.search(room, &query, before, limit.clamp(1, MAX_HITS) as usize).await?;
    let readable = page.hits.iter().filter(|batch| batch.first > member.readable_after() && !member.has_left());
    let hits: Vec<Hit> = readable.map(|batch| hit(batch, &query)).collect();
    let more = page.more && hits.len() == page.hits.len();
    let mut frames = Vec::new();
    protocol::encode(&SearchPage { request, room, hits, more }, &mut frames);
    Ok(Done { frames, reached: None, on_credit: true, next: None })
}

fn hit(batch: &Batch, query: &str) -> Hit {
    let author = &batch.new.author;
    let body = batch.new.events.iter().next().map(|(_, body)| String::from_utf8_lossy(body));
    Hit {
        seq: batch.first,
        principal: author.principal,
        kind: author.kind,
        alias: author.alias.to_string(),
        at: batch.at.as_millis(),
        snippet: snippet(&body.unwrap_or_default(), query),
    }
}

/// The part of a text around the first of a query's words.
fn snippet(text: &str, query: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    if chars.len() <= SNIPPET_CHARS {
        return text.to_owned();
    }
    let lower: Vec<char> = chars.iter().map(|c| c.to_lowercase().next().unwrap_or(*c)).collect();
    let words = query.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    let found = words.filter_map(|word| {
        let word: Vec<char> = word.chars().flat_map(char::to_lowercase).collect();
        lower.windows(word.len().max(1)).position(|window| window == word)
    });
    let at = found.min().unwrap_or(0);
    let start = at.saturating_sub(SNIPPET_CHARS / 3).min(chars.len() - SNIPPET_CHARS);
    let end = start + SNIPPET_CHARS;
    let middle: String = chars[start..end].iter().collect();
    format!("{}{middle}{}", if start > 0 { "…" } else { "" }, if end < chars.len() { "…" } else { "" })
}

fn push(shared: &Arc<Shared>, conn: &Arc<Conn>, request: u32, job: Job) {
    if conn.with_output(|output| output.bulk.push(job)) {
        conn.kick(shared);
    } else {
        let text = "too many questions are waiting for their answers; wait for some";
        refuse(conn, request, Code::BUSY, text, Some(100));
    }
}

fn not_a_member(conn: &Conn, request: u32) {
    refuse(conn, request, Code::NOT_A_MEMBER, "you are not in this room: join it first", None);
}

fn refuse(conn: &Conn, request: u32, code: Code, text: &str, retry_after_ms: Option<u32>) {
    let (text, request, suggestion) = (text.to_owned(), Some(request), None);
    conn.queue(&ErrorReply { code, text, request, fatal: false, retry_after_ms, suggestion });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snippet_shows_the_first_word_found_and_where_it_was_cut() {
        assert_eq!(snippet("short tea", "TEA"), "short tea");
        let long = format!("{} Hot Tea {}", "x ".repeat(100), "y ".repeat(100));
        let shown = snippet(&long, "nope tea*");
        assert!(shown.contains("Tea") && shown.starts_with('…') && shown.ends_with('…'), "{shown}");
        assert_eq!(shown.chars().count(), SNIPPET_CHARS + 2);
    }
}
