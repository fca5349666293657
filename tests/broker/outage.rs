//! Outages: how they are noticed, said, and survived.

use std::time::{Duration, Instant};

use cottontail::broker::BrokerConfig;
use cottontail::setting::{Secret, Span};
use lapin::options::BasicPublishOptions;
use lapin::{BasicProperties, Connection, ConnectionProperties};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::time::{interval, timeout};

use crate::harness::{LIMIT, Running, config, disturbed, metrics, unhurried};
use crate::rabbitmq::{Node, free_port};

#[tokio::test]
async fn a_restart_of_the_broker_is_an_interruption_and_then_messages_come_again() {
    let node = disturbed().await;
    let mut running = Running::up(config(&node.vhost("restart").await)).await;
    running.publish("user.1").await;
    assert_eq!(running.next_message().await, (2, "user.1".into()));
    node.stop().await;
    // The broker may say goodbye or just be gone.
    running.until(|state| !state.connected).await;
    node.start().await;
    assert_eq!(running.next_interruption().await, 3);
    running.until(|state| state.connected && state.problem.is_none()).await;
    running.publish("user.2").await;
    assert_eq!(running.next_message().await, (4, "user.2".into()));
    running.stop().await;
}

#[tokio::test]
async fn a_broker_that_comes_up_late_is_found_and_the_wait_is_an_interruption() {
    let node = disturbed().await;
    let url = node.vhost("late").await;
    node.kill().await;
    let mut running = Running::start(config(&url));
    let sentence = running.problem().await;
    assert!(sentence.contains("cannot be reached") && sentence.contains("`broker.urls`"), "{sentence}");
    node.start().await;
    assert_eq!(running.next_interruption().await, 1);
    running.stop().await;
}

/// Each of them has a few milliseconds in which keys are bound.
const ROUNDS: u32 = 12;
const BATCH: u32 = 5;

/// The bindings of one queue are made one after the other: a message for the first may come before one for the last can.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_an_interruption_nothing_is_missing_although_messages_flow_while_keys_are_bound() {
    let config = config(&Node::shared().await.vhost("flowing").await);
    // It declares the exchange.
    Running::up(config.clone()).await.stop().await;
    let (publishing, published) = oneshot::channel::<()>();
    let flood = tokio::spawn(flood(config.clone(), published));
    for round in 0..ROUNDS {
        let mut running = Running::up(config.clone()).await;
        let first = number(&running.next_message().await.1);
        for expected in first + 1..first + 40 {
            assert_eq!(number(&running.next_message().await.1), expected, "round {round}, {first} came first");
        }
        running.stop().await;
    }
    drop(publishing);
    timeout(LIMIT, flood).await.expect("in time").expect("no panic");
}

/// Publishes numbers in order until `stop` resolves, some 5000 a second, for one binding key and the other in turn.
async fn flood(config: BrokerConfig, mut stop: oneshot::Receiver<()>) {
    let url = config.urls[0].expose();
    let connection = Connection::connect(url, ConnectionProperties::default()).await.expect("a broker");
    let channel = connection.create_channel().await.expect("a channel");
    let mut pace = interval(Duration::from_millis(1));
    for number in 0.. {
        if number % BATCH == 0 {
            tokio::select! {
                _ = &mut stop => break,
                _ = pace.tick() => {}
            }
        }
        let key = if number % 2 == 0 { format!("user.{number}") } else { format!("poison.{number}") };
        let (exchange, options) = (config.exchange.as_str(), BasicPublishOptions::default());
        let sent = channel.basic_publish(exchange.into(), key.into(), options, b"{}", BasicProperties::default());
        sent.await.expect("sent");
    }
    connection.close(200, "OK".into()).await.expect("closed");
}

fn number(routing_key: &str) -> u32 {
    routing_key.rsplit('.').next().and_then(|number| number.parse().ok()).expect("a number of ours")
}

#[tokio::test]
async fn a_connection_closed_by_an_operator_is_said_with_the_operators_words() {
    let node = disturbed().await;
    let mut running = Running::up(unhurried(&node.vhost("forced").await)).await;
    let (_, sentence) =
        tokio::join!(node.ctl(&["close_all_connections", "--vhost", "forced", "gone for tea"]), running.problem());
    assert!(sentence.contains("gone for tea"), "{sentence}");
    assert_eq!(running.next_interruption().await, 2);
    running.publish("user.1").await;
    assert_eq!(running.next_message().await, (3, "user.1".into()));
    running.stop().await;
}

#[tokio::test]
async fn a_frozen_broker_is_given_up_after_about_two_heartbeats() {
    let node = disturbed().await;
    let url = node.vhost("frozen").await;
    let mut running = Running::up(BrokerConfig { connect_timeout: Span::from_secs(3), ..config(&url) }).await;
    node.freeze().await;
    let start = Instant::now();
    let sentence = running.problem().await;
    let noticed = start.elapsed();
    let mut late = Running::start(BrokerConfig { connect_timeout: Span::from_millis(300), ..config(&url) });
    let unanswered = late.problem().await;
    late.stop().await;
    node.thaw().await;
    assert!(sentence.contains("`broker.heartbeat`"), "{sentence}");
    assert!(noticed < Duration::from_secs(10), "{noticed:?}");
    assert!(unanswered.contains("`broker.connect_timeout`"), "{unanswered}");
    assert_eq!(running.next_interruption().await, 2);
    running.publish("user.1").await;
    assert_eq!(running.next_message().await, (3, "user.1".into()));
    running.stop().await;
}

#[tokio::test]
async fn a_stop_does_not_wait_for_a_frozen_broker() {
    let node = disturbed().await;
    let running = Running::up(config(&node.vhost("frozen-stop").await)).await;
    node.freeze().await;
    let start = Instant::now();
    running.stop().await;
    let elapsed = start.elapsed();
    node.thaw().await;
    assert!(elapsed < Duration::from_secs(4), "{elapsed:?}");
}

#[tokio::test]
async fn a_deleted_queue_is_replaced_by_a_new_one() {
    let node = Node::shared().await;
    let mut running = Running::up(unhurried(&node.vhost("deleted").await)).await;
    let delete =
        "[rabbit_amqqueue:delete(Q, false, false, <<\"test\">>) || Q <- rabbit_amqqueue:list(<<\"deleted\">>)].";
    let delete = ["eval", delete];
    let (_, sentence) = tokio::join!(node.ctl(&delete), running.problem());
    assert_eq!(sentence, "the queue was deleted or its node went away");
    assert_eq!(running.next_interruption().await, 2);
    running.publish("user.1").await;
    assert_eq!(running.next_message().await, (3, "user.1".into()));
    running.stop().await;
}

/// How many such messages were counted in this process, where other tests have some as well.
fn unreadable() -> u64 {
    let metrics = metrics().render();
    let samples = metrics.lines().find_map(|line| line.strip_prefix("amqp_unmapped_total{reason=\"unreadable\"} "));
    samples.map_or(0, |count| count.parse().expect("a count"))
}

#[tokio::test]
async fn messages_that_cannot_be_read_cost_a_reconnection_each_and_nobody_waits_for_the_backoff() {
    let node = Node::shared().await;
    let patient = Span::from_secs(40);
    let settings =
        BrokerConfig { reconnect_min: patient, reconnect_max: patient, ..config(&node.vhost("poison").await) };
    let mut running = Running::up(settings).await;
    let publish = format!(
        "rabbit_basic:publish(rabbit_misc:r(<<\"poison\">>, exchange, <<\"{}\">>), <<\"poison.\", 255, 254>>, [], <<>>).",
        running.config.exchange
    );
    let before = unreadable();
    for offset in 2..5 {
        node.ctl(&["eval", &publish]).await;
        let start = Instant::now();
        assert_eq!(running.next_interruption().await, offset);
        // Even the shortest wait of the backoff takes half of its step.
        assert!(start.elapsed() < patient.0 / 2, "{:?}", start.elapsed());
    }
    assert!(unreadable() >= before + 3, "each is counted");
    running.until(|state| state.connected).await;
    running.publish("user.1").await;
    assert_eq!(running.next_message().await, (5, "user.1".into()));
    running.stop().await;
}

#[tokio::test]
async fn of_several_brokers_the_one_that_works_is_found() {
    let url = crate::rabbitmq::vhost("several").await;
    let dead = Secret::new(format!("amqp://127.0.0.1:{}", free_port()));
    let urls = vec![dead.clone(), dead, Secret::new(&*url)];
    let mut running = Running::start(BrokerConfig { urls, ..config(&url) });
    assert_eq!(running.next_interruption().await, 1);
    running.stop().await;
}

#[tokio::test]
async fn a_server_that_never_answers_is_left_with_a_closed_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("amqp://127.0.0.1:{}", listener.local_addr().expect("bound").port());
    let mut running = Running::start(BrokerConfig { connect_timeout: Span::from_millis(200), ..config(&url) });
    let (mut stream, _) = listener.accept().await.expect("the link");
    let mut greeting = Vec::new();
    // Its end is the end of lapin's thread for the connection.
    timeout(LIMIT, stream.read_to_end(&mut greeting)).await.expect("closed in time").expect("closed in order");
    assert_eq!(greeting, b"AMQP\0\0\x09\x01");
    assert!(running.problem().await.contains("`broker.connect_timeout`"));
    running.stop().await;
}

#[tokio::test]
async fn a_server_that_hangs_up_is_not_taken_for_a_broker() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("amqp://127.0.0.1:{}", listener.local_addr().expect("bound").port());
    let mut running = Running::start(config(&url));
    let (mut stream, _) = listener.accept().await.expect("the link");
    let mut greeting = [0; 8];
    stream.read_exact(&mut greeting).await.expect("the greeting");
    drop(stream);
    let sentence = running.problem().await;
    assert!(sentence.contains("before AMQP was spoken"), "{sentence}");
    running.stop().await;
}
