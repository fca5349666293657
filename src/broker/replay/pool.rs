//! The pool: at most so many readers at once, each on a connection of its own, and who shares which.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use lapin::types::ShortString;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use super::super::address::Endpoints;
use super::super::backoff::Backoff;
use super::super::dial::{Dialer, Wire};
use super::super::failure::Failure;
use super::super::pipeline::Sieve;
use super::moment::seconds;
use super::reader::{Line, Outcome, Reader};
use super::request::Request;
use crate::hub::HistoryConfig;

/// A request joins a reader that is this far before its place at most.
const JOIN_WINDOW: u64 = 20_000;
/// Requests that may be on their way to one reader.
const JOINING: usize = 4096;
/// Requests that were put aside are looked at this often.
const LOOK: Duration = Duration::from_millis(100);
/// Connections that nobody reads on are closed after this time.
const UNUSED_LIMIT: Duration = Duration::from_secs(60);
/// Wait after something unreadable: it says nothing against the broker, and others wait as well.
const POISON_INTERVAL: Duration = Duration::from_millis(100);
/// First and longest wait after a failure.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// Everything of the archive that is not a reader.
pub(super) struct Pool {
    dialer: Arc<Dialer>,
    endpoints: Endpoints,
    stream: ShortString,
    sieve: Sieve,
    setup_limit: Duration,
    max_readers: usize,
    asked: Receiver<Request>,
    aside: Sender<Request>,
    waiting: Vec<Request>,
    running: Vec<Running>,
    readers: JoinSet<Outcome>,
    /// Connections on which nobody reads.
    idle: Vec<Wire>,
    last_used: Instant,
    backoff: Backoff,
    not_before: Instant,
}

/// A reader as the pool sees it.
struct Running {
    joining: Sender<Request>,
    position: Arc<AtomicU64>,
}

impl Pool {
    pub(super) fn new(
        dialer: Arc<Dialer>,
        endpoints: Endpoints,
        history: &HistoryConfig,
        sieve: Sieve,
        setup_limit: Duration,
        (aside, asked): (Sender<Request>, Receiver<Request>),
    ) -> Self {
        let now = Instant::now();
        Self {
            dialer,
            endpoints,
            stream: ShortString::try_new(history.stream.as_str()).unwrap_or_default(),
            sieve,
            setup_limit,
            max_readers: history.replay_readers,
            asked,
            aside,
            waiting: Vec::new(),
            running: Vec::new(),
            readers: JoinSet::new(),
            idle: Vec::new(),
            last_used: now,
            backoff: Backoff::new(BACKOFF.0, BACKOFF.1),
            not_before: now,
        }
    }

    pub(super) async fn run(mut self) {
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut batch = Vec::new();
        loop {
            tokio::select! {
                count = self.asked.recv_many(&mut batch, JOINING) => {
                    debug_assert!(count > 0, "the pool holds a sender itself");
                    self.waiting.append(&mut batch);
                }
                Some(outcome) = self.readers.join_next() => self.ended(outcome),
                _ = look.tick(), if !self.waiting.is_empty() || !self.idle.is_empty() => {}
            }
            self.schedule(Instant::now());
        }
    }

    fn ended(&mut self, outcome: Result<Outcome, tokio::task::JoinError>) {
        // A reader that panicked has dropped its requests, whose streams come back.
        let Ok(Outcome { left, wire }) = outcome else { return };
        self.waiting.extend(left);
        self.last_used = Instant::now();
        match wire {
            Ok(wire) => {
                self.idle.push(wire);
                self.backoff.reset();
            }
            Err(failure) => self.failed(self.last_used, &failure),
        }
    }

    fn failed(&mut self, now: Instant, failure: &Failure) {
        tracing::debug!(%failure, "the past cannot be read, trying again");
        if matches!(failure, Failure::Poison) {
            self.not_before = self.not_before.max(now + POISON_INTERVAL);
        } else if now >= self.not_before {
            // Readers that fail together fail once.
            self.not_before = now + self.backoff.wait();
        }
    }

    /// Has each waiting request join a reader or start one, as far as that is allowed.
    fn schedule(&mut self, now: Instant) {
        self.running.retain(|reader| !reader.joining.is_closed());
        self.idle.retain(|wire| wire.connection.status().connected());
        self.waiting.retain(|request| !request.is_gone(now));
        let waiting = std::mem::take(&mut self.waiting);
        self.waiting = waiting.into_iter().filter_map(|request| join(&self.running, request)).collect();
        while self.readers.len() < self.max_readers
            && now >= self.not_before
            && self.waiting.iter().any(Request::is_ready)
        {
            self.start_reader();
        }
        if self.readers.is_empty() && now.saturating_duration_since(self.last_used) > UNUSED_LIMIT {
            self.idle.clear();
        }
    }

    /// Starts a reader for the one that has waited longest: for its time, or for the oldest place that is waited for and all
    /// that are not far behind it.
    fn start_reader(&mut self) {
        let ready = |request: &&Request| request.is_ready();
        let Some(next) = self.waiting.iter().find(ready) else { return };
        // Those who have only a time share a reader with those who have the same.
        let time = next.since().map(seconds);
        let first = self.waiting.iter().filter(ready).filter_map(Request::offset).min();
        let (chosen, waiting) = std::mem::take(&mut self.waiting).into_iter().partition(|request| {
            let shares = match time {
                Some(time) => request.since().map(seconds) == Some(time),
                // One that has become ready since may stand before the first.
                None => request.offset().zip(first).is_some_and(|(at, first)| is_near(first, at)),
            };
            shares && request.is_ready()
        });
        self.waiting = waiting;
        self.last_used = Instant::now();
        let (joining, joins) = mpsc::channel(JOINING);
        // Nobody joins before it has attached.
        let position = Arc::new(AtomicU64::new(u64::MAX));
        self.running.push(Running { joining, position: Arc::clone(&position) });
        let reader = Reader {
            stream: self.stream.clone(),
            sieve: self.sieve.clone(),
            requests: chosen,
            joining: joins,
            aside: self.aside.clone(),
            position,
            setup_limit: self.setup_limit,
        };
        let line = match self.idle.pop() {
            Some(wire) => Line::Open(wire),
            None => Line::Dial(Arc::clone(&self.dialer), self.endpoints.rotate()),
        };
        self.readers.spawn(reader.run(line));
    }
}

/// Whether a reader comes from `position` to `at` soon.
fn is_near(position: u64, at: u64) -> bool {
    at.checked_sub(position).is_some_and(|distance| distance <= JOIN_WINDOW)
}

/// Gives `request` to a reader that comes by its place soon; gives it back when there is none.
fn join(running: &[Running], mut request: Request) -> Option<Request> {
    let Some(at) = request.offset().filter(|_| request.is_ready()) else { return Some(request) };
    request.attach();
    for reader in running {
        let position = reader.position.load(Ordering::Acquire);
        if position < at && is_near(position, at) {
            match reader.joining.try_send(request) {
                Ok(()) => return None,
                Err(full) => request = full.into_inner(),
            }
        }
    }
    Some(request)
}
