//! The subscribers of one worker thread: subscribing, fan-out, heartbeats and deadlines; the time is passed in, and nothing here is shared between threads.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use serde_json::json;
use slab::Slab;

use super::core::{Core, Shared};
use super::members::Members;
use super::publisher::gap;
use super::ring::Entry;
use super::subscriber::{Chunk, Ending, Lagged, Seat, Stage, Subscriber, Subscription};
use crate::event::{Audience, EventId, Position};
use crate::sse;
use crate::telemetry;

/// Heartbeats are spread over this many ticks of a heartbeat's period.
const TICKS: u32 = 60;
/// Events that are handed out before streams get a turn to send.
const EVENTS_A_TURN: usize = 64;
/// Events that a replaying stream takes from the ring at once.
const REPLAY_BATCH: usize = 64;
/// The longest last event id that is repeated back.
const MAX_ID_ECHO: usize = 128;

/// One worker's part of the hub. A clone is another handle to the same subscribers.
#[derive(Clone, Debug)]
pub struct Shard {
    core: Arc<Core>,
    index: usize,
    state: Rc<RefCell<State>>,
}

#[derive(Debug)]
struct State {
    seats: Slab<Seat>,
    members: Members,
    deadlines: BTreeSet<(Instant, usize)>,
    /// Every event up to here that is for this shard has been handed out.
    position: Position,
    next_tick: Instant,
    tick: u32,
    /// Seats with something new to send since the last turn's end.
    dirty: Vec<usize>,
    taken: Vec<Arc<Entry>>,
}

/// The shard has as many streams as it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("as many streams are open as are allowed")]
pub struct Full;

/// What a turn left to do.
#[derive(Clone, Copy, Debug)]
pub struct Turn {
    /// More events are waiting: take another turn as soon as streams had theirs.
    pub more: bool,
    /// The time of the next heartbeat or deadline.
    pub next: Instant,
}

impl Shard {
    pub(super) fn new(core: Arc<Core>, index: usize, now: Instant) -> Self {
        let state = State {
            seats: Slab::new(),
            members: Members::default(),
            deadlines: BTreeSet::new(),
            position: Position::default(),
            next_tick: now,
            tick: 0,
            dirty: Vec::new(),
            taken: Vec::new(),
        };
        Self { core, index, state: Rc::new(RefCell::new(state)) }
    }

    /// Opens a stream that begins after `last_event_id`, or now.
    ///
    /// Replay and registration are decided under one lock: no event is missed between them and none comes twice.
    pub fn subscribe(
        &self,
        subscription: &Subscription,
        last_event_id: Option<&str>,
        now: Instant,
    ) -> Result<Subscriber, Full> {
        if !self.core.admit() {
            return Err(Full);
        }
        let audiences: Box<[Audience]> = subscription
            .user
            .iter()
            .cloned()
            .map(Audience::User)
            .chain(subscription.channels.iter().cloned().map(Audience::Channel))
            .collect();
        let mut shared = self.core.lock();
        let start = Start::decide(&shared, last_event_id);
        shared.join(self.index, audiences.iter());
        drop(shared);

        let mut seat = Seat::new(audiences, start.stage, start.seen);
        seat.push(self.opening(subscription, &start));
        if let Some((reason, from)) = start.gap {
            seat.push(gap(&from, start.after, reason));
        }
        seat.deadline = self.deadline(subscription, now);
        let mut state = self.state.borrow_mut();
        let key = state.seats.insert(seat);
        let State { seats, members, deadlines, .. } = &mut *state;
        for audience in &seats[key].audiences {
            members.add(audience, key);
        }
        deadlines.extend(seats[key].deadline.map(|(at, _)| (at, key)));
        drop(state);
        Ok(Subscriber { shard: self.clone(), key })
    }

    fn opening(&self, subscription: &Subscription, start: &Start) -> sse::Frame {
        let json = json!({
            "connectionId": subscription.connection_id,
            "user": subscription.user.as_ref().map(crate::event::UserId::as_str),
            "channels": subscription.channels.iter().map(crate::event::ChannelName::as_str).collect::<Vec<_>>(),
            "resumed": start.resumed,
        });
        sse::connected(self.jittered_retry(), &start.opening_id, &json.to_string())
    }

    /// A reconnection time for one browser: the configured one, by half of it more or less.
    #[must_use]
    pub fn jittered_retry(&self) -> Duration {
        self.core.settings.retry.0.mul_f64(0.5 + fastrand::f64())
    }

    fn deadline(&self, subscription: &Subscription, now: Instant) -> Option<(Instant, Ending)> {
        let age = self.core.settings.max_connection_age.0;
        let aged = (!age.is_zero()).then(|| (now + age.mul_f64(0.9 + 0.2 * fastrand::f64()), Ending::Aged));
        let expired = subscription.expires.map(|at| (at, Ending::Expired));
        aged.into_iter().chain(expired).min_by_key(|(at, _)| *at)
    }

    /// Hands out what waits in the inbox, sends heartbeats and ends what is due.
    pub fn turn(&self, now: Instant) -> Turn {
        let mut state = self.state.borrow_mut();
        let due = state.next_tick <= now;
        // The head is read before the inbox: what is published in between is not claimed to have been handed out.
        let head = due.then(|| self.core.lock().head);
        let mut taken = std::mem::take(&mut state.taken);
        let more = self.core.inboxes[self.index].take(EVENTS_A_TURN, &mut taken);
        for entry in taken.drain(..) {
            state.hand_out(&self.core, &entry);
        }
        state.taken = taken;
        if let Some(head) = head.filter(|_| !more) {
            state.position = state.position.max(head);
        }
        if due {
            let id = EventId { epoch: self.core.lock().epoch, position: state.position };
            state.heartbeat(&self.core, id, now);
        }
        self.end_due(&mut state, now);
        for key in std::mem::take(&mut state.dirty) {
            if let Some(seat) = state.seats.get_mut(key) {
                seat.wake();
            }
        }
        let next = state.deadlines.first().map_or(state.next_tick, |(at, _)| state.next_tick.min(*at));
        Turn { more, next }
    }

    /// Resolves when events have come in since the last turn.
    pub async fn filled(&self) {
        self.core.inboxes[self.index].filled().await;
    }

    fn end_due(&self, state: &mut State, now: Instant) {
        while let Some((at, key)) = state.deadlines.first().copied().filter(|(at, _)| *at <= now) {
            state.deadlines.remove(&(at, key));
            let seat = &mut state.seats[key];
            if let Some((_, ending)) = seat.deadline.take().filter(|_| !seat.is_ended()) {
                let farewell = (ending == Ending::Aged).then(|| sse::farewell(self.jittered_retry()));
                seat.end(ending, farewell);
            }
        }
    }

    /// Ends up to `at_most` streams, each with a jittered reconnection time; returns how many are still open.
    pub fn drain(&self, at_most: usize) -> usize {
        let mut state = self.state.borrow_mut();
        let open = state.seats.iter_mut().filter(|(_, seat)| !seat.is_ended());
        let mut left = 0;
        for (number, (_, seat)) in open.enumerate() {
            if number < at_most {
                seat.end(Ending::Drained, Some(sse::farewell(self.jittered_retry())));
            } else {
                left += 1;
            }
        }
        left
    }

    /// Streams of this shard, those that have ended but are still being sent included.
    #[must_use]
    pub fn streams(&self) -> usize {
        self.state.borrow().seats.len()
    }

    pub(super) fn poll_chunk(&self, key: usize, cx: &Context<'_>) -> Poll<Option<Result<Chunk, Lagged>>> {
        let mut state = self.state.borrow_mut();
        let seat = &mut state.seats[key];
        loop {
            if let Some(chunk) = seat.take() {
                return Poll::Ready(Some(Ok(chunk)));
            }
            match seat.stage {
                Stage::Live => {
                    seat.wake_by(cx);
                    return Poll::Pending;
                }
                Stage::Ended(Ending::Lagged) => return Poll::Ready(Some(Err(Lagged))),
                Stage::Ended(_) => return Poll::Ready(None),
                Stage::Replaying(position) => self.replay(seat, position),
            }
        }
    }

    /// Moves a replaying seat on by a batch; it goes live when the ring has nothing newer for it.
    fn replay(&self, seat: &mut Seat, position: Position) {
        let shared = self.core.lock();
        if position < shared.ring.floor() {
            drop(shared);
            telemetry::stream::lagged();
            seat.end(Ending::Lagged, None);
            return;
        }
        let everyone = [Audience::Everyone];
        let batch = shared.ring.after(position, seat.audiences.iter().chain(&everyone), REPLAY_BATCH);
        if let Some(last) = batch.last() {
            seat.stage = Stage::Replaying(last.position);
        } else {
            seat.seen = shared.head;
            seat.stage = Stage::Live;
        }
        drop(shared);
        telemetry::stream::replayed(batch.len());
        for entry in batch {
            seat.push(entry.frame.clone());
        }
    }

    pub(super) fn poll_cut_off(&self, key: usize, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.state.borrow_mut();
        let seat = &mut state.seats[key];
        if seat.stage == Stage::Ended(Ending::Lagged) {
            return Poll::Ready(());
        }
        seat.wake_by(cx);
        Poll::Pending
    }

    pub(super) fn unsubscribe(&self, key: usize) {
        let mut state = self.state.borrow_mut();
        let seat = state.seats.remove(key);
        if let Some((at, _)) = seat.deadline {
            state.deadlines.remove(&(at, key));
        }
        let left: Vec<bool> = seat.audiences.iter().map(|audience| state.members.remove(audience, key)).collect();
        drop(state);
        self.core.lock().leave(self.index, seat.audiences.iter().zip(left));
        self.core.streams.fetch_sub(1, Ordering::AcqRel);
    }
}

impl State {
    fn hand_out(&mut self, core: &Core, entry: &Entry) {
        self.position = entry.position;
        let State { seats, members, dirty, .. } = self;
        let mut receivers = 0;
        let mut offer = |key: usize, seat: &mut Seat| {
            // Not newer: it came with the replay, or by another of the event's audiences.
            if seat.stage != Stage::Live || seat.seen >= entry.position {
                return;
            }
            seat.seen = entry.position;
            let waits = seat.has_waiting();
            if !seat.offer(&entry.frame, entry.received, &core.settings) {
                telemetry::stream::lagged();
                seat.end(Ending::Lagged, None);
                return;
            }
            receivers += 1;
            if !waits {
                dirty.push(key);
            }
        };
        for audience in &entry.audiences {
            match audience {
                Audience::Everyone => seats.iter_mut().for_each(|(key, seat)| offer(key, seat)),
                Audience::User(_) | Audience::Channel(_) => {
                    members.of(audience).for_each(|key| offer(key, &mut seats[key]));
                }
            }
        }
        entry.sent.add(receivers);
    }

    /// Sends the heartbeats of every tick that is due; each seat has its tick by its number, so that they are spread.
    fn heartbeat(&mut self, core: &Core, id: EventId, now: Instant) {
        let settings = &core.settings;
        let frame = if settings.heartbeat_event.is_empty() {
            sse::heartbeat(id)
        } else {
            sse::heartbeat_event(id, &settings.heartbeat_event)
        };
        let tick_length = settings.heartbeat.0 / TICKS;
        // After a long stall each seat gets one heartbeat, not one for each that was missed.
        for _ in 0..TICKS {
            if self.next_tick > now {
                return;
            }
            self.next_tick += tick_length;
            self.tick = (self.tick + 1) % TICKS;
            let mut key = self.tick as usize;
            while key < self.seats.capacity() {
                if let Some(seat) = self.seats.get_mut(key).filter(|seat| seat.stage == Stage::Live) {
                    // Who has something waiting needs no sign of life.
                    if !seat.has_waiting() {
                        seat.push(frame.clone());
                        self.dirty.push(key);
                    }
                }
                key += TICKS as usize;
            }
        }
        self.next_tick = now + tick_length;
    }
}

/// Where a new stream begins, decided under the lock.
struct Start {
    stage: Stage,
    seen: Position,
    /// The position that the browser may take for granted, whatever it is told next.
    after: EventId,
    /// What the opening block says. While a gap is still to be told it is the id that the browser came with,
    /// so that a connection that breaks in between tells the gap again.
    opening_id: String,
    resumed: bool,
    /// Reason, and the id from which on something may be missing.
    gap: Option<(&'static str, String)>,
}

impl Start {
    fn decide(shared: &Shared, last_event_id: Option<&str>) -> Self {
        let head = shared.head;
        let Some(text) = last_event_id.filter(|text| !text.is_empty()) else {
            return Self::at(shared, head, shared.id(head).to_string());
        };
        let known = text.parse::<EventId>().ok().filter(|id| id.epoch == shared.epoch && id.position <= head);
        match known {
            Some(id) if id.position >= shared.ring.floor() => {
                Self { resumed: true, ..Self::at(shared, id.position, id.to_string()) }
            }
            Some(id) => {
                let floor = shared.ring.floor();
                Self { gap: Some(("too_old", id.to_string())), ..Self::at(shared, floor, id.to_string()) }
            }
            None => {
                let from: String = text.chars().filter(|c| !c.is_control()).take(MAX_ID_ECHO).collect();
                let opening_id = if from == text { from.clone() } else { shared.id(head).to_string() };
                Self { gap: Some(("unknown_id", from)), ..Self::at(shared, head, opening_id) }
            }
        }
    }

    fn at(shared: &Shared, position: Position, opening_id: String) -> Self {
        let stage = if position == shared.head { Stage::Live } else { Stage::Replaying(position) };
        Self { stage, seen: position, after: shared.id(position), opening_id, resumed: false, gap: None }
    }
}
