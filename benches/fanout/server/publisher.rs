//! Publishing inside the server process, as the benchmark commands it. What becomes of an event is the exchange's.

use std::io::{self, BufRead as _, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use crate::clock;
use crate::control::{Command, Pace, Published, Reply};
use crate::failure::Failure;
use crate::layout::Shape;
use crate::options::Inject;
use crate::payload::{Payload, Topic};

/// The way into the server under test.
pub trait Exchange {
    /// Hands over one event; may wait while the server has no room for it. `body` is the data line.
    fn publish(&mut self, to: Topic, body: String) -> Result<(), Failure>;
}

/// Says where the server listens, then publishes as standard input commands, until that ends.
///
/// `inject` spoils the order of events on purpose, so that the benchmark can show that it notices.
pub fn obey(address: SocketAddr, exchange: &mut impl Exchange, inject: Option<Inject>) -> Result<(), Failure> {
    let shared = Arc::new(Shared::default());
    let commands = read_commands(Arc::clone(&shared));
    reply(Reply::Listening(address))?;
    let mut publisher = Publisher { exchange, shared, inject, events: 0 };
    // The channel closes when standard input ends.
    while let Ok((shape, topics, pace, time)) = commands.recv() {
        publisher.publish_for(shape, topics, pace, time)?;
        let control = Duration::from_nanos(publisher.shared.control_cpu.load(Ordering::Relaxed));
        let cpu = Duration::from_nanos(clock::thread_cpu()) + control;
        reply(Reply::Done(Published { events: publisher.events, cpu }))?;
    }
    Ok(())
}

#[derive(Default)]
struct Shared {
    progress: AtomicU64,
    stopped: AtomicBool,
    /// Nanoseconds of the thread that reads commands.
    control_cpu: AtomicU64,
}

type Order = (Shape, u32, Pace, Duration);

fn read_commands(shared: Arc<Shared>) -> Receiver<Order> {
    let (sender, receiver) = sync_channel(1);
    let publisher = thread::current();
    thread::spawn(move || {
        take_lines(&shared, &sender, &publisher);
        shared.stopped.store(true, Ordering::Relaxed);
        publisher.unpark();
    });
    receiver
}

fn take_lines(shared: &Shared, sender: &SyncSender<Order>, publisher: &Thread) {
    for line in io::stdin().lock().lines() {
        match line.map(|line| line.parse()) {
            Ok(Ok(Command::Publish { shape, topics, pace, time })) => {
                if sender.send((shape, topics, pace, time)).is_err() {
                    return;
                }
            }
            Ok(Ok(Command::Progress(events))) => {
                shared.progress.store(events, Ordering::Release);
                publisher.unpark();
            }
            Ok(Err(failure)) => eprintln!("{failure}"),
            Err(_) => return,
        }
        shared.control_cpu.store(clock::thread_cpu(), Ordering::Relaxed);
    }
}

fn reply(reply: Reply) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{reply}")?;
    out.flush()
}

struct Publisher<'a, E> {
    exchange: &'a mut E,
    shared: Arc<Shared>,
    inject: Option<Inject>,
    events: u64,
}

impl<E: Exchange> Publisher<'_, E> {
    fn publish_for(&mut self, shape: Shape, topics: u32, pace: Pace, time: Duration) -> Result<(), Failure> {
        let start = Instant::now();
        match pace {
            Pace::Rate(rate) => {
                let events = (time.as_secs_f64() * rate as f64).round() as u64;
                let started = clock::now();
                for event in 0..events {
                    // Counted from the start, so that no rounding and no delay adds up.
                    let due = Duration::from_secs_f64(event as f64 / rate as f64);
                    if !self.wait_until(start + due) {
                        break;
                    }
                    let at = started + u64::try_from(due.as_nanos()).expect("a run of less than 584 years");
                    self.publish_next(shape, topics, at)?;
                }
            }
            Pace::Outstanding(most) => {
                let most = most * u64::from(topics);
                while start.elapsed() < time && !self.stopped() {
                    if self.events - self.shared.progress.load(Ordering::Acquire).min(self.events) < most {
                        self.publish_next(shape, topics, clock::now())?;
                    } else {
                        thread::park_timeout(Duration::from_millis(10));
                    }
                }
            }
        }
        Ok(())
    }

    fn publish_next(&mut self, shape: Shape, topics: u32, at: u64) -> Result<(), Failure> {
        let number = self.events;
        self.events += 1;
        let as_it_should = [number];
        let numbers: &[u64] = match (self.inject, number) {
            (Some(Inject::Lost | Inject::Disordered), 3) => &[],
            (Some(Inject::Doubled), 3) => &[3, 3],
            (Some(Inject::Disordered), 4) => &[4, 3],
            _ => &as_it_should,
        };
        for number in numbers {
            let to = u32::try_from(number % u64::from(topics)).expect("less than `topics`");
            let body = Payload { to, seq: number / u64::from(topics), at }.write();
            self.exchange.publish(shape.topic(to), body)?;
        }
        Ok(())
    }

    /// False when the benchmark wants no more.
    fn wait_until(&self, due: Instant) -> bool {
        loop {
            let left = due.saturating_duration_since(Instant::now());
            if left.is_zero() || self.stopped() {
                return !self.stopped();
            }
            thread::park_timeout(left);
        }
    }

    fn stopped(&self) -> bool {
        self.shared.stopped.load(Ordering::Relaxed)
    }
}
