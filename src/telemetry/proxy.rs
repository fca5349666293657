//! Metrics of the requests that go on to the application.

use std::cell::RefCell;
use std::fmt;
use std::time::Duration;

use ::metrics::{Counter, Histogram, counter, histogram};
use hashbrown::HashMap;
use http::StatusCode;

/// The code that nginx made customary for a client that did not wait for its answer.
pub const ABANDONED: u16 = 499;

/// One worker's handles, each looked up once, since looking up costs more than counting.
pub struct ProxyMetrics {
    durations: Histogram,
    by_status: RefCell<HashMap<Option<StatusCode>, Counter>>,
}

impl ProxyMetrics {
    /// To be made when the recorder is there.
    #[must_use]
    pub fn new() -> Self {
        Self { durations: histogram!("proxy_request_duration_seconds"), by_status: RefCell::default() }
    }

    /// A request is over, its body included, however it ended; no status if the client left before there was one.
    pub fn finished(&self, status: Option<StatusCode>, after: Duration) {
        // There are at most as many as statuses of three digits.
        let mut by_status = self.by_status.borrow_mut();
        let counter = by_status.entry(status).or_insert_with(
            || counter!("proxy_requests_total", "code" => status.map_or_else(|| ABANDONED.to_string(), label)),
        );
        counter.increment(1);
        self.durations.record(after);
    }
}

impl Default for ProxyMetrics {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for ProxyMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProxyMetrics")
    }
}

/// A registered code by itself; others, which an application may make up, by their class.
fn label(status: StatusCode) -> String {
    if status.canonical_reason().is_some() {
        status.as_str().to_owned()
    } else {
        format!("{}xx", status.as_u16() / 100)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_made_up_status_makes_no_label_of_its_own() {
        assert_eq!(label(StatusCode::NOT_FOUND), "404");
        assert_eq!(label(StatusCode::from_u16(477).unwrap()), "4xx");
    }
}
