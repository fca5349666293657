//! How long to wait before the next attempt to connect.

use std::time::Duration;

/// Doubles from `min` to `max`; each wait is jittered, so that replicas that lost the broker together do not return together.
#[derive(Debug)]
pub(super) struct Backoff {
    min: Duration,
    max: Duration,
    next: Duration,
}

impl Backoff {
    pub(super) fn new(min: Duration, max: Duration) -> Self {
        Self { min, max, next: min }
    }

    /// The wait before the next attempt: between half of the current step and all of it.
    pub(super) fn wait(&mut self) -> Duration {
        let step = self.next;
        self.next = step.saturating_mul(2).min(self.max);
        step.mul_f64(0.5 + fastrand::f64() / 2.0)
    }

    pub(super) fn reset(&mut self) {
        self.next = self.min;
    }

    /// A link that held longer than this is not part of the outage before it.
    pub(super) fn steady(&self) -> Duration {
        self.max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_start_again_after_a_reset() {
        let millis = Duration::from_millis;
        let mut backoff = Backoff::new(millis(100), millis(350));
        for step in [100, 200, 350, 350, 350] {
            let wait = backoff.wait();
            assert!(wait >= millis(step) / 2 && wait <= millis(step), "{wait:?} of {step} ms");
        }
        backoff.reset();
        assert!(backoff.wait() <= millis(100));
    }
}
