//! A replica that goes: asked to, or killed; browsers go on at the other one and come back.

use crate::trial::{Plan, Trial};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_is_asked_to_end_loses_nothing() {
    let mut trial = Trial::on_shared_node(Plan::USUAL).await;
    for index in [0, 1] {
        trial.flows(300).await;
        trial.replicas[index].terminate().await;
        trial.flows(200).await;
        trial.replicas[index].start_again().await;
    }
    trial.flows(300).await;
    let promise = trial.history.keeps_everything();
    trial.finish(promise).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_is_killed_loses_nothing() {
    let mut trial = Trial::on_shared_node(Plan::USUAL).await;
    for index in [0, 1] {
        trial.flows(300).await;
        trial.replicas[index].kill().await;
        trial.flows(200).await;
        trial.replicas[index].start_again().await;
    }
    trial.flows(300).await;
    let promise = trial.history.keeps_everything();
    trial.finish(promise).await;
}

/// All browsers are at the one that is left, and then at the one that has just come.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_replicas_killed_in_turn_without_a_pause_lose_nothing() {
    let mut trial = Trial::on_shared_node(Plan::USUAL).await;
    trial.flows(300).await;
    for index in [0, 1, 0, 1] {
        trial.replicas[index].kill().await;
        trial.replicas[index].start_again().await;
    }
    trial.flows(300).await;
    let promise = trial.history.keeps_everything();
    trial.finish(promise).await;
}
