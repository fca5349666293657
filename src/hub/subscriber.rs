//! One open stream as the hub sees it: its bounded queue, its place in the order, and how it ends; the handle that reads it and whose drop unsubscribes.

use std::collections::VecDeque;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use bytes::{Bytes, BytesMut};

use super::StreamConfig;
use super::shard::Shard;
use crate::event::{Audience, ChannelName, Position, UserId};
use crate::sse::Frame;

/// What a stream may and wants to see. The names in it are granted: the hub checks nothing more.
#[derive(Clone, Debug, Default)]
pub struct Subscription {
    pub connection_id: String,
    pub user: Option<UserId>,
    pub channels: Vec<ChannelName>,
    /// When the stream must end, whatever it is doing.
    pub expires: Option<Instant>,
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
    /// Its queue was full, or it was still replaying what the ring had to drop.
    Lagged,
}

/// Where a subscriber stands between the past and the present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Takes what it missed from the ring; nothing is queued for it meanwhile. Holds the position up to which it has taken.
    Replaying(Position),
    Live,
    Ended(Ending),
}

/// The hub's side of a stream.
#[derive(Debug)]
pub(super) struct Seat {
    pub(super) audiences: Box<[Audience]>,
    pub(super) stage: Stage,
    /// The newest event that was queued; what is not newer is not for this stream, or was queued already.
    pub(super) seen: Position,
    pub(super) deadline: Option<(Instant, Ending)>,
    frames: VecDeque<Frame>,
    bytes: usize,
    /// When the source handed over the first event that waits here.
    oldest: Option<Instant>,
    waker: Option<Waker>,
}

impl Seat {
    pub(super) fn new(audiences: Box<[Audience]>, stage: Stage, seen: Position) -> Self {
        Self { audiences, stage, seen, deadline: None, frames: VecDeque::new(), bytes: 0, oldest: None, waker: None }
    }

    /// Queues a frame whatever the limits say: for the few that are the hub's own.
    pub(super) fn push(&mut self, frame: Frame) {
        self.bytes += frame.size();
        self.frames.push_back(frame);
    }

    /// Queues an event's frame; false when the queue has no room, and then the stream is to be cut off.
    ///
    /// An empty queue takes any frame, so that one large event alone cuts nobody off.
    pub(super) fn offer(&mut self, frame: &Frame, received: Instant, limits: &StreamConfig) -> bool {
        let full = self.frames.len() >= limits.queue_events
            || (self.bytes + frame.size()) as u64 > limits.queue_bytes.as_u64() && !self.frames.is_empty();
        if full {
            return false;
        }
        self.oldest.get_or_insert(received);
        self.push(frame.clone());
        true
    }

    /// Ends the stream, after `farewell` if there is one. Who lagged gets nothing more: what waits is dropped.
    pub(super) fn end(&mut self, ending: Ending, farewell: Option<Frame>) {
        if ending == Ending::Lagged {
            self.frames = VecDeque::new();
            self.bytes = 0;
        }
        self.frames.extend(farewell);
        self.stage = Stage::Ended(ending);
        self.wake();
    }

    pub(super) const fn is_ended(&self) -> bool {
        matches!(self.stage, Stage::Ended(_))
    }

    pub(super) fn has_waiting(&self) -> bool {
        !self.frames.is_empty()
    }

    pub(super) fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    pub(super) fn wake_by(&mut self, cx: &Context<'_>) {
        match &self.waker {
            Some(waker) if waker.will_wake(cx.waker()) => {}
            _ => self.waker = Some(cx.waker().clone()),
        }
    }

    /// Everything that waits, up to about `CHUNK` bytes, as one piece; a single frame is not copied.
    pub(super) fn take(&mut self) -> Option<Chunk> {
        const CHUNK: usize = 16 << 10;
        const SPARE_FRAMES: usize = 4;
        let first = self.frames.pop_front()?;
        self.bytes = self.bytes.saturating_sub(first.size());
        let bytes = if self.frames.is_empty() {
            first.payload()
        } else {
            let mut merged = BytesMut::with_capacity(CHUNK.min(first.size() + self.bytes));
            merged.extend_from_slice(&first.payload());
            while let Some(next) = self.frames.front().filter(|next| merged.len() + next.size() <= CHUNK) {
                merged.extend_from_slice(&next.payload());
                self.bytes = self.bytes.saturating_sub(next.size());
                self.frames.pop_front();
            }
            merged.freeze()
        };
        let received = self.oldest;
        if self.frames.is_empty() {
            self.oldest = None;
            if self.frames.capacity() > SPARE_FRAMES {
                self.frames = VecDeque::new();
            }
        }
        Some(Chunk { bytes, received })
    }
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

/// The reading end of one stream. Its drop unsubscribes.
#[derive(Debug)]
pub struct Subscriber {
    pub(super) shard: Shard,
    pub(super) key: usize,
}

impl Subscriber {
    /// The next piece of the stream; `None` is its proper end. Cancel-safe.
    pub fn poll_chunk(&mut self, cx: &Context<'_>) -> Poll<Option<Result<Chunk, Lagged>>> {
        self.shard.poll_chunk(self.key, cx)
    }

    /// Ready once the stream is cut off: for a writer that is stuck and so does not come to the end by itself.
    pub fn poll_cut_off(&self, cx: &Context<'_>) -> Poll<()> {
        self.shard.poll_cut_off(self.key, cx)
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.shard.unsubscribe(self.key);
    }
}
