//! What has left HTTP: a connection, or one stream of an HTTP/2 connection, that carries another protocol to its end.

use std::time::Duration;

use bytes::Bytes;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::drive::Closing;
use super::traffic::Underway;
use crate::proxy::Tunnel;

/// The two sides, and when they are to end.
#[derive(Debug)]
pub(crate) struct Switched {
    pub(crate) tunnel: Tunnel,
    pub(crate) underway: Underway,
    pub(crate) closing: Closing,
    /// Once connections are to close, this one ends within half of it.
    pub(crate) window: Duration,
}

impl Switched {
    /// Carries bytes until it is over. `first` is what hyper had read of the other protocol.
    pub(crate) async fn run<C: AsyncRead + AsyncWrite>(self, client: C, first: Bytes) {
        let Self { tunnel, underway, mut closing, window } = self;
        tokio::select! {
            () = tunnel.run(client, first) => {}
            () = closing.begun_and_spread(window) => {}
        }
        drop(underway);
    }

    /// As [`Switched::run`], on the stream of an HTTP/2 connection that `upgrade` becomes once its response is sent.
    pub(crate) async fn run_on_stream(self, upgrade: OnUpgrade) {
        // Otherwise the client has gone before it had its answer.
        if let Ok(stream) = upgrade.await {
            self.run(TokioIo::new(stream), Bytes::new()).await;
        }
    }
}
