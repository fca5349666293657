//! One open stream as its shard sees it: whom it listens to, its place in the order, what waits for it, and its way out.

use std::io::IoSlice;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use uuid::Uuid;

use super::core::Core;
use super::fetch::Fetch;
use super::life::Life;
use super::limits::Refusal;
use super::outlet::Outlet;
use super::queue::{Queue, SLICES};
use super::standing::Standing;
use super::subscriber::{Ending, Subscription};
use crate::event::{Audience, EventId};
use crate::sse::{self, Frame};
use crate::telemetry;

/// Where a stream stands between the past and the present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Has no place yet, or takes what it missed from the archive; `Seat::fetch` says more.
    Fetching,
    /// Takes what it missed from the ring; nothing is queued for it meanwhile. Holds the id up to which it has taken.
    Replaying(EventId),
    Live,
    Ended(Ending),
}

/// Names a seat for as long as it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SeatId {
    pub(super) key: usize,
    pub(super) serial: u64,
}

/// How a stream's bytes leave.
#[derive(Debug)]
pub(super) enum Exit {
    /// Somebody polls for them; `left_since` is when something was first seen to wait for that.
    Reader { waker: Option<Waker>, left_since: Option<Instant> },
    /// The shard writes them; the waker calls this seat.
    Outlet { outlet: Box<dyn Outlet>, waker: Waker, stuck_since: Option<Instant> },
}

/// On which of the shard's lists a seat is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Listed {
    #[default]
    No,
    /// Its events are for a large audience.
    Bulk,
    /// It is replaying, which everything live goes before.
    Replay,
    Urgent,
}

/// What a write came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    All,
    /// The outlet takes no more for now, and calls.
    Stuck,
    /// The outlet is broken.
    Broken,
}

#[derive(Debug)]
pub(super) struct Seat {
    pub(super) audiences: Box<[Audience]>,
    pub(super) stage: Stage,
    /// The newest event that was queued; what is not newer is not for this stream, or was queued already.
    pub(super) seen: EventId,
    /// The history in which `seen` stands.
    pub(super) epoch: u32,
    /// Present in [`Stage::Fetching`].
    pub(super) fetch: Option<Box<Fetch>>,
    pub(super) life: Life,
    pub(super) connection: Uuid,
    pub(super) standing: Option<Arc<Standing>>,
    pub(super) queue: Queue,
    pub(super) exit: Exit,
    pub(super) listed: Listed,
    pub(super) serial: u64,
}

impl Seat {
    pub(super) fn new(audiences: Box<[Audience]>, subscription: &Subscription) -> Self {
        Self {
            audiences,
            stage: Stage::Fetching,
            seen: EventId::default(),
            epoch: 0,
            fetch: None,
            life: Life::default(),
            connection: subscription.connection_id,
            standing: subscription.standing.clone(),
            queue: Queue::default(),
            exit: Exit::Reader { waker: None, left_since: None },
            listed: Listed::No,
            serial: 0,
        }
    }

    /// Ends the stream, after `farewell` if there is one. Who lagged gets nothing more: what waits is dropped.
    pub(super) fn end(&mut self, ending: Ending, farewell: Option<Frame>) {
        self.stage = Stage::Ended(ending);
        self.fetch = None;
        if ending == Ending::Lagged {
            self.queue.clear();
            return;
        }
        if let Some(farewell) = farewell {
            self.queue.push(farewell);
        }
        if let Exit::Outlet { .. } = self.exit {
            self.queue.push(Frame::last());
        }
    }

    /// Ends the stream since it cannot be given what is for it. Who is sent too much comes back later, with its own last
    /// id, and finds the rest in the history.
    pub(super) fn cut_off(&mut self, core: &Core, refusal: Refusal) {
        match refusal {
            Refusal::Full => {
                telemetry::stream::lagged();
                self.end(Ending::Lagged, None);
            }
            Refusal::Events | Refusal::Bytes => {
                telemetry::stream::too_fast(refusal == Refusal::Events);
                self.end(Ending::Throttled, Some(sse::farewell(core.long_retry())));
            }
        }
    }

    pub(super) const fn is_ended(&self) -> bool {
        matches!(self.stage, Stage::Ended(_))
    }

    /// Wakes the reader, if one waits.
    pub(super) fn wake(&mut self) {
        if let Exit::Reader { waker, .. } = &mut self.exit
            && let Some(waker) = waker.take()
        {
            waker.wake();
        }
    }

    /// Has the reader's task woken by what happens next.
    pub(super) fn wake_by(&mut self, cx: &Context<'_>) {
        if let Exit::Reader { waker, .. } = &mut self.exit {
            match waker {
                Some(waker) if waker.will_wake(cx.waker()) => {}
                _ => *waker = Some(cx.waker().clone()),
            }
        }
    }

    /// Whether nothing that waits has been taken since `limit`. Looked at from time to time, which is how a reader's
    /// neglect is noticed at all.
    pub(super) fn is_stuck_since(&mut self, limit: Instant, now: Instant) -> bool {
        let waits = !self.queue.is_empty() || self.is_ended();
        match &mut self.exit {
            Exit::Outlet { stuck_since, .. } => stuck_since.is_some_and(|since| since <= limit),
            Exit::Reader { left_since, .. } if waits => *left_since.get_or_insert(now) <= limit,
            Exit::Reader { .. } => false,
        }
    }

    /// The reader has come for what waits.
    pub(super) fn collected(&mut self) {
        if let Exit::Reader { left_since, .. } = &mut self.exit {
            *left_since = None;
        }
    }

    /// Whether the outlet's other side is gone. Asks to be called when it goes.
    pub(super) fn is_gone(&mut self) -> bool {
        match &mut self.exit {
            Exit::Outlet { outlet, waker, .. } => outlet.poll_gone(&mut Context::from_waker(waker)).is_ready(),
            Exit::Reader { .. } => false,
        }
    }

    /// Writes what waits to the outlet; `sample` has the oldest event's latency measured.
    pub(super) fn write(&mut self, now: Instant, sample: bool) -> Written {
        let Exit::Outlet { outlet, waker, stuck_since } = &mut self.exit else { return Written::All };
        let cx = &mut Context::from_waker(waker);
        let oldest = self.queue.oldest();
        while !self.queue.is_empty() {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let filled = self.queue.slices(&mut slices);
            match outlet.poll_write(cx, &slices[..filled]) {
                Poll::Ready(Ok(bytes)) if bytes > 0 => {
                    *stuck_since = None;
                    self.queue.advance(bytes);
                }
                Poll::Ready(_) => return Written::Broken,
                Poll::Pending => {
                    stuck_since.get_or_insert(now);
                    return Written::Stuck;
                }
            }
        }
        if let Some(received) = oldest.filter(|_| sample) {
            outlet.delivered(received);
        }
        Written::All
    }
}
