//! The network between a replica and the broker: connections reset, or held back without a word.

use crate::trial::{Front, Plan, Trial};

const RELAYED: Plan = Plan { relayed_link: true, ..Plan::USUAL };

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_that_is_cut_again_and_again_loses_nothing() {
    let trial = Trial::on_shared_node(RELAYED).await;
    for round in 0..6 {
        trial.flows(150).await;
        trial.replicas[round % 2].link().cut();
    }
    for replica in &trial.replicas {
        replica.link().cut();
    }
    trial.flows(300).await;
    let promise = trial.history.keeps_everything();
    trial.finish(promise).await;
}

/// One replica falls behind without knowing it, while browsers go to and fro between the two.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_that_is_held_back_loses_nothing() {
    let plan = Plan { front: Front::Relays, ..RELAYED };
    let trial = Trial::on_shared_node(plan).await;
    trial.flows(300).await;
    trial.replicas[0].link().freeze();
    trial.flows(200).await;
    trial.replicas[1].front().cut();
    trial.replicas[0].broker_is(false).await;
    trial.replicas[0].front().cut();
    trial.replicas[0].link().thaw();
    trial.replicas[0].broker_is(true).await;
    trial.flows(300).await;
    let promise = trial.history.keeps_everything();
    trial.finish(promise).await;
}
