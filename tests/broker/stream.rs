//! The history on a RabbitMQ stream: what a browser gets from replicas that come, go and share nothing but the broker.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytesize::ByteSize;
use cottontail::broker::{BrokerConfig, publish_once};
use cottontail::event::{Message, Scalar};
use cottontail::hub::{Beginning, HistoryConfig};
use futures_util::future::join_all;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Connection, ConnectionProperties};

use crate::beginning::declare;
use crate::harness::{config, disturbed, message, metrics, unhurried};
use crate::rabbitmq::{self, Node};
use crate::replica::{Replica, history};

/// Publishes to each of `keys` in order, on one connection.
pub(crate) async fn publish(config: &BrokerConfig, keys: impl IntoIterator<Item = &str>) {
    let connection =
        Connection::connect(config.urls[0].expose(), ConnectionProperties::default()).await.expect("a broker");
    let channel = connection.create_channel().await.expect("a channel");
    channel.confirm_select(ConfirmSelectOptions::default()).await.expect("confirms");
    let (exchange, options) = (config.exchange.as_str(), BasicPublishOptions::default());
    for key in keys {
        channel
            .basic_publish(exchange.into(), key.into(), options, b"{}", BasicProperties::default())
            .await
            .expect("sent");
    }
    channel.wait_for_confirms().await.expect("confirmed");
    connection.close(200, "OK".into()).await.expect("closed");
}

/// Every name of a stream's events until `last` came.
pub(crate) async fn until(stream: &mut crate::replica::Reader, last: &str) -> Vec<String> {
    let mut names = Vec::new();
    while names.last().is_none_or(|name| name != last) {
        names.push(stream.next().await.name);
    }
    names
}

pub(crate) async fn delete_stream(node: &Node, vhost: &str) {
    let delete = format!(
        "[catch rabbit_amqqueue:delete(Q, false, false, <<\"test\">>) || Q <- rabbit_amqqueue:list(<<\"{vhost}\">>)]."
    );
    node.ctl(&["eval", &delete]).await;
}

#[tokio::test]
async fn the_stream_is_declared_with_retention_and_bound() {
    let node = Node::shared().await;
    let config = config(&node.vhost("stream-declared").await);
    let replica = Replica::up(&config, &history()).await;
    let columns = ["name", "type", "arguments"];
    let queues =
        node.ctl(&[&["list_queues", "--no-table-headers", "--vhost", "stream-declared"], &columns[..]].concat()).await;
    for expected in ["cottontail.events", "stream", "3600s", "1073741824", "20971520"] {
        assert!(queues.contains(expected), "{expected} in {queues}");
    }
    let mut stream = replica.open(Beginning::Now).await;
    publish(&config, ["user.1.hello"]).await;
    assert_eq!(stream.next().await.name, "hello");
    replica.stop().await;
}

#[tokio::test]
async fn an_id_means_the_same_on_every_replica_and_after_a_restart() {
    let config = config(&rabbitmq::vhost("stream-replicas").await);
    let [one, two] = [Replica::up(&config, &history()).await, Replica::up(&config, &history()).await];
    let mut streams = [one.open(Beginning::Now).await, two.open(Beginning::Now).await];
    publish(&config, ["user.1.a", "user.1.b", "user.2.c", "user.1.d"]).await;
    let mut ids = Vec::new();
    for name in ["a", "b", "d"] {
        let [first, second] = [streams[0].next().await, streams[1].next().await];
        assert_eq!((first.name.as_str(), &first.id), (name, &second.id));
        ids.push(first.id);
    }
    drop(streams);
    one.stop().await;
    two.stop().await;
    let later = Replica::up(&config, &history()).await;
    let mut stream = later.open(Beginning::After(ids[0].clone())).await;
    assert!(stream.resumed);
    assert_eq!((stream.next().await.id, stream.next().await.id), (ids[1].clone(), ids[2].clone()));
    later.stop().await;
}

#[tokio::test]
async fn what_is_older_than_the_ring_is_read_from_the_stream_up_to_the_present() {
    let config = config(&rabbitmq::vhost("stream-archive").await);
    let small = HistoryConfig { memory: ByteSize::kib(4), ..history() };
    let replica = Replica::up(&config, &small).await;
    let mut live = replica.open(Beginning::Now).await;
    let start = live.id.clone();
    let names: Vec<String> = (0..300).map(|number| format!("e{number}")).collect();
    let keys: Vec<String> = names.iter().map(|name| format!("user.1.{name}")).collect();
    publish(&config, keys[..299].iter().map(String::as_str)).await;
    assert_eq!(until(&mut live, "e298").await, names[..299]);
    let mut several = Vec::new();
    for _ in 0..20 {
        several.push(replica.open(Beginning::After(start.clone())).await);
    }
    publish(&config, [keys[299].as_str()]).await;
    for stream in &mut several {
        assert!(stream.resumed);
        assert_eq!(until(stream, "e299").await, names);
    }
    assert!(metrics().render().contains("sse_replayed_events_total"));
    replica.stop().await;
}

#[tokio::test]
async fn many_who_come_back_from_everywhere_share_readers_and_each_gets_what_follows_its_own_place() {
    let config = config(&rabbitmq::vhost("stream-everywhere").await);
    let replica = Replica::up(&config, &HistoryConfig { memory: ByteSize::b(1), ..history() }).await;
    let mut live = replica.open(Beginning::Now).await;
    let names: Vec<String> = (0..3000).map(|number| format!("e{number}")).collect();
    let keys: Vec<String> = names.iter().map(|name| format!("user.1.{name}")).collect();
    publish(&config, keys.iter().map(String::as_str)).await;
    let mut ids = Vec::new();
    for _ in &names {
        ids.push(live.next().await.id);
    }
    let mut streams = Vec::new();
    for place in (0..2999).step_by(37) {
        // From the middle on and then from the start: some join a reader on its way, others want an older place.
        let place = (place + 1500) % 2999;
        streams.push((place, replica.open(Beginning::After(ids[place].clone())).await));
    }
    for (place, stream) in &mut streams {
        assert!(stream.resumed, "{place}");
        let given = until(stream, "e2999").await;
        let expected = &names[*place + 1..];
        let wrong = given.iter().zip(expected).position(|(given, expected)| given != expected);
        assert!(given == expected, "{place}: {:?} at {wrong:?} of {}", wrong.map(|at| &given[at]), expected.len());
    }
    replica.stop().await;
}

#[tokio::test]
async fn who_takes_the_past_slowly_keeps_nobody_waiting_and_loses_nothing() {
    let config = config(&rabbitmq::vhost("stream-slow").await);
    let replica = Replica::up(&config, &HistoryConfig { memory: ByteSize::b(1), replay_readers: 1, ..history() }).await;
    let mut live = replica.open(Beginning::Now).await;
    let start = live.id.clone();
    let names: Vec<String> = (0..3000).map(|number| format!("e{number}")).collect();
    let keys: Vec<String> = names.iter().map(|name| format!("user.1.{name}")).collect();
    publish(&config, keys.iter().map(String::as_str)).await;
    assert_eq!(until(&mut live, "e2999").await, names);
    // The slow ones are opened and then left alone with far more than may wait for them.
    let mut slow =
        [replica.open(Beginning::After(start.clone())).await, replica.open(Beginning::After(start.clone())).await];
    let mut quick = replica.open(Beginning::After(start)).await;
    assert_eq!(until(&mut quick, "e2999").await, names);
    for stream in &mut slow {
        assert!(stream.resumed);
        assert_eq!(until(stream, "e2999").await, names);
    }
    replica.stop().await;
}

#[tokio::test]
async fn a_restarted_replica_answers_from_a_ring_that_it_has_filled() {
    let config = config(&rabbitmq::vhost("stream-warm").await);
    let first = Replica::up(&config, &history()).await;
    let mut live = first.open(Beginning::Now).await;
    publish(&config, ["user.1.a", "user.1.b", "user.1.c"]).await;
    until(&mut live, "c").await;
    first.stop().await;
    let warm = Replica::up(&config, &history()).await;
    // The three, and the marker that every stream begins with.
    assert_eq!(warm.ring_events(), 3);
    let mut last = warm.open(Beginning::Last(2)).await;
    assert_eq!([last.next().await.name, last.next().await.name], ["b", "c"]);
    warm.stop().await;
}

#[tokio::test]
async fn a_broker_restart_loses_and_repeats_nothing() {
    let node = disturbed().await;
    let config = config(&node.vhost("stream-restart").await);
    let replica = Replica::up(&config, &history()).await;
    let mut stream = replica.open(Beginning::Now).await;
    publish(&config, ["user.1.a", "user.1.b"]).await;
    assert_eq!(until(&mut stream, "b").await, ["a", "b"]);
    for crash in [false, true] {
        if crash {
            node.kill().await;
        } else {
            node.stop().await;
        }
        replica.until_connected(false).await;
        node.start().await;
        replica.until_connected(true).await;
        publish(&config, ["user.1.c", "user.1.d"]).await;
        assert_eq!(until(&mut stream, "d").await, ["c", "d"]);
    }
    replica.stop().await;
}

#[tokio::test]
async fn a_stream_that_was_created_again_is_a_gap_for_everybody() {
    let node = Node::shared().await;
    let config = config(&node.vhost("stream-again").await);
    let replica = Replica::up(&config, &history()).await;
    let mut stream = replica.open(Beginning::Now).await;
    publish(&config, ["user.1.a", "user.1.b", "user.1.c"]).await;
    until(&mut stream, "b").await;
    let id = stream.id.clone();
    until(&mut stream, "c").await;
    delete_stream(node, "stream-again").await;
    let gap = stream.next().await;
    assert!(gap.name == "gap" && gap.data.contains("history_changed"), "{gap:?}");
    publish(&config, ["user.1.d"]).await;
    assert_eq!(stream.next().await.name, "d");
    let mut late = replica.open(Beginning::After(id)).await;
    assert!(!late.resumed);
    let gap = late.next().await;
    assert!(gap.name == "gap" && gap.data.contains("unknown_id"), "{gap:?}");
    publish(&config, ["user.1.e"]).await;
    assert_eq!([stream.next().await.name, late.next().await.name], ["e", "e"]);
    replica.stop().await;
}

/// Its end never pauses, and is far from where the old one was.
#[tokio::test]
async fn a_shorter_stream_in_place_of_the_old_one_is_noticed_while_it_grows() {
    let node = Node::shared().await;
    let config = config(&node.vhost("stream-shorter").await);
    declare(&config).await;
    let replica = Replica::up(&config, &HistoryConfig { declare: false, ..history() }).await;
    let mut stream = replica.open(Beginning::Now).await;
    publish(&config, std::iter::repeat_n("user.2.old", 5000).chain(["user.1.last"])).await;
    until(&mut stream, "last").await;
    delete_stream(node, "stream-shorter").await;
    replica.until_connected(false).await;
    declare(&config).await;
    let growing = async {
        loop {
            publish(&config, ["user.1.new"]).await;
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    let seen = tokio::select! {
        () = growing => unreachable!("it grows for ever"),
        seen = until(&mut stream, "new") => seen,
    };
    assert_eq!(seen, ["gap", "new"]);
    replica.stop().await;
}

#[tokio::test]
async fn ids_of_a_stream_that_was_created_again_while_nobody_looked_are_unknown() {
    let node = Node::shared().await;
    let config = config(&node.vhost("stream-behind").await);
    let old = Replica::up(&config, &history()).await;
    let mut stream = old.open(Beginning::Now).await;
    let mut ids = vec![stream.id.clone()];
    publish(&config, ["user.1.a", "user.1.b", "user.1.c"]).await;
    for _ in 0..3 {
        ids.push(stream.next().await.id);
    }
    old.stop().await;
    delete_stream(node, "stream-behind").await;
    let small = HistoryConfig { memory: ByteSize::b(1), ..history() };
    let new = Replica::up(&config, &small).await;
    publish(&config, ["user.1.d", "user.1.e"]).await;
    let mut live = new.open(Beginning::Last(0)).await;
    publish(&config, ["user.1.f"]).await;
    until(&mut live, "f").await;
    for id in ids {
        let mut stream = new.open(Beginning::After(id.clone())).await;
        assert!(!stream.resumed, "{id}");
        let gap = stream.next().await;
        assert!(gap.name == "gap" && gap.data.contains("unknown_id"), "{id}: {gap:?}");
    }
    new.stop().await;
}

#[tokio::test]
async fn what_retention_removed_is_one_gap_and_the_rest_follows() {
    let node = Node::shared().await;
    let config = config(&node.vhost("stream-truncated").await);
    let settings = HistoryConfig {
        max_bytes: ByteSize::kib(200),
        segment_bytes: ByteSize::kib(100),
        memory: ByteSize::kib(16),
        ..history()
    };
    let replica = Replica::up(&config, &settings).await;
    let mut live = replica.open(Beginning::Now).await;
    let start = live.id.clone();
    let body = "x".repeat(50_000);
    for number in 0..60 {
        let large = Message { body: body.clone().into(), ..message(&format!("user.1.e{number}")) };
        publish_once(&config, &large).await.expect("published");
    }
    until(&mut live, "e59").await;
    let mut late = replica.open(Beginning::After(start)).await;
    assert!(!late.resumed);
    let gap = late.next().await;
    assert!(gap.name == "gap" && gap.data.contains("too_old"), "{gap:?}");
    let rest = until(&mut late, "e59").await;
    let first: usize = rest[0][1..].parse().expect("a number");
    assert!(first > 0 && rest.len() > 1, "{rest:?}");
    let expected: Vec<String> = (first..60).map(|number| format!("e{number}")).collect();
    assert_eq!(rest, expected);
    replica.stop().await;
}

#[tokio::test]
async fn a_broker_without_streams_is_told_in_one_sentence() {
    let node = Node::private_without_streams().await;
    let config = unhurried(&node.vhost("streamless").await);
    let replica = Replica::start(&config, &history());
    let sentence = replica.problem().await;
    assert!(sentence.contains("has no streams") && sentence.contains("history.kind"), "{sentence}");
    replica.stop().await;
}

#[tokio::test]
async fn a_stream_that_must_be_there_and_is_not_or_is_none_is_named() {
    let url = rabbitmq::vhost("stream-missing").await;
    let config = unhurried(&url);
    let missing = Replica::start(&config, &HistoryConfig { declare: false, ..history() });
    let sentence = missing.problem().await;
    assert!(sentence.contains("`history.declare = true`"), "{sentence}");
    missing.stop().await;
    let connection = Connection::connect(&url, ConnectionProperties::default()).await.expect("a broker");
    let channel = connection.create_channel().await.expect("a channel");
    let (options, none) = (lapin::options::QueueDeclareOptions::durable(), lapin::types::FieldTable::default());
    channel.queue_declare("plain".into(), options, none).await.expect("declared");
    let plain = Replica::start(&config, &HistoryConfig { stream: "plain".into(), ..history() });
    let problem = plain.problem().await;
    assert!(problem.contains("is not a stream"), "{problem}");
    plain.stop().await;
}

#[tokio::test]
async fn a_message_published_twice_is_sent_once_where_that_is_asked_for() {
    let config = config(&rabbitmq::vhost("stream-twice").await);
    let replica = Replica::up(&config, &HistoryConfig { dedupe_message_ids: 100, ..history() }).await;
    let mut stream = replica.open(Beginning::Now).await;
    for (key, id) in [("user.1.a", "m1"), ("user.1.again", "m1"), ("user.1.b", "m2")] {
        let properties = vec![("message_id", Scalar::Text(id.into()))];
        publish_once(&config, &Message { properties, ..message(key) }).await.expect("published");
    }
    assert_eq!([stream.next().await.name, stream.next().await.name], ["a", "b"]);
    replica.stop().await;
}

#[tokio::test]
async fn a_first_connection_begins_at_a_time() {
    let config = config(&rabbitmq::vhost("stream-since").await);
    let before = SystemTime::now() - Duration::from_secs(60);
    let replica = Replica::up(&config, &HistoryConfig { warm_events: 0, ..history() }).await;
    let mut live = replica.open(Beginning::Now).await;
    publish(&config, ["user.1.a", "user.1.b"]).await;
    until(&mut live, "b").await;
    let since = Beginning::Since { time: before, instant: Instant::now().checked_sub(Duration::from_secs(60)) };
    let mut stream = replica.open(since).await;
    assert_eq!([stream.next().await.name, stream.next().await.name], ["a", "b"]);
    replica.stop().await;
}

/// With one reader all but the first wait, and are then read for together.
#[tokio::test]
async fn many_who_begin_in_one_second_share_a_reader_and_each_gets_all_since_then() {
    let config = config(&rabbitmq::vhost("stream-since-many").await);
    let few = HistoryConfig { warm_events: 0, memory: ByteSize::kib(4), replay_readers: 1, ..history() };
    let replica = Replica::up(&config, &few).await;
    let mut live = replica.open(Beginning::Now).await;
    let names: Vec<String> = (0..300).map(|number| format!("e{number}")).collect();
    let keys: Vec<String> = names.iter().map(|name| format!("user.1.{name}")).collect();
    publish(&config, keys[..299].iter().map(String::as_str)).await;
    until(&mut live, "e298").await;
    let minute = Duration::from_secs(60);
    let second = (SystemTime::now() - minute).duration_since(UNIX_EPOCH).expect("later than 1970").as_secs();
    let beginnings = (0..20).map(|number| Beginning::Since {
        time: UNIX_EPOCH + Duration::from_secs(second) + Duration::from_millis(number * 50),
        instant: Instant::now().checked_sub(minute),
    });
    let mut several = join_all(beginnings.map(|beginning| replica.open(beginning))).await;
    publish(&config, [keys[299].as_str()]).await;
    for stream in &mut several {
        assert_eq!(until(stream, "e299").await, names);
    }
    replica.stop().await;
}

#[tokio::test]
async fn an_id_that_nobody_gave_out_is_a_gap_and_never_a_wait_without_end() {
    let config = config(&rabbitmq::vhost("stream-unknown").await);
    let replica = Replica::up(&config, &history()).await;
    let mut live = replica.open(Beginning::Now).await;
    publish(&config, ["user.1.a"]).await;
    let id = live.next().await.id;
    let (mark, offset) = id.split_once('-').expect("an id");
    let offset: u64 = offset.parse().expect("an offset");
    for wrong in [format!("{mark}-{}", offset + 1000), format!("1-{offset}"), "ffffffffffff-3".into(), "rubbish".into()]
    {
        let mut stream = replica.open(Beginning::After(wrong.clone())).await;
        assert!(!stream.resumed, "{wrong}");
        assert_eq!(stream.next().await.name, "gap", "{wrong}");
    }
    replica.stop().await;
}
