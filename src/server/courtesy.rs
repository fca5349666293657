//! Time that a worker leaves to the other threads of the process, and in a crowd of requests to events; what is done in it is not known here.

use std::cell::Cell;
use std::thread;
use std::time::{Duration, Instant};

/// A worker that goes on for longer lets others have its processor.
///
/// In a crowd it never waits for anything, so that on a machine whose processors are all busy the thread that hears the
/// broker gets one only at the end of the scheduler's time slice, some milliseconds later for each event. Where nobody waits
/// for the processor this costs a system call.
const AT_A_STRETCH: Duration = Duration::from_millis(1);

/// Of one worker.
#[derive(Debug)]
pub(crate) struct Courtesy(Cell<Instant>);

impl Courtesy {
    pub(super) const fn new(now: Instant) -> Self {
        Self(Cell::new(now))
    }

    /// Before a request is answered, and between two turns of a shard that has more to do.
    /// True when it was time.
    pub(crate) fn show(&self) -> bool {
        let now = Instant::now();
        let due = self.is_due(now);
        if due {
            thread::yield_now();
            self.0.set(Instant::now());
        }
        due
    }

    fn is_due(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.0.get()) >= AT_A_STRETCH
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_due_after_a_stretch_and_then_not_before_the_next() {
        let start = Instant::now();
        let courtesy = Courtesy::new(start);
        assert!(!courtesy.is_due(start));
        assert!(courtesy.is_due(start + AT_A_STRETCH));
        courtesy.0.set(start + AT_A_STRETCH);
        assert!(!courtesy.is_due(start + AT_A_STRETCH));
        assert!(courtesy.is_due(start + 2 * AT_A_STRETCH));
    }
}
