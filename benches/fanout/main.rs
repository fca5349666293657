//! Fan-out measured against the limit of the socket: the same events to the same number of streams from Cottontail and from
//! loops that do nothing else, in interleaved runs.
//!
//! Each server is a process of its own (this binary again), publishes by itself and is commanded over its standard input;
//! its CPU and memory are read from `/proc`. The benchmark's process is the load generator: it reads every byte, and a run
//! in which an event was lost, doubled or out of order has no figures and makes the exit code 1.
#![allow(unreachable_pub, reason = "a binary has no outside")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark is a command line")]
#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "figures far below 2^52"
)]

mod client;
mod clock;
mod control;
mod failure;
mod histogram;
mod options;
mod payload;
mod process;
mod report;
mod scenario;
mod selfcheck;
mod server;
mod session;
mod target;

use std::process::ExitCode;
use std::thread::available_parallelism;

use clap::Parser as _;
use rustix::process::{Resource, getrlimit, setrlimit};

use failure::Failure;
use options::Options;
use report::Row;
use scenario::{SCENARIOS, Scenario};

fn main() -> ExitCode {
    // `cargo test --benches` passes no argument: it wants to know that the benchmark works, not what it finds.
    let tested = std::env::args_os().len() == 1;
    let mut options = Options::parse();
    if options.generators == 0 {
        options.generators = available_parallelism().map_or(1, |cores| cores.get().div_ceil(2));
    }
    let outcome = raise_descriptor_limit().map_err(Failure::from).and_then(|()| match options.role {
        Some(role) => server::run(role, options.threads.unwrap_or(1), options.inject).map(|()| true),
        None if tested || options.self_check => selfcheck::run().map(|()| {
            println!("fanout: every injected fault was noticed");
            true
        }),
        None => Ok(compare(&options)),
    });
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => {
            eprintln!("fanout: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the chosen scenarios and prints their tables; false when a run was invalid.
fn compare(options: &Options) -> bool {
    let chosen = |scenario: &&Scenario| options.scenario.is_empty() || options.scenario.contains(&scenario.name);
    let mut tables = Vec::new();
    let mut all_valid = true;
    for scenario in SCENARIOS.iter().filter(chosen) {
        println!("{} (load of the machine before: {})", scenario.title, load_average());
        let rows = run_interleaved(scenario, options);
        all_valid &= rows.iter().all(|row| row.valid.len() == row.runs);
        tables.push(report::table(scenario, &rows));
    }
    println!("\n{}", tables.join("\n"));
    if !all_valid {
        eprintln!("fanout: some runs were invalid; see above");
    }
    all_valid
}

fn run_interleaved(scenario: &Scenario, options: &Options) -> Vec<Row> {
    let servers = if options.servers.is_empty() { scenario.servers } else { &options.servers };
    let mut rows: Vec<Row> =
        servers.iter().map(|&role| Row { plan: scenario.plan(options, role), valid: Vec::new(), runs: 0 }).collect();
    for run in 1..=options.runs {
        for row in &mut rows {
            row.runs += 1;
            let said = match scenario.run(&row.plan) {
                Ok((figures, account)) if account.faults.none() => {
                    let line = report::line(scenario.columns, &figures);
                    row.valid.push(figures);
                    line
                }
                Ok((_, account)) => format!("INVALID: {}", account.faults),
                Err(failure) => format!("INVALID: {failure}"),
            };
            println!("  {run} {}: {said}", row.name());
        }
    }
    rows
}

/// What else runs here makes figures worse; it should be near 0.
fn load_average() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().unwrap_or("unknown").to_owned()
}

/// Two processes hold a descriptor for each stream.
fn raise_descriptor_limit() -> std::io::Result<()> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    Ok(setrlimit(Resource::Nofile, limit)?)
}
