//! One end of a connection that says and sees exact bytes.

use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::deadline::within;

#[derive(Debug)]
pub struct Wire<Io = TcpStream> {
    socket: Io,
    /// Read and not taken yet.
    received: Vec<u8>,
}

impl Wire {
    pub fn new(socket: TcpStream) -> Self {
        socket.set_nodelay(true).unwrap();
        Self { socket, received: Vec::new() }
    }

    pub async fn connect(address: SocketAddr) -> Self {
        Self::new(TcpStream::connect(address).await.unwrap())
    }

    /// Breaks the connection off with RST.
    pub fn reset(self) {
        self.socket.set_zero_linger().unwrap();
    }

    pub fn into_socket(self) -> TcpStream {
        assert!(self.received.is_empty());
        self.socket
    }
}

impl<Io: AsyncRead + AsyncWrite + Unpin> Wire<Io> {
    /// Over something else than TCP alone.
    pub fn over(socket: Io) -> Self {
        Self { socket, received: Vec::new() }
    }

    pub async fn say(&mut self, bytes: impl AsRef<[u8]>) {
        self.socket.write_all(bytes.as_ref()).await.unwrap();
    }

    /// As [`Wire::say`]; false when the other side has gone away.
    pub async fn try_say(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.socket.write_all(bytes.as_ref()).await.is_ok()
    }

    /// Takes everything up to and with `end`.
    pub async fn until(&mut self, end: &str) -> String {
        let what = format!("{end:?} to arrive");
        let end = end.as_bytes();
        within(&what, async {
            loop {
                if let Some(at) = self.received.windows(end.len()).position(|window| window == end) {
                    let taken: Vec<u8> = self.received.drain(..at + end.len()).collect();
                    return String::from_utf8_lossy(&taken).into_owned();
                }
                let read = self.socket.read_buf(&mut self.received).await.unwrap();
                let received = String::from_utf8_lossy(&self.received);
                assert!(read > 0, "the connection ended before {what}: {received:?}");
            }
        })
        .await
    }

    /// Takes a head, with the empty line that ends it.
    pub async fn head(&mut self) -> String {
        self.until("\r\n\r\n").await
    }

    /// The next head, or none when the other side has gone away.
    pub async fn try_head(&mut self) -> Option<String> {
        loop {
            if let Some(at) = self.received.windows(4).position(|window| window == b"\r\n\r\n") {
                let taken: Vec<u8> = self.received.drain(..at + 4).collect();
                return Some(String::from_utf8_lossy(&taken).into_owned());
            }
            if self.socket.read_buf(&mut self.received).await.unwrap_or(0) == 0 {
                return None;
            }
        }
    }

    /// Takes exactly `length` bytes.
    pub async fn exactly(&mut self, length: usize) -> Vec<u8> {
        within("bytes to arrive", async {
            while self.received.len() < length {
                let read = self.socket.read_buf(&mut self.received).await.unwrap();
                assert!(read > 0, "the connection ended: {:?}", String::from_utf8_lossy(&self.received));
            }
            self.received.drain(..length).collect()
        })
        .await
    }

    /// Takes everything until the other side ends, in order or not.
    pub async fn rest(&mut self) -> String {
        within("the connection to end", async {
            while self.socket.read_buf(&mut self.received).await.is_ok_and(|read| read > 0) {}
            String::from_utf8_lossy(&std::mem::take(&mut self.received)).into_owned()
        })
        .await
    }

    /// Ends this direction only.
    pub async fn finish(&mut self) {
        self.socket.shutdown().await.unwrap();
    }
}

/// The value of a field that occurs once in a head.
pub fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut values = fields(head, name);
    let value = values.next();
    assert!(values.next().is_none(), "{name} occurs twice: {head}");
    value
}

pub fn fields<'a>(head: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    head.split("\r\n").skip(1).filter_map(move |line| {
        let (known, value) = line.split_once(':')?;
        known.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}
