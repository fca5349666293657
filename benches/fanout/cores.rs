//! Which processors the proxies, the application and the browsers have, so that none takes another's.

use std::thread::available_parallelism;

use rustix::thread::{CpuSet, sched_setaffinity};

/// Processors by number, from `first` on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cores {
    first: usize,
    count: usize,
}

/// Who runs where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Division {
    pub proxy: Cores,
    pub application: Cores,
    pub browsers: Cores,
}

impl Division {
    /// A processor for each of `threads` of a proxy, one for the application, and the rest for the browsers; `None` when
    /// there are not enough.
    pub fn new(threads: usize) -> Option<Self> {
        let cores = available_parallelism().map_or(1, usize::from);
        let browsers = cores.checked_sub(threads + 1).filter(|left| *left > 0)?;
        Some(Self {
            proxy: Cores { first: 0, count: threads },
            application: Cores { first: threads, count: 1 },
            browsers: Cores { first: threads + 1, count: browsers },
        })
    }
}

impl Cores {
    pub fn count(&self) -> usize {
        self.count
    }

    /// As `taskset -c` reads it.
    pub fn list(&self) -> String {
        let cores: Vec<String> = self.numbers().map(|core| core.to_string()).collect();
        cores.join(",")
    }

    /// Keeps the calling thread, and the threads that it starts, on these.
    pub fn keep(&self) -> std::io::Result<()> {
        let mut set = CpuSet::new();
        self.numbers().for_each(|core| set.set(core));
        Ok(sched_setaffinity(None, &set)?)
    }

    fn numbers(&self) -> std::ops::Range<usize> {
        self.first..self.first + self.count
    }
}
