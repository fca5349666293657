//! Fan-out measured against the limit of the socket: the same events to the same number of streams from Cottontail, from
//! loops that do nothing else and from peers, in interleaved runs.
//!
//! Each server is a process of its own (this binary again), publishes by itself and is commanded over its standard input;
//! its CPU and memory are read from `/proc`. The benchmark's process is the load generator: it reads every byte, and a run
//! in which an event was lost, doubled or out of order has no figures and, unless it is a peer's, makes the exit code 1.
#![allow(unreachable_pub, reason = "a binary has no outside")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark is a command line")]
#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "figures far below 2^52"
)]

mod budget;
mod client;
mod clock;
mod control;
#[allow(dead_code, reason = "shared with benchmarks that use another part")]
mod cores;
mod failure;
mod histogram;
mod layout;
mod machine;
mod options;
mod packages;
mod payload;
mod proc;
mod process;
mod report;
mod scenario;
mod selfcheck;
mod server;
mod session;
mod signing;
mod storm;
mod target;

use std::process::ExitCode;
use std::thread::available_parallelism;
use std::time::Instant;

use clap::Parser as _;
use failure::Failure;
use options::{Options, Role};
use report::{Row, Table};
use scenario::{Plan, SCENARIOS, Scenario};

fn main() -> ExitCode {
    // `cargo test --benches` passes no argument: it wants to know that the benchmark works, not what it finds.
    let tested = std::env::args_os().len() == 1;
    let mut options = Options::parse();
    if options.generators == 0 {
        options.generators = available_parallelism().map_or(1, |cores| cores.get().div_ceil(2));
    }
    let outcome = machine::raise_descriptor_limit().map_err(Failure::from).and_then(|descriptors| match options.role {
        Some(role) => {
            server::run(role, options.threads.unwrap_or(1), options.inject, options.key.as_deref()).map(|()| true)
        }
        None if tested || options.self_check => selfcheck::run().map(|()| {
            println!("fanout: every injected fault was noticed");
            true
        }),
        None => Ok(compare(&options, descriptors)),
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
fn compare(options: &Options, descriptors: u64) -> bool {
    let (start, load) = (Instant::now(), machine::load_average());
    let mut tables = Vec::new();
    let mut notes = Vec::new();
    for scenario in &SCENARIOS {
        let servers = present(scenario.servers(options), &mut notes);
        if !servers.is_empty() {
            println!("{} (load of the machine before: {})", scenario.title, machine::load_average());
            let plans = servers.iter().map(|role| scenario.plan(options, *role).within(descriptors));
            tables.push(run_interleaved(scenario, plans.collect(), options.runs));
        }
    }
    // That a peer loses events is a finding, and stands in its table; that we do is a failure.
    let ours = tables.iter().flat_map(|table| &table.rows).filter(|row| !row.role().is_peer());
    let all_valid = ours.into_iter().all(|row| row.valid.len() == row.runs);
    println!("\n{}", report::preface(&tables, &load));
    for table in &tables {
        println!("{}", table.markdown());
    }
    println!("{}", budget::table(&tables));
    for note in notes {
        println!("{note}");
    }
    eprintln!("fanout: {:.0} s", start.elapsed().as_secs_f64());
    if !all_valid {
        eprintln!("fanout: some runs were invalid; see above");
    }
    all_valid
}

/// The servers that are installed; of each other one a note says how to get it.
fn present(servers: &[Role], notes: &mut Vec<String>) -> Vec<Role> {
    let mut present = Vec::new();
    for role in servers {
        match packages::missing(*role) {
            None => present.push(*role),
            Some(packages) => {
                let note = format!("{}: not installed (apt-get install {packages})", role.as_str());
                if !notes.contains(&note) {
                    println!("{note}");
                    notes.push(note);
                }
            }
        }
    }
    present
}

/// Each server in turn, and that again, so that whatever else the machine does meets all of them.
fn run_interleaved(scenario: &Scenario, plans: Vec<Plan>, runs: usize) -> Table<'_> {
    let mut rows: Vec<Row> = plans.into_iter().map(|plan| Row { plan, valid: Vec::new(), runs }).collect();
    for run in 1..=runs {
        for row in &mut rows {
            let said = match scenario.run(&row.plan) {
                Ok((figures, account)) if account.faults.none() => {
                    let line = report::line(scenario.columns, &figures);
                    row.valid.push(figures);
                    line
                }
                Ok((_, account)) => format!("INVALID: {}", account.faults),
                Err(failure) => format!("INVALID: {failure}"),
            };
            println!("  {run} {}: {said}", row.role().as_str());
        }
    }
    Table { scenario, rows }
}
