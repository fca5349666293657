//! What the figures depend on beside the programs: processors, kernel, load and descriptors.

use std::fs;
use std::thread::available_parallelism;

use rustix::process::{Resource, getrlimit, setrlimit};

/// One line for the head of a report.
pub fn describe() -> String {
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let processors = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = processors
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown processor", |(_, model)| model);
    let cores = available_parallelism().map_or(1, usize::from);
    format!("{cores} cores ({}), Linux {}, loopback", model.trim(), kernel.trim())
}

/// What else runs here makes figures worse; it should be near 0.
pub fn load_average() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().unwrap_or("unknown").to_owned()
}

/// Raises the limit of descriptors as far as it goes, since each of two processes holds one for each stream, and returns it.
pub fn raise_descriptor_limit() -> std::io::Result<u64> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit)?;
    Ok(limit.current.unwrap_or(u64::MAX))
}
