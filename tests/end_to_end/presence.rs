//! Users who come and go, as the application hears of it over RabbitMQ: once each, whatever the pages do in between.

use std::collections::BTreeMap;

use futures_util::StreamExt;
use lapin::options::{BasicConsumeOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{FieldTable, ShortString};
use lapin::{Channel, Connection, ConnectionProperties, Consumer};
use serde_json::Value;

use crate::scenario::Scenario;
use crate::support::application::Application;
use crate::support::deadline::{eventually, within};
use crate::support::metrics::Metrics;
use crate::support::rabbitmq::Node;

/// The application's ears: a durable queue of its own on its exchange.
struct Listener {
    consumer: Consumer,
    _channel: Channel,
    _connection: Connection,
}

impl Listener {
    async fn on(app: &Application) -> Self {
        let connection =
            Connection::connect(&app.url, ConnectionProperties::default()).await.expect("the broker is up");
        let channel = connection.create_channel().await.expect("a channel");
        let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        channel.queue_declare("who".into(), options, FieldTable::default()).await.expect("a queue");
        let bind = QueueBindOptions::default();
        let (exchange, key) = (app.exchange.as_str().into(), "sse.user.*.*".into());
        channel.queue_bind("who".into(), exchange, key, bind, FieldTable::default()).await.expect("bound");
        let options = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
        let consumer = channel.basic_consume("who".into(), "".into(), options, FieldTable::default());
        Self { consumer: consumer.await.expect("a consumer"), _channel: channel, _connection: connection }
    }

    /// The routing key and the body of the next message.
    async fn hears(&mut self) -> (String, Value) {
        let delivery = within("a presence message", self.consumer.next()).await.expect("the queue is there");
        let delivery = delivery.expect("the connection is up");
        assert_eq!(delivery.properties.delivery_mode(), &Some(2), "it outlives a restart of the broker");
        assert_eq!(delivery.properties.content_type().as_ref().map(ShortString::as_str), Some("application/json"));
        (delivery.routing_key.to_string(), serde_json::from_slice(&delivery.data).expect("JSON"))
    }

    async fn hears_key(&mut self) -> String {
        self.hears().await.0
    }
}

fn settings(app: &Application, linger: &str) -> String {
    format!("[presence]\nexchange = \"{}\"\nlinger = \"{linger}\"\nreplica = \"web-1\"", app.exchange)
}

async fn scenario_on(node: &Node, vhost: &str, linger: &str) -> (Scenario, Listener) {
    let app = Application::connect(node.vhost(vhost).await).await;
    let (settings, listener) = (settings(&app, linger), Listener::on(&app).await);
    let scenario = Scenario::start_for(app, &settings).await;
    scenario.server.metrics_until("the connection for presence", connected).await;
    (scenario, listener)
}

fn connected(metrics: &Metrics) -> bool {
    metrics.sum("amqp_presence_connected") > 0.5
}

#[tokio::test]
async fn the_first_stream_of_a_user_is_told_and_the_last_one_when_none_comes_back() {
    let (scenario, mut listener) = scenario_on(Node::shared().await, "presence", "300ms").await;
    let first = scenario.subscribe("ada").await;
    let (key, body) = listener.hears().await;
    assert_eq!(key, "sse.user.ada.online");
    assert_eq!((&body["user"], &body["state"], &body["streams"]), (&"ada".into(), &"online".into(), &1.into()));
    assert_eq!(body["replica"], "web-1");
    assert!(body["at"].as_str().is_some_and(|at| at.ends_with('Z')), "{body}");
    assert!(body.get("reason").is_none(), "{body}");

    let second = scenario.subscribe("ada").await;
    drop(first);
    let _bob = scenario.subscribe("bob").await;
    assert_eq!(listener.hears_key().await, "sse.user.bob.online", "and nothing of ada, who is still there");
    drop(second);
    let (key, body) = listener.hears().await;
    assert_eq!(key, "sse.user.ada.offline");
    assert_eq!((&body["streams"], &body["reason"]), (&0.into(), &"left".into()));
    let _again = scenario.subscribe("ada").await;
    assert_eq!(listener.hears_key().await, "sse.user.ada.online");
    // The broker may deliver a message before it confirms it.
    let counted = |metrics: &Metrics| {
        let published = |state| metrics.sum_where("amqp_presence_published_total", "state", state);
        (published("online") - 3.0).abs() < f64::EPSILON && (published("offline") - 1.0).abs() < f64::EPSILON
    };
    scenario.server.metrics_until("each message to be counted", counted).await;
}

#[tokio::test]
async fn a_page_that_is_left_for_another_does_not_flap() {
    let (scenario, mut listener) = scenario_on(Node::shared().await, "flapping", "60s").await;
    let mut page = scenario.subscribe("ada").await;
    assert_eq!(listener.hears_key().await, "sse.user.ada.online");
    for visit in 0..10 {
        drop(page);
        let gone = |metrics: &Metrics| metrics.sum("sse_active_connections") < 0.5;
        scenario.server.metrics_until("the page to be left", gone).await;
        page = scenario.subscribe("ada").await;
        let _other = scenario.subscribe(&format!("other-{visit}")).await;
        assert_eq!(listener.hears_key().await, format!("sse.user.other-{visit}.online"), "nothing of ada in between");
    }
}

#[tokio::test]
async fn no_name_of_a_user_makes_other_words() {
    let (scenario, mut listener) = scenario_on(Node::shared().await, "names", "0s").await;
    let long = "x".repeat(1000);
    for (user, word) in [("a.b", "a%2Eb"), ("*", "%2A"), ("#", "%23"), ("a.online", "a%2Eonline"), (&*long, "~")] {
        let mut stream = Some(scenario.subscribe(user).await);
        for state in ["online", "offline"] {
            let (key, body) = listener.hears().await;
            let words: Vec<&str> = key.split('.').collect();
            assert!(matches!(words[..], ["sse", "user", name, end] if name.starts_with(word) && end == state), "{key}");
            assert_eq!(body["user"], user);
            drop(stream.take());
        }
    }
}

#[tokio::test]
async fn while_the_broker_is_away_no_stream_is_lost_and_afterwards_the_newest_state_is_told() {
    let node = Node::private().await;
    let (scenario, mut listener) = scenario_on(&node, "presence-outage", "100ms").await;
    let mut stays = scenario.subscribe("stays").await;
    let goes = scenario.subscribe("goes").await;
    let returns = scenario.subscribe("returns").await;
    let mut heard = vec![listener.hears_key().await, listener.hears_key().await, listener.hears_key().await];
    heard.sort();
    assert_eq!(heard, ["sse.user.goes.online", "sse.user.returns.online", "sse.user.stays.online"]);

    node.stop().await;
    scenario.server.metrics_until("the connection for presence to be gone", |metrics| !connected(metrics)).await;
    drop((goes, returns));
    let _comes = scenario.subscribe("comes").await;
    let passes = scenario.subscribe("passes").await;
    drop(passes);
    let waiting = |metrics: &Metrics| metrics.sum("amqp_presence_waiting") >= 3.0;
    scenario.server.metrics_until("what is to be said to wait", waiting).await;
    let _returns = scenario.subscribe("returns").await;
    let three = |metrics: &Metrics| (metrics.sum("sse_active_connections") - 3.0).abs() < f64::EPSILON;
    scenario.server.metrics_until("three streams to be open", three).await;

    node.start().await;
    let app = scenario.app.reconnect().await;
    let mut listener = Listener::on(&app).await;
    let heard: BTreeMap<String, Value> = [listener.hears().await, listener.hears().await].into();
    let keys: Vec<&str> = heard.keys().map(String::as_str).collect();
    assert_eq!(keys, ["sse.user.comes.online", "sse.user.goes.offline"]);
    let _new = scenario.subscribe("new").await;
    assert_eq!(listener.hears_key().await, "sse.user.new.online", "and nothing of those who are as they were");
    // The other connection, on which events come, has a backoff of its own.
    let consumes = |metrics: &Metrics| metrics.sum("amqp_connected") > 0.5;
    scenario.server.metrics_until("messages to be consumed", consumes).await;
    app.publish("user.stays.hello", "still here").await;
    let mut message = stays.message().await;
    if message.name == "gap" {
        message = stays.message().await;
    }
    assert_eq!(message.data, "still here");
}

#[tokio::test]
async fn at_its_end_a_replica_says_that_its_users_are_gone_and_why() {
    let (mut scenario, mut listener) = scenario_on(Node::shared().await, "presence-end", "60s").await;
    let (_ada, _bob) = (scenario.subscribe("ada").await, scenario.subscribe("bob").await);
    listener.hears_key().await;
    listener.hears_key().await;
    scenario.server.terminate();
    let heard: BTreeMap<String, Value> = [listener.hears().await, listener.hears().await].into();
    let keys: Vec<&str> = heard.keys().map(String::as_str).collect();
    assert_eq!(keys, ["sse.user.ada.offline", "sse.user.bob.offline"]);
    assert!(heard.values().all(|body| body["reason"] == "drained"), "{heard:?}");
    assert!(scenario.server.exit().await.success());
}

#[tokio::test]
async fn an_exchange_that_is_missing_is_named_and_streams_do_not_care() {
    let app = Application::connect(Node::shared().await.vhost("presence-missing").await).await;
    let scenario = Scenario::start_for(app, "[presence]\nexchange = \"no-such-exchange\"").await;
    let named = async || scenario.server.log().contains("presence.exchange").then_some(());
    eventually("the log to name the setting", named).await;
    let mut stream = scenario.subscribe("ada").await;
    scenario.app.publish("user.ada.hello", "hi").await;
    assert_eq!(stream.message().await.data, "hi");
}
