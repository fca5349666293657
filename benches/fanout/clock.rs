//! The clocks that two processes can compare: monotonic time and the CPU time of a thread. No calendar.

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds of `CLOCK_MONOTONIC`, the same count in every process of this machine.
pub fn now() -> u64 {
    read(ClockId::Monotonic)
}

/// Nanoseconds of CPU, user and system, that the calling thread has used.
pub fn thread_cpu() -> u64 {
    read(ClockId::ThreadCPUTime)
}

fn read(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    // Neither clock runs below zero, nor past 2^64 ns.
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}
