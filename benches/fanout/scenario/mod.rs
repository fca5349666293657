//! The situations that are measured: a load, who is compared under it, and which figures come out.

mod list;
mod measure;

use std::fmt;
use std::time::Duration;

use crate::client::Account;
use crate::cores::Division;
use crate::failure::Failure;
use crate::layout::{Layout, Shape};
use crate::options::{Options, Role, ScenarioName};
use crate::session::{Load, Session};
use crate::signing::Signing;

pub use list::SCENARIOS;

pub struct Scenario {
    pub name: ScenarioName,
    pub title: &'static str,
    /// Compared in the quick profile; empty when it leaves the scenario out.
    quick: &'static [Role],
    full: &'static [Role],
    /// The server that the others are compared with.
    pub limit: Role,
    /// Of each server.
    threads: usize,
    signing: Signing,
    /// Whether the server, its streams and others' each get processors of their own, where there are enough.
    divided: bool,
    pub columns: &'static [Column],
    shape: Shape,
    streams: u32,
    /// As many as streams when 0.
    topics: u32,
    /// Deliveries per second; 0 where no rate is given.
    rate: u64,
    measure: fn(&mut Session, &Plan) -> Result<Figures, Failure>,
}

/// A figure's heading with its unit, its decimals, and whether its ratio to the limit is shown.
pub struct Column(pub &'static str, pub usize, pub Ratio);

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Ratio {
    Shown,
    Hidden,
}

/// Descriptors that a process has beside those of streams.
const DESCRIPTORS_BESIDE: u64 = 1_000;

/// What a run yields, in the order of the columns. Those that need the account are made when it is closed.
type Figures = Box<dyn FnOnce(&Account) -> Vec<f64>>;

/// A scenario's load with the options applied.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub load: Load,
    rate: u64,
    outstanding: u64,
    time: Duration,
}

impl Scenario {
    /// The servers that `options` ask for; none when they leave the scenario out.
    pub fn servers<'a>(&'a self, options: &'a Options) -> &'a [Role] {
        let asked_for = options.scenario.contains(&self.name);
        if !asked_for && !options.scenario.is_empty() {
            return &[];
        }
        match (options.servers.as_slice(), options.full || asked_for) {
            (_, false) if self.quick.is_empty() => &[],
            ([], true) => self.full,
            ([], false) => self.quick,
            (servers, _) => servers,
        }
    }

    /// The load that `options` make of this scenario for one server.
    pub fn plan(&self, options: &Options, role: Role) -> Plan {
        let streams = options.streams.unwrap_or(self.streams).max(1);
        let topics = options.topics.unwrap_or(if self.topics == 0 { streams } else { self.topics }).clamp(1, streams);
        let threads = if role == Role::Node { 1 } else { options.threads.unwrap_or(self.threads).max(1) };
        let division = self.divided.then(|| Division::new(threads)).flatten();
        let load = Load {
            role,
            threads,
            division,
            signing: self.signing,
            layout: Layout { shape: self.shape, topics, streams },
            generators: division.map_or(options.generators.max(1), |division| division.browsers.count()),
            // Pushpin answers 500 and 502 when more ask at once.
            unanswered: if role == Role::Pushpin { options.unanswered.min(50) } else { options.unanswered },
            inject: options.inject,
        };
        let seconds = options.seconds.unwrap_or(if options.full { 4.0 } else { 1.5 });
        Plan {
            load,
            rate: options.rate.unwrap_or(self.rate),
            outstanding: options.outstanding,
            time: Duration::from_secs_f64(seconds),
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
        let Layout { shape, topics, streams } = self.load.layout;
        match shape {
            Shape::Channels => write!(f, "{streams} streams, channels: {topics}")?,
            Shape::Users => write!(f, "{streams} streams, users: {topics}")?,
            Shape::Mixed => write!(f, "{} streams of a channel, {} of a user each", streams + 1 - topics, topics - 1)?,
        }
        if self.rate > 0 {
            write!(f, ", {} events/s, {} deliveries/s", self.events_per_second(), self.rate)?;
        }
        Ok(())
    }
}

impl Plan {
    /// With no more streams than a process has `descriptors` for.
    pub fn within(mut self, descriptors: u64) -> Self {
        let Layout { topics, streams, .. } = &mut self.load.layout;
        let most = u32::try_from(descriptors.saturating_sub(DESCRIPTORS_BESIDE)).unwrap_or(u32::MAX);
        *streams = (*streams).min(most.max(1));
        *topics = (*topics).min(*streams);
        self
    }

    /// Events per second that make the rate of deliveries: each turn of the topics delivers one event to each stream.
    fn events_per_second(&self) -> u64 {
        let Layout { topics, streams, .. } = self.load.layout;
        (self.rate * u64::from(topics) / u64::from(streams)).max(1)
    }

    fn warm_up(&self) -> Duration {
        self.time / 4
    }
}
