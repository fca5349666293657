//! How a load is put on a server and what is read off meanwhile.

use std::time::Duration;

use super::{Figures, Plan};
use crate::control::Pace;
use crate::failure::Failure;
use crate::histogram::Histogram;
use crate::payload::Kind;
use crate::session::{Session, Window};

/// Streams of a storm.
const STORM_STREAMS: u32 = 10_000;

/// Publishes at the plan's rate: cost and latency of a delivery.
pub(super) fn paced(session: &mut Session, plan: &Plan) -> Result<Figures, Failure> {
    let window = at_rate(session, plan)?;
    let kind = plan.load.layout.topic_of_stream(0).kind;
    Ok(Box::new(move |account| {
        let latency = if kind == Kind::Channel { &account.of_channels } else { &account.of_users };
        let mut figures = cost(&window).to_vec();
        figures.extend(quantiles(latency, [500, 990, 999]));
        figures.extend([bytes(&window), window.generator_busy]);
        figures
    }))
}

/// Publishes at the plan's rate: latency of users beside that of a crowd.
pub(super) fn mixed(session: &mut Session, plan: &Plan) -> Result<Figures, Failure> {
    let window = at_rate(session, plan)?;
    Ok(Box::new(move |account| {
        let mut figures = quantiles(&account.of_users, [500, 990, 999]).to_vec();
        figures.extend(quantiles(&account.of_channels, [500, 990]));
        figures.extend([cost(&window)[0], window.generator_busy]);
        figures
    }))
}

/// Publishes as much as is received, so that the slowest part sets the pace.
///
/// Every server is driven alike: the same number of events under way per topic, the same publisher thread (for peers, a
/// publisher process), the same news of progress. What waits, and can be merged, is bounded alike too; see `server/bare.rs`.
pub(super) fn saturated(session: &mut Session, plan: &Plan) -> Result<Figures, Failure> {
    let pace = Pace::Outstanding(plan.outstanding);
    session.open()?;
    session.publish(pace, plan.warm_up())?;
    let window = session.publish(pace, plan.time)?;
    // Less than 1 by much: the window was the limit, not the server.
    let server_busy = window.cpu.total().as_secs_f64() / (window.wall.as_secs_f64() * plan.load.threads as f64);
    Ok(Box::new(move |account| {
        let mut figures = vec![window.deliveries as f64 / window.wall.as_secs_f64()];
        figures.extend(cost(&window));
        figures.extend(quantiles(&account.of_channels, [990]));
        figures.extend([bytes(&window), server_busy, window.generator_busy]);
        figures
    }))
}

pub(super) fn idle(session: &mut Session, plan: &Plan) -> Result<Figures, Failure> {
    let before = session.server().resident()? as f64;
    session.open()?;
    // What a server keeps only while it answers is gone after a while.
    std::thread::park_timeout(Duration::from_secs(1));
    let after = session.server().resident()? as f64;
    prove_alive(session)?;
    let streams = f64::from(plan.load.layout.streams);
    Ok(Box::new(move |_| vec![(after - before) / streams / 1024.0, before / 1_048_576.0, after / 1_048_576.0]))
}

pub(super) fn storm(session: &mut Session, plan: &Plan) -> Result<Figures, Failure> {
    let before = session.server().cpu()?;
    let time = session.open()?;
    let cpu = session.server().cpu()?.since(&before).total();
    prove_alive(session)?;
    let streams = f64::from(plan.load.layout.streams);
    Ok(Box::new(move |account| {
        let mut figures = vec![streams / time.as_secs_f64(), time.as_secs_f64(), microseconds(cpu) / streams];
        figures.extend(quantiles(&account.opening, [500, 990]));
        figures
    }))
}

/// Latency at the plan's rate without and with a storm, each on a fresh server.
pub(super) fn live_storm(session: &mut Session, plan: &Plan) -> Result<Figures, Failure> {
    let mut without = Session::start(plan.load)?;
    at_rate(&mut without, plan)?;
    let calm = without.close()?;
    if !calm.faults.none() {
        return Err(Failure::Opening(format!("before the storm: {}", calm.faults)));
    }
    let pace = Pace::Rate(plan.events_per_second());
    session.open()?;
    session.publish(pace, plan.warm_up())?;
    let storm = session.storm(STORM_STREAMS)?;
    let published = session.publish(pace, plan.time);
    let opened = storm.end()?;
    published?;
    Ok(Box::new(move |account| {
        let [calm, during] = [&calm, account].map(|account| quantiles(&account.of_channels, [990])[0]);
        vec![calm, during, during / calm, opened]
    }))
}

fn at_rate(session: &mut Session, plan: &Plan) -> Result<Window, Failure> {
    let pace = Pace::Rate(plan.events_per_second());
    session.open()?;
    session.publish(pace, plan.warm_up())?;
    session.publish(pace, plan.time)
}

/// A few events, which the account then expects on every stream.
fn prove_alive(session: &mut Session) -> Result<(), Failure> {
    session.publish(Pace::Rate(10), Duration::from_millis(500))?;
    Ok(())
}

/// Microseconds per delivery: the server's processes, their user part, and the publisher.
fn cost(window: &Window) -> [f64; 3] {
    [window.cpu.total(), window.cpu.user, window.publisher_cpu]
        .map(|time| microseconds(time) / window.deliveries.max(1) as f64)
}

/// Bytes on the wire per delivery.
fn bytes(window: &Window) -> f64 {
    window.bytes as f64 / window.deliveries.max(1) as f64
}

/// In milliseconds, of thousandths.
fn quantiles<const N: usize>(of: &Histogram, per_mille: [u64; N]) -> [f64; N] {
    per_mille.map(|per_mille| of.quantile(per_mille).as_secs_f64() * 1e3)
}

fn microseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
