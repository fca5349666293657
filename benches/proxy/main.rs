//! The reverse proxy measured against nginx and `HAProxy` in front of the same application, in interleaved rounds.
//!
//! Each server is a process of its own (this binary again, which starts the peers), on processors of its own where there
//! are enough; its CPU is read from `/proc`, since CPU per request says more than requests per second where the machine is
//! busy with other things. The benchmark's process is the browsers: they check every byte, and a run with a wrong answer
//! has no figures and makes the exit code 1.
#![allow(unreachable_pub, reason = "a binary has no outside")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark is a command line")]
#![allow(clippy::cast_precision_loss, reason = "figures far below 2^52")]

mod answer;
mod application;
mod browsers;
#[path = "../fanout/clock.rs"]
#[allow(dead_code, reason = "shared with a benchmark that uses another part")]
mod clock;
#[path = "../fanout/cores.rs"]
#[allow(dead_code, reason = "shared with a benchmark that uses another part")]
mod cores;
#[path = "../fanout/server/daemon.rs"]
#[allow(dead_code, reason = "shared with a benchmark that uses another part")]
mod daemon;
#[path = "../fanout/failure.rs"]
#[allow(dead_code, reason = "shared with a benchmark that uses another part")]
mod failure;
#[path = "../fanout/histogram.rs"]
mod histogram;
#[path = "../fanout/machine.rs"]
#[allow(dead_code, reason = "shared with a benchmark that uses another part")]
mod machine;
mod measure;
mod options;
#[path = "../fanout/proc.rs"]
#[allow(dead_code, reason = "shared with a benchmark that uses another part")]
mod proc;
mod proxies;
mod report;
mod selfcheck;
mod server;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;
use cores::Division;
use failure::Failure;
use measure::{Plan, SCENARIOS};
use options::{Options, Role};
use report::{Report, Row};
use server::Server;

/// Rounds and seconds of the two profiles.
const QUICK: (usize, f64) = (3, 1.0);
const FULL: (usize, f64) = (7, 3.0);

fn main() -> ExitCode {
    // `cargo test --benches` passes no argument: it wants to know that the benchmark works, not what it finds.
    let tested = std::env::args_os().len() == 1;
    let options = Options::parse();
    let outcome = match options.role {
        Some(role) => server::run(role, options.threads, options.upstream).map(|()| true),
        None if tested || options.self_check => selfcheck::run().map(|()| {
            println!("proxy: every wrong answer was noticed");
            true
        }),
        None => compare(&options),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => {
            eprintln!("proxy: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// Measures every server under every load and prints the tables; false when a run was invalid.
fn compare(options: &Options) -> Result<bool, Failure> {
    let (rounds, seconds) = if options.full { FULL } else { QUICK };
    let (rounds, seconds) = (options.rounds.unwrap_or(rounds), options.seconds.unwrap_or(seconds));
    // Asked before the browsers are confined to a part of it.
    let (machine, load) = (machine::describe(), machine::load_average());
    let division = Division::new(options.threads);
    let servers = start(options, division.as_ref())?;
    let threads = division.as_ref().map_or(1, |division| division.browsers.count());
    let plan = Plan { connections: options.connections.max(1), threads, time: Duration::from_secs_f64(seconds) };
    let _kept = division.map(|division| division.browsers.keep()).transpose()?;
    let rows = SCENARIOS.iter().flat_map(|scenario| {
        servers.iter().map(|server| Row { scenario: *scenario, role: server.role, runs: Vec::new() })
    });
    let mut report = Report(rows.collect());
    let mut all_valid = true;
    for round in 1..=rounds {
        for row in &mut report.0 {
            let server = servers.iter().find(|server| server.role == row.role).expect("each row has its server");
            let said = match plan.run(&row.scenario, server) {
                Ok(figures) => {
                    row.runs.push(figures);
                    report::line(&figures)
                }
                Err(failure) => {
                    all_valid = false;
                    format!("INVALID: {failure}")
                }
            };
            println!("  {round} {}, {}: {said}", row.scenario.title, row.role.as_str());
        }
    }
    println!("\nMeasured on {machine}; load before: {load}, after: {}.", machine::load_average());
    println!("{}\n", placement(options.threads, division.as_ref()));
    println!("{}", report.markdown(rounds, plan.connections));
    Ok(all_valid)
}

/// The application and the proxies in front of it, as far as they are installed.
fn start(options: &Options, division: Option<&Division>) -> Result<Vec<Server>, Failure> {
    let application = Server::start(Role::Direct, 1, None, division.map(|division| &division.beside))?;
    let address = application.address;
    let mut servers = vec![application];
    for role in Role::ALL.into_iter().filter(|role| *role != Role::Direct) {
        let chosen = options.servers.is_empty() || options.servers.contains(&role);
        match role.needs() {
            _ if !chosen => {}
            Some((program, package)) if !Path::new(program).exists() => {
                println!("{}: not installed (apt-get install {package})", role.as_str());
            }
            _ => {
                let cores = division.map(|division| &division.server);
                servers.push(Server::start(role, options.threads, Some(address), cores)?);
            }
        }
    }
    Ok(servers)
}

fn placement(threads: usize, division: Option<&Division>) -> String {
    let proxies = format!("Each proxy has {threads} worker thread{}", if threads == 1 { "" } else { "s" });
    match division {
        Some(Division { server, beside, browsers }) => format!(
            "{proxies} on processor {}; the application is on {}, the browsers on {} (taskset). CPU is the proxy's own, per request.",
            server.list(),
            beside.list(),
            browsers.list()
        ),
        None => format!("{proxies}. There are too few processors to give each part its own."),
    }
}
