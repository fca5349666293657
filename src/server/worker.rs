//! A worker: one thread with its own runtime, listener, connections and shard of the hub.

use std::cell::Cell;
use std::convert::Infallible;
use std::io;
use std::net::TcpListener;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};
use tokio::task::{LocalSet, coop, spawn_local, yield_now};
use tokio::time::{sleep, sleep_until};

use super::ServerConfig;
use super::connection::Protocol;
use super::drive::Closing;
use super::sites::Sites;
use super::socket;
use super::tls::Tls;
use crate::hub::{Shard, ShardSeed};
use crate::shutdown::DrainWatch;
use crate::telemetry::{self, Throttle};

/// How long accepting pauses after an error that will not go away by itself at once, such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Time between two log lines about it: where descriptors are short, one comes free now and then.
const ACCEPT_LOG_INTERVAL: Duration = Duration::from_secs(10);
/// Connections accepted before everything else has had its turn. A new one costs most at its start, where its token is
/// verified, and a crowd of them must not keep events waiting.
const ACCEPTS_IN_A_ROW: usize = 16;
/// The steps in which a drain ends streams.
const DRAIN_STEP: Duration = Duration::from_millis(100);
/// How long the last bytes of ended streams may take to leave.
const LINGER: Duration = Duration::from_secs(1);

/// What a worker is made of.
#[derive(Debug)]
pub struct Worker {
    pub listener: TcpListener,
    pub seed: ShardSeed,
    pub sites: Sites,
    pub settings: ServerConfig,
    /// Open connections of all workers.
    pub connections: Arc<AtomicUsize>,
    /// None where browsers are spoken to without TLS.
    pub tls: Option<Arc<Tls>>,
    /// A peer that takes nothing for this long is given up.
    pub write_timeout: Duration,
    pub drain: DrainWatch,
    /// Told when the worker cannot go on.
    pub failed: Arc<Notify>,
}

impl Worker {
    /// Starts the thread. It ends when the drain has, and its connections with it.
    ///
    /// # Errors
    /// When the system gives no thread or no event queue.
    pub fn start(self, number: usize) -> io::Result<JoinHandle<()>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new().name(format!("worker-{number}")).spawn(move || {
            LocalSet::new().block_on(&runtime, self.run());
        })
    }

    async fn run(self) {
        // `drain` is held to the end: its drop says that this worker is done.
        let Self { listener, seed, sites, settings, connections, tls, write_timeout, drain, failed } = self;
        let shard = seed.settle(Instant::now());
        let protocol = Rc::new(Protocol::new(sites, shard.clone(), &settings, tls));
        let _alarm = Alarm(failed);
        let open = Open { here: Rc::default(), everywhere: connections, limit: settings.max_connections };
        let (close, closing) = watch::channel(false);
        let closed = until_closed(drain.clone(), settings.drain_delay.0);
        let accepting = async {
            accept(listener, &protocol, &open, Closing(closing), write_timeout, closed).await;
            // For the requests of those who were accepted last.
            sleep(DRAIN_STEP).await;
        };
        let serving = async {
            tokio::join!(accepting, end_streams(drain.clone(), &shard, &settings));
            close.send_replace(true);
            until_quiet(&open, &protocol).await;
        };
        // No task among thousands that verify tokens, behind which it would wait: this is polled again after a few of them.
        // Its writes are many and bounded by the turn itself, so that they need no budget of the runtime's.
        let turning = coop::unconstrained(turns(shard.clone(), Rc::clone(&protocol)));
        tokio::select! {
            biased;
            never = turning => match never {},
            () = serving => {}
        }
    }
}

/// Tells of a panic that ends the worker: streams without it would be silent for ever, so the process must not go on.
struct Alarm(Arc<Notify>);

impl Drop for Alarm {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.notify_one();
        }
    }
}

/// Waits for answers under way, which are finished within the process's grace time, and a little for the last bytes of
/// streams: one that does not take them comes back by itself anyway.
async fn until_quiet(open: &Open, protocol: &Protocol) {
    let mut linger = LINGER;
    while open.here.get() > 0 && (protocol.underway() > 0 || !linger.is_zero()) {
        sleep(DRAIN_STEP / 10).await;
        linger = linger.saturating_sub(DRAIN_STEP / 10);
    }
}

/// Resolves when accepting is to stop: everything is to end, and whoever sends connections had time to notice.
async fn until_closed(mut drain: DrainWatch, delay: Duration) {
    drain.begun().await;
    // A drain that was asked for long before has told them long before.
    tokio::join!(drain.closing(), sleep(delay));
}

/// Turns the shard whenever it has something to do.
async fn turns(shard: Shard, protocol: Rc<Protocol>) -> Infallible {
    loop {
        let turn = shard.turn(Instant::now());
        if turn.more {
            let _due = protocol.courtesy().show();
            yield_now().await;
            continue;
        }
        if !turn.gather.is_zero() {
            sleep(turn.gather).await;
        }
        tokio::select! {
            () = shard.filled() => {}
            () = sleep_until(turn.next.into()) => {}
        }
    }
}

/// Once a drain has begun: ends the streams over the window, the first at once after the delay. From the beginning on no
/// stream is opened.
async fn end_streams(mut drain: DrainWatch, shard: &Shard, settings: &ServerConfig) {
    drain.begun().await;
    shard.refuse();
    sleep(settings.drain_delay.0).await;
    let mut batches = Batches::new(shard.streams(), settings.drain_window.0);
    while shard.drain(batches.take(), Instant::now()) > 0 {
        sleep(DRAIN_STEP).await;
    }
}

/// How many streams each step of a drain ends: the same share of them in any second, or one a step if that is more.
///
/// A step that comes late is not made up for, so that no second gets the share of two.
#[derive(Debug)]
struct Batches {
    each: f64,
    owed: f64,
}

impl Batches {
    #[expect(clippy::cast_precision_loss, reason = "a process has fewer streams than a double has whole numbers")]
    fn new(streams: usize, window: Duration) -> Self {
        let steps = (window.as_secs_f64() / DRAIN_STEP.as_secs_f64()).max(1.0);
        Self { each: (streams as f64 / steps).max(1.0), owed: 0.0 }
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole and between 1 and the streams")]
    fn take(&mut self) -> usize {
        self.owed += self.each;
        let batch = self.owed.floor();
        self.owed -= batch;
        batch as usize
    }
}

/// Counts connections, here and in the whole process.
#[derive(Clone, Debug)]
struct Open {
    here: Rc<Cell<usize>>,
    everywhere: Arc<AtomicUsize>,
    limit: usize,
}

impl Open {
    fn is_full(&self) -> bool {
        self.everywhere.load(Ordering::Relaxed) >= self.limit
    }

    fn count(&self) -> Counted {
        self.here.set(self.here.get() + 1);
        self.everywhere.fetch_add(1, Ordering::Relaxed);
        Counted(self.clone())
    }
}

/// One counted connection.
#[derive(Debug)]
pub(super) struct Counted(Open);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.here.set(self.0.here.get() - 1);
        self.0.everywhere.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn accept(
    listener: TcpListener,
    protocol: &Rc<Protocol>,
    open: &Open,
    closing: Closing,
    write_timeout: Duration,
    closed: impl Future<Output = ()>,
) {
    let prepared = socket::prepare(&listener, write_timeout).and_then(|()| tokio::net::TcpListener::from_std(listener));
    let listener = match prepared {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, "a listener cannot be used");
            return closed.await;
        }
    };
    let mut closed = pin!(closed);
    let mut complaints = Throttle::new(ACCEPT_LOG_INTERVAL);
    let mut in_a_row = 0;
    loop {
        if open.is_full() {
            // The rest wait in the kernel's queue until somebody leaves.
            tokio::select! {
                () = sleep(ACCEPT_PAUSE) => continue,
                () = &mut closed => return,
            }
        }
        let accepted = tokio::select! {
            // First, since the kernel resets those who are in its queue when the listener goes; a flood of them ends with
            // this task's turn.
            biased;
            accepted = listener.accept() => accepted,
            () = &mut closed => return,
        };
        match accepted {
            Ok((connection, _peer)) => {
                spawn_local(Rc::clone(protocol).serve(connection, open.count(), closing.clone()));
                in_a_row += 1;
                if in_a_row == ACCEPTS_IN_A_ROW {
                    in_a_row = 0;
                    yield_now().await;
                }
            }
            Err(error) => {
                telemetry::stream::accept_failed();
                if !is_of_one_connection(&error) {
                    if let Some(suppressed) = complaints.admit(Instant::now()) {
                        tracing::warn!(%error, suppressed, "cannot accept connections; trying again");
                    }
                    tokio::select! {
                        () = sleep(ACCEPT_PAUSE) => {}
                        () = &mut closed => return,
                    }
                }
            }
        }
    }
}

/// Errors that say something about the connection that was to be accepted, not about accepting.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drain_takes_its_window_and_no_second_more_than_its_share() {
        for (streams, window, seconds) in
            [(1000, 10, 10), (1005, 10, 10), (199, 10, 10), (3, 10, 1), (5000, 1, 1), (7, 0, 1)]
        {
            let mut batches = Batches::new(streams, Duration::from_secs(window));
            let mut left = streams;
            let mut taken = Vec::new();
            while left > 0 {
                let batch = batches.take().min(left);
                left -= batch;
                taken.push(batch);
            }
            assert!(taken.len() <= seconds * 10, "{streams} in {window} s: {taken:?}");
            let share = streams.div_ceil(usize::try_from(window).unwrap().max(1)).max(10);
            assert!(taken.windows(10).all(|second| second.iter().sum::<usize>() <= share + 1), "{streams}: {taken:?}");
        }
    }
}
