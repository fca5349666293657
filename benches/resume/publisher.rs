//! Messages with publisher confirms, as fast as they are confirmed.

use std::collections::VecDeque;

use lapin::options::{BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, ExchangeKind, PublisherConfirm};

pub const EXCHANGE: &str = "events";
const UNCONFIRMED_AT_MOST: usize = 1000;

/// A connection with a durable topic exchange.
pub struct Publisher {
    channel: Channel,
    _connection: Connection,
}

impl Publisher {
    pub async fn connect(url: &str) -> Self {
        Self::try_connect(url).await.expect("the broker is up")
    }

    pub async fn try_connect(url: &str) -> lapin::Result<Self> {
        let connection = Connection::connect(url, ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        let options = ExchangeDeclareOptions { durable: true, ..Default::default() };
        channel.exchange_declare(EXCHANGE.into(), ExchangeKind::Topic, options, FieldTable::default()).await?;
        Ok(Self { channel, _connection: connection })
    }

    /// Publishes one message and waits for its confirm.
    pub async fn publish(&self, key: &str, body: &str) -> lapin::Result<bool> {
        Ok(matches!(self.send(key, body).await?.await?, Confirmation::Ack(None)))
    }

    /// Publishes them all in order and waits for every confirm.
    pub async fn publish_all(&self, messages: impl Iterator<Item = (String, String)>) {
        let mut unconfirmed = VecDeque::new();
        for (key, body) in messages {
            if unconfirmed.len() == UNCONFIRMED_AT_MOST {
                confirmed(unconfirmed.pop_front()).await;
            }
            unconfirmed.push_back(self.send(&key, &body).await.expect("the broker stays up"));
        }
        while !unconfirmed.is_empty() {
            confirmed(unconfirmed.pop_front()).await;
        }
    }

    async fn send(&self, key: &str, body: &str) -> lapin::Result<PublisherConfirm> {
        let options = BasicPublishOptions { mandatory: true, ..Default::default() };
        let properties = BasicProperties::default();
        self.channel.basic_publish(EXCHANGE.into(), key.into(), options, body.as_bytes(), properties).await
    }
}

async fn confirmed(confirm: Option<PublisherConfirm>) {
    let confirmation = confirm.expect("one is waited for").await.expect("the broker stays up");
    assert!(matches!(confirmation, Confirmation::Ack(None)), "{confirmation:?}");
}
