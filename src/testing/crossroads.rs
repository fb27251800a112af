//! A network that brings connections to a server late, behind others that were opened after them, or twice.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::channel::mpsc;
use futures::channel::oneshot;
use futures::future::select;
use futures::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use futures::{StreamExt, pin_mut};
use parking_lot::Mutex;

use super::Random;
use crate::rt::{self, TaskGroup};

/// One connection in so many is late, and as many come twice.
const ONE_IN: u64 = 6;

/// A late connection arrives once later ones were sent so many bytes, at most.
const BEHIND_BYTES: u64 = 4000;

/// What nobody listens to any more at the client's end goes on at the server's for so long.
const LINGER: Duration = Duration::from_millis(500);

/// Draws, for each connection that a client opens, how it comes to the server: as it should, late or twice. Clones are
/// the same crossroads. Its connections end when the last clone is dropped.
///
/// - *Late*: to the client it seems half open. What the client has said on it comes to the server all the same, once
///   another connection, opened after it, is under way; the client may have given it up by then.
/// - *Twice*: what the client says comes to the server on two connections at once. It hears the first one's answers.
///
/// Meant for connections that continue a session: of a guest who begins twice the server makes two.
#[derive(Clone)]
pub struct Crossroads {
    inner: Arc<Inner>,
}

struct Inner {
    state: Mutex<State>,
    tasks: TaskGroup,
}

struct State {
    random: Random,
    calm: bool,
    held: Vec<Held>,
    crossed: u64,
    doubled: u64,
}

/// A connection that waits for others to go first.
struct Held {
    /// So many bytes have to be sent to others.
    behind: u64,
    go: oneshot::Sender<()>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.tasks.cut();
    }
}

impl fmt::Debug for Crossroads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.inner.state.lock();
        f.debug_struct("Crossroads")
            .field("crossed", &state.crossed)
            .field("doubled", &state.doubled)
            .finish_non_exhaustive()
    }
}

impl Crossroads {
    /// Begin; what happens from the first [`rush`](Self::rush) on is drawn from `seed`.
    pub fn new(seed: u64) -> Self {
        let state = State { random: Random::new(seed), calm: true, held: Vec::new(), crossed: 0, doubled: 0 };
        Self { inner: Arc::new(Inner { state: Mutex::new(state), tasks: TaskGroup::default() }) }
    }

    /// From here on some connections come late or twice.
    pub fn rush(&self) {
        self.inner.state.lock().calm = false;
    }

    /// From here on all connections come as they should. Late ones that still wait never arrive.
    pub fn calm(&self) {
        let mut state = self.inner.state.lock();
        state.calm = true;
        state.held.clear();
    }

    /// How many connections came late.
    pub fn crossed(&self) -> u64 {
        self.inner.state.lock().crossed
    }

    /// How many came twice.
    pub fn doubled(&self) -> u64 {
        self.inner.state.lock().doubled
    }

    /// The client's end of a connection; `connect` gives a new one to the server each time it is called: once or twice.
    pub fn open<S>(&self, mut connect: impl FnMut() -> S + Send + 'static) -> Road<S>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let mut state = self.inner.state.lock();
        let drawn = if state.calm { ONE_IN } else { state.random.below(ONE_IN) };
        let way = match drawn {
            0 => {
                let (go, going) = oneshot::channel();
                let behind = state.random.below(BEHIND_BYTES);
                state.held.push(Held { behind, go });
                let (said, saying) = mpsc::unbounded();
                self.inner.tasks.spawn(late(connect, saying, going));
                Way::Late { said }
            }
            1 => {
                state.doubled += 1;
                let (said, saying) = mpsc::unbounded();
                let first = connect();
                self.inner.tasks.spawn(again(connect(), saying));
                Way::Through { stream: first, copy: Some(said) }
            }
            _ => Way::Through { stream: connect(), copy: None },
        };
        drop(state);
        Road { way, crossroads: self.clone() }
    }

    /// A connection that is as it should be has brought so many bytes to its client.
    fn passed(&self, bytes: u64) {
        let mut state = self.inner.state.lock();
        let mut i = 0;
        while i < state.held.len() {
            if state.held[i].behind > bytes {
                state.held[i].behind -= bytes;
                i += 1;
                continue;
            }
            // Nobody waits if the crossroads are gone.
            let _ = state.held.swap_remove(i).go.send(());
            state.crossed += 1;
        }
    }
}

/// Bring what is said to the server once it is time.
async fn late<S: AsyncRead + AsyncWrite + Unpin>(
    mut connect: impl FnMut() -> S,
    mut said: mpsc::UnboundedReceiver<Vec<u8>>,
    go: oneshot::Receiver<()>,
) {
    if go.await.is_err() {
        return;
    }
    let mut stream = connect();
    // What was said up to here; and then nobody is there.
    while let Ok(bytes) = said.try_recv() {
        if stream.write_all(&bytes).await.is_err() {
            return;
        }
    }
    let _ = rt::timeout(LINGER, hear(stream)).await;
}

/// Say the same on another connection, and listen to nothing there.
async fn again(stream: impl AsyncRead + AsyncWrite + Unpin, mut said: mpsc::UnboundedReceiver<Vec<u8>>) {
    let (from, mut to) = stream.split();
    let saying = async move {
        while let Some(bytes) = said.next().await {
            if to.write_all(&bytes).await.is_err() {
                return;
            }
        }
    };
    let hearing = hear(from);
    pin_mut!(saying, hearing);
    // It ends with the client's, or when the server has closed it; what is still said then goes nowhere.
    select(saying, hearing).await;
}

async fn hear(mut stream: impl AsyncRead + Unpin) {
    let mut buffer = [0; 4096];
    while let Ok(1..) = stream.read(&mut buffer).await {}
}

/// The client's end of a connection by a [`Crossroads`].
pub struct Road<S> {
    way: Way<S>,
    crossroads: Crossroads,
}

enum Way<S> {
    Through { stream: S, copy: Option<mpsc::UnboundedSender<Vec<u8>>> },
    Late { said: mpsc::UnboundedSender<Vec<u8>> },
}

impl<S> fmt::Debug for Road<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.way {
            Way::Through { copy: None, .. } => "Road(straight)",
            Way::Through { .. } => "Road(twice)",
            Way::Late { .. } => "Road(late)",
        })
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Road<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let Way::Through { stream, .. } = &mut this.way else { return Poll::Pending };
        let poll = Pin::new(stream).poll_read(cx, buf);
        if let Poll::Ready(Ok(n)) = poll {
            this.crossroads.passed(n as u64);
        }
        poll
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Road<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.way {
            Way::Through { stream, copy } => {
                let poll = Pin::new(stream).poll_write(cx, buf);
                if let (Poll::Ready(Ok(n)), Some(copy)) = (&poll, copy) {
                    // The copy may have been refused.
                    let _ = copy.unbounded_send(buf[..*n].to_vec());
                }
                poll
            }
            Way::Late { said } => {
                let _ = said.unbounded_send(buf.to_vec());
                Poll::Ready(Ok(buf.len()))
            }
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.way {
            Way::Through { stream, .. } => Pin::new(stream).poll_flush(cx),
            Way::Late { .. } => Poll::Ready(Ok(())),
        }
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.way {
            Way::Through { stream, .. } => Pin::new(stream).poll_close(cx),
            Way::Late { .. } => Poll::Ready(Ok(())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::memory::{self, Pipe};
    use futures::executor::block_on;

    /// Open connections until one comes in this way; the server's ends, as they come.
    fn until(crossroads: &Crossroads, way: &str) -> (Road<Pipe>, mpsc::UnboundedReceiver<Pipe>) {
        loop {
            let (ends, arriving) = mpsc::unbounded();
            let road = crossroads.open(move || {
                let (near, far) = memory::pair(1 << 16);
                let _ = ends.unbounded_send(far);
                near
            });
            if format!("{road:?}").contains(way) {
                return (road, arriving);
            }
        }
    }

    async fn heard(mut end: Pipe, bytes: usize) -> Vec<u8> {
        let mut heard = vec![0; bytes];
        end.read_exact(&mut heard).await.unwrap();
        heard
    }

    #[test]
    fn a_late_connection_comes_with_all_that_was_said_behind_one_that_was_opened_after_it() {
        let crossroads = Crossroads::new(7);
        crossroads.rush();
        block_on(async {
            let (mut late, mut arriving) = until(&crossroads, "late");
            late.write_all(b"hello").await.unwrap();
            drop(late);
            assert!(arriving.try_recv().is_err(), "it is on its way");
            let (mut straight, mut ends) = until(&crossroads, "straight");
            let mut server = ends.next().await.unwrap();
            server.write_all(&[0; BEHIND_BYTES as usize]).await.unwrap();
            straight.read_exact(&mut [0; BEHIND_BYTES as usize]).await.unwrap();
            assert_eq!(heard(arriving.next().await.unwrap(), 5).await, b"hello");
        });
    }

    #[test]
    fn what_is_said_on_a_doubled_connection_comes_twice_and_one_answer_is_heard() {
        let crossroads = Crossroads::new(7);
        crossroads.rush();
        block_on(async {
            let (mut twice, mut arriving) = until(&crossroads, "twice");
            twice.write_all(b"hello").await.unwrap();
            let (mut first, mut second) = (arriving.next().await.unwrap(), arriving.next().await.unwrap());
            second.write_all(b"second").await.unwrap();
            first.write_all(b"first").await.unwrap();
            let mut answer = [0; 5];
            twice.read_exact(&mut answer).await.unwrap();
            assert_eq!(&answer, b"first");
            assert_eq!((heard(first, 5).await, heard(second, 5).await), (b"hello".to_vec(), b"hello".to_vec()));
        });
    }
}
