//! The situations that are measured: who is compared, under which load, and which figures come out.

use std::fmt;
use std::time::Duration;

use crate::client::Account;
use crate::control::Pace;
use crate::failure::Failure;
use crate::options::{Options, Role, ScenarioName};
use crate::payload::Kind;
use crate::session::{Load, Session, Window};

pub struct Scenario {
    pub name: ScenarioName,
    pub title: &'static str,
    /// The limit first; the last is compared with it.
    pub servers: &'static [Role],
    /// Of each server.
    threads: usize,
    pub columns: &'static [Column],
    kind: Kind,
    streams: u32,
    /// As many as streams when 0.
    topics: u32,
    /// Deliveries per second.
    rate: u64,
    measure: fn(&mut Session, &Plan) -> Result<Figures, Failure>,
}

/// A figure's heading with its unit, and its decimals.
pub struct Column(pub &'static str, pub usize);

/// What a run yields, in the order of the columns. Those that need the account are made when it is closed.
type Figures = Box<dyn FnOnce(&Account) -> Vec<f64>>;

/// A scenario's load with the options applied.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub load: Load,
    pub rate: u64,
    outstanding: u64,
    time: Duration,
}

const LATENCY: [u64; 3] = [500, 990, 999];

pub const SCENARIOS: [Scenario; 5] = [
    Scenario {
        name: ScenarioName::Fixed,
        title: "A fixed rate of deliveries, one channel",
        servers: &[Role::Bare, Role::Cottontail],
        threads: 1,
        columns: PACED,
        kind: Kind::Channel,
        streams: 1_000,
        topics: 1,
        rate: 100_000,
        measure: paced,
    },
    Scenario {
        name: ScenarioName::Saturation,
        title: "Saturation in a closed loop, one channel",
        servers: &[Role::BareMerged, Role::Cottontail],
        threads: 2,
        columns: &[
            Column("deliveries/s", 0),
            Column("µs CPU", 3),
            Column("of it user", 3),
            Column("of it publisher", 3),
            Column("p99 ms", 2),
            Column("bytes", 0),
            Column("generator busy", 2),
        ],
        kind: Kind::Channel,
        streams: 1_000,
        topics: 1,
        rate: 0,
        measure: saturated,
    },
    Scenario {
        name: ScenarioName::Unicast,
        title: "A fixed rate of events for one user each",
        servers: &[Role::Bare, Role::Cottontail],
        threads: 1,
        columns: PACED,
        kind: Kind::User,
        streams: 10_000,
        topics: 0,
        rate: 5_000,
        measure: paced,
    },
    Scenario {
        name: ScenarioName::Idle,
        title: "Idle streams",
        servers: &[Role::Bare, Role::Cottontail],
        threads: 1,
        columns: &[Column("KB per stream", 2), Column("MB before", 1), Column("MB with streams", 1)],
        kind: Kind::Channel,
        streams: 5_000,
        topics: 1,
        rate: 0,
        measure: idle,
    },
    Scenario {
        name: ScenarioName::Storm,
        title: "Streams opened at once",
        servers: &[Role::Bare, Role::Cottontail],
        threads: 2,
        columns: &[
            Column("s until all open", 3),
            Column("µs CPU per stream", 1),
            Column("p50 ms", 1),
            Column("p99 ms", 1),
        ],
        kind: Kind::Channel,
        streams: 5_000,
        topics: 1,
        rate: 0,
        measure: storm,
    },
];

const PACED: &[Column] = &[
    Column("µs CPU", 2),
    Column("of it user", 2),
    Column("of it publisher", 2),
    Column("p50 ms", 2),
    Column("p99 ms", 2),
    Column("p99.9 ms", 2),
    Column("bytes", 0),
    Column("generator busy", 2),
];

impl Scenario {
    /// The load that `options` make of this scenario for one server.
    pub fn plan(&self, options: &Options, role: Role) -> Plan {
        let streams = options.streams.unwrap_or(self.streams).max(1);
        let topics = options.topics.unwrap_or(if self.topics == 0 { streams } else { self.topics }).clamp(1, streams);
        let load = Load {
            role,
            threads: options.threads.unwrap_or(self.threads).max(1),
            kind: self.kind,
            topics,
            streams,
            generators: options.generators.max(1),
            unanswered: options.unanswered,
            inject: options.inject,
        };
        Plan {
            load,
            rate: options.rate.unwrap_or(self.rate),
            outstanding: options.outstanding,
            time: Duration::from_secs_f64(options.seconds),
        }
    }

    /// One run: the figures in the order of the columns, and the account that says whether they count.
    pub fn run(&self, plan: &Plan) -> Result<(Vec<f64>, Account), Failure> {
        let mut session = Session::start(plan.load)?;
        let figures = (self.measure)(&mut session, plan)?;
        let account = session.close()?;
        Ok((figures(&account), account))
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Load { streams, topics, kind, .. } = self.load;
        let kinds = if kind == Kind::Channel { "channels" } else { "users" };
        write!(f, "{streams} streams, {kinds}: {topics}")?;
        if self.rate > 0 {
            write!(f, ", {} deliveries/s", self.rate)?;
        }
        Ok(())
    }
}

impl Plan {
    /// Events per second that make the rate of deliveries.
    fn events_per_second(&self) -> u64 {
        (self.rate * u64::from(self.load.topics) / u64::from(self.load.streams)).max(1)
    }

    fn warm_up(&self) -> Duration {
        self.time / 4
    }
}

fn paced(session: &mut Session, plan: &Plan) -> Result<Figures, Failure> {
    let pace = Pace::Rate(plan.events_per_second());
    session.open()?;
    session.publish(pace, plan.warm_up())?;
    let window = session.publish(pace, plan.time)?;
    Ok(Box::new(move |account| {
        let mut figures = cost(&window).to_vec();
        figures.extend(LATENCY.map(|per_mille| milliseconds(account.latency.quantile(per_mille))));
        figures.extend([bytes(&window), window.generator_busy]);
        figures
    }))
}

fn saturated(session: &mut Session, plan: &Plan) -> Result<Figures, Failure> {
    let pace = Pace::Outstanding(plan.outstanding);
    session.open()?;
    session.publish(pace, plan.warm_up())?;
    let window = session.publish(pace, plan.time)?;
    Ok(Box::new(move |account| {
        let mut figures = vec![window.deliveries as f64 / window.wall.as_secs_f64()];
        figures.extend(cost(&window));
        figures.extend([milliseconds(account.latency.quantile(990)), bytes(&window), window.generator_busy]);
        figures
    }))
}

fn idle(session: &mut Session, plan: &Plan) -> Result<Figures, Failure> {
    let before = session.server().resident()? as f64;
    session.open()?;
    // What a server keeps only while it answers is gone after a while.
    std::thread::park_timeout(Duration::from_secs(1));
    let after = session.server().resident()? as f64;
    prove_alive(session)?;
    let streams = f64::from(plan.load.streams);
    Ok(Box::new(move |_| vec![(after - before) / streams / 1024.0, before / 1_048_576.0, after / 1_048_576.0]))
}

fn storm(session: &mut Session, plan: &Plan) -> Result<Figures, Failure> {
    let before = session.server().cpu()?;
    let time = session.open()?;
    let cpu = session.server().cpu()?.since(&before).total();
    prove_alive(session)?;
    let streams = f64::from(plan.load.streams);
    Ok(Box::new(move |account| {
        let opening = [500, 990].map(|per_mille| milliseconds(account.opening.quantile(per_mille)));
        vec![time.as_secs_f64(), microseconds(cpu) / streams, opening[0], opening[1]]
    }))
}

/// A few events, which the account then expects on every stream.
fn prove_alive(session: &mut Session) -> Result<(), Failure> {
    session.publish(Pace::Rate(10), Duration::from_millis(500))?;
    Ok(())
}

/// Microseconds per delivery: all of the process, its user part, and what of all was the publisher.
fn cost(window: &Window) -> [f64; 3] {
    [window.cpu.total(), window.cpu.user, window.publisher_cpu]
        .map(|time| microseconds(time) / window.deliveries.max(1) as f64)
}

/// Bytes on the wire per delivery.
fn bytes(window: &Window) -> f64 {
    window.bytes as f64 / window.deliveries.max(1) as f64
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn microseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
