//! A thousand browsers that lose their connections at once, and all come back.

use rustix::process::{Resource, getrlimit, setrlimit};

use crate::trial::{Front, Plan, Trial};

const STORM: Plan = Plan { browsers: 1000, per_second: 200, ..Plan::USUAL };

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_browsers_cut_at_once_lose_nothing() {
    raise_descriptor_limit();
    let trial = Trial::on_shared_node(Plan { front: Front::Relays, ..STORM }).await;
    for _ in 0..2 {
        trial.flows(200).await;
        for replica in &trial.replicas {
            replica.front().cut();
        }
    }
    trial.flows(200).await;
    let promise = trial.history.keeps_everything();
    trial.finish(promise).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_browsers_whose_replica_is_killed_lose_nothing() {
    raise_descriptor_limit();
    let mut trial = Trial::on_shared_node(STORM).await;
    trial.flows(200).await;
    trial.replicas[0].kill().await;
    trial.flows(100).await;
    trial.replicas[0].start_again().await;
    trial.replicas[1].kill().await;
    trial.flows(100).await;
    trial.replicas[1].start_again().await;
    trial.flows(100).await;
    let promise = trial.history.keeps_everything();
    trial.finish(promise).await;
}

/// Every resume ends amid events that are on their way to it already.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cuts_in_a_dense_flow_lose_nothing_and_double_nothing() {
    let plan = Plan { browsers: 40, per_second: 600, for_everyone: 100, front: Front::Relays, ..Plan::USUAL };
    let trial = Trial::on_shared_node(plan).await;
    for _ in 0..25 {
        trial.flows(150).await;
        for replica in &trial.replicas {
            replica.front().cut();
        }
    }
    trial.flows(150).await;
    let promise = trial.history.keeps_everything();
    trial.finish(promise).await;
}

/// With a ring that holds a tenth of a second, so that it answers hardly any of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_that_comes_back_too_late_for_the_ring_loses_nothing() {
    raise_descriptor_limit();
    let tiny = "memory = \"16KiB\"";
    let plan =
        Plan { browsers: 200, front: Front::Relays, stream_settings: tiny, memory_settings: tiny, ..Plan::USUAL };
    let trial = Trial::on_shared_node(plan).await;
    for _ in 0..3 {
        trial.flows(400).await;
        for replica in &trial.replicas {
            replica.front().cut();
        }
    }
    trial.flows(400).await;
    let promise = trial.history.keeps_everything();
    trial.finish(promise).await;
}

/// A browser and its relay take three descriptors of this process.
fn raise_descriptor_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
}
