//! A connection that has left HTTP (RFC 9110 §7.8): bytes both ways, each direction closed by itself, until both are or nothing moves.

use std::cell::Cell;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep_until};

/// Of one direction; a WebSocket's messages are mostly smaller.
const BUFFER: usize = 8 << 10;

/// The application's side of a tunnel, for which the browser's side is still to come.
#[derive(Debug)]
pub struct Tunnel {
    pub(super) upstream: TcpStream,
    /// What the application sent together with its answer.
    pub(super) first: Bytes,
    pub(super) idle: Duration,
    pub(super) _permits: [OwnedSemaphorePermit; 2],
}

impl Tunnel {
    /// Carries bytes until both sides are done, one breaks off, or nothing moves for the idle limit. `first` is what the browser sent together with its request.
    pub async fn run<C: AsyncRead + AsyncWrite>(self, client: C, first: Bytes) {
        let moved = Cell::new(Instant::now());
        let (from_client, to_client) = split(client);
        let (from_upstream, to_upstream) = split(self.upstream);
        let both = async {
            let up = pump(first, from_client, to_upstream, &moved);
            let down = pump(self.first, from_upstream, to_client, &moved);
            tokio::try_join!(up, down)
        };
        tokio::select! {
            // Whoever broke off knows; the other side sees its connection end.
            _ended = both => {}
            () = silence(&moved, self.idle) => {}
        }
    }
}

/// Copies to the end, then passes the end on.
async fn pump(
    first: Bytes,
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    moved: &Cell<Instant>,
) -> io::Result<()> {
    to.write_all(&first).await?;
    to.flush().await?;
    drop(first);
    let mut buffer = vec![0; BUFFER];
    loop {
        let length = from.read(&mut buffer).await?;
        moved.set(Instant::now());
        if length == 0 {
            return to.shutdown().await;
        }
        to.write_all(&buffer[..length]).await?;
        // Encryption keeps what the socket has not taken, and nobody else would send it on.
        to.flush().await?;
        moved.set(Instant::now());
    }
}

/// Resolves when nothing has moved for `limit`.
async fn silence(moved: &Cell<Instant>, limit: Duration) {
    loop {
        let end = moved.get() + limit;
        if end <= Instant::now() {
            return;
        }
        sleep_until(end).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use tokio::io::{BufStream, duplex};
    use tokio::net::TcpListener;
    use tokio::sync::Semaphore;
    use tokio::time::timeout;

    #[tokio::test]
    async fn nothing_waits_in_a_buffer_for_what_comes_after_it() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let upstream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut app, _) = listener.accept().await.unwrap();
        let permit = || Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        let (first, idle) = (Bytes::from_static(b"at once, "), Duration::from_secs(60));
        let tunnel = Tunnel { upstream, first, idle, _permits: [permit(), permit()] };
        let (near, mut browser) = duplex(64);
        let talk = async {
            app.write_all(b"then this").await.unwrap();
            let mut arrived = [0; 18];
            timeout(Duration::from_secs(20), browser.read_exact(&mut arrived)).await.expect("all of it").unwrap();
            assert_eq!(&arrived, b"at once, then this");
            drop((app, browser));
        };
        tokio::join!(tunnel.run(BufStream::new(near), Bytes::new()), talk);
    }
}
