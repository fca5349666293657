//! `cottontail doctor` through real ingresses: silent about the recipes of the README, and eloquent where a setting is wrong.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(unreachable_pub, reason = "nothing in a test binary is reachable")]

#[path = "../end_to_end/scenario.rs"]
#[allow(dead_code, reason = "shared by test binaries that each use a part")]
mod scenario;
#[allow(dead_code, clippy::print_stderr, reason = "shared by test binaries that each use a part")]
#[path = "../support/mod.rs"]
mod support;

mod haproxy;
#[allow(dead_code, reason = "shared by test binaries that each use a part")]
mod ingress;
mod nginx;
mod others;
mod patient;
