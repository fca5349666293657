//! The socket to the application, whose last words are heard although it takes no more of what is sent.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// A connection for hyper, which gives up an exchange as soon as a write fails. But an application that refuses an upload
/// answers and closes with bytes unread, which resets the connection (RFC 9112 §9.6): its answer may still be in the
/// receive buffer then. So a failed write stays pending here, and what can be read decides: the answer, or the connection's end.
#[derive(Debug)]
pub(super) struct Socket {
    socket: TokioIo<TcpStream>,
    /// A write has failed, after which a socket is done and so has an end that reading comes to.
    deaf: bool,
}

impl Socket {
    pub(super) fn new(socket: TcpStream) -> Self {
        Self { socket: TokioIo::new(socket), deaf: false }
    }

    pub(super) fn into_inner(self) -> TcpStream {
        self.socket.into_inner()
    }

    fn unless_deaf(
        &mut self,
        write: impl FnOnce(Pin<&mut TokioIo<TcpStream>>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if self.deaf {
            return Poll::Pending;
        }
        let written = write(Pin::new(&mut self.socket));
        self.deaf = matches!(written, Poll::Ready(Err(_)));
        if self.deaf { Poll::Pending } else { written }
    }
}

impl Read for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(cx, buffer)
    }
}

impl Write for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.unless_deaf(|socket| socket.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.unless_deaf(|socket| socket.poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use hyper::rt::ReadBuf;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
    use tokio::net::TcpListener;

    use super::*;

    async fn read(socket: &mut Socket) -> io::Result<Vec<u8>> {
        let mut bytes = [0; 64];
        let mut buffer = ReadBuf::new(&mut bytes);
        poll_fn(|cx| Pin::new(&mut *socket).poll_read(cx, buffer.unfilled())).await?;
        Ok(buffer.filled().to_vec())
    }

    #[tokio::test]
    async fn an_answer_is_read_after_a_write_has_failed_and_then_the_end() -> io::Result<()> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let mut socket = Socket::new(TcpStream::connect(listener.local_addr()?).await?);
        let (mut application, _) = listener.accept().await?;
        socket.socket.inner_mut().write_all(b"more than is read").await?;
        application.read_exact(&mut [0; 4]).await?;
        application.write_all(b"no").await?;
        // With bytes unread this is a reset.
        drop(application);
        socket.socket.inner().ready(Interest::ERROR).await?;
        for _ in 0..2 {
            let written = poll_fn(|cx| Poll::Ready(Pin::new(&mut socket).poll_write(cx, b"x"))).await;
            assert!(written.is_pending(), "{written:?}");
        }
        assert_eq!(read(&mut socket).await?, b"no");
        let end = read(&mut socket).await;
        assert!(end.as_ref().map_or(true, Vec::is_empty), "{end:?}");
        Ok(())
    }
}
