//! Nothing lost, nothing twice, nothing out of order: many browsers on two replicas, a numbered flow of messages, and everything
//! that can break in between.
//!
//! Each test starts a `Trial`, breaks something while messages flow, and has every browser's log judged. What is promised
//! depends on the history: see `promise`. `COTTONTAIL_TEST_HISTORY` chooses it (`memory` or `stream`), otherwise the
//! program's default does; `COTTONTAIL_TEST_SEED` repeats the choices of a run.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(unreachable_pub, reason = "nothing in a test binary is reachable")]

#[allow(dead_code, clippy::print_stderr, reason = "shared by test binaries that each use a part")]
#[path = "../support"]
mod support {
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

mod audit;
mod browser;
mod gateway;
#[allow(dead_code, reason = "shared by test binaries that each use a part")]
#[path = "../doctor/ingress.rs"]
mod ingress;
mod ledger;
mod promise;
mod publisher;
mod relay;
mod replica;
mod trial;
mod verdict;
mod visitors;

mod broker_faults;
mod cluster;
mod link_faults;
mod lost_history;
mod replica_faults;
mod resuming;
mod rollout;
mod storm;
