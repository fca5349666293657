//! Spans as a collector gets them: the built binary with its feature `otlp`, a real broker, and an OTLP receiver of the test's own.
// `tests/run` builds it so, in a step of its own.
#![cfg(feature = "otlp")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(unreachable_pub, reason = "nothing in a test binary is reachable")]

/// Of what the test binaries share, the part that needs no browser.
#[allow(dead_code, clippy::print_stderr, reason = "shared by test binaries that each use a part")]
#[path = "../support"]
mod support {
    pub mod application;
    pub mod chunked;
    pub mod deadline;
    pub mod eventsource_decoder;
    pub mod http1;
    pub mod metrics;
    pub mod output;
    pub mod process;
    pub mod rabbitmq;
    pub mod secrecy;
    pub mod sse;
    pub mod tls;
    pub mod tokens;
    pub mod website;
}

mod collector;
mod scene;

mod absence;
mod messages;
mod requests;
