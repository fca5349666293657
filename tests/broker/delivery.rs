//! Messages on a broker that works.

use std::time::{Duration, Instant};

use cottontail::broker::{BrokerConfig, Failure, publish_once};
use cottontail::event::{Message, Scalar};
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Connection, ConnectionProperties};

use crate::harness::{LIMIT, Running, Seen, config, message};
use crate::rabbitmq::{self, Node};

#[tokio::test]
async fn a_message_arrives_as_it_was_published() {
    let mut running = Running::up(config(&rabbitmq::vhost("arrives").await)).await;
    let sent = Message {
        routing_key: "user.42.greeted".into(),
        headers: vec![("tenant".into(), Scalar::Text("ä".into()))],
        properties: vec![("type", Scalar::Text("greeting".into())), ("priority", Scalar::Integer(3))],
        body: "{\"text\":\"hi\"}".into(),
    };
    publish_once(&running.config, &sent).await.expect("published");
    assert_eq!(running.next().await, Seen::Message(2, sent));
    running.publish("user.42").await;
    assert_eq!(running.next_message().await, (3, "user.42".into()));
    running.stop().await;
}

#[tokio::test]
async fn a_body_of_many_frames_and_an_empty_one_arrive_whole() {
    let mut running = Running::up(config(&rabbitmq::vhost("sizes").await)).await;
    for size in [0, 1, 300_000] {
        let sent = Message { body: vec![b'x'; size].into(), ..message("user.1") };
        publish_once(&running.config, &sent).await.expect("published");
        assert!(matches!(running.next().await, Seen::Message(_, got) if got == sent), "{size} bytes");
    }
    running.stop().await;
}

#[tokio::test]
async fn a_key_that_no_queue_is_bound_for_is_said_to_reach_nobody() {
    let running = Running::up(config(&rabbitmq::vhost("unbound").await)).await;
    let outcome = publish_once(&running.config, &message("nobody.listens")).await;
    assert!(matches!(&outcome, Err(Failure::Unroutable { key }) if key == "nobody.listens"), "{outcome:?}");
    let elsewhere = BrokerConfig { exchange: "no such exchange".into(), ..running.config.clone() };
    let outcome = publish_once(&elsewhere, &message("user.1")).await;
    assert!(matches!(outcome, Err(Failure::ExchangeMissing { .. })), "{outcome:?}");
    running.stop().await;
}

#[tokio::test]
async fn an_intake_that_is_not_ready_holds_back_no_more_than_the_prefetch() {
    let node = Node::shared().await;
    let settings = BrokerConfig { prefetch: 50, ..config(&node.vhost("prefetch").await) };
    let mut running = Running::up_but_shut(settings).await;
    publish_many(&running.config, 500).await;
    queue_shows(node, "prefetch", "450\t50").await;
    running.open.send_replace(true);
    for offset in 2..=501 {
        assert_eq!(running.next_message().await.0, offset);
    }
    // Also the last ones, which fill no batch.
    queue_shows(node, "prefetch", "0\t0").await;
    running.stop().await;
}

#[tokio::test]
async fn a_queue_that_overflows_drops_its_oldest_messages_and_says_so_where_they_are_missing() {
    let node = Node::shared().await;
    let settings = BrokerConfig { prefetch: 4, queue_max_length: 10, ..config(&node.vhost("overflow").await) };
    let mut running = Running::up_but_shut(settings).await;
    publish_many(&running.config, 100).await;
    queue_shows(node, "overflow", "10\t4").await;
    running.open.send_replace(true);
    for number in 0..4_u64 {
        assert_eq!(running.next_message().await, (number + 2, format!("user.{number}")));
    }
    assert_eq!(running.next().await, Seen::Interrupted(6, "broker_queue_full"));
    let (mut messages, mut interruptions) = (Vec::new(), 0);
    while messages.len() < 10 {
        match running.next().await {
            Seen::Message(_, message) => messages.push(message.routing_key),
            // Once more, for what was dropped while the first notice was on its way.
            Seen::Interrupted(_, reason) => interruptions += usize::from(reason == "broker_queue_full"),
        }
    }
    assert_eq!(messages, (90..100).map(|number| format!("user.{number}")).collect::<Vec<_>>());
    assert!(interruptions <= 1, "{interruptions}");
    queue_shows(node, "overflow", "0\t0").await;
    assert!(running.status.is_connected());
    running.stop().await;
}

#[tokio::test]
async fn an_overflow_that_goes_on_is_announced_at_a_limited_rate_and_ends() {
    let node = Node::shared().await;
    let settings = BrokerConfig { prefetch: 2, queue_max_length: 1, ..config(&node.vhost("overflows").await) };
    let mut running = Running::up(settings).await;
    let start = Instant::now();
    publish_many(&running.config, 20_000).await;
    let newest = "user.19999";
    let mut interruptions = 0;
    loop {
        match running.next().await {
            Seen::Message(_, message) if message.routing_key == newest => break,
            Seen::Message(..) => {}
            Seen::Interrupted(_, reason) => interruptions += u128::from(reason == "broker_queue_full"),
        }
    }
    let most = start.elapsed().as_millis() / 300 + 1;
    assert!((1..=most).contains(&interruptions), "{interruptions} of at most {most}");
    assert!(running.status.is_connected());
    running.stop().await;
}

#[tokio::test]
async fn stopping_is_quick_and_leaves_nothing_behind() {
    let node = Node::shared().await;
    let running = Running::up(config(&node.vhost("stops").await)).await;
    let mut status = running.status.clone();
    running.publish("user.1").await;
    let start = Instant::now();
    running.stop().await;
    // A broker that is busy with other tests may be slow to say goodbye, for which it has 2 s.
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    assert!(!status.is_connected());
    assert!(status.wait_for(|state| state.connected).await.is_none());
    for list in ["list_queues", "list_exchanges"] {
        let left = node.ctl(&[list, "--vhost", "stops", "name", "--no-table-headers"]).await;
        assert!(!left.contains("cottontail."), "{list}: {left}");
    }
}

/// Publishes `user.0`, `user.1`, … on one connection and waits until the broker has them all.
async fn publish_many(config: &BrokerConfig, count: usize) {
    let url = config.urls[0].expose();
    let connection = Connection::connect(url, ConnectionProperties::default()).await.expect("a broker");
    let channel = connection.create_channel().await.expect("a channel");
    channel.confirm_select(ConfirmSelectOptions::default()).await.expect("confirms");
    let (exchange, options) = (config.exchange.as_str(), BasicPublishOptions::default());
    for number in 0..count {
        let key = format!("user.{number}").into();
        channel.basic_publish(exchange.into(), key, options, b"{}", BasicProperties::default()).await.expect("sent");
    }
    channel.wait_for_confirms().await.expect("confirmed");
    connection.close(200, "OK".into()).await.expect("closed");
}

/// Waits until the queue of messages in `vhost` shows these counts of ready and of unacknowledged messages.
async fn queue_shows(node: &Node, vhost: &str, expected: &str) {
    let columns = ["name", "messages_ready", "messages_unacknowledged"];
    let arguments = [&["list_queues", "--no-table-headers", "--vhost", vhost], &columns[..]].concat();
    let deadline = Instant::now() + LIMIT;
    loop {
        let shown = node.ctl(&arguments).await;
        let messages = shown.lines().find(|line| !line.contains(".dropped\t"));
        if messages.and_then(|line| line.split_once('\t')).is_some_and(|(_, counts)| counts == expected) {
            return;
        }
        assert!(Instant::now() < deadline, "expected {expected:?}, the queue shows {shown:?}");
    }
}
