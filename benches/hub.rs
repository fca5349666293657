//! The hub alone: a million subscribers over a sink that is no socket. Memory of each, and the time to publish to one user,
//! to a channel, and to everyone.
#![allow(unreachable_pub, reason = "a binary has no outside")]
#![allow(clippy::print_stdout, reason = "a benchmark is a command line")]
#![allow(clippy::cast_precision_loss, reason = "figures far below 2^52")]

use std::fs;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use clap::Parser;
use cottontail::event::{Audience, ChannelName, Event, EventId, EventName, Mark, Position, UserId};
use cottontail::hub::{self, HistoryConfig, Publisher, Shard, StreamConfig, Subscriber, Subscription};
use uuid::Uuid;

/// Bytes of an event's data; an event is then about 200 bytes.
const DATA: usize = 162;
const MEMORY_BUDGET: f64 = 1024.0;
const ONE_USER_BUDGET: Duration = Duration::from_micros(10);

/// Measures the hub without sockets.
#[derive(Debug, Parser)]
#[command(name = "hub", bin_name = "cargo bench --bench hub --")]
struct Options {
    /// Open subscribers, each of a user of its own and of one channel
    #[arg(long, default_value_t = 1_000_000)]
    subscribers: usize,
    /// Subscribers of each channel
    #[arg(long, default_value_t = 1_000)]
    channel: usize,
    /// Publications to one user and to a channel, of which the medians are shown; a tenth as many to everyone
    #[arg(long, default_value_t = 200)]
    runs: usize,
    /// Passed by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    // `cargo test --benches` passes no argument: it wants to know that the benchmark works, not what it finds.
    let tested = std::env::args_os().len() == 1;
    let mut options = Options::parse();
    if tested {
        (options.subscribers, options.channel, options.runs) = (1_000, 10, 10);
    }
    let Options { subscribers, channel, runs, .. } = options;
    let before = resident();
    let start = Instant::now();
    let mut crowd = Crowd::gather(subscribers, channel);
    let subscribing = micros(start.elapsed()) / subscribers as f64;
    let each = |now: u64| now.saturating_sub(before) as f64 / subscribers as f64;
    let fresh = each(resident());

    // A prime step goes all over the crowd, so that caches help no more than they would in life.
    let numbers: Vec<usize> = (0..runs).map(|run| run * 7_919 % subscribers).collect();
    let to_user: Vec<Times> = numbers.iter().map(|&number| crowd.publish(user(number), [number])).collect();
    let to_channel: Vec<Times> = numbers
        .iter()
        .map(|number| number / channel)
        .map(|number| {
            let members = number * channel..subscribers.min((number + 1) * channel);
            crowd.publish(channel_name(number), members)
        })
        .collect();
    let to_all: Vec<Times> =
        (0..runs.div_ceil(10)).map(|_| crowd.publish(Audience::Everyone, 0..subscribers)).collect();
    let used = each(resident());

    if tested {
        println!("hub: every subscriber got what was its");
        return;
    }
    println!("### The hub alone\n\n{subscribers} subscribers on one shard, channels of {channel}; no sockets.\n");
    println!("| publish to | publish µs | hand out µs | take µs | all µs, median | all µs, p99 | runs |");
    println!("|---|---:|---:|---:|---:|---:|---:|");
    for (to, times) in [("one user", &to_user), ("a channel", &to_channel), ("everyone", &to_all)] {
        println!("| {to} | {} | {} |", Times::cells(times), times.len());
    }
    println!("\nSubscribing took {subscribing:.2} µs each.\n");
    println!("| budget | bound | measured | |\n|---|---|---|---|");
    let to_one = quantile(&to_user, Times::all, 0.5);
    verdict("µs to publish to one user", micros(ONE_USER_BUDGET), to_one);
    verdict("bytes resident per subscriber, fresh", MEMORY_BUDGET, fresh);
    verdict("bytes resident per subscriber, after all of that", MEMORY_BUDGET, used);
}

/// A hub of one shard with its subscribers: number n is user n, in channel n / size.
struct Crowd {
    publisher: Publisher,
    shard: Shard,
    subscribers: Vec<Subscriber>,
    offset: u64,
    /// The hub's time stands still, so that no heartbeat falls into a measurement.
    now: Instant,
}

/// How long the parts of one publication took.
#[derive(Clone, Copy)]
struct Times {
    /// What the source of events waits for.
    publish: Duration,
    /// The shard's turn, after which the event waits for each receiver.
    hand_out: Duration,
    /// Taking it out of each receiver.
    take: Duration,
}

impl Crowd {
    fn gather(size: usize, channel: usize) -> Self {
        let settings = StreamConfig { max_streams: size, ..StreamConfig::default() };
        let (mut publisher, seeds, _) = hub::open(&HistoryConfig::default(), &settings, None, 1);
        let now = Instant::now();
        publisher.starts_after(EventId::default(), now);
        publisher.current(now);
        let shard = seeds.into_iter().next().expect("one was asked for").settle(now);
        let subscribers = (0..size)
            .map(|number| {
                let subscription = Subscription {
                    connection_id: Uuid::from_u128(number as u128),
                    user: Some(UserId::from(number.to_string())),
                    channels: vec![ChannelName::from(format!("bench.{}", number / channel))],
                    ..Subscription::default()
                };
                let mut subscriber = shard.subscribe(&subscription, None, now).expect("as many as are allowed");
                assert!(take(&mut subscriber), "the opening event waits");
                subscriber
            })
            .collect();
        shard.turn(now);
        Self { publisher, shard, subscribers, offset: 0, now }
    }

    /// Publishes one event and takes it out of its receivers, which must be `receivers`.
    fn publish(&mut self, audience: Audience, receivers: impl IntoIterator<Item = usize>) -> Times {
        self.offset += 1;
        let event = Event { audiences: vec![audience], name: EventName::new("bench"), data: vec![b'.'; DATA].into() };
        let start = Instant::now();
        let id = EventId { mark: Mark::default(), position: Position::at(self.offset) };
        self.publisher.publish(id, start, event);
        let published = Instant::now();
        while self.shard.turn(self.now).more {}
        let handed_out = Instant::now();
        for number in receivers {
            assert!(take(&mut self.subscribers[number]), "subscriber {number} is a receiver");
        }
        Times { publish: published - start, hand_out: handed_out - published, take: handed_out.elapsed() }
    }
}

impl Times {
    fn all(&self) -> Duration {
        self.publish + self.hand_out + self.take
    }

    /// Medians of the parts and of the whole, and the whole's 99th percentile.
    fn cells(times: &[Self]) -> String {
        let parts: [fn(&Self) -> Duration; 4] =
            [|times| times.publish, |times| times.hand_out, |times| times.take, Self::all];
        let medians = parts.map(|part| format!("{:.1}", quantile(times, part, 0.5)));
        format!("{} | {:.1}", medians.join(" | "), quantile(times, Self::all, 0.99))
    }
}

/// Takes what waits for `subscriber` and leaves it waiting for more; false when nothing did.
fn take(subscriber: &mut Subscriber) -> bool {
    let cx = Context::from_waker(Waker::noop());
    let mut taken = false;
    while let Poll::Ready(chunk) = subscriber.poll_chunk(&cx) {
        let chunk = chunk.expect("the stream is open").expect("it keeps up");
        taken |= !chunk.bytes.is_empty();
    }
    taken
}

fn user(number: usize) -> Audience {
    Audience::User(UserId::from(number.to_string()))
}

fn channel_name(number: usize) -> Audience {
    Audience::Channel(ChannelName::from(format!("bench.{number}")))
}

fn verdict(what: &str, bound: f64, measured: f64) {
    let verdict = if measured <= bound { "met" } else { "**missed**" };
    println!("| {what} | ≤ {bound} | {measured:.1} | {verdict} |");
}

/// In microseconds.
fn quantile(times: &[Times], part: fn(&Times) -> Duration, share: f64) -> f64 {
    let mut values: Vec<f64> = times.iter().map(|times| micros(part(times))).collect();
    values.sort_by(f64::total_cmp);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a length is an index")]
    let index = ((values.len() - 1) as f64 * share).round() as usize;
    values[index]
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// Resident memory of this process in bytes (`VmRSS`).
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux has /proc");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("man 5 proc");
    1024 * line.trim().trim_end_matches(" kB").parse::<u64>().expect("kilobytes")
}
