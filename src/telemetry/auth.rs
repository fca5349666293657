//! Metrics of what is known about tokens besides what each request brings.

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
