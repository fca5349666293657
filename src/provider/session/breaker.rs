//! Leaves an application alone that fails again and again; no clock of its own, and what a failure is, is decided elsewhere.

use std::time::{Duration, Instant};

/// A circuit breaker: after some failures in a row it lets nothing through for a while, then one attempt, and everything
/// again once something has succeeded.
#[derive(Debug)]
pub(super) struct Breaker {
    /// Failures in a row that open it.
    limit: u32,
    pause: Duration,
    failures: u32,
    /// While it is open: when the next attempt may be made.
    next: Option<Instant>,
    /// When something succeeded last.
    succeeded: Option<Instant>,
}

impl Breaker {
    pub(super) fn new(limit: u32, pause: Duration) -> Self {
        Self { limit, pause, failures: 0, next: None, succeeded: None }
    }

    /// Whether an attempt may be made `now`. One that is never heard of again holds up the others for one pause only.
    pub(super) fn admit(&mut self, now: Instant) -> bool {
        match self.next {
            None => true,
            Some(next) if now < next => false,
            Some(_) => {
                self.next = Some(now + self.pause);
                true
            }
        }
    }

    pub(super) fn succeeded(&mut self, now: Instant) {
        (self.failures, self.next, self.succeeded) = (0, None, Some(now));
    }

    pub(super) fn has_succeeded_since(&self, then: Instant) -> bool {
        self.succeeded.is_some_and(|last| then <= last)
    }

    /// Whether this failure opens it.
    pub(super) fn failed(&mut self, now: Instant) -> bool {
        self.failures = self.failures.saturating_add(1);
        let opens = self.next.is_none() && self.failures >= self.limit;
        if opens {
            self.next = Some(now + self.pause);
        }
        opens
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE: Duration = Duration::from_secs(5);

    #[test]
    fn only_failures_in_a_row_open_it() {
        let (mut breaker, now) = (Breaker::new(3, PAUSE), Instant::now());
        for _ in 0..10 {
            assert!(!breaker.failed(now) && !breaker.failed(now) && breaker.admit(now));
            breaker.succeeded(now);
        }
        assert!(breaker.has_succeeded_since(now) && !breaker.has_succeeded_since(now + PAUSE));
        assert!(!breaker.failed(now) && !breaker.failed(now) && breaker.failed(now));
        assert!(!breaker.admit(now) && !breaker.admit(now + PAUSE.mul_f32(0.99)));
    }

    #[test]
    fn after_the_pause_one_attempt_decides_and_a_lost_one_costs_one_pause() {
        let (mut breaker, start) = (Breaker::new(1, PAUSE), Instant::now());
        assert!(breaker.failed(start));
        assert!(breaker.admit(start + PAUSE), "the attempt");
        assert!(!breaker.admit(start + PAUSE), "no second one beside it");
        assert!(!breaker.failed(start + PAUSE), "it is open already");
        assert!(!breaker.admit(start + PAUSE.mul_f32(1.9)));
        assert!(breaker.admit(start + PAUSE * 2), "whatever became of the first");
        breaker.succeeded(start + PAUSE * 2);
        assert!(breaker.admit(start + PAUSE * 2) && breaker.admit(start + PAUSE * 2));
    }
}
