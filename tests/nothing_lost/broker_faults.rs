//! A broker that goes: restarted, killed, or frozen with its connections open.

use crate::support::rabbitmq::Node;
use crate::trial::{Plan, Trial};

const BREAKING: Plan = Plan { broker_breaks: true, ..Plan::USUAL };

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_is_restarted_loses_nothing() {
    let node = [Node::private().await];
    let trial = Trial::start(&node, BREAKING).await;
    trial.flows(300).await;
    node[0].stop().await;
    node[0].start().await;
    trial.flows(500).await;
    let promise = trial.history.keeps_everything();
    trial.finish(promise).await;
}

/// What the broker had confirmed is on its disk.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_is_killed_loses_nothing() {
    let node = [Node::private().await];
    let trial = Trial::start(&node, BREAKING).await;
    trial.flows(300).await;
    node[0].kill().await;
    node[0].start().await;
    trial.flows(500).await;
    let promise = trial.history.keeps_everything();
    trial.finish(promise).await;
}

/// A replica is replaced while the broker is away: it starts with nothing to read from.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_and_a_replica_that_are_away_together_lose_nothing() {
    let node = [Node::private().await];
    let mut trial = Trial::start(&node, BREAKING).await;
    trial.flows(300).await;
    node[0].kill().await;
    trial.replicas[0].kill().await;
    node[0].start().await;
    trial.replicas[0].start_again().await;
    trial.flows(300).await;
    let promise = trial.history.keeps_everything();
    trial.finish(promise).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_is_frozen_for_longer_than_its_heartbeats_loses_nothing() {
    let node = [Node::private().await];
    let trial = Trial::start(&node, BREAKING).await;
    trial.flows(300).await;
    node[0].freeze().await;
    for replica in &trial.replicas {
        replica.broker_is(false).await;
    }
    node[0].thaw().await;
    trial.flows(500).await;
    let promise = trial.history.keeps_everything();
    trial.finish(promise).await;
}
