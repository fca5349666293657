//! Which processors the parts of a measurement have, so that none takes another's.

use std::thread::available_parallelism;

use rustix::io::Errno;
use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Processors by number, from `first` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cores {
    first: usize,
    count: usize,
}

/// Who runs where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Division {
    pub server: Cores,
    /// What is neither measured nor measures: an application behind the server, or a storm of other browsers.
    pub beside: Cores,
    pub browsers: Cores,
}

/// The processors that the thread which made it had before, which it gets back.
#[derive(Debug)]
pub struct Kept(CpuSet);

impl Division {
    /// A processor for each of `threads` of a server, one for what is beside it, and the rest for the browsers; `None` when
    /// there are not enough.
    pub fn new(threads: usize) -> Option<Self> {
        let browsers = Cores::all().count.checked_sub(threads + 1).filter(|left| *left > 0)?;
        Some(Self {
            server: Cores { first: 0, count: threads },
            beside: Cores { first: threads, count: 1 },
            browsers: Cores { first: threads + 1, count: browsers },
        })
    }
}

impl Cores {
    /// Those of the machine that this process may use.
    pub fn all() -> Self {
        Self { first: 0, count: available_parallelism().map_or(1, usize::from) }
    }

    pub fn count(&self) -> usize {
        self.count
    }

    /// As `taskset -c` reads it.
    pub fn list(&self) -> String {
        let cores: Vec<String> = self.numbers().map(|core| core.to_string()).collect();
        cores.join(",")
    }

    /// Keeps the calling thread, and the threads that it starts, on these.
    pub fn keep(&self) -> std::io::Result<Kept> {
        let before = sched_getaffinity(None)?;
        sched_setaffinity(None, &self.set())?;
        Ok(Kept(before))
    }

    /// Moves all threads of a process here.
    pub fn take(&self, process: u32) -> std::io::Result<()> {
        for thread in std::fs::read_dir(format!("/proc/{process}/task"))? {
            let thread = thread?.file_name().to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw);
            match sched_setaffinity(thread, &self.set()) {
                // It has ended in the meantime.
                Ok(()) | Err(Errno::SRCH) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn set(&self) -> CpuSet {
        let mut set = CpuSet::new();
        self.numbers().for_each(|core| set.set(core));
        set
    }

    fn numbers(&self) -> std::ops::Range<usize> {
        self.first..self.first + self.count
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        // It was allowed there before.
        let _ = sched_setaffinity(None, &self.0);
    }
}
