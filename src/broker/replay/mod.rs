//! The archive on the stream: a few readers for whatever is older than the ring, shared by all who resume near the same place.

mod moment;
mod pool;
mod reader;
mod request;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use self::pool::Pool;
use self::request::Request;
use super::address::Endpoints;
use super::dial::Dialer;
use super::pipeline::Sieve;
use crate::hub::{Archive, HistoryConfig, Pieces, ReadFrom};

/// Requests that may wait for a reader; more are told to come back.
const MAX_REQUESTS: usize = 100_000;
/// Pieces that wait for one stream.
const PIECES: usize = 4;

/// The way to ask for the past.
#[derive(Clone, Debug)]
pub struct Replay {
    requests: mpsc::Sender<Request>,
    retries: u32,
}

/// The pool's task, to be run as long as the archive is used.
pub struct ReplayTask(Pool);

impl Replay {
    pub(super) fn new(
        dialer: Arc<Dialer>,
        endpoints: Endpoints,
        history: &HistoryConfig,
        sieve: Sieve,
        setup_limit: Duration,
    ) -> (Self, ReplayTask) {
        let (requests, asked) = mpsc::channel(MAX_REQUESTS);
        let replay = Self { requests: requests.clone(), retries: history.poison_retries.max(1) };
        (replay, ReplayTask(Pool::new(dialer, endpoints, history, sieve, setup_limit, (requests, asked))))
    }
}

impl ReplayTask {
    /// Never resolves; dropping it ends every reader.
    pub async fn run(self) {
        self.0.run().await;
    }
}

impl Archive for Replay {
    fn read(&self, from: ReadFrom) -> Pieces {
        let (pieces, reading) = mpsc::channel(PIECES);
        // When there is no room its end is that of the channel, which tells the stream to come back.
        let _ = self.requests.try_send(Request::new(from, pieces, self.retries));
        reading
    }
}
