//! What this process needs to exist at the broker: the exchange, a queue of its own with one for what it drops, and the bindings.

use std::collections::BTreeMap;

use futures_util::future::try_join_all;
use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions, QueuePurgeOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Channel, ExchangeKind};

use super::BrokerConfig;
use super::address::SHORT_STRING_BYTES;
use super::bindings::{BindingKeys, Bindings};
use super::failure::{Failure, Step};
use super::status::LinkStatus;
use crate::setting::Fault;

/// What is dropped goes to an exchange, and from it to a queue, of the queue's own name with this behind it.
const DROPPED: &str = ".dropped";
/// Bytes that may come behind the prefix: the random part with its dot, and `DROPPED`.
const SUFFIX_BYTES: usize = 17 + DROPPED.len();

/// The names of the queues that were declared.
#[derive(Debug)]
pub(super) struct Queues {
    pub(super) messages: ShortString,
    /// Holds the newest message that `messages` has dropped, until it is consumed.
    pub(super) dropped: ShortString,
}

/// Exchange, queue and bindings, checked to be sayable in AMQP.
#[derive(Debug)]
pub(super) struct Topology {
    exchange: ShortString,
    declare: bool,
    queue_prefix: String,
    queue_arguments: FieldTable,
    binding_keys: BindingKeys,
}

impl Topology {
    pub(super) fn new(
        config: &BrokerConfig,
        binding_keys: Vec<String>,
        status: LinkStatus,
    ) -> Result<(Self, Bindings), Vec<Fault>> {
        let mut faults = Vec::new();
        let mut fault = |key: &str, problem: &str| faults.push(Fault::new(key, problem));
        // The default exchange has no name and takes no bindings (AMQP 0-9-1 §3.1.3.1).
        if config.exchange.is_empty() {
            fault("broker.exchange", "names no exchange");
        }
        if config.queue_prefix.is_empty() || config.queue_prefix.starts_with("amq.") {
            fault("broker.queue_prefix", "must not be empty or start with `amq.`, which the broker keeps for itself");
        }
        if config.queue_prefix.len() > SHORT_STRING_BYTES - SUFFIX_BYTES {
            fault("broker.queue_prefix", "is too long");
        }
        if config.queue_max_length == 0 {
            fault("broker.queue_max_length", "must be more than 0");
        }
        if config.queue_max_bytes.as_u64() == 0 {
            fault("broker.queue_max_bytes", "must be more than 0");
        }
        let exchange = ShortString::try_new(config.exchange.as_str())
            .map_err(|_| fault("broker.exchange", "is longer than 255 bytes"))
            .unwrap_or_default();
        let binding_keys = binding_keys
            .into_iter()
            .map(ShortString::try_new)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| fault("mapping", "has a routing_key whose binding key is longer than 255 bytes"))
            .unwrap_or_default();
        if !faults.is_empty() {
            return Err(faults);
        }
        let queue_arguments = queue_arguments(config);
        let (binding_keys, bindings) = BindingKeys::new(binding_keys, status);
        let queue_prefix = config.queue_prefix.clone();
        Ok((Self { exchange, declare: config.declare, queue_prefix, queue_arguments, binding_keys }, bindings))
    }

    /// Makes all of it exist and gives the queues' names, which are new ones at each call:
    /// the broker may not have noticed yet that the connection before this one, and its queues, are gone.
    /// The queue misses nothing afterwards, and holds nothing from before.
    pub(super) async fn establish(&self, channel: &Channel) -> Result<Queues, Failure> {
        self.check_exchange(channel).await?;
        let queues = self.declare_queues(channel).await.map_err(|error| Failure::of(error, Step::DeclareQueue))?;
        self.bind(channel, &queues.messages, Step::Bind).await?;
        // Keys are bound one after the other, on all nodes of a cluster each: a message that came by the first of them may be
        // newer than one that the last of them missed, and would stand behind the gap that tells of it.
        let purged = channel.queue_purge(queues.messages.clone(), QueuePurgeOptions::default()).await;
        purged.map_err(|error| Failure::of(error, Step::Consume))?;
        Ok(queues)
    }

    /// Makes the exchange exist, or sees that it does.
    pub(super) async fn check_exchange(&self, channel: &Channel) -> Result<(), Failure> {
        let (step, options) = if self.declare {
            (Step::DeclareExchange, ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() })
        } else {
            // Passively: it needs no right to configure, and takes an exchange of any type as it is.
            (Step::CheckExchange, ExchangeDeclareOptions { passive: true, ..ExchangeDeclareOptions::default() })
        };
        channel
            .exchange_declare(self.exchange.clone(), ExchangeKind::Topic, options, FieldTable::default())
            .await
            .map_err(|error| Failure::of(error, step))
    }

    /// Binds `queue` with every key of the mappings.
    pub(super) async fn bind(&self, channel: &Channel, queue: &ShortString, step: Step) -> Result<(), Failure> {
        let (generation, keys) = self.binding_keys.wanted();
        // All on their way before the first answer is awaited.
        try_join_all(keys.iter().map(|key| {
            let (queue, exchange) = (queue.clone(), self.exchange.clone());
            channel.queue_bind(queue, exchange, key.clone(), QueueBindOptions::default(), FieldTable::default())
        }))
        .await
        .map_err(|error| Failure::of(error, step))?;
        self.binding_keys.mark_bound(generation);
        Ok(())
    }

    /// Resolves when there are other keys than those that were bound last. Cancel-safe.
    pub(super) async fn keys_changed(&self) {
        self.binding_keys.changed().await;
    }

    async fn declare_queues(&self, channel: &Channel) -> lapin::Result<Queues> {
        let messages = format!("{}.{:016x}", self.queue_prefix, fastrand::u64(..));
        let named = |name: String| ShortString::try_new(name).expect("the prefix was checked to leave room");
        let queues = Queues { dropped: named(format!("{messages}{DROPPED}")), messages: named(messages) };
        let own = QueueDeclareOptions { exclusive: true, auto_delete: true, ..QueueDeclareOptions::default() };
        // An exchange of our own, for the default one would take a right on `amq.default`. It goes with its last binding.
        let to_one = ExchangeDeclareOptions { auto_delete: true, ..ExchangeDeclareOptions::default() };
        let dropped = queues.dropped.clone();
        channel.exchange_declare(dropped.clone(), ExchangeKind::Fanout, to_one, FieldTable::default()).await?;
        channel.queue_declare(dropped.clone(), own, dropped_arguments()).await?;
        let (key, options) = (ShortString::default(), QueueBindOptions::default());
        channel.queue_bind(dropped.clone(), dropped, key, options, FieldTable::default()).await?;
        let mut arguments = self.queue_arguments.clone();
        let exchange = AMQPValue::LongString(queues.dropped.as_str().into());
        arguments.insert("x-dead-letter-exchange".into(), exchange);
        channel.queue_declare(queues.messages.clone(), own, arguments).await?;
        Ok(queues)
    }
}

/// A queue that sheds its oldest messages, so that a sidecar that falls behind never fills the broker's memory.
fn queue_arguments(config: &BrokerConfig) -> FieldTable {
    let bytes = i64::try_from(config.queue_max_bytes.as_u64()).unwrap_or(i64::MAX);
    FieldTable::from(BTreeMap::from([
        ("x-max-length".into(), AMQPValue::LongLongInt(config.queue_max_length.into())),
        ("x-max-length-bytes".into(), AMQPValue::LongLongInt(bytes)),
        ("x-overflow".into(), AMQPValue::LongString("drop-head".into())),
        // Said, since a vhost may have another default, and only a classic queue can be exclusive.
        ("x-queue-type".into(), AMQPValue::LongString("classic".into())),
    ]))
}

/// One message is enough to say that some were dropped.
fn dropped_arguments() -> FieldTable {
    FieldTable::from(BTreeMap::from([
        ("x-max-length".into(), AMQPValue::LongLongInt(1)),
        ("x-overflow".into(), AMQPValue::LongString("drop-head".into())),
        ("x-queue-type".into(), AMQPValue::LongString("classic".into())),
    ]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::status::LinkStatusWriter;
    use bytesize::ByteSize;

    fn status() -> LinkStatus {
        LinkStatusWriter::new(false).status()
    }

    #[test]
    fn every_name_that_amqp_cannot_say_is_a_fault() {
        let config = BrokerConfig {
            exchange: "e".repeat(256),
            queue_prefix: "q".repeat(240),
            queue_max_length: 0,
            queue_max_bytes: ByteSize::b(0),
            ..BrokerConfig::default()
        };
        let faults = Topology::new(&config, vec!["k".repeat(256)], status()).map(|_| ()).expect_err("five faults");
        let keys: Vec<&str> = faults.iter().map(|fault| fault.key.as_str()).collect();
        let expected =
            ["broker.queue_prefix", "broker.queue_max_length", "broker.queue_max_bytes", "broker.exchange", "mapping"];
        assert_eq!(keys, expected);
    }

    #[test]
    fn the_longest_prefix_leaves_room_for_a_name() {
        let config = BrokerConfig { queue_prefix: "q".repeat(230), ..BrokerConfig::default() };
        assert!(Topology::new(&config, Vec::new(), status()).is_ok());
        assert_eq!(format!("{}.{:016x}{DROPPED}", config.queue_prefix, 0).len(), SHORT_STRING_BYTES);
    }
}
