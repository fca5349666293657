//! Cottontail as a server under test: the program's own wiring over its in-process exchange.

use std::fmt::Display;
use std::net::SocketAddr;

use cottontail::app::{App, Plan, Source};
use cottontail::auth::{AuthConfig, IssuerConfig};
use cottontail::broker::ExchangeHandle;
use cottontail::config::Config;
use cottontail::event::Message;
use cottontail::hub::StreamConfig;
use cottontail::routing::{MappingConfig, OneOrMany};
use cottontail::server::{AdminConfig, ServerConfig};
use cottontail::setting::Secret;
use tokio::runtime::{Builder, Runtime};

use crate::failure::Failure;
use crate::payload::{EVENT_NAME, Topic};
use crate::server::publisher::Exchange;
use crate::target::{self, SECRET};

/// Messages that wait in the exchange; a publisher that is further ahead waits itself.
pub const WAITING: usize = 256;

/// The running program.
pub struct Program {
    pub runtime: Runtime,
    app: App,
}

/// A program and the writing end of its in-process exchange.
pub struct Cottontail {
    program: Program,
    exchange: ExchangeHandle,
}

/// Starts it on a free port of loopback, with `threads` workers, and returns when it accepts connections.
pub fn start(threads: usize) -> Result<Cottontail, Failure> {
    let plan = Plan::new(config(threads)).map_err(|faults| failed(&faults[0]))?;
    let (publisher, exchange) = cottontail::broker::Exchange::new(&plan.binding_keys(), WAITING);
    let program = Program::start(runtime()?, plan, Source::Exchange(exchange))?;
    Ok(Cottontail { program, exchange: publisher })
}

/// What carries the source of messages: one thread, as a sidecar has it.
pub fn runtime() -> Result<Runtime, Failure> {
    Builder::new_multi_thread().worker_threads(1).enable_all().build().map_err(|error| failed(&error))
}

pub fn failed(error: &dyn Display) -> Failure {
    Failure::Server(error.to_string())
}

impl Program {
    pub fn start(runtime: Runtime, plan: Plan, source: Source) -> Result<Self, Failure> {
        let started = runtime.block_on(async { App::start(plan, source, None) });
        Ok(Self { app: started.map_err(|error| failed(&error))?, runtime })
    }

    pub fn address(&self) -> SocketAddr {
        self.app.server()
    }
}

impl Cottontail {
    pub fn address(&self) -> SocketAddr {
        self.program.address()
    }
}

impl Exchange for Cottontail {
    fn publish(&mut self, to: Topic, body: String) -> Result<(), Failure> {
        let message = Message { routing_key: target::routing_key(to), body: body.into(), ..Message::default() };
        if self.program.runtime.block_on(self.exchange.publish_in_turn(message)) {
            Ok(())
        } else {
            Err(Failure::Server("no mapping is bound for the benchmark's routing key".into()))
        }
    }
}

/// The defaults, except for what makes the program run beside others: its listeners, its secret, the mappings, and the
/// limits of one client, since here one client plays all of them.
pub fn config(threads: usize) -> Config {
    let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
    let issuer =
        IssuerConfig { algorithms: vec!["HS256".into()], secret: Some(Secret::new(SECRET)), ..IssuerConfig::default() };
    let mapping = |routing_key: &str, user: &[&str], channel: &[&str], event: &str| MappingConfig {
        routing_key: routing_key.into(),
        user: OneOrMany(user.iter().map(ToString::to_string).collect()),
        channel: OneOrMany(channel.iter().map(ToString::to_string).collect()),
        event: event.into(),
        ..MappingConfig::default()
    };
    Config {
        server: ServerConfig { listen: loopback, threads, ..ServerConfig::default() },
        admin: AdminConfig { listen: loopback, ..AdminConfig::default() },
        stream: StreamConfig {
            max_streams_per_user: 0,
            max_streams_per_address: 0,
            max_opens_per_second_per_address: 0,
            ..StreamConfig::default()
        },
        auth: AuthConfig { issuer: vec![issuer], ..AuthConfig::default() },
        mapping: vec![
            mapping("channel.{channel...}", &[], &["{channel}"], EVENT_NAME),
            mapping("user.{user}.{event}", &["{user}"], &[], "{event}"),
        ],
        ..Config::default()
    }
}
