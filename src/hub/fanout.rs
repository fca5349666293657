//! The fan-out of one shard: events to seats, heartbeats, deadlines, and the order in which seats get to write.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hashbrown::HashMap;
use slab::Slab;
use uuid::Uuid;

use super::core::Core;
use super::members::Members;
use super::order::Walk;
use super::ring::Entry;
use super::seat::{Exit, Listed, Seat, SeatId, Stage, Written};
use super::shard::Turn;
use super::subscriber::Ending;
use crate::event::{Audience, EventId};
use crate::sse::{self, Frame};
use crate::telemetry;

/// Heartbeats are spread over this many ticks of a heartbeat's period.
const TICKS: u32 = 60;
/// Events that are taken from the inbox at once.
const EVENTS_A_TURN: usize = 64;
/// Seats of large audiences that write in one turn; the rest wait while others have theirs.
const BULK_A_TURN: usize = 256;
/// An event for more seats than this has them wait in the bulk list.
const URGENT_AUDIENCE: usize = 64;
/// How often a replaying stream takes a batch in one turn.
const REPLAY_BATCHES_A_TURN: usize = 4;
/// Replaying streams that write in one turn.
const REPLAYS_A_TURN: usize = 32;
/// Seats that are looked at in one turn because they called: a crowd that leaves keeps nobody's events waiting.
const CALLS_A_TURN: usize = 32;
/// Above this many writes to large audiences a second it pays to gather events first.
const LOADED_WRITES_PER_SECOND: f64 = 50_000.0;
/// Of this many writes one has its latency measured.
const LATENCY_SAMPLE: u32 = 16;
/// Time between two looks at the seats that wait for their place.
const WAITING_LOOK: Duration = Duration::from_millis(100);
/// Largest run of events that is merged into one frame, in bytes.
const MERGED_BYTES: usize = 32 << 10;

/// Everything of one shard; what is shared with other threads is passed in.
#[derive(Debug)]
pub(super) struct Fanout {
    pub(super) seats: Slab<Seat>,
    pub(super) members: Members,
    pub(super) deadlines: BTreeSet<(Instant, usize)>,
    pub(super) index: usize,
    /// Of the newest event that was handed out.
    pub(super) epoch: u32,
    pub(super) draining: bool,
    pub(super) by_connection: HashMap<Uuid, usize>,
    /// The order that is being carried out.
    pub(super) walk: Option<Walk>,
    /// Tells a seat from another that has its number later.
    serial: u64,
    /// Seats that have no place yet; some may be gone by now.
    pub(super) waiting: Vec<usize>,
    /// Every event up to here that is for this shard has been handed out.
    pub(super) reached: EventId,
    next_tick: Instant,
    tick: u32,
    /// Seats with something new to send: those of small audiences first.
    urgent: VecDeque<usize>,
    bulk: VecDeque<usize>,
    replays: VecDeque<usize>,
    /// Handed out since the bulk list was last empty: what no seat can be blamed for not having sent.
    owed: Owed,
    writes: u32,
    /// Writes of the bulk list, and since when they are counted.
    bulk_writes: u32,
    counted_since: Instant,
    /// Kept for their allocations.
    taken: Vec<Arc<Entry>>,
    touched: Vec<usize>,
    calls: VecDeque<usize>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Owed {
    events: usize,
    bytes: usize,
}

impl Fanout {
    pub(super) fn new(index: usize, start: EventId, now: Instant) -> Self {
        Self {
            seats: Slab::new(),
            members: Members::default(),
            deadlines: BTreeSet::new(),
            index,
            epoch: 0,
            draining: false,
            by_connection: HashMap::new(),
            walk: None,
            serial: 0,
            waiting: Vec::new(),
            reached: start,
            next_tick: now,
            tick: 0,
            urgent: VecDeque::new(),
            bulk: VecDeque::new(),
            replays: VecDeque::new(),
            owed: Owed::default(),
            writes: 0,
            bulk_writes: 0,
            counted_since: now,
            taken: Vec::new(),
            touched: Vec::new(),
            calls: VecDeque::new(),
        }
    }

    /// Takes a new seat in; its number and serial name it.
    pub(super) fn insert(&mut self, mut seat: Seat) -> SeatId {
        self.serial += 1;
        seat.serial = self.serial;
        let key = self.seats.insert(seat);
        let seat = &self.seats[key];
        for audience in &seat.audiences {
            self.members.add(audience, key);
        }
        self.deadlines.extend(seat.life.next().map(|(at, _)| (at, key)));
        self.by_connection.insert(seat.connection, key);
        SeatId { key, serial: seat.serial }
    }

    /// The seat, unless it was taken away.
    pub(super) fn seat(&mut self, id: SeatId) -> Option<&mut Seat> {
        self.seats.get_mut(id.key).filter(|seat| seat.serial == id.serial)
    }

    /// Hands out what waits in the inbox, sends heartbeats, ends what is due, and lets seats write.
    pub(super) fn turn(&mut self, core: &Core, now: Instant) -> Turn {
        let due = self.next_tick <= now;
        // The head is read before the inbox: what is published in between is not claimed to have been handed out.
        let head = due.then(|| core.lock().head);
        let more = self.hand_out_waiting(core);
        if let Some(head) = head {
            if !more {
                self.reached = head;
            }
            self.heartbeat(core, now);
        }
        self.end_due(core, now);
        let more = self.obey(core, now) || more;
        self.place_waiting(core, now);
        self.write_in_turn(core, now);
        self.answer_calls(core, now);
        let more = more || !self.bulk.is_empty() || !self.replays.is_empty() || !self.calls.is_empty();
        let mut next = self.deadlines.first().map_or(self.next_tick, |(at, _)| self.next_tick.min(*at));
        if !self.waiting.is_empty() {
            next = next.min(now + WAITING_LOOK);
        }
        let pace = core.rules().settings.pace.0;
        let gather = !more && self.is_loaded(now) && !pace.is_zero();
        Turn { more, next, gather: if gather { pace } else { Duration::ZERO } }
    }

    /// Whether a large audience had so many writes in this turn and those before it that gathering events pays.
    fn is_loaded(&mut self, now: Instant) -> bool {
        let writes = std::mem::take(&mut self.bulk_writes);
        let since = now.saturating_duration_since(std::mem::replace(&mut self.counted_since, now));
        writes > 0 && f64::from(writes) > LOADED_WRITES_PER_SECOND * since.as_secs_f64()
    }

    /// Takes events from the inbox, unless seats are still owed their turn for so many that they would be cut off for it.
    /// Returns whether more wait there.
    fn hand_out_waiting(&mut self, core: &Core) -> bool {
        let rules = core.rules();
        let limits = &rules.settings;
        if self.owed.events * 2 >= limits.queue_events || (self.owed.bytes * 2) as u64 >= limits.queue_bytes.as_u64() {
            return true;
        }
        let mut taken = std::mem::take(&mut self.taken);
        let at_most = EVENTS_A_TURN.min(limits.queue_events / 2).max(1);
        let more = core.inboxes[self.index].take(at_most, &mut taken);
        for run in taken.chunk_by(|a, b| a.audiences == b.audiences && a.epoch == b.epoch) {
            self.begin_anew(core, run);
            self.hand_out(core, run);
        }
        if let Some(last) = taken.last() {
            self.reached = last.id;
        }
        taken.clear();
        self.taken = taken;
        more
    }

    /// Hands out a run of events for the same audiences, as one frame where that is allowed.
    fn hand_out(&mut self, core: &Core, run: &[Arc<Entry>]) {
        let size: usize = run.iter().map(|entry| entry.frame.size()).sum();
        if run.len() > 1 && size > MERGED_BYTES {
            let (first, second) = run.split_at(run.len() / 2);
            self.hand_out(core, first);
            self.hand_out(core, second);
            return;
        }
        let ([first, ..], [.., last]) = (run, run) else { return };
        let merged = (run.len() > 1).then(|| Frame::merge(run.iter().map(|entry| &entry.frame)));
        let Self { seats, members, touched, .. } = self;
        let mut receivers = 0;
        let rules = core.rules();
        let mut offer = |key: usize, seat: &mut Seat| {
            // Not newer: it came with the replay, or by another of the event's audiences.
            let is_due = seat.stage == Stage::Live && seat.epoch == last.epoch;
            if !is_due || seat.seen.position >= last.position() {
                return;
            }
            let taken = match &merged {
                Some(frame)
                    if seat.seen.position < first.position() && seat.queue.fits(frame, run.len(), &rules.limits) =>
                {
                    seat.queue.offer(frame, run.len(), Some(first.received), &rules.limits)
                }
                // Part of the run came with the replay, or it has room one by one if at all.
                _ => {
                    let mut newer = run.iter().filter(|entry| entry.position() > seat.seen.position);
                    newer.try_for_each(|entry| seat.queue.offer(&entry.frame, 1, Some(entry.received), &rules.limits))
                }
            };
            seat.seen = last.id;
            receivers += u64::from(taken.is_ok());
            if let Err(refusal) = taken {
                seat.cut_off(core, refusal);
            }
            touched.push(key);
        };
        for audience in &first.audiences {
            match audience {
                Audience::Everyone => seats.iter_mut().for_each(|(key, seat)| offer(key, seat)),
                Audience::User(_) | Audience::Channel(_) => {
                    members.of(audience).for_each(|key| offer(key, &mut seats[key]));
                }
            }
        }
        for entry in run {
            entry.sent.add(receivers);
        }
        self.list_touched(Owed { events: run.len(), bytes: size });
    }

    /// Puts the touched seats on the list that their number asks for.
    fn list_touched(&mut self, handed: Owed) {
        let mut touched = std::mem::take(&mut self.touched);
        if touched.len() > URGENT_AUDIENCE {
            self.owed.events += handed.events;
            self.owed.bytes += handed.bytes;
            for key in touched.drain(..) {
                if self.seats[key].listed == Listed::No {
                    self.seats[key].listed = Listed::Bulk;
                    self.bulk.push_back(key);
                }
            }
        } else {
            for key in touched.drain(..) {
                self.list_urgent(key);
            }
        }
        self.touched = touched;
    }

    /// Has seat `key` write before all of the bulk list; if it is on that too, it finds nothing left to do there.
    pub(super) fn list_urgent(&mut self, key: usize) {
        if self.seats[key].listed != Listed::Urgent {
            self.seats[key].listed = Listed::Urgent;
            self.urgent.push_back(key);
        }
    }

    fn write_in_turn(&mut self, core: &Core, now: Instant) {
        while let Some(key) = self.urgent.pop_front() {
            self.write(core, key, now);
        }
        for _ in 0..BULK_A_TURN {
            let Some(key) = self.bulk.pop_front() else { break };
            self.bulk_writes = self.bulk_writes.saturating_add(1);
            self.write(core, key, now);
        }
        if self.bulk.is_empty() {
            self.owed = Owed::default();
        }
        for _ in 0..REPLAYS_A_TURN.min(self.replays.len()) {
            let Some(key) = self.replays.pop_front() else { break };
            self.write(core, key, now);
        }
    }

    /// Lets a seat send what waits for it, and takes it away when it has nothing more to do.
    pub(super) fn write(&mut self, core: &Core, key: usize, now: Instant) {
        let Some(seat) = self.seats.get_mut(key) else { return };
        seat.listed = Listed::No;
        if let Exit::Reader { .. } = seat.exit {
            seat.wake();
            if seat.stage == Stage::Ended(Ending::Lagged) {
                // Its reader finds the seat empty, if it ever looks.
                drop(self.remove(core, key));
            }
            return;
        }
        for _ in 0..REPLAY_BATCHES_A_TURN {
            let sample = self.writes.is_multiple_of(LATENCY_SAMPLE);
            self.writes = self.writes.wrapping_add(u32::from(seat.queue.oldest().is_some()));
            match seat.write(now, sample) {
                Written::Stuck => return,
                Written::Broken => {
                    drop(self.remove(core, key));
                    return;
                }
                Written::All => {}
            }
            match seat.stage {
                Stage::Live => return,
                Stage::Ended(_) => {
                    drop(self.remove(core, key));
                    return;
                }
                Stage::Replaying(_) => seat.replay(core),
                Stage::Fetching => {
                    if seat.fetch_called(core).is_pending() {
                        return;
                    }
                }
            }
        }
        // The rest of the replay waits its turn.
        seat.listed = Listed::Replay;
        self.replays.push_back(key);
    }

    /// Looks at the seats whose outlet has called: it takes bytes again, or its other side is gone.
    fn answer_calls(&mut self, core: &Core, now: Instant) {
        if self.calls.is_empty() {
            core.inboxes[self.index].take_calls(&mut self.calls);
        }
        for _ in 0..CALLS_A_TURN {
            let Some(key) = self.calls.pop_front() else { break };
            let Some(seat) = self.seats.get_mut(key) else { continue };
            if seat.is_gone() {
                drop(self.remove(core, key));
            } else if !seat.queue.is_empty() || seat.stage != Stage::Live {
                self.write(core, key, now);
            }
        }
    }

    /// Sends the heartbeats of every tick that is due; each seat has its tick by its number, so that they are spread.
    fn heartbeat(&mut self, core: &Core, now: Instant) {
        let rules = core.rules();
        let settings = &rules.settings;
        let heartbeat = |id| match settings.heartbeat_event.as_str() {
            "" => sse::heartbeat(id),
            name => sse::heartbeat_event(id, name),
        };
        let usual = heartbeat(self.reached);
        let tick_length = settings.heartbeat.0 / TICKS;
        let stuck_limit = now.checked_sub(settings.write_timeout.0);
        // After a long stall each seat gets one heartbeat, not one for each that was missed.
        for _ in 0..TICKS {
            if self.next_tick > now {
                return;
            }
            self.next_tick += tick_length;
            self.tick = (self.tick + 1) % TICKS;
            let mut key = self.tick as usize;
            while key < self.seats.capacity() {
                if let Some(seat) = self.seats.get_mut(key) {
                    if stuck_limit.is_some_and(|limit| seat.is_stuck_since(limit, now)) {
                        telemetry::stream::stuck();
                        seat.wake();
                        drop(self.remove(core, key));
                    } else if seat.stage == Stage::Live && seat.queue.is_empty() {
                        // Who has something waiting needs no sign of life. A stream that began or replayed beyond what
                        // was handed out must not be set back.
                        let ahead = seat.seen.position > self.reached.position;
                        seat.queue.push(if ahead { heartbeat(seat.seen) } else { usual.clone() });
                        self.list_urgent(key);
                    } else if seat.stage == Stage::Fetching && seat.queue.is_empty() {
                        // It has not come that far.
                        seat.queue.push(sse::sign_of_life());
                        self.list_urgent(key);
                    }
                }
                key += TICKS as usize;
            }
        }
        self.next_tick = now + tick_length;
    }

    /// Ends up to `at_most` streams, each with a jittered reconnection time; returns how many are still open.
    pub(super) fn drain(&mut self, core: &Core, at_most: usize, now: Instant) -> usize {
        self.draining = true;
        let mut open: Vec<usize> = self.seats.iter().filter(|(_, seat)| !seat.is_ended()).map(|(key, _)| key).collect();
        let left = open.len().saturating_sub(at_most);
        for key in open.drain(..).take(at_most) {
            self.seats[key].end(Ending::Drained, Some(sse::farewell(core.jittered_retry())));
            self.write(core, key, now);
        }
        left
    }

    /// Takes a seat away. Its drop closes what it was written to.
    pub(super) fn remove(&mut self, core: &Core, key: usize) -> Seat {
        let seat = self.seats.remove(key);
        if let Some((at, _)) = seat.life.next() {
            self.deadlines.remove(&(at, key));
        }
        if self.by_connection.get(&seat.connection) == Some(&key) {
            self.by_connection.remove(&seat.connection);
        }
        let left: Vec<bool> = seat.audiences.iter().map(|audience| self.members.remove(audience, key)).collect();
        core.lock().leave(self.index, seat.audiences.iter().zip(left));
        core.dismiss();
        seat
    }
}

impl Core {
    /// A reconnection time for one browser: the configured one, by half of it more or less.
    pub(super) fn jittered_retry(&self) -> Duration {
        self.rules().settings.retry.0.mul_f64(0.5 + fastrand::f64())
    }

    /// A reconnection time for one that should not come back soon: the longest one, or down to half of it.
    pub(super) fn long_retry(&self) -> Duration {
        self.rules().settings.max_retry.0.mul_f64(0.5 + fastrand::f64() / 2.0)
    }
}
