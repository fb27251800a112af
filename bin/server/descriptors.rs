//! How many files, and so connections, this process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raise the soft limit to the hard one. A login shell has 1,024 as its soft limit, for the sake of old programs that
/// use `select`; a server would be full at a thousand clients.
pub(crate) fn raise_limit() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return;
    }
    match setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        Ok(()) => tracing::debug!("the limit of open files went from {:?} to {:?}", limit.current, limit.maximum),
        Err(e) => tracing::warn!("at most {:?} files can be open, as many connections less a few: {e}", limit.current),
    }
}
