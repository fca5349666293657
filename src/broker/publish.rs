//! Publishing one message and learning whether a queue received it, for `cottontail publish`; never on the consuming connection.

use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::protocol::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Channel, Confirmation};
use tokio::time::timeout;

use super::BrokerConfig;
use super::address::Endpoints;
use super::dial::{Dialer, Wire};
use super::failure::{Failure, Step};
use super::pipeline::excerpt;
use crate::event::{Message, Scalar};

/// Publishes `message` to the configured exchange and waits until the broker has taken responsibility for it.
///
/// The addresses are tried in turn until one answers. A message that no queue is bound for is `Failure::Unroutable`.
pub async fn publish_once(config: &BrokerConfig, message: &Message) -> Result<(), Failure> {
    let properties = properties(message)?;
    let routing_key = short(&message.routing_key, "the routing key is longer than 255 bytes")?;
    let exchange = short(&config.exchange, "the exchange's name is longer than 255 bytes")?;
    let mut endpoints = Endpoints::from_config(config).map_err(Failure::Settings)?;
    let dialer = Dialer::new(config, endpoints.any_tls()).map_err(Failure::Settings)?;
    let wire = dial_any(&dialer, &mut endpoints).await?;
    let sending = send(&wire, exchange, routing_key, properties, &message.body);
    let outcome = timeout(config.connect_timeout.0, sending).await.unwrap_or(Err(Failure::Timeout));
    wire.close().await;
    match outcome? {
        Confirmation::Ack(None) => Ok(()),
        Confirmation::Ack(Some(_)) => Err(Failure::Unroutable { key: excerpt(&message.routing_key, 255) }),
        Confirmation::Nack(_) | Confirmation::NotRequested => Err(Failure::Unconfirmed),
    }
}

async fn dial_any(dialer: &Dialer, endpoints: &mut Endpoints) -> Result<Wire, Failure> {
    let mut outcome = dialer.dial(&endpoints.rotate()).await;
    for _ in 1..endpoints.len() {
        if outcome.is_ok() {
            break;
        }
        outcome = dialer.dial(&endpoints.rotate()).await;
    }
    outcome
}

async fn send(
    wire: &Wire,
    exchange: ShortString,
    routing_key: ShortString,
    properties: BasicProperties,
    body: &[u8],
) -> Result<Confirmation, Failure> {
    let failure = |error| Failure::of(error, Step::Publish);
    let channel: Channel = wire.connection.create_channel().await.map_err(failure)?;
    channel.confirm_select(ConfirmSelectOptions::default()).await.map_err(failure)?;
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let confirm = channel.basic_publish(exchange, routing_key, options, body, properties).await.map_err(failure)?;
    confirm.await.map_err(failure)
}

fn properties(message: &Message) -> Result<BasicProperties, Failure> {
    const WRONG: Failure = Failure::Unsendable("a property has a value that AMQP does not allow for it");
    let mut properties = BasicProperties::default();
    for (name, value) in &message.properties {
        let text = || match value {
            Scalar::Text(text) => short(text, "a property is longer than 255 bytes"),
            Scalar::Integer(_) | Scalar::Boolean(_) | Scalar::Unusable => Err(WRONG),
        };
        let number = || match value {
            Scalar::Integer(number) => Ok(*number),
            Scalar::Text(_) | Scalar::Boolean(_) | Scalar::Unusable => Err(WRONG),
        };
        let octet = || u8::try_from(number()?).map_err(|_| WRONG);
        properties = match *name {
            "type" => properties.with_type(text()?),
            "message_id" => properties.with_message_id(text()?),
            "app_id" => properties.with_app_id(text()?),
            "content_type" => properties.with_content_type(text()?),
            "content_encoding" => properties.with_content_encoding(text()?),
            "correlation_id" => properties.with_correlation_id(text()?),
            "reply_to" => properties.with_reply_to(text()?),
            "expiration" => properties.with_expiration(text()?),
            "user_id" => properties.with_user_id(text()?),
            "timestamp" => properties.with_timestamp(u64::try_from(number()?).map_err(|_| WRONG)?),
            "priority" => properties.with_priority(octet()?),
            "delivery_mode" => properties.with_delivery_mode(octet()?),
            _ => return Err(Failure::Unsendable("AMQP has no such property")),
        };
    }
    if message.headers.is_empty() { Ok(properties) } else { Ok(properties.with_headers(headers(message)?)) }
}

fn headers(message: &Message) -> Result<FieldTable, Failure> {
    let mut table = FieldTable::default();
    for (name, value) in &message.headers {
        let value = match value {
            Scalar::Text(text) => AMQPValue::LongString(text.as_str().into()),
            Scalar::Integer(number) => AMQPValue::LongLongInt(*number),
            Scalar::Boolean(truth) => AMQPValue::Boolean(*truth),
            Scalar::Unusable => return Err(Failure::Unsendable("a header has no value that can be sent")),
        };
        table.insert(short(name, "a header's name is longer than 255 bytes")?, value);
    }
    Ok(table)
}

fn short(text: &str, problem: &'static str) -> Result<ShortString, Failure> {
    ShortString::try_new(text).map_err(|_| Failure::Unsendable(problem))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::decode;
    use lapin::message::Delivery;

    fn text(text: &str) -> Scalar {
        Scalar::Text(text.into())
    }

    #[test]
    fn what_is_published_is_what_is_decoded() {
        let message = Message {
            routing_key: "a.b".into(),
            headers: vec![
                ("flag".into(), Scalar::Boolean(true)),
                ("number".into(), Scalar::Integer(-1)),
                ("text".into(), text("ä")),
            ],
            properties: vec![
                ("type", text("t")),
                ("message_id", text("m")),
                ("app_id", text("a")),
                ("content_type", text("application/json")),
                ("content_encoding", text("identity")),
                ("correlation_id", text("c")),
                ("reply_to", text("r")),
                ("expiration", text("1000")),
                ("user_id", text("u")),
                ("timestamp", Scalar::Integer(1_700_000_000)),
                ("priority", Scalar::Integer(9)),
                ("delivery_mode", Scalar::Integer(2)),
            ],
            body: bytes::Bytes::from_static(b"{}"),
        };
        let mut delivery = Delivery::mock(1, "e".into(), "a.b".into(), false, b"{}".to_vec());
        delivery.properties = properties(&message).expect("sendable");
        assert_eq!(decode::message(delivery), message);
    }

    #[test]
    fn what_amqp_cannot_say_is_refused() {
        let refused = |name, value| {
            let message = Message { properties: vec![(name, value)], ..Message::default() };
            matches!(properties(&message), Err(Failure::Unsendable(_)))
        };
        assert!(refused("priority", Scalar::Integer(256)));
        assert!(refused("timestamp", Scalar::Integer(-1)));
        assert!(refused("type", Scalar::Integer(1)));
        assert!(refused("type", text(&"x".repeat(256))));
        assert!(refused("no_such", text("x")));
    }
}
