//! The way to the present: waiting for the history to be known, then the archive until it meets the ring, then the ring.

use std::task::{Context, Poll};
use std::time::Instant;

use super::archive::{Archived, Past, Pieces, ReadFrom};
use super::core::Core;
use super::fanout::Fanout;
use super::publisher::gap;
use super::seat::{Exit, Seat, Stage};
use super::start::{Beginning, Decision, Start};
use super::subscriber::{Ending, Subscription};
use crate::event::{Audience, EventId};
use crate::{sse, telemetry};

/// Events that a replaying stream takes from the ring at once.
const REPLAY_BATCH: usize = 64;

/// What a seat in [`Stage::Fetching`] needs besides. The first two matter until its opening block is queued.
#[derive(Debug)]
pub(super) struct Fetch {
    subscription: Subscription,
    beginning: Beginning,
    progress: Progress,
}

#[derive(Debug)]
enum Progress {
    Waiting {
        since: Instant,
    },
    Reading {
        archive: Pieces,
        /// Up to where the stream was given everything; none before the archive's first answer.
        at: Option<EventId>,
    },
}

impl Seat {
    /// Begins the stream, or has it wait or read. The caller joins the seat to its audiences under the same lock.
    pub(super) fn settle(
        &mut self,
        core: &Core,
        epoch: u32,
        decision: Decision,
        (subscription, beginning): (&Subscription, &Beginning),
        now: Instant,
    ) {
        let progress = match decision {
            Decision::Start(start) => return self.start(core, epoch, subscription, &start),
            Decision::Wait => Progress::Waiting { since: now },
            Decision::Read(from) => match &core.archive {
                Some(archive) => Progress::Reading { archive: archive.read(from), at: None },
                None => Progress::Waiting { since: now },
            },
        };
        self.stage = Stage::Fetching;
        self.epoch = epoch;
        let (subscription, beginning) = (subscription.clone(), beginning.clone());
        self.fetch = Some(Box::new(Fetch { subscription, beginning, progress }));
    }

    /// As [`Seat::fetch`], with the seat's own waker, for a seat that the shard writes.
    pub(super) fn fetch_called(&mut self, core: &Core) -> Poll<()> {
        let Exit::Outlet { waker, .. } = &self.exit else { return Poll::Pending };
        let waker = waker.clone();
        self.fetch(core, &mut Context::from_waker(&waker))
    }

    /// Whether the opening block is still to come.
    pub(super) fn is_unopened(&self) -> bool {
        self.fetch.as_ref().is_some_and(|fetch| {
            matches!(fetch.progress, Progress::Waiting { .. } | Progress::Reading { at: None, .. })
        })
    }

    /// Has the opening block, if it is still to come, say what `subscription` says.
    pub(super) fn will_open_as(&mut self, subscription: Subscription) {
        if let Some(fetch) = &mut self.fetch {
            fetch.subscription = Subscription { connection_id: self.connection, ..subscription };
        }
    }

    pub(super) fn is_waiting(&self) -> bool {
        self.fetch.as_ref().is_some_and(|fetch| matches!(fetch.progress, Progress::Waiting { .. }))
    }

    /// Takes the next piece from the archive; ready when there may be something to send, or the stage has changed.
    pub(super) fn fetch(&mut self, core: &Core, cx: &mut Context<'_>) -> Poll<()> {
        let Some(mut fetch) = self.fetch.take() else { return Poll::Pending };
        let Progress::Reading { archive, at } = &mut fetch.progress else {
            self.fetch = Some(fetch);
            return Poll::Pending;
        };
        let Poll::Ready(piece) = archive.poll_recv(cx) else {
            self.fetch = Some(fetch);
            return Poll::Pending;
        };
        match piece {
            Some(Archived::After(id)) => {
                if at.is_none() {
                    let resumed = matches!(fetch.beginning, Beginning::After(_));
                    self.open(core, &fetch.subscription, &id.to_string(), resumed);
                }
                *at = Some(id);
            }
            Some(Archived::Gap { reason, to }) => {
                let from = at.map_or_else(|| fetch.beginning.text(), |id| id.to_string());
                if at.is_none() {
                    let came_with = if let Beginning::After(id) = &fetch.beginning { id } else { &to.to_string() };
                    self.open(core, &fetch.subscription, came_with, false);
                }
                self.queue.push(gap(&from, to, reason));
                *at = Some(to);
            }
            Some(Archived::Deliveries(past)) => {
                self.take_past(&past, *at);
                // A piece that ends before what the stream has must not set it back.
                let end = past.last().map(Past::end).filter(|end| at.is_none_or(|at| at.position < end.position));
                *at = end.or(*at);
            }
            Some(Archived::Unknown) if at.is_none() => {
                let shared = core.lock();
                let (start, epoch) = (Start::unknown(&shared, &fetch.beginning), shared.epoch);
                drop(shared);
                self.start(core, epoch, &fetch.subscription, &start);
                return Poll::Ready(());
            }
            Some(Archived::Nothing) if at.is_none() => {
                let shared = core.lock();
                let (start, epoch) = (Start::at_beginning(&shared), shared.epoch);
                drop(shared);
                match start {
                    Some(start) => self.start(core, epoch, &fetch.subscription, &start),
                    None => self.give_up(core),
                }
                return Poll::Ready(());
            }
            Some(Archived::Unknown | Archived::Nothing) | None => {
                self.give_up(core);
                return Poll::Ready(());
            }
        }
        let at = *at;
        self.fetch = Some(fetch);
        if let Some(at) = at {
            self.meet_ring(core, at);
        }
        Poll::Ready(())
    }

    /// Moves a replaying seat on by a batch; it goes live when the ring has nothing newer for it.
    pub(super) fn replay(&mut self, core: &Core) {
        let Stage::Replaying(after) = self.stage else { return };
        let position = after.position;
        let shared = core.lock();
        if shared.epoch != self.epoch {
            drop(shared);
            return self.give_up(core);
        }
        if position < shared.ring.floor().position {
            drop(shared);
            return self.fall_back(core, after);
        }
        let everyone = [Audience::Everyone];
        let batch = shared.ring.after(position, self.audiences.iter().chain(&everyone), REPLAY_BATCH);
        if batch.is_empty() {
            // The archive may have been ahead of the head.
            self.seen = if position > shared.head.position { after } else { shared.head };
            self.stage = Stage::Live;
        }
        drop(shared);
        let mut replayed = 0;
        let rules = core.rules();
        for entry in &batch {
            if self.queue.offer(&entry.frame, 1, None, &rules.limits).is_err() {
                break;
            }
            replayed += 1;
            self.stage = Stage::Replaying(entry.id);
        }
        telemetry::stream::replayed(replayed);
    }

    /// The ring has dropped what follows `after`: goes back to the archive, or is cut off where there is none.
    pub(super) fn fall_back(&mut self, core: &Core, after: EventId) {
        let Some(archive) = &core.archive else {
            telemetry::stream::lagged();
            return self.end(Ending::Lagged, None);
        };
        let progress = Progress::Reading { archive: archive.read(ReadFrom::After(after)), at: Some(after) };
        let (subscription, beginning) = (Subscription::default(), Beginning::Now);
        self.fetch = Some(Box::new(Fetch { subscription, beginning, progress }));
        self.stage = Stage::Fetching;
    }

    /// Queues the events that are for this stream and come after `at`.
    fn take_past(&mut self, past: &[Past], at: Option<EventId>) {
        let mut replayed = 0;
        for event in past.iter().flat_map(|delivery| &delivery.events) {
            let is_new = at.is_none_or(|at| at.position < event.id.position);
            let is_ours = |audience: &Audience| *audience == Audience::Everyone || self.audiences.contains(audience);
            if is_new && event.audiences.iter().any(is_ours) {
                self.queue.push(event.frame.clone());
                replayed += 1;
            }
        }
        telemetry::stream::replayed(replayed);
    }

    /// Goes over to the ring once that has everything after `at`.
    fn meet_ring(&mut self, core: &Core, at: EventId) {
        let shared = core.lock();
        if at.position < shared.ring.floor().position {
            return;
        }
        // The archive may be ahead of the tail.
        let same_history =
            shared.epoch == self.epoch && (at.position > shared.head.position || shared.ring.holds_delivery(at));
        drop(shared);
        if same_history {
            self.fetch = None;
            self.stage = Stage::Replaying(at);
        } else {
            self.give_up(core);
        }
    }

    /// Ends the stream so that its browser comes back with what it has by then.
    pub(super) fn give_up(&mut self, core: &Core) {
        self.fetch = None;
        self.end(Ending::Elsewhere, Some(sse::farewell(core.jittered_retry())));
    }
}

impl Fanout {
    /// Decides again for the streams that wait.
    pub(super) fn place_waiting(&mut self, core: &Core, now: Instant) {
        if self.waiting.is_empty() {
            return;
        }
        let waiting = std::mem::take(&mut self.waiting);
        for key in waiting {
            let Some(seat) = self.seats.get_mut(key) else { continue };
            let Some(Fetch { subscription, beginning, progress: Progress::Waiting { since } }) = seat.fetch.as_deref()
            else {
                continue;
            };
            let shared = core.lock();
            let decision = Decision::make(&shared, core.archive.is_some(), beginning, &seat.audiences, (*since, now));
            let epoch = shared.epoch;
            drop(shared);
            if matches!(decision, Decision::Wait) {
                self.waiting.push(key);
                continue;
            }
            let (subscription, beginning) = (subscription.clone(), beginning.clone());
            seat.fetch = None;
            seat.settle(core, epoch, decision, (&subscription, &beginning), now);
            self.list_urgent(key);
        }
    }
}

#[cfg(test)]
mod tests;
