//! The handle to one worker's part of the hub: subscribing, reading, turning; the time is passed in, and nothing here is shared between threads.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::core::Core;
use super::fanout::Fanout;
use super::life::Life;
use super::outlet::{self, Outlet};
use super::seat::{Exit, Seat, SeatId, Stage};
use super::start::{Beginning, Decision};
use super::subscriber::{Chunk, Ending, Lagged, Subscriber, Subscription};
use crate::sse::Frame;

/// One worker's part of the hub. A clone is another handle to the same streams.
#[derive(Clone, Debug)]
pub struct Shard {
    core: Arc<Core>,
    fanout: Rc<RefCell<Fanout>>,
}

/// Why no stream was opened. Trying again later, perhaps elsewhere, may help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("as many streams are open as are allowed")]
    Full,
    #[error("the user has as many streams open as are allowed")]
    User,
    #[error("streams are being ended")]
    Draining,
}

/// What a turn left to do.
#[derive(Clone, Copy, Debug)]
pub struct Turn {
    /// More is waiting: take another turn as soon as everything else on this thread had its own.
    pub more: bool,
    /// The time of the next heartbeat or deadline.
    pub next: Instant,
    /// How long to let events gather before the next turn; zero unless the shard is under load.
    pub gather: Duration,
}

impl Shard {
    pub(super) fn new(core: Arc<Core>, index: usize, now: Instant) -> Self {
        let head = core.lock().head;
        Self { core, fanout: Rc::new(RefCell::new(Fanout::new(index, head, now))) }
    }

    /// Opens a stream that begins at `beginning`, as soon as the history reaches from there to the present.
    ///
    /// Replay and registration are decided under one lock: no event is missed between them and none comes twice.
    ///
    /// # Errors
    /// When as many streams are open as are allowed, in all or to the user, or a drain has begun.
    pub fn subscribe(
        &self,
        subscription: &Subscription,
        beginning: impl Into<Beginning>,
        now: Instant,
    ) -> Result<Subscriber, Refused> {
        if self.fanout.borrow().draining {
            return Err(Refused::Draining);
        }
        if !self.core.admit() {
            return Err(Refused::Full);
        }
        let audiences = subscription.audiences();
        let beginning = beginning.into();
        let mut fanout = self.fanout.borrow_mut();
        let user = subscription.user.as_ref();
        let mut shared = self.core.lock_with_room(user).inspect_err(|_refused| self.core.dismiss())?;
        let archived = self.core.archive.is_some();
        let decision = Decision::make(&shared, archived, &beginning, &audiences, (now, now));
        let epoch = shared.epoch;
        shared.join(fanout.index, audiences.iter());
        fanout.take_up(epoch, shared.head);
        drop(shared);

        let mut seat = Seat::new(audiences, subscription);
        seat.settle(&self.core, epoch, decision, (subscription, &beginning), now);
        seat.life = Life::new(&self.core.rules().settings, subscription, now);
        let waits = seat.is_waiting();
        let id = fanout.insert(seat);
        fanout.waiting.extend(waits.then_some(id.key));
        Ok(Subscriber::new(self.clone(), id))
    }

    /// A reconnection time for one browser: the configured one, by half of it more or less.
    #[must_use]
    pub fn jittered_retry(&self) -> Duration {
        self.core.jittered_retry()
    }

    /// Does what has come up since the last turn, or a slice of it.
    pub fn turn(&self, now: Instant) -> Turn {
        self.fanout.borrow_mut().turn(&self.core, now)
    }

    /// A turn between those that follow [`Shard::filled`]; what it leaves to be done is left to those.
    pub fn turn_early(&self, now: Instant) {
        let mut fanout = self.fanout.borrow_mut();
        if fanout.turn(&self.core, now).more {
            self.core.inboxes[fanout.index].nudge();
        }
    }

    /// Resolves when something has come in since the last turn.
    pub async fn filled(&self) {
        let index = self.fanout.borrow().index;
        self.core.inboxes[index].filled().await;
    }

    /// From here on no stream is opened.
    pub fn refuse(&self) {
        self.fanout.borrow_mut().draining = true;
    }

    /// Whether [`Shard::refuse`] was called.
    #[must_use]
    pub fn refuses(&self) -> bool {
        self.fanout.borrow().draining
    }

    /// Ends up to `at_most` streams, each with a jittered reconnection time; returns how many are still open.
    /// From the first call on no stream is opened.
    pub fn drain(&self, at_most: usize, now: Instant) -> usize {
        self.fanout.borrow_mut().drain(&self.core, at_most, now)
    }

    /// Streams of this shard, those that have ended but are still being sent included.
    #[must_use]
    pub fn streams(&self) -> usize {
        self.fanout.borrow().seats.len()
    }

    pub(super) fn poll_chunk(&self, id: SeatId, cx: &Context<'_>) -> Poll<Option<Result<Chunk, Lagged>>> {
        let mut fanout = self.fanout.borrow_mut();
        let Some(seat) = fanout.seat(id) else { return Poll::Ready(Some(Err(Lagged))) };
        seat.collected();
        loop {
            let received = seat.queue.oldest();
            if let Some(bytes) = seat.queue.take() {
                return Poll::Ready(Some(Ok(Chunk { bytes, received })));
            }
            match seat.stage {
                Stage::Live => {
                    seat.wake_by(cx);
                    return Poll::Pending;
                }
                Stage::Ended(Ending::Lagged) => return Poll::Ready(Some(Err(Lagged))),
                Stage::Ended(_) => return Poll::Ready(None),
                Stage::Replaying(_) => seat.replay(&self.core),
                Stage::Fetching => {
                    if seat.fetch(&self.core, &mut Context::from_waker(cx.waker())).is_pending() {
                        seat.wake_by(cx);
                        return Poll::Pending;
                    }
                }
            }
        }
    }

    pub(super) fn poll_cut_off(&self, id: SeatId, cx: &Context<'_>) -> Poll<()> {
        match self.fanout.borrow_mut().seat(id) {
            Some(seat) if seat.stage != Stage::Ended(Ending::Lagged) => {
                seat.wake_by(cx);
                Poll::Pending
            }
            _ => Poll::Ready(()),
        }
    }

    pub(super) fn hand_over(&self, id: SeatId, outlet: Box<dyn Outlet>, head: Bytes, now: Instant) {
        let mut fanout = self.fanout.borrow_mut();
        let waker = outlet::waker(&self.core, fanout.index, id.key);
        let Some(seat) = fanout.seat(id) else { return };
        if seat.is_ended() {
            seat.queue.push(Frame::last());
        }
        seat.queue.push_first(Frame::verbatim(head));
        seat.exit = Exit::Outlet { outlet, waker, stuck_since: None };
        // The first look has it called when the other side goes.
        if seat.is_gone() {
            drop(fanout.remove(&self.core, id.key));
        } else {
            fanout.write(&self.core, id.key, now);
        }
    }

    pub(super) fn unsubscribe(&self, id: SeatId) {
        let mut fanout = self.fanout.borrow_mut();
        if fanout.seat(id).is_some() {
            drop(fanout.remove(&self.core, id.key));
        }
    }
}
