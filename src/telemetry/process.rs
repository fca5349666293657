//! Metrics of the process itself, read from `/proc` when somebody asks, and written for Prometheus; nothing is kept.

use std::fmt::Write;
use std::fs;

use rustix::param;
use rustix::process::{Resource, getrlimit};

/// Figures of this process as Linux tells them (`proc_pid_stat(5)`), in seconds and bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Usage {
    cpu: f64,
    /// Since the machine's start.
    started: f64,
    threads: f64,
    resident: f64,
}

/// This process's metrics in Prometheus's text format, under the names that its client libraries have made customary. What the
/// system does not tell is left out.
#[must_use]
pub fn process_metrics() -> String {
    let mut text = String::new();
    if let Some(usage) = fs::read_to_string("/proc/self/stat").ok().as_deref().and_then(usage) {
        let (cpu, resident, threads) = (usage.cpu, usage.resident, usage.threads);
        sample(&mut text, "process_cpu_seconds_total", "counter", "CPU time of the process, user and system", cpu);
        sample(&mut text, "process_resident_memory_bytes", "gauge", "Memory of the process that is in RAM", resident);
        sample(&mut text, "process_threads", "gauge", "Threads of the process", threads);
        if let Some(boot) = fs::read_to_string("/proc/stat").ok().as_deref().and_then(boot_time) {
            let start = boot + usage.started;
            sample(&mut text, "process_start_time_seconds", "gauge", "When the process started, in Unix time", start);
        }
    }
    if let Some(open) = open_descriptors() {
        sample(&mut text, "process_open_fds", "gauge", "Open file descriptors of the process", open);
    }
    // A process without a limit has no figure to compare with.
    if let Some(most) = getrlimit(Resource::Nofile).current {
        sample(&mut text, "process_max_fds", "gauge", "File descriptors that the process may have open", double(most));
    }
    text
}

fn sample(text: &mut String, name: &str, kind: &str, help: &str, value: f64) {
    writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n").expect("a String takes all text");
}

/// Reads `/proc/self/stat`; none if it is not as the manual has it.
fn usage(stat: &str) -> Option<Usage> {
    // The name of the program, in parentheses, may hold spaces and parentheses itself.
    let (_, fields) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = fields.split_ascii_whitespace().collect();
    // The manual counts from 1, and two fields stand before these.
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok().map(double);
    let ticks = double(param::clock_ticks_per_second());
    Some(Usage {
        cpu: (field(14)? + field(15)?) / ticks,
        threads: field(20)?,
        started: field(22)? / ticks,
        resident: field(24)? * double(param::page_size() as u64),
    })
}

/// When the machine started, in seconds of Unix time, out of `/proc/stat`.
fn boot_time(stat: &str) -> Option<f64> {
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

/// Linux tells the number as the folder's size since 6.2, so that a hundred thousand need not be listed for each scrape.
fn open_descriptors() -> Option<f64> {
    match fs::metadata("/proc/self/fd").ok()?.len() {
        // The listing is open itself meanwhile.
        0 => fs::read_dir("/proc/self/fd").ok().map(|listed| double((listed.count() as u64).saturating_sub(1))),
        open => Some(double(open)),
    }
}

#[allow(clippy::cast_precision_loss, reason = "a sample is a double")]
fn double(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_of_any_name_has_its_figures_read() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 1 0 0 0 250 50 0 0 20 0 9 0 1200 8192 3 18446744073709551615 1 1 0";
        let read = usage(stat).unwrap();
        let ticks = double(param::clock_ticks_per_second());
        let page = double(param::page_size() as u64);
        let expected = Usage { cpu: 300.0 / ticks, started: 1200.0 / ticks, threads: 9.0, resident: 3.0 * page };
        assert_eq!(read, expected);
        assert_eq!(boot_time("cpu  1 2\nbtime 1700000000\nprocesses 3\n"), Some(1_700_000_000.0));
    }

    #[test]
    fn what_is_not_as_expected_is_left_out() {
        for stat in
            ["", "7", "7 (a)", "7 (a) S 1 2", "7 (a) S 1 7 7 0 -1 4194560 1 0 0 0 x 50 0 0 20 0 9 0 1200 8192 3"]
        {
            assert_eq!(usage(stat), None, "{stat}");
        }
        assert_eq!(boot_time("cpu 1\n"), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_figures_are_those_of_this_process() {
        let text = process_metrics();
        let value = |name: &str| -> f64 {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
        };
        assert!(value("process_resident_memory_bytes") > 1e6);
        assert!(value("process_open_fds") >= 3.0 && value("process_open_fds") <= value("process_max_fds"));
        assert!(value("process_threads") >= 2.0, "the test harness has one more");
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
        let age = now - value("process_start_time_seconds");
        assert!((-1.0..86_400.0).contains(&age), "{age}");
        assert!(value("process_cpu_seconds_total") >= 0.0);
    }
}
