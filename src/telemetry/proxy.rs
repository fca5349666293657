//! Metrics of the requests that go on to the application.

use std::time::Duration;

use ::metrics::{counter, histogram};
use http::StatusCode;

/// The code that nginx made customary for a client that did not wait for its answer.
pub const ABANDONED: u16 = 499;

/// A request is over, its body included, however it ended; no status if the client left before there was one.
pub fn finished(status: Option<StatusCode>, after: Duration) {
    counter!("proxy_requests_total", "code" => status.map_or_else(|| ABANDONED.to_string(), label)).increment(1);
    histogram!("proxy_request_duration_seconds").record(after);
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
