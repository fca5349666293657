//! CPU and memory of processes as `/proc` tells them (man 5 proc).

use std::fs;
use std::time::Duration;

use crate::failure::Failure;

/// `USER_HZ`, the unit of `/proc/<pid>/stat`: 100 on every Linux that Rust supports.
const TICK: Duration = Duration::from_millis(10);

/// CPU used since the start, in steps of 10 ms.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cpu {
    pub user: Duration,
    pub system: Duration,
}

impl Cpu {
    pub fn total(&self) -> Duration {
        self.user + self.system
    }

    pub fn since(&self, earlier: &Self) -> Self {
        Self { user: self.user.saturating_sub(earlier.user), system: self.system.saturating_sub(earlier.system) }
    }
}

struct Stat {
    parent: u32,
    cpu: Cpu,
}

/// CPU of all `processes` together; one that has ended counts nothing any more.
pub fn cpu(processes: &[u32]) -> Cpu {
    processes
        .iter()
        .filter_map(|pid| stat(*pid))
        .fold(Cpu::default(), |sum, stat| Cpu { user: sum.user + stat.cpu.user, system: sum.system + stat.cpu.system })
}

/// Resident memory of all `processes` in bytes, what they share counted once (`Pss`). What the kernel keeps for sockets is
/// not in it.
pub fn resident(processes: &[u32]) -> Result<u64, Failure> {
    processes.iter().map(|pid| proportional(*pid)).sum()
}

/// The processes that descend from `ancestor`, without itself.
pub fn descendants(ancestor: u32) -> Result<Vec<u32>, Failure> {
    let mut all = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        if let Some(pid) = name.to_str().and_then(|name| name.parse().ok())
            && let Some(stat) = stat(pid)
        {
            all.push((pid, stat.parent));
        }
    }
    let mut found = vec![ancestor];
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        found.extend(all.iter().filter(|(_, its)| *its == parent).map(|(pid, _)| *pid));
        next += 1;
    }
    found.remove(0);
    Ok(found)
}

fn stat(pid: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the command in parentheses and may hold spaces; ppid, utime and stime are the 4th, 14th and 15th.
    let (_, rest) = text.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let ticks = |index: usize| Some(TICK * fields.get(index)?.parse::<u32>().ok()?);
    Some(Stat { parent: fields.get(1)?.parse().ok()?, cpu: Cpu { user: ticks(11)?, system: ticks(12)? } })
}

fn proportional(pid: u32) -> Result<u64, Failure> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let kilobytes: Option<u64> = text
        .lines()
        .find_map(|line| line.strip_prefix("Pss:"))
        .and_then(|value| value.split_whitespace().next())
        .and_then(|value| value.parse().ok());
    Ok(1024 * kilobytes.ok_or_else(|| Failure::Server("no Pss in /proc/<pid>/smaps_rollup".into()))?)
}
