//! Where messages come from: the link to RabbitMQ and the in-process exchange of `dev`, both feeding one pipeline into the hub.

mod config;

pub use config::BrokerConfig;
