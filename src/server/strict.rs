//! A client's HTTP/1.1 connection as hyper reads it: ambiguous bytes spoilt on the way in, the end lingering on the way out.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::scan::{Ambiguous, Scanner};

/// How long a client that still sends may take to notice that it was answered: a socket that is closed with unread bytes
/// takes the answer with it (RFC 9112 §9.6).
const LINGER: Duration = Duration::from_secs(1);
const DISCARD: usize = 4 << 10;

#[derive(Debug)]
pub(crate) struct Strict<Io> {
    io: Io,
    scanner: Scanner,
    lingering: Option<Pin<Box<Sleep>>>,
}

impl<Io> Strict<Io> {
    pub(crate) fn new(io: Io) -> Self {
        Self { io, scanner: Scanner::default(), lingering: None }
    }

    pub(crate) fn into_inner(self) -> Io {
        self.io
    }
}

impl<Io: AsyncRead + Unpin> AsyncRead for Strict<Io> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Self { io, scanner, .. } = self.get_mut();
        let before = buf.filled().len();
        ready!(Pin::new(io).poll_read(cx, buf))?;
        let read = &mut buf.filled_mut()[before..];
        if let Some(Ambiguous { index, spoilt }) = scanner.scan(read) {
            read[index] = spoilt;
        }
        Poll::Ready(Ok(()))
    }
}

impl<Io: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Strict<Io> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    /// Ends the sending side, then reads until the client has ended its own or time is up.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { io, lingering, .. } = self.get_mut();
        if lingering.is_none() {
            ready!(Pin::new(&mut *io).poll_shutdown(cx))?;
        }
        let limit = lingering.get_or_insert_with(|| Box::pin(sleep(LINGER)));
        loop {
            let mut discard = [0; DISCARD];
            let mut buf = ReadBuf::new(&mut discard);
            match Pin::new(&mut *io).poll_read(cx, &mut buf) {
                Poll::Ready(Ok(())) if !buf.filled().is_empty() && !limit.is_elapsed() => {}
                Poll::Ready(_) => return Poll::Ready(Ok(())),
                Poll::Pending => return limit.as_mut().poll(cx).map(Ok),
            }
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}
