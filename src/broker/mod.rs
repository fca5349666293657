//! Where messages come from: the link to RabbitMQ and the in-process exchange of `dev`, both feeding one pipeline into the hub.

mod address;
mod backoff;
mod bindings;
mod config;
mod decode;
mod dedupe;
mod dial;
mod exchange;
mod failure;
mod link;
mod orders;
mod outage;
mod overflow;
mod pipeline;
mod presence;
mod publish;
mod replay;
mod session;
mod status;
mod stream;
mod topology;

pub use address::masked;
pub use bindings::Bindings;
pub use config::BrokerConfig;
pub use exchange::{Exchange, ExchangeHandle, Full};
pub use failure::Failure;
pub use link::Link;
pub use orders::{OrderIntake, WithOrders};
pub use pipeline::{Intake, Pipeline};
pub use presence::{PresenceConfig, PresencePublisher};
pub use publish::publish_once;
pub use replay::{Replay, ReplayTask};
pub use status::{LinkState, LinkStatus};
