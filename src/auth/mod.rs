//! Who a request is and what it may hear: where a token sits, the keys, verification, identity and grants; knows no stream and no socket.

mod config;

pub use config::{AuthConfig, IssuerConfig};
