//! What the figures depend on beside the programs: processors, kernel, load, and the versions of the peers.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::available_parallelism;

use rustix::process::{Resource, getrlimit, setrlimit};

use crate::options::Role;
use crate::server::nchan;

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

/// What must be there for `role`, and the Debian packages that bring it.
fn needs(role: Role) -> (&'static [&'static str], &'static str) {
    match role {
        Role::Bare | Role::BareMerged | Role::Cottontail => (&[], ""),
        Role::Nchan => (&["/usr/sbin/nginx", nchan::MODULE], "nginx libnginx-mod-nchan"),
        Role::Node => (&["/usr/bin/node"], "nodejs"),
        Role::Pushpin => (&["/usr/bin/pushpin", "/usr/bin/condure", "/usr/bin/zurl"], "pushpin"),
        Role::CottontailRabbitmq => (&["/usr/lib/rabbitmq/bin/rabbitmq-server"], "rabbitmq-server"),
    }
}

/// The packages to install before `role` can be measured.
pub fn missing(role: Role) -> Option<&'static str> {
    let (files, packages) = needs(role);
    files.iter().any(|file| !Path::new(file).exists()).then_some(packages)
}

/// The version of the program that `role` stands for, as its package or itself says it.
pub fn version(role: Role) -> Option<String> {
    let (program, arguments): (_, &[&str]) = match role {
        Role::Bare | Role::BareMerged | Role::Cottontail => return None,
        Role::Node => ("node", &["--version"]),
        Role::Nchan => ("dpkg-query", &["-Wf", "${Version}", "libnginx-mod-nchan"]),
        Role::Pushpin => ("dpkg-query", &["-Wf", "${Version}", "pushpin"]),
        Role::CottontailRabbitmq => ("dpkg-query", &["-Wf", "${Version}", "rabbitmq-server"]),
    };
    let output = Command::new(program).args(arguments).stderr(Stdio::null()).output().ok()?;
    let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    (!version.is_empty()).then_some(version)
}
