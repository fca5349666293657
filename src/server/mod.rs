//! HTTP towards browsers and operators: accepting, endpoints, the stream's body, errors into responses, the admin listener.

mod admin;
mod admission;
mod body;
mod config;
mod connection;
mod cors;
mod drive;
mod ending;
mod endpoint;
mod fallback;
mod listener;
mod overload;
mod problem;
mod renewal;
mod scan;
mod site;
mod socket;
mod strict;
mod subscribers;
mod switched;
mod tls;
mod traffic;
mod upstream;
mod wire;
mod worker;

pub use admin::{Admin, Readiness};
pub use body::BoxError;
pub use config::{AdminConfig, CorsConfig, EndpointConfig, ServerConfig, TlsConfig};
pub use fallback::{Answer, AnswerBody, Fallback, Responder};
pub use listener::{bind, raise_descriptor_limit};
pub use site::{Site, SiteSettings};
pub use tls::Tls;
pub use upstream::Upstream;
pub use worker::Worker;
