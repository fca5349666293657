//! Messages about users who come and go, published on a connection of their own; who is there the hub says.

mod config;
mod ledger;
mod message;
mod publisher;

pub use config::PresenceConfig;
pub use publisher::PresencePublisher;
