//! The broker room against a real RabbitMQ.

#[allow(dead_code, unreachable_pub, reason = "shared by test binaries that each use a part")]
#[path = "../support/tls.rs"]
mod certificates;
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
