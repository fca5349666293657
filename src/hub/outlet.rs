//! The seam between the hub and whatever carries a stream: an outlet that the hub writes to itself, or a reader that polls.

use std::fmt::Debug;
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Instant;

use super::core::Core;

/// A stream's way out when the hub writes it without anybody's help: no task, no buffer. Its drop closes the stream.
pub trait Outlet: Debug {
    /// Writes what it takes at once of `pieces`, frames with their chunk framing (RFC 9112 §7.1); when it takes nothing
    /// it is `Pending` and wakes `cx` later.
    fn poll_write(&mut self, cx: &mut Context<'_>, pieces: &[IoSlice<'_>]) -> Poll<io::Result<usize>>;

    /// Ready when the other side is gone; otherwise wakes `cx` when that may have changed.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()>;

    /// An event that the source handed over at `received` has left. Called for a sample of them.
    fn delivered(&self, received: Instant);
}

/// Wakes one seat of a shard: puts its number on the shard's list and wakes the shard.
#[derive(Debug)]
struct SeatWaker {
    core: Arc<Core>,
    shard: usize,
    key: usize,
}

impl Wake for SeatWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.core.inboxes[self.shard].call(self.key);
    }
}

/// A waker for seat `key` of `shard`. A wake for a seat that is gone, or that is another's by now, is harmless.
pub(super) fn waker(core: &Arc<Core>, shard: usize, key: usize) -> Waker {
    Waker::from(Arc::new(SeatWaker { core: Arc::clone(core), shard, key }))
}
