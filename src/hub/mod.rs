//! Who gets what: the publisher's side, the ring of recent events, and each worker's subscribers; no sockets and no clock.

mod archive;
mod config;
mod core;
mod crowd;
mod epoch;
mod fanout;
mod fetch;
mod inbox;
mod life;
mod limits;
mod members;
mod order;
mod outlet;
mod presence;
mod publisher;
mod queue;
mod ring;
mod seat;
mod shard;
mod standing;
mod start;
mod subscriber;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

pub use archive::{Archive, Archived, Past, Pieces, ReadFrom};
pub use config::{HistoryConfig, HistoryKind, PerUser, StreamConfig};
pub use core::MAX_SHARDS;
pub use order::{Busy, Orders, Verdict, View, Whom};
pub use outlet::Outlet;
pub use presence::{Changes, Presence};
pub use publisher::Publisher;
pub use shard::{Refused, Shard, Turn};
pub use standing::Standing;
pub use start::Beginning;
pub use subscriber::{Chunk, Ending, Lagged, Subscriber, Subscription};

use self::core::Core;
use crate::event::Audience;

/// Opens a hub of `shards` shards (1 to [`MAX_SHARDS`]). Its streams wait until the publisher knows where the history stands.
#[must_use]
pub fn open(
    history: &HistoryConfig,
    stream: &StreamConfig,
    archive: Option<Arc<dyn Archive>>,
    shards: usize,
) -> (Publisher, Vec<ShardSeed>, Overview) {
    let core = Arc::new(Core::new(history, stream, archive, shards));
    let seeds = (0..shards).map(|index| ShardSeed { core: Arc::clone(&core), index }).collect();
    (Publisher::new(Arc::clone(&core)), seeds, Overview { core })
}

/// A shard on its way to the thread that it will live on.
#[derive(Debug)]
pub struct ShardSeed {
    core: Arc<Core>,
    index: usize,
}

impl ShardSeed {
    #[must_use]
    pub fn settle(self, now: Instant) -> Shard {
        Shard::new(self.core, self.index, now)
    }
}

/// A view of the whole hub for operators.
#[derive(Clone, Debug)]
pub struct Overview {
    core: Arc<Core>,
}

/// What [`Overview::figures`] counts at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Figures {
    pub streams: usize,
    pub users: usize,
    /// The channels with the most streams, most first.
    pub channels: Vec<(String, u32)>,
    pub ring_events: usize,
    pub ring_bytes: usize,
    pub position: String,
}

impl Overview {
    /// The way to give orders to the streams that are counted here.
    #[must_use]
    pub fn orders(&self) -> Orders {
        Orders::new(Arc::clone(&self.core))
    }

    /// Holds every stream to other settings from now on. What a stream was told when it was opened stays.
    pub fn hold_to(&self, stream: &StreamConfig) {
        self.core.hold_to(stream);
    }

    /// Begins to follow who comes and goes; one may follow at a time. Nobody who is there already is told of.
    #[must_use]
    pub fn presence(&self) -> Presence {
        Presence::follow(Arc::clone(&self.core))
    }

    #[must_use]
    pub fn streams(&self) -> usize {
        self.core.streams.load(Ordering::Acquire)
    }

    /// Counts streams, users and the `top` channels. Costs a pass over all audiences: for people, not for every event.
    #[must_use]
    pub fn figures(&self, top: usize) -> Figures {
        let shared = self.core.lock();
        let mut users = 0;
        // The least of the top lies on top, so that nothing else is kept or copied under the lock.
        let mut most = BinaryHeap::new();
        for (audience, streams) in shared.audiences() {
            match audience {
                Audience::User(_) => users += 1,
                Audience::Channel(channel) => {
                    most.push((Reverse(streams), channel.clone()));
                    if most.len() > top {
                        most.pop();
                    }
                }
                Audience::Everyone => {}
            }
        }
        let (ring_events, ring_bytes) = (shared.ring.len(), shared.ring.bytes());
        let position = shared.head.to_string();
        drop(shared);
        let most = most.into_sorted_vec().into_iter();
        let channels = most.map(|(Reverse(streams), channel)| (channel.as_str().to_owned(), streams)).collect();
        Figures { streams: self.streams(), users, channels, ring_events, ring_bytes, position }
    }
}
