//! The legacy application's side of the broker: it declares its exchange and publishes, with lapin or from a shell.

use std::process::Command;

use lapin::options::{BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, LongString};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, ExchangeKind};

use super::deadline::within;

/// Seconds until `timeout` ends a program that does not end by itself.
const SHELL_SECONDS: &str = "20";

/// A publisher with a durable topic exchange of its own, so that tests on one broker do not meet.
#[derive(Debug)]
pub struct Application {
    pub url: String,
    pub exchange: String,
    channel: Channel,
    _connection: Connection,
}

impl Application {
    /// Connects to the broker at `url` and declares the exchange.
    pub async fn connect(url: String) -> Self {
        Self::connect_as(url, format!("events-{:016x}", fastrand::u64(..))).await
    }

    /// The same application on a new connection, after the broker was away.
    pub async fn reconnect(&self) -> Self {
        Self::connect_as(self.url.clone(), self.exchange.clone()).await
    }

    async fn connect_as(url: String, exchange: String) -> Self {
        let connecting = Connection::connect(&url, ConnectionProperties::default());
        let connection = within("the application to connect", connecting).await.expect("the broker is up");
        let channel = within("a channel to open", connection.create_channel()).await.expect("a channel");
        let confirms = channel.confirm_select(ConfirmSelectOptions::default());
        within("publisher confirms to be granted", confirms).await.expect("publisher confirms");
        let options = ExchangeDeclareOptions { durable: true, ..Default::default() };
        let declaring =
            channel.exchange_declare(exchange.as_str().into(), ExchangeKind::Topic, options, FieldTable::default());
        within("the exchange to be declared", declaring).await.expect("the exchange is new or as it was");
        Self { url, exchange, channel, _connection: connection }
    }

    /// Publishes a message without properties and waits for the broker's confirmation.
    pub async fn publish(&self, key: &str, body: impl AsRef<[u8]>) {
        self.publish_with(key, BasicProperties::default(), body).await;
    }

    pub async fn publish_with(&self, key: &str, properties: BasicProperties, body: impl AsRef<[u8]>) {
        let exchange = self.exchange.as_str().into();
        let options = BasicPublishOptions::default();
        let sending = self.channel.basic_publish(exchange, key.into(), options, body.as_ref(), properties);
        let sent = within("a message to be sent", sending).await.expect("the connection is up");
        let confirmed = within("a message to be confirmed", sent).await.expect("the connection stays up");
        assert!(matches!(confirmed, Confirmation::Ack(None)), "{confirmed:?}");
    }

    /// Publishes with `amqp-publish` of amqp-tools: nothing of ours and nothing of lapin's is on the publishing side.
    pub fn publish_from_the_shell(&self, key: &str, body: &str) {
        let mut command = Command::new("timeout");
        command.args([
            SHELL_SECONDS,
            "amqp-publish",
            "--url",
            &self.url,
            "--exchange",
            &self.exchange,
            "--routing-key",
            key,
            "--body",
            body,
        ]);
        let status = command.status().expect("amqp-publish (package amqp-tools) is installed");
        assert!(status.success(), "amqp-publish: {status}");
    }
}

/// Properties with one header of text.
pub fn with_header(name: &str, value: &str) -> BasicProperties {
    let mut headers = FieldTable::default();
    headers.insert(name.into(), AMQPValue::LongString(LongString::from(value)));
    BasicProperties::default().with_headers(headers)
}

#[cfg(test)]
mod tests {
    use lapin::options::{BasicGetOptions, QueueBindOptions, QueueDeclareOptions};

    use super::super::rabbitmq;
    use super::*;

    #[tokio::test]
    async fn both_ways_to_publish_reach_the_exchange() {
        let app = Application::connect(rabbitmq::vhost("application").await).await;
        let options = QueueDeclareOptions { exclusive: true, ..Default::default() };
        let queue = app.channel.queue_declare("".into(), options, FieldTable::default()).await.unwrap().name().clone();
        let (exchange, bind) = (app.exchange.as_str().into(), QueueBindOptions::default());
        app.channel.queue_bind(queue.clone(), exchange, "#".into(), bind, FieldTable::default()).await.unwrap();
        app.publish_with("a.b", with_header("x", "y"), "from lapin").await;
        app.publish_from_the_shell("a.c", "from a shell");
        for (key, body) in [("a.b", "from lapin"), ("a.c", "from a shell")] {
            let got = app.channel.basic_get(queue.clone(), BasicGetOptions { no_ack: true }).await.unwrap().unwrap();
            assert_eq!((got.delivery.routing_key.as_str(), got.delivery.data.as_slice()), (key, body.as_bytes()));
        }
    }
}
