//! The whole program from outside: a real RabbitMQ, the built binary, and clients that share no code with it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(unreachable_pub, reason = "nothing in a test binary is reachable")]

#[allow(dead_code, clippy::print_stderr, reason = "shared by test binaries that each use a part")]
#[path = "../support/mod.rs"]
mod support;

mod scenario;

mod admin;
mod channels;
mod command_line;
mod delivery;
mod dev;
mod drain;
mod http2;
mod lagging;
mod native_browser;
mod outage;
mod refusals;
mod resuming;
mod secrecy;
mod sockets;
mod stream_response;
