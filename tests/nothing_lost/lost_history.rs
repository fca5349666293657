//! History that is really gone: the queue or stream deleted, or cut short by retention; browsers are told once.

use crate::support::rabbitmq::Node;
use crate::trial::{Plan, Trial};

/// A queue that is exclusive may be gone with its connection before its turn comes.
async fn delete_every_queue(vhost: &str) {
    let expression = format!(
        "[catch rabbit_amqqueue:delete(Q, false, false, <<\"test\">>) || Q <- rabbit_amqqueue:list(<<\"{vhost}\">>)]."
    );
    Node::shared().await.ctl(&["eval", &expression]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_queue_is_told_by_one_gap() {
    let trial = Trial::on_shared_node(Plan::USUAL).await;
    trial.flows(300).await;
    delete_every_queue(&trial.vhost).await;
    trial.flows(500).await;
    for browser in &trial.browsers {
        browser.hears_of_a_gap().await;
    }
    let promise = trial.history.may_have_one_gap();
    trial.finish(promise).await;
}

/// Nothing of the old history tells its ids from those of the new one but what stands in the messages.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_id_from_before_a_deletion_is_told_by_one_gap() {
    let mut trial = Trial::on_shared_node(Plan::USUAL).await;
    let wants = trial.browsers[0].wants.clone();
    trial.flows(300).await;
    let (number, id) = trial.browsers[0].last_event().await;
    delete_every_queue(&trial.vhost).await;
    // Far enough for the new history to have reached the old one's offsets.
    trial.flows(1000).await;
    let request = trial.request("/events", &wants);
    let late = trial.open("late", request, &wants, &id);
    late.hears_of_a_gap().await;
    let promise = trial.history.may_have_one_gap();
    trial.finish_with(promise, vec![(late, promise, number + 1)]).await;
}

/// What the stream keeps lasts for seconds, so that nobody who is reading it is overtaken, however busy the machine is.
const SHORT_LIVED: Plan = Plan {
    browsers: 20,
    per_second: 120,
    padding: 16 * 1024,
    stream_settings: "max_bytes = \"8MiB\"\nsegment_bytes = \"1MB\"\nmemory = \"256KiB\"",
    memory_settings: "memory = \"256KiB\"",
    ..Plan::USUAL
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_id_that_retention_has_passed_is_told_by_one_gap() {
    let mut trial = Trial::on_shared_node(SHORT_LIVED).await;
    let wants = trial.browsers[0].wants.clone();
    trial.flows(20).await;
    let (number, id) = trial.browsers[0].last_event().await;
    trial.flows(800).await;
    let request = trial.request("/events", &wants);
    let late = trial.open("late", request, &wants, &id);
    late.hears_of_a_gap().await;
    let (everything, one_gap) = (trial.history.keeps_everything(), trial.history.may_have_one_gap());
    trial.finish_with(everything, vec![(late, one_gap, number + 1)]).await;
}
