//! What is logged about an outage: each reason once, then now and again; no clock of its own.

use std::time::{Duration, Instant};

use crate::telemetry::Throttle;

/// Time between two log lines about an outage that goes on for known reasons.
const REMINDER_INTERVAL: Duration = Duration::from_secs(60);
/// Reasons remembered; beyond them every reason counts as known.
const MAX_REASONS: usize = 16;

/// The time since messages stopped to come.
#[derive(Debug)]
pub(super) struct Outage {
    since: Instant,
    reasons: Vec<String>,
    reminder: Throttle,
    logged: bool,
}

impl Outage {
    pub(super) fn begin(now: Instant) -> Self {
        Self { since: now, reasons: Vec::new(), reminder: Throttle::new(REMINDER_INTERVAL), logged: false }
    }

    /// An attempt failed for `reason`. Whether to log it: then the number of failures kept back since the line before.
    pub(super) fn failed(&mut self, now: Instant, reason: String) -> Option<u64> {
        let admitted = self.reminder.admit(now);
        if self.reasons.len() < MAX_REASONS && !self.reasons.contains(&reason) {
            self.reasons.push(reason);
            return admitted.or(Some(0));
        }
        admitted
    }

    pub(super) fn logged(&mut self) {
        self.logged = true;
    }

    /// Whether there was a line about it at all: an outage by a message that cannot be read may have none of its own.
    pub(super) fn was_logged(&self) -> bool {
        self.logged
    }

    pub(super) fn lasted(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_is_logged_once_and_then_now_and_again() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut outage = Outage::begin(start);
        let mut failed = |seconds, reason: &str| outage.failed(at(seconds), reason.into()).is_some();
        assert!(failed(0, "refused"));
        assert!(!failed(1, "refused"));
        assert!(failed(2, "no exchange"));
        assert!(!failed(3, "refused"));
        assert!(!failed(4, "no exchange"));
        assert!(failed(61, "refused"));
        assert_eq!(outage.lasted(at(61)), Duration::from_secs(61));
    }

    #[test]
    fn reasons_without_end_do_not_fill_the_log() {
        let start = Instant::now();
        let mut outage = Outage::begin(start);
        let logged = (0..1000).filter(|n| outage.failed(start, format!("reason {n}")).is_some()).count();
        assert_eq!(logged, MAX_REASONS);
    }
}
