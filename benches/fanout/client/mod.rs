//! The load generator seen from the benchmark: many streams over a few threads, gauges while they run, an account at the end.

mod chunked;
pub mod reader;
pub mod tally;
mod worker;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::failure::Failure;
use crate::histogram::Histogram;
use crate::payload::{Kind, Topic};
use tally::Faults;
use worker::{Ended, Worker};

/// One stream to open.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The topic whose events must arrive, and no others.
    pub topic: Topic,
    pub request: String,
}

/// What says that a stream is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// The event `connected`: from it on nothing may be missing.
    Event,
    /// The response head, from a server that has no such event.
    Head,
}

/// Open streams and the threads that read them.
pub struct Generator {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<Result<Ended, Failure>>>,
    streams: u64,
}

/// What the threads and the benchmark tell one another while streams run.
struct Shared {
    address: SocketAddr,
    opening: Opening,
    /// Requests sent and not yet answered, per thread at most.
    unanswered: usize,
    /// Events published from this moment on count into latency.
    measure_from: AtomicU64,
    stop: AtomicBool,
    gauges: Vec<Gauge>,
    /// Why the first stream that broke did so.
    first_end: Mutex<Option<String>>,
}

/// One thread's figures, on a cache line of its own.
#[derive(Default)]
#[repr(align(128))]
struct Gauge {
    opened: AtomicU64,
    ended: AtomicU64,
    received: AtomicU64,
    /// On all connections, heads and framing included.
    bytes: AtomicU64,
    least: AtomicU64,
    /// Nanoseconds.
    cpu: AtomicU64,
}

/// What the threads know at the end.
pub struct Account {
    pub faults: Faults,
    /// From publishing to the read that brought the event, on streams of channels …
    pub of_channels: Histogram,
    /// … and on streams of users.
    pub of_users: Histogram,
    /// From `connect` to the opening event.
    pub opening: Histogram,
}

impl Account {
    pub fn new() -> Self {
        let [of_channels, of_users, opening] = [(); 3].map(|()| Histogram::new());
        Self { faults: Faults::default(), of_channels, of_users, opening }
    }

    pub fn latency(&mut self, kind: Kind) -> &mut Histogram {
        match kind {
            Kind::Channel => &mut self.of_channels,
            Kind::User => &mut self.of_users,
        }
    }
}

impl Generator {
    /// Starts to open the streams, a thread for each of `parts`: all at once, except that each thread has no more than
    /// `unanswered` requests under way.
    pub fn open(address: SocketAddr, opening: Opening, parts: Vec<Vec<Wanted>>, unanswered: usize) -> Self {
        let shared = Arc::new(Shared {
            address,
            opening,
            unanswered,
            measure_from: AtomicU64::new(u64::MAX),
            stop: AtomicBool::new(false),
            gauges: parts.iter().map(|_| Gauge::default()).collect(),
            first_end: Mutex::new(None),
        });
        let streams = parts.iter().map(|part| part.len() as u64).sum();
        let threads = parts
            .into_iter()
            .enumerate()
            .map(|(index, part)| {
                let shared = Arc::clone(&shared);
                thread::spawn(move || Worker::new(shared, index, part)?.run())
            })
            .collect();
        Self { shared, threads, streams }
    }

    /// Waits until every stream has had its opening event.
    pub fn wait_open(&self, patience: Duration) -> Result<(), Failure> {
        let start = Instant::now();
        while self.sum(|gauge| &gauge.opened) < self.streams {
            if self.sum(|gauge| &gauge.ended) > 0 || start.elapsed() > patience {
                let opened = self.sum(|gauge| &gauge.opened);
                let reason = self.first_end().unwrap_or_else(|| "no answer".into());
                return Err(Failure::Opening(format!("{opened} of {} opened: {reason}", self.streams)));
            }
            thread::park_timeout(Duration::from_micros(500));
        }
        Ok(())
    }

    /// Events published from `moment` on count into latency.
    pub fn measure_from(&self, moment: u64) {
        self.shared.measure_from.store(moment, Ordering::Relaxed);
    }

    /// Distinct events received on all streams.
    pub fn received(&self) -> u64 {
        self.sum(|gauge| &gauge.received)
    }

    /// Bytes received on all connections, heads and framing included.
    pub fn bytes(&self) -> u64 {
        self.sum(|gauge| &gauge.bytes)
    }

    /// The number of events that every stream has got.
    pub fn least(&self) -> u64 {
        self.shared.gauges.iter().map(|gauge| gauge.least.load(Ordering::Acquire)).min().unwrap_or(0)
    }

    /// CPU of each of the generator's threads, with a delay of a turn.
    pub fn cpu(&self) -> Vec<Duration> {
        self.shared.gauges.iter().map(|gauge| Duration::from_nanos(gauge.cpu.load(Ordering::Acquire))).collect()
    }

    pub fn first_end(&self) -> Option<String> {
        self.shared.first_end.lock().expect("no thread panics while it holds this").clone()
    }

    /// Closes all streams and the account; `expected` is the number of events published to a topic.
    pub fn close(self, expected: impl Fn(u32) -> u64) -> Result<Account, Failure> {
        self.shared.stop.store(true, Ordering::Relaxed);
        let mut whole = Account::new();
        for thread in self.threads {
            let ended = thread.join().map_err(|_| Failure::Opening("a generator thread panicked".into()))??;
            whole.faults.add(&ended.tally.close(|stream| expected(ended.topics[stream].number)));
            whole.of_channels.add(&ended.account.of_channels);
            whole.of_users.add(&ended.account.of_users);
            whole.opening.add(&ended.account.opening);
        }
        Ok(whole)
    }

    fn sum(&self, figure: impl Fn(&Gauge) -> &AtomicU64) -> u64 {
        self.shared.gauges.iter().map(|gauge| figure(gauge).load(Ordering::Acquire)).sum()
    }
}
