//! Streams with nothing in them, or nothing of Cottontail's own: what replicas and browsers make of their beginning.

use std::time::{Duration, Instant, SystemTime};

use cottontail::broker::BrokerConfig;
use cottontail::hub::Beginning;
use lapin::options::{QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Connection, ConnectionProperties};

use crate::harness::{config, disturbed};
use crate::rabbitmq::Node;
use crate::replica::{Replica, history};
use crate::stream::{publish, until};
use crate::unreadable::{UNREADABLE, publish_spoiled};

/// The URL of a vhost to a user who may not write to the default exchange, and so not mark a stream's beginning.
async fn without_markers(vhost: &str) -> String {
    let node = Node::shared().await;
    node.vhost(vhost).await;
    let own = "^(cottontail\\.|events\\.)";
    node.ctl(&["add_user", vhost, "hunter2"]).await;
    node.ctl(&["set_permissions", "--vhost", vhost, vhost, own, own, own]).await;
    node.url(&format!("{vhost}:hunter2"), vhost)
}

fn a_minute_ago() -> Beginning {
    let minute = Duration::from_secs(60);
    Beginning::Since { time: SystemTime::now() - minute, instant: Instant::now().checked_sub(minute) }
}

/// Declares the stream as an operator would, bound and without a marker.
pub(crate) async fn declare(config: &BrokerConfig) {
    let properties = ConnectionProperties::default();
    let connection = Connection::connect(config.urls[0].expose(), properties).await.expect("a broker");
    let channel = connection.create_channel().await.expect("a channel");
    let options = lapin::options::ExchangeDeclareOptions { durable: true, ..Default::default() };
    let (exchange, stream) = (config.exchange.as_str(), "cottontail.events");
    let kind = lapin::ExchangeKind::Topic;
    channel.exchange_declare(exchange.into(), kind, options, FieldTable::default()).await.expect("declared");
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString("stream".into()));
    channel.queue_declare(stream.into(), QueueDeclareOptions::durable(), arguments).await.expect("declared");
    let (key, none) = ("user.#".into(), FieldTable::default());
    channel.queue_bind(stream.into(), exchange.into(), key, QueueBindOptions::default(), none).await.expect("bound");
    connection.close(200, "OK".into()).await.expect("closed");
}

#[tokio::test]
async fn a_stream_that_must_not_be_marked_serves_all_the_same() {
    let config = config(&without_markers("unmarked").await);
    let replica = Replica::up(&config, &history()).await;
    let mut new = replica.open(Beginning::Now).await;
    let empty = new.id.clone();
    let mut since = replica.open(a_minute_ago()).await;
    let mut back = replica.open(Beginning::After(empty.clone())).await;
    assert!(back.resumed);
    publish(&config, ["user.1.a", "user.1.b"]).await;
    for stream in [&mut new, &mut since, &mut back] {
        assert_eq!(until(stream, "b").await, ["a", "b"]);
    }
    let other = Replica::up(&config, &history()).await;
    let mut elsewhere = other.open(Beginning::After(empty)).await;
    assert_eq!(elsewhere.next().await.name, "gap", "only the first replica knows what its id means");
    let mut resumed = other.open(Beginning::After(new.id.clone())).await;
    assert!(resumed.resumed);
    publish(&config, ["user.1.c"]).await;
    assert_eq!([resumed.next().await.name, elsewhere.next().await.name], ["c", "c"]);
    replica.stop().await;
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unreadable_message_at_the_head_is_stepped_over() {
    let config = config(&without_markers("unmarked-spoiled").await);
    let replica = Replica::up(&config, &history()).await;
    let mut stream = replica.open(Beginning::Now).await;
    let unreadable = format!("user.1.{UNREADABLE}");
    publish_spoiled(&config, [unreadable.as_str(), &unreadable, "user.1.a"]).await;
    assert_eq!(until(&mut stream, "a").await, ["gap", "a"]);
    replica.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_time_that_leads_to_the_unreadable_is_a_gap_and_keeps_nobody_waiting() {
    let config = config(&Node::shared().await.vhost("since-spoiled").await);
    declare(&config).await;
    let unreadable = format!("user.1.{UNREADABLE}");
    publish_spoiled(&config, [unreadable.as_str(), "user.1.a"]).await;
    publish(&config, ["user.1.b"]).await;
    let replica = Replica::up(&config, &history()).await;
    let mut since = replica.open(a_minute_ago()).await;
    publish(&config, ["user.1.c"]).await;
    assert_eq!(until(&mut since, "c").await[0], "gap");
    replica.stop().await;
}

/// While a memory alarm holds publishers back, nobody confirms a marker.
#[tokio::test]
async fn a_broker_that_takes_no_messages_for_now_keeps_no_replica_from_starting() {
    let node = disturbed().await;
    let config = config(&node.vhost("alarmed").await);
    declare(&config).await;
    node.ctl(&["set_vm_memory_high_watermark", "0.0001"]).await;
    let replica = Replica::up(&config, &history()).await;
    let mut stream = replica.open(Beginning::Now).await;
    node.ctl(&["set_vm_memory_high_watermark", "0.4"]).await;
    publish(&config, ["user.1.a"]).await;
    assert_eq!(until(&mut stream, "a").await, ["a"]);
    replica.stop().await;
}
