//! Messages that end every connection on which they come: at the start of the history, in the middle, and at its end.

use bytesize::ByteSize;
use cottontail::broker::BrokerConfig;
use cottontail::hub::{Beginning, HistoryConfig};
use cottontail::setting::Secret;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::harness::config;
use crate::rabbitmq::Node;
use crate::replica::{Replica, history};
use crate::stream::{publish, until};

/// Written in a routing key it becomes a byte that no UTF-8 has, on the way to the broker.
pub(crate) const UNREADABLE: &str = "\u{40000}";

/// Publishes `keys` in one go. No Rust client would send what `UNREADABLE` becomes, so a relay puts it in.
pub(crate) async fn publish_spoiled(config: &BrokerConfig, keys: impl IntoIterator<Item = &str>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    let url = config.urls[0].expose();
    let (start, rest) = url.split_once("127.0.0.1:").expect("a node of the tests");
    let (broker, vhost) = rest.split_once('/').expect("a vhost");
    let broker: u16 = broker.parse().expect("a port");
    let relayed =
        BrokerConfig { urls: vec![Secret::new(format!("{start}127.0.0.1:{port}/{vhost}"))], ..config.clone() };
    let relay = async {
        let (near, _) = listener.accept().await.expect("a publisher");
        let far = TcpStream::connect(("127.0.0.1", broker)).await.expect("the node");
        let ((mut near_read, mut near_write), (mut far_read, mut far_write)) = (near.into_split(), far.into_split());
        let there = async {
            let mut buffer = vec![0; 64 << 10];
            while let Ok(length @ 1..) = near_read.read(&mut buffer).await {
                for byte in &mut buffer[..length] {
                    // The first byte of `UNREADABLE`, which occurs nowhere else in what the tests send.
                    *byte = if *byte == 0xf1 { 0xff } else { *byte };
                }
                far_write.write_all(&buffer[..length]).await.expect("the node takes it");
            }
        };
        tokio::select! {
            () = there => {}
            _ = tokio::io::copy(&mut far_read, &mut near_write) => {}
        }
    };
    tokio::join!(relay, publish(&relayed, keys));
}

#[tokio::test]
async fn a_message_that_cannot_be_read_is_stepped_over_and_told_as_a_gap() {
    let node = Node::shared().await;
    let config = config(&node.vhost("stream-poison").await);
    let small = HistoryConfig { memory: ByteSize::b(1), ..history() };
    let replica = Replica::up(&config, &small).await;
    let mut stream = replica.open(Beginning::Now).await;
    let start = stream.id.clone();
    publish(&config, ["user.1.a"]).await;
    assert_eq!(stream.next().await.name, "a");
    let unreadable = format!("user.1.{UNREADABLE}");
    publish_spoiled(&config, [unreadable.as_str(), &unreadable, "user.1.b"]).await;
    let gap = stream.next().await;
    assert!(gap.name == "gap" && gap.data.contains("unreadable"), "{gap:?}");
    assert_eq!(stream.next().await.name, "b");
    // Whoever comes back from before it is told the same.
    let mut late = replica.open(Beginning::After(start)).await;
    assert!(late.resumed);
    assert_eq!([late.next().await.name, late.next().await.name, late.next().await.name], ["a", "gap", "b"]);
    replica.stop().await;
}

/// The names of a burst of messages, and as keys with an unreadable one after each of `places`.
fn burst(count: usize, places: &[usize]) -> (Vec<String>, Vec<String>) {
    let names: Vec<String> = (0..count).map(|number| format!("e{number}")).collect();
    let mut keys = Vec::new();
    for (number, name) in names.iter().enumerate() {
        keys.push(format!("user.1.{name}"));
        keys.extend(places.contains(&number).then(|| format!("user.1.{UNREADABLE}")));
    }
    (names, keys)
}

/// What a stream is given up to `last`, and how many gaps.
async fn told(stream: &mut crate::replica::Reader, last: &str) -> (Vec<String>, usize) {
    let (gaps, names): (Vec<_>, Vec<_>) = until(stream, last).await.into_iter().partition(|name| name == "gap");
    (names, gaps.len())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_around_an_unreadable_message_is_lost_live_or_from_the_past() {
    let config = config(&Node::shared().await.vhost("unreadable-burst").await);
    let replica = Replica::up(&config, &HistoryConfig { memory: ByteSize::b(1), ..history() }).await;
    let mut live = replica.open(Beginning::Now).await;
    let start = live.id.clone();
    let (names, keys) = burst(1000, &[150, 400, 401, 888]);
    publish_spoiled(&config, keys.iter().map(String::as_str)).await;
    let expected = (names, 4);
    assert!(told(&mut live, "e999").await == expected);
    for _ in 0..3 {
        // One who wants everything, and others whose place is right before and far behind an unreadable message.
        let mut late = replica.open(Beginning::After(start.clone())).await;
        assert!(told(&mut late, "e999").await == expected);
    }
    replica.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_starts_where_the_newest_cannot_be_read_loses_nothing_before_it() {
    let node = Node::shared().await;
    let unreadable = format!("user.1.{UNREADABLE}");
    let ends: [(&str, Vec<&str>); 2] =
        [("alone", vec![&unreadable]), ("behind", vec!["user.1.b", "user.1.c", &unreadable])];
    for (name, end) in ends {
        let config = config(&node.vhost(&format!("unreadable-{name}")).await);
        let before = Replica::up(&config, &history()).await;
        let mut stream = before.open(Beginning::Now).await;
        let start = stream.id.clone();
        publish(&config, ["user.1.a"]).await;
        until(&mut stream, "a").await;
        drop(stream);
        before.stop().await;
        publish_spoiled(&config, end.iter().copied()).await;
        let after = Replica::up(&config, &history()).await;
        let mut new = after.open(Beginning::Now).await;
        let mut back = after.open(Beginning::After(start)).await;
        publish(&config, ["user.1.d"]).await;
        let readable = end.len() - 1;
        let expected = [vec!["a", "b", "c"][..=readable].to_vec(), vec!["gap", "d"]].concat();
        assert_eq!(until(&mut back, "d").await, expected, "{name}");
        assert_eq!(until(&mut new, "d").await, ["d"], "{name}");
        after.stop().await;
    }
}
