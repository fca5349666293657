//! Cottontail turns a RabbitMQ exchange into Server-Sent Events.

pub mod event;
pub mod setting;
pub mod shutdown;
pub mod topic;

pub mod telemetry;

pub mod auth;
pub mod routing;
pub mod sse;

pub mod hub;

pub mod broker;
pub mod server;

pub mod config;

pub mod app;

pub mod cli;
