//! A connection whose first bytes were read to tell HTTP/2 from HTTP/1, and are given back before the rest.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

/// The client preface of HTTP/2 (RFC 9113 §3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    Http1,
    Http2,
}

#[derive(Debug)]
pub(crate) struct Rewind<Io> {
    first: Bytes,
    io: Io,
}

impl<Io: AsyncRead + Unpin> Rewind<Io> {
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
        Ok((version, Self { first: Bytes::copy_from_slice(&first[..length]), io }))
    }
}

impl<Io: AsyncRead + Unpin> AsyncRead for Rewind<Io> {
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

impl<Io: AsyncWrite + Unpin> AsyncWrite for Rewind<Io> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
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
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_byte_is_given_back(start in 0..=PREFACE.len(), rest in proptest::collection::vec(any::<u8>(), 0..60), cut in 1usize..40) {
            let bytes = [&PREFACE[..start], &rest].concat();
            let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
            let (version, read) = runtime.block_on(async {
                let mut mock = tokio_test::io::Builder::new();
                for piece in bytes.chunks(cut) {
                    mock.read(piece);
                }
                let (version, mut rewind) = Rewind::detect(mock.build()).await.expect("nothing fails");
                let mut read = Vec::new();
                rewind.read_to_end(&mut read).await.expect("nothing fails");
                (version, read)
            });
            prop_assert_eq!(version == Version::Http2, bytes.starts_with(PREFACE));
            prop_assert_eq!(read, bytes);
        }
    }
}
