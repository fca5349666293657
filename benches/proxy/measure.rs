//! The loads and what is read off under them, in interleaved rounds.

use std::thread;
use std::time::{Duration, Instant};

use crate::answer::Wanted;
use crate::browsers::{Browsers, Load, Seen, Window};
use crate::failure::Failure;
use crate::server::Server;

/// A load that every server gets in turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scenario {
    pub title: &'static str,
    pub wanted: Wanted,
    /// One connection instead of many: how long a request takes when nothing waits.
    pub alone: bool,
}

pub const SMALL: Scenario = Scenario { title: "1 KB answers", wanted: Wanted::Small, alone: false };
pub const LARGE: Scenario = Scenario { title: "100 KB answers", wanted: Wanted::Large, alone: false };
pub const ALONE: Scenario = Scenario { title: "1 KB answers, one connection", wanted: Wanted::Small, alone: true };

pub const SCENARIOS: [Scenario; 3] = [SMALL, LARGE, ALONE];

/// What one run yields.
#[derive(Clone, Copy, Debug)]
pub struct Figures {
    pub per_second: f64,
    /// Milliseconds.
    pub p50: f64,
    pub p99: f64,
    /// Microseconds of CPU of the proxy, user and system, per request; of the application where there is no proxy.
    pub cpu: f64,
    /// The part of it in the program itself.
    pub user: f64,
}

/// How hard and how long.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub connections: usize,
    pub threads: usize,
    pub time: Duration,
}

impl Plan {
    /// Puts the load on `server`; an answer that was wrong or missing is an error.
    pub fn run(&self, scenario: &Scenario, server: &Server) -> Result<Figures, Failure> {
        let connections = if scenario.alone { 1 } else { self.connections };
        let load = Load { address: server.address, wanted: scenario.wanted, connections, threads: self.threads };
        let from = Instant::now() + self.time / 4;
        let window = Window { from, until: from + self.time };
        let browsers = Browsers::start(load, window);
        wait_until(window.from);
        let before = server.cpu()?;
        wait_until(window.until);
        let cpu = server.cpu()?.since(&before);
        let seen = browsers.finish()?;
        if let Seen { first_fault: Some(fault), faults, .. } = seen {
            return Err(Failure::Server(format!("{faults} connections broke off: {fault}")));
        }
        if seen.answers == 0 {
            return Err(Failure::Server("no answer in time".into()));
        }
        let microseconds = |time: Duration| time.as_secs_f64() * 1e6 / seen.answers as f64;
        let milliseconds = |per_mille| seen.latency.quantile(per_mille).as_secs_f64() * 1e3;
        Ok(Figures {
            per_second: seen.answers as f64 / self.time.as_secs_f64(),
            p50: milliseconds(500),
            p99: milliseconds(990),
            cpu: microseconds(cpu.total()),
            user: microseconds(cpu.user),
        })
    }
}

fn wait_until(moment: Instant) {
    // A park may end early.
    while let Some(left) = moment.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
        thread::park_timeout(left);
    }
}
