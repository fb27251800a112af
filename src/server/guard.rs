//! Calls into the application: limited in time, and unable to take the server down.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::time::{Duration, Instant};

use futures::FutureExt;

use crate::id::SessionId;
use crate::rt;

/// A poll of a handler that takes longer than this holds up others, and is logged.
const SLOW_POLL: Duration = Duration::from_millis(100);

/// A handler that gave no answer: it panicked, or took too long. The log says which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct HandlerFailed;

/// Wait for a handler's answer, for at most `limit`.
pub(super) async fn call<T>(
    what: &'static str,
    session: SessionId,
    limit: Duration,
    future: impl Future<Output = T>,
) -> Result<T, HandlerFailed> {
    let mut future = pin!(AssertUnwindSafe(future).catch_unwind());
    let watched = std::future::poll_fn(|cx| {
        let begun = Instant::now();
        let poll = future.as_mut().poll(cx);
        let took = begun.elapsed();
        if took > SLOW_POLL {
            tracing::warn!(%session, "the handler's {what} blocked its thread for {took:?}: every task there waited");
        }
        poll
    });
    match rt::timeout(limit, watched).await {
        Some(Ok(answer)) => Ok(answer),
        Some(Err(panic)) => {
            let text = panic.downcast_ref::<&str>().copied().map(str::to_owned);
            let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
            tracing::error!(%session, "the handler's {what} panicked: {text}");
            Err(HandlerFailed)
        }
        None => {
            tracing::error!(%session, "the handler's {what} took longer than {limit:?} and was dropped");
            Err(HandlerFailed)
        }
    }
}
