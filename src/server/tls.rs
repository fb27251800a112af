//! TLS on a server: shaking hands with whom was accepted, and certificates that are replaced meanwhile.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::handle::{HandleError, ServerHandle};
use super::reader::linger;
use super::shared::Shared;
use crate::rt;
use crate::transport::tls::{Handshakes, Refusal, ServerTls};
use crate::transport::{Fingerprint, Socket};

/// How often the files of a certificate are looked at.
const LOOK: Duration = Duration::from_secs(2);

/// Shake hands, within the time that a handshake has. None if nothing came of it; the peer knows why, if it listens.
pub(super) async fn shake_hands(
    shared: &Arc<Shared>,
    tls: &Handshakes,
    socket: rt::Socket,
    address: SocketAddr,
) -> Option<Socket> {
    let limit = shared.config.handshake_timeout;
    let done = rt::race(async { rt::timeout(limit, tls.accept(socket)).await.map(Some) }, async {
        shared.stop.stopping().await;
        Some(None)
    });
    let refusal = match done.await {
        Some(Some(Ok(socket))) => {
            shared.counters.handshakes.fetch_add(1, Ordering::Relaxed);
            shared.counters.resumed.fetch_add(socket.is_resumed().into(), Ordering::Relaxed);
            return Some(Socket::Tls(Box::new(socket)));
        }
        Some(Some(Err(refusal))) => refusal,
        Some(None) => return None,
        None => {
            shared.counters.rejected.fetch_add(1, Ordering::Relaxed);
            tracing::info!(%address, "connection closed: its TLS handshake took more than {limit:?}");
            return None;
        }
    };
    shared.counters.rejected.fetch_add(1, Ordering::Relaxed);
    match refusal {
        Refusal::Stranger(stranger, socket) => {
            tracing::info!(%address, code = %stranger.code(), "connection refused: not TLS; told: {}", stranger.text());
            linger(&Socket::Tcp(socket)).await;
        }
        Refusal::Failed(why, socket) => {
            tracing::info!(%address, "connection closed: its TLS handshake failed: {why}");
            linger(&Socket::Tcp(socket)).await;
        }
        Refusal::Crowded => {
            tracing::warn!(%address, "connection closed: more TLS handshakes are begun than this server can finish");
        }
        Refusal::Gone(e) => tracing::debug!(%address, "connection closed during its TLS handshake: {e}"),
    }
    None
}

/// Look after the files of the certificate, for as long as the server is there.
pub(super) async fn watch(shared: Arc<Shared>) {
    let Some(tls) = &shared.tls else { return };
    loop {
        rt::sleep(LOOK).await;
        if !tls.identity().is_from_files() {
            continue;
        }
        let looking = Arc::clone(&shared);
        let changed = rt::spawn_blocking(move || looking.tls.as_ref().is_some_and(|tls| tls.identity().has_changed()));
        if changed.await {
            let _ = reload(&shared).await;
        }
    }
}

async fn reload(shared: &Arc<Shared>) -> Result<Fingerprint, HandleError> {
    let reading = Arc::clone(shared);
    let reloaded = rt::spawn_blocking(move || reading.tls.as_ref().map(|tls| tls.identity().reload())).await;
    match reloaded {
        None => Err(HandleError::NoTls),
        Some(Ok(fingerprint)) => {
            tracing::info!("certificate reloaded; fingerprint {fingerprint}");
            Ok(fingerprint)
        }
        Some(Err(e)) => {
            tracing::error!("the certificate was not reloaded, the old one stays: {e}");
            Err(HandleError::Certificate(e.to_string()))
        }
    }
}

impl ServerHandle {
    /// Read the files of the certificate again, for the connections from now on; sessions go on. On an error the old
    /// ones stay. Without files there is nothing to read, and nothing changes.
    ///
    /// # Errors
    ///
    /// They can't be used; the server doesn't speak TLS; it has stopped.
    pub async fn reload_tls(&self) -> Result<Fingerprint, HandleError> {
        reload(self.running()?).await
    }

    /// Use another certificate, or ask clients for others, from the next connection on; sessions go on.
    ///
    /// # Errors
    ///
    /// The server doesn't speak TLS, or has stopped.
    pub async fn replace_tls(&self, tls: ServerTls) -> Result<(), HandleError> {
        let shared = self.running()?;
        let handshakes = shared.tls.as_ref().ok_or(HandleError::NoTls)?;
        handshakes.identity().replace(tls);
        tracing::info!("certificate replaced; fingerprint {}", handshakes.identity().fingerprint());
        Ok(())
    }

    /// The fingerprint of the key that the server shows; none if it doesn't speak TLS.
    pub fn fingerprint(&self) -> Option<Fingerprint> {
        self.running().ok()?.tls.as_ref().map(|tls| tls.identity().fingerprint())
    }
}
