//! What a stream may see and how it ends, and the handle that carries it until an outlet does.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use uuid::Uuid;

use super::outlet::Outlet;
use super::seat::SeatId;
use super::shard::Shard;
use super::standing::Standing;
use crate::event::{Audience, ChannelName, UserId};

/// What a stream may and wants to see. The names in it are granted: the hub checks nothing more.
#[derive(Clone, Debug, Default)]
pub struct Subscription {
    pub connection_id: Uuid,
    pub user: Option<UserId>,
    pub channels: Vec<ChannelName>,
    /// When the stream must end, whatever it is doing.
    pub expires: Option<Instant>,
    /// What the stream is judged by later.
    pub standing: Option<Arc<Standing>>,
}

impl Subscription {
    /// The user and the channels, each once, in their order.
    #[must_use]
    pub fn audiences(&self) -> Box<[Audience]> {
        let users = self.user.iter().cloned().map(Audience::User);
        let channels = self.channels.iter().cloned().map(Audience::Channel);
        let mut audiences: Vec<_> = users.chain(channels).collect();
        audiences.sort_unstable();
        audiences.dedup();
        audiences.into()
    }
}

/// Why a stream ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Its token expired.
    Expired,
    /// It reached its greatest age; its browser reconnects.
    Aged,
    /// The process ends; its browser reconnects, elsewhere if there is an elsewhere.
    Drained,
    /// What it missed cannot be read for now, or its history is over; its browser comes back with its own last id.
    Elsewhere,
    /// It was ordered to.
    Dismissed,
    /// It was sent more than its rates allow; its browser comes back later.
    Throttled,
    /// Its queue was full, or it was still replaying what the ring had to drop.
    Lagged,
}

/// A piece of the stream, one or more whole blocks.
#[derive(Debug)]
pub struct Chunk {
    pub bytes: Bytes,
    /// When the source handed over the oldest event that was waiting; none for blocks of the hub's own.
    pub received: Option<Instant>,
}

/// The stream was cut off because it did not keep up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the stream was cut off because its reader did not keep up")]
pub struct Lagged;

/// One open stream: read it here, or hand it over to an outlet. Its drop unsubscribes.
#[derive(Debug)]
pub struct Subscriber {
    shard: Shard,
    /// None once an outlet carries the stream.
    seat: Option<SeatId>,
}

impl Subscriber {
    pub(super) const fn new(shard: Shard, seat: SeatId) -> Self {
        Self { shard, seat: Some(seat) }
    }

    /// The next piece of the stream; `None` is its proper end. Cancel-safe.
    pub fn poll_chunk(&mut self, cx: &Context<'_>) -> Poll<Option<Result<Chunk, Lagged>>> {
        self.seat.map_or(Poll::Ready(None), |seat| self.shard.poll_chunk(seat, cx))
    }

    /// Ready once the stream is cut off: for a writer that is stuck and so does not come to the end by itself.
    pub fn poll_cut_off(&self, cx: &Context<'_>) -> Poll<()> {
        self.seat.map_or(Poll::Pending, |seat| self.shard.poll_cut_off(seat, cx))
    }

    /// Leaves the stream to the shard, which writes first `head` and then the stream to `outlet` until either side ends it.
    pub fn hand_over(mut self, outlet: Box<dyn Outlet>, head: impl Into<Bytes>, now: Instant) {
        if let Some(seat) = self.seat.take() {
            self.shard.hand_over(seat, outlet, head.into(), now);
        }
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        if let Some(seat) = self.seat {
            self.shard.unsubscribe(seat);
        }
    }
}
