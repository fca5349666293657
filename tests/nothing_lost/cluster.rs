//! Three nodes, one of which dies.

use crate::promise::History;
use crate::support::rabbitmq::Cluster;
use crate::trial::{Plan, STREAM, Trial};

const BREAKING: Plan = Plan { broker_breaks: true, ..Plan::USUAL };

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_loses_its_leader_loses_nothing() {
    let cluster = Cluster::start(3).await;
    let trial = Trial::start(&cluster.nodes, BREAKING).await;
    trial.flows(300).await;
    let leader = match trial.history {
        History::Stream => cluster.leader(&trial.vhost, STREAM).await,
        // A queue of one process has no leader; this node has the publisher and most likely a queue.
        History::Memory => 0,
    };
    cluster.nodes[leader].kill().await;
    trial.flows(300).await;
    cluster.nodes[leader].start().await;
    trial.flows(300).await;
    let promise = trial.history.keeps_everything();
    trial.finish(promise).await;
}
