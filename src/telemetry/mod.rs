//! Logging, spans, and every metric's name in one place with a function for each thing that happens.

pub mod amqp;
pub mod auth;
pub mod config;
mod log;
mod metrics;
mod process;
pub mod proxy;
pub mod session;
pub mod stream;
mod throttle;
pub mod tls;
mod trace;

pub use log::{LogConfig, LogFormat, filter, set_format, set_level, set_up};
pub use metrics::metrics;
pub use process::process_metrics;
pub use throttle::Throttle;
pub use trace::{DeliverySpan, HttpSpan, Tracing, start_tracing};
