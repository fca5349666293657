//! Tracing set-up, and every metric's name in one place with a function for each thing that happens.

mod log;
mod sse;

pub use log::{LogConfig, LogFormat, set_up};
pub use sse::*;
