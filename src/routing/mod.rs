//! From a message to its audience: the mapping rules, compiled once; pure, knows neither broker nor hub.

mod config;

pub use config::{Binary, MappingConfig, OneOrMany};
