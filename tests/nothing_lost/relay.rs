//! A TCP relay of the tests' own that can lose its connections or hold back what goes through them.

use std::net::SocketAddr;
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

#[derive(Clone, Copy, Debug, Default)]
struct State {
    /// Connections that were made before the last cut end.
    cuts: u64,
    frozen: bool,
}

/// Listens on a port of loopback and connects each connection with `target`. Its drop ends all of them.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    state: watch::Sender<State>,
    accepting: JoinHandle<()>,
}

impl Relay {
    pub async fn start(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let (state, watched) = watch::channel(State::default());
        let accepting = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(carry(near, target, watched.clone()));
            }
        });
        Self { address, state, accepting }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Resets every connection; new ones go through.
    pub fn cut(&self) {
        self.state.send_modify(|state| state.cuts += 1);
    }

    /// Holds everything back, old connections and new ones, without closing any.
    pub fn freeze(&self) {
        self.state.send_modify(|state| state.frozen = true);
    }

    pub fn thaw(&self) {
        self.state.send_modify(|state| state.frozen = false);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn carry(near: TcpStream, target: SocketAddr, mut state: watch::Receiver<State>) {
    let cuts = state.borrow().cuts;
    let Ok(far) = TcpStream::connect(target).await else { return };
    for stream in [&near, &far] {
        stream.set_nodelay(true).ok();
        // The end is a reset, and what is on its way is lost.
        SockRef::from(stream).set_linger(Some(Duration::ZERO)).ok();
    }
    let (near_read, near_write) = near.into_split();
    let (far_read, far_write) = far.into_split();
    let (there, back) = (pump(near_read, far_write, state.clone()), pump(far_read, near_write, state.clone()));
    tokio::select! {
        () = there => {}
        () = back => {}
        // An error is the relay's own end.
        _ = state.wait_for(|state| state.cuts != cuts) => {}
    }
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut state: watch::Receiver<State>) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        if state.wait_for(|state| !state.frozen).await.is_err() || to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}
