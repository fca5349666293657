//! Metrics of what is known about tokens besides what each request brings: revocations, and the issuers' keys.

use metrics::{counter, gauge};

/// So many `jti` and `sid` are refused.
pub fn revocations(known: usize) {
    #[allow(clippy::cast_precision_loss, reason = "a gauge needs no more precision than a double has")]
    gauge!("auth_revocations").set(known as f64);
}

/// A revocation was forgotten before its end, since there are more than are kept.
pub fn revocation_forgotten() {
    counter!("auth_revocations_forgotten_total").increment(1);
}

/// Keys were fetched from an issuer or read from a file that changed, or were to be. `outcome` is one of a fixed set.
pub fn keys_refreshed(outcome: &'static str) {
    counter!("auth_key_refreshes_total", "outcome" => outcome).increment(1);
}
