//! Metrics of the configuration and of what became of a new one.

use std::time::{SystemTime, UNIX_EPOCH};

use metrics::gauge;

/// The configuration of the start, or a new one, is in force; or a new one was refused.
pub fn loaded(successful: bool, now: SystemTime) {
    gauge!("config_last_reload_successful").set(f64::from(u8::from(successful)));
    if successful {
        let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        gauge!("config_last_reload_success_timestamp_seconds").set(since.as_secs_f64());
    }
}
