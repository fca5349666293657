//! A stream watched for a while: when what came, and how it ended; what that means is judged elsewhere.

use std::time::{Duration, Instant};

use serde::Deserialize;
use tokio::time::{Instant as Deadline, timeout_at};

use super::blocks::{Block, Blocks};
use super::visit::{Piece, Visit};

/// Arrivals that are remembered; a busy stream has shown by then that it flows.
const MOST_ARRIVALS: usize = 10_000;

/// The `connected` event.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Opening {
    #[serde(rename = "connectionId")]
    pub(super) connection_id: Option<String>,
    pub(super) resumed: bool,
}

/// How a stream ended while it was watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Cottontail said goodbye.
    Farewell,
    /// As its framing has it, but without a goodbye.
    Proper,
    Cut,
}

/// What was seen; all times are since the head came.
#[derive(Clone, Debug, Default)]
pub(super) struct Watched {
    /// When the `connected` event came.
    pub(super) opened: Option<Duration>,
    pub(super) opening: Option<Opening>,
    /// When each heartbeat came.
    pub(super) heartbeats: Vec<Duration>,
    /// When the last bytes came.
    pub(super) last: Duration,
    pub(super) last_id: Option<String>,
    pub(super) ended: Option<(Duration, End)>,
}

impl Watched {
    fn note(&mut self, block: Block, at: Duration) {
        if block.event == "connected" && self.opening.is_none() {
            self.opened = Some(at);
            self.opening = block.data.as_deref().and_then(|data| serde_json::from_str(data).ok());
        }
        if block.is_heartbeat() && self.heartbeats.len() < MOST_ARRIVALS {
            self.heartbeats.push(at);
        }
        if block.id.is_some() {
            self.last_id = block.id;
        }
    }
}

/// Watches until the time is over or the stream has ended.
pub(super) async fn watch(visit: Visit, time: Duration) -> Watched {
    read(visit, time, |_| false).await
}

/// The `connected` event, if it comes in time.
pub(super) async fn opening(visit: Visit, time: Duration) -> Option<Opening> {
    read(visit, time, |watched| watched.opening.is_some()).await.opening
}

async fn read(mut visit: Visit, time: Duration, enough: impl Fn(&Watched) -> bool) -> Watched {
    let (mut watched, mut blocks) = (Watched::default(), Blocks::default());
    let (start, deadline) = (visit.head_at, Deadline::from_std(visit.head_at + time));
    let mut farewell = false;
    while !enough(&watched) {
        let Ok(piece) = timeout_at(deadline, visit.next()).await else { break };
        let at = Instant::now().saturating_duration_since(start);
        match piece {
            Piece::Data(bytes) => {
                watched.last = at;
                for block in blocks.feed(&bytes) {
                    farewell = block.is_farewell();
                    watched.note(block, at);
                }
            }
            Piece::End | Piece::Cut if farewell => {
                watched.ended = Some((at, End::Farewell));
                break;
            }
            Piece::End => {
                watched.ended = Some((at, End::Proper));
                break;
            }
            Piece::Cut => {
                watched.ended = Some((at, End::Cut));
                break;
            }
        }
    }
    watched
}
