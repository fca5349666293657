//! How much may wait for one stream, and how fast live events may come for it; numbers only, the queue keeps them.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use super::StreamConfig;

/// Rates are kept over this time: what comes at once may be as much as may come in all of it.
const WINDOW: Duration = Duration::from_secs(10);
const SECOND: u64 = 1_000_000_000;

/// Why a stream takes no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Too much waits already.
    Full,
    /// More events came in a second than are allowed …
    Events,
    /// … or more bytes.
    Bytes,
}

/// What every stream of a hub is held to.
#[derive(Debug)]
pub(super) struct Limits {
    pub(super) queue_events: usize,
    pub(super) queue_bytes: u64,
    /// In a second; 0 for any number.
    events: u64,
    bytes: u64,
    /// What the times of meters count from: the first event that was measured.
    origin: OnceLock<Instant>,
}

/// How far one stream is ahead of its rates: two generic cell rate algorithms (ITU-T I.371), each of them the time at
/// which what it has had would have come at the rate, in nanoseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Meter {
    events: u64,
    bytes: u64,
}

impl Limits {
    pub(super) fn new(settings: &StreamConfig) -> Self {
        Self {
            queue_events: settings.queue_events,
            queue_bytes: settings.queue_bytes.as_u64(),
            events: settings.max_events_per_second.into(),
            bytes: settings.max_bytes_per_second.as_u64(),
            origin: OnceLock::new(),
        }
    }

    /// Other limits for the same streams, whose meters go on.
    pub(super) fn changed_to(&self, settings: &StreamConfig) -> Self {
        Self { origin: self.origin.clone(), ..Self::new(settings) }
    }

    /// Measures `events` with `bytes` that the source handed over at `received`. Who is at a limit already is refused;
    /// so one large event alone is let through.
    pub(super) fn measure(
        &self,
        meter: &mut Meter,
        events: usize,
        bytes: usize,
        received: Instant,
    ) -> Result<(), Refusal> {
        if self.events == 0 && self.bytes == 0 {
            return Ok(());
        }
        let since = received.saturating_duration_since(*self.origin.get_or_init(|| received));
        let now = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
        let ahead = |due: u64| Duration::from_nanos(due.saturating_sub(now)) >= WINDOW;
        if ahead(meter.events) {
            return Err(Refusal::Events);
        }
        if ahead(meter.bytes) {
            return Err(Refusal::Bytes);
        }
        let after = |due: u64, count: usize, rate: u64| match rate {
            0 => 0,
            rate => due.max(now).saturating_add((count as u64).saturating_mul(SECOND) / rate),
        };
        meter.events = after(meter.events, events, self.events);
        meter.bytes = after(meter.bytes, bytes, self.bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use bytesize::ByteSize;
    use proptest::prelude::*;

    use super::*;

    fn limits(events: u32, bytes: u64) -> Limits {
        let settings = StreamConfig {
            max_events_per_second: events,
            max_bytes_per_second: ByteSize(bytes),
            ..StreamConfig::default()
        };
        Limits::new(&settings)
    }

    #[test]
    fn a_meter_takes_sixteen_bytes_and_without_limits_measures_nothing() {
        assert_eq!(size_of::<Meter>(), 16);
        let (limits, mut meter) = (limits(0, 0), Meter::default());
        for _ in 0..10_000 {
            assert_eq!(limits.measure(&mut meter, 1000, 1 << 30, Instant::now()), Ok(()));
        }
        assert_eq!((meter.events, meter.bytes, limits.origin.get()), (0, 0, None));
    }

    #[test]
    fn each_rate_has_its_own_reason_and_one_large_event_alone_is_let_through() {
        let now = Instant::now();
        let (few, mut meter) = (limits(1, 0), Meter::default());
        let taken = (0..100).take_while(|_| few.measure(&mut meter, 1, 1 << 20, now).is_ok()).count();
        assert_eq!(taken, 10);
        assert_eq!(few.measure(&mut meter, 1, 1, now), Err(Refusal::Events));
        assert_eq!(few.measure(&mut meter, 1, 1, now + Duration::from_secs(1)), Ok(()));
        let (small, mut meter) = (limits(0, 100), Meter::default());
        assert_eq!(small.measure(&mut meter, 1, 1 << 20, now), Ok(()));
        assert_eq!(small.measure(&mut meter, 1, 1, now), Err(Refusal::Bytes));
    }

    proptest! {
        /// Whoever stays within the rates is never refused, and nobody gets more in any stretch of time than the rates and
        /// the window allow.
        #[test]
        fn what_is_let_through_is_what_the_rates_allow(
            rate in 1u32..50,
            steps in proptest::collection::vec((0u64..2000, 1usize..5), 1..200),
        ) {
            let (limits, mut meter, start) = (limits(rate, 0), Meter::default(), Instant::now());
            // Of each time, in milliseconds, what may have come since then, in thousandths of an event.
            let allowed = |milliseconds: u64| u64::from(rate) * (10_000 + milliseconds);
            let mut at = 0;
            let mut taken: Vec<(u64, u64)> = Vec::new();
            for (pause, events) in steps {
                at += pause;
                if limits.measure(&mut meter, events, 1, start + Duration::from_millis(at)).is_ok() {
                    taken.push((at, events as u64));
                } else {
                    let had: u64 = taken.iter().map(|(_, events)| 1000 * events).sum();
                    prop_assert!(had >= allowed(0), "refused after {had}");
                }
                for (index, (from, _)) in taken.iter().enumerate() {
                    let had: u64 = taken[index..].iter().map(|(_, events)| 1000 * events).sum();
                    // One more step may begin just below the limit.
                    prop_assert!(had <= allowed(at - from) + 5000, "{had} since {from}");
                }
            }
        }
    }
}
