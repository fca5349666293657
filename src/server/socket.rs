//! A socket taken over from hyper, plain or encrypted: an event stream's own way out, written by the hub, with no task and no buffer.

use std::fmt::Debug;
use std::io::{self, IoSlice};
use std::mem::take;
use std::net::TcpListener;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::body::OpenStream;
use super::tls::Encrypted;
use super::worker::Counted;
use crate::hub::Outlet;
use crate::telemetry;

/// Bytes that a client may send on a stream's connection before it is cut off: it has nothing to say.
const MAX_CHATTER: usize = 64 << 10;
/// Bytes that the kernel may hold unsent for one socket; beyond them the queue is the stream's own.
const UNSENT_BYTES: u32 = 128 << 10;
/// When a silent peer is probed, and how often before it counts as dead.
const KEEPALIVE: (Duration, Duration, u32) = (Duration::from_secs(60), Duration::from_secs(15), 4);

/// Sets on a listening socket what every socket accepted from it needs: Linux hands these options down, which spares
/// each connection seven system calls.
///
/// A peer that takes nothing, or acknowledges nothing, for `write_timeout` is given up by the kernel, whoever writes.
pub(super) fn prepare(listener: &TcpListener, write_timeout: Duration) -> io::Result<()> {
    let socket = SockRef::from(listener);
    // Small events must not wait for the acknowledgement of the one before.
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_notsent_lowat(UNSENT_BYTES)?;
    socket.set_tcp_user_timeout(Some(write_timeout))?;
    let (time, interval, retries) = KEEPALIVE;
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(time).with_interval(interval).with_retries(retries))
}

/// What carries a connection to a browser.
pub(super) trait Transport: AsyncRead + AsyncWrite + Unpin + Debug + 'static {
    /// Says that nothing more comes, where there is a word for it, as far as the socket takes it at once.
    fn say_goodbye(&mut self) {}

    /// Has the close seen as no end in order, where an end in order would look the same.
    fn break_off(&mut self) {}
}

impl Transport for TcpStream {
    /// The close is a reset.
    fn break_off(&mut self) {
        // Where it cannot be set the connection is gone already.
        let _set = self.set_zero_linger();
    }
}

impl Transport for Encrypted {
    /// Without `close_notify` a client cannot tell the end from an attacker's cut (RFC 8446 §6.1).
    fn say_goodbye(&mut self) {
        let _said = Pin::new(self).poll_shutdown(&mut Context::from_waker(Waker::noop()));
    }
}

#[derive(Debug)]
pub(super) struct SocketOutlet<Io: Transport> {
    socket: Io,
    /// Bytes that the encryption has taken but the socket has not; they count as taken when it has.
    held_back: usize,
    chatter: usize,
    _open: OpenStream,
    _counted: Counted,
}

impl<Io: Transport> SocketOutlet<Io> {
    pub(super) fn new(socket: Io, open: OpenStream, counted: Counted) -> Self {
        Self { socket, held_back: 0, chatter: 0, _open: open, _counted: counted }
    }
}

impl<Io: Transport> Drop for SocketOutlet<Io> {
    fn drop(&mut self) {
        self.socket.say_goodbye();
    }
}

impl<Io: Transport> Outlet for SocketOutlet<Io> {
    fn poll_write(&mut self, cx: &mut Context<'_>, pieces: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let mut socket = Pin::new(&mut self.socket);
        if self.held_back == 0 {
            self.held_back = match pieces {
                [piece] => ready!(socket.as_mut().poll_write(cx, piece))?,
                _ => ready!(socket.as_mut().poll_write_vectored(cx, pieces))?,
            };
        }
        ready!(socket.poll_flush(cx))?;
        Poll::Ready(Ok(take(&mut self.held_back)))
    }

    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut scratch = [0; 512];
        loop {
            let mut read = ReadBuf::new(&mut scratch);
            let outcome = ready!(Pin::new(&mut self.socket).poll_read(cx, &mut read));
            self.chatter += read.filled().len();
            if outcome.is_err() || read.filled().is_empty() || self.chatter > MAX_CHATTER {
                return Poll::Ready(());
            }
        }
    }

    fn delivered(&self, received: Instant) {
        telemetry::stream::delivered(received.elapsed());
    }
}
