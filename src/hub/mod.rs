//! Who gets what: the publisher's side, the ring of recent events, and each worker's subscribers; no sockets and no clock.

mod config;
mod publisher;

pub use config::{HistoryConfig, HistoryKind, StreamConfig};
pub use publisher::Publisher;
