//! The reverse proxy from outside: raw sockets on both of its sides, with curl and nginx beside them as a second opinion.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(unreachable_pub, reason = "nothing in a test binary is reachable")]

/// Of what the test binaries share, the part that needs no broker and no browser.
#[allow(dead_code, clippy::print_stderr, reason = "shared by test binaries that each use a part")]
#[path = "../support"]
mod support {
    pub mod browser;
    pub mod chunked;
    pub mod deadline;
    pub mod eventsource_decoder;
    pub mod http1;
    pub mod metrics;
    pub mod output;
    pub mod process;
    pub mod secrecy;
    pub mod sse;
    pub mod tls;
}

mod scene;
mod wire;

mod ambiguous;
mod bodies;
mod failures;
mod foreign;
mod headers;
mod http2_application;
mod limits;
mod streams;
mod targets;
mod tls;
mod upgrades;
mod volume;
mod websocket_over_http2;
