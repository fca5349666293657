//! The binary: the command line into a command, and its outcome into an exit code.

use std::future::pending;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use cottontail::app::{App, Plan, Reloader, Source};
use cottontail::cli::args::{Cli, Command, DevArgs, RunArgs};
use cottontail::cli::{check, config, dev, doctor, drain, explain, publish, token};
use cottontail::setting::Fault;
use cottontail::shutdown::Signals;
use cottontail::telemetry::{self, LogConfig};
use tokio::runtime::{Builder, Runtime};

/// Threads for the broker link and the admin listener; browsers are served by the workers.
const MAIN_THREADS: usize = 2;

fn main() -> ExitCode {
    let (mut out, mut problems) = (io::stdout(), io::stderr());
    let outcome = match Cli::parse().command() {
        Command::Run(args) => run(&args, &mut problems),
        Command::Dev(args) => run_dev(&args, &mut out, &mut problems),
        Command::Check(args) => check::check(&args.sources(), &mut out, &mut problems),
        Command::Doctor(args) => {
            runtime().and_then(|runtime| runtime.block_on(doctor::doctor(&args, &mut out, &mut problems)))
        }
        Command::Drain(args) => {
            runtime().and_then(|runtime| runtime.block_on(drain::drain(&args, &mut out, &mut problems)))
        }
        Command::Config(command) => config::config(&command, &mut out, &mut problems),
        Command::Token(args) => token::token(&args, &mut out, &mut problems),
        Command::Explain(args) => explain::explain(args, &mut out, &mut problems),
        Command::Publish(args) => runtime().and_then(|runtime| runtime.block_on(publish::publish(args, &mut problems))),
        Command::Disconnect(args) => {
            runtime().and_then(|runtime| runtime.block_on(publish::disconnect(args, &mut problems)))
        }
    };
    match outcome {
        Ok(code) => ExitCode::from(code),
        // Nowhere is left to say it, as when standard output was closed.
        Err(_) => ExitCode::FAILURE,
    }
}

fn runtime() -> io::Result<Runtime> {
    Builder::new_multi_thread().worker_threads(MAIN_THREADS).enable_all().build()
}

fn run(args: &RunArgs, problems: &mut impl Write) -> io::Result<u8> {
    let plan = match Plan::load(&args.sources()) {
        Ok(plan) => plan,
        Err(faults) => return refuse(&faults, problems),
    };
    if let Err(fault) = telemetry::set_up(&plan.config().log) {
        return refuse(&[fault], problems);
    }
    for warning in plan.warnings() {
        tracing::warn!(%warning, "configuration");
    }
    let runtime = runtime()?;
    let signals = runtime.block_on(async { Signals::listen() })?;
    let tracing = telemetry::start_tracing(runtime.handle());
    let started = runtime.block_on(async { App::start(plan, Source::Broker, None) });
    match started {
        Ok(mut app) => {
            let reloader = runtime.block_on(async { app.reloader(args.sources()) })?;
            let code = until_told(&runtime, app, reloader, signals);
            // By way of the runtime, which is still there; whoever ended it at once does not wait for spans.
            if code == 0 {
                tracing.end();
            }
            abandon(runtime);
            Ok(code)
        }
        Err(error) => {
            tracing::error!(%error, "cannot start");
            Ok(1)
        }
    }
}

fn run_dev(args: &DevArgs, out: &mut impl Write, problems: &mut impl Write) -> io::Result<u8> {
    let level = args.log.clone().unwrap_or_else(|| "info".to_owned());
    if let Err(fault) = telemetry::set_up(&LogConfig { level, ..LogConfig::default() }) {
        return refuse(&[fault], problems);
    }
    let runtime = runtime()?;
    let signals = runtime.block_on(async { Signals::listen() })?;
    match runtime.block_on(async { dev::start(dev::config(args.listen)) }) {
        Ok(app) => {
            writeln!(
                out,
                "Cottontail is at http://{}/ (loopback only; operators' figures at http://{}/metrics)",
                app.server(),
                app.admin()
            )?;
            writeln!(out, "Open it in a browser, publish, watch. Ctrl-C ends it.")?;
            let code = until_told(&runtime, app, None, signals);
            abandon(runtime);
            Ok(code)
        }
        Err(faults) => refuse(&faults, problems),
    }
}

fn refuse(faults: &[Fault], problems: &mut impl Write) -> io::Result<u8> {
    check::list(faults, problems)?;
    Ok(check::FAULTY)
}

/// Runs until a signal, then ends in order; a second signal ends it at once.
fn until_told(runtime: &Runtime, app: App, reloader: Option<Reloader>, mut signals: Signals) -> u8 {
    runtime.block_on(async {
        let reloading = async {
            match reloader {
                Some(reloader) => reloader.run().await,
                None => pending().await,
            }
        };
        tokio::select! {
            () = reloading => {}
            signal = signals.next() => tracing::info!(signal, "ending"),
            () = app.failed() => {
                tracing::error!("a worker thread has failed; ending at once, so that browsers go elsewhere");
                return 1;
            }
        }
        tokio::select! {
            () = app.stop() => 0,
            signal = signals.next() => {
                tracing::warn!(signal, "ending at once");
                1
            }
        }
    })
}

/// Whatever blocks, such as a name lookup that hangs, must not keep the process.
fn abandon(runtime: Runtime) {
    runtime.shutdown_background();
}
