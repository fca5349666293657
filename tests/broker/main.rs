//! The broker room against a real RabbitMQ.

#[path = "../support/rabbitmq.rs"]
mod rabbitmq;

mod beginning;
mod delivery;
mod harness;
mod outage;
mod refusal;
mod replica;
mod stream;
mod tls;
mod unreadable;
