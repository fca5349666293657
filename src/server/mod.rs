//! HTTP towards browsers and operators: accepting, endpoints, the stream's body, errors into responses, the admin listener.

mod admin;
mod body;
mod config;
mod connection;
mod cors;
mod endpoint;
mod listener;
mod problem;
mod site;
mod socket;
mod traffic;
mod wire;
mod worker;

pub use admin::{Admin, Readiness};
pub use config::{AdminConfig, CorsConfig, EndpointConfig, ServerConfig};
pub use listener::{bind, raise_descriptor_limit};
pub use site::{Fallback, Site};
pub use worker::Worker;
