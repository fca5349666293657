//! Cottontail behind a private RabbitMQ: events are published with lapin and consumed by the program's own broker link.

use std::net::SocketAddr;
use std::time::Duration;

use cottontail::app::Source;
use cottontail::broker::{BrokerConfig, publish_once};
use cottontail::config::Config;
use cottontail::event::Message;
use cottontail::setting::Secret;
use lapin::options::BasicPublishOptions;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use tokio::runtime::Runtime;

use crate::failure::Failure;
use crate::payload::Topic;
use crate::server::cottontail::{self as program, Program, failed};
use crate::server::publisher::Exchange;
use crate::signing::Key;
use crate::target;

#[path = "../../../tests/support/rabbitmq.rs"]
mod node;

use node::Node;

const EXCHANGE: &str = "fanout";
/// A routing key that is mapped and that no stream wants.
const PROBE: &str = "channel.fanout.probe";
const PROBES: usize = 200;

pub struct ThroughRabbitmq {
    program: Program,
    channel: Channel,
    _connection: Connection,
    _node: Node,
}

/// Boots a node, starts the program with `threads` workers, and returns when what is published arrives in its queue.
pub fn start(threads: usize, key: &Key) -> Result<ThroughRabbitmq, Failure> {
    let runtime = program::runtime()?;
    let node = runtime.block_on(Node::private());
    let url = node.url("guest:guest", "%2f");
    let broker = BrokerConfig {
        urls: vec![Secret::new(&url)],
        exchange: EXCHANGE.into(),
        declare: true,
        ..BrokerConfig::default()
    };
    let prepared = program::prepare(|config| Config { broker: broker.clone(), ..config }, threads, key)?;
    let program = Program::start(runtime, prepared, Source::Broker)?;
    wait_until_bound(&program.runtime, &broker)?;
    let (connection, channel) = program
        .runtime
        .block_on(async {
            let connection = Connection::connect(&url, ConnectionProperties::default()).await?;
            let channel = connection.create_channel().await?;
            Ok::<_, lapin::Error>((connection, channel))
        })
        .map_err(|error| failed(&error))?;
    Ok(ThroughRabbitmq { program, channel, _connection: connection, _node: node })
}

/// Until then RabbitMQ would drop what is published.
fn wait_until_bound(runtime: &Runtime, broker: &BrokerConfig) -> Result<(), Failure> {
    let probe = Message { routing_key: PROBE.into(), body: "{}".into(), ..Message::default() };
    runtime.block_on(async {
        for _ in 0..PROBES {
            match publish_once(broker, &probe).await {
                Ok(()) => return Ok(()),
                // No exchange yet, or no queue.
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
        Err(Failure::Server("the program does not consume from RabbitMQ".into()))
    })
}

impl ThroughRabbitmq {
    pub fn address(&self) -> SocketAddr {
        self.program.address()
    }
}

impl Exchange for ThroughRabbitmq {
    fn publish(&mut self, to: Topic, body: String) -> Result<(), Failure> {
        let publish = self.channel.basic_publish(
            EXCHANGE.into(),
            target::routing_key(to).into(),
            BasicPublishOptions::default(),
            body.as_bytes(),
            BasicProperties::default(),
        );
        // Without confirms: the account at the end says whether anything was lost.
        self.program.runtime.block_on(publish).map_err(|error| failed(&error))?;
        Ok(())
    }
}
