//! The whole program from outside: a real RabbitMQ, the built binary, and clients that share no code with it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[allow(dead_code, unreachable_pub, clippy::print_stderr, reason = "shared by test binaries that each use a part")]
#[path = "../support/mod.rs"]
mod support;
