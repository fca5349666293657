//! Issuers whose keys change, go away and misbehave: the built binary against real HTTP and HTTPS issuers; no broker is needed.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(unreachable_pub, reason = "nothing in a test binary is reachable")]

/// Of what the test binaries share, the part that needs no broker and no browser.
#[allow(dead_code, clippy::print_stderr, reason = "shared by test binaries that each use a part")]
#[path = "../support"]
mod support {
    pub mod chunked;
    pub mod deadline;
    pub mod eventsource_decoder;
    pub mod http1;
    pub mod issuer;
    pub mod metrics;
    pub mod output;
    pub mod port;
    pub mod process;
    pub mod secrecy;
    pub mod tls;
    pub mod tokens;
}

mod scene;

mod absence;
mod discovery;
mod files;
mod rotation;
mod several;
mod tls;
