//! What a broker refuses, and the setting that the sentence about it names.

use cottontail::broker::BrokerConfig;
use cottontail::setting::Secret;

use crate::harness::{Running, config};
use crate::rabbitmq::Node;

async fn sentence(config: BrokerConfig) -> String {
    let mut running = Running::start(config);
    let sentence = running.problem().await;
    running.stop().await;
    assert!(!sentence.contains("hunter2"), "{sentence}");
    sentence
}

#[tokio::test]
async fn a_wrong_password_and_a_wrong_vhost_are_told_apart() {
    let node = Node::shared().await;
    let login = sentence(config(&node.url("guest:hunter2", "%2f"))).await;
    assert!(login.contains("password") && login.contains("`broker.urls`"), "{login}");
    let vhost = sentence(config(&node.url("guest:guest", "nowhere"))).await;
    assert!(vhost.contains("vhost in `broker.urls`") && vhost.contains("nowhere"), "{vhost}");
}

#[tokio::test]
async fn a_missing_exchange_is_waited_for() {
    let url = Node::shared().await.vhost("missing").await;
    let absent = BrokerConfig { declare: false, ..config(&url) };
    let mut running = Running::start(absent.clone());
    let sentence = running.problem().await;
    assert!(sentence.contains("`broker.exchange`") && sentence.contains(&absent.exchange), "{sentence}");
    let creator = Running::up(BrokerConfig { declare: true, ..absent }).await;
    running.until(|state| state.connected).await;
    assert_eq!(running.next_interruption().await, 1);
    running.publish("user.1").await;
    assert_eq!(running.next_message().await, (2, "user.1".into()));
    running.stop().await;
    creator.stop().await;
}

#[tokio::test]
async fn an_exchange_of_another_kind_is_used_but_not_declared() {
    let node = Node::shared().await;
    let url = node.vhost("fanout").await;
    let fanout = BrokerConfig { exchange: "amq.fanout".into(), ..config(&url) };
    let sentence = sentence(fanout.clone()).await;
    assert!(sentence.contains("`broker.declare = false`"), "{sentence}");
    let mut running = Running::up(BrokerConfig { declare: false, ..fanout }).await;
    running.publish("any.key").await;
    assert_eq!(running.next_message().await.1, "any.key");
    running.stop().await;
}

#[tokio::test]
async fn a_lacking_right_is_named() {
    let node = Node::shared().await;
    node.vhost("rights").await;
    node.ctl(&["add_user", "limited", "hunter2"]).await;
    let url = node.url("limited:hunter2", "rights");
    let existing = BrokerConfig { declare: false, exchange: "amq.topic".into(), ..config(&url) };
    let allow = async |configure: &str, write: &str, read: &str| {
        node.ctl(&["set_permissions", "--vhost", "rights", "limited", configure, write, read]).await;
    };
    let queue = "^cottontail\\.";
    allow("^$", "^$", "^$").await;
    let without_any = sentence(existing.clone()).await;
    assert!(without_any.contains("lacks a right") && without_any.contains("limited"), "{without_any}");
    allow("^$", ".*", ".*").await;
    let without_configure = sentence(existing.clone()).await;
    assert!(without_configure.contains("needs configure on queues"), "{without_configure}");
    let declaring = sentence(BrokerConfig { declare: true, exchange: "own".into(), ..existing.clone() }).await;
    assert!(declaring.contains("configure on the exchange"), "{declaring}");
    allow(queue, queue, queue).await;
    let without_read = sentence(existing.clone()).await;
    assert!(without_read.contains("read on the exchange"), "{without_read}");
    allow(queue, queue, "^(cottontail\\.|amq\\.topic$)").await;
    let running = Running::up(existing).await;
    let outcome = cottontail::broker::publish_once(&running.config, &crate::harness::message("user.1")).await;
    let refusal = outcome.expect_err("no right to write").to_string();
    assert!(refusal.contains("write on the exchange"), "{refusal}");
    running.stop().await;
}

#[tokio::test]
async fn an_address_that_has_no_name_is_unreachable() {
    let mut nowhere = config("amqp://guest:hunter2@no-such-host.invalid");
    nowhere.urls.push(Secret::new("amqp://guest:hunter2@no-such-host.invalid:1"));
    let sentence = sentence(nowhere).await;
    assert!(sentence.contains("cannot be reached"), "{sentence}");
}
