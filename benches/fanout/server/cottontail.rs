//! Cottontail as a server under test: the program's own wiring over its in-process exchange.

use std::fmt::Display;
use std::io::Write as _;
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
use tempfile::NamedTempFile;
use tokio::runtime::{Builder, Runtime};

use crate::failure::Failure;
use crate::payload::{EVENT_NAME, Topic};
use crate::server::publisher::Exchange;
use crate::signing::Key;
use crate::target;

/// Messages that wait in the exchange; a publisher that is further ahead waits itself.
pub const WAITING: usize = 256;

/// What a program is started with.
pub struct Prepared {
    pub plan: Plan,
    key_file: Option<NamedTempFile>,
}

/// The running program.
pub struct Program {
    pub runtime: Runtime,
    app: App,
    _key_file: Option<NamedTempFile>,
}

/// A program and the writing end of its in-process exchange.
pub struct Cottontail {
    program: Program,
    exchange: ExchangeHandle,
}

/// Starts it on a free port of loopback, with `threads` workers, and returns when it accepts connections.
pub fn start(threads: usize, key: &Key) -> Result<Cottontail, Failure> {
    let prepared = prepare(|config| config, threads, key)?;
    let (publisher, exchange) = cottontail::broker::Exchange::new(&prepared.plan.binding_keys(), WAITING);
    let program = Program::start(runtime()?, prepared, Source::Exchange(exchange))?;
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
    pub fn start(runtime: Runtime, Prepared { plan, key_file }: Prepared, source: Source) -> Result<Self, Failure> {
        let started = runtime.block_on(async { App::start(plan, source, None) });
        Ok(Self { app: started.map_err(|error| failed(&error))?, runtime, _key_file: key_file })
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

/// The defaults with `changes`, except for what makes the program run beside others: its listeners, its key, the mappings,
/// and the limits of one client, since here one client plays all of them.
pub fn prepare(changes: impl FnOnce(Config) -> Config, threads: usize, key: &Key) -> Result<Prepared, Failure> {
    let mut key_file = None;
    let issuer = match key {
        Key::Secret(secret) => IssuerConfig { secret: Some(Secret::new(secret)), ..IssuerConfig::default() },
        Key::Public(_, der) => {
            let mut file = NamedTempFile::new()?;
            file.write_all(pem::encode(&pem::Pem::new("PUBLIC KEY", der.as_slice())).as_bytes())?;
            let path = file.path().to_string_lossy().into_owned();
            key_file = Some(file);
            IssuerConfig { public_key_file: Some(path), ..IssuerConfig::default() }
        }
    };
    let issuer = IssuerConfig { algorithms: vec![key.signing().as_str().into()], ..issuer };
    let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
    let mapping = |routing_key: &str, user: &[&str], channel: &[&str], event: &str| MappingConfig {
        routing_key: routing_key.into(),
        user: OneOrMany(user.iter().map(ToString::to_string).collect()),
        channel: OneOrMany(channel.iter().map(ToString::to_string).collect()),
        event: event.into(),
        ..MappingConfig::default()
    };
    let config = Config {
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
    };
    let plan = Plan::new(changes(config)).map_err(|faults| failed(&faults[0]))?;
    Ok(Prepared { plan, key_file })
}
