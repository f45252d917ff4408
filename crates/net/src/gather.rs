//! A connection whose writes are gathered: one system call for what belongs together.
//!
//! h2 hands an answer to the socket in two writes, head with body and then trailers, and a request in
//! two, head and body. Each costs more than all its encoding: the kernel's way through its network
//! stack, a packet, and a wake-up of the peer. A [`GatheringStream`] keeps what is written to it, and a task
//! of its own sends it once the writer has paused. tokio runs that task next on the same thread,
//! so nothing waits for a timer or another thread; under load several answers leave together.
//!
//! Flushing means only that what was written will be sent, as with the kernel's own buffer behind
//! it; an error shows at the next write. At most [`MAX_GATHERED_BYTES`] wait here for a slow peer, and
//! as many are being sent; then writers wait. What was written before the end of a connection is
//! still sent, within [`LINGER`].

use std::io;
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::Notify;
use tokio::time::sleep;
use tonic::transport::server::{Connected, TcpConnectInfo};

/// Bytes that wait to be sent: some tens of answers, or a slice of a batch's.
const MAX_GATHERED_BYTES: usize = 64 << 10;
/// Capacity that an idle connection keeps: an answer or two. There may be many connections.
const KEPT_BYTES: usize = 8 << 10;
/// How long a peer may take to accept the last bytes of a connection that has ended here.
const LINGER: Duration = Duration::from_secs(1);

/// A connection whose writes wait until their task has paused, and are sent together then.
#[derive(Debug)]
pub struct GatheringStream {
    incoming: OwnedReadHalf,
    outgoing: Arc<Outgoing>,
    info: TcpConnectInfo,
}

/// What the connection and the task that sends share.
#[derive(Debug, Default)]
struct Outgoing {
    state: Mutex<SendState>,
    /// Notified when nothing more will be written.
    closing: Notify,
}

/// What is to be sent, and how far the connection is.
#[derive(Debug, Default)]
struct SendState {
    gathered: Vec<u8>,
    /// Whether nothing more will be written.
    closed: bool,
    /// Whether the task has ended, after an error if there is one.
    ended: bool,
    error: Option<io::ErrorKind>,
    /// The writer, while it waits for room or for the end.
    writer: Option<Waker>,
    /// The task, while it waits for something to send.
    sender: Option<Waker>,
}

impl GatheringStream {
    /// Gathers what is written to this connection. Must be called within a tokio runtime.
    pub fn new(stream: TcpStream) -> Self {
        let info = stream.connect_info();
        let (incoming, socket) = stream.into_split();
        let outgoing = Arc::<Outgoing>::default();
        tokio::spawn(send(socket, Arc::clone(&outgoing)));
        Self { incoming, outgoing, info }
    }
}

impl Outgoing {
    fn state(&self) -> MutexGuard<'_, SendState> {
        // Every step leaves the state whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Swaps what was gathered for an empty buffer. Ready with false once everything was sent and nothing
    /// more will come.
    fn poll_take(&self, sent: &mut Vec<u8>, cx: &Context<'_>) -> Poll<bool> {
        let mut state = self.state();
        if !state.gathered.is_empty() {
            mem::swap(&mut state.gathered, sent);
            if let Some(writer) = state.writer.take() {
                writer.wake();
            }
            return Poll::Ready(true);
        }
        if state.closed {
            return Poll::Ready(false);
        }
        match &mut state.sender {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        state.wake_sender();
        self.closing.notify_one();
    }

    /// Waits until [`LINGER`] after the end of the connection here.
    async fn lingered(&self) {
        if !self.state().closed {
            self.closing.notified().await;
        }
        sleep(LINGER).await;
    }

    fn end(&self, result: io::Result<()>) {
        let mut state = self.state();
        state.ended = true;
        state.error = result.err().map(|error| error.kind());
        if let Some(writer) = state.writer.take() {
            writer.wake();
        }
    }
}

impl SendState {
    /// An error if what is written cannot be sent any more.
    fn check(&self) -> io::Result<()> {
        match (self.error, self.ended || self.closed) {
            (Some(kind), _) => Err(kind.into()),
            (None, true) => Err(io::ErrorKind::BrokenPipe.into()),
            (None, false) => Ok(()),
        }
    }

    fn wake_sender(&mut self) {
        if let Some(sender) = self.sender.take() {
            sender.wake();
        }
    }

    fn wait(&mut self, cx: &Context<'_>) {
        self.writer = Some(cx.waker().clone());
    }
}

/// Sends what was gathered until the connection ends: the life of the task.
async fn send(mut socket: OwnedWriteHalf, outgoing: Arc<Outgoing>) {
    let mut buffer = Vec::new();
    let result = loop {
        if !std::future::poll_fn(|cx| outgoing.poll_take(&mut buffer, cx)).await {
            break socket.shutdown().await;
        }
        let sent = tokio::select! {
            biased;
            sent = socket.write_all(&buffer) => sent,
            () = outgoing.lingered() => Err(io::ErrorKind::TimedOut.into()),
        };
        if let Err(error) = sent {
            break Err(error);
        }
        buffer.clear();
        buffer.shrink_to(KEPT_BYTES);
    };
    outgoing.end(result);
}

impl AsyncRead for GatheringStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.incoming).poll_read(cx, buffer)
    }
}

impl AsyncWrite for GatheringStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[io::IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut state = self.outgoing.state();
        state.check()?;
        let room = MAX_GATHERED_BYTES - state.gathered.len();
        if room == 0 {
            state.wake_sender();
            state.wait(cx);
            return Poll::Pending;
        }
        let mut written = 0;
        for slice in slices {
            let taken = slice.len().min(room - written);
            state.gathered.extend_from_slice(&slice[..taken]);
            written += taken;
        }
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.outgoing.state();
        state.check()?;
        if !state.gathered.is_empty() {
            state.wake_sender();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.outgoing.close();
        let mut state = self.outgoing.state();
        match (state.ended, state.error) {
            (true, Some(kind)) => Poll::Ready(Err(kind.into())),
            (true, None) => Poll::Ready(Ok(())),
            (false, _) => {
                state.wait(cx);
                Poll::Pending
            }
        }
    }
}

impl Drop for GatheringStream {
    fn drop(&mut self) {
        self.outgoing.close();
    }
}

impl Connected for GatheringStream {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.info.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt as _;
    use tokio::net::TcpListener;

    async fn connected() -> (GatheringStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let peer = TcpStream::connect(listener.local_addr().expect("bound")).await;
        let (stream, _) = listener.accept().await.expect("a peer");
        (GatheringStream::new(stream), peer.expect("connected"))
    }

    #[tokio::test]
    async fn what_is_written_without_a_pause_arrives_at_once() {
        let (mut ours, mut peer) = connected().await;
        for part in ["head", " body", " trailers"] {
            ours.write_all(part.as_bytes()).await.expect("written");
            ours.flush().await.expect("flushed");
        }
        let mut arrived = [0; 100];
        let length = peer.read(&mut arrived).await.expect("arrived");
        assert_eq!(&arrived[..length], b"head body trailers");
        peer.write_all(b"next").await.expect("written");
        let length = ours.read(&mut arrived).await.expect("arrived");
        assert_eq!(&arrived[..length], b"next");
    }

    #[tokio::test]
    async fn nothing_is_lost_at_the_end_though_the_peer_is_slow() {
        for shut_down in [true, false] {
            let (mut ours, mut peer) = connected().await;
            let sent: Vec<u8> = (0..5_000_000_u32).map(|n| (n / 7) as u8).collect();
            let reader = tokio::spawn(async move {
                let mut arrived = Vec::new();
                peer.read_to_end(&mut arrived).await.map(|_| arrived)
            });
            ours.write_all(&sent).await.expect("written");
            if shut_down {
                ours.shutdown().await.expect("shut down");
                let error = ours.write_all(b"more").await.expect_err("it has ended");
                assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
            }
            drop(ours);
            assert!(reader.await.expect("no panic").expect("arrived") == sent);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_does_not_read_holds_writers_up_and_ends_with_the_connection() {
        let (mut ours, _peer) = connected().await;
        let outgoing = Arc::clone(&ours.outgoing);
        let endless = async {
            loop {
                ours.write_all(&[7; 10_000]).await.expect("written");
            }
        };
        tokio::select! {
            () = endless => unreachable!(),
            () = sleep(LINGER * 10) => {}
        }
        assert_eq!(outgoing.state().gathered.len(), MAX_GATHERED_BYTES);
        assert!(
            !outgoing.state().ended,
            "a slow peer has its time as long as the connection lives"
        );
        drop(ours);
        sleep(LINGER * 2).await;
        assert!(outgoing.state().ended);
        assert_eq!(outgoing.state().error, Some(io::ErrorKind::TimedOut));
    }

    #[tokio::test]
    async fn an_error_shows_at_a_later_write() {
        let (mut ours, peer) = connected().await;
        drop(peer);
        let error = loop {
            if let Err(error) = ours.write_all(b"is there a reader?").await {
                break error;
            }
            ours.flush().await.ok();
            tokio::task::yield_now().await;
        };
        let kinds = [io::ErrorKind::BrokenPipe, io::ErrorKind::ConnectionReset];
        assert!(kinds.contains(&error.kind()), "{error:?}");
    }
}
