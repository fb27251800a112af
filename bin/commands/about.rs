//! What is known of somebody, and what was done to keep order.

use chatnet::{Client, RequestError, Timestamp};

use super::lines;

/// What is known of somebody.
pub(super) async fn whois(client: &Client, who: &str) -> Result<String, RequestError> {
    let person = client.whois(who).await?;
    let kind = match person.kind {
        chatnet::PrincipalKind::Guest => "a guest",
        _ if person.admin => "an admin",
        _ => "an account",
    };
    let here = match (person.online, &person.away, person.seen) {
        (true, Some(away), _) => format!("away: {away}"),
        (true, None, _) => "here".to_owned(),
        (false, _, Some(seen)) => format!("not here; last seen {seen}"),
        (false, _, None) => "not here".to_owned(),
    };
    Ok(lines([format!("* {} is {kind}, {here}", person.alias)].into_iter()))
}

/// A page of what was done to keep order, the newest last.
pub(super) async fn audit(client: &Client, before: Option<u64>) -> Result<String, RequestError> {
    let (entries, more) = client.audit(before, 15).await?;
    let Some(oldest) = entries.last().map(|entry| entry.n) else {
        return Ok(if before.is_some() { "* nothing was done before" } else { "* nothing was done yet" }.to_owned());
    };
    let line = |e: &chatnet::protocol::message::AuditEntry| {
        let whom = if e.whom.is_empty() { String::new() } else { format!(" {}", e.whom) };
        let room = if e.room.is_empty() { String::new() } else { format!(" in {}", e.room) };
        let text = if e.text.is_empty() { String::new() } else { format!(": {}", e.text) };
        format!("* #{} {} {} {}{whom}{room}{text}", e.n, Timestamp::from_millis(e.at), e.by, e.act)
    };
    let older = more.then(|| format!("* /audit {oldest} shows what was before"));
    Ok(lines(older.into_iter().chain(entries.iter().rev().map(line))))
}
