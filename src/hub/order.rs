//! Orders to streams that are open, whichever shard they are on: to look at, to change or to end them; carried out a slice a turn.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::json;
use uuid::Uuid;

use super::core::Core;
use super::fanout::Fanout;
use super::standing::Standing;
use super::subscriber::{Ending, Subscription};
use crate::event::Audience;
use crate::sse::{self, Frame};

/// Seats that one turn looks at for an order.
const SEATS_A_TURN: usize = 256;
/// Why a stream is disconnected that made room.
const DISPLACED: &str = "displaced";

/// What an order sees of one stream.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    pub connection: Uuid,
    /// Its user and channels; what is for everyone comes besides.
    pub audiences: &'a [Audience],
    /// None for a stream that was opened without one.
    pub standing: Option<&'a Standing>,
    /// Events and bytes that wait for it.
    pub waiting: (usize, usize),
}

/// What becomes of one stream.
#[derive(Debug)]
pub enum Verdict {
    Keep,
    /// From now on it gets what this says, and ends when this says; its connection id stays.
    Change(Box<Subscription>),
    /// It gets a `disconnected` event with this reason, and ends.
    End {
        reason: String,
    },
    /// It makes room for a newer one of its user: as `End`, and told to come back late, so that it does not at once take
    /// the place of another.
    Displace,
}

/// The streams that an order is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whom {
    All,
    Connection(Uuid),
    /// Those of one user or channel.
    Audience(Audience),
}

/// Decides about one stream; called on the stream's own thread, so it must be quick.
type Judge = dyn Fn(&View<'_>) -> Verdict + Send + Sync;

/// More orders are waiting than are allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many orders to open streams are under way")]
pub struct Busy;

/// An order on its way to every shard.
pub(super) struct Order {
    whom: Whom,
    judge: Box<Judge>,
    tally: Tally,
}

impl fmt::Debug for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Order").field("whom", &self.whom).finish_non_exhaustive()
    }
}

/// Counts the shards that an order is still under way in.
struct Tally {
    left: AtomicUsize,
    met: AtomicUsize,
    done: Mutex<Option<Box<Done>>>,
}

/// Called with the number of streams that were changed or ended.
type Done = dyn FnOnce(usize) + Send;

impl Tally {
    /// One more shard is done.
    fn count(&self) {
        if self.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            let done = self.done.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(done) = done {
                done(self.met.load(Ordering::Acquire));
            }
        }
    }
}

/// The way to give orders.
#[derive(Clone, Debug)]
pub struct Orders {
    core: Arc<Core>,
}

impl Orders {
    pub(super) const fn new(core: Arc<Core>) -> Self {
        Self { core }
    }

    /// Resolves when there is room for another order; somebody else may take it first. Cancel-safe.
    pub async fn room(&self) {
        for inbox in &self.core.inboxes {
            inbox.room_for_orders().await;
        }
    }

    /// Has every stream that `whom` names judged, each once; then `done` is called with the number of those that were
    /// changed or ended. Streams that open later are not met.
    ///
    /// # Errors
    /// When too many orders are under way; then nobody is judged.
    pub fn give(
        &self,
        whom: Whom,
        judge: impl Fn(&View<'_>) -> Verdict + Send + Sync + 'static,
        done: impl FnOnce(usize) + Send + 'static,
    ) -> Result<(), Busy> {
        if self.core.inboxes.iter().any(|inbox| !inbox.has_room_for_orders()) {
            return Err(Busy);
        }
        self.give_in_any_case(whom, judge, done);
        Ok(())
    }

    /// As [`Orders::give`], and never refused: for who waits for [`Orders::room`] before each order, and may have to wait for
    /// the order itself after that, while others take the room.
    pub fn give_in_any_case(
        &self,
        whom: Whom,
        judge: impl Fn(&View<'_>) -> Verdict + Send + Sync + 'static,
        done: impl FnOnce(usize) + Send + 'static,
    ) {
        let inboxes = &self.core.inboxes;
        let (left, met) = (AtomicUsize::new(inboxes.len()), AtomicUsize::new(0));
        let tally = Tally { left, met, done: Mutex::new(Some(Box::new(done))) };
        let order = Arc::new(Order { whom, judge: Box::new(judge), tally });
        for inbox in inboxes {
            inbox.order(Arc::clone(&order));
        }
    }
}

/// How far one shard has come with an order.
#[derive(Debug)]
pub(super) struct Walk {
    order: Arc<Order>,
    /// Seats that it is for, or from which seat on all of them.
    seats: Seats,
}

#[derive(Debug)]
enum Seats {
    From(usize),
    These(Vec<usize>),
}

impl Fanout {
    /// Carries orders out, a slice a turn; true when there is more to do.
    pub(super) fn obey(&mut self, core: &Core, now: Instant) -> bool {
        let mut slice = SEATS_A_TURN;
        while slice > 0 {
            let Some(mut walk) = self.walk.take().or_else(|| self.next_walk(core)) else { return false };
            if self.go_on(core, &mut walk, &mut slice, now) {
                walk.order.tally.count();
            } else {
                self.walk = Some(walk);
            }
        }
        true
    }

    fn next_walk(&self, core: &Core) -> Option<Walk> {
        let order = core.inboxes[self.index].take_order()?;
        let seats = match &order.whom {
            Whom::All => Seats::From(0),
            Whom::Connection(connection) => {
                Seats::These(self.by_connection.get(connection).copied().into_iter().collect())
            }
            Whom::Audience(audience) => Seats::These(self.members.of(audience).collect()),
        };
        Some(Walk { order, seats })
    }

    /// Has up to `slice` seats judged, and takes what it used off that; true at the end of the walk.
    fn go_on(&mut self, core: &Core, walk: &mut Walk, slice: &mut usize, now: Instant) -> bool {
        while *slice > 0 {
            *slice -= 1;
            let key = match &mut walk.seats {
                Seats::From(next) if *next >= self.seats.capacity() => return true,
                Seats::From(next) => {
                    *next += 1;
                    *next - 1
                }
                Seats::These(keys) => match keys.pop() {
                    Some(key) => key,
                    None => return true,
                },
            };
            self.judge(core, &walk.order, key, now);
        }
        false
    }

    fn judge(&mut self, core: &Core, order: &Order, key: usize, now: Instant) {
        let Some(seat) = self.seats.get(key).filter(|seat| !seat.is_ended()) else { return };
        // A seat may have been left and taken by another stream since the walk began.
        let is_meant = match &order.whom {
            Whom::All => true,
            Whom::Connection(connection) => seat.connection == *connection,
            Whom::Audience(audience) => seat.audiences.contains(audience),
        };
        if !is_meant {
            return;
        }
        let view = View {
            connection: seat.connection,
            audiences: &seat.audiences,
            standing: seat.standing.as_deref(),
            waiting: seat.queue.waiting(),
        };
        match (order.judge)(&view) {
            Verdict::Keep => return,
            Verdict::Change(subscription) => self.change(core, key, *subscription, now),
            Verdict::End { reason } => self.dismiss(key, &reason, None),
            Verdict::Displace => self.dismiss(key, DISPLACED, Some(core.long_retry())),
        }
        order.tally.met.fetch_add(1, Ordering::AcqRel);
    }

    fn dismiss(&mut self, key: usize, reason: &str, retry: Option<Duration>) {
        let mut last = sse::notice("disconnected", &json!({ "reason": reason }).to_string());
        if let Some(retry) = retry {
            last = Frame::merge([&last, &sse::farewell(retry)].into_iter());
        }
        self.seats[key].end(Ending::Dismissed, Some(last));
        self.list_urgent(key);
    }

    /// Gives a stream another subscription. What is queued for it stays: it was granted when it was published.
    fn change(&mut self, core: &Core, key: usize, subscription: Subscription, now: Instant) {
        let Self { seats, members, .. } = self;
        let seat = &mut seats[key];
        let new = subscription.audiences();
        let old = std::mem::replace(&mut seat.audiences, new);
        let new = &seat.audiences;
        let left: Vec<_> = old.iter().filter(|audience| !new.contains(audience)).collect();
        let left: Vec<_> = left.into_iter().map(|audience| (audience, members.remove(audience, key))).collect();
        let joined: Vec<_> = new.iter().filter(|audience| !old.contains(audience)).collect();
        for audience in &joined {
            members.add(audience, key);
        }
        core.lock().exchange(self.index, left, joined);
        let life = seat.life.until(subscription.expires, &core.rules().settings, now);
        seat.standing.clone_from(&subscription.standing);
        seat.will_open_as(subscription);
        self.set_life(key, life);
    }
}
