//! The image without Docker: its Dockerfile is linted, its static binary is built and run, and what compose.yaml starts besides is
//! started here by hand.
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
    pub mod metrics;
    pub mod output;
    pub mod port;
    pub mod process;
    pub mod secrecy;
    pub mod sse;
    pub mod tls;
}

mod compose;
mod dockerfile;
mod static_binary;

/// A file of the repository.
fn read(name: &str) -> String {
    std::fs::read_to_string(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}
