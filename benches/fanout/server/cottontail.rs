//! Cottontail as a server under test: the program's own wiring over its in-process exchange.

use std::net::SocketAddr;

use cottontail::auth::{AuthConfig, IssuerConfig};
use cottontail::config::Config;
use cottontail::routing::{MappingConfig, OneOrMany};
use cottontail::server::{AdminConfig, ServerConfig};
use cottontail::setting::Secret;

use crate::failure::Failure;
use crate::payload::{EVENT_NAME, Topic};
use crate::server::publisher::Exchange;
use crate::target::{self, SECRET};

/// A running Cottontail and the writing end of its in-process exchange.
pub struct Cottontail {
    address: SocketAddr,
}

/// Starts it on a free port of loopback, with `threads` workers, and returns when it accepts connections.
pub fn start(threads: usize) -> Result<Cottontail, Failure> {
    let config = config(threads);
    Err(Failure::Server(format!("cottontail on {} threads is not wired yet", config.server.threads)))
}

impl Cottontail {
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Exchange for Cottontail {
    fn publish(&mut self, to: Topic, _body: String) -> Result<(), Failure> {
        Err(Failure::Server(format!("no exchange for {}", target::routing_key(to))))
    }
}

/// The defaults, except for what makes the program run beside others: its listeners, its secret and the mappings.
fn config(threads: usize) -> Config {
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
        auth: AuthConfig { issuer: vec![issuer], ..AuthConfig::default() },
        mapping: vec![
            mapping("channel.{channel...}", &[], &["{channel}"], EVENT_NAME),
            mapping("user.{user}.{event}", &["{user}"], &[], "{event}"),
        ],
        ..Config::default()
    }
}
