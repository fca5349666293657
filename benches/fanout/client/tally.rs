//! The account of what each stream got: lost, doubled, disordered, misdirected. No sockets.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;

/// Everything that makes a run invalid, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    pub lost: u64,
    pub doubled: u64,
    /// Arrived after an event that was published later.
    pub disordered: u64,
    /// Of another topic than the stream's.
    pub misdirected: u64,
    /// Gaps that the server itself admitted.
    pub gaps: u64,
    /// Streams that ended or broke before the benchmark closed them.
    pub ended: u64,
}

impl Faults {
    pub fn none(&self) -> bool {
        *self == Self::default()
    }

    pub fn add(&mut self, other: &Self) {
        self.lost += other.lost;
        self.doubled += other.doubled;
        self.disordered += other.disordered;
        self.misdirected += other.misdirected;
        self.gaps += other.gaps;
        self.ended += other.ended;
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} lost, {} doubled, {} disordered, {} misdirected, {} gaps, {} streams ended",
            self.lost, self.doubled, self.disordered, self.misdirected, self.gaps, self.ended
        )
    }
}

/// The account of the streams of one thread, by their index there.
pub struct Tally {
    /// The next expected place of each stream, close together so that the least is found quickly.
    next: Vec<u64>,
    /// Places that were jumped over and may yet arrive late.
    missing: HashMap<usize, Vec<Range<u64>>>,
    received: u64,
    faults: Faults,
}

impl Tally {
    pub fn new(streams: usize) -> Self {
        Self { next: vec![0; streams], missing: HashMap::new(), received: 0, faults: Faults::default() }
    }

    /// Notes the event at place `seq` on `stream`; true when it is a new one.
    pub fn event(&mut self, stream: usize, seq: u64) -> bool {
        let next = self.next[stream];
        if seq == next {
            self.next[stream] = next + 1;
        } else if seq > next {
            self.missing.entry(stream).or_default().push(next..seq);
            self.next[stream] = seq + 1;
        } else if self.take_missing(stream, seq) {
            self.faults.disordered += 1;
        } else {
            self.faults.doubled += 1;
            return false;
        }
        self.received += 1;
        true
    }

    pub fn misdirected(&mut self) {
        self.faults.misdirected += 1;
    }

    pub fn gap(&mut self) {
        self.faults.gaps += 1;
    }

    pub fn ended(&mut self) {
        self.faults.ended += 1;
    }

    /// Distinct events received on all streams.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// The number of events that every stream has got, whatever it lost.
    pub fn least(&self) -> u64 {
        self.next.iter().copied().min().unwrap_or(u64::MAX)
    }

    /// Closes the account: `expected` says how many events were published for a stream.
    pub fn close(mut self, expected: impl Fn(usize) -> u64) -> Faults {
        let jumped: u64 = self.missing.values().flatten().map(|range| range.end - range.start).sum();
        let absent: u64 =
            self.next.iter().enumerate().map(|(stream, next)| expected(stream).saturating_sub(*next)).sum();
        self.faults.lost = jumped + absent;
        self.faults
    }

    fn take_missing(&mut self, stream: usize, seq: u64) -> bool {
        let Some(ranges) = self.missing.get_mut(&stream) else { return false };
        let Some(index) = ranges.iter().position(|range| range.contains(&seq)) else { return false };
        let range = ranges.swap_remove(index);
        ranges.extend([range.start..seq, seq + 1..range.end].into_iter().filter(|rest| !rest.is_empty()));
        true
    }
}
