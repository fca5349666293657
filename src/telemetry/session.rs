//! Metrics of what the application is asked about sessions.

use ::metrics::counter;

/// A request's session was to be looked at. `outcome` is one of a fixed set.
pub fn checked(outcome: &'static str) {
    counter!("auth_session_checks_total", "outcome" => outcome).increment(1);
}
