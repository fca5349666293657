//! The whole configuration: composes the rooms' own sections. Loading and checking it live in the modules below.

mod change;
mod decode;
mod environment;
mod lines;
mod load;
mod origins;
mod schema;
mod shape;
mod show;
mod unknown;
mod validate;
mod watch;

pub use change::Changes;
pub use load::{Draft, Flag, Loaded, Sources};
pub use origins::Origins;
pub use schema::schema;
pub use watch::WatchedFiles;

use serde::{Deserialize, Serialize};

use crate::auth::AuthConfig;
use crate::broker::{BrokerConfig, PresenceConfig};
use crate::control::ControlConfig;
use crate::hub::{HistoryConfig, StreamConfig};
use crate::proxy::UpstreamConfig;
use crate::routing::MappingConfig;
use crate::server::{AdminConfig, CorsConfig, EndpointConfig, ServerConfig};
use crate::telemetry::LogConfig;

/// `config.toml` as it is shipped: every setting with its default and what it means.
const SHIPPED: &str = include_str!("../../config.toml");

/// Every setting, each with its default; one field a section of `config.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    pub server: ServerConfig,
    pub admin: AdminConfig,
    pub log: LogConfig,
    pub upstream: UpstreamConfig,
    pub broker: BrokerConfig,
    pub history: HistoryConfig,
    pub presence: PresenceConfig,
    pub stream: StreamConfig,
    pub auth: AuthConfig,
    pub control: ControlConfig,
    pub cors: CorsConfig,
    pub endpoint: Vec<EndpointConfig>,
    pub mapping: Vec<MappingConfig>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            server: ServerConfig::default(),
            admin: AdminConfig::default(),
            log: LogConfig::default(),
            upstream: UpstreamConfig::default(),
            broker: BrokerConfig::default(),
            history: HistoryConfig::default(),
            presence: PresenceConfig::default(),
            stream: StreamConfig::default(),
            auth: AuthConfig::default(),
            control: ControlConfig::default(),
            cors: CorsConfig::default(),
            endpoint: vec![EndpointConfig::default()],
            mapping: Vec::new(),
        }
    }
}
