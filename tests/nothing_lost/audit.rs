//! What the broker really has in its stream, read by a client of the tests' own.

use std::collections::HashSet;

use futures_util::StreamExt;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Connection, ConnectionProperties};

use crate::publisher::EXCHANGE;
use crate::support::deadline::{eventually, within};

const PREFETCH: u16 = 500;

/// The numbers of all messages in `stream`, oldest first to `last`.
pub async fn numbers(url: &str, stream: &str, last: usize) -> HashSet<usize> {
    let connection = Connection::connect(url, ConnectionProperties::default()).await.expect("the broker is up");
    // A node that has come back takes its time to have its replica of the stream again.
    let (channel, mut consumer) = eventually("the node to have the stream", async || {
        let channel = connection.create_channel().await.expect("a channel");
        channel.basic_qos(PREFETCH, BasicQosOptions::default()).await.expect("a stream wants a limit");
        let mut arguments = FieldTable::default();
        arguments.insert("x-stream-offset".into(), AMQPValue::LongString("first".into()));
        let options = BasicConsumeOptions::default();
        let consumer = channel.basic_consume(stream.into(), "".into(), options, arguments).await.ok()?;
        Some((channel, consumer))
    })
    .await;
    let mut numbers = HashSet::new();
    let reading = async {
        while !numbers.contains(&last) {
            let delivery = consumer.next().await.expect("the stream stays").expect("the broker stays up");
            // The program has a message of its own in the stream, which no exchange routed there.
            if delivery.exchange.as_str() == EXCHANGE {
                let text = std::str::from_utf8(&delivery.data).expect("a publisher of ours");
                numbers.insert(text.trim_end_matches('.').parse().expect("a number and its padding"));
            }
            channel.basic_ack(delivery.delivery_tag, BasicAckOptions::default()).await.expect("the broker stays up");
        }
    };
    within("the whole stream to be read", reading).await;
    connection.close(200, "done".into()).await.expect("the broker is up");
    numbers
}
