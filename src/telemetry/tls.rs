//! Metrics of TLS towards browsers: handshakes, and how long the certificate holds.

use std::time::Duration;

use ::metrics::{counter, gauge};

/// Why a handshake came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failed {
    /// It was not over in time.
    Timeout,
    /// The client left, or said nothing at all.
    Closed,
    /// The client spoke HTTP without TLS.
    PlainHttp,
    /// The client sent an alert, as one that does not trust the certificate does.
    Refused,
    /// No version, cipher suite or protocol in common.
    Incompatible,
    /// What the client sent is not TLS.
    Malformed,
}

impl Failed {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Closed => "closed",
            Self::PlainHttp => "plain_http",
            Self::Refused => "refused",
            Self::Incompatible => "incompatible",
            Self::Malformed => "malformed",
        }
    }
}

pub fn handshake_failed(failed: Failed) {
    counter!("tls_handshake_failures_total", "reason" => failed.as_str()).increment(1);
}

/// What new handshakes are made with expires at this time, in Unix time.
pub fn certificate_expires(at: Duration) {
    gauge!("tls_certificate_expiry_timestamp_seconds").set(at.as_secs_f64());
}
