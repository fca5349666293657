//! The bytes of one connection under hyper: the first are read to tell HTTP/2 from HTTP/1 and given back, and what is written is watched for the end of a response head.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

/// The client preface of HTTP/2 (RFC 9113 §3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Ends a response head (RFC 9112 §2.1), and occurs nowhere else in it.
const HEAD_END: u32 = u32::from_be_bytes(*b"\r\n\r\n");

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    Http1,
    Http2,
}

/// Sees what leaves a connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Leaving(Rc<Cell<Seen>>);

#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    /// The last four bytes that left.
    last: u32,
    /// Whether something was offered that did not leave yet.
    held_back: bool,
}

impl Leaving {
    /// Starts to watch for a response head: true unless something of an earlier response is still to leave.
    pub(crate) fn expect_head(&self) -> bool {
        let seen = self.0.get();
        self.0.set(Seen { last: 0, ..seen });
        !seen.held_back
    }

    /// Whether something that was offered did not leave yet.
    pub(crate) fn is_held_back(&self) -> bool {
        self.0.get().held_back
    }

    /// Whether the head has left, and nothing after it.
    pub(crate) fn head_has_left(&self) -> bool {
        self.0.get().last == HEAD_END
    }

    fn offered(&self, offered: usize, taken: &Poll<io::Result<usize>>, bytes: impl Iterator<Item = u8>) {
        let taken = if let Poll::Ready(Ok(taken)) = taken { *taken } else { 0 };
        let last = bytes
            .take(taken)
            .skip(taken.saturating_sub(4))
            .fold(self.0.get().last, |last, byte| last << 8 | u32::from(byte));
        self.0.set(Seen { last, held_back: taken < offered });
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
        let taken = Pin::new(&mut self.io).poll_write(cx, buf);
        self.leaving.offered(buf.len(), &taken, buf.iter().copied());
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
        let taken = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        let offered = bufs.iter().map(|buf| buf.len()).sum();
        self.leaving.offered(offered, &taken, bufs.iter().flat_map(|buf| buf.iter().copied()));
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

        /// In whatever pieces it leaves, the head is said to have left when its last byte has, and not before.
        #[test]
        fn a_head_has_left_with_its_last_byte(fields in proptest::collection::vec("[a-z]{1,8}: [ -~]{0,20}", 0..6), cut in 1usize..50) {
            let head = ["HTTP/1.1 200 OK", &fields.join("\r\n")].join("\r\n") + "\r\n\r\n";
            prop_assume!(!fields.is_empty());
            run(async {
                let mut mock = tokio_test::io::Builder::new();
                mock.write(head.as_bytes());
                let mut wire = Wire { first: Bytes::new(), io: mock.build(), leaving: Leaving::default() };
                let leaving = wire.leaving();
                assert!(leaving.expect_head());
                for piece in head.as_bytes().chunks(cut) {
                    assert!(!leaving.head_has_left());
                    wire.write_all(piece).await.expect("nothing fails");
                }
                assert!(leaving.head_has_left());
            });
        }
    }
}
