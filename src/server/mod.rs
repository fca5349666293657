//! HTTP towards browsers and operators: accepting, endpoints, the stream's body, errors into responses, the admin listener.

mod config;

pub use config::{AdminConfig, CorsConfig, EndpointConfig, ServerConfig};
