//! The server.
//!
//! # The life of a message
//!
//! 1. The connection's reader ([`reader`]) waits until its socket is readable, reads once, and cuts frames; a length
//!    is checked before its bytes are kept.
//! 2. [`publish`]: is its number known? Then the first ack again. Limits ([`toll`]); size, kind and text rules; the
//!    handler's verdict.
//! 3. What one read brought in becomes one entry of the committer's queue, which is bounded in bytes.
//! 4. [`committer`]: takes everything that waits, checks the right to speak once more, appends it to the store: all of
//!    it or none. The store gives seqs and times.
//! 5. The ack is queued; *then* the room's tail shows the events; the room is marked.
//! 6. [`flusher`]: closes what is new into chunks, encodes it once, and gives it to every member in one write that
//!    doesn't wait ([`output`]). A member whose socket doesn't take it all is behind: its [`writer`] goes on from its
//!    cursor until it has caught up.
//!
//! An ack means: kept by the configured store. Nobody slow is waited for: not by the committer, not by a flusher.
//!
//! # Locks
//!
//! In this order, never the other way round: a connection's output → the registry of rooms → a room → a connection's
//! queue. Nothing is awaited under a lock.

mod about;
mod accept;
mod alias;
mod attach;
mod ban_list;
mod banning;
mod books;
mod builder;
mod bulk;
mod committer;
mod conn;
mod deed;
mod dispatch;
mod export;
mod flusher;
mod guard;
mod guess;
mod handle;
mod handle_people;
mod hashing;
mod heir;
mod history;
mod house;
mod login;
mod membership;
mod moderation;
mod names;
mod output;
mod pairs;
mod people;
mod permission;
mod places;
mod probe;
mod publish;
mod reader;
mod reading;
mod reads;
mod registry;
mod requests;
mod retention;
mod rooms;
mod session;
mod shared;
mod sharing;
mod sweeper;
#[cfg(feature = "tls")]
mod tls;
mod toll;
mod typing;
mod writer;

use std::net::SocketAddr;
use std::sync::Arc;

use shared::Shared;

use crate::rt::{Listener, TaskGroup};

pub use builder::{BindError, ServerBuilder};
pub use handle::{Counters, HandleError, Page, Published, RoomInfo, ServerHandle, SessionInfo};
pub use handle_people::AccountInfo;
pub use login::Registration;

/// A chat server.
///
/// ```
/// # async_std::task::block_on(async {
/// use std::time::Duration;
///
/// let server = chatnet::Server::builder().name("workshop").bind("127.0.0.1:0").await?;
/// println!("listening on {}", server.local_addr().unwrap());
/// let handle = server.handle();
/// let serving = async_std::task::spawn(server.serve());
///
/// handle.announce("we close in five minutes").await?;
/// handle.shutdown(Duration::from_secs(5)).await;
/// serving.await;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
///
/// Its tasks run on async-std's threads, whatever runtime the application uses, and begin to work as soon as it is
/// built; only the accepting of connections is done by [`serve`](Self::serve). Dropping the server, or the future of
/// `serve`, cuts every connection without a goodbye: use [`ServerHandle::shutdown`] to part as friends.
#[derive(Debug)]
pub struct Server {
    shared: Arc<Shared>,
    listener: Option<Listener>,
}

impl Server {
    /// Begin to configure a server.
    pub fn builder() -> ServerBuilder {
        ServerBuilder::default()
    }

    fn new(shared: Arc<Shared>, listener: Option<Listener>) -> Self {
        Self { shared, listener }
    }

    /// Where it listens; none if it has no socket.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.listener.as_ref().and_then(|listener| listener.local_addr().ok())
    }

    /// The running server, from inside the application.
    pub fn handle(&self) -> ServerHandle {
        ServerHandle::new(Arc::clone(&self.shared))
    }

    /// Take connections until [`ServerHandle::shutdown`] has done its work. Runs on any runtime.
    pub async fn serve(mut self) {
        if let Some(listener) = self.listener.take() {
            accept::run(&self.shared, &listener).await;
        }
        self.shared.stop.stopped().await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        cut(&self.shared);
    }
}

/// End everything at once.
fn cut(shared: &Arc<Shared>) {
    shared.stop.begin();
    shared.tasks.cut();
    shared.engine.cut();
    shared.stop.finish();
    // Handles may live on: they are not to keep the store from whoever opens it next.
    let store = Arc::clone(&shared.store);
    TaskGroup::default().spawn(async move { store.close().await });
}
