//! How often a repeated log line may be written; no clock of its own.

use std::time::{Duration, Instant};

/// Lets the first occurrence through at once, and after it at most one in each interval.
#[derive(Debug)]
pub struct Throttle {
    interval: Duration,
    last: Option<Instant>,
    suppressed: u64,
}

impl Throttle {
    #[must_use]
    pub const fn new(interval: Duration) -> Self {
        Self { interval, last: None, suppressed: 0 }
    }

    /// Whether to write a line `now`: then the number of occurrences kept back since the line before.
    pub fn admit(&mut self, now: Instant) -> Option<u64> {
        if self.last.is_some_and(|last| now.saturating_duration_since(last) < self.interval) {
            self.suppressed += 1;
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_comes_at_once_and_later_ones_say_how_many_were_kept_back() {
        let mut throttle = Throttle::new(Duration::from_secs(10));
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(throttle.admit(start), Some(0));
        assert_eq!(throttle.admit(at(1)), None);
        assert_eq!(throttle.admit(at(9)), None);
        assert_eq!(throttle.admit(at(10)), Some(2));
        assert_eq!(throttle.admit(at(11)), None);
        assert_eq!(throttle.admit(at(40)), Some(1));
        assert_eq!(throttle.admit(at(60)), Some(0));
    }

    #[test]
    fn a_clock_that_steps_back_keeps_lines_back_and_nothing_else() {
        let mut throttle = Throttle::new(Duration::from_secs(10));
        let start = Instant::now() + Duration::from_secs(100);
        assert_eq!(throttle.admit(start), Some(0));
        assert_eq!(throttle.admit(start.checked_sub(Duration::from_secs(50)).expect("far from the epoch")), None);
    }
}
