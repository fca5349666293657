//! Replicas that are replaced one after the other under load, as Kubernetes does it, behind a gateway that is told of each step.

use std::time::{Duration, Instant};

use crate::browser::Browser;
use crate::replica::Replica;
use crate::support::deadline::eventually;
use crate::trial::{Front, Plan, Trial};
use crate::visitors::Visitors;

const WINDOW_SECONDS: usize = 4;
const BROWSERS: usize = 300;
/// `drain_delay` is for the gateway to be told of the replica's end.
const ROLLED_OUT: Plan = Plan {
    browsers: BROWSERS,
    per_second: 200,
    front: Front::Gateway,
    server_settings: "drain_delay = \"2s\"\ndrain_window = \"4s\"",
    ..Plan::USUAL
};

/// Whether a replica's successor is there before it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    /// A Deployment with `maxSurge: 1, maxUnavailable: 0`, as the chart's.
    SuccessorFirst,
    /// As of a `StatefulSet`, or with no room for one more.
    PredecessorFirst,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollout_whose_successors_come_first_loses_nothing_and_spreads_reconnections() {
    roll_out(Order::SuccessorFirst).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollout_that_goes_down_to_one_replica_loses_nothing_and_spreads_reconnections() {
    roll_out(Order::PredecessorFirst).await;
}

async fn roll_out(order: Order) {
    let mut trial = Trial::on_shared_node(ROLLED_OUT).await;
    let visitors = Visitors::enter(trial.gateway().address());
    trial.flows(200).await;
    for index in [0, 1] {
        let (begun, streams) = (Instant::now(), trial.replicas[index].streams().await);
        replace(&mut trial, index, order).await;
        trial.flows(200).await;
        are_spread(&trial.browsers, begun, streams).await;
    }
    visitors.were_all_served().await;
    let promise = trial.history.keeps_everything();
    trial.finish(promise).await;
}

/// Replaces a replica. Its `preStop` and the news for the gateway go out together, as a pod's deletion has them.
async fn replace(trial: &mut Trial, index: usize, order: Order) {
    let other = trial.replicas[1 - index].address();
    let mut successor = None;
    if order == Order::SuccessorFirst {
        let replica = trial.replicas[index].start_another().await;
        let all = [other, trial.replicas[index].address(), replica.address()];
        trial.gateway().send_to(&all).await;
        successor = Some(replica);
    }
    let remaining: Vec<_> = successor.iter().map(Replica::address).chain([other]).collect();
    let (replica, gateway) = trial.replica_and_gateway(index);
    tokio::join!(replica.drain(), gateway.send_to(&remaining));
    replica.terminate().await;
    if let Some(successor) = successor {
        *replica = successor;
        return;
    }
    replica.start_again().await;
    let all = [other, replica.address()];
    gateway.send_to(&all).await;
}

/// Those who had a stream of the replica that was drained come back, once each, and no second has more of them than its share.
async fn are_spread(browsers: &[Browser], begun: Instant, streams: usize) {
    let mut times = eventually("its browsers to come back", async || {
        let times: Vec<_> = browsers.iter().flat_map(Browser::requests).filter(|at| *at > begun).collect();
        (times.len() >= streams).then_some(times)
    })
    .await;
    times.sort_unstable();
    assert_eq!(times.len(), streams, "each of them asks once");
    // Half as much again is for a machine that is busy with other things.
    let allowed = streams.div_ceil(WINDOW_SECONDS) * 3 / 2;
    let in_the_second_from =
        |from: &Instant| times.iter().filter(|at| *at >= from && **at - *from < Duration::from_secs(1)).count();
    let most = times.iter().map(in_the_second_from).max().unwrap_or_default();
    assert!(most <= allowed, "{most} of {streams} came in one second; {allowed} are allowed");
}

/// Nobody tells this gateway of a replica that goes: it finds out by itself, and asks the other one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_is_told_nothing_of_a_restart_still_serves_everybody() {
    let mut trial = Trial::on_shared_node(ROLLED_OUT).await;
    let visitors = Visitors::enter(trial.gateway().address());
    for index in [0, 1] {
        trial.flows(200).await;
        trial.replicas[index].drain().await;
        trial.replicas[index].terminate().await;
        trial.flows(200).await;
        trial.replicas[index].start_again().await;
    }
    trial.flows(200).await;
    visitors.were_all_served().await;
    let promise = trial.history.keeps_everything();
    trial.finish(promise).await;
}

/// Where there is no other replica nothing can answer but the gateway, and it must not say 502 to a browser.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_single_replica_that_restarts_behind_the_gateway_makes_no_browser_give_up() {
    let mut trial = Trial::on_shared_node(Plan { browsers: 60, ..ROLLED_OUT }).await;
    let only = trial.replicas[0].address();
    trial.gateway().send_to(&[only]).await;
    trial.replicas[1].drain().await;
    trial.flows(200).await;
    trial.replicas[0].kill().await;
    trial.flows(200).await;
    trial.replicas[0].start_again().await;
    trial.flows(200).await;
    let promise = trial.history.keeps_everything();
    trial.finish(promise).await;
}

/// After its greatest age each stream is opened anew, on a replica that the gateway chooses among all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_is_added_has_its_share_of_the_streams_after_their_greatest_age() {
    let aging = "max_connection_age = \"4s\"";
    let mut trial = Trial::on_shared_node(Plan { browsers: 200, delivery_settings: aging, ..ROLLED_OUT }).await;
    let only = trial.replicas[0].address();
    trial.gateway().send_to(&[only]).await;
    trial.replicas[1].drain().await;
    assert_eq!(trial.replicas[1].streams().await, 0);
    trial.replicas[1].terminate().await;
    trial.replicas[1].start_again().await;
    let added = Instant::now();
    let all = trial.addresses();
    trial.gateway().send_to(&all).await;
    eventually("every browser to be opened anew", async || {
        let again = |browser: &Browser| browser.requests().last().is_some_and(|at| *at > added);
        trial.browsers.iter().all(again).then_some(())
    })
    .await;
    let streams = [trial.replicas[0].streams().await, trial.replicas[1].streams().await];
    assert!(streams.iter().all(|count| (70..=130).contains(count)), "{streams:?} of 200");
    let promise = trial.history.keeps_everything();
    trial.finish(promise).await;
}
