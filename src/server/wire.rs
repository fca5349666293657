//! The bytes of one connection under hyper: the first are read to tell HTTP/2 from HTTP/1 and given back, and the head of a response that hyper does not go on with is caught.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

/// The client preface of HTTP/2 (RFC 9113 §3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Ends a response head (RFC 9112 §2.1), and occurs nowhere else in it.
const HEAD_END: &[u8] = b"\r\n\r\n";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    Http1,
    Http2,
}

/// Sees what leaves a connection, and can keep a response head from leaving.
#[derive(Clone, Debug, Default)]
pub(crate) struct Leaving(Rc<Seen>);

#[derive(Debug, Default)]
struct Seen {
    /// Whether something was offered that did not leave yet.
    held_back: Cell<bool>,
    /// A head that is caught instead of sent, so that it leaves in one write with what follows it.
    caught: RefCell<Option<Vec<u8>>>,
}

impl Leaving {
    /// Catches the next response head: true unless something of an earlier response is still to leave.
    pub(crate) fn catch_head(&self) -> bool {
        if self.is_held_back() {
            return false;
        }
        self.0.caught.replace(Some(Vec::new()));
        true
    }

    /// Whether something that was offered did not leave yet.
    pub(crate) fn is_held_back(&self) -> bool {
        self.0.held_back.get()
    }

    /// Whether the whole head has been caught.
    pub(crate) fn has_head(&self) -> bool {
        self.0.caught.borrow().as_ref().is_some_and(|head| head.ends_with(HEAD_END))
    }

    /// The caught head.
    pub(crate) fn take_head(&self) -> Vec<u8> {
        self.0.caught.take().unwrap_or_default()
    }

    /// Keeps `bytes` if a head is being caught; returns how many.
    fn catch<'b>(&self, bytes: impl Iterator<Item = &'b [u8]>) -> Option<usize> {
        let mut caught = self.0.caught.borrow_mut();
        let head = caught.as_mut()?;
        let before = head.len();
        bytes.for_each(|bytes| head.extend_from_slice(bytes));
        Some(head.len() - before)
    }

    fn offered(&self, offered: usize, taken: &Poll<io::Result<usize>>) {
        let all = matches!(taken, Poll::Ready(Ok(taken)) if *taken == offered);
        self.0.held_back.set(!all);
    }
}

#[derive(Debug)]
pub(crate) struct Wire<Io> {
    first: Bytes,
    io: Io,
    leaving: Leaving,
}

impl<Io: AsyncRead + Unpin> Wire<Io> {
    /// Reads until the bytes are the preface of HTTP/2 or cannot become it any more.
    pub(crate) async fn detect(mut io: Io) -> io::Result<(Version, Self)> {
        let mut first = [0; PREFACE.len()];
        let mut length = 0;
        while length < PREFACE.len() && first[..length] == PREFACE[..length] {
            match io.read(&mut first[length..]).await? {
                0 => break,
                read => length += read,
            }
        }
        let version = if first == *PREFACE { Version::Http2 } else { Version::Http1 };
        Ok((version, Self { first: Bytes::copy_from_slice(&first[..length]), io, leaving: Leaving::default() }))
    }
}

impl<Io> Wire<Io> {
    /// For a connection whose protocol is known.
    pub(crate) fn new(io: Io) -> Self {
        Self { first: Bytes::new(), io, leaving: Leaving::default() }
    }

    pub(crate) fn leaving(&self) -> Leaving {
        self.leaving.clone()
    }

    pub(crate) fn into_inner(self) -> Io {
        self.io
    }
}

impl<Io: AsyncRead + Unpin> AsyncRead for Wire<Io> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.first.is_empty() {
            return Pin::new(&mut self.io).poll_read(cx, buf);
        }
        let count = self.first.len().min(buf.remaining());
        buf.put_slice(&self.first[..count]);
        self.first.advance(count);
        if self.first.is_empty() {
            self.first = Bytes::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<Io: AsyncWrite + Unpin> AsyncWrite for Wire<Io> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if let Some(caught) = self.leaving.catch([buf].into_iter()) {
            return Poll::Ready(Ok(caught));
        }
        let taken = Pin::new(&mut self.io).poll_write(cx, buf);
        self.leaving.offered(buf.len(), &taken);
        taken
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let Some(caught) = self.leaving.catch(bufs.iter().map(|buf| &**buf)) {
            return Poll::Ready(Ok(caught));
        }
        let taken = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.leaving.offered(bufs.iter().map(|buf| buf.len()).sum(), &taken);
        taken
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tokio::io::AsyncWriteExt;

    fn run<T>(task: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(task)
    }

    proptest! {
        #[test]
        fn every_byte_is_given_back(start in 0..=PREFACE.len(), rest in proptest::collection::vec(any::<u8>(), 0..60), cut in 1usize..40) {
            let bytes = [&PREFACE[..start], &rest].concat();
            let (version, read) = run(async {
                let mut mock = tokio_test::io::Builder::new();
                for piece in bytes.chunks(cut) {
                    mock.read(piece);
                }
                let (version, mut wire) = Wire::detect(mock.build()).await.expect("nothing fails");
                let mut read = Vec::new();
                wire.read_to_end(&mut read).await.expect("nothing fails");
                (version, read)
            });
            prop_assert_eq!(version == Version::Http2, bytes.starts_with(PREFACE));
            prop_assert_eq!(read, bytes);
        }

        /// In whatever pieces it is written, the head is there with its last byte and not before, and none of it has left.
        #[test]
        fn a_head_is_caught_whole(fields in proptest::collection::vec("[a-z]{1,8}: [ -~]{0,20}", 1..6), cut in 1usize..50) {
            let head = ["HTTP/1.1 200 OK", &fields.join("\r\n")].join("\r\n") + "\r\n\r\n";
            run(async {
                let io = tokio_test::io::Builder::new().build();
                let mut wire = Wire::new(io);
                let leaving = wire.leaving();
                assert!(leaving.catch_head());
                for piece in head.as_bytes().chunks(cut) {
                    assert!(!leaving.has_head());
                    wire.write_all(piece).await.expect("nothing is written");
                }
                assert!(leaving.has_head());
                assert_eq!(leaving.take_head(), head.as_bytes());
            });
        }
    }
}
